"""Trials: settings laid over params.yaml, each trained and measured once, many at a time under Ray Tune.

Knows studies.yaml, the fits that trials need, their results on disk, and the processes that run them.

May import: common, data, distributed, evaluation, experiment, runs, vae.
"""
