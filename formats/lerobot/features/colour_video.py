"""Colour video: a camera with frames in video files, and its common part with a colour image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged
from ....core.features import CHANNEL_NAMES, Feature, channel_axis, channels, frame_size
from ....core.prefetch import prefetch
from ..stats.feature_stats import FeatureStats, Shape
from ..stats.image_stats import CHANNELS, ImageStats
from .feature_kind import ColumnWriter, FeatureKind, FileWriter

if TYPE_CHECKING:
    from ....core.episode import Episode
    from ....media.encode.settings import VideoSettings


_BLOCKS = ("info", "video_info")  # the latter is that of older recorders, and of GR00T
_OPTIONS = "video.extra_options"
_ENCODER = ("video.g", "video.crf", "video.preset", "video.fast_decode", "video.video_backend", _OPTIONS)


def info_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts on a camera that an entry of info.json has, wherever they are."""
    return next((entry[block] for block in _BLOCKS if isinstance(entry.get(block), dict) and entry[block]), {})


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


class ClipWriter(FramesWriter, FileWriter):
    """Writer of frames as an mp4 file of their own."""

    suffix = ".mp4"

    def write_file(self, path: Path, video: VideoSettings, cpus: int) -> None:
        """See the base class."""
        from ....media.encode.encoder import make_encoder  # PyAV, which only writing needs
        from ....media.video.probe import probe

        ep, (height, width, _) = self._ep, self._feature.shape
        # One thread reads and decodes ahead while this one encodes, where a second CPU is there for it.
        batches = prefetch(ep.frames(self._key)) if cpus > 1 else ep.frames(self._key)
        make_encoder(video).encode(path, self._counted(batches), width=width, height=height, fps=ep.fps)
        probe(path, expected_frames=ep.length, fps=ep.fps)


class ColourCamera(FeatureKind):
    """Frames, with statistics of sampled pixels.

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
        if names[channel_axis(self.feature)] not in CHANNEL_NAMES:
            is_last = channel_axis(self.feature) == -1
            told = "instead of height, width, channels" if is_last else f"but {self.feature} has channels first"
            yield f"names are {', '.join(names)} {told}"
            return
        height, width = frame_size(self.feature)
        for block in _BLOCKS:
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


class ColourVideo(ColourCamera):
    """Frames in video files; packets are copied when datasets are merged."""

    in_rows = False
    frames_writer = ClipWriter

    def info_entry(self, known: Mapping[str, Any], file: Path, fps: int) -> dict[str, Any]:
        """Return the entry of info.json with `info`, which has the keys that LeRobot 0.4 writes."""
        entry = super().info_entry(known, file, fps)
        return entry | {"info": dict(known) if known else _encoding_info(file, fps)}

    def stored_info(self, entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """See the base class."""
        info: Any = next((entry[block] for block in _BLOCKS if entry.get(block)), {})
        if not isinstance(info, dict):
            raise Damaged(where, f"info is {info!r} instead of an object")
        return info

    def merged_info(self, info: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return it without settings of encoders that differ, as LeRobot does (0.6.1, datasets/aggregate.py)."""
        differing = [key for key in _ENCODER if info.get(key) != other.get(key)]
        shared: dict[str, Any] = {key: {} if key == _OPTIONS else None for key in differing}
        return {**info, **shared} if {**info, **shared} == {**other, **shared} else {}


def _encoding_info(path: Path, fps: int) -> dict[str, Any]:
    from ....media.remux.video_index import encoding_at

    seen = encoding_at(path)
    return {
        "video.height": seen.height,
        "video.width": seen.width,
        "video.codec": seen.codec,
        "video.pix_fmt": seen.pix_fmt,
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
