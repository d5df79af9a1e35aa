"""SVHN's archives of full numbers, generated and then changed."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.data.svhn import digitstruct
from pipeline.data.svhn.digitstruct import Box
from pipeline.data.synthetic import photos as streets
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert
from tests.helpers.checkout import CUT, ROOT

FULL = Path(os.environ.get("VAEPIPE_SVHN_FULL", ROOT.parent / "shared/svhn-full"))


CROPPED = Path(os.environ.get("VAEPIPE_SVHN", ROOT.parent / "shared/svhn"))


GENERATED = SyntheticConfig(train=60, test=30, extra=1, seed=0)


Change = Callable[[dict[str, bytes]], None]


def images(split: str) -> tuple[np.ndarray, np.ndarray, str]:
    with store.read(paths.IMAGES, dimensions=4) as splits:
        found = splits[split]
        assert found.labels is not None
        assert found.provenance
        return found.images[:], found.labels, found.provenance.note


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as opened:
        return {m.name: opened.extractfile(m).read() for m in opened if m.isfile()}  # type: ignore[union-attr]


def packed(path: Path, members: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
        for member, content in more:
            opened.addfile(member, io.BytesIO(content))


def png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def boxes(path: Path, split: str) -> dict[str, list[Box]]:
    with digitstruct.opened(unpacked(path)[f"{split}/digitStruct.mat"], "here") as opened:
        return dict(opened)


def rewritten(change: Change, split: str = "train") -> None:
    members = unpacked(paths.archive(split))
    change(members)
    packed(paths.archive(split), members)


def fails() -> str:
    """What convert says, in one line, and leaves nothing."""
    with pytest.raises(PipelineError) as caught:
        convert.run(*CUT)
    assert "\n" not in str(caught.value)
    assert not paths.IMAGES.exists()
    assert not [path for path in paths.IMAGES.parent.iterdir() if path != paths.RAW]
    return str(caught.value)


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def named(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def reshaped(change: Callable[[h5py.File], object]) -> Change:
    def edit(members: dict[str, bytes]) -> None:
        content = io.BytesIO(members["train/digitStruct.mat"])
        with h5py.File(content, "r+") as file:
            change(file)
        members["train/digitStruct.mat"] = content.getvalue()

    return edit


def without(name: str) -> Callable[[h5py.File], object]:
    return lambda file: file.__delitem__(name)


def replaced(name: str, **new: object) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **new)

    return change


def struct_of(photos: dict[str, list[Box]], content: dict[str, bytes]) -> None:
    boxed = streets.struct(list(photos.items()))
    packed(
        paths.archive("train"),
        {**{f"train/{n}": c for n, c in content.items()}, "train/digitStruct.mat": boxed},
    )


def many(good: int, **bad: tuple[Box, bytes | None]) -> None:
    """An archive of so many good photos of one digit, and some others by name."""
    fine, photo = Box(5, 5, 10, 20, 3), png(np.full((40, 30, 3), 90, np.uint8))
    photos = {f"{n}.png": [fine] for n in range(good)} | {f"{n}.png": [box] for n, (box, _) in bad.items()}
    content = {f"{n}.png": photo for n in range(good)}
    struct_of(photos, content | {f"{n}.png": c for n, (_, c) in bad.items() if c is not None})


FINE = Box(5, 5, 10, 20, 3)


PHOTO = png(np.full((40, 30, 3), 90, np.uint8))
