"""Studies: many settings trained once each, and compared.

Knows tables, plots, the noise of seeds, and the DVC stages of studies that ran.

May import: common, distributed, evaluation, experiment, report, runs, trials.
"""
