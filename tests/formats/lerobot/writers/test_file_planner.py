"""Which episode is in which file, where rows and cameras close their files at different episodes."""

from __future__ import annotations

from pathlib import Path

from robotrove.formats.lerobot.datasets.episode_location import EpisodeLocation, Rows, Track
from robotrove.formats.lerobot.writers.file_planner import MB, DatasetPlanner, FileCursor, PlannedFile
from robotrove.formats.lerobot.writers.writer_v21 import UNIT_EPISODES, UnitPlanner
from robotrove.media.remux.clip import Clip, Encoding


def episode(
    frames: int, row_bytes: int, tracks: dict[str, int | Track], source: str = "a", first: int = 0
) -> EpisodeLocation:
    clip = Clip(Path(source + ".mp4"), first, frames)
    tracks_ = {key: t if isinstance(t, Track) else Track(clip, t) for key, t in tracks.items()}
    return EpisodeLocation(0, frames, ("x",), Rows(Path(source + ".parquet"), first, frames), row_bytes, tracks_)


def plan_files(episodes: list[EpisodeLocation], cameras: list[str], fps: int) -> list[PlannedFile]:
    planner = DatasetPlanner(cameras, fps)
    for location in episodes:
        planner.add(location)
    return planner.finish()


def test_each_kind_of_file_closes_on_its_own() -> None:
    big, small = 150 * MB, 10 * MB
    episodes = [episode(100, 60 * MB, {"left": big, "right": small}) for _ in range(4)]
    files = plan_files(episodes, ["left", "right"], fps=30)
    assert [(file.key, file.number, file.first, file.last) for file in files] == [
        ("", 0, 0, 1), ("", 1, 1, 2), ("", 2, 2, 3), ("", 3, 3, 4),
        ("left", 0, 0, 1), ("left", 1, 1, 2), ("left", 2, 2, 3), ("left", 3, 3, 4),
        ("right", 0, 0, 4),
    ]  # fmt: skip
    assert files[4].path == "videos/left/chunk-000/file-000.mp4"


def test_a_camera_closes_at_a_thousand_seconds() -> None:
    episodes = [episode(frames, 1, {"top": 1}) for frames in (600, 400, 1, 1500, 2)]
    top = [file for file in plan_files(episodes, ["top"], fps=1) if file.key]
    assert [(file.first, file.last) for file in top] == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_a_cursor_gives_file_and_first_frame() -> None:
    cursor = FileCursor([PlannedFile("top", 0, 0, 2), PlannedFile("top", 1, 2, 3)])
    found = [cursor.advance(episode, frames) for episode, frames in enumerate((10, 7, 5))]
    assert [(file.number, first) for file, first in found] == [(0, 0), (0, 10), (1, 0)]


def test_the_thousandth_file_begins_a_new_chunk() -> None:
    assert PlannedFile("", 999, 0, 1).path == "data/chunk-000/file-999.parquet"
    assert PlannedFile("", 1000, 0, 1).path == "data/chunk-001/file-000.parquet"


def test_a_file_holds_clips_of_one_encoding() -> None:
    clip = Clip(Path("a.mp4"), 0, 10)
    one, other = (Encoding("h264", 64, 48, "yuv420p", extradata) for extradata in ("aa", "bb"))
    tracks = [Track(clip, 1, one), Track(clip, 1, one), Track(clip, 1, other), Track(clip, 1, one)]
    tracks += [Track(clip, 1, one, is_copyable=False), Track(clip, 1, other, is_copyable=False)]
    files = plan_files([episode(10, 1, {"top": track}) for track in tracks], ["top"], 30)
    assert [(file.first, file.last) for file in files if file.key] == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert [(file.first, file.last) for file in files if not file.key] == [(0, 6)]


def test_units_of_version_2_1_are_runs_of_episodes() -> None:
    planner = UnitPlanner(["top"])
    for _ in range(2 * UNIT_EPISODES + 3):
        planner.add(episode(5, 1, {"top": 1}))
    n = UNIT_EPISODES
    spans = [(0, n), (n, 2 * n), (2 * n, 2 * n + 3)]
    assert [(unit.key, unit.first, unit.last) for unit in planner.finish()] == [
        *(("", *span) for span in spans),
        *(("top", *span) for span in spans),
    ]
