"""image_resizer: pad and resize the frames of cameras."""

from __future__ import annotations

from functools import partial
from typing import Literal

from ...core.columns import Array
from ...core.episode import Episode
from ...core.errors import UsageError
from ...core.features import cameras
from ...media.image.pixels import pad, resize
from ..episode_step import EpisodeMap


class ImageResizer(EpisodeMap):
    """Pads frames with black, centred, and then resizes them.

    Args:
        height: Height of the result in pixels; needs `width`. Without both, frames are only padded.
        width: Width of the result in pixels.
        pad: "even" makes odd sizes even (H.264 needs that), "square" makes height and width equal.
        cameras: Camera keys; all by default.
    """

    name = "image_resizer"
    keeps_vectors = True

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
        for key in self.cameras or cameras(ep.features):
            padded = self._padded(*ep.camera(key).shape[:2])
            size = (self.height or padded[0], self.width or padded[1])
            ep = ep.map_frames(key, partial(_padded_and_resized, padded, size), height=size[0], width=size[1])
        return ep

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        if self.pad == "square":
            return max(height, width), max(height, width)
        if self.pad == "even":
            return height + height % 2, width + width % 2
        return height, width


def _padded_and_resized(padded: tuple[int, int], size: tuple[int, int], frames: Array) -> Array:
    return resize(pad(frames, *padded), *size)
