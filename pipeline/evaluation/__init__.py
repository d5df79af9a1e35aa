"""Metrics of trained models, and of the RGB images that their components are merged to.

Knows each metric's name, unit and direction; reads and writes no files.

May import: vae.
"""
