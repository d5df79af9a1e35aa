"""The stages of dvc.yaml, a module each: `run(...)` reads and writes the paths that dvc.yaml names.

Knows the order of work within one stage. No stage imports another.

May import: common, data, distributed, evaluation, experiment, report, runs, vae.
"""
