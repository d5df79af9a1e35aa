"""The runs in a storage: what they are, how far they came, and which may go."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, printable, reason
from pipeline.experiment.params import Params
from pipeline.runs import identity, run_folder
from pipeline.runs.run_folder import RunFolder


@dataclass(frozen=True)
class RunInfo:
    """One run on disk."""

    name: str
    epochs: int  # done
    asked: int  # by whoever trained it last; 0: unknown
    size: int  # bytes
    parameters: dict[str, Any]  # that shape its result, by path such as model.latent
    images: int  # that it is trained on; 0: unknown
    made_models: bool  # the workspace's models came from it


def list_runs(storage: str) -> list[RunInfo]:
    """The runs in `storage`, by name.

    Raises:
        PipelineError: a run, or a model that may have come from one, cannot be read.
    """
    models = {files.md5(path) for path in _models()}
    return [_read(RunFolder(storage, name), models) for name in run_folder.names(storage)]


def _models() -> list[Path]:
    """The workspace's model files."""
    # Not by `glob`, to which a folder that may not be read is empty: what they came from could be removed.
    try:
        # What is no file, or a link to nothing, is no model either.
        return [p for p in paths.MODELS.iterdir() if p.suffix == run_folder.SUFFIX and p.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise files.unreadable(paths.MODELS, error) from None


def table(found: Sequence[RunInfo], current: Params) -> Table:
    """A row a run; of its parameters those that differ from the current ones."""
    shown = Table(
        "run", "epochs", "size", "images", "parameters", "models/", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in (1, 2, 3):
        shown.columns[column].justify = "right"
    shown.columns[4].overflow = "fold"
    expected = _flat({"model": asdict(current.model), "train": asdict(current.train)})
    for run in found:
        differing = [f"{k} {v}" for k, v in run.parameters.items() if v != expected.get(k)]
        parameters = ", ".join(differing) or ("as in params.yaml" if run.parameters else "unknown")
        epochs = f"{run.epochs} of {run.asked}" if run.asked else f"{run.epochs}"
        images = f"{run.images:,}" if run.images else "unknown"
        made = "from it" if run.made_models else ""
        # As texts, not as rich's markup: anything may stand in them.
        cells = (printable(run.name), epochs, decimal(run.size), images, printable(parameters), made)
        shown.add_row(*map(Text, cells))
    return shown


def removable(found: Sequence[RunInfo]) -> list[RunInfo]:
    """Runs that no model in the workspace came from."""
    return [run for run in found if not run.made_models]


def remove(storage: str, run: RunInfo) -> None:
    """Delete a run.

    Raises:
        PipelineError: a process trains it, or it cannot be deleted.
    """
    with identity.locked(storage, run.name):
        try:
            RunFolder(storage, run.name).delete()
        except OSError as error:
            raise PipelineError(f"{storage}/{run.name}: cannot be deleted: {reason(error)}") from None


def _read(folder: RunFolder, models: set[str]) -> RunInfo:
    about = folder.about()
    sections = {name: about.get(name) for name in ("model", "train")}
    parameters = _flat({name: value for name, value in sections.items() if isinstance(value, dict)})
    asked, images = parameters.pop("train.epochs", 0), about.get("images", 0)
    return RunInfo(
        name=folder.run,
        epochs=folder.complete(_texts(about.get("components"))),
        asked=asked if isinstance(asked, int) else 0,
        size=folder.size(),
        parameters=parameters,
        images=images if isinstance(images, int) else 0,
        made_models=not models.isdisjoint(_texts(about.get("models"))),
    )


def _texts(value: Any) -> list[str]:
    """The texts of a list; none of what is no list: what a run says of itself may be damaged."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Parameters by path; tuples are the lists that JSON makes of them."""
    return {
        f"{name}.{key}": list(value) if isinstance(value, tuple) else value
        for name, section in sections.items()
        for key, value in section.items()
    }
