"""HDF5 files for benchmarks: real simulator pixels where a recording is at hand, noise on a gradient elsewhere.

    python benchmarks/source.py FILE --size 480x640 --episodes 1 --frames 10000 [--layout piper] [--gzip]

A program of its own: the peak memory of a process counts against the programs that it starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robotrove.media.image.images import encode_jpeg
from robotrove.media.image.pixels import resize
from robotrove.media.video.probe import iter_frames

GOLDEN = Path(__file__).parents[2] / "shared/data/arena_gr1_golden/videos/chunk-000/observation.images.ego_view"

BATCH = 100


def pictures(height: int, width: int) -> tuple[str, list[np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Return what the pictures are, and about 150 different ones (height, width, 3), uint8 RGB."""
    videos = sorted(GOLDEN.glob("*.mp4"))
    if videos:
        return "real pixels", [resize(frame[None], height, width)[0] for frame in iter_frames(videos[0])]
    noise = np.random.default_rng(0)
    ramp = np.linspace(0, 200, width)[None, :, None]
    shape = (height, width, 3)
    return "noise", [(ramp + noise.integers(0, 40, shape) + index % 16).astype(np.uint8) for index in range(150)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", default="256x256", help="height x width")
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--layout", choices=["isaaclab", "piper"], default="isaaclab")
    parser.add_argument("--gzip", action="store_true", help="with h5py's automatic chunks")
    args = parser.parse_args()
    height, width = (int(extent) for extent in args.size.split("x"))
    what, images = pictures(height, width)
    vectors = np.random.default_rng(1).normal(size=(args.frames, 14)).astype(np.float32)
    with h5py.File(args.file, "w") as file:
        for number in range(args.episodes):
            vectors[:, 0] = number
            write = _piper if args.layout == "piper" else _isaaclab
            write(file, number, vectors, images, "gzip" if args.gzip else None)
    print(what)


def _shifted(camera: int, images: list[Any], first: int, last: int) -> Iterator[Any]:
    for index in range(first, last):
        yield images[(index + 37 * camera) % len(images)]


def _isaaclab(file: h5py.File, number: int, vectors: Any, images: list[Any], compression: str | None) -> None:
    file.require_group("data").attrs["env_args"] = '{"env_name": "Bench-v0", "type": 2}'
    group = file.create_group(f"data/demo_{number}")
    group.attrs["success"], group.attrs["num_samples"] = True, len(vectors)
    group["actions"], group["obs/joint_pos"] = vectors, vectors
    group.create_group("initial_state")
    for camera, name in enumerate(("front", "wrist")):
        shape = (len(vectors), *images[0].shape)
        rows = group.create_dataset(f"obs/{name}", shape, np.uint8, compression=compression)
        step = rows.chunks[0] if rows.chunks else BATCH
        for first in range(0, len(vectors), step):
            last = min(len(vectors), first + step)
            rows[first:last] = np.stack(list(_shifted(camera, images, first, last)))


def _piper(file: h5py.File, number: int, vectors: Any, images: list[Any], compression: str | None) -> None:
    group = file.create_group(f"episode_{number}")
    group.attrs["instruction"], group.attrs["length"] = "bench", len(vectors)
    group["action"], group["state"] = vectors, vectors
    encoded = [np.frombuffer(encode_jpeg(image, quality=90), np.uint8) for image in images]
    for camera, name in enumerate(("image_left", "image_mid", "image_right")):
        rows = group.create_dataset(name, (len(vectors),), h5py.vlen_dtype(np.uint8))
        for index, image in enumerate(_shifted(camera, encoded, 0, len(vectors))):
            rows[index] = image


if __name__ == "__main__":
    main()
