"""The command line: one function a command, which imports what it runs.

Knows the options, and how an error ends a command. Nothing imports it.

May import: cluster, common, distributed, doctor, experiment, inference, report, runs, search, stages,
studies, trials.
"""
