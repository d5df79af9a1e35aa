"""A real `ray up` on hosts that are namespaces of this machine: `make test-cluster`. Rootful, minutes."""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.common import paths
from pipeline.experiment import params
from tests.helpers.checkout import ROOT
from tests.helpers.cluster_run import CHANGES, FILE, PATIENCE, RAY, Training, costs, models, nodes, ray_exec
from tests.helpers.hosts import Host, Lan, until, why_not

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """ctl, from which the cluster is started, a head, two workers, and far, in another network."""
    if reason := why_not():
        pytest.skip(f"hosts of namespaces: {reason}")
    made = Lan(["ctl", "head", "w1", "w2"], outsider="far")
    try:
        made.up()
        _checkout(made["ctl"])
        yield made
    finally:
        made.down()


def _checkout(ctl: Host) -> None:
    """The checkout as it is, with small data, and the cluster's file filled in."""
    place = ctl.disk / "root/vaepipe"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"],
    ):
        subprocess.run(["git", *command], cwd=place, check=True, capture_output=True)
    params.change(place / paths.PARAMS, CHANGES)
    text = (ROOT / "clusters/onprem.yaml").read_text()
    head, *workers = (ctl.lan[name].address for name in ("head", "w1", "w2"))
    text = text.replace("YOUR-HEAD", head).replace("YOUR-WORKERS", ", ".join(workers))
    text = text.replace("YOUR-USER", "root").replace("/YOUR-SHARED-FOLDER", "/mnt/shared")
    text = re.sub(r"(min|max)_workers: 1", r"\1_workers: 2", text)
    text = text.replace("~/.ssh/id_ed25519", "/root/.ssh/id")
    # Every host has the environment already, and none a way to a package index.
    text = re.sub(
        r"  - python3.11 -m venv.*\n(  - .*pip install.*\n)+",
        "  - test -e ~/vaepipe/requirements.txt\n",
        text,
    )
    text = text.replace(r"PATH=\$HOME/vaepipe-venv/bin:\$PATH ", "")
    text = text.replace("ray start --", "ray start --object-store-memory=150000000 --")
    (place / FILE).write_text(text)
    shutil.copy(ctl.lan.etc / "id", ctl.disk / "root/.ssh/id")
    token = ctl.disk / "root/.ray/auth_token"
    token.parent.mkdir()
    token.write_text("a" * 64)
    token.chmod(0o600)


@pytest.fixture(scope="module")
def undisturbed(lan: Lan) -> dict[str, bytes]:
    """The models of `dvc repro` on the cluster, without a fault."""
    return models(lan["head"])


def test_up_from_check_to_nodes(lan: Lan) -> None:
    ctl = lan["ctl"]
    checked = ctl.run("vaepipe", "cluster", "check", FILE)
    assert checked.stdout == f"{FILE}: good\n"
    assert ctl.run("dvc", "remote", "add", "--default", "ours", "/mnt/shared/dvc").returncode == 0
    done = ctl.run("vaepipe", "cluster", "up", FILE)
    assert done.returncode == 0, done.stdout
    table = done.stdout.splitlines()[-4:]
    assert [line.split()[0] for line in table[1:]] == [lan[name].address for name in ("head", "w1", "w2")]
    status = ctl.run("vaepipe", "cluster", "status", FILE)
    assert (status.returncode, status.stdout.splitlines()) == (0, table)


def test_dvc_repro_on_the_head_trains_on_several_hosts(lan: Lan) -> None:
    on = threading.Event()
    hosts: set[str] = set()

    def look() -> None:
        while not on.wait(0.5):
            hosts.update(n for n in ("w1", "w2") if any("RayTrainWorker" in p for p in lan[n].processes()))

    threading.Thread(target=look, daemon=True).start()
    done = ray_exec(lan, "dvc repro")
    on.set()
    assert done.returncode == 0, done.stdout
    assert hosts == {"w1", "w2"}
    # The same on one machine.
    ctl = lan["ctl"]
    shutil.copytree(ctl.disk / "root/vaepipe", ctl.disk / "root/alone", symlinks=True)
    alone = ctl.run("bash", "-c", "cd ~/alone && dvc repro train")
    assert alone.returncode == 0, alone.stdout
    assert costs(lan["head"]) == pytest.approx(costs(ctl, "alone"), abs=0.05)
    assert list((lan.shared / "vaepipe").glob("*/epoch-*/red.safetensors"))


def test_results_come_home_by_dvc(lan: Lan, undisturbed: dict[str, bytes]) -> None:
    ctl = lan["ctl"]
    assert not (ctl.disk / "root/vaepipe/models").exists()
    assert ray_exec(lan, "dvc push dvc.yaml").returncode == 0
    fetch = ["ray", "rsync-down", FILE, "~/vaepipe/dvc.lock", "dvc.lock"]
    for command in (fetch, ["dvc", "pull", "dvc.yaml"]):
        done = ctl.run(*command)
        assert done.returncode == 0, done.stdout
    assert models(ctl) == undisturbed
    assert (ctl.disk / "root/vaepipe/report/index.html").exists()


def test_a_killed_rank(lan: Lan, undisturbed: dict[str, bytes]) -> None:
    training = Training(lan, "rank")
    training.under_way()
    started = time.monotonic()
    training.workers()[0].kill("RayTrainWorker")
    training.recovered("a killed rank", started)
    training.end()
    assert models(lan["head"]) == undisturbed


def test_a_killed_driver(lan: Lan, undisturbed: dict[str, bytes]) -> None:
    training = Training(lan, "driver")
    training.under_way()
    started = time.monotonic()
    lan["head"].kill("vaepipe train")
    training.process.wait(30)
    again = Training(lan, "driver")
    until(lambda: "going on from the checkpoint" in again.text(), 120, again.text)
    print(f"a killed driver: training again after {time.monotonic() - started:.0f} s", flush=True)
    again.end()
    assert models(lan["head"]) == undisturbed


def test_a_killed_raylet(lan: Lan, undisturbed: dict[str, bytes]) -> None:
    training = Training(lan, "raylet")
    training.under_way()
    started = time.monotonic()
    training.workers()[-1].kill("raylet/raylet")
    training.recovered("a killed raylet", started)
    training.end()
    assert costs(lan["head"]) == pytest.approx(costs(lan["ctl"], "alone"), abs=0.05)
    until(lambda: nodes(lan) == 3, 120)


def test_a_host_that_loses_its_power_and_comes_back(lan: Lan, undisturbed: dict[str, bytes]) -> None:
    training = Training(lan, "power")
    training.under_way()
    victim = training.workers()[-1]
    started = time.monotonic()
    victim.cut_power()
    time.sleep(5)
    victim.boot()
    training.recovered("a host off for 5 s", started)
    training.end()
    assert "a host is gone" not in training.text()
    assert costs(lan["head"]) == pytest.approx(costs(lan["ctl"], "alone"), abs=0.05)
    until(lambda: nodes(lan) == 3, 120)


def test_a_cable_that_is_pulled(lan: Lan) -> None:
    training = Training(lan, "cable")
    training.under_way()
    victim = training.workers()[-1]
    started = time.monotonic()
    victim.cable(plugged=False)
    training.recovered("a pulled cable", started)
    training.end()
    victim.cable(plugged=True)
    assert costs(lan["head"]) == pytest.approx(costs(lan["ctl"], "alone"), abs=0.05)
    until(lambda: nodes(lan) == 3, 240)


def test_a_host_that_is_lost_for_good(lan: Lan) -> None:
    training = Training(lan, "lost")
    training.under_way()
    victim = training.workers()[-1]
    started = time.monotonic()
    victim.cut_power()
    training.recovered("a host lost for good", started)
    assert time.monotonic() - started > PATIENCE
    training.end()
    assert "a host is gone, and none came in its place: now red+green | blue" in training.text()
    assert costs(lan["head"]) == pytest.approx(costs(lan["ctl"], "alone"), abs=0.05)
    victim.boot()
    until(lambda: nodes(lan) == 3, 240)


def test_storage_that_is_not_shared(lan: Lan) -> None:
    done = Training(lan, "x", more="--storage /root/own")
    done.process.wait(120)
    until(lambda: "error:" in done.text(), 5)
    [line] = [line for line in done.said if line.startswith("error:")]
    assert re.match(
        r"error: --storage /root/own: node w\d does not see what the driver writes there; name", line
    )


def test_storage_that_fills_up(lan: Lan) -> None:
    """One line; whatever was whole before is left, and the models of the last good run."""
    before = models(lan["head"])
    done = Training(lan, "small/x")
    assert done.process.wait(120) == 1, done.text()
    until(lambda: "error:" in done.text(), 5)
    [line] = [line for line in done.said if line.startswith("error:")]
    assert "the checkpoint of epoch 1 cannot be written: No space left on device; make room" in line
    assert models(lan["head"]) == before


def test_from_outside_nothing_answers_and_nothing_goes_without_the_token(lan: Lan) -> None:
    head = lan["head"].address
    ports = 'for p in 22 6379 8076 8265 10001; do timeout 2 bash -c "</dev/tcp/$0/$p" && echo open $p; done'
    assert "open" not in lan["far"].run("bash", "-c", ports, head).stdout
    # A machine of the same network that does not know the token: it can reach the port, and is refused.
    stranger = lan["ctl"]
    token = stranger.disk / "root/.ray/auth_token"
    kept = token.read_text()
    token.write_text("b" * 64)
    joined = stranger.run("ray", "start", f"--address={head}:6379", RAY_AUTH_MODE="token", seconds=120)
    assert joined.returncode != 0, joined.stdout
    code = f"import ray; ray.init('{head}:6379', logging_level='CRITICAL'); print('in', ray.nodes())"
    driver = stranger.run("timeout", "60", "python", "-c", code, RAY_AUTH_MODE="token", seconds=120)
    assert driver.returncode != 0
    assert "in [" not in driver.stdout
    token.write_text(kept)
    assert nodes(lan) == 3


def test_down_leaves_nothing(lan: Lan) -> None:
    done = lan["ctl"].run("vaepipe", "cluster", "down", FILE)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"{FILE}: down"
    for name in ("head", "w1", "w2"):
        assert not [process for process in lan[name].processes() if RAY.search(process)]


def test_a_wrong_key_is_named_at_once(lan: Lan) -> None:
    ctl = lan["ctl"]
    key = ctl.disk / "root/.ssh/id"
    right = key.read_text()
    key.unlink()
    ctl.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id")
    started = time.monotonic()
    done = ctl.run("vaepipe", "cluster", "up", FILE)
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    assert done.stdout.startswith(f"error: {lan['head'].address}: no SSH as root with /root/.ssh/id: ")
    assert "Permission denied (publickey)" in done.stdout
    assert done.stdout.count("\n") == 1
    key.write_text(right)
    key.chmod(0o600)
    key.with_suffix(".pub").unlink()  # ssh would offer that one


OTHER_RAY = """#!{python}
import sys
import ray
ray.__version__ = "2.59.0"  # what nodes compare
from ray.scripts.scripts import main
print("ray, version 2.59.0") if "--version" in sys.argv else main()
"""


def test_a_worker_with_another_ray_is_named(lan: Lan) -> None:
    ctl, worker = lan["ctl"], lan["w2"]
    script = worker.disk / "root/old/ray"
    script.parent.mkdir()
    script.write_text(OTHER_RAY.format(python=sys.executable))
    script.chmod(0o755)
    bashrc = worker.disk / "root/.bashrc"
    kept = bashrc.read_text()
    bashrc.write_text(kept + "export PATH=/root/old:$PATH\n")
    done = ctl.run("vaepipe", "cluster", "up", "--wait", "40", FILE)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert f"{worker.address} did not join: it has Ray 2.59.0, the others have 2.60.0" in last
    assert "w1" not in last
    bashrc.write_text(kept)
    assert ctl.run("vaepipe", "cluster", "down", FILE).returncode == 0
