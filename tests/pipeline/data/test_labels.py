"""Labels from a source to a conditional model: gaps, names, and what training has not."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images, store
from tests.helpers.arrays import equal
from tests.helpers.drawings import noise


def write(names: tuple[str, ...] = (), **labels: list[int] | None) -> None:
    """data/channels with these labels of each split."""
    for colour in paths.COLOURS:
        with store.create(paths.channel(colour)) as file:
            for split, given in labels.items():
                values = None if given is None else np.array(given, np.uint16)
                count = 3 if given is None else len(given)
                file.create(split, (count, 8, 8), values, classes=names)[:] = noise(count, 8, 8)


def test_gaps_in_labels_are_no_classes(workspace: Path) -> None:
    write(train=[255, 0, 3, 1, 2, 255], test=[3, 255])
    training, _ = images.load_training(paths.COLOURS, 0)
    classes = images.known_classes(training)
    assert classes.names == ("0", "1", "2", "3", "255")
    assert equal(classes.places(training, "training"), [4, 0, 3, 1, 2, 4])
    assert equal(classes.places(images.load_test(paths.COLOURS), "test"), [3, 4])
    assert images.sizes(training, classes).class_names == classes.names


def test_classes_are_called_by_their_names(workspace: Path) -> None:
    write(("ape", "bee", "cat"), train=[2, 0, 2], test=[0])
    training, _ = images.load_training(paths.COLOURS, 0)
    assert images.known_classes(training).names == ("ape", "cat")
    assert training.label_names() == ["cat", "ape", "cat"]


@pytest.mark.parametrize(
    ("test", "said"), [([0, 7, 9], r"2 test images .* has \(7, 9\)"), (None, "have no labels")]
)
def test_labels_that_no_model_can_be_told(workspace: Path, test: list[int] | None, said: str) -> None:
    write(train=[0, 1, 2], test=test)
    training, _ = images.load_training(paths.COLOURS, 0)
    with pytest.raises(PipelineError, match=f"model.conditional is true, but .*{said}"):
        images.check_test_labels(images.known_classes(training))


def test_images_that_their_owner_holds_out(workspace: Path) -> None:
    write(train=[0, 1, 2, 3], validation=[1, 2], test=[0], extra=[3])
    training, held_out = images.load_training(("red",), 0.5)
    assert equal(training.labels, [3, 0, 1, 2, 3])  # none of train is held out besides
    assert equal(held_out.labels, [1, 2])
    with store.read(paths.channel("red"), dimensions=3) as splits:
        assert np.array_equal(held_out.pixels["red"].reshape(-1, 8, 8), splits["validation"].images[:])
        assert np.array_equal(training.pixels["red"][1:].reshape(-1, 8, 8), splits["train"].images[:])


def test_held_out_images_without_labels(workspace: Path) -> None:
    write(train=[0, 1, 2], validation=None, test=[0])
    training, held_out = images.load_training(("red",), 0.5)
    assert equal(training.labels, [0, 1, 2])
    assert held_out.labels is None


def test_pixels_of_one_component_alone(workspace: Path) -> None:
    write(train=[0, 1, 1, 0], test=[1])
    whole, _ = images.load_training(paths.COLOURS, 0.25)
    some, held_out = images.load_training(paths.COLOURS, 0.25, only=["green"])
    assert list(some.pixels) == ["green"]
    assert equal(some.pixels["green"], whole.pixels["green"])
    assert (len(some), len(held_out)) == (3, 1)


def test_of_no_images_nothing_keeps_the_others_in_memory(workspace: Path) -> None:
    write(train=[0, 1, 1, 0], test=[1])
    fitted, none = images.load_training(paths.COLOURS, 0.0)
    assert len(none) == 0
    assert none.pixels["red"].base is None
    assert np.shares_memory(fitted.part(slice(2)).pixels["red"], fitted.pixels["red"])


def test_images_that_are_handed_over_are_in_one_place(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.distributed.split_refs import move_images

    write(train=[0, 1, 1, 0], test=[1])
    fitted, held_out = images.load_training(paths.COLOURS, 0.25)
    splits = {"train": fitted, "validation": held_out}
    left: list[int] = []

    def put(stack: np.ndarray) -> tuple[int, ...]:
        left.append(len(fitted.pixels) + len(held_out.pixels))
        return stack.shape

    monkeypatch.setattr("ray.put", put)
    refs = move_images(splits, {"train": None, "validation": None})
    assert left == [5, 4, 3, 2, 1, 0]  # both splits of a colour before the next colour
    assert refs["train"].stacks == {(colour,): (1, 3, 64) for colour in paths.COLOURS}
    assert refs["validation"].stacks == {(colour,): (1, 1, 64) for colour in paths.COLOURS}
