"""Muxer: the boxes around the frames of an mp4 file, as FFmpeg writes them (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import SampleEntry, box, full_box

_MOVIE_SCALE = 1000
_CHUNK = 1 << 20  # bytes
_NO_LANGUAGE = 0x55C4  # "und", three times five bits
_BRANDS = {"av1": b"isomav01iso2mp41", "h264": b"isomiso2avc1mp41", "hevc": b"isomiso2mp41"}
_WIDE = 1 << 32


@dataclass(frozen=True, slots=True)
class Video:
    """All frames of a file to be written, one at each k/fps s, in the order in which they are stored.

    Attributes:
        entry: How they are encoded.
        geometry: See `SampleTable`.
        fps: Frames per second.
        sizes: (n,) int64, bytes.
        leads: (n,) int64, how many frames before it is shown each is to be decoded.
        keyframes: (n,) bool.
        dependencies: (n,) uint8, see `SampleTable`; all 0 if not known.
    """

    entry: SampleEntry
    geometry: bytes
    fps: int
    sizes: NDArray[np.int64]
    leads: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    dependencies: NDArray[np.uint8]


def wrap(video: Video, faststart: bool) -> tuple[bytes, bytes]:
    """Return what to write before the frames, and what after them.

    Args:
        video: The frames.
        faststart: Put all before them.
    """
    brands = _BRANDS[video.entry.codec]
    start = box(b"ftyp", brands[:4], struct.pack(">I", 0x200), brands)
    size = int(video.sizes.sum())
    # The empty box makes place for a longer length.
    data = struct.pack(">I4sQ", 1, b"mdat", 16 + size) if 16 + size >= _WIDE else box(b"free") + _head(b"mdat", size)
    ends, tables = _chunks(video.sizes), _tables(video)
    if not faststart:
        return start + data, _moov(video, tables, ends, len(start) + len(data))
    moov = b""
    while True:  # places depend on the size of the box that lists them
        length = len(moov)
        moov = _moov(video, tables, ends, len(start) + length + len(data))
        if len(moov) == length:
            return start + moov + data, b""


def _head(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", 8 + size, kind)


def _chunks(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of frames before each chunk, and in all."""
    ends = np.cumsum(sizes)
    bounds = [0]
    while bounds[-1] < len(sizes):
        begin = bounds[-1]
        before = int(ends[begin - 1]) if begin else 0
        bounds.append(max(int(np.searchsorted(ends, before + _CHUNK)), begin + 1))
    return np.array(bounds, np.int64)


def _moov(video: Video, tables: bytes, bounds: NDArray[np.int64], data: int) -> bytes:
    frames, scale = len(video.sizes), _scale(video.fps)
    tick = scale // video.fps
    length = -(-frames * _MOVIE_SCALE // video.fps)
    matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    version = int(max(length, frames * tick) >= _WIDE >> 1)
    # Times of creation and change, 0, and durations have 64 bits in version 1.
    times, long = ("QQ", "Q") if version else ("II", "I")
    mvhd = full_box(
        b"mvhd",
        f"{times}I{long}IH10x",
        *(0, 0, _MOVIE_SCALE, length, 1 << 16, 1 << 8),
        table=matrix + bytes(24) + struct.pack(">I", 2),
        version=version,
    )
    tkhd = full_box(b"tkhd", f"{times}II{long}16x", 0, 0, 1, 0, length, table=video.geometry, flags=3, version=version)
    elst = full_box(b"elst", f"I{long}{long}I", 1, length, int(video.leads[0]) * tick, 1 << 16, version=version)
    mdhd = full_box(b"mdhd", f"{times}I{long}HH", 0, 0, scale, frames * tick, _NO_LANGUAGE, 0, version=version)
    hdlr = full_box(b"hdlr", "I4s12x", 0, b"vide", table=b"VideoHandler\0")
    vmhd = full_box(b"vmhd", "8x", flags=1)
    dinf = box(b"dinf", full_box(b"dref", "I", 1, table=full_box(b"url ", "", flags=1)))
    stbl = box(b"stbl", tables, _places(video.sizes, bounds, data))
    minf = box(b"minf", vmhd, dinf, stbl)
    return box(b"moov", mvhd, box(b"trak", tkhd, box(b"edts", elst), box(b"mdia", mdhd, hdlr, minf)))


def _scale(fps: int) -> int:
    scale = fps
    while scale < 10_000:
        scale *= 2
    return scale


def _tables(video: Video) -> bytes:
    """Return the boxes with tables of frames, but for their places."""
    frames, tick = len(video.sizes), _scale(video.fps) // video.fps
    tables = [
        full_box(b"stsd", "I", 1, table=video.entry.table),
        full_box(b"stts", "III", 1, frames, tick),
    ]
    if not video.keyframes.all():
        places = np.flatnonzero(video.keyframes) + 1
        tables.append(full_box(b"stss", "I", len(places), table=_numbers(places)))
    if video.dependencies.any():
        tables.append(full_box(b"sdtp", "", table=video.dependencies.tobytes()))
    if video.leads.any():
        runs = _runs(video.leads * tick)
        tables.append(full_box(b"ctts", "I", len(runs), table=_numbers(runs)))
    same = bool((video.sizes == video.sizes[0]).all())
    table = b"" if same else _numbers(video.sizes)
    tables.append(full_box(b"stsz", "II", int(video.sizes[0]) if same else 0, frames, table=table))
    return b"".join(tables)


def _places(sizes: NDArray[np.int64], bounds: NDArray[np.int64], data: int) -> bytes:
    """Return the boxes that say how many frames are in which chunk, and where chunks are."""
    runs = _runs(np.diff(bounds))
    firsts = np.cumsum(runs[:, 0]) - runs[:, 0] + 1
    ones = np.ones(len(runs), np.int64)
    stsc = full_box(b"stsc", "I", len(runs), table=_numbers(np.stack([firsts, runs[:, 1], ones], axis=1)))
    chunks = (np.cumsum(sizes) - sizes)[bounds[:-1]] + data
    if chunks[-1] < _WIDE:
        return stsc + full_box(b"stco", "I", len(chunks), table=_numbers(chunks))
    return stsc + full_box(b"co64", "I", len(chunks), table=chunks.astype(">u8").tobytes())


def _runs(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return runs of equal values, (n, 2): length and value."""
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    return np.stack([np.diff(starts, append=len(values)), values[starts]], axis=1)


def _numbers(values: NDArray[np.int64]) -> bytes:
    return values.astype(">u4").tobytes()
