"""Files, machines and people: what carries `vae` from SVHN's .mat files to a report.

Every folder in here is a room. Its `__init__` says what it is, what it knows and which rooms it may import;
docs/design.md has the map, and a test holds the arrows.
"""
