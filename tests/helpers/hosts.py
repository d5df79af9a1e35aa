"""Hosts of a local network, made of Linux namespaces on this machine; rootful.

A host has a network interface, processes, a host name, shared memory, /tmp, /root and /run of its own, an
sshd on its own address, and this environment's Python, read-only, at its own path. All hosts see /mnt/shared,
as an NFS folder, and in it one of 16 MB. Killing its first process is a power cut; taking its cable out is
one end of a pair of interfaces set down. The bridge between them is in a namespace of its own, so nothing
reaches the machine's network. Hosts end with the process that made them.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.helpers.host_scripts import INIT, PROBE, SSHD

VENV = Path(sys.prefix)


BASE = Path(sys.base_prefix)


CHECKOUT = Path(__file__).parents[2]


NETWORK = "10.77.0"


OUTSIDE = "10.78.0"


NEEDED = ("ip", "sshd", "rsync", "unshare", "nsenter", "ssh-keygen")


BOOT_SECONDS = 10.0


def why_not() -> str:
    """Why hosts cannot be made here; empty if they can."""
    if os.geteuid():
        return "needs root"
    if missing := [name for name in NEEDED if not _which(name)]:
        return f"needs {', '.join(missing)}"
    space = f"vp{os.getpid()}-probe"
    try:
        _sh("ip", "netns", "add", space)
        private = ("--pid", "--mount", "--uts", "--ipc", "--fork", "--mount-proc")
        _sh("ip", "netns", "exec", space, "unshare", *private, "bash", "-c", PROBE)
    except RuntimeError as error:
        return f"no namespaces here: {error}"
    finally:
        _sh("ip", "netns", "del", space, check=False)
    return ""


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Host:
    """One of them."""

    def __init__(self, lan: "Lan", name: str, address: str) -> None:
        self.lan, self.name, self.address = lan, name, address
        self.disk = lan.folder / "hosts" / name
        self.space = f"{lan.prefix}-{name}"
        self.launcher: subprocess.Popen[bytes] | None = None
        self.init = 0  # its first process, as this machine numbers it

    def boot(self) -> None:
        """Switch it on; its disk is as it was."""
        for folder in ("tmp", "root/.ssh"):
            (self.disk / folder).mkdir(parents=True, exist_ok=True)
        (self.disk / "tmp").chmod(0o1777)
        (self.disk / "root").chmod(0o700)
        keys = self.disk / "root/.ssh/authorized_keys"
        if not keys.exists():
            shutil.copy(self.lan.etc / "id.pub", keys)
        (self.disk / "root/.ssh").chmod(0o700)
        keys.chmod(0o600)
        bashrc = self.disk / "root/.bashrc"
        if not bashrc.exists():
            path = f"export PATH={VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1\n"
            bashrc.write_text(path)
            (self.disk / "root/.bash_profile").write_text(". ~/.bashrc\n")
        (self.lan.etc / f"sshd_{self.name}").write_text(SSHD.format(address=self.address))
        script = self.lan.etc / f"init_{self.name}"
        script.write_text(
            INIT.format(
                name=self.name,
                etc=self.lan.etc,
                shared=self.lan.shared,
                venv=VENV,
                base=BASE,
                checkout=CHECKOUT,
                disk=self.disk,
            )
        )
        log = self.disk / "root/sshd.log"
        log.unlink(missing_ok=True)
        spaces = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
        programs = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        with (self.disk / "console.log").open("wb") as console:
            self.launcher = subprocess.Popen(
                [
                    *("nsenter", f"--net=/run/netns/{self.space}"),
                    *("unshare", *spaces),
                    *("env", "-i", "LANG=C.UTF-8", programs),
                    *("bash", str(script)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        until(lambda: log.exists() and "listening on" in log.read_text(), BOOT_SECONDS, self._console)
        children = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children").read_text().split()
        self.init = int(children[0])

    def _console(self) -> str:
        return (self.disk / "console.log").read_text()

    def cut_power(self) -> None:
        """Its first process is killed, and with it by the kernel all that ran there, at once."""
        if self.launcher:
            with suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
            self.launcher.wait()
            self.launcher = None

    def cable(self, plugged: bool) -> None:
        """Take its network cable out, or put it in again: no packet says so to anybody."""
        state = "up" if plugged else "down"
        _sh("ip", "-n", f"{self.lan.prefix}-lan", "link", "set", f"v-{self.name}", state)

    def run(self, *command: str, seconds: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command at its console, in /root/vaepipe where there is one."""
        process = self.start(*command, **variables)
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"{self.name}: {command} took more than {seconds} s: {said}") from None
        return subprocess.CompletedProcess(command, process.returncode, said)

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            "HOME": "/root",
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "PATH": f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        } | variables
        return subprocess.Popen(
            [
                *("nsenter", "-t", str(self.init), "--mount", "--uts", "--ipc", "--net", "--pid"),
                *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *("bash", "-c", 'cd /root/vaepipe 2>/dev/null || cd /root; exec "$@"', "_", *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> list[str]:
        """The command lines of all that runs there."""
        return [command for _, command in self._running()]

    def kill(self, words: str) -> None:
        """Kill the processes whose command line has these words."""
        for pid, command in self._running():
            if words in command:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _running(self) -> list[tuple[int, str]]:
        """By their numbers on this machine."""
        found = []
        space = Path(f"/proc/{self.init}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdecimal() and (entry / "ns/pid").readlink() == space:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    found.append((int(entry.name), command))
        return found


class Lan:
    """Hosts by name, on one bridge, and one that is in another network."""

    def __init__(self, names: Sequence[str], outsider: str) -> None:
        self.prefix = f"vp{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix="vaepipe-hosts-"))
        self.etc, self.shared = self.folder / "etc", self.folder / "shared"
        self.hosts = {name: Host(self, name, f"{NETWORK}.{10 + n}") for n, name in enumerate(names)}
        self.hosts[outsider] = Host(self, outsider, f"{OUTSIDE}.10")

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def up(self) -> None:
        self.etc.mkdir(mode=0o700)
        small = self.shared / "small"
        small.mkdir(parents=True)
        _sh("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(small))
        for key in ("id", "hostkey"):
            _sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.etc / key))
        known = "".join(f"{host.address} {host.name}\n" for host in self.hosts.values())
        (self.etc / "hosts").write_text(f"127.0.0.1 localhost\n{known}")
        lan = f"{self.prefix}-lan"
        _sh("ip", "netns", "add", lan)
        _sh("ip", "-n", lan, "link", "add", "br0", "type", "bridge")
        _sh("ip", "-n", lan, "link", "set", "br0", "up")
        for host in self.hosts.values():
            _sh("ip", "netns", "add", host.space)
            ends = ("type", "veth", "peer", "name", "eth0", "netns", host.space)
            _sh("ip", "-n", lan, "link", "add", f"v-{host.name}", *ends)
            _sh("ip", "-n", lan, "link", "set", f"v-{host.name}", "master", "br0", "up")
            _sh("ip", "-n", host.space, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _sh("ip", "-n", host.space, "link", "set", link, "up")
            host.boot()

    def down(self) -> None:
        for host in self.hosts.values():
            host.cut_power()
            _sh("ip", "netns", "del", host.space, check=False)
        _sh("ip", "netns", "del", f"{self.prefix}-lan", check=False)
        _sh("umount", str(self.shared / "small"), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _sh(*command: str, check: bool = True) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PATH": path}, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def until(condition: Callable[[], Any], seconds: float, said: Callable[[], str] = str) -> float:
    """Wait for something to be so; return the seconds that it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not so after {seconds} s: {said()}")
        time.sleep(0.1)
    return time.monotonic() - started
