"""YAML files that people write: read with errors of one line, changed in place and only as it was meant."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common import files, paths, yaml_text
from pipeline.common.errors import PipelineError, reason
from pipeline.experiment import yaml_edit
from pipeline.experiment.yaml_edit import UneditableError

ANY_WRITES = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH  # which root may do where nobody may


def load(path: Path) -> Any:
    """The YAML as it stands, by the parser that DVC reads it with.

    Raises:
        PipelineError: it is not there, cannot be read, or is no YAML.
    """
    return yaml_text.parse(_content(path), path)


def check_writable(path: Path) -> None:
    """Raise where a file was made read-only; its mode would not hinder that another one takes its place.

    Raises:
        PipelineError: it is read-only, or so is its file system.
    """
    try:
        path.open("r+b").close()
        read_only = not path.stat().st_mode & ANY_WRITES
    except PermissionError:
        read_only = True
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written: {reason(error)}; it is as it was") from None
    if read_only:
        raise PipelineError(f"{path}: read-only; it is as it was: `chmod u+w {path}` allows to change it")


def change(path: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set values by section and key; the file's mode stays, and so does a link to it.

    Raises:
        PipelineError: the file cannot be read, is read-only, or its layout lets nothing be changed safely; it
            stays as it was, to the byte.
    """
    content = _content(path)
    check_writable(path)
    before = yaml_text.parse(content, path)
    meant = {name: {**values, **changes.get(name, {})} for name, values in before.items()}
    try:
        text = yaml_edit.edited(content.decode("utf-8"), before, changes)
        with files.atomic_file(path.resolve() if path.is_symlink() else path) as part:
            part.write_bytes(text.encode("utf-8"))
            part.chmod(stat.S_IMODE(path.stat().st_mode))
            _check(part, meant)
    except UneditableError as error:
        by_hand = ", ".join(
            f"{section}.{key}: {yaml_edit.written(value)}"
            for section, keys in changes.items()
            for key, value in keys.items()
            if not yaml_edit.same(before[section][key], value)
        )
        raise PipelineError(f"{path}: {error}; write it by hand: {by_hand}; nothing was changed") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        way = paths.workspace_hint("`vaepipe init DIR` makes a workspace")
        raise PipelineError(f"{path}: not found in {path.resolve().parent}; {way}") from None
    except OSError as error:
        raise files.unreadable(path, error) from None


def _check(part: Path, meant: Any) -> None:
    """Raise unless a file reads as it was meant."""
    try:
        found = YAML(typ="safe", pure=True).load(part.read_bytes())
    except YAMLError:
        found = None
    if not yaml_edit.same(found, meant):
        raise UneditableError("other values hang on it by an anchor (&), or its layout is unusual")
