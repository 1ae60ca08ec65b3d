"""image_resizer: pad and resize the frames of cameras."""

from __future__ import annotations

from typing import Literal

from ...core.columns import Array, MappedColumn
from ...core.episode import Episode
from ...core.errors import EpisodeRejected, UsageError, nearest
from ...core.features import Feature
from ...media.image.pixels import pad, resize
from ..episode_step import EpisodeMap


class ImageResizer(EpisodeMap):
    """Pads frames with black, centred, and then resizes them.

    Args:
        height: Height of the result in pixels; with `width`, or both left out to only pad.
        width: Width of the result in pixels.
        pad: "even" makes odd sizes even (H.264 needs that), "square" makes height and width equal.
        cameras: Camera keys; all by default.
    """

    name = "image_resizer"

    def __init__(
        self,
        *,
        height: int | None = None,
        width: int | None = None,
        pad: Literal["none", "even", "square"] = "none",
        cameras: list[str] | None = None,
    ) -> None:
        super().__init__()
        if (height is None) != (width is None):
            raise UsageError("image_resizer", "only one of height and width is given", "both or neither")
        if height is None and pad == "none":
            raise UsageError("image_resizer", "does nothing", "height and width, or pad")
        if height is not None and width is not None and min(height, width) < 1:
            raise UsageError("image_resizer", f"height {height}, width {width}", "at least 1 pixel")
        self.height = height
        self.width = width
        self.pad = pad
        self.cameras = cameras

    def apply(self, ep: Episode) -> Episode:
        """Wrap the cameras' columns.

        Raises:
            EpisodeRejected: `missing_column` if a named camera is not there.
        """
        visual = [key for key, column in ep.columns.items() if column.feature.is_visual]
        for key in self.cameras or visual:
            if key not in visual:
                raise EpisodeRejected("missing_column", f"there is no camera {key!r}{nearest(key, visual)}")
            column = ep.columns[key]
            padded = self._padded(column.feature.shape[0], column.feature.shape[1])
            size = (self.height or padded[0], self.width or padded[1])
            feature = Feature(column.feature.dtype, (*size, 3), column.feature.names)

            def change(batch: Array, _: int, padded: tuple[int, int] = padded, size: tuple[int, int] = size) -> Array:
                return resize(pad(batch, *padded), *size)

            ep.columns[key] = MappedColumn(column, feature, change)
        return ep

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        if self.pad == "square":
            return max(height, width), max(height, width)
        if self.pad == "even":
            return height + height % 2, width + width % 2
        return height, width
