"""Decoder and encoder of pictures: JPEG and PNG to RGB and back; headers of these, and of WebP and TIFF."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from ...core.columns import MOST_SIDE, Array
from ...core.errors import EpisodeRejected
from .pixels import Converter, Pixels, as_array, rgb_frame, to_bt601, to_rgb

_JPEG_START, _PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
# A marker of ITU-T T.81, B.1.1.2: FF and its code. FF 00 is a pixel value, FF FF is fill, D0 to D7 are inside a scan.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_START_OF_IMAGE, _END_OF_IMAGE, _APP1 = 0xD8, 0xD9, 0xE1
# Start-of-frame markers (table B.1): C0 to CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Channels by the colour type in IHDR (PNG specification, 11.2.2); alpha is not counted.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_EXIF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_OFFSETS, _TIFF_SAMPLES = 256, 257, 258, 273, 277
_EXIF_ORIENTATION, _EXIF_SHORT, _EXIF_LONG = 0x0112, 3, 4


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about an encoded image.

    Attributes:
        codec: FFmpeg's name: ``mjpeg``, ``png``, ``webp`` or ``tiff``.
        height: Rows.
        width: Pixels per row.
        channels: 1 for grey, 3 for colour; alpha is not counted.
        bits: Of one channel of a pixel.
        orientation: EXIF orientation, 1 to 8; 1 is upright, or not given.
        end: Bytes of the image; what comes after them is no part of it.
    """

    codec: str
    height: int
    width: int
    channels: int
    bits: int
    orientation: int
    end: int

    def check_bits(self) -> None:
        """Refuse more than 8 bits; EpisodeRejected ``image_dtype``."""
        if self.bits > 8:
            kind = "PNG" if self.codec == "png" else "JPEG"
            found = "grey pixel" if self.channels == 1 else "colour of a pixel"
            raise EpisodeRejected("image_dtype", f"a {kind} with {self.bits} bits for each {found}; pictures have 8")


def read_header(content: bytes) -> Header:
    """Return kind and size of an image, and where it ends.

    Args:
        content: The bytes of it; others may follow.

    Raises:
        EpisodeRejected: ``bad_image`` if it is neither JPEG nor PNG, or ends early; ``too_large`` for a side of more
            than `MOST_SIDE` pixels.
    """
    if content.startswith((_JPEG_START, _PNG_START)):
        header = _jpeg_header(content) if content.startswith(_JPEG_START) else _png_header(content)
        if max(header.height, header.width) > MOST_SIDE:
            found = f"a picture of {header.width:,} x {header.height:,} pixels in {len(content):,} bytes"
            raise EpisodeRejected("too_large", f"{found}; sides have at most {MOST_SIDE:,}")
        return header
    raise _bad(f"{len(content)} bytes are neither JPEG nor PNG; they begin with {content[:8]!r}")


def stored_header(content: bytes) -> Header:
    """Return kind and size of a picture in a dataset, which LeRobot reads with Pillow.

    Raises:
        EpisodeRejected: ``bad_image`` if it is none of PNG, JPEG, WebP and TIFF, or ends early.
    """
    try:
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp_header(content)
        if order := _EXIF_ORDERS.get(content[:4]):
            return _tiff_header(content, order)
    except struct.error:
        raise _bad(f"a picture of {len(content)} bytes ends early") from None
    return read_header(content)


def _webp_header(content: bytes) -> Header:
    """Read the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    if (size := struct.unpack_from("<I", content, 4)[0] + 8) > len(content):
        raise _bad(f"a WebP of {len(content)} bytes ends early: its header says {size}")
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (sizes,) = struct.unpack_from("<I", content, 21)
        width, height = (sizes & 0x3FFF) + 1, (sizes >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", content, 26))
    return Header("webp", height, width, 3, 8, 1, size)


def _tiff_header(content: bytes, order: str) -> Header:
    """Read the first directory (TIFF 6.0, section 2)."""
    (directory,) = struct.unpack_from(f"{order}I", content, 4)
    (entries,) = struct.unpack_from(f"{order}H", content, directory)
    found = {_TIFF_BITS: 1, _TIFF_SAMPLES: 1}
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, entry)
        size = "H" if kind == _EXIF_SHORT else "I"
        at = entry + 8
        if size == "H" and count > 2:  # bits of three channels do not fit into the entry
            (at,) = struct.unpack_from(f"{order}I", content, at)
        (found[tag],) = struct.unpack_from(order + size, content, at)
        if tag == _TIFF_OFFSETS and count == 1 and found[tag] >= len(content):
            raise _bad(f"a TIFF of {len(content)} bytes ends early")
    if not {_TIFF_WIDTH, _TIFF_HEIGHT} <= found.keys():
        raise _bad("a TIFF without a size")
    size_of = (found[_TIFF_HEIGHT], found[_TIFF_WIDTH])
    return Header("tiff", *size_of, found[_TIFF_SAMPLES], found[_TIFF_BITS], 1, len(content))


def _jpeg_header(content: bytes) -> Header:
    """Walk the segments (ITU-T T.81, B.1.1.4); a thumbnail inside one has an end marker of its own."""
    frame, orientation, position = None, 1, 2
    while found := _MARKER.search(content, position):
        marker, begin = found[1][0], found.end() + 2
        if marker == _END_OF_IMAGE:
            if frame is None:
                raise _bad("a JPEG without a frame header")
            bits, height, width, channels = frame
            return Header("mjpeg", height, width, channels, bits, orientation, found.end())
        if marker == _START_OF_IMAGE or begin > len(content):
            break
        position = found.end() + int.from_bytes(content[found.end() : begin], "big")
        if marker in _START_OF_FRAME and begin + 6 <= len(content):
            frame = struct.unpack_from(">BHHB", content, begin)  # B.2.2
            if frame[3] not in (1, 3):
                raise _bad(f"a JPEG with {frame[3]} colour components; only grey and colour are supported")
        elif marker == _APP1 and content.startswith(b"Exif\0\0", begin):
            orientation = _orientation(content[begin + 6 : position])
    raise _bad(f"a JPEG of {len(content)} bytes ends early: its end-of-image marker is missing")


def _png_header(content: bytes) -> Header:
    """Walk the chunks (PNG specification, 5.3); IHDR comes first."""
    orientation, position = 1, 8
    while position + 12 <= len(content):
        begin, kind = position + 8, content[position + 4 : position + 8]
        position = begin + int.from_bytes(content[position : position + 4], "big") + 4
        if kind == b"eXIf":
            orientation = _orientation(content[begin : position - 4])
        if kind == b"IEND" and position <= len(content):
            width, height, bits, colours = struct.unpack_from(">IIBB", content, 16)
            return Header("png", height, width, _PNG_CHANNELS.get(colours, 3), bits, orientation, position)
    raise _bad(f"a PNG of {len(content)} bytes ends early: its IEND chunk is missing")


def _orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) of EXIF data (CIPA DC-008, 4.6.4), 1 where they give none."""
    order = _EXIF_ORDERS.get(exif[:4])
    if order is None:
        return 1
    with suppress(struct.error):  # EXIF data that are damaged do not spoil the picture
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _EXIF_ORIENTATION and kind in (_EXIF_SHORT, _EXIF_LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == _EXIF_SHORT else "I"), exif, entry + 8)
                return value if 1 <= value <= 8 else 1
    return 1


def _bad(detail: str) -> EpisodeRejected:
    return EpisodeRejected("bad_image", detail)


class ImageDecoder:
    """Decodes JPEG and PNG; keeps what it can from one image to the next. Not for several threads at once."""

    def __init__(self) -> None:
        self._jpeg = _new_decoder("mjpeg")
        self._to_rgb = to_rgb()
        self._to_bgr = to_rgb(bgr=True)

    def decode(self, data: bytes | Array, *, bgr: bool = False) -> Pixels:
        """Return the image as (height, width, 3) uint8 RGB; grey is repeated, alpha dropped.

        Args:
            data: A file's bytes, or as 1-D uint8 array; what follows its end is ignored.
            bgr: The writer took RGB for BGR (OpenCV): swap red and blue.

        Raises:
            EpisodeRejected: ``bad_image`` if the data are no image, damaged, or end early; ``image_dtype`` if they
                have more than 8 bits.
        """
        content = bytes(data)
        header = read_header(content)
        header.check_bits()
        try:
            # FFmpeg's PNG decoder mixes remains of one image into the next, so that each gets its own.
            context = self._jpeg if header.codec == "mjpeg" else _new_decoder(header.codec)
            frames = context.decode(av.Packet(content[: header.end]))
        except av.error.FFmpegError as exc:
            raise _bad(f"damaged {header.codec.upper()} data: {exc.strerror}") from exc
        if len(frames) != 1 or (frames[0].height, frames[0].width) != (header.height, header.width):
            raise _bad(f"damaged {header.codec.upper()} data: it does not contain exactly one image")
        convert: Converter = self._to_bgr if bgr else self._to_rgb
        return as_array(convert(frames[0]))


def encode_png(rgb: Pixels) -> bytes:
    """Return a PNG of an image (height, width, 3) uint8 RGB; the same bytes each time."""
    return _encode("png", rgb_frame(np.ascontiguousarray(rgb)), {})


def encode_jpeg(rgb: Pixels, quality: int = 90) -> bytes:
    """Return a JPEG, 4:2:0 in full range, of an image (height, width, 3) uint8 RGB.

    Args:
        rgb: The image.
        quality: 1 to 100, spread evenly over FFmpeg's quantisers 31 to 2.
    """
    scale = str(round(31 - (quality - 1) / 99 * 29))
    frame = to_bt601("yuvj420p", full_range=True)(rgb_frame(np.ascontiguousarray(rgb)))
    return _encode("mjpeg", frame, {"qmin": scale, "qmax": scale})


def _new_decoder(codec: str) -> VideoCodecContext:
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "r"))
    context.thread_count = 1  # each further thread would hold back one image
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}  # otherwise holes are filled with grey
    return context


def _encode(codec: str, frame: av.VideoFrame, options: dict[str, str]) -> bytes:
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base = Fraction(1)
    context.thread_count = 1
    context.options = options
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
