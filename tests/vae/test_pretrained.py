"""`vae.load`: trained models as a map between images and latents."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.report import latent_pictures
from tests.helpers.models import Crops
from vae import evaluate, load
from vae.images import to_bytes
from vae.modelfile import load_model, save_model
from vae.pretrained import Autoencoder
from vae.stack import assemble

pytestmark = pytest.mark.usefixtures("one_thread")


def psnr(found: np.ndarray, images: np.ndarray) -> float:
    errors = ((found.astype(np.float64) - images / 255) ** 2).mean((1, 2, 3))
    return float((-10 * np.log10(errors)).mean())


# What comes out
def test_what_the_models_are(folders: dict[str, Path]) -> None:
    of = {name: load(str(folder), "cpu") for name, folder in folders.items()}
    assert [of[name].components for name in of] == [("red", "green", "blue"), ("rgb",), ("rgb",)]
    assert [of[name].latent for name in of] == [18, 6, 6]
    assert [of[name].classes for name in of] == [0, 0, 10]
    assert {of[name].image_shape for name in of} == {(3, 32, 32)}
    assert repr(of["conditional"]) == (
        "Autoencoder(rgb, image_shape=(3, 32, 32), latent=6, classes=10, device='cpu')"
    )


@pytest.mark.parametrize("kind", ["separate", "joint", "conditional"])
def test_reconstructions_are_those_that_merge_measures(
    folders: dict[str, Path], kind: str, crops: Crops
) -> None:
    model = load(folders[kind], "cpu")
    pixels, labels = crops[0][200:], crops[1][200:] if kind == "conditional" else None
    told = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    parts = []
    for c, name in enumerate(model.components):
        alone = assemble([load_model(folders[kind] / f"{name}.safetensors")], torch.device("cpu"))
        rows = torch.from_numpy(pixels if name == "rgb" else pixels[:, c]).reshape(1, len(pixels), -1)
        parts.append(evaluate.reconstruct(alone, rows, told)[0].reshape(len(pixels), -1, 32, 32))
    expected = torch.cat(parts, dim=1).numpy()
    np.testing.assert_allclose(model.reconstruct(pixels, labels), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        model.decode(model.encode(pixels, labels), labels), expected, rtol=0, atol=1e-6
    )


def test_a_components_latents_stand_together(
    separate: Autoencoder, folders: dict[str, Path], test_images: np.ndarray
) -> None:
    blue = assemble([load_model(folders["separate"] / "blue.safetensors")], torch.device("cpu"))
    rows = torch.from_numpy(test_images[:, 2] / np.float32(255)).reshape(1, len(test_images), -1)
    expected = blue.encode(rows)[0][0].detach()
    np.testing.assert_allclose(separate.encode(test_images)[:, 12:], expected, rtol=0, atol=1e-6)


def test_samples_are_the_reports(separate: Autoencoder, conditional: Autoencoder) -> None:
    models = separate._models
    report = latent_pictures.samples(models, (32, 32), seed=3)
    assert np.array_equal(to_bytes(separate.sample(latent_pictures.SHOWN, seed=3)), report)
    torch.testing.assert_close(separate.sample(5, seed=3), separate.sample(64, seed=3)[:5])
    asked = torch.arange(10).repeat_interleave(latent_pictures.EACH)
    report = latent_pictures.conditional(conditional._models["rgb"], "rgb", seed=0).samples
    drawn = to_bytes(conditional.sample(len(asked), labels=asked))
    assert np.array_equal(drawn, report.reshape(-1, 3, 32, 32))


def test_latents_of_sixteen_bits_are_as_good(folders: dict[str, Path], test_images: np.ndarray) -> None:
    for kind in ("separate", "joint"):
        model = load(folders[kind], "cpu")
        z = model.encode(test_images)
        exact, rounded = (psnr(model.decode(latents), test_images) for latents in (z, z.astype(np.float16)))
        assert exact > psnr(np.broadcast_to(test_images.mean(0) / 255, test_images.shape), test_images)
        assert abs(exact - rounded) < 0.05


def test_a_way_between_two_images(separate: Autoencoder, test_images: np.ndarray) -> None:
    a, b = separate.encode(test_images[:2])
    way = separate.interpolate(a, b, steps=5)
    assert (way.shape, way.dtype) == ((5, 3, 32, 32), np.float32)
    np.testing.assert_allclose(way[[0, -1]], separate.reconstruct(test_images[:2]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(way[2], separate.decode((a + b)[None] / 2)[0], rtol=0, atol=1e-6)


def test_a_way_of_one_label(conditional: Autoencoder, crops: Crops) -> None:
    a, b = conditional.encode(torch.from_numpy(crops[0][:2]), [3, 3])
    way = conditional.interpolate(a, b, 3, label=3)
    assert isinstance(way, Tensor)
    torch.testing.assert_close(way[-1:], conditional.decode(b[None], [3]))


# Kinds, batches, labels
def test_kinds_go_in_and_come_out(separate: Autoencoder, test_images: np.ndarray) -> None:
    z = separate.encode(test_images)
    assert z.shape == (100, 18)
    assert z.dtype == np.float32
    brightness = test_images / 255
    same: list[Any] = [
        brightness,
        brightness.astype(np.float32),
        torch.from_numpy(test_images),
        torch.from_numpy(brightness),
        np.asfortranarray(test_images),
        test_images.astype(">f4") / np.float32(255),
    ]
    for given in same:
        found: Any = separate.encode(given)
        assert isinstance(found, type(given))
        np.testing.assert_allclose(found, z, rtol=0, atol=1e-5)
    x = separate.decode(torch.from_numpy(z.astype(np.float16)))
    assert (x.shape, x.dtype, x.device.type) == ((100, 3, 32, 32), torch.float32, "cpu")
    assert 0 <= x.min() <= x.max() <= 1
    assert not x.requires_grad
    frozen = test_images.copy()
    frozen.flags.writeable = False
    assert np.array_equal(separate.encode(frozen), z)


def test_batches_do_not_matter(
    separate: Autoencoder, test_images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert separate.batch == 1000
    z, x = separate.encode(test_images), separate.reconstruct(test_images)
    monkeypatch.setattr(separate, "batch", 7)
    np.testing.assert_allclose(separate.encode(test_images), z, rtol=0, atol=1e-5)
    np.testing.assert_allclose(separate.reconstruct(test_images), x, rtol=0, atol=1e-5)
    np.testing.assert_allclose(separate.decode(z), x, rtol=0, atol=1e-5)
    empty = separate.decode(separate.encode(test_images[:0]))
    assert empty.shape == (0, 3, 32, 32)


def test_labels_of_any_kind(conditional: Autoencoder, crops: Crops) -> None:
    pixels, labels = crops[0][:20], crops[1][:20]
    z = conditional.encode(pixels, labels)
    for told in (labels.tolist(), torch.from_numpy(labels), labels.astype(np.uint16)):
        assert np.array_equal(conditional.encode(pixels, told), z)
    assert not np.allclose(conditional.decode(z, labels), conditional.decode(z, (labels + 1) % 10))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(folders: dict[str, Path], separate: Autoencoder, test_images: np.ndarray) -> None:
    model = load(folders["separate"])
    assert model.device.type == "cuda"
    np.testing.assert_allclose(model.encode(test_images), separate.encode(test_images), atol=1e-3)
    assert model.encode(torch.from_numpy(test_images).cuda()).is_cuda
    assert not model.encode(torch.from_numpy(test_images)).is_cuda
    assert not model.sample(3).is_cuda


def test_the_fingerprint_is_the_files(tmp_path: Path, folders: dict[str, Path]) -> None:
    copy = shutil.copytree(folders["separate"], tmp_path / "models")
    first = load(copy).fingerprint
    assert first == load(folders["separate"]).fingerprint != load(folders["joint"]).fingerprint
    assert len(first) == 64
    state = load_model(copy / "blue.safetensors")
    next(iter(state.weights.values())).view(-1)[0] += 1
    save_model(copy / "blue.safetensors", state)
    assert load(copy).fingerprint != first


def test_imported_when_asked_for() -> None:
    import vae

    assert vae.load is load
    with pytest.raises(AttributeError, match="'vae' has no attribute 'lod'"):
        vae.lod  # noqa: B018
