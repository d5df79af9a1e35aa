"""numpy arrays and torch tensors that people hand over: checked, brought to a device, and back.

Raises:
    ValueError: always in one line that says what was expected and what was found.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
Labels = np.ndarray | Tensor | Sequence[int] | Sequence[str]
SHOWN = 10  # names in an error
ROUNDING = 1e-5  # by which brightness may be out of its range: what resizing leaves


def check_images(images: Any, image_shape: tuple[int, ...]) -> None:
    """Raise unless they are (N, *image_shape), uint8 or brightness in [0, 1]."""
    kind, wanted = _kind(images), ", ".join(map(str, image_shape))
    if kind not in ("uint8", "floating"):
        raise ValueError(f"images should be uint8, 0 to 255, or floating-point, 0 to 1; found {images.dtype}")
    if images.ndim != 4 or tuple(images.shape[1:]) != image_shape:
        raise ValueError(f"images should be (N, {wanted}); found {shape(images)}")
    if kind == "floating" and len(images):
        least, most = (float(bound) for bound in (images.min(), images.max()))
        if not (least >= -ROUNDING and most <= 1 + ROUNDING):  # NaN is neither
            raise ValueError(
                f"floating-point images should be from 0 to 1; found {least:.9g} to {most:.9g}; "
                "divide bytes by 255"
            )


def check_latents(z: Any, latent: int, *, one: bool = False) -> None:
    """Raise unless they are (N, latent), or where it is one (latent,), floating-point and finite."""
    if _kind(z) != "floating":
        raise ValueError(f"z should be floating-point; found {z.dtype}")
    if z.ndim != (1 if one else 2) or z.shape[-1] != latent:
        raise ValueError(f"z should be {f'({latent},)' if one else f'(N, {latent})'}; found {shape(z)}")
    # As float32, which models compute in.
    finite = z.float().isfinite() if isinstance(z, Tensor) else np.isfinite(_float32(z))
    if not finite.all():
        raise ValueError("z should be finite in float32; found NaN or infinity")


def labels(given: Labels | None, count: int, names: Sequence[str]) -> Tensor | None:
    """Check labels, places in the names or names, and bring them to places, (count,) int64.

    None for models that take none, which have no names.
    """
    classes = len(names)
    shown = ", ".join(names[:SHOWN]) + (", ..." if classes > SHOWN else "")
    wanted = f"({count},) whole numbers from 0 to {classes - 1}, or names ({shown})"
    if given is None:
        if classes:
            raise ValueError(f"these models are conditional: labels should be {wanted}; found none")
        return None
    if not classes:
        raise ValueError("these models are not conditional: they take no labels")
    array = given.cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.dtype.kind == "U" and array.shape == (count,):
        places = {name: place for place, name in enumerate(names)}
        if unknown := sorted(set(array.tolist()) - places.keys()):
            raise ValueError(f"labels should be {wanted}; found {unknown[0]!r}")
        array = np.array([places[name] for name in array.tolist()], np.int64)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise ValueError(f"labels should be {wanted}; found {shape(array)} {array.dtype}")
    if count and not 0 <= array.min() <= array.max() < classes:
        raise ValueError(f"labels should be {wanted}; found {array.min()} to {array.max()}")
    return torch.from_numpy(array.astype(np.int64))


def tensor(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """uint8 or float32 on the device, sharing no memory with a numpy array, which may be read-only."""
    if isinstance(array, np.ndarray):
        kind = np.uint8 if array.dtype == np.uint8 else np.float32
        array = torch.from_numpy(np.array(array, kind, order="C"))
    return array.detach().to(device, torch.uint8 if array.dtype == torch.uint8 else torch.float32)


def like(given: Array, result: Tensor) -> Array:
    """A tensor as what was given: numpy, or torch on its device."""
    return cast(Any, result.numpy() if isinstance(given, np.ndarray) else result.to(given.device))


def shape(array: np.ndarray | Tensor) -> str:
    """A shape as text, for errors."""
    return str(tuple(array.shape))


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _kind(array: Any) -> str:
    """uint8, floating or other."""
    if isinstance(array, Tensor):
        return "floating" if array.is_floating_point() else str(array.dtype).removeprefix("torch.")
    if isinstance(array, np.ndarray):
        return "floating" if array.dtype.kind == "f" else str(array.dtype)
    raise ValueError(f"expected a numpy array or a torch tensor; found {type(array).__name__}")
