"""The plan of a dataset: what is written is read, part by part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.formats.lerobot.datasets.episode_location import EpisodeLocation, Rows, Track
from robotrove.formats.lerobot.writers import dataset_plan
from robotrove.formats.lerobot.writers.dataset_plan import DatasetPlan, PlacedEpisode, read_episodes, write_episodes
from robotrove.formats.lerobot.writers.file_planner import PlannedFile
from robotrove.media.remux.clip import Clip, Encoding

ENCODING = Encoding("h264", 64, 48, "yuv420p", "0123abcd")


def placed(index: int) -> PlacedEpisode:
    length = 10 + index
    tracks = {
        "left": Track(Clip(Path(f"/a b/{index}.mp4"), 7 * index, length), 1000 + index, ENCODING, index % 2 == 0),
        "right": Track(Clip(Path("/ü.mp4"), 0, length), 5),
    }
    rows = Rows(Path(f"/rows/{index}.parquet"), 3 * index, length)
    location = EpisodeLocation(index // 3, length, ("x", "grün"), rows, 9, tracks)
    return PlacedEpisode(index, 50 * index, index % 3, location)


@pytest.mark.parametrize(("first", "last"), [(0, None), (0, 1), (3, 4), (2, 9), (7, 12), (11, None), (12, 12)])
def test_any_part_of_the_episodes_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, last: int | None
) -> None:
    monkeypatch.setattr(dataset_plan, "PLAN_GROUP_EPISODES", 5)
    everything = [placed(index) for index in range(12)]
    write_episodes(tmp_path, iter(everything))
    assert list(read_episodes(tmp_path, first, last)) == everything[first:last]
    assert [path.name for path in tmp_path.iterdir()] == ["episodes.parquet"]


@pytest.mark.parametrize("key", ["left", "right", "third", ""])
def test_the_tracks_of_one_camera_are_read(tmp_path: Path, key: str) -> None:
    everything = [placed(index) for index in range(12)]
    write_episodes(tmp_path, iter(everything))
    found = list(read_episodes(tmp_path, 3, 9, key=key))
    wanted = [
        replace(location, tracks={name: track for name, track in location.tracks.items() if name == key})
        for location in (episode.location for episode in everything[3:9])
    ]
    assert found == [
        replace(episode, location=location) for episode, location in zip(everything[3:9], wanted, strict=True)
    ]


def test_the_rest_of_the_plan_is_read(tmp_path: Path) -> None:
    plan = DatasetPlan([PlannedFile("left", 0, 0, 3)], ["x"], [["x"], []], 3, 30, ["something was wrong"])
    plan.write(tmp_path)
    assert DatasetPlan.read(tmp_path) == plan


def test_a_plan_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    plan = {"files": [], "tasks": [], "source_tasks": [], "episodes": 0, "notes": []}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(RobotroveError, match=r"(?s)plan\.json.*'frames'.*fresh=True"):
        DatasetPlan.read(tmp_path)


def test_a_plan_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    write_episodes(tmp_path, [placed(0)])

    def broken() -> object:
        yield placed(1)
        raise ValueError("a source is damaged")

    with pytest.raises(ValueError, match="damaged"):
        write_episodes(tmp_path, broken())  # type: ignore[arg-type]
    assert list(read_episodes(tmp_path)) == [placed(0)]
    assert len(list(tmp_path.iterdir())) == 1
