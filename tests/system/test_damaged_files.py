"""Damaged files: what is read is what was written, or an error of one line; of any mutant, and in time.

`make fuzz N=2000` tries so many of each file, and prints the counts.
"""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images, store
from pipeline.data.own import npz
from pipeline.data.svhn import matfile
from pipeline.experiment import params, stage_modules
from pipeline.experiment import workspace as workspaces
from pipeline.inference import array_files, latent_file
from pipeline.inference.latent_file import Contents
from pipeline.runs import listing
from pipeline.runs.checkpoints import Checkpoints
from pipeline.search.journal import Journal, SearchTrial
from pipeline.stages import convert, merge, split
from pipeline.trials import studies_yaml
from tests.helpers import models, mutants
from tests.helpers.checkout import CUT
from vae import classifier, load
from vae.config import Sizes, numbered
from vae.modelfile import load_model
from vae.tensorfile import ModelFileError

pytestmark = pytest.mark.slow  # hundreds of copies of each file

MUTANTS = int(os.environ.get("VAEPIPE_MUTANTS", "200"))
JUDGE = Path("classifier.safetensors")
SLOW = 5.0  # seconds that one file may take
MORE = 300 << 10  # KiB of memory, the same

EXPECTED = (PipelineError, ModelFileError)


@dataclass(frozen=True)
class Reader:
    """A way to read a file."""

    file: str
    read: Callable[[], Any]
    exact: bool  # whether a damaged file is never taken for a whole one
    text: bool = False
    optional: bool = False  # a damaged one counts as none


def splits(path: Path, dimensions: int) -> dict[str, Any]:
    with store.read(path, dimensions) as found:
        return {
            name: (each.images[:], each.labels, each.provenance, each.classes) for name, each in found.items()
        }


def latents() -> Any:
    with latent_file.read(Path("z.h5")) as file:
        contents = file.contents
        return [contents.models, contents.image, contents.names, [z for _, z in file.blocks(7)]]


def arrays(name: str) -> Any:
    with array_files.opened(Path(name), None, None) as found:
        return found.split, found.images.block(slice(0, 5)), found.classes


def checkpoints() -> Checkpoints:
    return Checkpoints(str(paths.runs().absolute()), "run", ("red",))


def checkpoint() -> Any:
    state = checkpoints().load(1, "red")
    return [asdict(state.config), state.sizes, state.weights, state.first_moments, state.steps, state.history]


def code() -> Any:
    return stage_modules.written("train")


def runs() -> Any:
    return listing.list_runs(str(paths.runs().absolute()))


READERS = (
    Reader("data/svhn.h5", lambda: splits(paths.IMAGES, 4), exact=True),
    Reader("data/channels/red.h5", lambda: splits(paths.channel("red"), 3), exact=True),
    Reader("data/channels/green.h5", lambda: images.load_training(paths.COLOURS, 0.1), exact=True),
    Reader("data/raw/test_32x32.mat", lambda: matfile.read(paths.raw("test")), exact=False),
    Reader("foreign.h5", lambda: arrays("foreign.h5"), exact=False),
    Reader("packed.h5", lambda: arrays("packed.h5"), exact=False),
    Reader("arrays.npz", lambda: npz.read(Path("arrays.npz"), None), exact=False),
    Reader("z.h5", latents, exact=True),
    Reader("models/red.safetensors", lambda: load_model(paths.model("red")).weights, exact=True),
    Reader("models/blue.safetensors", lambda: load("models", "cpu").latent, exact=True),
    Reader("classifier.safetensors", lambda: classifier.load(JUDGE).state_dict(), exact=True),
    Reader(".vaepipe/runs/run/epoch-000001/red.safetensors", checkpoint, exact=True),
    Reader(".vaepipe/runs/run/about.json", runs, exact=False, text=True, optional=True),
    Reader(".vaepipe/searches/key.jsonl", lambda: Journal("key").tried, exact=False, text=True),
    Reader("modules/train.json", code, exact=False, text=True, optional=True),
    Reader("plots/training.csv", lambda: merge._history(), exact=False, text=True),
    Reader("params.yaml", params.read, exact=False, text=True),
    Reader("studies.yaml", studies_yaml.read, exact=False, text=True),
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, crops: models.Crops) -> Iterator[Path]:
    """A workspace that holds one of each file; the working directory."""
    folder = tmp_path_factory.mktemp("damaged") / "w"
    workspaces.create(folder, git=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pictures, digits = crops[0][:60], crops[1][:60]
        paths.RAW.mkdir(parents=True)
        matfile.write(paths.raw("train"), pictures[:40], digits[:40])
        matfile.write(paths.raw("test"), pictures[40:], digits[40:])
        convert.run(*CUT)
        split.run()
        models.trained(paths.MODELS, pictures)
        classifier.save(JUDGE, classifier.initial(Sizes((3, 32, 32), numbered(10)), 0))
        checkpoints().save(models.start("red", models.square(8), models.model(hidden=(4,), latent=2)))
        state = models.start("red", models.square(8), models.model(hidden=(4,), latent=2))
        state.epoch = 1
        checkpoints().save(state)
        checkpoints().describe(components=("red",), model={"latent": 2}, train={"epochs": 3}, images=40)
        with h5py.File("foreign.h5", "w") as file:
            file["x/images"], file["x/labels"] = pictures, digits
            file["x/classes"] = np.array([f"class {n}" for n in range(10)], "S9")
        with h5py.File("packed.h5", "w") as file:
            file.create_dataset("images", data=pictures, compression="gzip", chunks=(7, 3, 32, 32))
            file.create_dataset("labels", data=digits, compression="lzf", chunks=(20,), fletcher32=True)
        np.savez_compressed("arrays.npz", x_train=pictures[:, 0], y_train=digits, x_test=pictures[:, 1])
        names = [f"{n}.png" for n in range(20)]
        with latent_file.create(
            Path("z.h5"), Contents("0" * 64, (3, 8, 8), None, digits[:20], names), 6
        ) as z:
            z[:] = np.arange(120).reshape(20, 6)
        stage_modules.write()
        paths.HISTORY.parent.mkdir()
        rows = (f"{epoch},{c},train,{1 / epoch},0.5,0.25\n" for epoch in (1, 2) for c in paths.COLOURS)
        paths.HISTORY.write_text("epoch,component,split,cost,reconstruction,kl\n" + "".join(rows))
        journal = Journal("key")
        for latent in (2, 3):
            journal.write(SearchTrial({"model.latent": latent}, "stopped", {1: {"train": 2.5}}, 1.5))
        yield folder


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | torch.Tensor):
        return np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return same(vars(a), vars(b))
    return bool(a == b)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.file)
def test_what_is_read_is_what_was_written_or_one_line(
    place: Path, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, counts = reader.read(), Counter[str]()
    make = mutants.of_text if reader.text else mutants.of_bytes
    for what in make(Path(reader.file), MUTANTS):
        started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            found = reader.read()
        except EXPECTED as error:
            said = str(error)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        else:
            said = ""
            counts["right" if same(found, whole) else "something else"] += 1
        if said:
            assert said.isprintable(), what
            assert len(said) < 2000, what
            counts["one line"] += 1
        assert not (reader.exact and counts["something else"]), f"{what}: taken for whole"
        assert time.monotonic() - started < SLOW, what
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MORE, what
    with capsys.disabled():
        if "VAEPIPE_MUTANTS" in os.environ:
            print(f"\n{reader.file}: {counts.total()} tried, {dict(counts)}")
    assert counts.total() > MUTANTS * 0.8
    assert (counts["one line"] == 0) == reader.optional
