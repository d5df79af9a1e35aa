"""`vaepipe encode` and `vaepipe decode`: pictures to a latent file and back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common import files
from pipeline.common.errors import PipelineError, printable
from pipeline.common.progress import bar
from pipeline.data.own import tree
from pipeline.inference import latent_file, outputs
from pipeline.inference.inputs import Source
from pipeline.inference.latent_file import Contents, Steps
from vae.images import to_bytes
from vae.pretrained import Autoencoder

LONGEST = 200  # bytes of a file's name, before what makes it the only one and .png


@dataclass(frozen=True)
class Encoded:
    """Result of `encode`."""

    pictures: int
    before: int  # bytes: of the pictures' files, or of an HDF5 file's pixels
    after: int  # bytes of the latent file
    psnr: float  # dB: of what the file decodes to, before it is rounded to bytes; mean over pictures


def encode(source: Source, labels: np.ndarray | None, model: Autoencoder, bits: int, path: Path) -> Encoded:
    """Write the latents of all pictures. With 8 bits they are read twice: first for the latents' range.

    Raises:
        PipelineError: a picture cannot be used, the latents are out of range, or the file cannot be written.
    """
    steps = _steps(source, labels, model) if bits == 8 else None
    contents = Contents(model.fingerprint, model.image_shape, steps, labels, source.names)
    decibels = 0.0
    with (
        latent_file.create(path, contents, model.latent) as z,
        bar("encode", len(source), "images") as advance,
    ):
        for rows, images, labels_N in source.batches(labels):
            stored = latent_file.store(model.encode(images, labels_N), steps)
            kept = latent_file.restore(stored, steps)
            if not np.isfinite(kept).all():
                raise PipelineError(f"the latents are beyond what {bits} bits hold; nothing was written")
            z[rows] = stored
            decibels += psnr(model.decode(kept, labels_N), images).sum()
            advance(len(images))
    return Encoded(len(source), source.size, path.stat().st_size, decibels / len(source))


def psnr(found: np.ndarray, images: np.ndarray) -> np.ndarray:
    """dB of each picture, (B,) float64: as `metrics/test.json` has it, where it is the mean of them.

    found: brightness in [0, 1]; images: uint8; both (B, 3, H, W).
    """
    with np.errstate(divide="ignore"):  # equal pictures: infinite
        return -10 * np.log10(np.square(found - images / 255).mean((1, 2, 3)))


def decode(path: Path, model: Autoencoder, place: Path) -> int:
    """Write a PNG of each picture of a latent file into a new folder; return how many.

    Raises:
        PipelineError: the file is damaged, or of other models; the folder is not new. Nothing is written.
    """
    outputs.check_folder(place)
    with latent_file.read(path) as latents:
        check_origin(path, latents.contents, latents.stored.shape[1], model)
        labels, names = latents.contents.labels, filenames(latents.contents.names)
        with (
            files.atomic_directory(place, replace=False) as part,
            bar("decode", len(latents), "images") as advance,
        ):
            for rows, z in latents.blocks(model.batch):
                labels_N = None if labels is None else labels[rows]
                pictures = to_bytes(model.decode(z, labels_N))
                for name, picture in zip(names[rows], pictures, strict=True):
                    Image.fromarray(picture.transpose(1, 2, 0)).save(part / name)
                advance(len(pictures))
            outputs.check_folder(place)
        return len(latents)


def check_origin(path: Path, contents: Contents, units: int, model: Autoencoder) -> None:
    """Raise unless a latent file is of these models."""
    if contents.models != model.fingerprint:
        raise PipelineError(
            f"{printable(path)}: made with other models ({printable(contents.models[:12])}...), not these "
            f"({model.fingerprint[:12]}...); give their folder as --models, or encode the pictures again"
        )
    labels = contents.labels
    fits = (labels is None) == (model.classes == 0) and (labels is None or labels.max() < model.classes)
    if contents.image != model.image_shape or units != model.latent or not fits:
        raise PipelineError(f"{printable(path)}: {latent_file.DAMAGED} (sizes or labels are not its models')")


def filenames(names: Iterable[str]) -> list[str]:
    """Names of PNGs in one folder, whatever the names are: none twice, even where case does not count.

    Folders become part of the name, `cat/1.jpg` is `cat-1.png`; nothing is left that leads elsewhere.
    """
    taken, numbers, found = set(), dict[str, int](), []
    for name in names:
        parts = [part for part in re.split(r"[/\\]", name) if part.strip(". ")]
        if parts and Path(parts[-1]).suffix.lower() in tree.SUFFIXES:
            parts[-1] = Path(parts[-1]).stem
        plain = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in "-".join(parts))
        stem = plain.encode(errors="replace")[:LONGEST].decode(errors="ignore").strip(". ") or "picture"
        chosen = stem
        while chosen.casefold() in taken:
            numbers[stem] = numbers.get(stem, 1) + 1
            chosen = f"{stem}-{numbers[stem]}"
        taken.add(chosen.casefold())
        found.append(f"{chosen}.png")
    return found


def _steps(source: Source, labels: np.ndarray | None, model: Autoencoder) -> Steps:
    """Steps of 8 bits over the range of these pictures' latents."""
    least, most = np.full(model.latent, np.inf, np.float32), np.full(model.latent, -np.inf, np.float32)
    with bar("find the latents' range", len(source), "images") as advance:
        for _, images, labels_N in source.batches(labels):
            z = model.encode(images, labels_N)
            least, most = np.minimum(least, z.min(0)), np.maximum(most, z.max(0))
            advance(len(images))
    return Steps.between(least, most)
