"""Colour image: a camera with a picture in every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray

from ....core.errors import Damaged, EpisodeRejected
from ....core.features import Feature, frame_size
from ..dataset_files import ArrowColumn
from .colour_video import ColourCamera, FramesWriter
from .feature_kind import NO_PICTURE, Problem, RowsWriter

if TYPE_CHECKING:
    from ....core.episode import Episode
    from ....media.image.images import Header


class PictureWriter(FramesWriter, RowsWriter):
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


class ColourImage(ColourCamera):
    """Rows of PNG, JPEG, WebP or TIFF files, copied when datasets are merged."""

    frames_writer = PictureWriter

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
        """Say why a row is no picture of the right size; empty if it is one."""
        from ....media.image.images import stored_header  # PyAV, which rows do not need

        content = row.get("bytes") if isinstance(row, dict) else None
        if not isinstance(content, bytes) or not content:
            return NO_PICTURE
        try:
            header = stored_header(content)
        except EpisodeRejected as exc:
            return f"the picture cannot be read: {exc.detail}"
        (height, width), found = frame_size(self.feature), (header.height, header.width)
        if found != (height, width):
            return f"the picture is {found[0]}x{found[1]} instead of {height}x{width}"
        return self.header_problem(header)

    def header_problem(self, header: Header) -> str:
        """Say why a picture of the right size cannot be one of this camera; empty if it can."""
        return ""

    def empty_rows(self, column: ArrowColumn) -> int:
        """See the base class."""
        return int(column.null_count + column.field("bytes").null_count)
