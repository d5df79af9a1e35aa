"""Training: resumed, stacked, sharded, diverged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.fits import COMPONENTS, MODEL, TRAIN, assert_same, distance, fresh, images, last
from tests.helpers.models import row, start
from vae.config import Precision
from vae.fit import CostNotFinite, fit
from vae.modelfile import load_checkpoint, save_checkpoint
from vae.step import Replica


def test_the_cost_falls_and_the_history_says_so() -> None:
    [state] = last(fit(images("red"), fresh("red"), TRAIN, validation_CND=images("red")[:, :20]))
    training = [r for r in state.history if r.split == "train"]
    assert [r.epoch for r in training] == [1, 2, 3, 4]
    assert training[-1].cost < training[0].cost
    assert [r.epoch for r in state.history if r.split == "validation"] == [1, 2, 3, 4]
    assert all(r.cost == r.reconstruction + r.kl and r.component == "red" for r in state.history)
    assert (state.epoch, state.steps) == (4, 4 * 6)


def test_twice_is_bit_identical() -> None:
    first, second = (last(fit(images("red"), fresh("red"), TRAIN)) for _ in range(2))
    assert_same(first[0], second[0])


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, stop: int) -> None:
    [whole] = last(fit(images("red"), fresh("red"), TRAIN))
    for epoch in fit(images("red"), fresh("red"), TRAIN):
        if epoch.number == stop:
            save_checkpoint(tmp_path / "red", epoch.states()[0])
            break
    [resumed] = last(fit(images("red"), [load_checkpoint(tmp_path / "red")], TRAIN))
    assert_same(whole, resumed)


def test_raising_the_epochs_goes_on() -> None:
    short = replace(TRAIN, epochs=2)
    resumed = last(fit(images("red"), last(fit(images("red"), fresh("red"), short)), TRAIN))
    assert_same(resumed[0], last(fit(images("red"), fresh("red"), TRAIN))[0])


def test_states_given_are_not_changed() -> None:
    before, given = fresh("red"), fresh("red")
    last(fit(images("red"), given, TRAIN))
    assert_same(before[0], given[0])


@pytest.mark.parametrize("stacks", [(COMPONENTS,), (("red", "green"), ("blue",))])
def test_a_stack_is_its_models_alone(stacks: tuple[tuple[str, ...], ...]) -> None:
    stacked = {s.component: s for stack in stacks for s in last(fit(images(*stack), fresh(*stack), TRAIN))}
    for component in COMPONENTS:
        [alone] = last(fit(images(component), fresh(component), TRAIN))
        assert distance(stacked[component], alone) < 1e-5
        assert stacked[component].history[-1].cost == pytest.approx(alone.history[-1].cost, abs=1e-3)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_other_precisions_are_near(precision: Precision) -> None:
    """tf32 is of NVIDIA's GPUs: on a CPU it is fp32. bf16 has 8 bits instead of 24."""
    [exact] = last(fit(images("red"), fresh("red"), TRAIN))
    [rounded] = last(fit(images("red"), fresh("red"), replace(TRAIN, precision=precision)))
    assert rounded.history[-1].cost == pytest.approx(exact.history[-1].cost, abs=0.1)
    assert (distance(rounded, exact) > 0) == (precision == "bf16")
    assert all(w.dtype == torch.float32 for w in rounded.weights.values())


def test_divergence_is_named() -> None:
    [state] = fresh("red")
    state.weights["decoder.output.bias"].fill_(float("nan"))
    with pytest.raises(CostNotFinite, match=r"cost of red became nan in epoch 1: try a smaller train"):
        list(fit(images("red"), [state], TRAIN))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fit(images("red", "green"), fresh("red"), TRAIN), "2 sets of images need as many states"),
        (lambda: fit(images("red")[:, :5], fresh("red"), TRAIN), "batch_size 10 is more than the 5"),
        (
            lambda: fit(images("red"), fresh("red"), TRAIN, replica=Replica(0, 11)),
            "less than one image for each",
        ),
    ],
)
def test_arguments_that_do_not_fit(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(call())  # type: ignore[operator]


def test_models_of_different_shapes_are_no_stack() -> None:
    other = start("green", row(20), replace(MODEL, latent=5))
    with pytest.raises(ValueError, match="different shapes"):
        next(fit(images("red", "green"), [*fresh("red"), other], TRAIN))
