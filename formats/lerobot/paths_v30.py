"""Paths in a LeRobot v3.0 dataset, for writers and readers."""

from __future__ import annotations

CODEBASE_VERSION = "v3.0"
CHUNKS_SIZE = 1000
DATA_FILES_MB = 100
VIDEO_FILES_MB = 200
DATA_FILE_EPISODES = 1000  # each has a row group of its own, and whoever opens a file holds the facts of all of them
MAX_VIDEO_S = 1000.0  # LeRobot compares times in float32: frames past 1,024 s of a file are lost to it

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
SUBTASKS = "meta/subtasks.parquet"  # LeRobot 0.4.4 to 0.5.1
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
PROVENANCE = "meta/robotrove/episodes.parquet"
RUN = "meta/robotrove/run.json"
HISTOGRAMS = "meta/robotrove/histograms.json"


def chunk_and_file(number: int) -> tuple[int, int]:
    """Return (chunk index, file index) of the number-th file of a kind."""
    return divmod(number, CHUNKS_SIZE)


def data_path(number: int) -> str:
    """Return the path of the number-th data file, relative to the dataset."""
    chunk, file = chunk_and_file(number)
    return DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_path(key: str, number: int) -> str:
    """Return the path of the number-th video file of a camera, relative to the dataset."""
    chunk, file = chunk_and_file(number)
    return VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)
