"""The doctor: each decision with a good and a bad situation, what is measured, and the screen as a whole."""

import contextlib
import http.server
import io
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
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.common import machine_limits, paths
from pipeline.common.machine_limits import Memory
from pipeline.data.store import Provenance, create
from pipeline.data.svhn import matfile
from pipeline.data.svhn.official_files import OFFICIAL
from pipeline.doctor import checks, machine, needs, run, source, speed
from pipeline.doctor.checks import Answer, Finding
from pipeline.doctor.speed import Gpu, SpeedResult
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from tests.helpers.checkout import ROOT
from tests.helpers.models import model, square, train
from vae.config import Sizes
from vae.model import VAE
from vae.stack import TrainingState

GB = 10**9
MODEL = model(latent=3, hidden=(20, 10))
TRAIN = train()
SIZE = needs.Experiment({"train": 1000, "test": 200}, 32, 3_000_000, validation=0.05, guessed=False)
H200 = Gpu("NVIDIA H200", 150 * GB)


def has(finding: Finding, status: str, *words: str) -> None:
    assert finding.status == status
    for word in words:
        assert word in f"{finding.found} -> {finding.advice}"
    assert bool(finding.advice) == (status != "ok")


def test_a_finding_has_advice_where_something_is_wrong_and_there_alone() -> None:
    for status, advice in (("ok", "mend it"), ("warning", ""), ("problem", "")):
        with pytest.raises(ValueError, match="advice"):
            Finding(status, "disk", "full", advice)  # type: ignore[arg-type]


def test_workspace() -> None:
    good = {"has_stages": True, "has_dvc": True, "writable": True}
    has(checks.workspace("w", **good), "ok", "w")
    has(checks.workspace("w", **good | {"has_stages": False}), "warning", "vaepipe init DIR")
    has(checks.workspace("w", **good | {"has_dvc": False}), "problem", "dvc init")
    has(checks.workspace("w", **good | {"writable": False}), "problem", "cannot be written")


def test_command() -> None:
    has(checks.command("/a/bin", "/a/bin"), "ok", "/a/bin")
    has(checks.command("/b/bin", "/a/bin"), "warning", "/b/bin", "/a/bin")
    has(checks.command(None, "/a/bin"), "problem", "PATH", "/a/bin")


def test_version() -> None:
    has(checks.version("torch", "2.13.0+cpu", "==2.13.0", "install it"), "ok", "2.13.0+cpu")
    has(checks.version("torch", "2.12.0", "==2.13.0", "install it"), "warning", "2.12.0", "2.13.0", "install")
    has(checks.version("numpy", "2.4.6", ">=2.0", "install it"), "ok")
    has(checks.version("numpy", "1.26.0", ">=2.0", "install it"), "warning", "1.26.0", ">=2.0")
    has(checks.version("ray", None, "", "install it"), "problem", "not installed")


def test_parameters() -> None:
    has(checks.parameters("", SIZE, TRAIN), "ok", "1,000 train, 200 test images")
    has(checks.parameters("model.latent is 0", SIZE, TRAIN), "problem", "model.latent is 0", "defaults")
    large = replace(TRAIN, batch_size=951)
    has(checks.parameters("", SIZE, large), "problem", "951, more than the 950 training images")
    has(checks.parameters("", replace(SIZE, guessed=True), large), "ok", "if the source has as many as SVHN")


def test_source() -> None:
    has(checks.source("synthetic", []), "ok", "generated here")
    whole = [Answer("train.mat", 600_000, 600_000), Answer("test.mat", 400_000)]
    has(checks.source("folder", whole), "ok", "train.mat, test.mat, 1.0 MB")
    has(checks.source("url", [Answer("a", 10, 20)]), "problem", "10 bytes there, 20 expected: a")
    lost = [Answer(name, None, 10, "no answer") for name in ("a", "b")]
    has(checks.source("url", lost), "problem", "url: no answer: a, b", "synthetic")


def test_cores() -> None:
    has(checks.cores(16, 3), "ok", "16")
    has(checks.cores(2, 3), "ok", "2, shared by 3 ranks")


def test_memory() -> None:
    has(checks.memory(16 * GB, 12 * GB, 3 * GB), "ok", "12.0 GB free of 16.0 GB", "3.0 GB")
    has(checks.memory(16 * GB, 2 * GB, 3 * GB), "warning", "end other programs")
    has(checks.memory(2 * GB, 2 * GB, 3 * GB), "problem", "larger machine")


def test_shared_memory() -> None:
    has(checks.shared_memory(8 * GB, 20 * GB, GB), "ok", "1.0 GB")
    # Docker's 64 MB: Ray wants three tenths of the memory, at most 10 GB, whatever the images take.
    has(checks.shared_memory(64_000_000, 20 * GB, GB), "warning", "64.0 MB", "6.0 GB", "--shm-size=6gb")
    has(checks.shared_memory(2 * GB, 20 * GB, GB), "warning", "2.0 GB free")
    has(checks.shared_memory(11 * GB, 100 * GB, GB), "ok")
    has(checks.shared_memory(8 * GB, 20 * GB, 7 * GB), "warning", "7.0 GB", "written to disk", "data.extra")
    has(checks.shared_memory(None, 20 * GB, GB), "ok", "no /dev/shm")


def test_gpus() -> None:
    has(checks.gpus([H200, H200], 2), "ok", "2 x NVIDIA H200, 150.0 GB")
    has(checks.gpus([], 0), "ok", "none")
    has(checks.gpus([], 1), "warning", "torch sees none", "CUDA")


def test_disk() -> None:
    parts = {"raw": GB, "svhn.h5": 3 * GB}
    has(
        checks.disk(9 * GB, parts, 0, "links"), "ok", "a run takes 4.0 GB: raw 1.0 GB + svhn.h5 3.0 GB; links"
    )
    has(checks.disk(4 * GB, parts, 0, "links"), "warning", "another disk")
    has(checks.disk(3 * GB, parts, 0, "links"), "problem", "3.0 GB free")
    has(checks.disk(3 * GB, parts, 2 * GB, "links"), "ok", "2.0 GB of it there already")


def test_training_time_of_ranks_side_by_side() -> None:
    ranks = [SpeedResult("cpu", 1, 1000.0, ())] * 2
    # 50 epochs of 6,000 images of three channels, 2,000 channel images a second: 450 s.
    has(
        checks.training_time(ranks, "", TRAIN, 6_000),
        "ok",
        "about 8 min",
        "2,000 channel images/s on 2 cores",
    )


def test_training_time_on_gpus_is_that_of_one_stack() -> None:
    ranks = [SpeedResult("cuda", 2, 1000.0, (H200, H200)), SpeedResult("cuda", 2, 0.0, ())]
    has(checks.training_time(ranks, "", TRAIN, 6_000), "ok", "about 5 min", "2 on a GPU")


def test_training_time_where_torch_is_broken() -> None:
    has(checks.training_time([], "ImportError: libcudart", TRAIN, 1), "problem", "libcudart", "install torch")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h"), (3 * 86400, "3.0 days")],
)
def test_duration(seconds: float, text: str) -> None:
    assert checks.duration(seconds) == text


def test_summary() -> None:
    home = Finding("ok", "workspace", "w")
    warning, problem = (Finding(status, "x", "y", "z") for status in ("warning", "problem"))  # type: ignore[arg-type]
    assert checks.summary([home]) == "Ready: `dvc repro` runs the pipeline."
    assert checks.summary([warning]).startswith("Ready, with 1 warning: `vaepipe init DIR`")
    assert checks.summary([home, problem, problem, warning]) == "Not ready: 2 problems and 1 warning."


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
    odd = Sizes((sizes.image[0], 13, 9), sizes.classes)
    assert needs.parameters(config, odd) == sum(p.numel() for p in VAE(1, odd, config).parameters())


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
    extra = replace(SIZE, images=SIZE.images | {"extra": 500})
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


def from_source(text: str, **changes: object) -> params.Params:
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
    threads, stacks = [], []

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
    # Where the first epoch takes longer than there is time, it has to do.
    first_alone = speed.measure(replace(job, seconds=0.001)).images_per_second
    assert images / 1 < first_alone < images / 0.05
    # Only one process measures on GPUs.
    assert (speed.measure(replace(job, first=False)).images_per_second == 0) == bool(gpus)


def test_an_engine_that_does_not_run_is_named_by_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "import sys; sys.exit('first\\nlibcudart is missing')"
    monkeypatch.setattr(machine, "ENGINE", [sys.executable, "-c", broken])
    assert machine.measure(speed.SpeedTest(MODEL, TRAIN, square(8), 0.02, first=True), 2) == (
        [],
        "libcudart is missing",
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[speed.SpeedTest]:
    """The jobs that were to be measured: 1,000 images a second, at once."""
    jobs: list[speed.SpeedTest] = []

    def measure(job: speed.SpeedTest, ranks: int) -> tuple[list[SpeedResult], str]:
        jobs.append(job)
        return [SpeedResult("cpu", 1, 1000.0, ())] * ranks, ""

    monkeypatch.setattr(machine, "measure", measure)
    monkeypatch.setattr(machine_limits, "cores", lambda: 2)
    monkeypatch.setattr(machine_limits, "memory", lambda: Memory(8 * GB, 6 * GB, limited=False))
    monkeypatch.setattr(machine, "free", lambda path: 100 * GB)
    return jobs


def small(folder: Path) -> None:
    workspaces.create(
        folder,
        {
            "data": {"source": params.SYNTHETIC},
            "synthetic": {"train": 2000, "test": 300},
            "train": {"epochs": 10},
            "model": {"latent": 7},
        },
        git=False,
    )


def test_a_workspace_that_is_ready(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    small(workspace / "w")
    monkeypatch.chdir("w")
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 0, done.output
    *lines, last = done.stdout.splitlines()
    assert last.startswith("Ready")
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    found = {line[9:].split("  ")[0].strip(): line for line in lines}
    assert "2,000 train, 300 test images" in found["params.yaml"]
    assert "generated here" in found["source"]
    assert found["Ray's folder"].endswith("/ray")
    assert "DVC's cache only links to them" in found["disk"]
    # 10 epochs of 1,900 images of three channels, 2,000 channel images a second.
    assert "about 28 s for 10 epochs of 1,900 images" in found["training time"]
    assert (measured[0].model.latent, measured[0].train.batch_size, measured[0].seconds) == (7, 100, 2.0)
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".doctor")) == []
    (Path(".dvc") / "config.local").write_text("[cache]\n    type = copy\n")
    assert "DVC's cache holds copies" in CliRunner().invoke(main.app, ["doctor"]).stdout


def test_a_wrong_parameter_is_one_line_and_a_problem(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    small(workspace / "w")
    monkeypatch.chdir("w")
    monkeypatch.setattr(source, "_head", lambda url: pytest.fail("the default source is no concern here"))
    text = paths.PARAMS.read_text()
    paths.PARAMS.write_text(text.replace("latent: 7", "latent: 0"))
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 1
    [line] = [line for line in done.stdout.splitlines() if " params.yaml " in line]
    assert line.startswith("problem")
    assert "model.latent is 0, but must be at least 1 -> mend it" in line
    assert done.stdout.splitlines()[-1].startswith("Not ready")
    assert " source " not in done.stdout  # of the defaults, so no news of this workspace
    paths.PARAMS.unlink()
    paths.PARAMS.mkdir()
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 1
    assert "cannot be read: Is a directory" in done.stdout


def test_outside_a_workspace_the_rest_is_checked(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_head", lambda url: Answer(url.rpartition("/")[2], None))
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "is none: the rest is checked with the default parameters" in done.stdout
    assert "50 epochs of 69,595 images" in done.stdout
    assert list(workspace.iterdir()) == []


def test_a_terminal_of_100_columns_holds_a_table() -> None:
    console = Console(width=100, force_terminal=True, record=True, file=io.StringIO())
    words = "word " * 40
    run.show([Finding("warning", "disk", words, words), Finding("ok", "cores", "2")], console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("warning") for line in lines) == 1
    assert lines[1].startswith(" " * 16 + "word")


def test_a_mat_file_s_header_is_enough(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matfile, "read", lambda path: pytest.fail("the whole file was read"))
    assert source.size(from_source("data/raw"), source.look_for(from_source("data/raw"))).fitted == 190
