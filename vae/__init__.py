"""The mathematics of vaepipe: variational auto-encoders in torch, and nothing else.

This package imports torch, numpy and (in `modelfile` alone) safetensors. It knows no HDF5, Ray, DVC or
command line, so it also runs on a machine that has only those three.

Shape letters used throughout: C models in a stack, N images, B images in a batch, S steps in an epoch,
D pixels of an image, K latent units.
"""
