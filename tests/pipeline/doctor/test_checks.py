"""The doctor's decisions, each in a good and a bad situation."""

from dataclasses import replace

import pytest

from pipeline.common import wording
from pipeline.doctor import checks
from pipeline.doctor.checks import Answer, Finding
from pipeline.doctor.speed import SpeedResult
from tests.helpers.doctor import GB, H200, SIZE, TRAIN, has


def test_a_finding_has_advice_where_something_is_wrong_and_there_alone() -> None:
    cases: tuple[tuple[checks.Status, str], ...] = (("ok", "mend it"), ("warning", ""), ("problem", ""))
    for status, advice in cases:
        with pytest.raises(ValueError, match="advice"):
            Finding(status, "disk", "full", advice)


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
    assert wording.duration(seconds) == text


def test_summary() -> None:
    home = Finding("ok", "workspace", "w")
    warning, problem = Finding("warning", "x", "y", "z"), Finding("problem", "x", "y", "z")
    assert checks.summary([home]) == "Ready: `dvc repro` runs the pipeline."
    assert checks.summary([warning]).startswith("Ready, with 1 warning: `vaepipe init DIR`")
    assert checks.summary([home, problem, problem, warning]) == "Not ready: 2 problems and 1 warning."
