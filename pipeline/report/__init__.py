"""Self-contained HTML pages, and the figures on them.

Knows words, tables, plots and templates; equal input gives equal bytes.

May import: common, data, evaluation, experiment, vae.
"""
