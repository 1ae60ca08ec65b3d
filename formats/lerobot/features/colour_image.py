"""Colour image: a camera with a PNG file in every row, and what it has in common with a colour video."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged
from ....core.features import CHANNEL_NAMES, Feature, channels, frame_size
from ..dataset_files import ArrowColumn
from ..stats.feature_stats import FeatureStats, Shape
from ..stats.image_stats import CHANNELS, ImageStats
from .feature_kind import ColumnWriter, FeatureKind, Problem

if TYPE_CHECKING:
    from ....core.episode import Episode

_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = struct.Struct(">II")  # width and height, right after the name of the first chunk (PNG, 11.2.2)
_SIZE_OFFSET = 16


class FramesWriter(ColumnWriter):
    """Writer of a camera's frames, which are counted on their way.

    Args:
        feature: What the camera is.
        ep: The episode.
        key: The camera.
    """

    def __init__(self, feature: Feature, ep: Episode, key: str) -> None:
        self._feature, self._ep, self._key = feature, ep, key
        self._seen = ImageStats(ep.length)
        self.histogram: NDArray[np.int64] = self._seen.histogram

    def stats(self) -> FeatureStats | None:
        """See the base class."""
        return self._seen.result()

    def _counted(self, batches: Iterator[Array]) -> Iterator[Array]:
        for batch in batches:
            self._seen.add(batch)
            yield batch


class PictureWriter(FramesWriter):
    """Writer of frames as PNG files in the rows."""

    batch_rows = 32

    def __init__(self, feature: Feature, ep: Episode, key: str) -> None:
        super().__init__(feature, ep, key)
        self._frames = (frame for batch in self._counted(ep.frames(key)) for frame in batch)

    def rows(self, first: int, last: int, kind: pa.DataType) -> pa.Array:
        """See the base class."""
        from ....media.image.images import encode_png  # PyAV, which only writing needs

        rows = [{"bytes": encode_png(next(self._frames)), "path": f"frame-{i:06d}.png"} for i in range(first, last)]
        return pa.array(rows, kind)


class ColourCamera(FeatureKind):
    """Frames, whose statistics are those of sampled pixels.

    Attributes:
        frames_writer: Class of the writer.
    """

    frames_writer: ClassVar[type[FramesWriter]]

    def writer(self, ep: Episode, key: str) -> ColumnWriter:
        """See the base class."""
        return self.frames_writer(self.feature, ep, key)

    def problems(self, key: str, entry: Mapping[str, Any], fps: Callable[[], int]) -> Iterator[str]:
        """Yield what LeRobot would refuse or read wrong in an entry of info.json."""
        names = self.feature.names or ()
        if len(self.feature.shape) != 3 or len(names) != 3:
            yield f"is {self.feature} with names {entry.get('names')}; expected height, width, channels"
            return
        if names[2] not in CHANNEL_NAMES and names[0] not in CHANNEL_NAMES:
            yield f"names are {', '.join(names)} instead of height, width, channels"
            return
        height, width = frame_size(self.feature)
        for block in ("info", "video_info"):  # the latter is that of older recorders, and of GR00T
            known = entry.get(block)
            for name, expected in (("video.height", height), ("video.width", width), ("video.fps", fps())):
                if isinstance(known, dict) and known.get(name, expected) != expected:
                    yield f"{name} is {known[name]} instead of {expected}"

    def stats_shape(self, *, keep_axes: bool = False) -> Shape | None:
        """See the base class."""
        return (CHANNELS, 1, 1)

    def known_stats_shapes(self) -> list[Shape]:
        """Return (channels, 1, 1); other tools also store depth, which has one channel."""
        return [(channels(self.feature), 1, 1)]


class ColourImage(ColourCamera):
    """Rows of PNG files, copied when datasets are merged."""

    frames_writer = PictureWriter

    @classmethod
    def fits(cls, feature: Feature) -> bool:
        """Return whether the dtype is LeRobot's for pictures."""
        return feature.dtype == "image"

    @property
    def value_type(self) -> pa.DataType:
        """See the base class."""
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def arrow_field(self, name: str) -> pa.Field:
        """See the base class."""
        return pa.field(name, self.value_type)

    def datasets_type(self, list_type: str) -> dict[str, Any]:
        """See the base class."""
        return {"_type": "Image"}

    def type_problem(self, found: pa.DataType, *, may_wrap: bool) -> Problem | None:
        """See the base class."""
        is_picture = pa.types.is_struct(found) and {field.name for field in found} == {"bytes", "path"}
        return None if is_picture else ("error", f"is {found} instead of a struct of bytes and path")

    def values(self, column: ArrowColumn, where: str) -> NDArray[Any]:
        """Return the files as bytes: (rows,), None for those that are missing."""
        if not pa.types.is_struct(column.type):
            raise Damaged(where, f"pictures are {column.type}")
        pictures: NDArray[Any] = column.field("bytes").to_numpy(zero_copy_only=False)
        return pictures

    def row_problem(self, row: Any) -> str:
        """Say why a row is no PNG file of the right size; empty if it is one."""
        content = row.get("bytes") if isinstance(row, dict) else None
        if not isinstance(content, bytes) or not content:
            return "there is no picture"
        if not content.startswith(_PNG) or len(content) < _SIZE_OFFSET + _SIZE.size:
            return "the picture is no PNG"
        width, height = _SIZE.unpack_from(content, _SIZE_OFFSET)
        size = frame_size(self.feature)
        return "" if (height, width) == size else f"the picture is {height}x{width} instead of {size[0]}x{size[1]}"

    def empty_rows(self, column: ArrowColumn) -> int:
        """See the base class."""
        return int(column.null_count + column.field("bytes").null_count)
