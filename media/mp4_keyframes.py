"""What the keyframes of an mp4 file are, from the first bytes of each."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from .mp4_boxes import Unusual
from .mp4_entry import sequence_header
from .mp4_table import SampleTable
from .nal import HEAD, has_units, read_heads, read_keyframe

_MOST_BYTES = 1 << 28  # of one keyframe
_HEAD = 256  # bytes of an AV1 keyframe, enough for what comes before the picture


def parameters_within(table: SampleTable, place: int = 0) -> bytes:
    """Return what a closed keyframe says about how frames are encoded, beyond what the sample entry says.

    Encoders of AV1 write a sequence header into each keyframe that need not be the one in the entry.
    In H.264 and HEVC there is nothing, or what the entry says too.

    Args:
        table: File.
        place: The keyframe's place in the table.

    Raises:
        Unusual: If there is something else, or it is no closed keyframe.
    """
    if has_units(table.entry.codec):
        closed, own = read_keyframes(table, np.array([place]))
        if not (closed.all() and own.all()):
            raise Unusual
        return b""
    with table.path.open("rb", buffering=0) as file:
        head = os.pread(file.fileno(), min(int(table.sizes[place]), _HEAD), int(table.offsets[place]))
    return sequence_header(head)


def read_keyframes(table: SampleTable, places: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which keyframes are closed, and which have no parameters but the file's: see `nal.Keyframe`.

    Args:
        table: File.
        places: (n,) Keyframes, by their places in the table.

    Returns:
        Two (n,) bool.

    Raises:
        Unusual: If the file is shorter than its tables say.
    """
    closed, own = np.ones(len(places), bool), np.ones(len(places), bool)
    codec, parameters = table.entry.codec, table.entry.parameters
    if not has_units(codec):
        return closed, own
    offsets, sizes = table.offsets[places], table.sizes[places]
    with table.path.open("rb", buffering=0) as opened:
        file, read = opened.fileno(), os.pread
        heads = b"".join([read(file, HEAD, offset) for offset in offsets.tolist()])
        if len(heads) != HEAD * len(places):
            raise Unusual
        begins = np.frombuffer(heads, np.uint8).reshape(-1, HEAD)
        known, closed = read_heads(codec, parameters, begins)
        known &= sizes > HEAD
        for number in np.flatnonzero(~known).tolist():  # something else comes before the picture
            offset, size = int(offsets[number]), int(sizes[number])
            if size > _MOST_BYTES:
                raise Unusual
            facts = read_keyframe(codec, parameters, memoryview(read(file, size, offset)))
            closed[number], own[number] = facts.closed, facts.own
    return closed, own
