"""The bounds on log p(x), in order, and on a model of which log p(x) is known."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.helpers.models import model, row, square, start, train
from vae import objective, randomness
from vae.evaluate import bound, evaluate
from vae.fit import fit
from vae.likelihood import Gaussian
from vae.model import VAE
from vae.stack import assemble

PIXELS = 16


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(300, 1, 2, 2, generator=draw)
    return (torch.nn.functional.interpolate(coarse, 4) * 255).to(torch.uint8).flatten(1)


@pytest.fixture(scope="module")
def fitted(images: torch.Tensor) -> VAE:
    config = model(latent=3, hidden=(24,), likelihood="gaussian", centred=True)
    schedule = train(epochs=30, batch_size=20, learning_rate=0.005)
    *_, end = fit(images[None], [start("red", square(4), config)], schedule)
    return assemble(end.states(), torch.device("cpu"))


@pytest.mark.slow
def test_bounds_are_in_order(fitted: VAE, images: torch.Tensor) -> None:
    """ELBO <= IW(8) <= IW(64) <= IW(512), each by more than its error."""
    found = {k: bound(fitted, "red", images, 0, samples=k) for k in (8, 64, 512)}
    [measures] = evaluate(fitted, ["red"], images[None], 0)
    assert found[512].cost == pytest.approx(measures.cost, abs=0.1)
    costs = [found[512].cost, found[8].weighted, found[64].weighted, found[512].weighted]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4
    assert found[512].gain == pytest.approx(costs[0] - costs[-1])


def test_the_bound_is_a_float64_loop(fitted: VAE, images: torch.Tensor) -> None:
    noise = randomness.generator(7, "red", "bound").standard_normal((1, 5, 6, 3), "float32").astype(float)
    double = fitted.double()
    with torch.no_grad():
        x = images[None, :5].double() / 255
        mu, logvar = double.encode(x)
        expected = 0.0
        for b in range(5):
            weights = []
            for e in torch.from_numpy(noise[0, b]):
                z = mu[0, b] + torch.exp(0.5 * logvar[0, b]) * e
                p_x = -double.likelihood.nll(double.decode(z[None, None]), x[:, b : b + 1]).item()
                p_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum().item()
                q_z = (
                    torch.distributions.Normal(mu[0, b], torch.exp(0.5 * logvar[0, b]))
                    .log_prob(z)
                    .sum()
                    .item()
                )
                weights.append(p_x + p_z - q_z)
            expected -= np.logaddexp.reduce(weights) - math.log(6)
    found = bound(fitted.float(), "red", images[:5], 7, samples=6)
    assert found.weighted == pytest.approx(expected / 5, rel=1e-5)


def test_with_the_true_posterior_one_sample_is_exact() -> None:
    """A linear model: x is normal, the posterior is known, and every weight is p(x)."""
    config = model(latent=2, hidden=(2,), activation="relu", likelihood="gaussian", shortcut=True)
    vae = assemble([start("red", row(6), config)], torch.device("cpu")).double()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        basis, _ = torch.linalg.qr(torch.randn(6, 2, generator=draw).double())
        w = basis * torch.tensor([0.5, 0.3]).double()  # v = w z + noise
        assert isinstance(vae.likelihood, Gaussian)
        deviation = vae.likelihood.log_deviation().exp().item()
        vae.outward.weight.copy_(w.T * 256 / 255)
        vae.decoder.output.bias.fill_(-0.5 / 255)  # in brightness, v = 0
        precision = torch.eye(2).double() + w.T @ w / deviation**2  # diagonal
        vae.inward.weight.copy_((w / deviation**2 @ precision.inverse()) * 255 / 256)
        vae.mu_bias.copy_(
            (torch.full((6,), 0.5 / 256).double() @ w / deviation**2 @ precision.inverse())[None]
        )
        # log variance without a bias: through a hidden unit that is always one.
        vae.encoder.layers[0].bias.fill_(1)
        vae.weights()["logvar.weight"][0, 0] = -precision.diagonal().log()
        x = torch.rand(1, 4, 6, generator=draw).double()
        noise = torch.randn(1, 4, 9, 2, generator=draw).double()
        weights = objective.log_weights(vae, x, noise)
        v = (255 * x[0] + 0.5) / 256
        marginal = MultivariateNormal(torch.zeros(6).double(), w @ w.T + deviation**2 * torch.eye(6).double())
        expected = marginal.log_prob(v) - 6 / (12 * 256**2) / (2 * deviation**2)
    torch.testing.assert_close(weights, expected[None, :, None].expand_as(weights), rtol=1e-9, atol=1e-9)


def test_samples_decoded_at_a_time_do_not_count(fitted: VAE, images: torch.Tensor) -> None:
    noise = torch.randn(1, 4, 10, 3, generator=torch.Generator().manual_seed(3))
    x = images[None, :4] / 255
    with torch.no_grad():
        whole, parts = (objective.log_weights(fitted.float(), x, noise, None, n) for n in (None, 4))
    assert torch.allclose(whole, parts, rtol=1e-5)
    seen: list[int] = []
    bound(fitted, "red", images[:3], 0, samples=2, advance=seen.append)
    assert seen == [1, 1, 1]
