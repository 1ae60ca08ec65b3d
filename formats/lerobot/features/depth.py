"""Depth: cameras with distances instead of colours, as LeRobot 0.6 records them; copied, never computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.features import channels
from ..stats.feature_stats import Shape
from .colour_image import ColourImage
from .colour_video import ColourCamera, ColourVideo, info_of

if TYPE_CHECKING:
    from ....media.image.images import Header

_UNITS = ("m", "mm")
# Of the quantizer, in metres (lerobot 0.6.1, configs/video.py, DepthEncoderConfig); codes are read with them.
_LOGARITHM = "video.use_log"
_QUANTIZER = {"video.depth_min": 0.01, "video.depth_max": 10.0, "video.shift": 3.5, _LOGARITHM: True}
_TWELVE_BITS = re.compile(r"(gray|p0?)12(le|be)?$")  # gray12le, yuv420p12le, p012le; not nv12


class DepthCamera(ColourCamera):
    """Distances of one channel, with statistics in their unit.

    Depth of other settings has other values for the same codes, so that it is only merged where they agree.
    """

    refused_in = ("v2.1",)

    def problems(self, key: str, entry: Mapping[str, Any], fps: Callable[[], int]) -> Iterator[str]:
        """See the base class; see `lerobot/datasets/depth_utils.py` for the settings."""
        yield from super().problems(key, entry, fps)
        if len(self.feature.shape) == 3 and channels(self.feature) != 1:
            yield f"is a depth map of {channels(self.feature)} channels instead of 1"
        info = info_of(entry)
        if info.get("depth_unit", "m") not in _UNITS:
            yield f"depth_unit is {info['depth_unit']!r} instead of {' or '.join(_UNITS)}"

    def stored_info(self, entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """Return the whole `info`, with the mark of depth at the place where LeRobot 0.6 writes it."""
        known = {key: value for key, value in info_of(entry).items() if key != "video.is_depth_map"}
        return known | {k: v for k, v in self.settings(known).items() if v is not None} | {"is_depth_map": True}

    def merged_info(self, info: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
        """See the base class; a file does not say that it has depth, nor its settings."""
        return super().merged_info(info, other) or {key: v for key, v in info.items() if other.get(key) == v}

    def settings(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the unit."""
        return {"depth_unit": info.get("depth_unit")}

    def stats_shape(self, *, keep_axes: bool = False) -> Shape | None:
        """See the base class."""
        return (1, 1, 1)


class DepthVideo(DepthCamera, ColourVideo):
    """Codes of 12 bits in video files; their packets are copied."""

    def problems(self, key: str, entry: Mapping[str, Any], fps: Callable[[], int]) -> Iterator[str]:
        """See the base class."""
        yield from super().problems(key, entry, fps)
        info = info_of(entry)
        if info.get("video.channels", 1) != 1:
            yield f"video.channels is {info['video.channels']!r} instead of 1"
        found = self.settings(info)
        low, high, shift = (found[f"video.{name}"] for name in ("depth_min", "depth_max", "shift"))
        if wrong := [name for name in _QUANTIZER if not _is_like(found[name], _QUANTIZER[name])]:
            expected = "true or false" if wrong == [_LOGARITHM] else "a number of metres"
            yield f"{wrong[0]} is {found[wrong[0]]!r} instead of {expected}"
        elif low >= high:
            yield f"video.depth_min is {low}, which is not below video.depth_max, {high}"
        elif found[_LOGARITHM] and low + shift <= 0:
            yield f"video.depth_min + video.shift is {low + shift}, which has no logarithm"

    def file_problems(self, codec: str, pix_fmt: str, entry: Mapping[str, Any]) -> Iterator[str]:
        """See the base class."""
        if not _TWELVE_BITS.search(pix_fmt):
            yield f"is {codec} in {pix_fmt}, but depth has codes of 12 bits, as in gray12le"
        info = info_of(entry)
        for name, found in (("video.codec", codec), ("video.pix_fmt", pix_fmt)):
            if (said := info.get(name) or found) != found:
                yield f"is {codec} in {pix_fmt}, but info.json has {name} {said!r}"

    def settings(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the unit and the settings of the quantizer."""
        quantizer = {key: info.get(key) for key in _QUANTIZER}
        used = {key: _QUANTIZER[key] if value is None else value for key, value in quantizer.items()}
        return {**super().settings(info), **used}


class DepthImage(DepthCamera, ColourImage):
    """Rows of TIFF files with distances as they were recorded."""

    def info_entry(self, known: Mapping[str, Any], file: Path, fps: int) -> dict[str, Any]:
        """Return the entry of info.json with `info`."""
        entry = super().info_entry(known, file, fps)
        return entry | {"info": dict(known)} if known else entry

    def header_problem(self, header: Header) -> str:
        """See the base class."""
        if header.channels == 1 and header.bits > 8:
            return ""
        return f"the picture has {header.channels} channels of {header.bits} bits; expected 1 of 16 or 32, for depth"


def _is_like(value: Any, usual: float) -> bool:
    """True for a truth value where one is usual, and for a number where one is."""
    return isinstance(value, bool) if isinstance(usual, bool) else type(value) in (int, float)
