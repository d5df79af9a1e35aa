"""Paths of a workspace, relative to its root, which is the working directory of every stage.

`dvc.yaml` names the same paths; a test holds the two together.
"""

from pathlib import Path

DVC_YAML = Path("dvc.yaml")
PARAMS = Path("params.yaml")
STUDIES_YAML = Path("studies.yaml")

MODULES = Path("modules")  # which code each stage runs
RAW = Path("data/raw")  # SVHN's files, by their official names, or a user's own images
OWN_IMAGES = RAW / "images.h5"  # the latter, all splits
CHECKSUMS = RAW / "MD5SUMS"  # of the files beside it, as md5sum writes and checks them
IMAGES = Path("data/svhn.h5")  # all splits, RGB
CHANNELS = Path("data/channels")  # one file a colour channel
CLASSIFIER_FOLDER = Path("classifier")
CLASSIFIER = CLASSIFIER_FOLDER / "classifier.safetensors"  # where the model is conditional
NO_CLASSIFIER = CLASSIFIER_FOLDER / "none.txt"  # where it is not: DVC warns of empty folders
MODELS = Path("models")
TRAIN_METRICS = Path("metrics/train.json")
TEST_METRICS = Path("metrics/test.json")
SUMMARY = Path("metrics/summary.json")  # the dozen figures that experiments are compared by
HISTORY = Path("plots/training.csv")
RECONSTRUCTIONS = Path("reconstructions/test.h5")
REPORT = Path("report/index.html")
STUDIES = Path("studies")  # a folder a study, and a page of all

# Not outs of any stage: what has to survive DVC's deleting them. Ignored by git and DVC; see `state`.
STATE = Path(".vaepipe")
# Below a workspace: where DVC runs experiments of --temp and --queue, in copies that it deletes afterwards.
EXPERIMENTS = (".dvc", "tmp", "exps")

SVHN_SPLITS = ("train", "test", "extra")  # its files are called by them, generated ones too
COLOURS = ("red", "green", "blue")  # components of `separate` models, in the order of the image's channels
JOINT = "rgb"  # the component of a `joint` model
# What is measured of whole images, merged of whatever components there are, is called as the joint component,
# which is whole already.
MERGED = JOINT


def main_workspace() -> Path:
    """The workspace that what is kept belongs to: this one, or the one whose experiment runs in this copy."""
    here = Path.cwd()
    for folder in here.parents:
        if folder.parts[-3:] == EXPERIMENTS:
            # Where .dvc is in a subfolder of the git repository, the copy has that subfolder too.
            return folder.parents[2]
    return Path()


def state() -> Path:
    """The folder of runs, trials and downloads, which DVC does not know."""
    return main_workspace() / STATE


def downloads() -> Path:
    """Verified files, and partial ones."""
    return state() / "downloads"


def runs() -> Path:
    """Checkpoints and timings, by run."""
    return state() / "runs"


def run_storage(named: str | None) -> str:
    """The storage of runs, a folder or a URI: what --storage names, else the workspace's own."""
    return named or str(runs().absolute())


def trials() -> Path:
    """Results of trials, and checkpoints of unfinished ones."""
    return state() / "trials"


def searches() -> Path:
    """Journals of searches."""
    return state() / "searches"


def raw(split: str) -> Path:
    """SVHN's cropped digits."""
    return RAW / f"{split}_32x32.mat"


def archive(split: str) -> Path:
    """SVHN's photos of full numbers."""
    return RAW / f"{split}.tar.gz"


def components(channels: str) -> tuple[str, ...]:
    """Components, each of which has a model of its own: the three colours, or all at once (`joint`)."""
    return COLOURS if channels == "separate" else (JOINT,)


def colours(component: str) -> tuple[str, ...]:
    """The colour channels that a component is made of."""
    return COLOURS if component == JOINT else (component,)


def channel(colour: str) -> Path:
    """One colour's images."""
    return CHANNELS / f"{colour}.h5"


def study(name: str) -> Path:
    """A study's results."""
    return STUDIES / name


def modules(stage: str) -> Path:
    """The checksums of the modules that a stage runs."""
    return MODULES / f"{stage}.json"


def model(component: str) -> Path:
    """A component's trained model."""
    return MODELS / f"{component}.safetensors"


def workspace_hint(otherwise: str) -> str:
    """Advice where a workspace's file is not here: go to the workspace around, if there is one."""
    here = Path.cwd()
    if not _is_workspace(here) and not (here / ".dvc").is_dir():
        for folder in here.parents:
            if _is_workspace(folder):
                return f"the workspace is {folder}: cd there"
    return otherwise


def _is_workspace(folder: Path) -> bool:
    return (folder / DVC_YAML).is_file() and (folder / PARAMS).is_file()
