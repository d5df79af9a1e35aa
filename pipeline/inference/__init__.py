"""Trained models at work on a user's files: latent files, reconstructions, grids of images.

Knows file formats of inputs and outputs; needs no DVC and no Ray.

May import: common, data, vae.
"""
