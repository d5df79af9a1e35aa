"""What the doctor measures: files, sources, settings, the engine's speed."""

import contextlib
import http.server
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.common import paths
from pipeline.data.store import Provenance, create
from pipeline.data.svhn import matfile
from pipeline.data.svhn.official_files import OFFICIAL
from pipeline.doctor import checks, machine, needs, source, speed
from pipeline.doctor.checks import Answer
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from tests.helpers.checkout import ROOT
from tests.helpers.doctor import MODEL, SIZE, TRAIN, has
from tests.helpers.models import model, square
from vae.config import Sizes
from vae.model import VAE
from vae.stack import TrainingState


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shortcut": True, "centred": True, "likelihood": "gaussian", "calibrated": True},
        {"channels": "joint", "conditional": True},
        {"architecture": "conv", "hidden": (6, 5, 4)},
        {"architecture": "conv", "hidden": (6,), "channels": "joint", "conditional": True, "centred": True},
    ],
)
def test_parameters_are_counted_as_the_model_has_them(changes: dict[str, Any]) -> None:
    config = model(latent=3, **({"hidden": (20, 10)} | changes))
    sizes = SIZE.sizes(config)
    assert needs.parameters(config, sizes) == sum(p.numel() for p in VAE(1, sizes, config).parameters())
    odd = Sizes((sizes.image[0], 13, 9), sizes.class_names)
    assert needs.parameters(config, odd) == sum(p.numel() for p in VAE(1, odd, config).parameters())


@pytest.mark.slow
def test_needs_are_those_of_the_model_and_the_files(workspace: Path) -> None:
    numbers = needs.parameters(MODEL, square(32))
    with create(Path("svhn.h5")) as file:
        for split, count in SIZE.images.items():
            shape = (count, 3, 32, 32)
            labels = torch.zeros(count, dtype=torch.uint8).numpy()
            file.create(split, shape, labels, Provenance("a", 1, "b"))[:] = 1
    parts = needs.disk(SIZE, MODEL)
    assert Path("svhn.h5").stat().st_size == pytest.approx(parts["svhn.h5"], rel=0.01)
    assert parts["raw"] == SIZE.raw
    assert parts["models"] == 3 * 4 * numbers
    assert parts["reconstructions"] < parts["svhn.h5"] < parts["channels"]
    extra = replace(SIZE, images={**SIZE.images, "extra": 500})
    assert (SIZE.fitted, extra.fitted, extra.training_bytes) == (950, 1450, 1500 * 3072)
    assert needs.memory(extra, MODEL) - needs.memory(SIZE, MODEL) == 2 * 500 * 3072


def test_the_lock_counts_before_the_package_s_own_ranges(tmp_path: Path) -> None:
    assert machine.wanted(["numpy"], tmp_path)["numpy"].startswith(">=")
    (tmp_path / "requirements.txt").write_text("# a comment\n--find-links x\nnumpy==1.2.3\nother==1\n")
    assert machine.wanted(["numpy", "absent"], tmp_path) == {"numpy": "==1.2.3", "absent": ""}
    assert machine.wanted(["torch"])["torch"].startswith("==")
    assert machine.installed("numpy") == metadata.version("numpy")
    assert machine.installed("no-such-package") is None


def test_dvc_s_cache_is_where_its_settings_say(workspace: Path) -> None:
    workspaces.create(workspace / "w", git=False)
    folder, kinds = machine.cache(workspace / "w/.dvc")
    assert folder == (workspace / "w/.dvc/cache").resolve()
    assert "hardlink" in kinds
    (workspace / "w/.dvc/config.local").write_text("[cache]\n    dir = ../../elsewhere\n    type = copy\n")
    assert machine.cache(workspace / "w/.dvc") == ((workspace / "elsewhere").resolve(), ["copy"])
    assert machine.try_links(["reflink", "hardlink"])
    assert not machine.try_links(["copy"])
    assert [path.name for path in workspace.iterdir()] == ["w"]


@contextlib.contextmanager
def server(size: int, status: int = 200) -> Iterator[str]:
    """The URL of a web server whose files have so many bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()


def from_source(text: str, **changes: Any) -> params.Params:
    defaults = params.read(ROOT / paths.PARAMS)
    return replace(defaults, data=replace(defaults.data, source=text, **changes))


def test_a_server_is_asked_for_each_file_that_is_not_here(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    known = OFFICIAL["train"].size
    with server(known) as url:
        train, test = source.look_for(from_source(url))
        assert (train.size, train.expected, train.trouble) == (known, known, "")
        assert test.size != test.expected
        paths.downloads().mkdir(parents=True)
        with (paths.downloads() / paths.raw("test").name).open("wb") as file:
            file.truncate(OFFICIAL["test"].size)
        has(checks.source(url, source.look_for(from_source(url))), "ok", "test_32x32.mat (downloaded)")
    assert "refused" in source.look_for(from_source(url))[-1].trouble
    with server(0, status=404) as url:
        assert "404" in source.look_for(from_source(url))[-1].trouble
    with server(0, status=405) as url:  # there, but no HEAD: the size stays unknown
        assert source.look_for(from_source(url))[-1] == Answer(
            "train_32x32.mat", None, OFFICIAL["train"].size
        )
    assert "unknown url type" in source.look_for(from_source("gopher://a/b"))[-1].trouble


def test_a_folder_of_mat_files_is_counted(raw: Path) -> None:
    chosen = from_source(str(paths.RAW))
    answers = source.look_for(chosen)
    size = source.size(chosen, answers)
    assert (dict(size.images), size.guessed) == ({"train": 200, "test": 100}, False)
    assert size.raw == sum(path.stat().st_size for path in paths.RAW.iterdir())
    paths.raw("test").unlink()
    assert [a.trouble for a in source.look_for(chosen)] == ["", "not found"]
    paths.raw("train").write_text("damaged")
    assert source.size(chosen, source.look_for(chosen)).guessed


def test_own_pictures_need_no_mat_files(workspace: Path) -> None:
    Path("pictures/cats").mkdir(parents=True)
    assert source.look_for(from_source("pictures"))[0].trouble == "an empty folder"
    for number in range(10):
        Path(f"pictures/cats/{number}.png").write_bytes(b"1234")
    chosen = from_source("pictures", size=64, test=0.2)
    answers = source.look_for(chosen)
    assert answers == [Answer("pictures", 40)]
    size = source.size(chosen, answers)
    assert (dict(size.images), size.pixels, size.guessed) == ({"train": 8, "test": 2}, 64 * 64, False)
    Path("own.npz").write_bytes(b"123456")
    assert source.look_for(from_source("own.npz")) == [Answer("own.npz", 6)]
    for missing in ("nowhere", "~nobody-of-this-name/x"):
        assert "not found" in source.look_for(from_source(missing))[0].trouble


@pytest.mark.slow
def test_the_engine_is_measured_in_processes_of_its_own(workspace: Path) -> None:
    Path("torch.py").write_text("raise ImportError('not this one')")
    results, trouble = machine.measure(speed.SpeedTest(MODEL, TRAIN, square(8), 0.02, first=True), 1)
    assert trouble == ""
    assert results[0].images_per_second > 0
    assert len(results[0].gpus) == torch.cuda.device_count()
    assert results[0].device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("gpus", "models"), [(0, 1), (1, 3), (2, 2), (8, 1)])
def test_speed_is_epochs_by_the_clock_without_the_first(
    gpus: int, models: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    stacks: list[tuple[int, int, str]] = []

    def fit(
        images_CND: torch.Tensor,
        states: list[TrainingState],
        config: object,
        *,
        labels_N: object,
        device: str,
    ) -> Iterator[None]:
        stacks.append((len(images_CND), len(states), device))
        time.sleep(0.05)
        while True:
            yield
            time.sleep(0.02)

    monkeypatch.setattr("vae.fit.fit", fit)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(name="G", total_memory=1)
    )
    device, images = ("cuda", 20_000) if gpus else ("cpu", 2_000)
    job = speed.SpeedTest(MODEL, TRAIN, square(8), 0.1, first=True)
    result = speed.measure(job)
    assert (threads, stacks) == ([1], [(models, models, device)])
    assert (result.device, result.stack, len(result.gpus)) == (device, models, gpus)
    assert images / 0.2 < result.images_per_second < images / 0.02
    # Where the first epoch takes longer than there is time, it has to do; but on CUDA, whose libraries start.
    in_no_time = speed.measure(replace(job, seconds=0.001)).images_per_second
    assert images / 1 < in_no_time < images / (0.02 if gpus else 0.05)
    assert not gpus or in_no_time > images / 0.05
    # Only one process measures on GPUs.
    assert (speed.measure(replace(job, first=False)).images_per_second == 0) == bool(gpus)


def test_an_engine_that_does_not_run_is_named_by_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "import sys; sys.exit('first\\nlibcudart is missing')"
    monkeypatch.setattr(machine, "ENGINE", [sys.executable, "-c", broken])
    assert machine.measure(speed.SpeedTest(MODEL, TRAIN, square(8), 0.02, first=True), 2) == (
        [],
        "libcudart is missing",
    )


def test_a_mat_file_s_header_is_enough(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matfile, "read", lambda path: pytest.fail("the whole file was read"))
    assert source.size(from_source("data/raw"), source.look_for(from_source("data/raw"))).fitted == 190
