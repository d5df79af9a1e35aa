"""Images in Ray's object store: put there once by the driver, mapped by every process of a node."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import ray
import torch

from pipeline.data.images import Images


@dataclass(frozen=True)
class SplitRefs:
    """References to one split of the images; small, whatever the number of images."""

    stacks: Mapping[tuple[str, ...], ray.ObjectRef]  # by components: (C, N, D) uint8
    side: tuple[int, int]  # height and width
    labels: np.ndarray | None  # (N,) int64, places of classes; None where no model is told them

    def stack(self, components: tuple[str, ...]) -> torch.Tensor:
        """(C, N, D) uint8, read-only: the node's shared copy itself, where these were put as one stack."""
        groups = [components] if components in self.stacks else [(component,) for component in components]
        arrays: list[np.ndarray] = ray.get([self.stacks[group] for group in groups])
        with warnings.catch_warnings():
            # Ray's arrays are read-only, and nothing here writes to them.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = [torch.from_numpy(array) for array in arrays]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)

    def condition_labels(self) -> torch.Tensor | None:
        """The labels, (N,) int64."""
        return None if self.labels is None else torch.tensor(self.labels)


def move_images(
    splits: Mapping[str, Images], labels: Mapping[str, np.ndarray | None]
) -> dict[str, SplitRefs]:
    """Put every component of some splits into the object store; they have no pixels afterwards.

    One component after the other: so the driver never holds more than one of them beside the store's.
    """
    components = list(next(iter(splits.values())).pixels)
    stacks: dict[str, dict[tuple[str, ...], ray.ObjectRef]] = {name: {} for name in splits}
    for component in components:
        for name, split in splits.items():
            stacks[name][(component,)] = ray.put(split.pixels.pop(component)[None])
    return {name: SplitRefs(stacks[name], split.side, labels[name]) for name, split in splits.items()}


def put_images(images: Images, groups: Iterable[tuple[str, ...]], labels: np.ndarray | None) -> SplitRefs:
    """Copy images to the object store, a stack for each group of components; the images stay as they are.

    labels: (N,) int64, the places of their classes, where models are told them.
    """
    stacks = {group: ray.put(images.stack(group)) for group in groups}
    return SplitRefs(stacks, images.side, labels)
