"""Makes datasets with the LeRobot of this environment, as its users make them; knows nothing of robotrove.

    python recorder.py JOBS.json

JOBS.json is a list of objects, worked on in order. `do` names one of the functions below, the rest are its arguments.
A job that fails does not keep the next ones from being done; ERRORS.json beside JOBS.json then has the traceback by
`root`, the dataset that was to be made, and the exit code is 1.

    record    rows of an .npz file (one array for each feature, first axis frames, and `task`) become episodes
    merge     several datasets become one
    delete    a dataset without some of its episodes
    convert   a v2.1 dataset becomes v3.0, beside the old one
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.datasets import lerobot_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset

RELEASE = tuple(int(part) for part in version("lerobot").split(".")[:2])
REPO_ID = "nobody/nowhere"
ENCODE = lerobot_dataset.encode_video_frames if RELEASE < (0, 4) else None


def main() -> None:
    """Do every job."""
    path = Path(sys.argv[1])
    jobs: dict[str, Callable[..., None]] = {"record": record, "merge": merge, "delete": delete, "convert": convert}
    errors = {}
    for job in json.loads(path.read_text()):
        try:
            jobs[job.pop("do")](**job)
        except Exception:
            errors[job["root"]] = traceback.format_exc()
    path.with_name("ERRORS.json").write_text(json.dumps(errors))
    sys.exit(bool(errors))


def record(
    root: str,
    rows: str,
    lengths: Sequence[int],
    fps: int,
    features: Mapping[str, Mapping[str, Any]],
    codec: str,
    codec_options: Mapping[str, str],
    limits: Mapping[str, float],
    resume_at: Sequence[int],
    onto: str | None,
) -> None:
    """Record episodes frame by frame.

    Args:
        root: The new dataset.
        rows: The .npz file.
        lengths: Frames of each episode.
        fps: Frames per second.
        features: As in info.json.
        codec: Video codec, as LeRobot calls it.
        codec_options: More options of the encoder; only 0.6 takes them.
        limits: Entries of info.json that limit files and folders.
        resume_at: Episodes before which the dataset is closed, opened again and gone on with.
        onto: A dataset that is copied, and the copy gone on with.
    """
    with np.load(rows) as file:
        columns = {key: file[key] for key in file.files}
    tasks = columns.pop("task")
    shaped = {key: {**feature, "shape": tuple(feature["shape"])} for key, feature in features.items()}
    options = encoder(codec, codec_options)
    if onto is None:
        dataset = LeRobotDataset.create(REPO_ID, fps, shaped, root=root, robot_type="recorded", **options)
        set_limits(dataset, limits)
    else:
        shutil.copytree(onto, root)
        dataset = opened_again(Path(root), options)
    frame = 0
    for episode, length in enumerate(lengths):
        if episode in resume_at:
            finish(dataset)
            dataset = opened_again(Path(root), options)
        for _ in range(length):
            values = {key: value_of(columns[key][frame], feature["dtype"]) for key, feature in features.items()}
            if RELEASE < (0, 4):
                dataset.add_frame(values, task=str(tasks[frame]))
            else:
                dataset.add_frame({**values, "task": str(tasks[frame])})
            frame += 1
        save_episode(dataset)
    finish(dataset)


def set_limits(dataset: LeRobotDataset, limits: Mapping[str, float]) -> None:
    """Change the entries of info.json that limit files and folders."""
    if RELEASE < (0, 4):
        dataset.meta.info.update(limits)
    else:
        dataset.meta.update_chunk_settings(**limits)


def encoder(codec: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments that make LeRobot encode with this codec."""
    if RELEASE < (0, 4):  # has no argument for it
        lerobot_dataset.encode_video_frames = functools.partial(ENCODE, vcodec=codec)
        return {}
    if RELEASE < (0, 6):
        return {"vcodec": codec}
    from lerobot.configs.video import RGBEncoderConfig

    return {"rgb_encoder": RGBEncoderConfig(vcodec=codec, extra_options=dict(options))}


def opened_again(root: Path, options: Mapping[str, Any]) -> LeRobotDataset:
    """Open a dataset for more episodes."""
    if RELEASE < (0, 6):
        return LeRobotDataset(REPO_ID, root=root, **options)
    return LeRobotDataset.resume(REPO_ID, root=root, **options)


def save_episode(dataset: LeRobotDataset) -> None:
    """End an episode."""
    if RELEASE >= (0, 4):
        dataset.save_episode(parallel_encoding=False)  # starting a process takes longer than our few frames
        return
    # 0.3 calls int() on arrays of one element, which numpy 2.4 refuses.
    for key, feature in dataset.features.items():
        if feature["shape"] == (1,) and isinstance(dataset.episode_buffer[key], list):
            dataset.episode_buffer[key] = [np.asarray(value).reshape(-1)[0] for value in dataset.episode_buffer[key]]
    dataset.save_episode()


def finish(dataset: LeRobotDataset) -> None:
    """Close the files, where there are some to close."""
    if RELEASE >= (0, 4):
        dataset.finalize()


def value_of(value: np.ndarray, dtype: str) -> Any:
    """Return a row of a column as `add_frame` wants it."""
    if dtype == "string":
        return str(value)
    return value if dtype in ("video", "image") else np.asarray(value, dtype)


def merge(sources: Sequence[str], root: str) -> None:
    """Merge datasets."""
    from lerobot.datasets.aggregate import aggregate_datasets

    names = [f"nobody/{number}" for number in range(len(sources))]
    aggregate_datasets(names, REPO_ID, roots=[Path(source) for source in sources], aggr_root=Path(root))


def delete(source: str, episodes: Sequence[int], root: str) -> None:
    """Copy a dataset without some episodes."""
    from lerobot.datasets.dataset_tools import delete_episodes

    delete_episodes(LeRobotDataset(REPO_ID, root=source), list(episodes), output_dir=root, repo_id=REPO_ID)


def convert(source: str, root: str, data_mb: float | None, video_mb: float | None) -> None:
    """Convert a copy of a v2.1 dataset with the converter of this release."""
    from lerobot.datasets.v30.convert_dataset_v21_to_v30 import convert_dataset

    target = Path(root)
    shutil.copytree(source, target)
    # The argument `root` is the folder that holds the folder named after the repository.
    convert_dataset(
        target.name,
        root=target.parent,
        push_to_hub=False,
        data_file_size_in_mb=data_mb,
        video_file_size_in_mb=video_mb,
    )
    shutil.rmtree(target.with_name(f"{target.name}_old"))


if __name__ == "__main__":
    main()
