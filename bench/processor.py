"""The processor that is measured, by a name under which its figures are kept, and what runs on it."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path


def name(cpuinfo: str) -> str:
    """The model in Linux's /proc/cpuinfo, and its kind, where its own name does not tell: a Zen 4 or 5.

    Virtual machines call both AMD EPYC; what they can do differs.
    """
    found = dict(re.findall(r"^(\S[^\t:]*)\s*: (.*)$", cpuinfo, re.MULTILINE))
    model, flags = found.get("model name", ""), set(found.get("flags", "").split())
    if found.get("vendor_id") != "AuthenticAMD" or "avx512f" not in flags:
        return model
    return f"{model} ({'Zen 5' if 'avx512_vp2intersect' in flags else 'Zen 4'})"


def here(device: str) -> str:
    """The name of this machine's processor, or of its GPU."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    found = name(cpuinfo.read_text()) if cpuinfo.exists() else ""
    return found or platform.processor() or platform.machine()


def cores() -> tuple[int, ...]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def machine(device: str) -> str:
    """One line: the processor, its cores that are used, and versions."""
    versions = [f"{library} {version}" for library in ("torch", "jax") if (version := installed(library))]
    return ", ".join(
        [here(device), f"{len(cores())} cores", *versions, f"Python {platform.python_version()}"]
    )


def installed(library: str) -> str | None:
    """Its version; None: it is not there."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
