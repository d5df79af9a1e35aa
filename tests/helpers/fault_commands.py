"""The commands whose calls fail, and the small workspace in which they run."""

import copy
import functools
import gc
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer.main
from PIL import Image

from pipeline.cli import main as cli
from pipeline.common import yaml_text
from pipeline.data.synthetic import crops
from pipeline.experiment import params, stage_modules
from pipeline.experiment import workspace as workspaces
from pipeline.report import figures
from pipeline.stages import merge
from tests.helpers.failing_calls import Calls, run
from vae import baseline, classifier

SMALL: params.Changes = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 120, "test": 30},
    "model": {"channels": "joint", "conditional": True, "latent": 3, "hidden": [12]},
    "train": {"epochs": 2, "batch_size": 20},
    "merge": {"images": 5},
}


STUDIES = """\
noise: seeds
studies:
  seeds:
    question: How much do results differ by chance alone?
    vary:
      train.seed: {seeds}
searches:
  default:
    trials: 2
    grace: 1
    space:
      model.latent: [2, 3]
"""


@dataclass(frozen=True)
class Command:
    """A command, and what the workspace lacks before it runs."""

    line: str
    removed: tuple[str, ...] = ()
    once: bool = False  # it refuses to run again where it was successful
    on_ray: bool = False  # with processes of its own, whose calls fail too
    imports: str = ""  # what it loads that no command before it may find loaded: Ray is ended in another way

    @property
    def label(self) -> str:
        return f"{self.line}{'' if self.removed else ' (again)'}{' on Ray' if self.on_ray else ''}"


# What commands import when they need it.
LOADED_LATE = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pipeline.experiment.guard",
    "pipeline.inference.codec",
    "pipeline.inference.pictures",
    "pipeline.report.studies_page",
    "pipeline.runs.listing",
    "pipeline.stages.classifier",
    "pipeline.stages.convert",
    "pipeline.stages.download",
    "pipeline.stages.merge",
    "pipeline.stages.prepare",
    "pipeline.stages.split",
    "pipeline.stages.train",
    "rich._emoji_codes",
    "torch.utils._device",
    "typer._adapters",
    "typer._click.decorators",
)
TRAINED = ("models", "metrics/train.json", "plots")
COMMANDS = (
    Command("prepare", ("modules",)),
    Command("download", ("data/raw",)),
    Command("download"),
    Command("convert", ("data/svhn.h5",)),
    Command("convert"),
    Command("split", ("data/channels",)),
    Command("classifier"),
    Command("train", TRAINED),
    Command("train"),
    Command("train", (*TRAINED, ".vaepipe/runs"), on_ray=True),
    Command("merge", ("reconstructions", "metrics/test.json", "metrics/summary.json", "report")),
    Command("preset apply paper"),
    Command("encode data/svhn.h5 --digit 3 -o z.h5 --force"),
    Command("decode kept.h5 -o back", once=True),
    Command("sample -n 4 -o x.png"),
    Command("interpolate a.png b.png --digit 3 --steps 3 -o x.png"),
    Command("reconstruct data/svhn.h5 -n 4 --digit 3 -o x.png"),
    Command("runs"),
    Command("runs --prune --yes"),
    Command("studies"),
    Command("init new", once=True),
    Command("studies --prune --yes", imports="pipeline.search.leftovers"),
    Command("study seeds", ("studies",), imports="pipeline.studies.run"),
    Command("study seeds", imports="pipeline.studies.run"),
    Command("tune", imports="pipeline.search.run"),
)


def hasten(folder: Path) -> None:
    """Make what calls no file take less time; `folder` is for what is worked out once for all forks."""
    torch.set_num_threads(1)  # threads of this process would not be there in a fork
    classifier.STEPS, classifier.WIDTHS, classifier.BATCH = 2, (4, 4, 8), 20
    scenes: Any = crops
    scenes.draw_block = functools.cache(crops.draw_block)
    for split, count in SMALL["synthetic"].items():
        crops.generate(count, seed=0, split=split)
    for name in stage_modules.STAGES:
        stage_modules.used(name)
    typer_main: Any = typer.main
    typer_main.get_command = functools.cache(typer.main.get_command)
    typer_main.get_command(cli.app)
    drawing: Any = figures
    reading: Any = yaml_text
    reading.parse = recalled(yaml_text.parse)
    drawing.png = quick_png
    drawing.Figure.savefig = lambda self, file, **how: file.write(b"<svg/>")
    stage: Any = merge
    stage.fit_pca = remembered(folder)
    for module in LOADED_LATE:
        importlib.import_module(module)
    # So that the collector touches no page that forks share.
    gc.collect()
    gc.freeze()


def load(command: Command) -> None:
    """Import what a command needs, before it runs in forks."""
    if command.imports:
        importlib.import_module(command.imports)


def quick_png(image: Image.Image) -> bytes:
    """A picture as a PNG that is larger than need be."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def recalled(parse: Callable[[bytes, Path], Any]) -> Callable[[bytes, Path], Any]:
    """A function that parses a file's content, without parsing twice what this process has seen."""
    known: dict[tuple[bytes, Path], Any] = {}

    def recall(content: bytes, path: Path) -> Any:
        if (content, path) not in known:
            known[content, path] = parse(content, path)
        return copy.deepcopy(known[content, path])

    return recall


def remembered(folder: Path) -> Callable[[torch.Tensor, int], baseline.PCA]:
    """`fit_pca`, which no process works out after another one did."""

    def recall(images: torch.Tensor, latent: int) -> baseline.PCA:
        kept = folder / f"{hashlib.sha256(images.numpy().tobytes()).hexdigest()}-{latent}"
        if not kept.exists():
            torch.save(vars(baseline.fit_pca(images, latent)), f"{kept}.{os.getpid()}")
            Path(f"{kept}.{os.getpid()}").rename(kept)
        return baseline.PCA(**torch.load(kept, weights_only=True))

    return recall


def make_workspace(main: Callable[[], None], calls: Calls, folder: Path) -> None:
    """A small workspace of a conditional model, all of whose stages have run; in it are two pictures."""

    def make(*lines: str) -> None:
        for line in lines:
            done = run(main, calls, line, folder, patience=60)
            assert done.status == 0, done.said

    def make_on_ray(*lines: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        for line in lines:
            arguments = [sys.executable, "-m", "pipeline.cli", *line.split()]
            subprocess.run(arguments, cwd=folder, env=environment, check=True, capture_output=True)

    workspaces.create(folder, SMALL)
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    make("prepare", "download", "convert", "split", "classifier")
    for name in ("params.yaml", "dvc.yaml"):
        yaml_text.parse((folder / name).read_bytes(), Path(name))
    (folder / "studies.yaml").write_text(STUDIES.format(seeds=[0, 1, 2]))
    make_on_ray("train", "study seeds", "tune")
    # A run whose models are not those that are there, for `runs --prune`.
    [trained] = (folder / ".vaepipe/runs").glob("*/about.json")
    shutil.copytree(trained.parent, trained.parent.with_name("0123456789abcdef"))
    other = trained.parent.with_name("0123456789abcdef") / trained.name
    other.write_text(json.dumps(json.loads(other.read_text()) | {"models": []}))
    # So that there is a result that nothing asks for any more.
    (folder / "studies.yaml").write_text(STUDIES.format(seeds=[0, 1]))
    make_on_ray("study seeds")
    make("merge", "encode data/svhn.h5 --digit 3 -o kept.h5")
