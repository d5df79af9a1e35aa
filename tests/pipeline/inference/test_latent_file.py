"""Latent files and HDF5 that are damaged, foreign, or made to do harm."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.inference import codec, latent_file
from tests.helpers.inference import Z, refused, run
from vae import load

pytestmark = pytest.mark.usefixtures("one_thread")


# Latent files from elsewhere
def external(file: h5py.File) -> None:
    del file["z"]
    file["z"] = h5py.ExternalLink("other.h5", "z")


def stored_outside(file: h5py.File) -> None:
    del file["z"]
    Path("secret").write_bytes(bytes(30 * 18 * 2))
    file.create_dataset("z", (30, 18), np.float16, external=[("secret", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    del file["z"]
    layout = h5py.VirtualLayout((30, 18), np.float16)
    layout[:] = h5py.VirtualSource("other.h5", "z", (30, 18))
    file.create_virtual_dataset("z", layout)


def soft(file: h5py.File) -> None:
    file.move("z", "other")
    file["z"] = h5py.SoftLink("/other")


def absurd(file: h5py.File) -> None:
    """A petabyte that was never written."""
    del file["z"]
    file.create_dataset("z", (1 << 45, 18), np.float16)


def bomb(file: h5py.File) -> None:
    """One chunk of 2 GB, of a few bytes."""
    del file["names"]
    file.create_dataset("names", (30,), "S100", chunks=(1 << 20,), maxshape=(None,), compression=9)


def other(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (external, "expected a dataset z in the file itself; found none"),
        (soft, "expected a dataset z in the file itself; found none"),
        (stored_outside, "/z: its numbers are in other files; expected them in this one"),
        (virtual, "/z: its numbers are in other files; expected them in this one"),
        (absurd, "more than there are in the file"),
        (bomb, "/names: chunks of 104,857,600 bytes; expected at most 67,108,864"),
        (other("z", None), "expected a dataset z in the file itself"),
        (other("z", np.zeros((30, 18))), "z is (30, 18) float64"),
        (other("z", np.zeros((30, 18), ">f2")), "z is (30, 18) >f2"),
        (other("z", np.zeros(30, np.float16)), "z is (30,)"),
        (other("z", np.zeros((0, 18), np.float16)), "z is (0, 18)"),
        (other("z", np.zeros((30, 17), np.float16)), "its checksum is another"),
        (other("z", h5py.Empty(np.float16)), "not a whole latent file"),
        (other("names", np.array([b"a"] * 29)), "names are (29,)"),
        (other("names", ["a"] * 30), "/names: says that it holds"),
        (other("names", np.array([b"a" * 300] * 30)), "names are (30,) |S300"),
        (attribute("format", "other"), "not a latent file"),
        (attribute("format", np.bytes_("other")), "not a latent file"),
        (attribute("version", 2), "a latent file of version 2, not 1; make it again with `vaepipe encode`"),
        (attribute("version", "x"), "version is no whole number"),
        (attribute("bits", 8), "z is (30, 18) float16"),
        (attribute("crc32", 1), "its checksum is another"),
        (attribute("image", [3, 32]), "image is not three whole numbers"),
        (attribute("image", [3, 64, 64]), "(sizes or labels are not its models')"),
        (attribute("models", np.bytes_("0" * 64)), "made with other models (000000000000...), not these ("),
        (attribute("models", np.bytes_(b"\x1b[31m\n\xff")), "made with other models ("),
    ],
)
def test_latent_files_that_do_harm(place: Path, harm: Callable[[h5py.File], None], said: str) -> None:
    assert run("encode", "png", *Z)[0] == 0
    shutil.copy("z.h5", "other.h5")
    with h5py.File("z.h5", "r+") as file:
        harm(file)
    found = refused("decode", "z.h5", "-o", "out")
    assert found.startswith("z.h5: ")
    assert said in found


def test_latents_that_are_no_numbers(place: Path) -> None:
    """A file that is sound in every other way."""
    model = load("models")
    contents = latent_file.Contents(model.fingerprint, model.image_shape, None, None, ["a"])
    with latent_file.create(Path("z.h5"), contents, 18) as z:
        z[:] = np.nan
    assert "z.h5: not a whole latent file" in refused("decode", "z.h5", "-o", "out")


def test_a_latent_file_cut_or_flipped_anywhere(place: Path) -> None:
    assert run("encode", "png", *Z, "--bits", 8)[0] == 0
    whole, model = Path("z.h5").read_bytes(), load("models")
    for at in range(0, len(whole), 97):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
            Path("y.h5").write_bytes(data)
            try:
                codec.decode(Path("y.h5"), model, Path("out"))
            except PipelineError:
                assert not Path("out").exists()
            else:  # the byte was one that counts for nothing
                assert len(data) == len(whole)
                shutil.rmtree("out")


# Disks that are full, and HDF5 from elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("room", [4096, 40_000])
def test_latents_on_a_full_disk(place: Path, room: int) -> None:
    with store.create(place / "own.h5") as file:
        file.create("test", (1500, 3, 32, 32), None)[:] = 0
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        message = refused("encode", "own.h5", "-o", "disk/z.h5")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert message == "disk/z.h5: cannot be written: No space left on device; it is as it was"


def _group(file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def _outside(file: h5py.File) -> None:
    del file["test/labels"]
    file["test"].create_dataset("labels", (30,), "u1", external="/etc/passwd")


def _linked(file: h5py.File) -> None:
    del file["test"]
    file["test"] = h5py.ExternalLink("own2.h5", "/test")


def _endless(file: h5py.File) -> None:
    del file["test/images"]
    file["test"].create_dataset("images", (10**9, 3, 32, 32), "u1", chunks=(1, 3, 32, 32))


def _numbered(file: h5py.File) -> None:
    file["test"].create_dataset("classes", data=np.arange(10))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: _group(file, "test/images"), "expected a dataset images in the file itself"),
        (lambda file: _group(file, "test/labels"), "expected a dataset labels in the file itself"),
        (_outside, "/test/labels: its numbers are in other files"),
        (_linked, "test is not in the file itself"),
        (_endless, "/test/images: says that it holds 3,072,000,000,000 bytes, more than"),
        (_numbered, "classes should be texts of fixed length, 67,108,864 bytes at most; found (10,) int64"),
    ],
)
def test_hdf5_that_is_not_as_ours(place: Path, change: Callable[[h5py.File], None], said: str) -> None:
    with h5py.File("own.h5", "r+") as file:
        change(file)
    message = refused("encode", "own.h5", *Z)
    assert message.startswith("own.h5: ")
    assert said in message
