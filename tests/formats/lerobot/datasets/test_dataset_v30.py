from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.features import Feature
from robotrove.formats.lerobot.dataset_files import extra_files
from robotrove.formats.lerobot.datasets.dataset_info import DatasetInfo, check_alike, input_episodes
from robotrove.formats.lerobot.datasets.dataset_stats import histograms
from robotrove.formats.lerobot.datasets.dataset_v30 import DatasetV30
from robotrove.formats.lerobot.datasets.episode_location import EpisodeLocation, Rows
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.writers.episodes_table import PROVENANCE_SCHEMA
from robotrove.media.remux import video_index
from robotrove.media.remux.clip import Clip
from robotrove.media.remux.video_index import VideoIndex
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.datasets import written_datasets as written
from robotrove.tests.support.datasets.read_metas import read_metas
from robotrove.tests.support.datasets.written_datasets import FRONT, LENGTHS, V30_EPISODES, WRIST

FRONT_1 = f"videos/{FRONT}/chunk-000/file-001.mp4"  # episodes 1, 2 and 3: 10 frames
DATA_0, DATA_1 = (f"data/chunk-000/file-{number:03d}.parquet" for number in (0, 1))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written.write_v30(tmp_path_factory.mktemp("written") / "cubes")


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "cubes")
    return tmp_path / "cubes"


def read(root: Path) -> tuple[list[EpisodeLocation], list[str]]:
    notes: list[str] = []
    return list(input_episodes(DatasetV30(root), notes.append)), notes


def refused(root: Path) -> str:
    with pytest.raises(RobotroveError) as caught:
        read(root)
    return str(caught.value)


def set_cell(root: Path, episode: int, column: str, value: Any) -> None:
    number = 1 if episode == 3 else 0
    written.edit_rows(root / V30_EPISODES[number], lambda rows: rows[episode % 3].update({column: value}))


def share_rows(root: Path, first: int, end: int) -> None:
    """Write the rows before `first` into one data file, the rest of those before `end` into the other."""
    rows = written.data_rows(range(4))
    written.write_table(root / DATA_0, rows.slice(0, first))
    written.write_table(root / DATA_1, rows.slice(first, end - first))


def first_levels(location: EpisodeLocation, key: str) -> list[int]:
    """The grey levels of a clip's first and last frame, to the nearest that was written."""
    clip = location.tracks[key].clip
    frames = list(iter_frames(clip.path, clip.first, clip.frames))
    return [round((float(frame.mean()) - 20) / 15) for frame in (frames[0], frames[-1])]


def test_every_episode_is_found(root: Path) -> None:
    episodes, notes = read(root)
    data = [root / DATA_0, root / DATA_1]
    sizes = [path.stat().st_size for path in data]
    assert notes == []
    assert [location.length for location in episodes] == LENGTHS
    assert [location.tasks for location in episodes] == [
        ("stack the cubes",),
        ("open the drawer",),
        ("stack the cubes", "open the drawer"),
        ("open the drawer",),
    ]
    assert [location.rows for location in episodes] == [
        Rows(data[0], 0, 4),
        Rows(data[0], 4, 3),
        Rows(data[1], 0, 5),
        Rows(data[1], 5, 2),
    ]
    shares = [sizes[0] * 4 // 7, sizes[0] * 3 // 7, sizes[1] * 5 // 7, sizes[1] * 2 // 7]
    assert [location.row_bytes for location in episodes] == shares
    front = [root / f"videos/{FRONT}/chunk-000/file-{number:03d}.mp4" for number in (0, 1)]
    assert [location.tracks[FRONT].clip for location in episodes] == [
        Clip(front[0], 0, 4),
        Clip(front[1], 0, 3),
        Clip(front[1], 3, 5),
        Clip(front[1], 8, 2),
    ]
    for episode, location in enumerate(episodes):
        for key in (FRONT, WRIST):
            numbers = written.frames_of(episode)
            assert first_levels(location, key) == [numbers[0], numbers[-1]]
            assert location.tracks[key].is_copyable
            assert location.tracks[key].encoding is not None
            assert location.tracks[key].encoding.codec == "h264"
    in_file = sum(location.tracks[FRONT].size for location in episodes[1:])
    assert 0.3 * front[1].stat().st_size < in_file < front[1].stat().st_size


def test_clip_that_begins_at_no_keyframe(root: Path) -> None:
    written.write_video(root / FRONT_1, range(4, 14), [0, 8])
    assert [location.tracks[FRONT].is_copyable for location in read(root)[0]] == [True, True, False, True]


def test_facts(root: Path) -> None:
    written.edit_json(root / "meta/info.json", lambda info: info.update(fps=10.0))
    written.write_json(root / "meta/robotrove/run.json", {"run_digest": "ab"})
    facts = DatasetInfo.of_dataset(DatasetV30(root))
    camera = Feature("video", (16, 32, 3), ("height", "width", "channels"))
    assert facts.features == {
        "observation.state": Feature("float32", (3,), ("x", "y", "z")),
        "grid": Feature("float32", (2, 3)),
        "done": Feature("bool", (1,)),
        "note": Feature("string", (1,)),
        FRONT: camera,
        WRIST: camera,
    }
    assert (facts.fps, type(facts.fps), facts.robot_type, facts.run) == (10, int, "so101", {"run_digest": "ab"})
    assert facts.video_info == {FRONT: {"video.codec": "h264"}, WRIST: {"video.fps": 10.0}}


@pytest.mark.parametrize("change", [lambda info: info.pop("robot_type"), lambda info: info.update(robot_type=None)])
def test_no_robot_and_no_run(root: Path, change: Callable[[Any], Any]) -> None:
    written.edit_json(root / "meta/info.json", change)
    assert (DatasetInfo.of_dataset(DatasetV30(root)).robot_type, DatasetInfo.of_dataset(DatasetV30(root)).run) == (
        None,
        {},
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x", "y"], ("x", "y")),
        ({"axes": ["x", "y"]}, ("x", "y")),
        ([["x", "y"]], ("x", "y")),
        ({"y": 1, "x": 0}, ("x", "y")),
        ({"only": 0}, ("only",)),
        ({"y": 2, "x": 0}, None),
        ({"y": True, "x": False}, None),
        ({"left": ["x"], "right": ["y"]}, ("x", "y")),
        ({"right": ["y"], "left": ["x"]}, ("y", "x")),
        ({"left": ["x"], "right": ["x"]}, None),  # of which arm it is, is lost
        ({"axes": ["x", "y"], "unit": ["m"]}, None),
        ({"left": ["x"], "right": [["y"]]}, None),
        ({"left": ["x"], "right": "y"}, None),
        ({"a": [1, 2]}, None),
        ([["x"], ["y"]], None),
        ([[1]], None),
        ([], None),
        ({}, None),
        ("xy", None),
    ],
)
def test_names_of_other_recorders(names: Any, expected: tuple[str, ...] | None) -> None:
    assert Feature.from_json({"dtype": "float32", "shape": [2], "names": names}).names == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda info: info.update(fps=29.97), "fps is 29.97"),
        (lambda info: info.update(fps=0), "fps is 0"),
        (lambda info: info.update(robot_type=7), "robot_type is 7"),
        (lambda info: info["features"].update(talk={"dtype": "speech", "shape": [1]}), "talk: .*'speech'"),
        (lambda info: info["features"].update({"../x": written.CAMERA}), "feature ../x: its name"),
        (lambda info: info["features"].update({"x" * 300: written.CAMERA}), "more than 200 bytes"),
        (lambda info: info["features"].update({"a.tmp-1-deadbeef.tmp": written.CAMERA}), "the name of an unfinished"),
        (lambda info: info.update(robot_type="so\ud801"), "half a character"),
        (lambda info: info["features"][FRONT].update(info=[1]), f"{FRONT}: info is"),
    ],
)
def test_unusable_info(root: Path, change: Callable[[Any], None], said: str) -> None:
    written.edit_json(root / "meta/info.json", change)
    with pytest.raises(RobotroveError, match=said):
        _ = DatasetInfo.of_dataset(DatasetV30(root))


AXES, TURNED = ({"axes": list(axes), "unit": ["m"]} for axes in ("xyz", "zyx"))
ARMS = {"left": ["x"], "right": ["x", "y"]}


def set_names(root: Path, names: Any) -> DatasetInfo:
    written.edit_json(root / "meta/info.json", lambda info: info["features"]["observation.state"].update(names=names))
    return DatasetInfo.of_dataset(DatasetV30(root))


@pytest.mark.parametrize(
    ("names", "others", "said"),
    [
        (AXES, AXES, ""),
        (AXES, TURNED, '{"axes": ["z", "y", "x"], "unit": ["m"]} instead of {"axes": ["x", "y", "z"], "unit": ["m"]}'),
        (AXES, None, ""),
        (ARMS, dict(reversed(ARMS.items())), '{"right": ["x", "y"], "left": ["x"]} instead of {"left": '),
        (ARMS, ["x", "x", "y"], "('x', 'x', 'y') instead of None"),
        ({"left": ["x"], "right": ["y", "z"]}, ["x", "y", "z"], ""),
        ({"left": ["x"], "right": ["y", "z"]}, {"right": ["y", "z"], "left": ["x"]}, "('y', 'z', 'x') instead of"),
    ],
)
def test_the_order_of_joints_in_names_that_are_no_list(root: Path, names: Any, others: Any, said: str) -> None:
    both = [(Path(name), set_names(root, value)) for name, value in (("one", names), ("two", others))]
    if not said:
        return check_alike(both)
    with pytest.raises(UsageError) as caught:
        check_alike(both)
    assert str(caught.value).count("two: observation.state has other names: ") == 1
    assert said in str(caught.value)
    return None


def test_what_info_has_and_no_output_can_hold_is_noted(root: Path) -> None:
    written.edit_json(root / "meta/info.json", lambda info: info.update({"more": [{}], "total_tasks": 2, "a\nb": 1}))
    set_names(root, AXES)
    assert read(root)[1] == [
        "not in the output: the names of observation.state, which are not one list of texts",
        "not in the output: more, a\\nb of meta/info.json",
    ]
    written.edit_json(root / "meta/info.json", lambda info: info.update({"more": None}) or info.pop("a\nb"))
    set_names(root, ["x", "y", "z"])
    assert read(root)[1] == []


def test_tasks_with_an_unnamed_index(root: Path) -> None:
    table = pa.table({"task_index": [0, 1], "__index_level_0__": ["stack the cubes", "open the drawer"]})
    written.write_table(root / "meta/tasks.parquet", table)
    assert DatasetV30(root).tasks == ["stack the cubes", "open the drawer"]


@pytest.mark.parametrize(
    ("indices", "texts", "said"),
    [
        ([0, 0], ["a", "b"], "row 1: task_index is 0, but that is another task in a line before"),
        ([0, 1 << 20], ["a", "b"], "has a task 1048576, but 2 tasks only"),
        ([0, 1], ["a", "a"], "row 1: the task of row 0 exists twice: 'a'"),
    ],
)
def test_bad_tasks(root: Path, indices: list[int], texts: list[str], said: str) -> None:
    written.write_table(root / "meta/tasks.parquet", pa.table({"task_index": indices, "task": texts}))
    with pytest.raises(RobotroveError, match=said):
        _ = DatasetV30(root).tasks


def test_rows_are_found_by_their_order(root: Path) -> None:
    set_cell(root, 2, "data/file_index", 0)  # as LeRobot's converter leaves it
    episodes, notes = read(root)
    assert episodes[2].rows == Rows(root / DATA_1, 0, 5)
    assert notes == [
        "data/file_index of 1 episode was wrong (first: episode 2), as left by older LeRobot converters; "
        "the output has it right"
    ]
    set_cell(root, 3, "data/file_index", 0)
    assert read(root)[1][0].startswith("data/file_index of 2 episodes was wrong (first: episode 2)")


def test_empty_data_file(root: Path) -> None:
    (root / DATA_1).rename(root / "data/chunk-000/file-002.parquet")
    written.write_table(root / DATA_1, written.data_rows([0]).slice(0, 0))
    for episode in (2, 3):
        set_cell(root, episode, "data/file_index", 2)
    written.write_table(root / "data/chunk-000/file-003.parquet", written.data_rows([0]).slice(0, 0))
    episodes, notes = read(root)
    assert (episodes[2].rows.path.name, notes) == ("file-002.parquet", [])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: share_rows(root, 7, 13),
         [DATA_1, "has 6 rows", "episode 3 should be rows 5 to 6", "episode 3 has 1 rows in all instead of 2"]),
        (lambda root: share_rows(root, 6, 14), [DATA_0, "has 6 rows", "episode 1 should be rows 4 to 6", "as a whole"]),
        (lambda root: share_rows(root, 8, 14), [DATA_0, "has 8 rows", "episode 2 should be rows 7 to 11"]),
        (lambda root: set_cell(root, 3, "length", 1), [DATA_1, "has 7 rows", "ends after 6"]),
        (lambda root: set_cell(root, 1, "length", 0), ["episode 1 has length 0"]),
        (lambda root: set_cell(root, 1, "episode_index", 2), [V30_EPISODES[0], "row 1: is about episode 2"]),
        (lambda root: set_cell(root, 1, "tasks", ["sing"]), ["row 1", "1 is not in meta/tasks.parquet: 'sing'"]),
        (lambda root: set_cell(root, 1, "tasks", None), ["row 1", "tasks: the value is missing"]),
        (lambda root: (root / DATA_1).unlink(), [DATA_1, "does not exist, but episode 2"]),
        (lambda root: (root / FRONT_1).unlink(), [FRONT_1, "does not exist, but episode 1"]),
        (lambda root: (root / FRONT_1).write_bytes(b"no video"), [FRONT_1]),
        (lambda root: (root / DATA_1).write_bytes(b"no rows"), [DATA_1, "cannot be read as parquet"]),
        (lambda root: written.write_table(root / "data/chunk-000/z.parquet", written.data_rows([0])),
         ["data/chunk-000/z.parquet", "has 4 rows", "ends after 0"]),
        (lambda root: written.write_video(root / FRONT_1, range(9), [0, 3, 8]),
         [FRONT_1, "has 9 frames", "episode 3 should be frames 8 to 9"]),
        (lambda root: set_cell(root, 3, f"videos/{FRONT}/from_timestamp", 0.7),
         [FRONT_1, "episode 2 is frames 3 to 7, and episode 3 is frames 7 to 8: they overlap"]),
        (lambda root: set_cell(root, 3, f"videos/{FRONT}/from_timestamp", 0.86),
         [FRONT_1, "episode 3 begins at 0.86 s", "not a frame at 10 frames per second"]),
        (lambda root: set_cell(root, 3, f"videos/{FRONT}/from_timestamp", math.nan), ["from_timestamp is nan"]),
        (lambda root: set_cell(root, 1, f"videos/{FRONT}/from_timestamp", -0.1), ["1 should be frames -1 to 1"]),
        (lambda root: (root / "meta/tasks.parquet").unlink(), ["meta/tasks.parquet: does not exist"]),
    ],
)  # fmt: skip
def test_damage_has_a_place(root: Path, damage: Callable[[Path], Any], said: list[str]) -> None:
    damage(root)
    message = refused(root)
    assert [text for text in said if text not in message] == [], message


def test_the_episode_without_rows_is_named(root: Path) -> None:
    written.write_table(root / DATA_0, written.data_rows([0]))  # a merge by LeRobot lost those of episode 1
    message = refused(root)
    assert "episode 1 has 0 rows in all instead of 3" in message


def test_each_video_is_opened_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = video_index.read_index

    def read_index(path: Path, fps: int) -> VideoIndex:
        opened.append(path.relative_to(root).as_posix())
        return real(path, fps)

    monkeypatch.setattr(video_index, "read_index", read_index)
    episodes = DatasetV30(root).measured()
    next(episodes)
    folders = [f"videos/{key}/chunk-000" for key in (FRONT, WRIST)]
    assert opened == [f"{folder}/file-000.mp4" for folder in folders]
    list(episodes)
    assert opened[2:] == [f"{folder}/file-001.mp4" for folder in folders]


def test_times_a_little_off_the_grid(root: Path) -> None:
    set_cell(root, 3, f"videos/{FRONT}/from_timestamp", 0.8 + 1e-9)
    assert read(root)[0][3].tracks[FRONT].clip.first == 8


def test_video_that_begins_late(root: Path) -> None:
    written.write_video(root / FRONT_1, range(4, 14), [0, 3, 8], first_pts=2)
    # Counted from 0 s, episodes 1 to 3 are frames 0 to 9 of 10.
    episodes, notes = read(root)
    assert [first_levels(location, FRONT)[0] for location in episodes[1:]] == [4, 7, 12]
    assert notes == [
        f"1 video file does not begin at 0 s (first: {FRONT_1}), though its episodes are counted so; "
        "the output is right"
    ]
    for episode, begin in ((1, 0.2), (2, 0.5), (3, 1.0)):
        set_cell(root, episode, f"videos/{FRONT}/from_timestamp", begin)
    episodes, notes = read(root)
    assert [first_levels(location, FRONT)[0] for location in episodes[1:]] == [4, 7, 12]
    assert notes == []
    set_cell(root, 3, f"videos/{FRONT}/from_timestamp", 1.1)
    assert "has 10 frames, the first one shown as frame 2, but episode 3 should be frames 11 to 12" in refused(root)


@pytest.mark.parametrize("template", ["../{video_key}/{chunk_index}/{file_index}.mp4", "/etc/{video_key}{file_index}"])
def test_templates_that_lead_out(root: Path, template: str) -> None:
    written.edit_json(root / "meta/info.json", lambda info: info.update(video_path=template))
    assert "leads out of the dataset" in refused(root)


def test_templates_that_do_not_tell_files_apart(root: Path) -> None:
    written.edit_json(root / "meta/info.json", lambda info: info.update(video_path="videos/{chunk_index}.mp4"))
    assert "videos/0.mp4 for more than one file" in refused(root)


def test_links(root: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123abcd"
    blobs.mkdir()
    (root / FRONT_1).rename(blobs / "video")
    (root / FRONT_1).symlink_to(blobs / "video")
    (root / ".git").mkdir()  # others may have made the link
    assert f"{FRONT_1}: leads out of the dataset" in refused(root)
    snapshot.parent.mkdir()
    root.rename(snapshot)  # now it is where the Hub's cache has it
    assert read(snapshot)[0][1].tracks[FRONT].clip == Clip(snapshot / FRONT_1, 0, 3)


def test_statistics_that_are_known(root: Path) -> None:
    metas = read_metas(DatasetV30(root))
    placed = ("episode_index", "index", "task_index")
    for episode, meta in enumerate(metas):
        expected = {
            f"stats/{key}/{name}": value
            for key, stats in written.known_stats(episode).items()
            for name, value in stats.items()
            if key not in placed
        }
        assert meta.stats == expected
    assert type(metas[0].stats["stats/done/count"][0]) is int


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("stats/done/min", [False], [0.0]),
        ("stats/timestamp/max", [3], [3.0]),
        ("stats/observation.state/count", [5.0], [5]),
        ("stats/observation.state/count", [0], None),
        ("stats/observation.state/count", [2.5], None),
        ("stats/observation.state/mean", [1.0, 2.0], None),
        ("stats/observation.state/mean", [1.0, None, 2.0], None),
        ("stats/observation.state/mean", [1.0, math.nan, 2.0], None),
        ("stats/observation.state/mean", None, None),
        ("stats/observation.state/mean", ["1", "2", "3"], None),
        ("stats/observation.state/mean", 1.0, None),
        (f"stats/{FRONT}/std", [0.1, 0.2, 0.3], None),
        (f"stats/{FRONT}/std", [[[0.1]]], None),
        ("stats/grid/min", [[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]], [1.0, 2.0, 3.0]),
        ("stats/grid/max", [[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]], [4.0, 5.0, 6.0]),
        ("stats/grid/mean", [[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]], None),
    ],
)
def test_statistics_are_usable_or_left_out(root: Path, column: str, value: Any, expected: Any) -> None:
    set_cell(root, 3, column, value)
    metas = read_metas(DatasetV30(root))
    assert metas[3].stats.get(column) == expected
    assert [type(number) for number in metas[3].stats.get(column, [])] == [type(number) for number in expected or []]
    assert column in metas[2].stats
    assert len(metas[3].stats) == len(metas[2].stats) - (expected is None)


def test_one_unusable_row_among_others(root: Path) -> None:
    set_cell(root, 1, "stats/observation.state/mean", [1.0, 2.0])
    metas = read_metas(DatasetV30(root))
    known = [meta.stats.get("stats/observation.state/mean") for meta in metas]
    expected = [written.known(episode, "observation.state", "mean") for episode in range(4)]
    assert known == [expected[0], None, expected[2], expected[3]]


def test_files_with_other_statistics(root: Path) -> None:
    path = root / V30_EPISODES[0]
    table = pq.read_table(path)
    written.write_table(path, table.drop_columns([name for name in table.column_names if "/q" in name]))
    metas = read_metas(DatasetV30(root))
    assert ["stats/done/q01" in meta.stats for meta in metas] == [False, False, False, True]
    assert metas[0].stats["stats/done/mean"] == written.known(0, "done", "mean")


ORIGIN = {
    "source_name": "a.hdf5",
    "source_key": "data/demo_0",
    "source_digest": "12ab",
    "source_length": 9,
    "first_row": 2,
    "last_row": 8,
    "success": None,
    "fps_assumed": False,
    "run_digest": "34cd",
    "robotrove_version": "0.1.0",
    "encoder_version": "libx264",
}


def write_origins(root: Path, episodes: list[int], **more: Any) -> None:
    rows = [{"episode_index": episode, **ORIGIN, "source_key": f"data/demo_{episode}"} for episode in episodes]
    table = pa.Table.from_pylist(rows, schema=PROVENANCE_SCHEMA)
    for name, values in more.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    written.write_table(root / "meta/robotrove/episodes.parquet", table)


def test_provenance_travels(root: Path) -> None:
    write_origins(root, [0, 1, 2, 3])
    metas = read_metas(DatasetV30(root))
    later = dict.fromkeys(("row_runs", "content_digest", "code_digest", "input_datasets"))
    assert metas[2].provenance == ORIGIN | {"source_key": "data/demo_2"} | later


def test_dataset_without_provenance(root: Path) -> None:
    meta = read_metas(DatasetV30(root))[2]
    assert meta.provenance == dict.fromkeys(ORIGIN) | {
        "row_runs": None,
        "content_digest": None,
        "code_digest": None,
        "input_datasets": None,
        "source_name": "cubes",
        "source_key": "episode 2",
        "source_length": 5,
        "first_row": 0,
        "last_row": 4,
    }


def test_episodes_that_were_added_later(root: Path) -> None:
    """LeRobot goes on recording to a dataset without touching meta/robotrove."""
    write_origins(root, [0, 1])
    notes = read(root)[1]
    path = "meta/robotrove/episodes.parquet"
    assert notes == [f"{path} ends before episode 2 of 4; from there on, the output names cubes as the source"]
    metas = read_metas(DatasetV30(root))
    assert [meta.provenance["source_key"] for meta in metas] == ["data/demo_0", "data/demo_1", "episode 2", "episode 3"]
    assert [meta.provenance["source_name"] for meta in metas] == ["a.hdf5", "a.hdf5", "cubes", "cubes"]
    assert [meta.provenance["last_row"] for meta in metas] == [8, 8, 4, 1]
    assert metas[3].provenance["run_digest"] is None


@pytest.mark.parametrize(
    ("episodes", "more", "said"),
    [
        ([0, 1, 2, 3, 4], {}, "more episodes than there are"),
        ([0, 1, 3], {}, "is about episode 3"),
        ([0, 2, 1, 3], {}, "is about episode 2"),
        ([0, 1, 2, 3], {"source_length": ["9"] * 4}, "source_length is '9' instead of int"),
    ],
)
def test_provenance_of_other_episodes(root: Path, episodes: list[int], more: dict[str, Any], said: str) -> None:
    write_origins(root, episodes, **more)
    assert re.search(said, refused(root))


def test_histograms(root: Path) -> None:
    assert histograms(DatasetV30(root)) == {}
    counts = np.arange(768).reshape(3, 256)
    written.write_json(root / "meta/robotrove/histograms.json", {FRONT: counts.tolist()})
    found = histograms(DatasetV30(root))
    assert list(found) == [FRONT]
    np.testing.assert_array_equal(found[FRONT], counts)
    written.write_json(root / "meta/robotrove/histograms.json", {FRONT: [[1]]})
    with pytest.raises(RobotroveError, match="instead of"):
        histograms(DatasetV30(root))


def test_extra_files(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.json"
    outside.write_text("{}")
    for name in ("modality.json", "lab/notes.txt", "stats.json", "episodes.jsonl", "relative_stats.json",
                 "robotrove/run.json", "robotrove/x.bin", ".DS_Store", ".git/config", "modality.json.tmp",
                 "notes.txt~", "x-1-deadbeef.tmp/notes.txt"):  # fmt: skip
        written.write_json(root / "meta" / name, {})
    (root / "meta/link.json").symlink_to(outside)
    (root / "meta/linked").symlink_to(tmp_path)
    assert extra_files(DatasetV30(root)) == [Path("meta/lab/notes.txt"), Path("meta/modality.json")]


def test_versions(root: Path, tmp_path: Path) -> None:
    assert isinstance(open_dataset(root), DatasetV30)
    assert open_dataset(root).version == "v3.0"
    with pytest.raises(UsageError, match=r"no meta/info.json\n.*v2.1 or v3.0"):
        open_dataset(tmp_path)
    for version, said in (("v1.6", "'v1.6'"), ("v9.9", "'v9.9'"), (None, "None")):
        info = json.loads((root / "meta/info.json").read_text()) | {"codebase_version": version}
        written.write_json(root / "meta/info.json", info)
        with pytest.raises(UsageError, match=said) as caught:
            open_dataset(root)
        assert "v2.1 or v3.0" in str(caught.value)
