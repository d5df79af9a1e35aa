"""Images: sources of them (`svhn`, `own`, `synthetic`), and the HDF5 files that all of them become.

Knows file formats, and what a damaged or hostile file looks like.

May import: common, experiment, vae.
"""
