"""Which episode is in which file, where rows and cameras close their files at different episodes."""

from __future__ import annotations

from robotrove.formats.lerobot.placement import MB, FileCursor, PlannedFile, plan_files


def test_each_kind_of_file_closes_on_its_own() -> None:
    big, small = 150 * MB, 10 * MB
    episodes = [(100, 60 * MB, {"left": big, "right": small}) for _ in range(4)]
    files = plan_files(episodes, ["left", "right"], fps=30)
    assert [(file.key, file.number, file.first, file.last) for file in files] == [
        ("", 0, 0, 1), ("", 1, 1, 2), ("", 2, 2, 3), ("", 3, 3, 4),
        ("left", 0, 0, 1), ("left", 1, 1, 2), ("left", 2, 2, 3), ("left", 3, 3, 4),
        ("right", 0, 0, 4),
    ]  # fmt: skip
    assert files[4].path == "videos/left/chunk-000/file-000.mp4"


def test_a_camera_closes_at_a_thousand_seconds() -> None:
    episodes = [(frames, 1, {"top": 1}) for frames in (600, 400, 1, 1500, 2)]
    top = [file for file in plan_files(episodes, ["top"], fps=1) if file.key]
    assert [(file.first, file.last) for file in top] == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_a_cursor_gives_file_and_first_frame() -> None:
    cursor = FileCursor([PlannedFile("top", 0, 0, 2), PlannedFile("top", 1, 2, 3)])
    found = [cursor.advance(episode, frames) for episode, frames in enumerate((10, 7, 5))]
    assert [(file.number, first) for file, first in found] == [(0, 0), (0, 10), (1, 0)]


def test_the_thousandth_file_begins_a_new_chunk() -> None:
    assert PlannedFile("", 999, 0, 1).path == "data/chunk-000/file-999.parquet"
    assert PlannedFile("", 1000, 0, 1).path == "data/chunk-001/file-000.parquet"
