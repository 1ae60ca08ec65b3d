"""Small demonstration files of every layout, with known values: for tests, benchmarks and `robotrove sample`."""

from __future__ import annotations

from pathlib import Path

from ....core.registry import Registry
from .spec import Compression, SampleSpec

SAMPLES = Registry(
    "sample",
    __name__,
    {
        "isaaclab": "isaaclab:write_isaaclab",
        "leisaac": "isaaclab:write_leisaac",
        "robomimic": "robomimic:write_robomimic",
        "libero": "robomimic:write_libero",
        "piper": "piper:write_jpeg",
        "piper_raw": "piper:write_raw",
        "aloha": "aloha:write_raw",
        "aloha_padded": "aloha:write_padded_jpeg",
        "aloha_vlen": "aloha:write_vlen_jpeg",
        "generic": "generic:write_generic",
    },
)


def write_sample(
    layout: str,
    folder: Path,
    *,
    episodes: int = 3,
    frames: int = 30,
    height: int = 96,
    width: int = 96,
    cameras: tuple[str, ...] = ("front", "wrist"),
    seed: int = 0,
    compression: Compression | None = None,
    fps: int = 30,
) -> list[Path]:
    """Write sample files of one layout into a folder, frame by frame, and return their paths.

    Values are `signals.state` and `signals.action` of (episode, frame), frames those of `pictures`;
    the same arguments give the same values.

    Args:
        layout: A name in SAMPLES.
        folder: Made if it is missing; files of the same name in it are replaced.
        episodes: Number of episodes.
        frames: Frames of each episode.
        height: Height of the frames in pixels, at least 48.
        width: Width of the frames in pixels, at least 48.
        cameras: Names of the cameras; their positions are the camera numbers of the markers.
        seed: Another seed gives other values.
        compression: Of raw frames and vectors; None is the layout's own habit.
        fps: Frames per second, written where the layout has a place for it.

    Raises:
        UsageError: If there is no such layout, or an argument does not fit.
    """
    spec = SampleSpec(episodes, frames, height, width, tuple(cameras), seed, compression, fps)
    write = SAMPLES[layout]
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = write(spec, folder)
    return paths
