"""Training on many processes: Ray sessions, placement of components on ranks, and Ray Train.

Knows what the machines are, who trains what, and what happens when one of them is lost.

May import: common, data, runs, vae.
"""
