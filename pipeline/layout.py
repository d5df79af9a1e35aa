"""Where everything is in a workspace. Paths are relative to its root, the working directory of every stage.

`dvc.yaml` names the same paths; a test holds the two together.
"""

from pathlib import Path

DVC_YAML = Path("dvc.yaml")
PARAMS = Path("params.yaml")
STUDIES_YAML = Path("studies.yaml")

RAW = Path("data/raw")  # SVHN's files, by their official names, or a user's own images
OWN = RAW / "images.h5"  # the latter, all splits
IMAGES = Path("data/svhn.h5")  # all splits, RGB
CHANNELS = Path("data/channels")  # one file a colour channel
JUDGE = Path("judge")
CLASSIFIER = JUDGE / "classifier.safetensors"  # where the model is conditional
MODELS = Path("models")
TRAIN_METRICS = Path("metrics/train.json")
TEST_METRICS = Path("metrics/test.json")
HISTORY = Path("plots/training.csv")
RECONSTRUCTIONS = Path("reconstructions/test.h5")
REPORT = Path("report/index.html")
STUDIES = Path("studies")  # a folder a study, and a page of all

# Not outs of any stage: what has to survive DVC's deleting them. Ignored by git and DVC.
STATE = Path(".vaepipe")
DOWNLOADS = STATE / "downloads"  # verified files, and partial ones
RUNS = STATE / "runs"  # checkpoints and timings, by run
TRIALS = STATE / "trials"  # what the trials of studies found, and checkpoints of unfinished ones
SEARCHES = STATE / "searches"  # what searches tried

SPLITS = ("train", "test", "extra")
COLOURS = ("red", "green", "blue")  # in the order of the image's channels
JOINT = "rgb"


def raw(split: str) -> Path:
    """SVHN's cropped digits."""
    return RAW / f"{split}_32x32.mat"


def archive(split: str) -> Path:
    """SVHN's photos of full numbers."""
    return RAW / f"{split}.tar.gz"


def components(channels: str) -> tuple[str, ...]:
    """What a model each is fitted to, by model.channels: every colour, or all three at once."""
    return COLOURS if channels == "separate" else (JOINT,)


def colours(component: str) -> tuple[str, ...]:
    """The colour channels that a component is made of."""
    return COLOURS if component == JOINT else (component,)


def channel(colour: str) -> Path:
    return CHANNELS / f"{colour}.h5"


def study(name: str) -> Path:
    return STUDIES / name


def model(component: str) -> Path:
    return MODELS / f"{component}.safetensors"


def way_to_workspace(otherwise: str) -> str:
    """What to do where something of a workspace is not here: go to the one around, where there is one."""
    here = Path.cwd()
    if not _is_workspace(here) and not (here / ".dvc").is_dir():
        for folder in here.parents:
            if _is_workspace(folder):
                return f"the workspace is {folder}: cd there"
    return otherwise


def _is_workspace(folder: Path) -> bool:
    return (folder / DVC_YAML).is_file() and (folder / PARAMS).is_file()
