"""Experiments: params.yaml and its presets, workspaces, and what guards them.

Knows parameters, which code each stage runs, and what may not be overwritten.

May import: common, vae.
"""
