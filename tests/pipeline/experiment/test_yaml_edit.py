"""params.yaml changed in place: what is meant, nothing else, or nothing."""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml, modify_yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params, presets, yaml_edit, yaml_file
from tests.helpers.checkout import ROOT, Vaepipe
from tests.helpers.yaml_files import (
    EXAMPLES,
    Written,
    change,
    files,
    in_order,
    parsed,
    values,
)


@EXAMPLES
@given(values)
@example(1e-5)
@example(float("nan"))
@example(["a, b", [], "]"])
def test_a_value_is_written_so_that_every_reader_sees_the_same(tmp_path: Path, value: Any) -> None:
    text = f"section:\n  key: {yaml_edit.written(value)}\n"
    assert yaml_edit.same(parsed(text), {"section": {"key": value}})
    (tmp_path / "p.yaml").write_bytes(text.encode())
    assert yaml_edit.same(load_yaml(tmp_path / "p.yaml"), {"section": {"key": value}})


@EXAMPLES
@given(files(), st.data())
def test_only_what_is_meant_changes_in_any_layout(tmp_path: Path, file: Written, data: st.DataObject) -> None:
    assert yaml_edit.same(parsed(file.text), file.values)
    keys = [(section, key) for section, entries in file.values.items() for key in entries]
    chosen = data.draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
    changes: dict[str, dict[str, Any]] = {}
    for section, key in chosen:
        changes.setdefault(section, {})[key] = data.draw(values)
    meant = {name: {**entries, **changes.get(name, {})} for name, entries in file.values.items()}
    text = change(tmp_path / "p.yaml", file.text, changes)
    assert yaml_edit.same(parsed(text), meant)
    assert text.startswith("\ufeff") == file.text.startswith("\ufeff")
    assert text[-1:] == file.text[-1:] or not file.text.endswith("\n")
    assert text.endswith("\n") == file.text.endswith("\n")
    assert ("\r" in text) == ("\r" in file.text) or "\n" not in text
    # Comments inside a list may go with its items; all others stay, in order.
    lists = [file.values[s][k] for s, k in chosen if isinstance(file.values[s][k], list)]
    kept = [c for c in file.comments if c in text]
    assert in_order(kept, text)
    if not lists:
        assert kept == file.comments
    # And to change it back gives the same values.
    assert yaml_edit.same(parsed(change(tmp_path / "p.yaml", text, file.values)), file.values)


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        ("[500, 500]  # w", [24, 48], "[24, 48]    # w"),
        ("[500, 500] # w", [1000, 500], "[1000, 500] # w"),
        ("[ 500,500 ]", [24, 48], "[ 24,48 ]"),
        ("[500]", [500, 300, 1], "[500, 300, 1]"),
        ("[500, 300, 1]", [500], "[500]"),
        ("[500,]", [500, 300], "[500, 300,]"),
        ("[ ]", [500], "[500 ]"),
        ("500  # w", [1, 2], "[1, 2]  # w"),
        ("[500, 300]  # w", 7, "7           # w"),
        ("\n  - 500  # a\n  - 300  # b", [24, 300], "\n  - 24   # a\n  - 300  # b"),
        (
            "\n  - 500  # a\n  # between\n  - 300  # b\n  # after",
            [500],
            "\n  - 500  # a\n  # between\n  # after",
        ),
        ("\n  - 500  # a\n  # after", [500, 300], "\n  - 500  # a\n  - 300\n  # after"),
        ("  # w\n    - 500\n    # c\n    - 300", 5, " 5  # w\n    # c"),
        ("\n  - 500\n  - 300", [], " []"),
        ("[\n  500,  # a\n  300,  # b\n  ]", [500], "[\n  500,  # a\n  ]"),
        ("[\n  500,  # a\n  300]", [500], "[\n  500,  # a\n]"),
        ("'single'", "it's", "'it''s'"),
        ('"double"', "plain", '"plain"'),
        ("plain", "yes", '"yes"'),
        ("|\n    some\n    text", "x", "x"),
        ("&own 20", 60, "60"),
    ],
)
def test_how_it_looks(tmp_path: Path, before: str, values: Any, after: str) -> None:
    def text(value: str) -> str:
        return f"model:\n  hidden:{'' if value[:1].isspace() else ' '}{value}\n  latent: 20 # units\n"

    assert change(tmp_path / "p.yaml", text(before), {"model": {"hidden": values}}) == text(after)


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("m:\n  a: &x 20\n  b: *x\n", {"m": {"a": 60}}, "p.yaml: other values hang on it by an anchor (&), "),
        ("m: &m\n  a: 1\nn: *m\n", {"m": {"a": 2}}, "p.yaml: other values hang on it by an anchor (&), "),
        (
            "m: &m\n  a: 1\nn: *m\n",
            {"n": {"a": 2}},
            "p.yaml: n.a stands elsewhere in ",
        ),
        (
            "d: &d\n  a: 1\nm:\n  <<: *d\n  b: 2\n",
            {"m": {"a": 2}},
            "p.yaml: m.a stands elsewhere in ",
        ),
        ("m:\n  a: > # why\n    text\n", {"m": {"a": "x"}}, "p.yaml: m.a has a comment inside"),
    ],
)
def test_what_cannot_be_changed_safely_is_left_to_its_owner(
    tmp_path: Path, text: str, changes: dict[str, dict[str, Any]], said: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError) as caught:
        yaml_file.change(path, changes)
    message = str(caught.value).removeprefix(f"{tmp_path}/")
    [(section, keys)] = changes.items()
    [(key, value)] = keys.items()
    assert message.startswith(said)
    assert message.endswith(f"; write it by hand: {section}.{key}: {value}; nothing was changed")
    assert "\n" not in message
    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["p.yaml"]


def test_aliases_that_are_all_replaced_are_no_obstacle(tmp_path: Path) -> None:
    text = "m:\n  a: [&w 500, *w]  # w\n  b: &x 1\n  c: *x\n"
    after = change(tmp_path / "p.yaml", text, {"m": {"a": [24, 48], "c": 3}})
    assert after == "m:\n  a: [24, 48]      # w\n  b: &x 1\n  c: 3\n"


def test_a_link_stays_and_so_does_the_mode(workspace: Path) -> None:
    (workspace / "real").mkdir()
    real = workspace / "real/p.yaml"
    shutil.copy(ROOT / "params.yaml", real)
    real.chmod(0o640)
    paths.PARAMS.symlink_to(real)
    presets.apply("joint")
    assert paths.PARAMS.is_symlink()
    assert params.read(real).model.channels == "joint"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [p.name for p in (workspace / "real").iterdir()] == ["p.yaml"]


def test_a_file_that_is_read_only_is_not_replaced(workspace: Path) -> None:
    shutil.copy(ROOT / "params.yaml", workspace)
    before = paths.PARAMS.read_bytes()
    paths.PARAMS.chmod(0o444)
    with pytest.raises(
        PipelineError, match=r"^params.yaml: read-only; it is as it was: `chmod u\+w params.yaml`"
    ):
        presets.apply("joint")
    assert (paths.PARAMS.read_bytes(), stat.S_IMODE(paths.PARAMS.stat().st_mode)) == (before, 0o444)


def test_ends_of_lines_and_long_lines_stay(workspace: Path) -> None:
    text = f"# {'long ' * 40}\n{(ROOT / 'params.yaml').read_text()}"
    paths.PARAMS.write_bytes(text.replace("\n", "\r\n").encode())
    before = paths.PARAMS.read_bytes().splitlines(keepends=True)
    changes = presets.apply("joint")
    after = paths.PARAMS.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\r\n") for line in after)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == len(changes)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_after_dvc_has_written_the_file_anew(workspace: Path, name: str) -> None:
    shutil.copy(ROOT / "params.yaml", workspace)
    with modify_yaml(paths.PARAMS) as values:  # as `dvc exp run -S` does
        values["model"]["hidden"] = [700, 300]
        values["train"]["epochs"] = 3
    text = paths.PARAMS.read_text()
    assert "  - 700\n" in text
    for preset in (name, "sharp", "paper", name):
        presets.apply(preset)
        model = params.read().model
        assert (list(model.hidden), model.latent) == (
            presets.PRESETS[preset].model["hidden"],
            presets.PRESETS[preset].model["latent"],
        )
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    after = [line.partition("#")[2] for line in paths.PARAMS.read_text().splitlines() if "#" in line]
    assert after == comments


@pytest.mark.slow
def test_dvc_exp_run_and_then_each_preset(workspace: Path, vaepipe: Vaepipe) -> None:
    """The real commands, in a repository with one stage that does nothing."""
    shutil.copy(ROOT / "params.yaml", workspace)
    (workspace / "dvc.yaml").write_text("stages:\n  nothing:\n    cmd: 'true'\n    params: [train, model]\n")
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "DVC_NO_ANALYTICS": "1"}
    author = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def run(command: str) -> None:
        done = subprocess.run(
            command.split(), env=os.environ | quiet | author, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    for command in ("git init -q", "dvc init -q", "git add .", "git commit -qm start"):
        run(command)
    run("dvc exp run -q -S train.epochs=7 -S data.source=synthetic")
    rewritten = paths.PARAMS.read_text()
    assert rewritten != (ROOT / "params.yaml").read_text().replace("epochs: 50", "epochs: 7")
    assert "  - 500\n" in rewritten
    for name, preset in presets.PRESETS.items():
        paths.PARAMS.write_text(rewritten)
        done = vaepipe("preset", "apply", name)
        assert (done.returncode, done.stderr) == (0, "")
        read = params.read()
        assert list(read.model.hidden) == preset.model["hidden"]
        assert (read.train.epochs, read.data.source) == (preset.train["epochs"], "synthetic")
    run("dvc exp run -q -S train.epochs=8")
