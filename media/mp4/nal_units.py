"""NAL units of H.264 and HEVC: keyframes, read from their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAD = 8  # bytes of a keyframe, enough for the length and type of its first NAL unit


@dataclass(frozen=True, slots=True)
class _Syntax:
    """Syntax of a codec: bits of the type in a NAL unit's first byte, types, place of the length's size."""

    shift: int
    mask: int
    closed: frozenset[int]
    pictures: range
    parameters: frozenset[int]
    size_at: int


_SEI, _RECOVERY_POINT = 6, 6  # a type of NAL units, and one of the messages in them

# ITU-T H.264 table 7-1, ITU-T H.265 table 7-1, ISO/IEC 14496-15 5.3.3.1 (avcC) and 8.3.3.1 (hvcC).
_SYNTAX = {
    "h264": _Syntax(0, 31, frozenset({5}), range(1, 6), frozenset({7, 8, 13, 15}), 4),
    "hevc": _Syntax(1, 63, frozenset({19, 20}), range(32), frozenset({32, 33, 34}), 21),
}


@dataclass(frozen=True, slots=True)
class Keyframe:
    """Properties of a keyframe that decide about copying from it on.

    Attributes:
        closed: Nothing stored after it refers to anything before it.
        own: The parameters repeated in it are those of its file. If not, they would stay in force
            for what comes after it, where they are not repeated.
        inexact: Frames from it on that are not exact yet if decoding begins here, as its recovery point says: pictures
            that are refreshed part by part (ITU-T H.264 D.2.8).
    """

    closed: bool = True
    own: bool = True
    inexact: int = 0


def has_units(codec: str) -> bool:
    """Return True if keyframes of this codec must be read to know what they are."""
    return codec in _SYNTAX


def read_keyframe(codec: str, extradata: bytes, packet: memoryview) -> Keyframe:
    """Return what a keyframe is; for codecs other than H.264 and HEVC the flag in the file is enough.

    Args:
        codec: ``h264``, ``hevc``, ``av1`` …
        extradata: The codec's parameters in the file: avcC or hvcC.
        packet: The keyframe as stored: NAL units, each after its length.
    """
    syntax = _SYNTAX.get(codec)
    if syntax is None:
        return Keyframe()
    if not _has_lengths(syntax, extradata):
        return Keyframe(closed=False)
    own, inexact = True, 0
    for unit in _units(packet, (extradata[syntax.size_at] & 3) + 1):
        kind = unit[0] >> syntax.shift & syntax.mask
        if kind in syntax.pictures:
            return Keyframe(kind in syntax.closed, own, inexact)
        if kind in syntax.parameters:
            own = own and bytes(unit) in extradata
        elif codec == "h264" and kind == _SEI:
            inexact = max(inexact, _recovery_frames(bytes(unit[1:])))
    return Keyframe(False, own)


def _recovery_frames(messages: bytes) -> int:
    """Return the frames that a recovery point among SEI messages asks for (H.264 7.3.2.3, D.1.8); 0 without one."""
    data, position = messages.replace(b"\0\0\3", b"\0\0"), 0
    while position + 2 < len(data):
        kind, position = _number(data, position)
        size, position = _number(data, position)
        if kind == _RECOVERY_POINT:
            bits = f"{int.from_bytes(data[position : position + 8], 'big'):0{8 * len(data[position : position + 8])}b}"
            zeros = len(bits) - len(bits.lstrip("0"))
            return int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1  # Exp-Golomb code (9.1)
        position += size
    return 0


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of bytes 255 and a last one, and the place after it."""
    last = next((at for at in range(position, len(data)) if data[at] != 255), len(data) - 1)
    return 255 * (last - position) + data[last], last + 1


def read_heads(codec: str, extradata: bytes, heads: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what many keyframes are where their first unit tells.

    Args:
        codec: A codec that has units.
        extradata: See `read_keyframe`.
        heads: (n, HEAD) first bytes of keyframes that are longer than that.

    Returns:
        Two (n,) bool: True where the first unit is a picture, so that nothing more needs to be read, and
        True where this one begins a closed GOP. Where the first unit is a picture, parameters are not repeated.
    """
    syntax = _SYNTAX[codec]
    if not _has_lengths(syntax, extradata):
        return np.ones(len(heads), bool), np.zeros(len(heads), bool)
    size = (extradata[syntax.size_at] & 3) + 1
    kinds = heads[:, size] >> syntax.shift & syntax.mask
    known = heads[:, :size].any(axis=1) & np.isin(kinds, list(syntax.pictures))
    return known, np.isin(kinds, list(syntax.closed))


def _has_lengths(syntax: _Syntax, extradata: bytes) -> bool:
    """Return True if each unit comes after its length, as in all mp4 files; in Annex B it does not."""
    return len(extradata) > syntax.size_at and extradata[0] == 1


def _units(packet: memoryview, size: int) -> Iterator[memoryview]:
    position = 0
    while position + size < len(packet):
        length = int.from_bytes(packet[position : position + size], "big")
        position += size
        if length:
            yield packet[position : position + length]
        position += length
