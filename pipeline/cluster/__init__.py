"""Clusters started by `ray up`: their files checked, started, watched and taken down.

Knows cluster.yaml and SSH; trains nothing.

May import: common.
"""
