"""The cluster: its files checked, and `ray up` and `ray down` done right."""
