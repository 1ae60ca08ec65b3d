"""How the frames of an mp4 file are encoded, as its sample entry says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .mp4_boxes import Unusual, box, boxes, unpack

# Sample entry: codec, and the box with its parameters (ISO/IEC 14496-15 5.4.2, 8.4.1; AV1 in ISOBMFF 2.2, 2.3).
# What has another one is encrypted, or stored in a way that has to be looked at frame by frame.
_CODECS = {
    b"av01": ("av1", b"av1C"),
    b"avc1": ("h264", b"avcC"),
    b"hvc1": ("hevc", b"hvcC"),
    b"hev1": ("hevc", b"hvcC"),
}
_FIELDS = 78  # bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12, 12.1.3)
# OBU types (AV1 6.2.2): sequence headers, frames with their header and headers alone, delimiters and metadata.
_SEQUENCE_HEADER, _FRAMES, _HARMLESS = 1, (3, 6), (2, 5)


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """A sample entry; equal for files that are encoded alike.

    Attributes:
        kind: Type of the box.
        content: What is in it but for the bit rate, which differs from file to file.
        parameters: The codec's, as FFmpeg calls them extradata: what is in the box avcC, hvcC or av1C.
        path: A file that has it.
    """

    kind: bytes
    content: bytes
    parameters: bytes
    path: Path = field(compare=False)

    @property
    def codec(self) -> str:
        """Name of the format."""
        return _CODECS[self.kind][0]

    @property
    def table(self) -> bytes:
        """The entry as a box."""
        return box(self.kind, self.content)


def read_entry(path: Path, stsd: memoryview) -> SampleEntry:
    """Return the only entry of a table of entries; Unusual if there are more, or it is of another kind.

    Args:
        path: File, for the entry.
        stsd: Content of the box.
    """
    entries = list(boxes(stsd[8:]))
    if unpack(">II", stsd) != (0, 1) or len(entries) != 1:
        raise Unusual
    kind, data = entries[0]
    if kind not in _CODECS or len(data) < _FIELDS or unpack(">H", data, 6) != (1,):
        raise Unusual
    parameters, kept = _CODECS[kind][1], [bytes(data[:_FIELDS])]
    inner = list(boxes(data[_FIELDS:]))
    names = [name for name, _ in inner]
    if names.count(parameters) != 1 or set(names) - {parameters, b"colr", b"pasp", b"btrt", b"fiel"}:
        raise Unusual
    kept += [box(name, bytes(content)) for name, content in inner if name != b"btrt"]
    return SampleEntry(kind, b"".join(kept), bytes(dict(inner)[parameters]), path)


def sequence_header(head: bytes) -> bytes:
    """Return the sequence header that an AV1 keyframe begins with; Unusual if it is no keyframe, or begins otherwise.

    Args:
        head: First bytes of the keyframe: OBUs one after the other, each with its size (AV1 5.3.1).
    """
    header, position = b"", 0
    while position + 2 < len(head) and head[position] & 6 == 2:
        kind, start = head[position] >> 3 & 15, position
        size, position = _leb128(head, position + 1)
        if kind in _FRAMES:
            # AV1 5.9.2: it is no repetition of another frame (1 bit), is of type 0 (2 bits), and is shown (1 bit).
            if header and head[position : position + 1] and head[position] >> 4 == 1:
                return header
            break
        position += size
        if kind == _SEQUENCE_HEADER:
            header = head[start:position]
        elif kind not in _HARMLESS:
            break
    raise Unusual


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a number (AV1 4.10.5) and the place after it."""
    value = 0
    for number, byte in enumerate(data[position : position + 8]):
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, position + number + 1
    raise Unusual
