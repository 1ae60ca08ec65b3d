"""Makes datasets with the LeRobot of this environment, as its users make them; knows nothing of robotrove.

    python recorder.py JOBS.json

JOBS.json is a list of objects, worked on in order. `do` names one of the functions below, the rest are its arguments.
A job that fails does not keep the next ones from being done; ERRORS.json beside JOBS.json then has the traceback by
`root`, the dataset that was to be made, and the exit code is 1.

    record    rows of an .npz file (one array for each feature, first axis frames, and `task`) become episodes
    merge     several datasets become one
    delete    a dataset without some of its episodes
    split     a dataset becomes several
    remove    a dataset without some of its features
    encode    pictures become videos
    annotate  a copy gets the language columns of 0.6
    subtasks  a dataset gets the list of subtasks that 0.4 reads
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
    tools = (record, merge, delete, split, remove, encode, annotate, subtasks, convert)
    jobs: dict[str, Callable[..., None]] = {tool.__name__: tool for tool in tools}
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


def split(source: str, root: str, parts: Mapping[str, Sequence[int]]) -> None:
    """Split a dataset; the parts are in folders of `root`."""
    from lerobot.datasets.dataset_tools import split_dataset

    dataset = LeRobotDataset(REPO_ID, root=source)
    split_dataset(dataset, {name: list(numbers) for name, numbers in parts.items()}, output_dir=root)


def remove(source: str, features: Sequence[str], root: str) -> None:
    """Copy a dataset without some features."""
    from lerobot.datasets.dataset_tools import remove_feature

    remove_feature(LeRobotDataset(REPO_ID, root=source), list(features), output_dir=root, repo_id=REPO_ID)


def encode(source: str, root: str) -> None:
    """Turn the pictures of a dataset into videos."""
    from lerobot.datasets.dataset_tools import convert_image_to_video_dataset

    convert_image_to_video_dataset(LeRobotDataset(REPO_ID, root=source), Path(root), REPO_ID, num_workers=1)


def annotate(source: str, root: str, said: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Annotate a copy of a dataset as `lerobot-annotate` does: `said` are the rows that a model gave for an episode."""
    from lerobot.annotations.steerable_pipeline.executor import Executor
    from lerobot.annotations.steerable_pipeline.reader import iter_episodes
    from lerobot.annotations.steerable_pipeline.staging import EpisodeStaging
    from lerobot.annotations.steerable_pipeline.writer import LanguageColumnsWriter

    target = Path(root)
    shutil.copytree(source, target)
    staging = target.with_name(f"{target.name}_staging")
    for episode, rows in said.items():
        EpisodeStaging(staging, int(episode)).write("plan", rows)
    LanguageColumnsWriter().write_all(list(iter_episodes(target)), staging, target)
    Executor._ensure_annotation_metadata_in_info(target)


def subtasks(root: str, texts: Sequence[str]) -> None:
    """Write the list that `subtask_index` points into."""
    import pandas as pd

    table = pd.DataFrame({"subtask_index": range(len(texts))}, index=pd.Index(texts, name="subtask"))
    table.to_parquet(Path(root, "meta/subtasks.parquet"))


def convert(source: str, root: str, data_mb: float | None, video_mb: float | None) -> None:
    """Convert a copy of a v2.1 dataset with the converter of this release."""
    if RELEASE < (0, 5):
        from lerobot.datasets.v30.convert_dataset_v21_to_v30 import convert_dataset
    else:
        from lerobot.scripts.convert_dataset_v21_to_v30 import convert_dataset

    target = Path(root)
    shutil.copytree(source, target)
    convert_dataset(
        target.name,
        # Until 0.5 it is the folder that holds the folder named after the repository.
        root=target.parent if RELEASE < (0, 5) else target,
        push_to_hub=False,
        data_file_size_in_mb=data_mb,
        video_file_size_in_mb=video_mb,
    )
    shutil.rmtree(target.with_name(f"{target.name}_old"))


if __name__ == "__main__":
    main()
