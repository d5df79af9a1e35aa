"""Searches: Optuna suggests settings, ASHA stops what falls behind.

Knows the journal of what was tried, how a search is resumed from it, and which files of trials are left over.

May import: common, distributed, experiment, report, runs, trials.
"""
