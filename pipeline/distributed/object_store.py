"""The size of Ray's object store, which holds the images once for all processes of a machine."""

SHARE = 0.3  # of the available memory
LEAST = 100 * 1024**2  # bytes
USUAL_MOST = 10 * 10**9  # bytes, where /dev/shm is smaller: beyond that Ray would take slow files
SHARED_SHARE = 0.95  # of a larger /dev/shm


def size(available: int, shared: int) -> int:
    """Bytes, as Ray chooses them itself, of the available memory and of /dev/shm in all."""
    most = max(USUAL_MOST, int(shared * SHARED_SHARE))
    return max(LEAST, min(int(available * SHARE), most))
