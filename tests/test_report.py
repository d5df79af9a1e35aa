import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from pipeline import params
from pipeline.report import figures, page
from pipeline.store import Provenance
from vae.record import Record

MEASURES = {"cost": 640.0, "reconstruction": 634.0, "kl": 6.0, "floor": 600.0, "excess": 40.0, "mse": 0.01}


@pytest.fixture
def content() -> page.Content:
    draw = np.random.default_rng(0)
    originals, reconstructions = draw.integers(0, 256, (2, 20, 3, 32, 32), dtype=np.uint8)
    metrics = {c: MEASURES | {"active_units": 4} for c in ("red", "green", "blue")}
    metrics["rgb"] = {"cost": 1, "floor": 2, "excess": 3, "mse": 0.0123, "psnr": 21.25, "ssim": 0.512}
    return page.Content(
        params=params.read(ROOT / "params.yaml"),
        metrics=metrics,
        history=[
            Record(c, e, "train", 700 - e, 690 - e, 10) for c in ("red", "green", "blue") for e in (1, 2)
        ],
        provenance={"train": (73257, Provenance("train_32x32.mat", 12, "f" * 32)), "test": (5, None)},
        originals=originals,
        reconstructions=reconstructions,
        labels=[str(i % 10) for i in range(20)],
    )


def test_the_page_needs_no_other_file_and_no_host(tmp_path: Path, content: page.Content) -> None:
    page.write(tmp_path / "index.html", content)
    html = (tmp_path / "index.html").read_text()
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')>\s]+)', html)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in html
    for figure in ("640.0", "6.00", "0.0123", "21.25", "0.512", "73,257", "f" * 32):
        assert figure in html


def test_equal_content_gives_equal_bytes(tmp_path: Path, content: page.Content) -> None:
    for name in ("a", "b"):
        page.write(tmp_path / name, content)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_comes_from_files_is_escaped(tmp_path: Path, content: page.Content) -> None:
    source = "<script>alert(1)</script>"
    hostile = replace(content.params, data=replace(content.params.data, source=source))
    page.write(tmp_path / "index.html", replace(content, params=hostile))
    html = (tmp_path / "index.html").read_text()
    assert source not in html
    assert "&lt;script&gt;" in html


def test_svhns_files_are_told_from_others(tmp_path: Path, content: page.Content) -> None:
    page.write(tmp_path / "index.html", content)
    html = (tmp_path / "index.html").read_text()
    assert "House numbers, reconstructed" in html
    assert "official file" in html
    own = {"train": (20, Provenance("<i>.npz", 12, "f" * 32)), "test": (5, Provenance("<i>.npz", 12, ""))}
    page.write(tmp_path / "index.html", replace(content, provenance=own, labels=[]))
    html = (tmp_path / "index.html").read_text()
    assert "<h1>Images, reconstructed</h1>" in html
    assert "official file" not in html
    assert "labels are" not in html
    assert "<i>" not in html


@pytest.mark.parametrize(("width", "columns", "scale"), [(8, 16, 8), (32, 16, 2), (48, 16, 2), (256, 4, 1)])
def test_rows_hold_what_a_page_has_room_for(width: int, columns: int, scale: int) -> None:
    images = np.zeros((5, 3, 8, width), np.uint8)
    [band, *_] = page._bands(images, images)
    picture = Image.open(io.BytesIO(base64.b64decode(band.split(",")[1])))
    assert picture.width == scale * (columns * (width + figures.GAP) - figures.GAP)


def test_tiles_are_where_they_belong() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    uri = figures.grid(figures.channels(images), scale=2)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))[::2, ::2]
    step = 8 + figures.GAP
    assert picture.shape == (4 * step - figures.GAP, 3 * step - figures.GAP, 4)
    assert np.array_equal(picture[:8, step : step + 8, :3], images[1].transpose(1, 2, 0))
    green = picture[2 * step : 2 * step + 8, :8]
    assert np.array_equal(green[..., 0], images[0, 1])
    assert np.array_equal(green[..., 2], images[0, 1])
    assert not picture[8 : 8 + figures.GAP].any()  # gaps are transparent


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    from pipeline.stages.train import _csv

    history = [Record("red", 1, "train", 3.5, 3.25, 0.25), Record("red", 1, "validation", 4.5, 4.25, 0.25)]
    (tmp_path / "training.csv").write_text(_csv(history))
    assert page.read_history(tmp_path / "training.csv") == history
