"""Scripts and settings with which hosts are started."""

INIT = """set -e
hostname {name}
mount --make-rprivate /
mount --bind {etc}/hosts /etc/hosts
mount -t tmpfs -o size=64m tmpfs /run; mkdir -p /run/sshd
mount -t tmpfs -o size=1g tmpfs /dev/shm
mount -t tmpfs tmpfs /mnt; mkdir /mnt/shared /mnt/venv /mnt/base /mnt/etc /mnt/checkout
mount --rbind {shared} /mnt/shared
mount --bind {etc} /mnt/etc
mount --bind {venv} /mnt/venv; mount -o remount,bind,ro /mnt/venv
mount --bind {base} /mnt/base; mount -o remount,bind,ro /mnt/base
mount --bind {checkout} /mnt/checkout; mount -o remount,bind,ro /mnt/checkout
mount --bind {disk}/root /root
mount --bind {disk}/tmp /tmp
mkdir -p {base} {checkout} {venv}
mount --bind /mnt/base {base}
mount --bind /mnt/checkout {checkout}
mount --bind /mnt/venv {venv}
cp /mnt/etc/sshd_{name} /run/sshd_config
export HOME=/root
cd /root
exec /usr/sbin/sshd -D -E /root/sshd.log -f /run/sshd_config
"""


# All that a host and the bridge between hosts need of the kernel.
PROBE = """set -e
hostname probe
mount --make-rprivate /
mount -t tmpfs -o size=1m tmpfs /mnt
mkdir /mnt/bound
mount --bind /mnt/bound /mnt/bound
mount -o remount,bind,ro /mnt/bound
ip link add br0 type bridge
ip link add one type veth peer name two
"""


SSHD = """Port 22
ListenAddress {address}
HostKey /mnt/etc/hostkey
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
MaxStartups 100
MaxSessions 100
"""
