"""The channel files as models see them: for each component, an image is a row of bytes."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from pipeline.common import paths
from pipeline.common.errors import PipelineError, listed
from pipeline.data import store
from pipeline.data.store import Provenance, Split
from vae.config import Sizes
from vae.images import merge_components

VALIDATION = "validation"  # a split of images whose owner has held them out


@dataclass(frozen=True)
class Images:
    """A set of images, the same ones for every component."""

    pixels: dict[str, np.ndarray]  # by component, (N, D) uint8; of a joint one red, then green, then blue
    side: tuple[int, int]  # height and width
    labels: np.ndarray | None  # (N,) uint8 or uint16; None if there are none
    classes: tuple[str, ...]  # what the labels are called; empty if they have no names

    def __len__(self) -> int:
        return len(next(iter(self.pixels.values())))

    def part(self, which: slice | np.ndarray) -> "Images":
        """Some of them: of a slice without copying, unless there are none, which would keep all in memory."""
        some = {component: array[which] for component, array in self.pixels.items()}
        pixels = {component: array if len(array) else array.copy() for component, array in some.items()}
        return replace(self, pixels=pixels, labels=None if self.labels is None else self.labels[which])

    def pictures(self) -> np.ndarray:
        """RGB images, (N, 3, H, W) uint8."""
        return merge_components(list(self.pixels.values()), self.side)

    def stack(self, components: Sequence[str]) -> np.ndarray:
        """(C, N, D) uint8. The joint component is made of the three colours, where the images have those."""
        if list(components) == [paths.JOINT] and paths.JOINT not in self.pixels:
            return np.concatenate([self.pixels[colour] for colour in paths.COLOURS], axis=1)[None]
        arrays = [self.pixels[component] for component in components]
        return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)

    def label_names(self) -> list[str]:
        """The name of each image's label; nothing where there are none."""
        return store.label_names(self.labels, self.classes)


@dataclass(frozen=True)
class Classes:
    """The labels that occur in training, which a conditional model is told by their places."""

    labels: np.ndarray  # (K,) ascending, as the files have them
    names: tuple[str, ...]  # K

    def places(self, images: Images | Split, which: str) -> np.ndarray:
        """The images' labels as a conditional model is told them, (N,) int64, from 0 to K - 1.

        which: what errors call the images, such as "test".

        Raises:
            PipelineError: some images have no label, or one that no training image has.
        """
        if images.labels is None:
            raise PipelineError(
                f"{paths.PARAMS}: model.conditional is true, but the {which} images have no labels; set it "
                "to false, or give them labels, such as class folders"
            )
        unseen = ~np.isin(images.labels, self.labels)
        if unseen.any():
            names = sorted(set(store.label_names(images.labels[unseen], images.classes)))
            raise PipelineError(
                f"{paths.PARAMS}: model.conditional is true, but {unseen.sum():,} {which} images are of "
                f"classes that no training image has ({listed(names)}); set it to false, or move those images"
            )
        return np.searchsorted(self.labels, images.labels).astype(np.int64)


def load_training(
    components: Sequence[str], validation: float, only: Sequence[str] | None = None
) -> tuple[Images, Images]:
    """Images to fit, and those held out, perhaps none.

    The latter are the split validation; without one the last share of train, as one block.

    only: of which components the pixels are read; all must fit each other all the same.

    Raises:
        PipelineError: a channel file is absent, damaged, or does not fit the others.
    """
    # In this order, so that both results are parts of one array.
    everything, labels = _read(components, ("extra", "train", VALIDATION), needed="train", only=only)
    if VALIDATION in labels:
        kept = len(everything) - labels[VALIDATION].count
        fitted = [of_split for name, of_split in labels.items() if name != VALIDATION]
        return (
            replace(everything.part(slice(kept)), labels=_together(fitted)),
            replace(everything.part(slice(kept, None)), labels=labels[VALIDATION].labels),
        )
    kept = len(everything) - int(labels["train"].count * validation)
    return everything.part(slice(kept)), everything.part(slice(kept, None))


def load_test(components: Sequence[str]) -> Images:
    """The test split.

    Raises:
        PipelineError: as for `load_training`.
    """
    return _read(components, ("test",), needed="test")[0]


def sizes(training: Images, classes: Classes | None) -> Sizes:
    """The image shape and the classes of each component's model, taken from the data."""
    channels = len(paths.colours(next(iter(training.pixels))))
    return Sizes((channels, *training.side), classes.names if classes else ())


def known_classes(training: Images) -> Classes:
    """The classes of training images.

    Raises:
        PipelineError: the images have no labels.
    """
    if training.labels is None:
        raise PipelineError(
            f"{paths.PARAMS}: model.conditional is true, but the images have no labels; set it to false, or "
            "give them labels, such as class folders"
        )
    labels = np.unique(training.labels)
    return Classes(labels, tuple(store.label_names(labels, training.classes)))


def has_validation_split() -> bool:
    """Whether the channel files, if they are there, hold images that their owner has held out."""
    path = paths.channel(paths.COLOURS[0])
    if not path.exists():
        return False
    with store.read(path, dimensions=3) as splits:
        return VALIDATION in splits


def check_test_labels(classes: Classes) -> None:
    """Raise unless a conditional model can be told the label of every test image."""
    with store.read(paths.channel(paths.COLOURS[0]), dimensions=3) as splits:
        if "test" in splits:
            classes.places(splits["test"], "test")


def provenance() -> dict[str, tuple[int, Provenance | None]]:
    """Number of images and the file that they came from, by split."""
    with store.read(paths.channel(paths.COLOURS[0]), dimensions=3) as splits:
        return {name: (split.shape[0], split.provenance) for name, split in splits.items()}


@dataclass(frozen=True)
class _Labels:
    """Labels of one split."""

    count: int  # images
    labels: np.ndarray | None


def _read(
    components: Sequence[str], names: Sequence[str], needed: str, only: Sequence[str] | None = None
) -> tuple[Images, dict[str, _Labels]]:
    """Read those of the splits that there are, one after another; and the labels of each."""
    colours = [colour for component in components for colour in paths.colours(component)]
    with ExitStack() as stack:
        channels = {c: stack.enter_context(store.read(paths.channel(c), dimensions=3)) for c in colours}
        names = _common_splits(channels, names, needed)
        parts = {colour: [splits[name] for name in names] for colour, splits in channels.items()}
        first = parts[colours[0]]
        _, height, width = first[0].shape
        labels = {n: _Labels(s.shape[0], s.labels) for n, s in zip(names, first, strict=True)}
        images = Images(
            {c: _stacked([parts[colour] for colour in paths.colours(c)]) for c in only or components},
            (height, width),
            _together(labels.values()),
            first[-1].classes,
        )
        return images, labels


def _common_splits(
    channels: Mapping[str, Mapping[str, Split]], names: Sequence[str], needed: str
) -> list[str]:
    """Names of the splits that the channel files have; all have the same, of the same shapes.

    Raises:
        PipelineError: one has not the split that is needed, or they differ.
    """
    by_path = {paths.channel(colour): splits for colour, splits in channels.items()}
    first = next(iter(by_path))
    common = [name for name in names if name in by_path[first]]
    for path, splits in by_path.items():
        if needed not in splits:
            raise PipelineError(
                f"{path}: no split {needed}; found {', '.join(splits)}; run `dvc repro split`"
            )
        for name in common:
            if name not in splits:
                raise PipelineError(f"{path}: no split {name}, but {first} has one; {store.DIFFERENT_RUNS}")
    for name in common:
        store.check_same_shape({path: splits[name] for path, splits in by_path.items()})
    return common


def _together(splits: Collection[_Labels]) -> np.ndarray | None:
    """(N,) of all of them; None where one has none."""
    labels = [split.labels for split in splits if split.labels is not None]
    return np.concatenate(labels) if len(labels) == len(splits) else None


def _stacked(colours: Sequence[Sequence[Split]]) -> np.ndarray:
    """(N, D) uint8 of the splits of one colour or of three; in memory are the result and one block."""
    count = sum(split.shape[0] for split in colours[0])
    side = colours[0][0].shape[1:]
    pixels = np.empty((count, len(colours), *side), np.uint8)
    for channel, splits in enumerate(colours):
        start = 0
        for split in splits:
            for rows in split.blocks():
                pixels[start + rows.start : start + rows.stop, channel] = split.images[rows]
            start += split.shape[0]
    return pixels.reshape(count, -1)
