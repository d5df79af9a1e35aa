"""The measures that cannot flatter: samples on demand, and pictures beside the linear method's."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.evaluation import metrics, reconstruction, samples
from vae import classifier
from vae.config import Sizes, numbered

SIZES = Sizes((3, 16, 16), numbered(3))


def pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bars in one of three directions, noisy, of any brightness: (N, 3, 16, 16) uint8 and labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=draw)
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    waves = torch.stack([torch.sin(phase * 1.0) for phase in (rows, columns, rows + columns)])
    level = torch.rand(count, 1, 1, generator=draw) * 0.4 + 0.3
    noise = 0.1 * torch.randn(count, 16, 16, generator=draw)
    x = (level + 0.2 * waves[labels] + noise).clamp(0, 1)
    return (x[:, None].expand(-1, 3, -1, -1) * 255).to(torch.uint8), labels


@pytest.fixture(scope="module")
def judge() -> classifier.Classifier:
    images, labels = pictures(400, 0)
    model = classifier.initial(SIZES, 0)
    steps = classifier.fit(model, images, labels, 0)
    for _ in zip(range(60), steps, strict=False):
        pass
    steps.close()
    return model.eval()


@pytest.mark.slow
def test_the_classifier_learns_and_is_the_same_twice(judge: classifier.Classifier) -> None:
    images, labels = pictures(300, 1)
    assert (classifier.predict(judge, images) == labels).float().mean() > 0.95
    again = classifier.initial(SIZES, 0)
    for _ in zip(range(60), classifier.fit(again, *pictures(400, 0), 0), strict=False):
        pass
    for one, two in zip(judge.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_a_classifier_s_file(judge: classifier.Classifier, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from vae.tensorfile import ModelFileError, write

    classifier.save(tmp_path / "judge", judge)
    images, _ = pictures(50, 2)
    found = classifier.load(tmp_path / "judge")
    assert torch.equal(classifier.predict(found, images), classifier.predict(judge, images))
    with pytest.raises(ModelFileError, match="no such model file"):
        classifier.load(tmp_path / "none")
    write(tmp_path / "other", {"component": "red"}, {"w": torch.zeros(1)})
    with pytest.raises(ModelFileError, match="other: not a classifier of this version"):
        classifier.load(tmp_path / "other")


def test_mean_pictures_are_read_right_and_do_not_vary(judge: classifier.Classifier) -> None:
    """What a conditional model must not get away with."""
    crops, labels = pictures(300, 3)
    means = torch.stack([(crops[labels == label] / 255).mean(0) for label in range(3)])
    asked = torch.arange(3).repeat_interleave(50)

    def measured(drawn: torch.Tensor, told: torch.Tensor) -> dict[str, float]:
        return samples.measure(judge, [(drawn[told == label], label) for label in range(3)], crops, labels)

    flattering = measured(means[asked], asked)
    assert flattering["sample_accuracy"] == 1
    assert flattering["sample_deviation"] == pytest.approx(0, abs=1e-6)
    honest = measured(crops / 255, labels)
    assert honest["sample_deviation"] == pytest.approx(1)
    assert honest["sample_accuracy"] == honest["classifier_accuracy"]
    shuffled = measured(crops / 255, (labels + 1) % 3)
    assert shuffled["sample_accuracy"] < 0.1


def test_likeness_is_a_plain_average() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(7, 3, 16, 16, generator=draw)
    y = (x + 0.1 * torch.randn(x.shape, generator=draw)).clamp(0, 1)
    found = reconstruction.ImageQuality()
    for block in (slice(0, 3), slice(3, 7)):
        found.add(y[block], x[block])
    means = found.means("pca_")
    errors = [F.mse_loss(a, b).item() for a, b in zip(x, y, strict=True)]
    assert means["pca_mse"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert means["pca_psnr"] == pytest.approx(np.mean([-10 * np.log10(e) for e in errors]), rel=1e-5)
    assert 0 < means["pca_ssim"] < 1


def test_separate_models_add_up() -> None:
    red = {"cost": 3.0, "floor": 1.0, "excess": 2.0, "parameters": 5, "mse": 0.1}
    found = metrics.sum_components([red, red | {"cost": 4.0}])
    assert found == {"cost": 7.0, "floor": 2.0, "excess": 4.0, "parameters": 10}
    densities = [{"cost": -1.0, "bits_per_dim": 5.0}, {"cost": -2.0, "bits_per_dim": 4.0}]
    assert metrics.sum_components(densities) == {"cost": -3.0, "bits_per_dim": 4.5}


@pytest.mark.parametrize(("count", "wanted"), [(5, 10), (1000, 10), (1, 1)])
def test_evenly_spaced_indices(count: int, wanted: int) -> None:
    found = metrics.evenly_spaced(count, wanted)
    assert len(found) == min(count, wanted)
    assert found[0] == 0
    assert found[-1] == count - 1 or wanted == 1
    assert (np.diff(found) > 0).all()


def test_pictures_are_compared_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    images, expected = (pictures(7, seed)[0] / 255 for seed in (0, 1))
    found = {}
    for at_once in (3, 7):
        monkeypatch.setattr(reconstruction, "AT_ONCE", at_once)
        quality = reconstruction.ImageQuality()
        quality.add(images, expected)
        found[at_once] = quality.means()
    assert found[3] == pytest.approx(found[7], rel=1e-6)
    assert found[3]["mse"] == pytest.approx(float((images - expected).square().mean()), rel=1e-5)
