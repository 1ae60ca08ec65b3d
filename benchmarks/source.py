"""HDF5 files for benchmarks: real simulator pixels where a recording is at hand, noise on a gradient elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from robotrove.media.images import encode_jpeg
from robotrove.media.probe import iter_frames
from robotrove.media.resize import resize

GOLDEN = Path(__file__).parents[2] / "shared/data/arena_gr1_golden/videos/chunk-000/observation.images.ego_view"


def pictures(size: int) -> tuple[str, list[np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Return what the pictures are, and about 150 different ones (size, size, 3), uint8 RGB."""
    videos = sorted(GOLDEN.glob("*.mp4"))
    if videos:
        return "real pixels", [resize(frame[None], size, size)[0] for frame in iter_frames(videos[0])]
    noise = np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)[None, :, None]
    return "noise", [
        (ramp + noise.integers(0, 40, (size, size, 3)) + index % 16).astype(np.uint8) for index in range(150)
    ]


def write_source(path: Path, *, size: int, episodes: int, frames: int, layout: str) -> str:
    """Write one file with two raw cameras (isaaclab) or three JPEG cameras (piper); say what is in it."""
    what, images = pictures(size)
    encoded = [np.frombuffer(encode_jpeg(image, quality=90), np.uint8) for image in images] if layout == "piper" else []
    vectors = np.random.default_rng(1).normal(size=(frames, 14)).astype(np.float32)

    def shifted(camera: int, pool: list[Any]) -> Iterator[Any]:
        for index in range(frames):
            yield pool[(index + 37 * camera) % len(pool)]

    with h5py.File(path, "w") as file:
        if layout == "isaaclab":
            file.create_group("data").attrs["env_args"] = '{"env_name": "Bench-v0", "type": 2}'
        for number in range(episodes):
            vectors[:, 0] = number
            if layout == "piper":
                group = file.create_group(f"episode_{number}")
                group.attrs["instruction"], group.attrs["length"] = "bench", frames
                group["action"] = group["state"] = vectors
                for camera, name in enumerate(("image_left", "image_mid", "image_right")):
                    rows = group.create_dataset(name, (frames,), h5py.vlen_dtype(np.uint8))
                    for index, image in enumerate(shifted(camera, encoded)):
                        rows[index] = image
            else:
                group = file.create_group(f"data/demo_{number}")
                group.attrs["success"], group.attrs["num_samples"] = True, frames
                group["actions"], group["obs/joint_pos"] = vectors, vectors
                group.create_group("initial_state")
                for camera, name in enumerate(("front", "wrist")):
                    rows = group.create_dataset(f"obs/{name}", (frames, size, size, 3), np.uint8)
                    for index, image in enumerate(shifted(camera, images)):
                        rows[index] = image
    return what
