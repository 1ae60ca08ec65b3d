"""When the frames of an mp4 file are shown, as its tables say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mp4_boxes import Unusual, children, rows, unpack

_LONGEST = 1 << 48  # units of time; beyond it, sums could leave 64 bits


def read_times(
    stbl: dict[bytes, memoryview], edits: memoryview | None, count: int, scale: int, movie_scale: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when each frame is shown, and how long after its time of decoding that is, both (n,) int64.

    As FFmpeg reads them: the time of decoding is the sum of the durations before (stts), that of
    showing is later by an offset (ctts), and an edit list makes the first frame begin at 0, or later.

    Args:
        stbl: Boxes with tables of samples.
        edits: Content of the box edts, if there is one.
        count: Number of frames.
        scale: Units of time per second.
        movie_scale: Those of the edit list.

    Raises:
        Unusual: If the tables do not fit, the first frame stored is not the first one shown, or the
            edit list cuts anything off.
    """
    durations = _expand(rows(stbl[b"stts"], ">u4", 2), count)
    decoded = np.cumsum(durations) - durations
    leads = np.zeros(count, np.int64)
    if b"ctts" in stbl:
        leads = _expand(rows(stbl[b"ctts"], ">i4", 2), count)
    shown = decoded + leads
    if durations.min() < 1 or leads.min() < 0 or shown[0] != shown.min() or shown[-1] > _LONGEST:
        raise Unusual
    if edits is not None:
        end = int(shown.max() + durations[-1] - shown[0])
        shown += _start(edits, int(leads[0]), end, scale, movie_scale) - leads[0]
    return shown, leads


def _start(edits: memoryview, media_time: int, end: int, scale: int, movie_scale: int) -> int:
    """Return when the first frame is shown: after the empty edit, if there is one."""
    elst = children(edits, [b"elst"])[b"elst"]
    version, count = unpack(">I", elst)[0], unpack(">I", elst, 4)[0]
    if version not in (0, 1 << 24) or count not in (1, 2):
        raise Unusual
    form, size = (">QqI", 20) if version else (">IiI", 12)
    entries = [unpack(form, elst, 8 + number * size) for number in range(count)]
    duration, begin, _ = entries[-1]
    if begin != media_time or any(entry[2] != 1 << 16 for entry in entries):
        raise Unusual
    if (duration + 1) * scale < end * movie_scale:  # it is rounded to the movie's units
        raise Unusual
    if count == 1:
        return 0
    empty, nothing, _ = entries[0]
    if nothing != -1 or empty * scale > _LONGEST:
        raise Unusual
    return int((2 * empty * scale + movie_scale) // (2 * movie_scale))


def _expand(runs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the values of runs, (n, 2) lengths and values, one after the other."""
    lengths = runs[:, 0]
    if (lengths < 0).any() or int(lengths.sum()) != count:
        raise Unusual
    return np.repeat(runs[:, 1], lengths)
