"""Opens datasets with the LeRobot of this environment and writes down what it sees; knows nothing of robotrove.

    python judge.py ROOT OUT.npz [ROOT OUT.npz …] [--source SOURCE.npz]

Each dataset is judged in a process of its own, which starts at once: LeRobot is imported only once. The exit code is 1
if one of them cannot be used; its OUT.npz then holds the traceback as `facts["error"]`. Otherwise it holds `facts`
(JSON) and arrays:

    BACKEND/KEY     every frame in order, once for each video backend; cameras as uint8 (N, H, W, 3)
    window/KEY      three frames around the first and the last frame of every episode, by delta_timestamps
    batch/KEY       shuffled frames from a DataLoader with a worker process
    alone/KEY       the last episode, opened with episodes=[…]
    meta/KEY/S      statistic S of the dataset
    stats/E/KEY/S   statistic S of episode E of SOURCE.npz (keys E/KEY), by LeRobot's own functions
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchcodec.decoders  # noqa: F401 - LeRobot falls back to PyAV without a word where this fails
from lerobot.datasets.compute_stats import compute_episode_stats
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from PIL import Image
from torch.utils.data import DataLoader

BACKENDS = ("torchcodec", "pyav")
REPO_ID = "nobody/nowhere"
BATCHED_FRAMES, BATCH_SIZE = 32, 8
PROCESSES = os.cpu_count() or 1


def main() -> None:
    """Judge every dataset, as many at once as there are processors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", type=Path, nargs="+", metavar="ROOT OUT.npz")
    parser.add_argument("--source", type=Path)
    args = parser.parse_args()
    waiting = list(zip(args.paths[::2], args.paths[1::2], strict=True))
    processes: list[multiprocessing.Process] = []
    context = multiprocessing.get_context("fork")
    for number, (root, out) in enumerate(waiting):
        if number >= PROCESSES:
            processes[number - PROCESSES].join()
        processes.append(context.Process(target=report, args=(root, out, args.source)))
        processes[-1].start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


def report(root: Path, out: Path, source: Path | None) -> None:
    """Judge a dataset and write down what came of it."""
    try:
        facts, seen = judge(root, source)
    except Exception:
        error = traceback.format_exc()
        np.savez(out, facts=np.array(json.dumps({"lerobot": version("lerobot"), "error": error})))
        sys.exit(f"{root}: {error}")
    np.savez(out, facts=np.array(json.dumps(facts)), **seen)


def judge(root: Path, source: Path | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run the whole judgement; return facts and arrays."""
    attempts = cut_the_network()
    seen: dict[str, np.ndarray] = {}
    for backend in BACKENDS:
        dataset = open_dataset(root, video_backend=backend)
        if backend == BACKENDS[0]:  # a worker may decode only where this process has not done so yet
            collect(seen, "batch", batches(dataset))
        collect(seen, backend, (dataset[index] for index in range(len(dataset))))
    collect(seen, "window", windows(root, dataset, seen[f"{backend}/episode_index"]))
    alone = open_dataset(root, episodes=[dataset.num_episodes - 1])
    collect(seen, "alone", (alone[index] for index in range(len(alone))))
    for key, stats in dataset.meta.stats.items():
        seen |= {f"meta/{key}/{stat}": np.asarray(value) for stat, value in stats.items()}
    if source is not None:
        seen |= their_statistics(np.load(source), dataset.meta.features)
    tasks = dataset.meta.tasks
    facts = {
        "lerobot": version("lerobot"),
        "connections": attempts,
        "frames": len(dataset),
        "episodes": dataset.num_episodes,
        "fps": dataset.fps,
        "features": {key: [entry["dtype"], list(entry["shape"])] for key, entry in dataset.features.items()},
        "tasks": list(tasks.values() if isinstance(tasks, dict) else tasks.index),  # 0.3.3 has a dict
        "cameras": list(dataset.meta.camera_keys),
        "stats": sorted(dataset.meta.stats),
    }
    return facts, seen


def cut_the_network() -> list[str]:
    """Refuse every connection to elsewhere, and return the list in which attempts are noted."""
    attempts: list[str] = []
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX:  # between processes of this machine
            return connect(self, address)
        attempts.append(str(address))
        raise OSError(f"the network is off, {address} was wanted")

    def lookup(host: Any, *_: Any, **__: Any) -> None:
        attempts.append(str(host))
        raise OSError(f"the network is off, {host} was looked up")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = lookup  # type: ignore[assignment]
    return attempts


def open_dataset(root: Path, **options: Any) -> LeRobotDataset:
    """Open the dataset under a name that exists nowhere."""
    return LeRobotDataset(REPO_ID, root=root, **options)


def collect(seen: dict[str, np.ndarray], prefix: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Stack the items of a dataset, one array per key."""
    columns: dict[str, list[np.ndarray]] = {}
    for item in items:
        for key, value in item.items():
            columns.setdefault(key, []).append(as_array(key, value))
    seen.update({f"{prefix}/{key}": np.stack(values) for key, values in columns.items()})


def as_array(key: str, value: Any) -> np.ndarray:
    """Return a value of an item; cameras become uint8, channel last."""
    if not isinstance(value, torch.Tensor):
        return np.array(value)
    array = value.numpy()
    if "images" in key and not key.endswith("_is_pad"):
        levels = np.round(array * 255).astype(np.uint8)
        return np.moveaxis(levels, -3, -1)
    return array


def batches(dataset: LeRobotDataset) -> Iterable[Mapping[str, Any]]:
    """Yield shuffled frames, one at a time, from the batches of a DataLoader."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:BATCHED_FRAMES].tolist()
    loader = DataLoader(torch.utils.data.Subset(dataset, order), batch_size=BATCH_SIZE, num_workers=1)
    for batch in loader:
        for row in range(len(batch["index"])):
            yield {key: values[row] for key, values in batch.items()}


def windows(root: Path, dataset: LeRobotDataset, episode_index: np.ndarray) -> Iterable[Mapping[str, Any]]:
    """Yield the ends of every episode with the frames before and after them."""
    keys = [key for key in ("action", "observation.state", *dataset.meta.camera_keys) if key in dataset.features]
    offsets = [step / dataset.fps for step in (-1, 0, 1)]
    windowed = open_dataset(root, delta_timestamps=dict.fromkeys(keys, offsets))
    starts = np.flatnonzero(np.diff(episode_index, prepend=-1))
    ends = np.append(starts[1:], len(episode_index)) - 1
    return (windowed[int(index)] for index in sorted({*starts, *ends}))


def their_statistics(source: Mapping[str, np.ndarray], features: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the statistics of every feature of every episode of the source as LeRobot's recorder does."""
    found = {}
    for name in source:
        episode, _, key = name.partition("/")
        with tempfile.TemporaryDirectory() as folder:
            data = source[name]
            if features[key]["dtype"] in ("video", "image"):
                data = [str(save(frame, Path(folder, f"{row}.png"))) for row, frame in enumerate(data)]
            stats = compute_episode_stats({key: data}, features)
        found |= {f"stats/{episode}/{key}/{stat}": np.asarray(value) for stat, value in stats[key].items()}
    return found


def save(frame: np.ndarray, path: Path) -> Path:
    """Write a frame as the recorder keeps it until the end of an episode."""
    Image.fromarray(frame).save(path, compress_level=1)
    return path


if __name__ == "__main__":
    main()
