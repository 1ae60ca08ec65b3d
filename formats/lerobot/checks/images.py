"""Pictures in the data files, for cameras that are not stored as video."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from ....core.errors import Damaged
from ....core.features import frame_size
from ..datasets.dataset import DatasetView
from .base import Check, Finding

_BATCH_ROWS = 64  # a picture can take a megabyte
_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = struct.Struct(">II")  # width and height, right after the name of the first chunk (PNG, 11.2.2)
_SIZE_OFFSET = 16


class ImagesCheck(Check[DatasetView]):
    """Every picture is there, and a PNG of the size that info.json says."""

    name = "images"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield pictures that are not what they should be."""
        for key, feature in dataset.features.items():
            if feature.dtype != "image" or len(feature.shape) != 3:
                continue
            size = frame_size(feature)
            for path in (data.path for data in dataset.data_files()):
                try:
                    row = 0
                    for batch in dataset.batches(path, (key,), _BATCH_ROWS):
                        for picture in batch[key].to_pylist():
                            if problem := _problem(picture, size):
                                yield self.error(f"{path}, row {row}, column {key}", problem)
                            row += 1
                except Damaged as exc:
                    yield self.damaged(exc)


def _problem(picture: Any, size: tuple[int, int]) -> str:
    content = picture.get("bytes") if isinstance(picture, dict) else None
    if not isinstance(content, bytes) or not content:
        return "there is no picture"
    if not content.startswith(_PNG) or len(content) < _SIZE_OFFSET + _SIZE.size:
        return "the picture is no PNG"
    width, height = _SIZE.unpack_from(content, _SIZE_OFFSET)
    if (height, width) != size:
        return f"the picture is {height}x{width} instead of {size[0]}x{size[1]}"
    return ""
