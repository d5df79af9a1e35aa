"""Searches: Optuna suggests settings, ASHA stops what falls behind.

Knows the journal of what was tried, and how a search is resumed from it.

May import: common, distributed, experiment, report, runs, trials.
"""
