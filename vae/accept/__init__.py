"""Acceptance of a device: does the engine do there what it does on a CPU, and how fast?

    python -m vae.accept --device cuda --json found.json

Needs torch, numpy and safetensors alone, and this package carried to the machine. A line a check; the exit
status is 1 if one failed.
"""
