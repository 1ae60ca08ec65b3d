"""Overview of pictures and numbers: filmstrips and curves as text for a terminal, a contact sheet as PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .pixels import Pixels

Colours: TypeAlias = Literal["24bit", "256", "none"]

_RAMP = np.array(list(" .:-=+*#%@"))
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601-7, 2.5.1
_CUBE = np.array([0, 95, 135, 175, 215, 255])  # xterm, 256colres.pl: 16 + 36 red + 6 green + blue, then 24 greys
_GREYS = np.arange(8, 248, 10)
_RESET = "\x1b[0m"
_GAP = 1  # columns between pictures
_WIDEST = 26  # columns of a picture
# Unicode 16.0, braille patterns: the bit of each dot of a character, by row and column.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BRAILLE = 0x2800
_THUMB, _MARGIN, _LABEL = 160, 4, 14  # pixels of a contact sheet
_LINES = ("\x1b[36m", "\x1b[33m", "\x1b[37m")  # of the first curve, of the second, of both
_MARKS = " .+#"  # of no curve, the first, the second, both


def filmstrip(frames: Sequence[Pixels], width: int, colours: Colours) -> list[str]:
    """Return pictures side by side as lines of text.

    Args:
        frames: (height, width, 3) uint8 RGB each, all of one size.
        width: Columns that the lines may take.
        colours: How the terminal takes colours; `none` gives a ramp of characters by brightness.
    """
    columns = max(1, min(_WIDEST, (width + _GAP) // len(frames) - _GAP))
    height, full = frames[0].shape[:2]
    lines = max(1, round(columns * height / full / 2))
    cells = [_scaled(frame, 2 * lines, columns) for frame in frames]
    drawn = [_ramp(cell) if colours == "none" else _half_blocks(cell, colours) for cell in cells]
    return [(" " * _GAP).join(parts).rstrip(" ") for parts in zip(*drawn, strict=True)]


def _scaled(frame: Pixels, height: int, width: int) -> NDArray[np.float64]:
    """Return a picture in another size, each pixel the mean of those that it covers."""
    scaled = frame.astype(np.float64)
    for axis, size in enumerate((height, width)):
        edges = np.arange(size + 1) * scaled.shape[axis] // size
        if (counts := np.diff(edges)).all():
            shape = [-1 if at == axis else 1 for at in range(3)]
            scaled = np.add.reduceat(scaled, edges[:-1], axis) / counts.reshape(shape)
        else:
            scaled = np.take(scaled, edges[:-1], axis)
    return scaled


def _ramp(cell: NDArray[np.float64]) -> list[str]:
    luma = np.rint((cell[::2] + cell[1::2]) / 2 @ _LUMA)
    return ["".join(row) for row in _RAMP[np.minimum(luma * len(_RAMP) / 256, len(_RAMP) - 1).astype(int)]]


def _half_blocks(cell: NDArray[np.float64], colours: Colours) -> list[str]:
    """Return lines in which a character shows two pixels: the upper in its colour, the lower in its background."""
    codes = _codes(np.rint(cell).astype(int), colours)
    lines = []
    for upper, lower in zip(codes[::2], codes[1::2], strict=True):
        text, before = "", ("", "")
        for pair in zip(upper, lower, strict=True):
            text += "▀" if pair == before else f"\x1b[38;{pair[0]};48;{pair[1]}m▀"
            before = pair
        lines.append(text + _RESET)
    return lines


def _codes(pixels: NDArray[Any], colours: Colours) -> list[list[str]]:
    """Return the part of an SGR sequence that selects the colour of each pixel (ITU-T T.416, 13.1.8)."""
    if colours == "24bit":
        return [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in pixels.tolist()]
    cube = np.abs(pixels[..., None] - _CUBE).argmin(-1)
    grey = np.abs(pixels.mean(-1)[..., None] - _GREYS).argmin(-1)
    errors = [((found - pixels) ** 2).sum(-1) for found in (_CUBE[cube], _GREYS[grey][..., None])]
    numbers = np.where(errors[1] < errors[0], 232 + grey, 16 + cube @ [36, 6, 1])
    return [[f"5;{number}" for number in row] for row in numbers.tolist()]


def curves(series: Sequence[NDArray[Any] | None], width: int, height: int, colours: Colours) -> list[str]:
    """Return two curves over each other as lines of text, lowest value below.

    A column shows all values of its rows from the smallest to the largest, so that no peak is lost.

    Args:
        series: (n,) numbers each, None for no curve; those that are not finite are not shown.
        width: Columns.
        height: Lines.
        colours: How the terminal takes colours; `none` draws the first with ".", the second with "+", both with "#".
    """
    across, down = (1, 1) if colours == "none" else (2, 4)
    known = [np.zeros(0) if values is None else values for values in series]
    finite = np.concatenate([values[np.isfinite(values)] for values in known])
    low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    drawn = [_drawn(values, (low, high), height * down, width * across) for values in known]
    cells = [dots.reshape(height, down, width, across) for dots in drawn]
    marks = sum((index + 1) * dots.any((1, 3)).astype(int) for index, dots in enumerate(cells))
    if colours == "none":
        return ["".join(_MARKS[mark] for mark in row).rstrip() for row in np.asarray(marks).tolist()]
    bits = (np.logical_or.reduce(cells) * _DOTS[:, None, :]).sum((1, 3))
    lines = []
    for row, owners in zip(bits.tolist(), np.asarray(marks).tolist(), strict=True):
        text, before = "", 0
        for dots, owner in zip(row, owners, strict=True):
            text += (_LINES[owner - 1] if owner and owner != before else "") + chr(_BRAILLE + dots)
            before = owner or before
        lines.append(text + _RESET)
    return lines


def _drawn(values: NDArray[Any], limits: tuple[float, float], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return which dots (rows, columns) a curve has."""
    dots = np.zeros((rows, columns), bool)
    low, high = limits
    scale = (rows - 1) / (high - low) if high > low else 0.0
    for column in range(columns):
        first = column * len(values) // columns
        part = values[first : max(first + 1, (column + 1) * len(values) // columns)]
        part = part[np.isfinite(part)]
        if part.size:
            top, bottom = ((rows - 1) - np.rint((np.array([part.max(), part.min()]) - low) * scale)).astype(int)
            dots[top : bottom + 1, column] = True
    return dots


def contact_sheet(strips: Iterable[tuple[str, Sequence[Pixels]]]) -> bytes:
    """Return a PNG with a label and a row of pictures for each strip; memory holds only the small pictures.

    Args:
        strips: Label, and (height, width, 3) uint8 RGB of each picture.
    """
    from PIL import Image, ImageDraw  # not needed by anything else

    rows = [(label, [_thumb(frame) for frame in frames]) for label, frames in strips]
    width = max((len(thumbs) for _, thumbs in rows), default=1) * (_THUMB + _MARGIN) + _MARGIN
    heights = [_LABEL + 2 * _MARGIN + max((len(thumb) for thumb in thumbs), default=0) for _, thumbs in rows]
    sheet = Image.new("RGB", (width, max(1, sum(heights))), (24, 24, 24))
    draw, top = ImageDraw.Draw(sheet), 0
    for (label, thumbs), height in zip(rows, heights, strict=True):
        draw.text((_MARGIN, top + _MARGIN // 2), label.encode("latin-1", "replace").decode("latin-1"), (230, 230, 230))
        for index, thumb in enumerate(thumbs):
            sheet.paste(Image.fromarray(thumb), (_MARGIN + index * (_THUMB + _MARGIN), top + _LABEL + _MARGIN))
        top += height
    stream = BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _thumb(frame: Pixels) -> Pixels:
    height = max(1, round(_THUMB * frame.shape[0] / frame.shape[1]))
    thumb: Pixels = np.rint(_scaled(frame, height, _THUMB)).astype(np.uint8)
    return thumb
