"""digitStruct.mat: boxes that are not as SVHN's."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers.archives import fails, replaced, reshaped, rewritten, without


def elsewhere(file: h5py.File) -> None:
    del file["digitStruct/name"]
    file["digitStruct/name"] = h5py.ExternalLink("/etc/passwd", "/x")


def virtual(file: h5py.File) -> None:
    del file["#refs#/b0/left"]
    plan = h5py.VirtualLayout((1, 1), "f8")
    plan[:] = h5py.VirtualSource("/etc/passwd", "x", (1, 1))
    file.create_virtual_dataset("#refs#/b0/left", plan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("digitStruct"), "the file: no digitStruct"),
        (without("digitStruct/bbox"), "the file: no bbox"),
        (without("#refs#/b0/width"), "the boxes of 1.png: no width"),
        (without("#refs#/b0/label"), "the boxes of 1.png: no label"),
        (elsewhere, "the file: name is no dataset of this file"),
        (virtual, "the boxes of 1.png: its numbers are in other files"),
        (
            replaced("#refs#/b0/left", shape=(1, 1), dtype="f8", external="/etc/passwd"),
            "its numbers are in other files",
        ),
        (replaced("#refs#/b0/left", data=np.zeros((9, 9))), "the boxes of 1.png: 81 values; expected 1 to 1"),
        (replaced("#refs#/b0/left", data="left"), "the boxes of 1.png: no numbers"),
        (replaced("digitStruct/name", data=np.zeros((3, 1))), "name: float64 instead of references"),
        (
            replaced("digitStruct/name", shape=(1 << 40, 1), dtype=h5py.ref_dtype, chunks=(1024, 1)),
            "name: 1,099,511,627,776 values; expected 1 to 1,000,000",
        ),
    ],
)
def test_boxes_that_are_not_as_svhns(full: Path, change: Callable[[h5py.File], object], said: str) -> None:
    rewritten(reshaped(change))
    message = fails()
    assert message.startswith("data/raw/train.tar.gz: digitStruct.mat: ")
    assert said in message


def test_boxes_that_are_no_hdf5(full: Path) -> None:
    rewritten(lambda members: members.update({"train/digitStruct.mat": b"MATLAB 5.0"}))
    assert "digitStruct.mat: not a whole MATLAB 7.3 file" in fails()
