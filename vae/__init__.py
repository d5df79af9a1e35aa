"""The mathematics of vaepipe: variational auto-encoders in torch, and nothing else.

    from vae import load
    model = load("models")
    z = model.encode(images)

This package imports torch, numpy and (in `tensorfile` alone) safetensors. It knows no HDF5, Ray, DVC or
command line, so it also runs on a machine that has only those three.

Shape letters used throughout: C models in a stack, N images, B images in a batch, S steps in an epoch,
D pixels of an image, K latent units.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae.pretrained import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` when it is asked for (PEP 562): `vae.config` has to stay free of torch."""
    if name == "load":
        from vae.pretrained import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
