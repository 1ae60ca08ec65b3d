"""Decoder and encoder of pictures: JPEG and PNG to RGB and back."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from ...core.columns import Array
from ...core.errors import EpisodeRejected
from .pixels import Converter, Pixels, as_array, rgb_frame, to_bt601, to_rgb

# The first chunk is always IHDR, 13 bytes that begin with width and height (PNG specification, 11.2.2).
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Start-of-frame markers (ITU-T T.81, table B.1): C0 to CF without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about an encoded image.

    Attributes:
        codec: FFmpeg's name: ``mjpeg`` or ``png``.
        height: Rows.
        width: Pixels per row.
    """

    codec: str
    height: int
    width: int


def read_header(content: bytes) -> Header:
    """Return kind and size of an image.

    Args:
        content: All bytes of it, nothing after its end.

    Raises:
        EpisodeRejected: ``bad_image`` if it is neither JPEG nor PNG, or ends early.
    """
    if content.startswith(_JPEG_START):
        if not content.endswith(_JPEG_END):
            raise _bad(f"a JPEG of {len(content)} bytes ends early: its end-of-image marker is missing")
        return Header("mjpeg", *_jpeg_size(content))
    if content.startswith(_PNG_START):
        if not content.endswith(_PNG_END):
            raise _bad(f"a PNG of {len(content)} bytes ends early: its IEND chunk is missing")
        width, height = struct.unpack_from(">II", content, 16)
        return Header("png", height, width)
    raise _bad(f"{len(content)} bytes are neither JPEG nor PNG; they begin with {content[:8]!r}")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Return (height, width) from the frame header (ITU-T T.81, B.2.2)."""
    position = 2
    while position + 10 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", content, position + 5)
            if components not in (1, 3):
                raise _bad(f"a JPEG with {components} colour components; only grey and colour are supported")
            return height, width
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    raise _bad("a JPEG without a frame header")


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
            data: A file's bytes, or as 1-D uint8 array; zeros after its end are ignored.
            bgr: The writer took RGB for BGR (OpenCV): swap red and blue.

        Raises:
            EpisodeRejected: ``bad_image`` if the data are no image, damaged, or end early.
        """
        content = _content(data)
        header = read_header(content)
        try:
            # FFmpeg's PNG decoder mixes remains of one image into the next, so that each gets its own.
            context = self._jpeg if header.codec == "mjpeg" else _new_decoder(header.codec)
            frames = context.decode(av.Packet(content))
        except av.error.FFmpegError as exc:
            raise _bad(f"damaged {header.codec.upper()} data: {exc.strerror}") from exc
        if len(frames) != 1 or (frames[0].height, frames[0].width) != (header.height, header.width):
            raise _bad(f"damaged {header.codec.upper()} data: it does not contain exactly one image")
        convert: Converter = self._to_bgr if bgr else self._to_rgb
        return as_array(convert(frames[0]))


def image_size(data: bytes | Array) -> tuple[int, int]:
    """Return (height, width) of a JPEG or PNG without decoding it; EpisodeRejected ``bad_image`` if it is none."""
    header: Header = read_header(_content(data))
    return header.height, header.width


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


def _content(data: bytes | Array) -> bytes:
    # Layouts with one fixed-size row per image fill up with zeros; neither JPEG nor PNG ends with one.
    return (data if isinstance(data, bytes) else data.tobytes()).rstrip(b"\0")
