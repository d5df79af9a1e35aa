"""Processes that train die, are interrupted, or are two: nothing is lost, and one line says so."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images
from pipeline.distributed.compute import Compute
from pipeline.distributed.ray_session import Session
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.runs import identity
from pipeline.stages import convert, download, split
from pipeline.stages import train as train_stage
from pipeline.stages.download import DownloadConfig
from tests.helpers.checkout import CUT, ROOT, Vaepipe
from vae.config import Sizes
from vae.fit import fit
from vae.modelfile import save_model
from vae.stack import initial_state

# Real Ray from here on.
LONG: dict[str, dict[str, Any]] = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 600, "test": 60},
    "model": {"latent": 5, "hidden": [40, 30]},
    "train": {"epochs": 80, "batch_size": 50},
}


def prepare(folder: Path, changes: params.Changes) -> None:
    """A workspace in which train is next; the working directory."""
    workspaces.create(folder, changes)
    os.chdir(folder)
    download.run(DownloadConfig("synthetic"), params.read().synthetic)
    convert.run(*CUT)
    split.run()


def start_training(log: Path, checkpoint_seconds: str = "0.2") -> subprocess.Popen[bytes]:
    environment = os.environ | {"VAEPIPE_WORKERS": "2", "VAEPIPE_CHECKPOINT_SECONDS": checkpoint_seconds}
    program = Path(sys.executable).with_name("vaepipe")
    with log.open("wb") as file:
        return subprocess.Popen([program, "train"], stdout=file, stderr=file, env=environment)


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 90
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.05)


def listening(pid: int) -> set[str]:
    """The addresses on which a process and those below it listen."""
    found = set()
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.Error):
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN:
                    found.add(each.laddr.ip.removeprefix("::ffff:"))
    return found


@pytest.mark.slow
def test_a_killed_rank_ctrl_c_and_a_resume_change_no_bit(workspace: Path) -> None:
    """A rank is killed, the worker group restarts, Ctrl-C ends it, the same command goes on.

    The models are bit for bit those of plain, undisturbed `fit` with the same stacks.
    """
    prepare(workspace / "w", LONG)
    log = workspace / "log"
    process = start_training(log)
    wait_for("epoch ", log, process)
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True) if "RayTrainWorker" in p.name()]
    ranks = ranks or [
        p
        for p in psutil.Process(process.pid).children(recursive=True)
        if p.is_running() and "RayTrainWorker" in " ".join(p.cmdline())
    ]
    assert listening(process.pid) == {"127.0.0.1"}  # nothing that others could reach, or set keys of
    ranks[0].kill()
    wait_for("a rank failed: restart 1 of 3, from epoch ", log, process)
    time.sleep(0.5)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, log.read_text()
    assert time.monotonic() - pressed < 5
    said = log.read_text().splitlines()[-1]
    found = re.fullmatch(
        r"interrupted: run \w+ keeps its checkpoint of epoch (\d+); the same command goes on from there", said
    )
    assert found, said
    kept = int(found[1])
    assert 0 < kept < 80

    assert start_training(log, "15").wait(120) == 0
    # A rank may have saved another epoch while the message was written.
    resumed = re.search(r"going on from the checkpoint of epoch (\d+)\n", log.read_text())
    assert resumed
    assert int(resumed[1]) >= kept

    read = params.read()
    training, held_out = images.load_training(paths.COLOURS, 0.1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stack in (("red", "green"), ("blue",)):
        arrays = torch.stack([torch.from_numpy(training.pixels[c]) for c in stack])
        held = torch.stack([torch.from_numpy(held_out.pixels[c]) for c in stack])
        states = [
            initial_state(c, x, Sizes((1, 32, 32)), read.model, read.train.seed)
            for c, x in zip(stack, arrays, strict=True)
        ]
        *_, end = fit(arrays, states, read.train, validation_CND=held)
        for state in end.states():
            save_model(workspace / "undisturbed", state)
            assert paths.model(state.component).read_bytes() == (workspace / "undisturbed").read_bytes()
    torch.set_num_threads(threads)


@pytest.mark.day
def test_divergence_is_said_once_and_not_retried(workspace: Path, vaepipe: Vaepipe) -> None:
    changes = LONG | {"train": {"epochs": 5, "batch_size": 50, "learning_rate": 1.0}}
    prepare(workspace / "w", changes)
    done = vaepipe("train", VAEPIPE_WORKERS="1")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert re.search(r"the cost of (red|green|blue) became (nan|inf) in epoch \d: try a smaller", errors[0])
    assert "restart" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not paths.MODELS.exists()


def test_a_run_that_another_process_trains_is_refused_before_ray_starts(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "run_hash", lambda *_: "abc")
    held = (
        f"with identity.locked({str(paths.runs().absolute())!r}, 'abc'): print('held', flush=True); input()"
    )
    code = f"from pipeline.runs import identity\n{held}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        read = params.read(ROOT / "params.yaml")
        with pytest.raises(PipelineError, match=f"run abc is being trained by process {other.pid} on "):
            train_stage.run(0.0, read.model, read.train, Compute())
        other.kill()


def test_a_server_of_ray_that_died_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        session = Session(joined=False, servers=(psutil.Process(server.pid),))
        session.check()
        server.kill()
        time.sleep(0.1)
        with pytest.raises(PipelineError, match=f"process {server.pid} ended unexpectedly .*checkpoints"):
            session.check()
