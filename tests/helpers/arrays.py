"""Arrays that may be absent, compared."""

from typing import Any

import numpy as np


def equal(one: np.ndarray | None, two: Any) -> bool:
    """Whether both are there and equal, or both are absent."""
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two)
