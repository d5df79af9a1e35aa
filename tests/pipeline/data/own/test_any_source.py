"""Any folder and any arrays: one line or every picture, nothing dropped in silence, no file touched."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import download
from pipeline.stages.download import DownloadConfig
from tests.helpers.any_folder import entry, lay, ordinary, picture

pytestmark = pytest.mark.slow  # hundreds of folders and files

EXAMPLES = int(os.environ.get("VAEPIPE_EXAMPLES", "60"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def snapshot(folder: Path) -> dict[str, Any]:
    """Everything in a folder, links as what they say."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = path.is_fifo()
    return found


OF_LABELS = ("labels", "y", "y_train", "y_test", "train_labels", "val_labels")
KEYS = (
    ["images"],
    ["X", "y"],
    ["images", "labels", "other"],
    ["x_train", "y_train", "x_test", "y_test"],
    ["train_images", "val_images", "train_labels", "val_labels"],
)


def run(source: str, capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[str, str, int]:
    """The error's line, if there is one; what was said; and the number of images that were written."""
    capsys.readouterr()
    shutil.rmtree(paths.RAW, ignore_errors=True)
    try:
        download.run(DownloadConfig(source, test=0.3, **options), SyntheticConfig(1, 1, 1, 0))
    except PipelineError as error:
        line = str(error)
    else:
        line = ""
    said = capsys.readouterr().err
    if line:
        assert line.isprintable()
        assert not paths.RAW.exists()
        return line, said, 0
    with store.read(paths.OWN_IMAGES, dimensions=4) as splits:
        images = sum(len(split.images) for split in splits.values())
        for split in splits.values():
            assert split.labels is None or len(split.labels) == len(split.images)
            assert split.labels is None or not split.classes or split.labels.max() < len(split.classes)
    return "", said, images


def visible(folder: Path, seen: frozenset[Path] = frozenset()) -> Counter[str]:
    """Names of all that is visible and no folder, links followed: each place counts."""
    found: Counter[str] = Counter()
    for path in folder.iterdir():
        if path.name.startswith((".", "__")):
            continue
        if path.is_dir():
            real = path.resolve()
            if real not in seen:
                found += visible(path, seen | {real})
        else:
            found[path.name] += 1
    return found


@FUZZ
@given(
    entries=st.one_of(ordinary(), ordinary(), st.lists(entry, max_size=14)),
    size=st.sampled_from([None, 8, 8]),
    frames=st.sampled_from(["one", "first", "all"]),
    white_level=st.sampled_from([None, None, 255]),
)
def test_any_folder(
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    entries: list[dict[str, Any]],
    size: int | None,
    frames: str,
    white_level: int | None,
) -> None:
    for name in ("own", "elsewhere"):
        shutil.rmtree(name, ignore_errors=True)
    Path("elsewhere").mkdir()
    picture(Path("elsewhere/z.png"), {"mode": "RGB", "side": 8, "frames": 1}, 99)
    lay(workspace / "own", entries)
    before = snapshot(workspace / "own")
    error, said, images = run("own", capsys, size=size, frames=frames, white_level=white_level)
    assert snapshot(workspace / "own") == before
    event("refused" if error else "read")
    if error:
        assert error.startswith(("own", "params.yaml"))
        return
    listing = paths.state() / "left-out.txt"
    left_out = len(listing.read_text().splitlines()) if listing.exists() else 0
    assert (f"left out {left_out} other file" in said) == (left_out > 0)
    places = sum(visible(workspace / "own").values())
    if frames == "all":
        assert images + left_out >= places
    else:
        assert images + left_out == places


@FUZZ
@given(
    keys=st.sampled_from(KEYS)
    | st.lists(
        st.sampled_from(
            [
                "images",
                "labels",
                "x_train",
                "y_train",
                "x_test",
                "y_test",
                "val_images",
                "val_labels",
                "X",
                "other",
            ]
        ),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    dtype=st.sampled_from(["u1", "u1", "u2", "i8", "f4", "f8", "?", "U3", "S2", "c8", "u8"]),
    shape=st.sampled_from([(4, 8, 8), (4, 8, 8, 3), (4, 3, 8, 8)])
    | st.sampled_from([(), (4,), (8, 8, 4), (0, 8, 8), (4, 8, 8, 2), (1, 8, 8)]),
    label=st.sampled_from(["u1", "i8", "f8", "U4", "S3", "hot", "column", "half", "nan", "object"]),
    scale=st.sampled_from([1, 255, 255, 65535, 16, 4095, -1]),
    count=st.sampled_from([4, 4, 4, 3]),
)
def test_any_arrays(
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    dtype: str,
    shape: tuple[int, ...],
    label: str,
    scale: int,
    count: int,
) -> None:
    draw = np.random.default_rng(len(keys))
    images = (
        (draw.random(shape) * scale).astype(dtype) if dtype[0] not in "US" else np.full(shape, "a", dtype)
    )
    numbers = draw.integers(-2, 5, count)
    labels = {
        "hot": np.eye(7)[numbers + 2],
        "column": numbers[:, None],
        "half": numbers + 0.5,
        "nan": np.full(count, np.nan),
        "object": np.array([None] * count),
    }.get(label)
    if labels is None:
        labels = abs(numbers).astype(label)
    arrays: dict[str, Any] = {key: labels if key in OF_LABELS else images for key in keys}
    np.savez("own.npz", **arrays)
    before = Path("own.npz").read_bytes()
    error, _, written = run("own.npz", capsys, size=8)
    assert Path("own.npz").read_bytes() == before
    event("refused" if error else "read")
    if error:
        assert error.startswith("own.npz: ")
    else:
        used = [key for key in keys if key not in (*OF_LABELS, "other")]
        assert written == shape[0] * len(used)
