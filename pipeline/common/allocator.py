"""The C library's allocator, set for a process that makes and frees tensors of megabytes again and again."""

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MEGABYTE = 1024**2
LARGEST_KEPT = 32 * MEGABYTE  # the most that glibc takes
KEPT = 64 * MEGABYTE


def keep_freed() -> None:
    """Let freed memory stay with this process, up to KEPT bytes, instead of going back to the system.

    Else every operator's result is on pages that the system has to find and clear first: half as long again
    for convolutions. Only glibc is told; others are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.malloc_trim(0)  # what is free by now is not of the sizes that come
    library.mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
    library.mallopt(TRIM_THRESHOLD, KEPT)
