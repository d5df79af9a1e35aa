"""Training runs on disk or on shared storage: their names, checkpoints and locks.

Knows the files of a run, not who trains it.

May import: common, data, experiment, vae.
"""
