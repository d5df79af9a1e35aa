"""`vaepipe doctor`: is this machine ready, and is this workspace?

Knows what each stage needs of disk, memory, time and network; changes nothing.

May import: common, data, distributed, experiment, vae.
"""
