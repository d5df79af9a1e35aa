"""Foundations: paths of a workspace, atomic files, errors, locks, progress, limits of this machine.

Knows nothing of images or models.

May import: nothing of this project.
"""
