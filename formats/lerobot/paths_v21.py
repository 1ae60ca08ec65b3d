"""Paths in a LeRobot v2.1 dataset, for writers and readers."""

from __future__ import annotations

CODEBASE_VERSION = "v2.1"
CHUNKS_SIZE = 1000  # episodes per chunk

DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
TASKS = "meta/tasks.jsonl"
SUBTASKS = "meta/subtasks.jsonl"  # no parquet: LeRobot 0.3.3 counts all of them when it appends
EPISODES = "meta/episodes.jsonl"
EPISODES_STATS = "meta/episodes_stats.jsonl"
PROVENANCE = "meta/robotrove/episodes.jsonl"  # as SUBTASKS


def data_path(episode: int) -> str:
    """Return the path of an episode's rows, relative to the dataset."""
    return DATA_PATH.format(episode_chunk=episode // CHUNKS_SIZE, episode_index=episode)


def video_path(key: str, episode: int) -> str:
    """Return the path of an episode's frames of a camera, relative to the dataset."""
    return VIDEO_PATH.format(episode_chunk=episode // CHUNKS_SIZE, video_key=key, episode_index=episode)
