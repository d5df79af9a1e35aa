"""Training on a cluster of hosts that are namespaces, watched from outside."""

import json
import re
import subprocess
import threading
import time
from pathlib import Path

from pipeline.common import paths
from pipeline.experiment import params
from tests.helpers.hosts import Host, Lan, until
from vae import modelfile

FILE = "clusters/test.yaml"


CHANGES: params.Changes = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 2000, "test": 200},
    "model": {"latent": 5, "hidden": [300, 300]},
    "train": {"epochs": 150, "batch_size": 50},
}


PATIENCE = 60  # seconds that a run waits for a spare host


CHECKPOINTS = "/mnt/shared/vaepipe"


RAY = re.compile(r"raylet|gcs_server|ray::|dashboard/agent\.py|monitor\.py")


def ray_exec(lan: Lan, command: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """As a person at ctl types it."""
    return lan["ctl"].run("ray", "exec", FILE, f"cd vaepipe && {command}", seconds=seconds)


def nodes(lan: Lan) -> int:
    return lan["ctl"].run("vaepipe", "cluster", "status", FILE).stdout.count("worker") + 1


def models(host: Host, folder: str = "vaepipe") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (host.disk / f"root/{folder}/models").iterdir()}


def costs(host: Host, folder: str = "vaepipe") -> list[float]:
    metrics = json.loads((host.disk / f"root/{folder}/metrics/train.json").read_text())
    return [metrics[colour]["cost"] for colour in paths.COLOURS]


class Training:
    """`vaepipe train` on the head, from the first epoch, with checkpoints of its own."""

    def __init__(self, lan: Lan, name: str, *, more: str = "") -> None:
        self.lan, self.storage = lan, f"/mnt/shared/{name}"
        command = f". ~/.bashrc; exec vaepipe train --storage {self.storage} --checkpoint-seconds 1 {more}"
        self.process = lan["head"].start("bash", "-c", command)
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        self.said.extend(self.process.stdout)

    def text(self) -> str:
        return "".join(self.said)

    def checkpoints(self) -> list[Path]:
        """Of whole epochs, on the shared folder."""
        folder = self.lan.shared / self.storage.removeprefix("/mnt/shared/")
        return [
            path for path in sorted(folder.glob("*/epoch-*")) if len(list(path.glob("*.safetensors"))) == 3
        ]

    def under_way(self) -> None:
        until(lambda: self.checkpoints() or self.process.poll() is not None, 120, self.text)
        assert self.process.poll() is None, self.text()

    def workers(self) -> list[Host]:
        """The hosts on which ranks run."""
        found = [self.lan[name] for name in ("w1", "w2")]
        return [host for host in found if any("RayTrainWorker" in p for p in host.processes())]

    def recovered(self, fault: str, started: float) -> None:
        """Wait until the gang has started again; print how long it took."""
        until(lambda: "restart" in self.text() or self.process.poll() is not None, 240, self.text)
        print(f"{fault}: training again after {time.monotonic() - started:.0f} s", flush=True)

    def end(self) -> None:
        assert self.process.wait(300) == 0, self.text()
        # No checkpoint is damaged: each can be read.
        for folder in self.checkpoints():
            for path in folder.iterdir():
                modelfile.load_checkpoint(path)
