from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.core.features import Feature
from robotrove.formats.lerobot.dataset_files import extra_files
from robotrove.formats.lerobot.datasets.dataset_info import DatasetInfo, input_episodes
from robotrove.formats.lerobot.datasets.dataset_v21 import DatasetV21
from robotrove.formats.lerobot.datasets.episode_location import EpisodeLocation, Rows
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.datasets.provenance import ProvenanceRow
from robotrove.media.remux.clip import Clip
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.datasets import written_datasets as written
from robotrove.tests.support.datasets.read_metas import read_metas
from robotrove.tests.support.datasets.written_datasets import FRONT, LENGTHS, WRIST, v21_path

EPISODES, STATS, TASKS = (f"meta/{name}.jsonl" for name in ("episodes", "episodes_stats", "tasks"))
CLIP = v21_path(2, FRONT)  # 5 frames


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written.write_v21(tmp_path_factory.mktemp("written") / "cubes")


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "cubes")
    return tmp_path / "cubes"


def read(root: Path) -> tuple[list[EpisodeLocation], list[str]]:
    notes: list[str] = []
    return list(input_episodes(DatasetV21(root), notes.append)), notes


def refused(root: Path) -> str:
    with pytest.raises(RobotroveError) as caught:
        read(root)
    return str(caught.value)


def levels(clip: Clip) -> list[int]:
    """The grey levels of a clip, to the nearest that was written."""
    return [round((float(frame.mean()) - 20) / 15) for frame in iter_frames(clip.path, clip.first, clip.frames)]


def set_line(root: Path, path: str, line: int, **values: Any) -> None:
    written.edit_lines(root / path, lambda entries: entries[line].update(values))


def test_every_episode_is_found(root: Path) -> None:
    episodes, notes = read(root)
    assert isinstance(open_dataset(root), DatasetV21)
    assert notes == []
    assert [location.length for location in episodes] == LENGTHS
    assert episodes[2].tasks == ("stack the cubes", "open the drawer")
    for episode, location in enumerate(episodes):
        rows = root / v21_path(episode)
        assert (location.rows, location.row_bytes) == (Rows(rows, 0, LENGTHS[episode]), rows.stat().st_size)
        for key in (FRONT, WRIST):
            track = location.tracks[key]
            assert track.clip == Clip(root / v21_path(episode, key), 0, LENGTHS[episode])
            assert levels(track.clip) == list(written.frames_of(episode))
            assert track.is_copyable
            assert track.encoding is not None
            assert (track.encoding.codec, track.encoding.width, track.encoding.height) == ("h264", 32, 16)
            assert 0 < track.size < track.clip.path.stat().st_size


def test_facts(root: Path) -> None:
    facts = DatasetInfo.of_dataset(DatasetV21(root))
    assert list(facts.features) == ["observation.state", "grid", "done", "note", FRONT, WRIST]
    assert facts.features["observation.state"] == Feature("float32", (3,), ("x", "y", "z"))
    assert (facts.fps, facts.robot_type, facts.run) == (10, "so101", {})
    assert facts.video_info == {FRONT: {"video.codec": "h264"}, WRIST: {"video.fps": 10.0}}


def test_frames_after_the_episode_are_left_out(root: Path) -> None:
    written.write_video(root / CLIP, [7, 8, 9, 10, 11, 12])
    episodes, notes = read(root)
    assert levels(episodes[2].tracks[FRONT].clip) == [7, 8, 9, 10, 11]
    assert notes == [f"1 video file continues after its episode (first: {CLIP}); the frames after it are dropped"]
    written.write_video(root / v21_path(3, WRIST), [12, 13, 13])
    assert read(root)[1] == [
        f"2 video files continue after their episode (first: {CLIP}); the frames after it are dropped"
    ]


def test_clip_that_begins_late(root: Path) -> None:
    written.write_video(root / CLIP, [7, 8, 9, 10, 11], first_pts=1)
    episodes, notes = read(root)
    assert levels(episodes[2].tracks[FRONT].clip) == [7, 8, 9, 10, 11]
    assert notes == [
        f"1 video file begins later than at 0 s (first: {CLIP}): LeRobot does not find all frames; the output is right"
    ]


@pytest.mark.parametrize(
    ("numbers", "first_pts", "said"),
    [
        ([7, 8, 9, 10], 0, "has 4 frames, but episode 2 has 5"),
        ([7, 8, 9, 10], 1, "has 4 frames, the first shown at the time of frame 1, but episode 2 has 5"),
        # The frame too many may be the first or the last one.
        (
            [6, 7, 8, 9, 10, 11],
            1,
            "has 6 frames, the first shown at the time of frame 1, but episode 2 has 5, and which",
        ),
    ],
)
def test_clips_that_are_refused(root: Path, numbers: list[int], first_pts: int, said: str) -> None:
    written.write_video(root / CLIP, numbers, first_pts=first_pts)
    assert f"{CLIP}: {said}" in refused(root)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: written.write_table(root / v21_path(2), written.data_rows([1])),
         f"{v21_path(2)}: has 3 rows, but episode 2 has 5 frames"),
        (lambda root: written.write_table(root / v21_path(1), written.data_rows([2])),
         f"{v21_path(1)}: has 5 rows, but episode 1 has 3 frames"),
        (lambda root: (root / v21_path(2)).unlink(), f"{v21_path(2)}: does not exist, but episode 2"),
        (lambda root: (root / CLIP).unlink(), f"{CLIP}: does not exist, but episode 2"),
        (lambda root: (root / CLIP).write_bytes(b"no video"), CLIP),
        (lambda root: (root / v21_path(2)).write_bytes(b"no rows"), f"{v21_path(2)}: cannot be read as parquet"),
        (lambda root: set_line(root, EPISODES, 1, episode_index=2), f"{EPISODES}, line 2: is about episode 2"),
        (lambda root: set_line(root, EPISODES, 1, episode_index="1"), f"{EPISODES}, line 2: is about episode '1'"),
        (lambda root: set_line(root, EPISODES, 1, length=0), "episode 1 has length 0"),
        (lambda root: set_line(root, EPISODES, 1, length=3.0), "episode 1 has length 3.0"),
        (lambda root: set_line(root, EPISODES, 1, tasks=[]), "tasks of episode 1 is []"),
        (lambda root: set_line(root, EPISODES, 1, tasks="sing"), "tasks of episode 1 is 'sing'"),
        (lambda root: set_line(root, EPISODES, 1, tasks=["sing"]), f"line 2: the task of episode 1 is not in {TASKS}"),
        (lambda root: set_line(root, TASKS, 1, task_index=0), f"{TASKS}, line 2: task_index is 0"),
        (lambda root: set_line(root, TASKS, 1, task_index=-1), f"{TASKS}, line 2: task_index is -1"),
        (lambda root: set_line(root, TASKS, 1, task_index=1 << 40), f"{TASKS}: has a task {1 << 40}, but 2 tasks only"),
        (lambda root: set_line(root, TASKS, 1, task=None), f"{TASKS}, line 2: task is None"),
        (lambda root: set_line(root, TASKS, 1, task="\ud801"), f"{TASKS}, line 2: task is '\\ud801'"),
        (lambda root: (root / EPISODES).write_text('{"episode_index": 0,'), f"{EPISODES}, line 1: cannot be read"),
    ],
)  # fmt: skip
def test_damage_has_a_place(root: Path, damage: Callable[[Path], Any], said: str) -> None:
    damage(root)
    message = refused(root)
    assert said in message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("../data/{episode_index}.parquet", "leads out of the dataset"),
        ("/data/{episode_index}.parquet", "leads out of the dataset"),
        ("data/\0{episode_index}.parquet", "leads out of the dataset"),
        ("data/{episode_index:0300d}.parquet", "does not exist, but episode 0"),
        ("data/{episode_index:99999999d}.parquet", "instead of a path with"),
        ("data/{episode_index:{episode_index}d}.parquet", "instead of a path with"),
        ("data/{episode_chunk}.parquet", "data/0.parquet for more than one file"),
        ("data/{episode}.parquet", "instead of a path with"),
        ("data/{episode_index.__class__.__mro__[9]}.parquet", "instead of a path with"),
        (None, "data_path is None"),
    ],
)
def test_templates_are_not_trusted(root: Path, template: str | None, said: str) -> None:
    written.edit_json(root / "meta/info.json", lambda info: info.update(data_path=template))
    assert said in refused(root)


def test_links_that_lead_out(root: Path, tmp_path: Path) -> None:
    (root / CLIP).rename(tmp_path / "elsewhere.mp4")
    (root / CLIP).symlink_to(tmp_path / "elsewhere.mp4")
    assert read(root)[0][2].tracks[FRONT].clip == Clip(root / CLIP, 0, 5)
    (root / ".git").mkdir()  # now others may have made the link
    assert f"{CLIP}: leads out of the dataset" in refused(root)


def test_tasks_in_any_order(root: Path) -> None:
    written.edit_lines(root / TASKS, lambda entries: entries.reverse())
    assert DatasetV21(root).tasks == ["stack the cubes", "open the drawer"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(0, "a"), (1, "b"), (0, "a")], ["a", "b"]),
        ([(0, "a"), (1, "b"), (2, "a")], ["a", "b", "a"]),
        ([(4, "b"), (2, "a")], ["a", "a", "a", "a", "b"]),  # 0, 1 and 3 are nobody's
        ([], []),
    ],
)
def test_tasks_that_lerobot_loads(root: Path, lines: list[tuple[int, str]], expected: list[str]) -> None:
    written.write_lines(root / TASKS, [{"task_index": index, "task": task} for index, task in lines])
    assert DatasetV21(root).tasks == expected


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [0, 2, 1, 3], [1, 2, 3, 0]])
def test_episodes_in_any_order(root: Path, order: list[int]) -> None:
    right, metas = read(root), read_metas(DatasetV21(root))
    for path in (EPISODES, STATS):
        lines = (root / path).read_text().splitlines(keepends=True)
        (root / path).write_text("\n".join(lines[episode] for episode in order))  # with empty lines between
    assert read(root) == right
    assert read_metas(DatasetV21(root)) == metas
    assert DatasetV21(root).lengths.tolist() == LENGTHS


def test_statistics_that_are_known(root: Path) -> None:
    for episode, meta in enumerate(read_metas(DatasetV21(root))):
        expected = {
            f"stats/{key}/{name}": value
            for key, stats in written.known_stats(episode).items()
            for name, value in stats.items()
            if key not in ("episode_index", "index", "task_index")
        }
        assert meta.stats == expected


def test_statistics_with_all_axes(root: Path) -> None:
    table = [[1, 5, 3], [4, 2, 6]]
    stats = {"grid": {"min": table, "max": table, "mean": table, "std": table, "count": [4]}, "done": {"min": [False]}}
    set_line(root, STATS, 0, stats=stats)
    meta = read_metas(DatasetV21(root))[0]
    assert meta.stats == {
        "stats/grid/min": [1.0, 2.0, 3.0],
        "stats/grid/max": [4.0, 5.0, 6.0],
        "stats/grid/count": [4],
        "stats/done/min": [0.0],
    }


@pytest.mark.parametrize("stats", [None, [], {}, {"done": 3}, {"done": {"min": 1.0, "max": ["1"], "std": [[0.5], []]}}])
def test_statistics_that_are_not_usable(root: Path, stats: Any) -> None:
    set_line(root, STATS, 1, stats=stats)
    assert [len(meta.stats) for meta in read_metas(DatasetV21(root))] == [70, 0, 70, 70]


def test_dataset_without_statistics(root: Path) -> None:
    (root / STATS).unlink()
    metas = read_metas(DatasetV21(root))
    assert [meta.stats for meta in metas] == [{}] * 4
    assert metas[1].provenance["source_key"] == "episode 1"
    assert (metas[1].provenance["source_name"], metas[1].provenance["last_row"]) == ("cubes", 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda entries: entries[2].update(episode_index=1), f"{STATS}, line 3: is about episode 1 instead of 2"),
        (lambda entries: entries[2].update(episode_index=9), f"{STATS}, line 4: is about episode 3 instead of 2"),
        (lambda entries: entries[2].clear(), f"{STATS}, line 3: is about episode None instead of 2"),
        (lambda entries: entries[2].update(episode_index="2"), f"{STATS}, line 3: is about episode '2' instead of 2"),
        (lambda entries: entries.pop(), f"{STATS}: ends before episode 3"),
        (lambda entries: entries.append({}), f"{STATS}, line 5: is about an episode that is not in {EPISODES}"),
    ],
)
def test_statistics_of_other_episodes(root: Path, change: Callable[[list[Any]], Any], said: str) -> None:
    written.edit_lines(root / STATS, change)
    with pytest.raises(RobotroveError) as caught:
        read_metas(DatasetV21(root))
    assert said in str(caught.value)


def test_provenance_travels(root: Path) -> None:
    origin = {"source_name": "a.hdf5", "source_key": "demo", "source_digest": "1", "source_length": 9, "first_row": 0,
              "last_row": 8, "success": True, "fps_assumed": False, "run_digest": "2", "robotrove_version": "0.1.0",
              "encoder_version": "libx264"}  # fmt: skip
    path = root / "meta/robotrove/episodes.jsonl"
    written.write_lines(path, [{"episode_index": episode, **origin, "first_row": episode} for episode in range(4)])
    expected = [
        origin | {"first_row": e, "row_runs": None, "content_digest": None, "code_digest": None, "input_datasets": None}
        for e in range(4)
    ]
    assert [meta.provenance for meta in read_metas(DatasetV21(root))] == expected


def test_episodes_that_were_added_later(root: Path) -> None:
    path = root / "meta/robotrove/episodes.jsonl"
    origin = {field.name: None for field in fields(ProvenanceRow)} | {"source_name": "a.hdf5"}
    written.write_lines(path, [origin | {"episode_index": episode} for episode in range(3)])
    note = (
        "meta/robotrove/episodes.jsonl ends before episode 3 of 4; from there on, the output names cubes as the source"
    )
    assert read(root)[1] == [note]
    assert [meta.provenance["source_name"] for meta in read_metas(DatasetV21(root))] == ["a.hdf5"] * 3 + ["cubes"]
    written.write_lines(path, [origin | {"episode_index": episode} for episode in range(5)])
    assert "tells of 5 episodes" in refused(root)


def test_extra_files(root: Path) -> None:
    for name in ("modality.json", "stats.json", "relative_stats.json", "tasks.parquet", "robotrove/episodes.jsonl"):
        written.write_json(root / "meta" / name, {})
    assert extra_files(DatasetV21(root)) == [Path("meta/modality.json")]
