"""Figures of several processors in one file, and what a processor is called."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import figures, processor


def table(speed: float, *settings: str, machine: str = "Zen 5, torch 2") -> dict[str, Any]:
    rows = [{"setting": setting, "images_per_second": speed} for setting in settings]
    return {"machine": machine, "rounds": 3, "rows": rows}


def test_a_run_replaces_its_processor_s_table_alone(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.json"
    figures.write(file, "Zen 5", table(1, "one", "all"))
    figures.write(file, "Zen 4", table(2, "one", machine="Zen 4, torch 2"))
    before = json.loads(file.read_text())
    figures.write(file, "Zen 5", table(3, "one", "all"))
    after = json.loads(file.read_text())
    assert after["Zen 4"] == before["Zen 4"]
    assert after["Zen 5"] == table(3, "one", "all")
    assert list(after) == ["Zen 4", "Zen 5"]


def test_parts_that_were_not_measured_stay_on_the_same_versions_only() -> None:
    before = {"Zen 5": table(1, "one", "all") | {"trials": [{"seconds": 2}]}}
    found = figures.merged(before, "Zen 5", table(3, "one"))["Zen 5"]
    assert [(row["setting"], row["images_per_second"]) for row in found["rows"]] == [("all", 1), ("one", 3)]
    assert found["trials"] == [{"seconds": 2}]
    newer = table(3, "one", machine="Zen 5, torch 3")
    assert figures.merged(before, "Zen 5", newer)["Zen 5"] == newer


@pytest.mark.parametrize(
    ("vendor", "model", "flags", "name"),
    [
        ("AuthenticAMD", "AMD EPYC", "avx2 avx512f avx512_vp2intersect", "AMD EPYC (Zen 5)"),
        ("AuthenticAMD", "AMD EPYC", "avx2 avx512f", "AMD EPYC (Zen 4)"),
        ("AuthenticAMD", "AMD EPYC 7763", "avx2", "AMD EPYC 7763"),
        ("GenuineIntel", "Intel Xeon 8481C", "avx512f avx512_vp2intersect", "Intel Xeon 8481C"),
    ],
)
def test_the_name_of_a_processor(vendor: str, model: str, flags: str, name: str) -> None:
    core = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {model}\nflags\t\t: {flags}\npower:\n\n"
    assert processor.name(core * 2) == name


def test_a_processor_without_a_name() -> None:
    assert processor.name("processor\t: 0\nCPU implementer\t: 0x41\n") == ""
    assert processor.here("cpu")


def test_one_line_says_what_was_measured() -> None:
    assert processor.here("cpu") in processor.machine("cpu")
    assert f"torch {processor.installed('torch')}" in processor.machine("cpu")
    assert processor.installed("no-such-library") is None
