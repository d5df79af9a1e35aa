"""Each likelihood against torch.distributions and numerical integration, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import ContinuousBernoulli as Reference

from vae.config import Likelihood
from vae.likelihood import LIKELIHOODS, Bernoulli, ContinuousBernoulli, Gaussian

LOGITS = torch.tensor([-30.0, -4.0, -0.3, -1e-4, 0.0, 0.05, 0.11, 2.0, 30.0], dtype=torch.float64)


def brightness(v: Tensor) -> Tensor:
    """Of dequantised values: what the densities undo, without clipping."""
    return (256 * v - 0.5) / 255


def gaussian(deviation: float) -> Gaussian:
    found = Gaussian(1).double()
    with torch.no_grad():
        found.scale.fill_(math.log(deviation / found.START) / found.PACE)
    return found


@pytest.mark.parametrize("logit", LOGITS.tolist())
def test_the_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    v = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    density = -ContinuousBernoulli(1).nll(
        torch.full((1, len(v), 1), logit).double(), brightness(v)[None, :, None]
    )
    assert torch.trapezoid(density[0].exp(), v).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("deviation", [0.01, 0.07, 0.5])
def test_the_gaussian_integrates_to_one(deviation: float) -> None:
    v = torch.linspace(-4, 5, 200_001, dtype=torch.float64)
    outputs = torch.full((1, len(v), 1), 0.4).double()
    density = -gaussian(deviation).nll(outputs, brightness(v)[None, :, None])[0]
    # The expectation over u, which costs its variance, is taken back.
    density = density + 1 / (12 * 256**2) / (2 * deviation**2)
    assert torch.trapezoid(density.exp(), v).item() == pytest.approx(1, abs=1e-9)


def test_the_continuous_bernoulli_is_torch_s() -> None:
    v = torch.linspace(0.01, 0.99, 7, dtype=torch.float64)
    logits, values = (grid.flatten()[None, :, None] for grid in torch.meshgrid(LOGITS, v, indexing="ij"))
    mine = ContinuousBernoulli(1)
    torch.testing.assert_close(
        -mine.nll(logits, brightness(values)),
        Reference(logits=logits).log_prob(values)[..., 0],
        rtol=1e-4,
        atol=1e-4,
    )
    expected = brightness(Reference(logits=logits).mean).clamp(0, 1)
    torch.testing.assert_close(mine.mean(logits), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["continuous_bernoulli", "gaussian"])
def test_a_density_s_log_is_its_expectation_over_the_dequantisation(kind: Likelihood) -> None:
    """Against an average over many u of the density at (byte + u) / 256."""
    likelihood = LIKELIHOODS[kind](1).double()
    byte, outputs = torch.tensor([0.0, 100.0, 255.0]).double(), torch.tensor([0.2, 0.35, 0.9]).double()
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    v = (byte + u[:, None]) / 256
    if isinstance(likelihood, Gaussian):
        centre = (255 * outputs + 0.5) / 256
        density = torch.distributions.Normal(centre, likelihood.log_deviation().exp()).log_prob(v)
    else:
        density = Reference(logits=outputs).log_prob(v)
    found = -likelihood.nll(outputs[None, None], (byte / 255)[None, None])
    assert found.item() == pytest.approx(density.mean(0).sum().item(), rel=1e-6)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_link_gives_the_outputs_of_a_mean(kind: Likelihood) -> None:
    mean = torch.tensor([0.01, 0.2, 0.5, 0.77, 0.99])
    likelihood = LIKELIHOODS[kind](1)
    found = likelihood.mean(likelihood.link(mean)[None, None])
    torch.testing.assert_close(found[0, 0], mean, rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_samples_have_the_mean(kind: Likelihood) -> None:
    likelihood = LIKELIHOODS[kind](1)
    outputs = likelihood.link(torch.tensor([0.45, 0.5, 0.55]))[None, None]
    uniform = torch.rand(1, 40_000, 3, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6)
    samples = likelihood.sample(outputs.expand_as(uniform), uniform)
    assert samples.min() >= 0
    assert samples.max() <= 1
    torch.testing.assert_close(samples.mean(1, keepdim=True), likelihood.mean(outputs), rtol=0, atol=0.01)


def test_samples_of_the_continuous_bernoulli_are_distributed_as_torch_s() -> None:
    uniform = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    for logit in (-5.0, -0.2, 0.3, 8.0):
        found = ContinuousBernoulli(1).sample(torch.full_like(uniform, logit), uniform)
        cumulated = Reference(logits=torch.tensor(logit).double()).cdf(
            ((255 * found + 0.5) / 256).clamp(0, 1)
        )
        inside = (found > 0) & (found < 1)
        torch.testing.assert_close(cumulated[inside], uniform[inside], rtol=0, atol=1e-4)


def test_the_names_are_those_of_the_configuration() -> None:
    from typing import get_args

    assert set(LIKELIHOODS) == set(get_args(Likelihood))
    assert {kind: likelihood.density for kind, likelihood in LIKELIHOODS.items()} == {
        "bernoulli": False,
        "continuous_bernoulli": True,
        "gaussian": True,
    }
    assert Bernoulli(1).link(torch.tensor(0.0)).isfinite()
