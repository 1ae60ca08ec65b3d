"""Frames that LeRobot cannot fetch, found in datasets of either version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.support.media.seeks import REACHABLE, UNREACHABLE, lost_frames, write_clip

from .conftest import EPISODES, FPS, FRAMES, FRONT, WRIST, Copy

CLIP = "videos/chunk-000/{}/episode_{:06d}.mp4"


def fetch(copy: Copy) -> list[tuple[str, str, str]]:
    return [one for one in copy.found("lerobot") if "cannot fetch" in one[2]]


@pytest.mark.parametrize("kind", UNREACHABLE)
def test_it_names_camera_episode_and_number_of_frames(copy: Copy, kind: str) -> None:
    path = CLIP.format(WRIST, 1)
    lost = len(lost_frames(write_clip(copy.root / path, kind, range(FRAMES), FPS), FPS))
    assert lost
    [(severity, where, message)] = fetch(copy)
    assert (severity, where) == ("error", path)
    number = 4 if kind == "h264 intra refresh" else lost  # two after each of two recovery points
    assert f"{number} of {EPISODES * FRAMES} frames of {WRIST}, in 1 of its episodes" in message
    assert f"episode 1: {number} of {FRAMES}" in message
    assert f"`robotrove convert {copy.root} --to v3.0 -o {copy.root}_v30`" in message


def test_one_finding_per_camera(copy: Copy) -> None:
    for key in (FRONT, WRIST):
        for episode in range(EPISODES):
            write_clip(copy.root / CLIP.format(key, episode), "mpeg4 B-frames", range(FRAMES), FPS)
    found = fetch(copy)
    assert [where for _, where, _ in found] == [CLIP.format(FRONT, 0), CLIP.format(WRIST, 0)]
    lost = len(lost_frames(copy.root / CLIP.format(FRONT, 0), FPS))
    assert all(f"{2 * lost} of 48 frames of observation" in message for *_, message in found)
    assert all("in 2 of its episodes" in message for *_, message in found)


@pytest.mark.parametrize("kind", REACHABLE)
def test_nothing_is_said_of_frames_that_it_fetches(copy: Copy, kind: str) -> None:
    path = write_clip(copy.root / CLIP.format(FRONT, 0), kind, range(FRAMES), FPS)
    assert lost_frames(path, FPS) == []
    assert fetch(copy) == []


def test_episodes_within_a_file_of_v30(copy: Copy, tmp_path: Path) -> None:
    root = tmp_path / "v30"
    Pipeline(dataset=[Aggregator(datasets=[str(copy.root)]), DatasetStats()]).run(output=root, workers=1)
    v30 = Copy(root)
    assert fetch(v30) == []
    [path] = (root / "videos" / FRONT).rglob("*.mp4")
    write_clip(path, "mpeg4 B-frames", range(EPISODES * FRAMES), FPS)
    lost = lost_frames(path, FPS)
    first, second = (sum(begin <= frame < begin + FRAMES for frame in lost) for begin in (0, FRAMES))
    assert min(first, second) > 0
    [(_, where, message)] = fetch(v30)
    assert where == path.relative_to(root).as_posix()
    assert f"{first + second} of 48 frames of {FRONT}, in 2 of its episodes" in message
    assert f"(the first is episode 0: {first} of 24)" in message
    assert f"`robotrove aggregate {root} -o {root}_closed`" in message


def test_a_video_that_cannot_be_read_is_left_to_other_checks(copy: Copy) -> None:
    (copy.root / CLIP.format(FRONT, 0)).write_bytes(b"no video")
    shutil.rmtree(copy.root / "videos/chunk-000" / WRIST)
    assert fetch(copy) == []
