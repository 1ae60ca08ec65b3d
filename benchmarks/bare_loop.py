"""The other side of `throughput.py`: read, PyAV encode, nothing else. No statistics, rows, checks or commits.

One process per episode at a time, as many as WORKERS; written against PyAV and h5py alone.
"""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["SVT_LOG"] = "1"

import av
import h5py
import numpy as np

OPTIONS = {
    "libsvtav1": {"g": "2", "crf": "30", "preset": "12", "svtav1-params": "lp=1"},
    "libx264": {
        "g": "2",
        "crf": "30",
        "preset": "medium",
        "threads": "1",
        "bf": "0",
        "sc_threshold": "0",
        "forced-idr": "1",
        "x264-params": "cpu-independent=1:open-gop=0",
    },
}


def frames(dataset: h5py.Dataset):
    if dataset.ndim == 4:
        for first in range(0, len(dataset), 8):
            for image in dataset[first : first + 8]:
                yield av.VideoFrame.from_ndarray(image, format="rgb24")
    else:
        for row in dataset:
            with av.open(io.BytesIO(np.asarray(row).tobytes()), format="mjpeg") as jpeg:
                yield next(jpeg.decode(video=0)).reformat(format="rgb24")


def encode(job: tuple[str, str, str, str]) -> int:
    path, dataset, out, codec = job
    count = 0
    with h5py.File(path, "r") as file, av.open(out, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=30, options=OPTIONS[codec])
        for frame in frames(file[dataset]):
            if not count:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
            count += 1
        container.mux(stream.encode(None))
    return count


def main() -> None:
    path, out, codec, workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    jobs: list[tuple[str, str, str, str]] = []
    with h5py.File(path, "r") as file:
        root = file.get("data", file)
        for episode in root.values():
            if not episode.attrs.get("success", True):
                continue

            def add(name: str, item: object) -> None:
                if isinstance(item, h5py.Dataset) and (item.ndim == 4 or h5py.check_vlen_dtype(item.dtype)):
                    jobs.append((str(path), item.name, str(out / f"{len(jobs)}.mp4"), codec))

            episode.visititems(add)
    with ProcessPoolExecutor(workers) as pool:
        print(sum(pool.map(encode, jobs)))


if __name__ == "__main__":
    main()
