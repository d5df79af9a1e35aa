"""The acceptance of a device, of the CPU here: every section runs, and what fails is seen."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.experiment.presets import PRESETS
from vae.accept import checks, figures
from vae.accept.__main__ import main
from vae.accept.cases import MODELS, TRAININGS, WARM_UPS
from vae.accept.findings import Findings
from vae.config import PAPER_MODEL, PAPER_TRAIN
from vae.stack import Stack


@pytest.mark.slow
def test_a_cpu_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "IMAGES", 100)
    monkeypatch.setattr(checks, "MODELS", models := ["paper", "odd"])
    monkeypatch.setattr(figures, "PRESETS", ["paper", "conditional"])
    file = tmp_path / "found.json"
    assert main(["--device", "cpu", "--images", "200", "--json", str(file)]) == 0
    found = {finding.pop("check"): finding for finding in json.loads(file.read_text())}
    expected = {f"{what}: {name}" for what in ("recorded == called", "twice the same") for name in models}
    assert expected <= found.keys()
    assert found["speed: paper x3 fp32"]["us_step"] > 0
    assert found["memory: paper"]["ok"] is None  # of a CPU it is not known


def test_a_device_that_is_not_repeatable_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    step, draw = Stack.step, torch.Generator().manual_seed(0)

    def disturbed(stack: Stack, gradients: Any, *numbers: torch.Tensor) -> None:
        step(stack, [g + 1e-3 * torch.randn(g.shape, generator=draw) for g in gradients], *numbers)

    monkeypatch.setattr(Stack, "step", disturbed)
    monkeypatch.setattr(checks, "IMAGES", 20)
    monkeypatch.setattr(checks, "MODELS", ["paper"])
    found = Findings()
    checks.repeatable(found, torch.device("cpu"))
    assert found.failed == ["twice the same: paper"]


def test_an_error_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("no such device\nand more")

    monkeypatch.setattr(checks, "machine", broken)
    assert main(["--device", "cpu", "--only", "machine,left"]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  machine" in shown
    assert "RuntimeError: no such device" in shown
    assert "skip  memory left behind" in shown


def test_no_section_begins_after_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--only", "recorded", "--seconds", "0"]) == 0
    assert "skip  recorded" in capsys.readouterr().out


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--device", device])
    shown = capsys.readouterr()
    assert f"error: --device: device {device} cannot be used here (" in shown.err.splitlines()[-1]
    assert not shown.out


def test_a_section_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--device", "cpu", "--only", "sped"])
    assert "sped: no such section; there are machine" in capsys.readouterr().err


@pytest.mark.parametrize("name", PRESETS)
def test_cases_are_the_presets(name: str) -> None:
    """But for the warm-ups, which are longer than these trainings."""
    preset = PRESETS[name]
    model = {key: tuple(value) if isinstance(value, list) else value for key, value in preset.model.items()}
    assert model == {key: getattr(PAPER_MODEL, key) for key in model} | MODELS[name]
    fitted = {key: value for key, value in preset.train.items() if key not in WARM_UPS}
    assert fitted == {key: getattr(PAPER_TRAIN, key) for key in fitted} | TRAININGS[name]
