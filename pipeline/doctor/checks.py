"""Decisions of the doctor: pure functions, from what was measured to a finding.

Bytes are decimal where they are shown: 1 GB is 10^9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.filesize import decimal

from pipeline.common import wording
from pipeline.distributed import object_store
from pipeline.distributed.ray_folder import REMEDY
from pipeline.doctor.needs import CHANNELS, Experiment
from pipeline.doctor.speed import Gpu, SpeedResult
from vae.config import TrainConfig

Status = Literal["ok", "warning", "problem"]

LITTLE = 1.25  # times what a run needs: sizes are estimates, so less room than that is worth a word


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's screen."""

    status: Status
    what: str
    found: str
    advice: str = ""  # what to do; empty where all is well

    def __post_init__(self) -> None:
        if (self.status == "ok") == bool(self.advice):
            raise ValueError(f"{self.what}: advice is for a warning or a problem, and each of them needs it")


@dataclass(frozen=True)
class Answer:
    """One file of the source, as far as it is known."""

    name: str
    size: int | None  # bytes; None where the source does not tell
    expected: int | None = None  # bytes; None where any size will do
    trouble: str = ""  # why it cannot be had


def workspace(folder: str, *, has_stages: bool, has_dvc: bool, writable: bool) -> Finding:
    """The folder the command is run in. `has_dvc`: a .dvc folder is there or above."""
    what = "workspace"
    if not has_stages:
        return Finding(
            "warning",
            what,
            f"{folder} is none: the rest is checked with the default parameters",
            "`vaepipe init DIR` makes one; run the doctor in it",
        )
    if not has_dvc:
        advice = "run `dvc init --no-scm` here, or make a workspace with `vaepipe init DIR`"
        return Finding("problem", what, f"{folder} has a dvc.yaml, but no .dvc folder", advice)
    if not writable:
        return Finding("problem", what, f"{folder} cannot be written", "change its owner or its permissions")
    return Finding("ok", what, folder)


def command(found: str | None, own: str) -> Finding:
    """Whether DVC, which calls vaepipe by its name, gets this one. Both are folders; None: not on PATH."""
    remedy = f'activate its environment, or run export PATH="{own}:$PATH"'
    if found is None:
        return Finding("problem", "vaepipe", "not on PATH, where dvc repro looks for it", remedy)
    if found != own:
        return Finding("warning", "vaepipe", f"dvc repro runs the one in {found}, not in {own}", remedy)
    return Finding("ok", "vaepipe", f"in {own}")


def version(name: str, found: str | None, wanted: str, remedy: str) -> Finding:
    """An installed version against a specifier such as ==2.13.0 or >=2.0; empty: any.

    A local part, as in 2.13.0+cpu, does not count: it names the same source, built for other devices.
    """
    from packaging.specifiers import SpecifierSet

    if found is None:
        return Finding("problem", name, "not installed", remedy)
    if SpecifierSet(wanted, prereleases=True).contains(found):
        return Finding("ok", name, found)
    text = f"the lock has {wanted.removeprefix('==')}" if wanted.startswith("==") else f"needed is {wanted}"
    return Finding("warning", name, f"{found}, but {text}", remedy)


def parameters(error: str, experiment: Experiment, train: TrainConfig) -> Finding:
    """params.yaml: the error of reading it, else whether there are images enough for a batch."""
    if error:
        return Finding("problem", "params.yaml", error, "mend it; what follows assumes the defaults")
    if train.batch_size > experiment.fitted and not experiment.guessed:
        return Finding(
            "problem",
            "params.yaml",
            f"train.batch_size is {train.batch_size:,}, more than the {experiment.fitted:,} training images",
            "make it smaller, or data.validation",
        )
    return Finding("ok", "params.yaml", experiment.summary)


def source(name: str, answers: Sequence[Answer]) -> Finding:
    """The source's files. No answers: a source without files of its own."""
    from pipeline.data.svhn.official_files import ways_out

    troubles: dict[str, list[str]] = {}  # names of files by what is wrong
    for answer in answers:
        trouble = answer.trouble
        if not trouble and None not in (answer.size, answer.expected) and answer.size != answer.expected:
            trouble = f"{answer.size:,} bytes there, {answer.expected:,} expected"
        if trouble:
            troubles.setdefault(trouble, []).append(answer.name)
    if troubles:
        text = "; ".join(f"{trouble}: {', '.join(names)}" for trouble, names in troubles.items())
        return Finding("problem", "source", f"{name}: {text}", ways_out())
    sizes = [a.size for a in answers if a.size is not None]
    total = f", {decimal(sum(sizes))}" if sizes else ""
    files = f": {', '.join(a.name for a in answers)}{total}" if answers else ": generated here"
    return Finding("ok", "source", f"{name}{files}")


def cores(count: int, ranks: int) -> Finding:
    """Cores are never too few: ranks share them."""
    few = f", shared by {ranks} ranks where there is no GPU" if count < ranks else ""
    return Finding("ok", "cores", f"{count}{few}")


def memory(total: int, available: int, needed: int) -> Finding:
    """Finding on memory; all in bytes."""
    found = f"{decimal(available)} free of {decimal(total)}; training takes about {decimal(needed)}"
    if total < needed:
        return Finding("problem", "memory", found, "use a larger machine, or leave out data.extra")
    if available < needed:
        return Finding("warning", "memory", found, "end other programs first")
    return Finding("ok", "memory", found)


def shared_memory(free: int | None, available: int, images: int) -> Finding:
    """/dev/shm and Ray's object store, which holds the images once. In bytes; `free` None: no /dev/shm.

    Ray sizes its store by the machine's available memory, not by need, and where /dev/shm is smaller than
    that it takes files in its temporary folder instead.
    """
    what, store = "shared memory", object_store.size(available, free or 0)
    if images > store:
        return Finding(
            "warning",
            what,
            f"the images take {decimal(images)}, Ray's object store holds {decimal(store)}: the rest is "
            "written to disk and read again",
            "free some memory, use a larger machine, or leave out data.extra",
        )
    if free is None:
        return Finding("ok", what, f"no /dev/shm here: Ray keeps the {decimal(images)} of images in files")
    if free < store:
        gigabytes = -(-store // 10**9)
        return Finding(
            "warning",
            what,
            f"{decimal(free)} free in /dev/shm, Ray's object store wants {decimal(store)}: it falls back to "
            "slower files",
            f"enlarge /dev/shm; a container has an option for it: docker run --shm-size={gigabytes}gb",
        )
    return Finding("ok", what, f"{decimal(free)} free in /dev/shm; the images take {decimal(images)}")


def ray_folder(found: Path | None, trouble: str) -> Finding:
    """Finding on the folder in which Ray makes its sockets."""
    if found is None:
        return Finding("problem", "Ray's folder", trouble, REMEDY)
    return Finding("ok", "Ray's folder", str(found))


def gpus(seen: Sequence[Gpu], installed: int) -> Finding:
    """`seen` by torch, and how many NVIDIA's driver has."""
    if seen:
        counted: dict[str, int] = {}
        for gpu in seen:
            name = f"{gpu.name}, {decimal(gpu.memory)}"
            counted[name] = counted.get(name, 0) + 1
        return Finding("ok", "GPUs", "; ".join(f"{count} x {name}" for name, count in counted.items()))
    if installed:
        return Finding(
            "warning",
            "GPUs",
            f"{installed} in the machine, but torch sees none: training takes the CPU",
            "install a torch with CUDA (pytorch.org/get-started) and leave CUDA_VISIBLE_DEVICES unset",
        )
    return Finding("ok", "GPUs", "none: training takes the CPU")


def disk(free: int, parts: Mapping[str, int], there: int, cache: str) -> Finding:
    """Free bytes against what a run writes, part by part, less what is there of it already."""
    needed = max(0, sum(parts.values()) - there)
    counted = " + ".join(f"{name} {decimal(size)}" for name, size in parts.items() if size)
    already = f", {decimal(there)} of it there already" if there else ""
    found = f"{decimal(free)} free; a run takes {decimal(sum(parts.values()))}{already}: {counted}; {cache}"
    remedy = "free some room, or make the workspace on another disk"
    if free < needed:
        return Finding("problem", "disk", found, remedy)
    if free < needed * LITTLE:
        return Finding("warning", "disk", found, remedy)
    return Finding("ok", "disk", found)


def training_time(results: Sequence[SpeedResult], error: str, train: TrainConfig, images: int) -> Finding:
    """Finding on the time of a training of `images` images, from what ranks reached in two seconds."""
    what = "training time"
    if error:
        remedy = "install torch anew, as in the lock; where that does not help, report it"
        return Finding("problem", what, f"the engine does not run here: {error}", remedy)
    ranks = [result for result in results if result.images_per_second]
    if ranks[0].device == "cuda":
        # A stack's components are stepped together, and other GPUs hold the other stacks.
        rate = ranks[0].images_per_second
        seconds = train.epochs * images / rate
        where = f"{rate:,.0f} images/s of each channel, {ranks[0].stack} on a GPU"
    else:
        rate = sum(result.images_per_second for result in ranks)
        seconds = train.epochs * images * CHANNELS / rate
        where = f"{rate:,.0f} channel images/s on {wording.count(len(ranks), 'core')}"
    epochs = wording.count(train.epochs, "epoch")
    return Finding(
        "ok", what, f"about {wording.duration(seconds)} for {epochs} of {images:,} images: {where}"
    )


def summary(findings: Sequence[Finding]) -> str:
    """The last line of the screen."""
    counts = {status: sum(f.status == status for f in findings) for status in ("problem", "warning")}
    named = [wording.count(count, status) for status, count in counts.items() if count]
    if counts["problem"]:
        return f"Not ready: {' and '.join(named)}."
    inside = any(f.what == "workspace" and f.status == "ok" for f in findings)
    go = "`dvc repro` runs the pipeline" if inside else "`vaepipe init DIR` makes a workspace"
    return f"Ready{', with ' + named[0] if named else ''}: {go}."
