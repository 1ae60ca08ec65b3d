"""Sample table of an mp4 file: where each packet lies, when it is shown, which are keyframes."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .boxes import SampleEntry, Unusual, boxes, children, read_entry, rows, sequence_header, unpack
from .nal_units import HEAD, has_units, read_heads, read_keyframe

_LONGEST = 1 << 48  # units of time; beyond it, sums could leave 64 bits

_TOP = frozenset({b"ftyp", b"free", b"skip", b"wide", b"mdat", b"moov", b"udta"})
_FRAGMENTED = frozenset({b"moof", b"mfra", b"styp", b"sidx", b"prft", b"emsg"})
_BESIDE_RUNS = frozenset({b"tfdt", b"sdtp", b"sgpd", b"sbgp", b"subs"})
_NO_KEYFRAME = 0x01010000  # flags of a sample (ISO/IEC 14496-12, 8.8.3.1): depends on others, or is no sync sample
_MOST_BOXES, _MOST_FRAGMENT_BOXES = 64, 1 << 18
_MOST_BYTES, _MOST_FRAMES = 1 << 28, 1 << 24  # six days at 30 fps: beyond it, something is wrong
_MOST_KEYFRAME_BYTES = 1 << 28  # of one keyframe
_HEAD = 256  # bytes of an AV1 keyframe, enough for what comes before the picture


@dataclass(frozen=True, slots=True)
class _Samples:
    """Frames of a box with tables, or of a fragment: (n,) arrays with a value for each.

    Attributes:
        durations: int64, units of time.
        leads: int64, how long before it is shown each is to be decoded.
        offsets: int64, place in the file.
        sizes: int64, bytes.
        keyframes: bool.
        dependencies: uint8, as in the box sdtp; None if it says nothing.
    """

    durations: NDArray[np.int64]
    leads: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    dependencies: NDArray[np.uint8] | None


def _shown(samples: _Samples, edits: memoryview | None, scale: int, movie_scale: int) -> NDArray[np.int64]:
    """Return when each frame is shown, (n,) int64.

    As FFmpeg reads them: the time of decoding is the sum of the durations before, that of showing is
    later by an offset, and an edit list makes the first frame begin at 0, or later.

    Args:
        samples: All frames.
        edits: Content of the box edts, if there is one.
        scale: Units of time per second.
        movie_scale: Those of the edit list.

    Raises:
        Unusual: If the tables do not fit, the first frame stored is not the first one shown, or the
            edit list cuts anything off.
    """
    durations, leads = samples.durations, samples.leads
    decoded = np.cumsum(durations) - durations
    shown = decoded + leads
    if durations.min() < 1 or leads.min() < 0 or shown[0] != shown.min() or shown[-1] > _LONGEST:
        raise Unusual
    if edits is not None:
        end = int(shown.max() + durations[-1] - shown[0])
        shown += _start(edits, int(leads[0]), end, scale, movie_scale) - leads[0]
    return shown


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
    # It is rounded to the movie's units; in fragments 0 says "to the end" (ISO/IEC 14496-12, 8.6.6.1).
    if duration and (duration + 1) * scale < end * movie_scale:
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


@dataclass(frozen=True, slots=True)
class SampleTable:
    """The frames of a file in the order in which they are stored.

    Attributes:
        path: File.
        time_base: Unit of time in seconds.
        start_time: When the first frame is shown, in units of time.
        entry: How they are encoded.
        geometry: Matrix, width and height of the track header, 44 bytes.
        offsets: (n,) int64, place in the file.
        sizes: (n,) int64, bytes.
        pts: (n,) int64, when each is shown, in units of time.
        leads: (n,) int64, how long before that it is to be decoded.
        keyframes: (n,) bool.
        dependencies: (n,) uint8, what depends on it, as in the box sdtp; None if the file does not say.
    """

    path: Path
    time_base: Fraction
    start_time: int
    entry: SampleEntry
    geometry: bytes
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pts: NDArray[np.int64]
    leads: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    dependencies: NDArray[np.uint8] | None


def read_table(path: Path) -> SampleTable:
    """Read where each frame is.

    Covers what FFmpeg and LeRobot write: one video and nothing else, AV1, H.264 or HEVC, also in
    fragments, not encrypted, with an edit list that leaves nothing out or none at all.

    Raises:
        Unusual: If the file is another one, is damaged or cut off, or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            return _parse(path, *_moov(file.fileno(), size), size)
    except OSError as exc:
        raise Unusual from exc


def fragment_frames(path: Path, track: int) -> int:
    """Return how many frames of a track are in fragments, whatever they hold; 0 if there are none, or they are damaged.

    Args:
        path: File.
        track: Number of the track.
    """
    count = 0
    try:
        with path.open("rb", buffering=0) as file:
            _, fragments = _moov(file.fileno(), os.fstat(file.fileno()).st_size)
        for traf in (inner for _, moof in fragments for kind, inner in boxes(moof) if kind == b"traf"):
            inner = list(boxes(traf))
            if unpack(">I", dict(inner).get(b"tfhd", traf[:0]), 4) == (track,):
                count += sum(unpack(">I", content, 4)[0] for kind, content in inner if kind == b"trun")
    except (OSError, Unusual):
        return 0
    return count


def _moov(file: int, size: int) -> tuple[memoryview, list[tuple[int, memoryview]]]:
    """Return the content of the box with the tables, and the place and the content of each fragment's."""
    place, found, fragments, most = 0, [], [], _MOST_BOXES
    for number in range(_MOST_FRAGMENT_BOXES):
        head = memoryview(os.pread(file, 16, place))
        length, kind = unpack(">I4s", head)
        start = 8
        if length == 1:
            length, start = unpack(">Q", head, 8)[0], 16
        elif length == 0:
            length = size - place
        if kind in _FRAGMENTED:
            most = _MOST_FRAGMENT_BOXES
        elif kind not in _TOP or number >= most:
            raise Unusual
        if not start <= length <= size - place or (number == 0) != (kind == b"ftyp"):
            raise Unusual
        if kind == b"ftyp" and os.pread(file, 4, start) == b"qt  ":  # QuickTime has rules of its own
            raise Unusual
        if kind in (b"moov", b"moof"):
            if length > _MOST_BYTES:
                raise Unusual
            content = memoryview(os.pread(file, length - start, place + start))
            if kind == b"moov":
                found.append(content)
            else:
                fragments.append((place, content))
        place += length
        if place == size:
            break
    if place != size or len(found) != 1:
        raise Unusual
    return found[0], fragments


def _parse(path: Path, data: memoryview, fragments: list[tuple[int, memoryview]], size: int) -> SampleTable:
    moov = children(data, [b"mvhd", b"trak"], [b"mvex"])
    trak = children(moov[b"trak"], [b"tkhd", b"mdia"], [b"edts"])
    mdia = children(trak[b"mdia"], [b"mdhd", b"hdlr", b"minf"])
    minf = children(mdia[b"minf"], [b"vmhd", b"dinf", b"stbl"], [b"hdlr"])
    stbl = children(
        minf[b"stbl"], [b"stsd", b"stts", b"stsz", b"stsc"], [b"ctts", b"stss", b"stco", b"co64", b"sdtp", b"btrt"]
    )
    dref = children(minf[b"dinf"], [b"dref"])[b"dref"]
    if unpack(">II4sI", dref, 4) != (1, 12, b"url ", 1) or unpack(">4s", mdia[b"hdlr"], 8) != (b"vide",):
        raise Unusual  # frames in another file, or no video
    scale, movie_scale = _scale(mdia[b"mdhd"]), _scale(moov[b"mvhd"])
    parts = [_tables(stbl, size)] if unpack(">I", stbl[b"stsz"], 8) != (0,) else []
    if bool(fragments) != (b"mvex" in moov):
        raise Unusual
    if fragments:
        trex = children(moov[b"mvex"], [b"trex"], [b"mehd", b"trep"])[b"trex"]
        time = sum(int(part.durations.sum()) for part in parts)
        for place, fragment in fragments:
            parts.append(_fragment(fragment, place, trex, time, size))
            time += int(parts[-1].durations.sum())
    samples = _joined(parts)
    pts = _shown(samples, trak.get(b"edts"), scale, movie_scale)
    entry = read_entry(path, stbl[b"stsd"])
    return SampleTable(
        path,
        Fraction(1, scale),
        int(pts[0]),
        entry,
        _geometry(trak[b"tkhd"]),
        samples.offsets,
        samples.sizes,
        pts,
        samples.leads,
        samples.keyframes,
        samples.dependencies,
    )


def _tables(stbl: dict[bytes, memoryview], size: int) -> _Samples:
    """Return the frames that the tables list."""
    sizes = _sizes(stbl[b"stsz"], size)
    count = len(sizes)
    durations = _expand(rows(stbl[b"stts"], ">u4", 2), count)
    leads = _expand(rows(stbl[b"ctts"], ">i4", 2), count) if b"ctts" in stbl else np.zeros(count, np.int64)
    keyframes, dependencies = _keyframes(stbl.get(b"stss"), count), _dependencies(stbl.get(b"sdtp"), count)
    return _Samples(durations, leads, _offsets(stbl, sizes, size), sizes, keyframes, dependencies)


def _joined(parts: list[_Samples]) -> _Samples:
    """Return the frames of all parts; the first one must be a keyframe, and what sdtp says is kept if all have it."""
    total = sum(len(part.sizes) for part in parts)
    if not 1 <= total <= _MOST_FRAMES or not parts[0].keyframes[0]:
        raise Unusual
    said = [part.dependencies for part in parts if part.dependencies is not None]
    return _Samples(
        np.concatenate([part.durations for part in parts]),
        np.concatenate([part.leads for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.keyframes for part in parts]),
        np.concatenate(said) if len(said) == len(parts) else None,
    )


def _fragment(moof: memoryview, place: int, trex: memoryview, time: int, size: int) -> _Samples:
    """Return the frames of a movie fragment (ISO/IEC 14496-12, 8.8.3 to 8.8.12).

    Args:
        moof: Content of the box.
        place: Where it begins in the file.
        trex: Content of the box with the defaults of its track.
        time: When its first frame is to be decoded, if nothing is missing.
        size: Bytes of the file.
    """
    traf = children(children(moof, [b"mfhd", b"traf"])[b"traf"], [b"tfhd", b"trun"], _BESIDE_RUNS)
    tfhd, trun = traf[b"tfhd"], traf[b"trun"]
    given, _ = _fields(tfhd, 8, {1: ">Q", 2: ">I", 8: ">I", 16: ">I", 32: ">I"})
    track, *defaults = unpack(">5I", trex, 4)
    entry, *usual = (given.get(bit, default) for bit, default in zip((2, 8, 16, 32), defaults, strict=True))
    if unpack(">I", tfhd, 4) != (track,) or entry != 1:
        raise Unusual
    if b"tfdt" in traf and unpack(">Q" if _is_long(traf[b"tfdt"]) else ">I", traf[b"tfdt"], 4) != (time,):
        raise Unusual  # a gap, or frames that are in another file
    (count,), (first, start) = unpack(">I", trun, 4), _fields(trun, 8, {1: ">i", 4: ">I"})
    flags = unpack(">I", trun)[0]
    listed = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    if 1 not in first or not 1 <= count <= _MOST_FRAMES or count * 4 * len(listed) != len(trun) - start:
        raise Unusual
    table = np.frombuffer(trun, ">u4", count * len(listed), start).reshape(count, -1).astype(np.int64)
    columns = dict(zip(listed, table.T, strict=True))
    durations, sizes, marks = (
        columns.get(bit, np.full(count, value, np.int64))
        for bit, value in zip((0x100, 0x200, 0x400), usual, strict=True)
    )
    marks[:1] = first.get(4, marks[0])
    leads = columns.get(0x800, np.zeros(count, np.int64)).astype(np.int32).astype(np.int64)
    offsets = given.get(1, place) + first[1] + np.cumsum(sizes) - sizes
    if sizes.min() < 1 or offsets[0] < 0 or offsets[-1] + sizes[-1] > size:
        raise Unusual
    return _Samples(durations, leads, offsets, sizes, marks & _NO_KEYFRAME == 0, None)


def _fields(data: memoryview, at: int, forms: dict[int, str]) -> tuple[dict[int, int], int]:
    """Return the numbers that a full box has by the bits of its flags, and the place after them."""
    flags, found = unpack(">I", data)[0], {}
    for bit, form in forms.items():
        if flags & bit:
            (found[bit],) = unpack(form, data, at)
            at += struct.calcsize(form)
    return found, at


def _scale(header: memoryview) -> int:
    """Return the units of time per second in mvhd or mdhd."""
    scale = unpack(">I", header, 20 if _is_long(header) else 12)[0]
    if not 1 <= scale < 1 << 31:
        raise Unusual
    return int(scale)


def _geometry(tkhd: memoryview) -> bytes:
    start = 52 if _is_long(tkhd) else 40
    if len(tkhd) != start + 44:
        raise Unusual
    return bytes(tkhd[start:])


def _is_long(header: memoryview) -> bool:
    """Return True if times in a header have 64 bits."""
    version = unpack(">B", header)[0]
    if version > 1:
        raise Unusual
    return bool(version)


def _sizes(stsz: memoryview, size: int) -> NDArray[np.int64]:
    same, count = unpack(">II", stsz, 4)
    if not 1 <= count <= _MOST_FRAMES:
        raise Unusual
    # All frames of one size are not listed.
    sizes = np.full(count, same, np.int64) if same else rows(stsz[4:], ">u4")[:, 0]
    if sizes.min() < 1 or int(sizes.sum()) > size:
        raise Unusual
    return sizes


def _offsets(stbl: dict[bytes, memoryview], sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return where frames are, from the places of chunks and the number of frames in each."""
    if (b"stco" in stbl) == (b"co64" in stbl):
        raise Unusual
    chunks = rows(stbl[b"stco"], ">u4")[:, 0] if b"stco" in stbl else rows(stbl[b"co64"], ">i8")[:, 0]
    runs = rows(stbl[b"stsc"], ">u4", 3)
    lengths = np.diff(runs[:, 0], append=len(chunks) + 1)
    if not len(runs) or runs[0, 0] != 1 or lengths.min() < 1 or runs[:, 1].min() < 1 or (runs[:, 2] != 1).any():
        raise Unusual
    held = np.repeat(runs[:, 1], lengths)
    if int(held.sum()) != len(sizes) or chunks.min() < 0 or chunks.max() >= size:
        raise Unusual
    before = np.cumsum(sizes) - sizes
    offsets: NDArray[np.int64] = np.repeat(chunks - before[np.cumsum(held) - held], held) + before
    if (offsets + sizes).max() > size:
        raise Unusual  # cut off
    return offsets


def _keyframes(stss: memoryview | None, count: int) -> NDArray[np.bool_]:
    if stss is None:
        return np.ones(count, bool)
    places = rows(stss, ">u4")[:, 0] - 1
    if not len(places) or places[0] != 0 or places[-1] >= count or (np.diff(places) < 1).any():
        raise Unusual
    keyframes = np.zeros(count, bool)
    keyframes[places] = True
    return keyframes


def _dependencies(sdtp: memoryview | None, count: int) -> NDArray[np.uint8] | None:
    if sdtp is None:
        return None
    if len(sdtp) != 4 + count:
        raise Unusual
    return np.frombuffer(sdtp, np.uint8, count, 4)


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
        closed, own, _ = read_keyframes(table, np.array([place]))
        if not (closed.all() and own.all()):
            raise Unusual
        return b""
    with table.path.open("rb", buffering=0) as file:
        head = os.pread(file.fileno(), min(int(table.sizes[place]), _HEAD), int(table.offsets[place]))
    return sequence_header(head)


def read_keyframes(
    table: SampleTable, places: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Return which keyframes are closed, which have only the file's parameters, and inexact frames: see `Keyframe`.

    Args:
        table: File.
        places: (n,) Keyframes, by their places in the table.

    Returns:
        Two (n,) bool, and (n,) int64.

    Raises:
        Unusual: If the file is shorter than its tables say.
    """
    closed, own, inexact = np.ones(len(places), bool), np.ones(len(places), bool), np.zeros(len(places), np.int64)
    codec, parameters = table.entry.codec, table.entry.parameters
    if not has_units(codec):
        return closed, own, inexact
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
            if size > _MOST_KEYFRAME_BYTES:
                raise Unusual
            facts = read_keyframe(codec, parameters, memoryview(read(file, size, offset)))
            closed[number], own[number], inexact[number] = facts.closed, facts.own, facts.inexact
    return closed, own, inexact
