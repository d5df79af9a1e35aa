"""Models of every kind: shapes, stacks, labels, what they start from, and that each parameter counts."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.helpers.fits import assert_same, distance, last
from tests.helpers.models import model, square, start, train
from vae import schedule
from vae.config import ModelConfig, Sizes
from vae.conv import _doubled
from vae.evaluate import evaluate, evaluation_noise
from vae.fit import fit
from vae.model import VAE
from vae.modelfile import load_checkpoint, save_checkpoint
from vae.shift import shift_sources
from vae.stack import TrainingState, assemble, initial_state

CPU = torch.device("cpu")
KINDS: list[dict[str, Any]] = [
    {"hidden": (9, 7)},
    {"hidden": (9, 7), "shortcut": True, "centred": True, "likelihood": "gaussian"},
    {"hidden": (4, 6), "architecture": "conv", "activation": "gelu"},
    {
        "hidden": (4,),
        "architecture": "conv",
        "shortcut": True,
        "centred": True,
        "likelihood": "continuous_bernoulli",
    },
]
TRAIN = train(epochs=2, batch_size=10, learning_rate=0.01)


def images(sizes: Sizes, count: int = 60, models: int = 1) -> torch.Tensor:
    """Smooth pictures, (models, count, D) uint8."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(models * count, sizes.image[0], 3, 3, generator=draw)
    fine = torch.nn.functional.interpolate(coarse, sizes.image[1:], mode="bilinear")
    return (fine * 255).to(torch.uint8).view(models, count, sizes.pixels)


def built(sizes: Sizes, config: ModelConfig, models: int = 1) -> VAE:
    return assemble([start(f"c{c}", sizes, config) for c in range(models)], CPU)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", [(1, 8, 8), (3, 13, 9), (1, 5, 1), (1, 48, 48), (3, 64, 64)])
def test_pictures_of_any_size_come_back_as_large(kind: dict[str, Any], image: tuple[int, int, int]) -> None:
    sizes, config = Sizes(image), model(latent=3, **kind)
    vae = built(sizes, config, models=2)
    mu, logvar = vae.encode(images(sizes, models=2) / 255)
    assert mu.shape == logvar.shape == (2, 60, 3)
    assert vae.decode(mu).shape == (2, 60, sizes.pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_its_models_alone_and_a_checkpoint_is_to_the_bit(
    kind: dict[str, Any], tmp_path: Any
) -> None:
    sizes, config = square(8), model(latent=3, **kind)
    states = [start(c, sizes, config) for c in ("red", "green")]
    both = last(fit(images(sizes, models=2), states, TRAIN))
    for c, state in enumerate(states):
        [alone] = last(fit(images(sizes, models=2)[c : c + 1], [state], TRAIN))
        assert distance(both[c], alone) < 1e-4
        save_checkpoint(tmp_path / "state", alone)
        assert_same(load_checkpoint(tmp_path / "state"), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_models_with_labels_learn_what_labels_tell(kind: dict[str, Any]) -> None:
    """The label is the brightness: told another, a model has to pay."""
    told = Sizes((1, 8, 8), class_names=("a", "b"))
    labels = torch.arange(60) % 2
    pixels = images(told) // 4 + (labels * 150).to(torch.uint8)[None, :, None]
    config = model(latent=2, channels="joint", conditional=True, **kind)
    [state] = last(fit(pixels, [start("rgb", told, config)], replace(TRAIN, epochs=20), labels_N=labels))
    vae = assemble([state], CPU)
    [right], [wrong] = (evaluate(vae, ["rgb"], pixels, 0, told) for told in (labels, 1 - labels))
    assert wrong.cost > right.cost + 0.3
    assert right.cost == pytest.approx(state.history[-1].cost, abs=5)


def test_labels_go_with_a_conditional_model_alone() -> None:
    sizes = Sizes((1, 8, 8), class_names=("a", "b"))
    plain, told = (
        model(latent=2, hidden=(4,)),
        model(latent=2, hidden=(4,), channels="joint", conditional=True),
    )
    for state, labels in (
        (start("a", square(8), plain), torch.zeros(60).long()),
        (start("a", sizes, told), None),
    ):
        with pytest.raises(ValueError, match="labels go with a conditional model"):
            next(fit(images(sizes), [state], TRAIN, labels_N=labels))


@pytest.mark.parametrize("kind", KINDS)
def test_a_centred_model_starts_from_the_mean_image(kind: dict[str, Any]) -> None:
    sizes = square(8)
    config = model(latent=3, **(kind | {"centred": True}))
    state = initial_state("red", images(sizes)[0], sizes, config, 0)
    vae = assemble([state], CPU)
    mean = images(sizes)[0].double().mean(0) / 255
    torch.testing.assert_close(state.weights["mean"].double(), mean, rtol=0, atol=1e-6)
    with torch.no_grad():
        # With nothing else in the decoder, the output is the mean.
        for name, parameter in vae.named_parameters():
            if not name.endswith(vae.decoder.LEVEL):
                parameter.zero_()
        drawn = vae.likelihood.mean(vae.decode(torch.zeros(1, 1, 3)))[0, 0]
    torch.testing.assert_close(drawn.double(), mean, rtol=0, atol=1e-3)
    assert "mean" not in state.first_moments


def test_a_fitted_mean_stays_what_it_was() -> None:
    sizes, config = square(8), model(latent=2, hidden=(4,), centred=True)
    first = start("red", sizes, config)
    [end] = last(fit(images(sizes), [first], TRAIN))
    assert torch.equal(end.weights["mean"], first.weights["mean"])


@pytest.mark.parametrize(
    "change",
    [
        {"warmup": 5},
        {"kl_warmup": 5},
        {"decay": "cosine"},
        {"samples": 2},
        {"shift": 1},
        {"seed": 1},
        {"learning_rate": 0.02},
        {"batch_size": 12},
        {"precision": "bf16"},
    ],
)
def test_every_parameter_of_training_counts(change: dict[str, Any]) -> None:
    def fitted(**changes: Any) -> TrainingState:
        config = replace(TRAIN, **changes)
        return last(
            fit(
                images(square(8)),
                [start("red", square(8), model(latent=3, hidden=(9,)), config.seed)],
                config,
            )
        )[0]

    assert distance(fitted(), fitted(**change)) > 1e-6


def test_the_schedule() -> None:
    config = train(epochs=4, learning_rate=0.1, warmup=10, decay="cosine", kl_warmup=20)
    steps = [schedule.epoch(config, 25, number) for number in (1, 2, 3, 4)]
    rates = [rate for epoch_rates, _ in steps for rate in epoch_rates]
    weights = [weight for _, epoch_weights in steps for weight in epoch_weights]
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert rates[9] == rates[10] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.05)  # half of the way down
    assert 0 < rates[-1] < 1e-4
    assert weights[0] == pytest.approx(0.05)
    assert weights[19:] == [1.0] * 81
    plain = schedule.epoch(train(learning_rate=0.3), 7, 2)
    assert plain == ([0.3] * 7, [1.0] * 7)


def test_a_shift_moves_the_picture_and_repeats_its_edge() -> None:
    sizes = Sizes((2, 3, 4))
    picture = torch.arange(24).view(2, 3, 4)
    moves = picture.flatten()[shift_sources(sizes, 1)].view(3, 3, 2, 3, 4)
    assert torch.equal(moves[1, 1], picture)
    padded = torch.nn.functional.pad(picture[None].float(), (1, 1, 1, 1), mode="replicate")[0].long()
    for y in range(3):
        for x in range(3):
            assert torch.equal(moves[y, x], padded[:, y : y + 3, x : x + 4])


def test_what_shapes_training_is_not_in_the_cost_that_is_reported() -> None:
    """With a rate of almost nothing, the first epoch's cost is the first model's, whatever weighs its KL."""
    sizes, config = square(8), model(latent=3, hidden=(9,))
    still = replace(TRAIN, epochs=1, learning_rate=1e-12, kl_warmup=10_000)
    [state] = last(fit(images(sizes), [start("red", sizes, config)], still))
    [plain] = last(fit(images(sizes), [start("red", sizes, config)], replace(still, kl_warmup=0)))
    assert state.history[-1].cost == pytest.approx(plain.history[-1].cost, rel=1e-6)
    assert state.history[-1].kl > 0


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("size", [(3, 5, 4), (1, 2, 2)])
def test_pictures_are_doubled_as_by_pixel_shuffle(channels_last: bool, size: tuple[int, int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(2, 3, 4 * size[0], *size[1:], generator=draw)
    if channels_last:
        h = h.movedim(2, 4).contiguous().movedim(4, 2)
    h.requires_grad_()
    doubled, expected = _doubled(h), torch.nn.functional.pixel_shuffle(h, 2)
    assert torch.equal(doubled, expected)
    assert not channels_last or doubled.movedim(2, 4).is_contiguous()
    towards = torch.randn(expected.shape, generator=draw)
    (one,), (two,) = (torch.autograd.grad(found, h, towards) for found in (doubled, expected))
    assert torch.equal(one, two)


def test_noise_that_is_drawn_before_is_that_of_an_evaluation() -> None:
    sizes, config = square(8), model(latent=3, hidden=(5,))
    states = [start(component, sizes, config) for component in ("red", "blue")]
    vae, pixels = assemble(states, CPU), images(sizes, 30, 2)
    noise = evaluation_noise(("red", "blue"), 30, 3, 7)
    assert evaluate(vae, ("red", "blue"), pixels, 7, noise_CNK=noise) == evaluate(
        vae, ("red", "blue"), pixels, 7
    )
    assert evaluate(vae, ("red", "blue"), pixels, 8, noise_CNK=noise) != evaluate(
        vae, ("red", "blue"), pixels, 8
    )
