"""What linear models do, against numpy's singular values and scipy's normal densities."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from vae import baseline


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """(400, 12) uint8 that vary along three directions, and a little along all."""
    draw = np.random.default_rng(0)
    values = 128 + draw.normal(0, 1, (400, 3)) @ draw.normal(0, 60, (3, 12)) + draw.normal(0, 6, (400, 12))
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8))


def test_components_are_numpy_s(images: torch.Tensor) -> None:
    x = images.double().numpy() / 255
    centred = x - x.mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    found = baseline.fit_pca(images, 3)
    np.testing.assert_allclose(found.variances_K, singular[:3] ** 2 / len(x), rtol=1e-4)
    projected = centred @ axes[:3].T @ axes[:3] + x.mean(0)
    np.testing.assert_allclose(found.reconstruct(images), projected.clip(0, 1), atol=1e-4)
    assert found.rest == pytest.approx((singular[3:] ** 2).sum() / len(x), rel=1e-3)
    assert found.noise == pytest.approx((x * (1 - x)).mean(), rel=1e-5)
    error = ((projected.clip(0, 1) - x) ** 2).mean()
    assert baseline.reconstruction_error(found, images) == pytest.approx(error, rel=1e-3)


def test_more_components_than_pixels_are_all(images: torch.Tensor) -> None:
    found = baseline.fit_pca(images, 50)
    assert found.axes_DK.shape == (12, 12)
    assert baseline.reconstruction_error(found, images) == pytest.approx(0, abs=1e-9)


def test_the_linear_cost_is_a_normal_density_s(images: torch.Tensor) -> None:
    """Of scipy, with the covariance of probabilistic PCA, averaged over the dequantisation."""
    fitted, seen = images[:300], images[300:]
    found = baseline.fit_pca(fitted, 3)
    v = (fitted.double().numpy() + 0.5) / 256
    covariance = np.cov(v.T, bias=True) + np.eye(12) / (12 * 256**2)
    variances, axes = np.linalg.eigh(covariance)
    noise = variances[:-3].mean()
    model = axes[:, -3:] @ np.diag(variances[-3:] - noise) @ axes[:, -3:].T + noise * np.eye(12)
    centre = (seen.double().numpy() + 0.5) / 256
    density = multivariate_normal(v.mean(0), model).logpdf(centre)
    # The quadratic form's expectation over u.
    expected = -density.mean() + 0.5 * np.trace(np.linalg.inv(model)) / (12 * 256**2)
    assert baseline.linear_cost(found, seen) == pytest.approx(expected, rel=1e-4)


def test_the_linear_excess_is_the_best_of_linear_models(images: torch.Tensor) -> None:
    """In closed form, and no other signal along an axis costs less."""
    found = baseline.fit_pca(images, 5)
    excess = baseline.linear_excess(found, images)
    assert excess is not None
    kept = found.variances_K[found.variances_K > found.noise]
    lost = found.rest + float(found.variances_K[len(kept) :].sum())
    expected = float((0.5 * (1 + torch.log(kept / found.noise))).sum()) + lost / (2 * found.noise)
    assert excess == pytest.approx(expected, rel=1e-4)
    best = (found.variances_K - found.noise).clamp_min(0)
    for other in (0.5 * best, 1.5 * best, best + 0.01):
        assert baseline._linear(found, images, other, found.noise) > excess
    assert math.isfinite(excess)
