"""Files, machines and people: what carries `vae` from SVHN's .mat files to a report.

Arrows, never backwards: cli -> stages -> everything else here -> vae -> torch. No stage imports another.
"""
