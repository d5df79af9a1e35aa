"""Which folders in a folder are the splits, and which are classes; what could be both is refused."""

from collections.abc import Sequence

from pipeline.common.errors import PipelineError, listed, printable
from pipeline.data.own.split_names import TEST, TRAIN, VALIDATION, is_division, split_of
from pipeline.data.own.tree import Tree


def divide(root: Tree) -> tuple[dict[str, Tree], list[str]]:
    """The folder of each split, or the folder itself as the split "", and lines on what was taken for what.

    `train` with `test` or `val` beside it are splits (see `split_names`). Other names beside `train` and
    `test` are left out; `train` alone among class folders is a class.

    Raises:
        PipelineError: it is ambiguous.
    """
    notes: list[str] = []
    root = _without_boxes(root, notes)
    folders = _splits(root)
    folders = {split: _without_boxes(folder, notes) for split, folder in folders.items()}
    for folder in folders.values():
        for inner in folder.walk():
            _refuse_splits_inside(inner)
    if VALIDATION in folders:
        name = printable(folders[VALIDATION].path.name)
        notes.append(f"{name} is the validation set, and data.validation holds out nothing else")
        if TEST not in folders:
            notes.append("there is no test folder: the share data.test of train is the test set")
    return folders, notes


def _splits(root: Tree) -> dict[str, Tree]:
    where, by_split = printable(root.path), dict[str, Tree]()
    for folder in root.folders:
        split = split_of(folder.name)
        if split in by_split:
            raise PipelineError(
                f"{where}: {listed([by_split[split].path.name, folder.path.name])} both name the {split} "
                "split; put them together, or give one another name"
            )
        if split:
            by_split[split] = folder
    others = [f.path.name for f in root.folders if not split_of(f.name) and f.has_pictures()]
    others += [path.name for path in root.pictures]
    if not by_split or {TRAIN, TEST} <= by_split.keys():
        return by_split or {"": root}
    named = [folder.path.name for folder in by_split.values()]
    if not others:
        if is_division(set(by_split)):
            return by_split
        raise PipelineError(
            f"{where}: {_folders(named)} alone; expected train and test, train and val, or class folders"
        )
    if by_split.keys() == {TRAIN} and not root.pictures and not by_split[TRAIN].folders:
        return {"": root}  # among cars and planes, trains
    raise PipelineError(
        f"{where}: {_folders(named)} beside {listed(others)}: splits, or classes? Expected train and test, "
        "train and val, or class folders alone; move or rename the others"
    )


def _refuse_splits_inside(folder: Tree) -> None:
    """Raise if a folder further in is divided into splits, which would be mixed."""
    inner = {split_of(sub.name): sub.path.name for sub in folder.folders if split_of(sub.name)}
    if is_division({str(split) for split in inner}):
        raise PipelineError(
            f"{printable(folder.path)}: holds {listed(inner.values())}; expected splits outside of all "
            f"other folders, such as {TRAIN}/cat and {TEST}/cat; if there are no others, name "
            f"{printable(folder.path)} itself"
        )


def _without_boxes(folder: Tree, notes: list[str]) -> Tree:
    """The folder of pictures in a set for detection, where files with boxes stand beside it."""
    by_name = {sub.name.casefold(): sub for sub in folder.folders}
    if by_name.keys() != {"images", "labels"} or folder.pictures:
        return folder
    images, labels = by_name["images"], by_name["labels"]
    if labels.has_pictures() or not images.has_pictures():
        return folder
    notes.append(
        f"{printable(images.path)} are taken, without labels: what {printable(labels.path)} holds are "
        "boxes, as in YOLO's sets"
    )
    return images


def _folders(names: Sequence[str]) -> str:
    return f"{'a folder' if len(names) == 1 else 'the folders'} {listed(names)}"
