"""Trained models to work with: images to latents, latents to images.

    from vae import load
    model = load("models")
    z = model.encode(images)
    x = model.decode(z)

Images are (N, 3, H, W). They go in as uint8, 0 to 255, or as floating-point brightness in [0, 1], and come
out as brightness, float32. Latents are posterior means, (N, K) float32, K summed over the components, in the
order of `components`. What is given as numpy comes back as numpy, what is given as torch comes back as torch
on the same device. Labels are (N,) places in `class_names`, or names; conditional models need them, others
take none.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae import arrays, devices, latents, precision
from vae.arrays import Array, Labels
from vae.evaluate import BATCH
from vae.images import merge_components
from vae.modelfile import load_model
from vae.stack import TrainingState, assemble
from vae.tensorfile import ModelFileError

SEPARATE, JOINT = ("red", "green", "blue"), ("rgb",)
SUFFIX = ".safetensors"
NUMBERS = 1 << 22  # pixels, of all channels, at a time: large images go in smaller batches


def load(folder: str | Path, device: str | torch.device | None = None) -> "Autoencoder":
    """The models in a folder: red, green and blue.safetensors, or rgb.safetensors.

    `device`: where they compute; by default a GPU where there is one, else the CPU.

    Raises:
        ModelFileError: a file is absent, damaged, or does not fit the others; or the folder holds both sets.
        ValueError: the device cannot be used.
    """
    folder = Path(folder)
    paths = _files(folder)
    states = [load_model(path) for path in paths]
    for path, state in zip(paths, states, strict=True):
        if state.component != path.stem or state.sizes.image[0] != (3 if path.stem in JOINT else 1):
            shape = "x".join(map(str, state.sizes.image))
            raise ModelFileError(
                f"{path}: holds a model of {state.component}, {shape}; expected {path.stem}'s"
            )
        if (state.sizes, state.config) != (states[0].sizes, states[0].config):
            raise ModelFileError(
                f"{path}: a model of another size or kind than {paths[0]}; they are not of one run"
            )
    return Autoencoder(states, _device(device), _fingerprint(paths))


class Autoencoder:
    """Trained models of all three colour channels, as one map between images and latents (see the module)."""

    def __init__(self, states: Sequence[TrainingState], device: torch.device, fingerprint: str) -> None:
        """The components' states, alike in size and settings; `load` makes one from files."""
        # Alone, not as a stack: so their numbers are those of `merge`, to the bit on the same machine.
        self._models = {state.component: assemble([state], device).eval() for state in states}
        _, height, width = states[0].sizes.image
        self.device = device
        self.fingerprint = fingerprint  # hex of a hash over the model files: latents of others do not fit
        self.components = tuple(self._models)
        self.image_shape: tuple[int, int, int] = (3, height, width)
        self.latent = sum(state.config.latent for state in states)  # K
        self.classes = states[0].sizes.classes  # of a conditional model; 0: it takes no labels
        self.class_names = states[0].sizes.class_names  # a label is a place in them

    def __repr__(self) -> str:
        conditional = f", classes={self.classes}" if self.classes else ""
        return (
            f"Autoencoder({'+'.join(self.components)}, image_shape={self.image_shape}, latent={self.latent}"
            f"{conditional}, device={str(self.device)!r})"
        )

    @cached_property
    def batch(self) -> int:
        """Images at a time, whatever the number of them that is given."""
        return max(1, min(BATCH, NUMBERS // int(np.prod(self.image_shape))))

    def encode(self, images: Array, labels: Labels | None = None) -> Array:
        """Posterior means, (N, K) float32.

        Raises:
            ValueError: images or labels of another shape, kind or range than they should be.
        """
        arrays.check_images(images, self.image_shape)
        labels_N = self._condition_labels(labels, len(images))
        return self._batches(images, labels_N, self._encoded, (self.latent,))

    def decode(self, z: Array, labels: Labels | None = None) -> Array:
        """E[x|z], brightness in [0, 1], (N, 3, H, W) float32.

        Raises:
            ValueError: z is not (N, K), floating-point and finite; or the labels are not what they should be.
        """
        arrays.check_latents(z, self.latent)
        return self._batches(z, self._condition_labels(labels, len(z)), self._decoded, self.image_shape)

    def reconstruct(self, images: Array, labels: Labels | None = None) -> Array:
        """`decode` of `encode`, as `merge` measures it. Raises as they do."""
        arrays.check_images(images, self.image_shape)
        labels_N = self._condition_labels(labels, len(images))
        return self._batches(
            images, labels_N, lambda x, y: self._decoded(self._encoded(x, y), y), self.image_shape
        )

    def sample(self, n: int, seed: int = 0, labels: Labels | None = None) -> Tensor:
        """E[x|z] of draws from the prior, brightness (n, 3, H, W) float32, on the host.

        A function of the seed, the same as the report's; a smaller n gives the first of a larger one.

        Raises:
            ValueError: n is below 1, or the labels are not what they should be.
        """
        if n < 1:
            raise ValueError(f"n is {n}, but must be at least 1")
        drawn = [latents.sample_prior(model, name, n, seed) for name, model in self._models.items()]
        return self.decode(torch.cat(drawn, dim=1), labels)

    def interpolate(self, a: Array, b: Array, steps: int = 9, label: int | str | None = None) -> Array:
        """Images on the straight line from latent a to latent b, both (K,), ends included: (steps, 3, H, W).

        A straight line, not an arc over the sphere (White 2016): that keeps the length of draws from the
        prior, but posterior means are shorter than draws, and of an unused unit they are all near 0.

        Raises:
            ValueError: steps is below 2, or a latent or the label is not what it should be.
        """
        if steps < 2:
            raise ValueError(f"steps is {steps}, but must be at least 2")
        arrays.check_latents(a, self.latent, one=True)
        arrays.check_latents(b, self.latent, one=True)
        start, end = arrays.tensor(a, torch.device("cpu")), arrays.tensor(b, torch.device("cpu"))
        way = torch.linspace(0, 1, steps, dtype=torch.float32, device="cpu")[:, None]
        images = self.decode((1 - way) * start + way * end, None if label is None else np.full(steps, label))
        return arrays.like(a, images)

    def _encoded(self, x: Tensor, labels: Tensor | None) -> Tensor:
        x = x.float() / 255 if x.dtype == torch.uint8 else x.clamp(0, 1)
        # A component's image is a row of its channels, one after another.
        rows = x.reshape(len(x), len(self._models), -1)
        labels_N = None if labels is None else labels[None]
        means = [m.encode(rows[None, :, c], labels_N)[0][0] for c, m in enumerate(self._models.values())]
        return torch.cat(means, dim=1)

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        parts = zip(self._models.values(), z.chunk(len(self._models), dim=1), strict=True)
        images = [latents.decode(model, part, labels) for model, part in parts]
        return merge_components(images, self.image_shape[1:])

    def _condition_labels(self, labels: Labels | None, count: int) -> Tensor | None:
        found = arrays.labels(labels, count, self.class_names)
        return None if found is None else found.to(self.device)

    @torch.no_grad()  # not inference_mode: what comes out may be put into a graph
    @precision.exact()
    def _batches(
        self,
        given: Array,
        labels: Tensor | None,
        function: Callable[[Tensor, Tensor | None], Tensor],
        shape: tuple[int, ...],
    ) -> Array:
        """The function of all rows, a batch at a time; results go where `given` is before the next begins."""
        home = given.device if isinstance(given, Tensor) else torch.device("cpu")
        found = torch.empty((len(given), *shape), dtype=torch.float32, device=home)
        for start in range(0, len(given), self.batch):
            rows = slice(start, start + self.batch)
            labels_N = None if labels is None else labels[rows]
            found[rows] = function(arrays.tensor(given[rows], self.device), labels_N)
        return arrays.like(given, found)


def _files(folder: Path) -> list[Path]:
    """The model files of a folder, in order."""
    try:
        names = [name for name in (*SEPARATE, *JOINT) if (folder / f"{name}{SUFFIX}").exists()]
    except OSError as error:
        raise ModelFileError(f"{folder}: cannot be read: {error.strerror}") from None
    expected = f"red, green and blue{SUFFIX}, or rgb{SUFFIX}"
    if not names:
        found = "no models in it" if folder.is_dir() else "no such folder"
        raise ModelFileError(f"{folder}: {found}; expected {expected}")
    if set(names) > set(JOINT):
        raise ModelFileError(
            f"{folder}: holds {', '.join(names)}; expected either {expected}; remove one set"
        )
    return [folder / f"{name}{SUFFIX}" for name in (JOINT if names == list(JOINT) else SEPARATE)]


def _fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 over the files' own, in order."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return devices.usable(device)
