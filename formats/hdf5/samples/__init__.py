"""Small demonstration files of every layout, with known values: for tests, benchmarks and `robotrove sample`."""

from __future__ import annotations

from pathlib import Path

from ....core.registry import Registry
from .sample_spec import Compression, SampleSpec

SAMPLES = Registry(
    "sample",
    __name__,
    {
        "isaaclab": "isaaclab_sample:write_isaaclab",
        "leisaac": "leisaac_sample:write_so101",
        "leisaac_bi_so101": "leisaac_sample:write_bi_so101",
        "leisaac_lekiwi": "leisaac_sample:write_lekiwi",
        "arena_gr1": "arena_sample:write_gr1",
        "arena_g1": "arena_sample:write_g1",
        "arena_droid": "arena_sample:write_droid",
        "evaltasks": "arena_sample:write_evaltasks",
        "robomimic": "robomimic_sample:write_robomimic",
        "libero": "robomimic_sample:write_libero",
        "piper": "piper_sample:write_jpeg",
        "piper_raw": "piper_sample:write_raw",
        "aloha": "aloha_sample:write_raw",
        "aloha_padded": "aloha_sample:write_padded_jpeg",
        "aloha_vlen": "aloha_sample:write_vlen_jpeg",
        "generic": "generic_sample:write_generic",
    },
)

# Cameras of the real files, by the names that the shipped pipelines look for.
CAMERAS = {
    "leisaac_bi_so101": ("left_wrist", "right_wrist", "top"),
    "arena_gr1": ("robot_pov_cam",),
    "arena_g1": ("robot_head_cam",),
    "arena_droid": ("robot_pov_cam",),
    "evaltasks": ("robot_pov_cam",),
    "libero": ("agentview", "eye_in_hand"),
    "piper": ("left", "mid", "right"),
    "piper_raw": ("left", "mid", "right"),
}
_OTHER_CAMERAS = ("front", "wrist")
_RATES = {"libero": 20}  # as the simulator controls the arm
_OTHER_RATE = 30


def write_sample(
    layout: str,
    folder: Path,
    *,
    episodes: int = 3,
    frames: int = 30,
    height: int = 96,
    width: int = 96,
    cameras: tuple[str, ...] | None = None,
    seed: int = 0,
    compression: Compression | None = None,
    fps: int | None = None,
) -> list[Path]:
    """Write sample files of one layout into a folder, frame by frame, and return their paths.

    Values are `sample_spec.state` and `sample_spec.action` of (episode, frame), those of LIBERO
    `robomimic_sample.libero_motion`, frames those of `pictures`; the same arguments give the same values.

    Args:
        layout: A name in SAMPLES.
        folder: Made if it is missing; files of the same name in it are replaced.
        episodes: Number of episodes.
        frames: Frames of each episode.
        height: Height of the frames in pixels, at least 48.
        width: Width of the frames in pixels, at least 48.
        cameras: Names of the cameras, those of the layout's real files by default; their positions are the
            camera numbers of the markers.
        seed: Another seed gives other values.
        compression: Of raw frames and vectors; None is the layout's own habit.
        fps: Frames per second, written where the layout has a place for it; 20 for LIBERO and 30 for others by default.

    Raises:
        UsageError: If there is no such layout, or an argument does not fit.
    """
    write = SAMPLES[layout]
    names = CAMERAS.get(layout, _OTHER_CAMERAS) if cameras is None else cameras
    rate = _RATES.get(layout, _OTHER_RATE) if fps is None else fps
    spec = SampleSpec(episodes, frames, height, width, tuple(names), seed, compression, rate)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = write(spec, folder)
    return paths
