"""Folders that people might have, and some that nobody has: for hypothesis to draw, and to be laid out."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

FOLDERS = (
    "train",
    "Train",
    "val",
    "dev",
    "test",
    "cat",
    "Cat",
    "caf\u00e9",
    "cafe\u0301",
    "10",
    "9",
    "images",
    "labels",
)
DEEP = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", *DEEP)
NAMES = (
    "1.png",
    "2.PNG",
    "10.tif",
    "a.jpg",
    "b.gif",
    "c",
    "d.txt",
    ".hidden.png",
    "e.jfif",
    "x\n.png",
    "f.webp",
)
KINDS = {".png": "PNG", ".tif": "TIFF", ".jpg": "JPEG", ".gif": "GIF", ".jfif": "JPEG", ".webp": "WEBP"}


def picture(path: Path, made: dict[str, Any], seed: int) -> None:
    """A picture of a mode, of the kind that its name tells where that knows the mode, else a TIFF."""
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 256, (made["side"], made["side"], 3), dtype=np.uint8)
    if made["mode"] in DEEP:
        scale = {"I;16": 257, "I": 1, "F": np.float32(1 / 255)}[made["mode"]]
        image = Image.fromarray(values[..., 0].astype(DEEP[made["mode"]]) * scale)
    else:
        image = Image.fromarray(values).convert(made["mode"])
    kind = KINDS.get(path.suffix.lower(), "PNG")
    more = {"save_all": True, "append_images": [image.copy()]} if made["frames"] > 1 else {}
    try:
        image.save(path, kind, **(more if kind in ("GIF", "TIFF") else {}))
    except (ValueError, OSError):
        path.unlink(missing_ok=True)
        image.save(path, "TIFF", **more)


MAKERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("no picture"),
    "empty": lambda path: path.touch(),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "fifo": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.with_suffix("").symlink_to(Path("elsewhere").absolute()),
    "round": lambda path: path.with_suffix("").symlink_to(".."),
}


entry = st.fixed_dictionaries(
    {
        "folders": st.lists(st.sampled_from(FOLDERS), max_size=3),
        "name": st.sampled_from(NAMES),
        "what": st.sampled_from(
            ["picture"] * 12 + ["text", "empty", "dangling", "fifo", "folder", "link", "round"]
        ),
        "mode": st.sampled_from(MODES),
        "side": st.sampled_from([8, 8, 8, 12, 3]),
        "frames": st.sampled_from([1, 1, 1, 2]),
    }
)


LAYOUTS: tuple[list[list[str]], ...] = (
    [[]],
    [["cat"], ["dog"], ["10", "deep"]],
    [["train"], ["Test"]],
    [["Train", "cat"], ["train", "dog"], ["test", "cat"]],
    [["training", "cat"], ["dev", "cat"], ["testing", "dog"], ["more", "cat"]],
    [["images", "train"], ["images", "val"], ["labels"]],
)
ODD = st.sampled_from(["text", "link", "round", "dangling", "folder"])


@st.composite
def ordinary(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Pictures in a layout that people use, all of one size, with a few odd things among them."""
    layout = draw(st.sampled_from(LAYOUTS))
    made = []
    for n in range(draw(st.integers(2, 14))):
        odd = draw(st.integers(0, 30)) == 0
        folders = layout[n % len(layout)]
        suffix = draw(st.sampled_from(["png", "PNG", "tif", "jfif", "webp", "gif", ""]))
        boxes = folders == ["labels"]
        made.append(
            {
                "folders": folders,
                "name": f"{n}.txt" if boxes else f"{n}.{suffix}".rstrip("."),
                "what": "text" if boxes else draw(ODD) if odd else "picture",
                "mode": draw(st.sampled_from(MODES)),
                "side": 8,
                "frames": draw(st.sampled_from([1] * 20 + [3])),
            }
        )
    return made


def lay(own: Path, entries: list[dict[str, Any]]) -> None:
    own.mkdir()
    for seed, made in enumerate(entries):
        path = own.joinpath(*made["folders"], made["name"])
        with suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                continue
            if made["what"] == "picture":
                picture(path, made, seed)
            else:
                MAKERS[made["what"]](path)
