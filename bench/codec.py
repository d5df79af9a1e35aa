"""Trained models as a codec, beside PNG and WebP: bytes a picture, and how near the pictures come.

python -m bench.codec MODELS PICTURES_DIR

Latents are what `vaepipe encode` writes, names and all, without the models; WebP is lossy at its smallest
setting, a file a picture. PSNR is the mean over pictures, of all channels, as in metrics/test.json.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.inference import codec, inputs


@dataclass(frozen=True)
class Row:
    """A codec on one set of pictures."""

    name: str
    size: float  # bytes a picture
    psnr: float  # dB; infinite: nothing is lost


def webp(images: np.ndarray) -> tuple[int, np.ndarray]:
    """Bytes of all pictures (B, 3, H, W) uint8 in WebP, and what they decode to, of the same shape."""
    size, found = 0, np.empty_like(images)
    for n, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "WEBP", quality=0, method=6)
        size += len(buffer.getvalue())
        with Image.open(buffer) as picture:
            found[n] = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    return size, found


def png(image: np.ndarray) -> int:
    """Bytes of a picture (3, H, W) uint8 in PNG, at its smallest setting."""
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "PNG", optimize=True)
    return len(buffer.getvalue())


def rows(models: Path, pictures: Path) -> Iterator[Row]:
    """Measure each codec. Pictures are brought to the models' size first, and all codecs see them so."""
    model = inputs.models(models, None)
    with inputs.source([pictures], model) as source:
        count, sizes, decibels = len(source), {"PNG": 0, "WebP": 0}, 0.0
        for images in source.blocks():
            size, found = webp(images)
            decibels += codec.psnr(found / 255, images).sum()
            sizes["WebP"] += size
            sizes["PNG"] += sum(map(png, images))
        yield Row("PNG", sizes["PNG"] / count, np.inf)
        yield Row("WebP, quality 0", sizes["WebP"] / count, decibels / count)
        with tempfile.TemporaryDirectory() as folder:
            for bits in (16, 8):
                path = Path(folder, f"{bits}.h5")
                done = codec.encode(source, source.condition_labels(model, None), model, bits, path)
                yield Row(f"latents, {bits} bits", done.after / count, done.psnr)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path)
    parser.add_argument("pictures", type=Path)
    arguments = parser.parse_args()
    print("| | bytes a picture | times as small as PNG | PSNR, dB |\n|---|---|---|---|")
    first = 0.0
    for row in rows(arguments.models, arguments.pictures):
        first = first or row.size
        print(f"| {row.name} | {row.size:,.0f} | {first / row.size:.1f} | {row.psnr:.1f} |")


if __name__ == "__main__":
    main()
