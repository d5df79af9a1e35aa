"""A setting: some parameters and their values; everything else is as in params.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

SECTIONS = ("model", "train")  # what settings may change; trials share the data

Setting = Mapping[str, Any]  # parameters by path, such as {"model.latent": 20}


def in_sections(setting: Setting) -> dict[str, dict[str, Any]]:
    """A setting as params.yaml has it: by section and key."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in setting.items():
        section, key = path.split(".")
        sections.setdefault(section, {})[key] = value
    return sections


def short(setting: Setting) -> str:
    """A setting in short, such as `latent 20` or `channels joint, latent 60`."""
    return ", ".join(f"{path.split('.')[1]} {short_value(value)}" for path, value in setting.items())


def short_value(value: Any) -> str:
    """A value in short: widths as the paper writes them, 500-300."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "-".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
