"""Columns that read an HDF5 dataset: numbers, strings, raw frames, encoded frames; what is depth or a mask."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any, Literal, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ...core.columns import Array, Column, Loss
from ...core.errors import EpisodeRejected
from ...core.features import VISUAL_NAMES, Feature
from ...media.image.images import Header, ImageDecoder, read_header
from .chunked_rows import BATCH_BYTES, ChunkedRows, SampledRows, row_bytes
from .hdf5_file import DAMAGE, form, open_dataset, reading, rows_of, stores_all_rows, undecodable
from .stored_rows import check_rows, missing_rows

Storage: TypeAlias = Literal["video", "image"]
Color: TypeAlias = Literal["rgb", "bgr"]
Flip: TypeAlias = Literal["none", "vertical", "horizontal", "rotate180"]
Assume: TypeAlias = Literal["grey", "colour"]

# Variable-length rows are small descriptors in the dataset and live elsewhere in the file.
_ENCODED_ROWS = 64
_INT64_MAX = np.iinfo(np.int64).max
# Joint angles of simulators lose less in float32; epoch times, UTM metres and encoder counts lose what they are about.
_LEAST_CHANGE, _LEAST_SHARE = 1e-6, 1e-4
_CHANNELS = (1, 3, 4)
# Poses and other matrices, (T, n, m) or (T, k, n, m), have fewer rows or columns than frames.
_FEWEST_PIXELS = 16
_MASK_WORDS = ("seg", "segmentation", "mask", "masks", "instance_id")
_WORDS = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_IMAGE_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class NumericColumn(Column):
    """Rows of a numeric dataset, optionally entries first..last of its last axis.

    Args:
        dataset: Numeric, (T, …).
        feature: dtype and shape of a row; values are cast to the dtype.
        entries: Slice of the last axis, or None for all of it.
        is_decided: True if the pipeline says the dtype, so that what the cast loses is meant.
    """

    def __init__(
        self,
        dataset: h5py.Dataset,
        feature: Feature,
        entries: tuple[int, int] | None = None,
        *,
        is_decided: bool = False,
    ) -> None:
        super().__init__(feature, len(dataset))
        self._dataset = dataset
        self._entries = entries
        self._is_decided = is_decided

    def _recorded(self, start: int, stop: int) -> Array:
        """Return rows with the dtype of the dataset."""
        with reading(f"{self._dataset.name} rows {start}..{stop}"):
            rows: Array = self._dataset[start:stop]
        if self._entries is not None:
            rows = rows[..., self._entries[0] : self._entries[1]]
        return rows.reshape(stop - start, *self.feature.shape)

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield all rows at once: the vectors of an episode may be in memory."""
        rows = self._recorded(start, stop)
        with np.errstate(over="ignore"):  # what overflows becomes inf, which the writer refuses by row
            if rows.dtype == np.uint64 and self.feature.dtype == "int64" and rows.size and rows.max() > _INT64_MAX:
                raise EpisodeRejected("out_of_range", f"{self._dataset.name} has {rows.max()}, too large for int64")
            rows = rows.astype(self.feature.dtype, copy=False)
        yield rows

    def loss(self, rows: NDArray[np.int64] | None = None) -> Loss | None:
        """Return the value that loses most of its entry's range, if that is more than 1e-4 of it, and 1e-6."""
        is_exact = np.can_cast(form(self._dataset)[1], np.float32) or self.feature.values_dtype != np.float32
        if self._is_decided or is_exact or not self.length:
            return None
        rows = np.arange(self.length) if rows is None else rows
        first = int(rows.min())  # of a long dataset an episode may have a part
        values = self._recorded(first, int(rows.max()) + 1)[rows - first].reshape(len(rows), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            stored, wide = values.astype(np.float32), values.astype(np.float64, copy=False)
            changes = np.abs(wide - stored)
        if (strange := ~np.isfinite(changes)).any():  # NaN, infinity, overflow: refused when they are written
            changes[strange] = 0
        worst = changes.max(axis=0)
        if worst.max() <= _LEAST_CHANGE:
            return None
        ranges = wide.max(axis=0, where=~strange, initial=-np.inf) - wide.min(axis=0, where=~strange, initial=np.inf)
        lost = (worst > _LEAST_CHANGE) & (worst > _LEAST_SHARE * ranges)
        if not lost.any():
            return None
        shares = np.divide(worst, ranges, out=np.full_like(worst, np.inf), where=ranges > 0)
        entry = max(np.flatnonzero(lost).tolist(), key=lambda at: (shares[at], worst[at]))
        at = int(changes[:, entry].argmax())
        value, cast = values[at, entry].item(), stored[at, entry].item()
        name = str(entry) if values.shape[1] > 1 else ""
        return self._named(Loss(self._dataset.name, int(rows[at]), entry, name, value, cast, float(shares[entry])))

    def as_recorded(self) -> tuple[Column, ...]:
        """Return its rows with the dtype of the file."""
        feature = replace(self.feature, dtype=form(self._dataset)[1].name)
        return (NumericColumn(self._dataset, feature, self._entries),)


class StringColumn(Column):
    """One text per row, from fixed or variable-length strings (T,) in UTF-8."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        super().__init__(Feature("string", (1,)), len(dataset))
        self._dataset = dataset

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield object arrays (n, 1) of str."""
        with reading(f"{self._dataset.name} rows {start}..{stop}"):
            rows = self._dataset.asstr("utf-8", "surrogateescape")[start:stop]
        for row, text in enumerate(rows, start):
            if problem := undecodable(f"{self._dataset.name} row {row}", text):
                raise EpisodeRejected("bad_text", problem)
        yield np.asarray(rows, dtype=object).reshape(-1, 1)


def upright(frames: Array, color: Color, flip: Flip) -> Array:
    """Return frames (n, height, width, 3) as upright RGB, as a view."""
    if color == "bgr":
        frames = frames[..., ::-1]
    if flip in ("vertical", "rotate180"):
        frames = frames[:, ::-1]
    if flip in ("horizontal", "rotate180"):
        frames = frames[:, :, ::-1]
    return frames


class FrameColumn(Column):
    """A camera. Subclasses give frames as stored; colour order and orientation are put right here.

    Attributes:
        rows: Its rows as stored.
    """

    def __init__(
        self, dataset: h5py.Dataset, size: tuple[int, ...], storage: Storage, color: Color, flip: Flip
    ) -> None:
        super().__init__(Feature(storage, (*size, 3), VISUAL_NAMES), len(dataset))
        self.rows = SampledRows(dataset.file, dataset.name, range(len(dataset)))
        self._color = color
        self._flip = flip

    @abstractmethod
    def _stored(self, start: int, stop: int) -> Iterator[Array]:
        """Yield frames start..stop as uint8 (n, height, width, 3), colours and rows as in the file."""

    def batches(self, start: int, stop: int) -> Iterator[Array]:
        """Yield frames start..stop as uint8 RGB (n, height, width, 3), about 4 MB at a time."""
        for frames in self._stored(start, stop):
            yield np.ascontiguousarray(upright(frames, self._color, self._flip))


class RawFrameColumn(FrameColumn):
    """Frames as arrays: (T, H, W) grey, or with 1, 3 or 4 channels, as (T, H, W, C) or (T, C, H, W); alpha is dropped.

    dtype uint8, or floats in [0, 1], which become round(255·x). Channels are first where the second axis
    can be that of the colours, and the last cannot.

    Raises:
        EpisodeRejected: bad_image or image_dtype if the dataset holds no such frames.
    """

    def __init__(
        self, dataset: h5py.Dataset, storage: Storage = "video", color: Color = "rgb", flip: Flip = "none"
    ) -> None:
        shape, dtype = form(dataset)
        size = picture_size(shape)
        if size is None:
            raise EpisodeRejected(
                "bad_image",
                f"{dataset.name} has shape {shape}; frames are (T, height, width, C) or (T, C, height, width), "
                "and C is 1, 3 or 4",
            )
        if dtype != np.uint8 and dtype.kind != "f":
            raise EpisodeRejected(
                "image_dtype", f"{dataset.name} {shape} is {dtype.name}; frames are uint8, or floats between 0 and 1"
            )
        super().__init__(dataset, size, storage, color, flip)
        self._axis = colour_axis(shape)

    def _stored(self, start: int, stop: int) -> Iterator[Array]:
        first = start
        for rows in self.rows.batches(start, stop):
            frames = rows[..., None] if self._axis is None else np.moveaxis(rows, self._axis, 3)[..., :3]
            if frames.dtype.kind == "f":
                frames = self._to_uint8(frames, first)
            first += len(rows)
            yield frames if frames.shape[3] == 3 else np.repeat(frames, 3, axis=3)

    def _to_uint8(self, frames: Array, first: int) -> Array:
        low, high = frames.min(axis=(1, 2, 3)), frames.max(axis=(1, 2, 3))
        bad = np.flatnonzero(~((low >= 0) & (high <= 1)))  # NaN compares false and is bad too
        if len(bad):
            raise EpisodeRejected(
                "bad_image",
                f"{self.rows.path} row {first + bad[0]} has values from {low[bad[0]]:g} to {high[bad[0]]:g}; "
                "float frames must be between 0 and 1 (record with normalize=False)",
            )
        # In float16 the product itself would be rounded: every 25th pixel one level off.
        pixels: Array = np.rint(np.multiply(frames, 255, dtype=np.result_type(frames, np.float32))).astype(np.uint8)
        return pixels


class EncodedFrameColumn(FrameColumn):
    """One JPEG or PNG per row: variable-length uint8, bytes objects, or (T, N) uint8 padded with zeros.

    The decoder ignores what follows the end of an image, so ALOHA's compress_len is not needed
    (its rows are in the writer's camera order, which the file does not give). Frames are as stored:
    no EXIF orientation turns them.

    Raises:
        EpisodeRejected: bad_image if the first row holds no image, image_dtype if it has more than 8 bits.
    """

    def __init__(
        self, dataset: h5py.Dataset, storage: Storage = "video", color: Color = "rgb", flip: Flip = "none"
    ) -> None:
        self._path = dataset.name
        self._file = dataset.file
        self._padded = form(dataset)[1] == np.uint8
        if len(dataset) == 0:
            raise EpisodeRejected("empty_episode", f"{self._path} has no rows")
        # The decoder swaps the colours while it converts, which costs nothing.
        self._bgr = color == "bgr"
        super().__init__(dataset, self._first_size(dataset), storage, "rgb", flip)

    def _first_size(self, dataset: h5py.Dataset) -> tuple[int, int]:
        data = _first_row(dataset)
        try:
            header = read_header(data)
            header.check_bits()
        except EpisodeRejected as exc:
            raise self._bad(0, data, exc) from exc
        return header.height, header.width

    def _stored(self, start: int, stop: int) -> Iterator[Array]:
        decoder = ImageDecoder()
        height, width, _ = self.feature.shape
        step = max(1, BATCH_BYTES // prod(self.feature.shape))
        frames, filled = np.empty((min(step, stop - start), height, width, 3), np.uint8), 0
        for row, data in enumerate(self._images(start, stop), start):
            try:
                frame = decoder.decode(data, bgr=self._bgr)
            except EpisodeRejected as exc:
                raise self._bad(row, data, exc) from exc
            if frame.shape[:2] != (height, width):
                raise EpisodeRejected(
                    "image_size_changed",
                    f"{self._path} row {row} is {frame.shape[0]}x{frame.shape[1]}, row 0 is {height}x{width}",
                )
            frames[filled] = frame
            filled += 1
            if filled == len(frames):
                yield frames
                frames, filled = np.empty((min(step, stop - row - 1), height, width, 3), np.uint8), 0

    def _images(self, start: int, stop: int) -> Iterator[bytes]:
        if self._padded:
            for rows in self.rows.batches(start, stop):
                yield from map(row_bytes, rows)
            return
        for first in range(start, stop, _ENCODED_ROWS):
            with reading(f"{self._path} rows {first}..{min(stop, first + _ENCODED_ROWS)}"):
                rows = open_dataset(self._file, self._path)[first : min(stop, first + _ENCODED_ROWS)]
            self.rows.passed(first, rows)
            yield from map(row_bytes, rows)

    def _bad(self, row: int, data: bytes, exc: EpisodeRejected) -> EpisodeRejected:
        begin = data[:8].hex(" ") or "nothing"
        return EpisodeRejected(
            exc.reason,
            f"{self._path} row {row} cannot be decoded ({len(data):,} bytes, beginning with {begin}): {exc.detail}",
        )


def is_camera(dataset: h5py.Dataset) -> bool:
    """True for frames with an axis of colours, of any numbers; `depth_or_mask` tells what they show."""
    shape, dtype = form(dataset)
    return colour_axis(shape) is not None and dtype.kind in "biuf"


def depth_or_mask(group: h5py.Group, path: str, assume: Assume | None = None) -> str:
    """Return why a camera is no picture: "depth (…)" or "a mask (…)"; empty if it is one, or cannot be read.

    Of encoded rows the header of the first is read; of four channels the last is read whole, up to a
    value that is not opaque.

    Args:
        group: The episode.
        path: Path in it of frames, raw or encoded.
        assume: "grey": one channel of floats is a picture. "colour": four channels are. Either: whatever its name.
    """
    if assume is None and (word := _mask_word(path)):
        return f"a mask (its name has the word {word!r}; `assume: colour` makes it a picture)"
    dataset = open_dataset(group, path)
    if is_encoded(dataset):
        header = _header_of(dataset)
        return f"depth (grey of {header.bits} bits)" if header and header.bits > 8 and header.channels == 1 else ""
    shape, dtype = form(dataset)
    if picture_size(shape) is None:
        return ""
    axis = colour_axis(shape)
    channels = 1 if axis is None else shape[axis]
    if dtype.kind in "biu" and dtype != np.uint8:
        if dtype.itemsize == 1:
            return f"a mask ({dtype.name}; pictures are uint8)"
        if channels == 1:
            return f"depth (one channel of {dtype.name})"
        return f"a mask, or colours of more than 8 bits ({dtype.name}; pictures are uint8)"
    if dtype.kind == "f" and channels == 1 and assume != "grey":
        return f"depth (one channel of {dtype.name}; `assume: grey` makes values from 0 to 1 a picture)"
    if channels == 4 and assume != "colour" and not _is_opaque(dataset, rows_of(group, dataset), axis):
        return "a mask (the fourth channel has other values than 255; `assume: colour` makes it a picture)"
    return ""


def left_out(group: h5py.Group, path: str) -> str:
    """Return `depth_or_mask` of any dataset of an episode, empty if it is no camera."""
    with suppress(EpisodeRejected, *DAMAGE):  # what no column reads may be unreadable
        dataset = open_dataset(group, path)
        shape, dtype = form(dataset)
        size = picture_size(shape) if dtype.kind in "biuf" else None
        if (size and min(size) >= _FEWEST_PIXELS) or (is_encoded(dataset) and begins_like_image(dataset)):
            return depth_or_mask(group, path)
    return ""


def orientation(dataset: h5py.Dataset) -> int:
    """Return the EXIF orientation of the first of encoded rows, 1 to 8; 1 of any other dataset."""
    header = _header_of(dataset) if is_encoded(dataset) and begins_like_image(dataset) else None
    return header.orientation if header else 1


def colour_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis of the colours of frames: 3 of (T, H, W, C), 1 of (T, C, H, W), None if neither fits."""
    return next((axis for axis in (3, 1) if len(shape) == 4 and shape[axis] in _CHANNELS), None)


def picture_size(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return (height, width) of frames, None if they have none."""
    axis = colour_axis(shape)
    if axis is None and len(shape) != 3:
        return None
    return shape[2:] if axis == 1 else shape[1:3]


def _mask_word(path: str) -> str:
    words = f"_{'_'.join(_WORDS.findall(path))}_".lower()
    return next((word for word in _MASK_WORDS if f"_{word}_" in words), "")


def _is_opaque(dataset: h5py.Dataset, rows: range, axis: int | None) -> bool:
    """True if the fourth channel hides nothing, in rows that are stored: others would read as zeros."""
    is_stored, first = ~missing_rows(dataset), rows.start
    for batch in ChunkedRows(dataset.file, dataset.name).batches(rows.start, rows.stop):
        alpha = np.take(batch[is_stored[first : first + len(batch)]], 3, axis)
        if not (alpha == (255 if batch.dtype == np.uint8 else 1)).all():
            return False
        first += len(batch)
    return True


def _header_of(dataset: h5py.Dataset) -> Header | None:
    """Return the header of the first row, None if it is no image: the column that reads it says so."""
    try:
        return read_header(_first_row(dataset)) if len(dataset) else None
    except EpisodeRejected:
        return None


def _first_row(dataset: h5py.Dataset) -> bytes:
    if not stores_all_rows(dataset):
        check_rows(dataset, 0, 1)
    with reading(f"{dataset.name} row 0"):
        return row_bytes(dataset[0])


def is_encoded(dataset: h5py.Dataset) -> bool:
    """True if the rows of a dataset can be JPEG or PNG files rather than arrays of pixels."""
    shape, dtype = form(dataset)
    if len(shape) == 1:
        return dtype.kind in "SV" or _is_vlen(dtype)
    return len(shape) == 2 and dtype == np.uint8


def begins_like_image(dataset: h5py.Dataset) -> bool:
    """True if the first row of encoded rows begins like a JPEG or PNG."""
    return len(dataset) > 0 and _first_row(dataset).startswith(_IMAGE_SIGNATURES)


def _is_vlen(dtype: np.dtype[Any]) -> bool:
    vlen = h5py.check_vlen_dtype(dtype)
    text = h5py.check_string_dtype(dtype)
    return (vlen is not None and np.dtype(vlen).itemsize == 1) or (text is not None and text.length is None)
