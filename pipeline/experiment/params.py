"""params.yaml, read strictly: every key must be there, be known, and have the right type and range."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic.dataclasses
from pydantic import ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml.comments import CommentedSeq

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.common.image_limits import LEAST_SIDE, MOST_SIDE, Frames
from pipeline.experiment import yaml_edit, yaml_file
from vae.config import ModelConfig, TrainConfig

Format = Literal["cropped", "full"]
Neighbours = Literal["hidden", "shown"]
Changes = Mapping[str, Mapping[str, Any]]  # parameters by section

SYNTHETIC = "synthetic"
SHOWN = 100  # characters of a value
MOST_WHITE = 2**31 - 1  # a number in a picture of 32 bits

# pydantic's names of type errors, in the words of someone who edits YAML.
KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class DataConfig:
    """Source of the images, and the share of them that is held out."""

    source: str  # a URL or a folder that holds SVHN's files, own pictures, or "synthetic"
    format: Format  # of SVHN: digits cropped by its makers, or photos of full numbers, cropped here
    extra: bool  # add SVHN's extra set to the training images
    size: (
        int | None
    )  # pixels a side that own pictures and full numbers' digits are brought to; None: as they are
    margin: float  # around a full number's digit, on each side, a share of its longer side
    neighbours: Neighbours  # the digits beside it
    frames: Frames  # of own files with several, animations and pages: refuse them, or take the first, or all
    white_level: int | None  # the number in own pictures that is white; None: the largest of their format
    test: float  # share of own pictures, the last of each class, that is the test split, if they name none
    validation: float  # share of the training images, the last ones, never fitted, if no split is named so

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source must be a URL, a folder, an .npz file, or synthetic")
        if self.size is not None and not LEAST_SIDE <= self.size <= MOST_SIDE:
            raise ValueError(f"size must be from {LEAST_SIDE} to {MOST_SIDE}, or null")
        if self.size is None and self.format == "full":
            raise ValueError("size must be a number of pixels where data.format is full")
        if self.extra and self.format == "full":
            raise ValueError("extra must be false where data.format is full")
        if not 0 <= self.margin <= 1:
            raise ValueError("margin must be from 0 to 1")
        if self.white_level is not None and not 1 <= self.white_level <= MOST_WHITE:
            raise ValueError(f"white_level must be from 1 to {MOST_WHITE:,}, or null")
        if not 0 < self.test < 1:
            raise ValueError("test must be more than 0 and less than 1")
        if not 0 <= self.validation < 1:
            raise ValueError("validation must be 0 or more and less than 1")


@dataclass(frozen=True)
class SyntheticConfig:
    """Counts of house numbers that the synthetic source draws, and their seed."""

    train: int
    test: int
    extra: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("train", 1), ("test", 1), ("extra", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}")


@dataclass(frozen=True)
class MergeConfig:
    """Size of the report."""

    images: int  # test images shown beside their reconstructions

    def __post_init__(self) -> None:
        if not 1 <= self.images <= 1000:
            raise ValueError("images must be from 1 to 1000")


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Params:
    """The whole experiment. Machines are no part of it (see `vaepipe train --help`).

    Its strictness holds for the sections too: pydantic hands it on to plain dataclasses.
    """

    data: DataConfig
    synthetic: SyntheticConfig
    model: ModelConfig
    train: TrainConfig
    merge: MergeConfig


def read(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        PipelineError: one line that names each key that is wrong, what it holds, and what is allowed.
    """
    return check(load(path), path)


def load(path: Path = paths.PARAMS) -> Any:
    """The YAML as it stands (see `yaml_file.load`)."""
    return yaml_file.load(path)


def names() -> list[str]:
    """Every parameter, such as `model.latent`."""
    return [f"{section}.{key}" for section in _fields([]) for key in _fields([section])]


def kind(path: str) -> Any:
    """A parameter's type."""
    section, key = path.split(".")
    return Params.__dataclass_fields__[section].type.__dataclass_fields__[key].type


def change(path: Path, changes: Changes) -> list[str]:
    """Set parameters of a params.yaml; all else in it stays.

    Returns what changed, such as `model.latent 20 -> 60`.

    Raises:
        PipelineError: it is no valid params.yaml, before or after, or cannot be changed safely (see
            `yaml_file.change`); it stays as it was.
    """
    before = load(path)
    check(before, path)
    check({name: {**values, **changes.get(name, {})} for name, values in before.items()}, path)
    changed = [
        f"{section}.{key} {_in_words(before[section][key])} -> {_in_words(value)}"
        for section, keys in changes.items()
        for key, value in keys.items()
        if not yaml_edit.same(before[section][key], value)
    ]
    if changed:
        yaml_file.change(path, changes)
    return changed


def _in_words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def in_a_line(value: Any) -> Any:
    """A list as `[500, 500]`, not an item a line."""
    if not isinstance(value, list | tuple):
        return value
    sequence = CommentedSeq(value)
    sequence.fa.set_flow_style()
    return sequence


def check(values: Any, path: Path = paths.PARAMS) -> Params:
    """Check the values of a params.yaml; `path` is what errors call it."""
    try:
        # As JSON, so that a list may stand for a tuple while numbers, texts and booleans stay strict.
        return TypeAdapter(Params).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_problem(dict(e), values) for e in error.errors(include_url=False)]
        raise PipelineError(f"{path}: " + "; ".join(problems)) from None


def _problem(error: dict[str, Any], values: Any) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location) or "the file"
    match error["type"]:
        case "missing":
            return f"{key} is missing"
        case "unexpected_keyword_argument":
            return f"{key} is unknown; allowed there: {', '.join(_fields(location[:-1]))}"
        case "dataclass_type" | "model_type":
            return f"{key} must be a section with the keys {', '.join(_fields(location))}"
        case "value_error":
            # A dataclass's own check: the message begins with the field.
            field, _, rule = str(error["ctx"]["error"]).partition(" ")
            return f"{key}.{field} is {shown(_value(values, [*location, field]))}, but {rule}"
        case "literal_error":
            return f"{key} is {shown(error['input'])}; allowed: {error['ctx']['expected']}"
        case kind:
            wanted = KINDS.get(kind) or error["msg"]
            quoted = isinstance(error["input"], str) and kind in ("int_type", "float_type")
            hint = " (in YAML, a number stands without quotes)" if quoted else ""
            return f"{key} is {shown(error['input'])}, but must be {wanted}{hint}"


def _fields(location: list[str]) -> list[str]:
    kind: Any = Params
    for name in location:
        kind = kind.__dataclass_fields__[name].type
    return list(kind.__dataclass_fields__)


def _value(values: Any, location: list[str]) -> Any:
    for name in location:
        values = values[name]
    return values


def shown(value: Any) -> str:
    """A value as an error shows it: its JSON, of a long one the beginning."""
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
