"""Keeping a long-lived process as small as what it holds."""

from __future__ import annotations

import ctypes

# malloc.h of glibc
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_BATCH_SIZED = 3 << 20  # batches of frames are larger; what is smaller and more frequent is better kept


def give_memory_back() -> None:
    """Make glibc return large blocks to the system when they are freed; elsewhere do nothing.

    Left alone, it keeps freed batches of frames in an arena per thread, in case they are wanted
    again: with two cameras of 640x480 that is half as much again as everything else.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BATCH_SIZED)
        mallopt(_M_ARENA_MAX, 2)
