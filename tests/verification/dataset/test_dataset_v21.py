from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.dataset.runner import verify

from ...support.datasets.tiny_v21 import data_path, episode_stats, hf_metadata, info_json, video_path
from ...support.datasets.tiny_v30 import EPISODE_TASKS, FRONT, LENGTHS, TOP, WRIST, columns
from .test_runner import places

INFO, TASKS, EPISODES, STATS = "meta/info.json", "meta/tasks.jsonl", "meta/episodes.jsonl", "meta/episodes_stats.jsonl"
MODALITY, GR00T_STATS = "meta/modality.json", "meta/stats.json"
GOLDEN = SHARED_DATA / "arena_gr1_golden"
Change = Callable[[Any], Any]


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_found_in_a_good_dataset(tiny21_original: Path, deep: bool) -> None:
    seen = []
    report = verify(tiny21_original, deep=deep, progress=lambda check, path: seen.append((check, path)))
    assert report.findings == ()
    assert dict(report.counts) == dict(episodes=5, frames=20, tasks=2, cameras=3, errors=0, warnings=0, notes=0)
    assert ("videos", video_path(WRIST, 4)) in seen
    assert ("rows", data_path(3)) in seen


@pytest.mark.parametrize(
    ("change", "check", "message"),
    [
        (lambda i: i.pop("total_videos"), "structure", "total_videos is missing: LeRobot cannot add episodes"),
        (lambda i: i.update(total_chunks="2"), "structure", "total_chunks is '2' instead of a count"),
        (lambda i: i.update(chunks_size=0), "structure", "chunks_size is 0 instead of a positive whole number"),
        (lambda i: i.update(data_path=None), "structure", "data_path is None instead of a path with {episode_chunk}"),
        (lambda i: i.update(total_episodes=6), "counts", "total_episodes is 6, but meta/episodes.jsonl gives 5"),
        (lambda i: i.update(total_tasks=1), "counts", "total_tasks is 1, but meta/tasks.jsonl gives 2"),
        (lambda i: i.update(total_frames=21), "counts", "total_frames is 21, but the lengths in meta/episodes.jsonl"),
        (lambda i: i.update(total_videos=5), "counts", "total_videos is 5 instead of 10, 2 for each episode"),
        (lambda i: i.update(total_chunks=0), "counts", "total_chunks is 0 instead of 2, for 5 episodes"),
        (lambda i: i.update(splits={"train": "0:100"}), "counts", "splits is {'train': '0:100'} instead of"),
    ],
)
def test_info(tiny21, change: Change, check: str, message: str) -> None:
    tiny21.json(INFO, change)
    assert any(where == INFO and text.startswith(message) for where, text in tiny21.found(check)), tiny21.found(check)


def test_totals_that_lerobot_only_counts_on_from_are_warnings(tiny21) -> None:
    tiny21.json(INFO, lambda i: i.update(total_videos=1, total_chunks=0, splits={"train": "0:100"}))
    assert (len(tiny21.found("counts")), tiny21.errors()) == (3, [])


@pytest.mark.parametrize(
    ("path", "line", "change", "check", "message"),
    [
        (TASKS, 1, {"task_index": 0}, "tasks", "task_index is 0 instead of 1"),
        (TASKS, 1, {"task_index": -1}, "tasks", "task_index is -1 instead of 1"),
        (TASKS, 1, {"task_index": 1.0}, "tasks", "task_index is 1.0 instead of 1"),
        (TASKS, 1, {"task_index": None}, "tasks", "task_index is None instead of 1"),
        (TASKS, 1, {"task": "stack the cubes"}, "tasks", "the task of index 0 exists twice: 'stack the cubes'"),
        (TASKS, 1, {"task": None}, "tasks", "task is None instead of a text"),
        (TASKS, 1, {"task": "\udcff"}, "tasks", r"task is '\udcff' instead of a text"),  # as when reading
        (EPISODES, 3, {"episode_index": 4}, "episodes", "episode_index is 4 instead of 3"),
        (EPISODES, 3, {"tasks": ["juggle"]}, "episodes", "its task 'juggle' is not in tasks.jsonl"),
        (EPISODES, 3, {"tasks": []}, "episodes", "it has no task"),
        (EPISODES, 3, {"tasks": "juggle"}, "episodes", "tasks is 'juggle' instead of a list of texts"),
        (EPISODES, 3, {"length": 0}, "episodes", "length is 0 instead of a positive whole number"),
        (STATS, 3, {"episode_index": 7}, "stats", "is about episode 7 instead of 3"),
        (STATS, 3, {"stats": None}, "stats", "has no stats"),
    ],
)
def test_lines_of_meta(tiny21, path: str, line: int, change: dict[str, Any], check: str, message: str) -> None:
    tiny21.line(path, line, lambda entry: entry.update(change))
    assert (f"{path}, line {line + 1}", message) in tiny21.found(check)
    assert check in tiny21.errors()


def test_gaps_in_the_numbers_of_tasks(tiny21) -> None:
    """LeRobot 0.3.3 and GR00T read them; rows are wrong only where no task has their number."""
    told = "task_index is 2 instead of 1: LeRobot may give it to another task too when it adds episodes"
    tiny21.line(TASKS, 1, lambda line: line.update(task_index=2))
    assert (f"{TASKS}, line 2", told) in tiny21.found("tasks")
    assert (data_path(1), "task_index is 1, but its tasks are 0, 2") in [
        (where.partition(",")[0], message.partition(" (")[0]) for where, message in tiny21.found("rows")
    ]
    for episode, task in enumerate(EPISODE_TASKS):
        for row in range(LENGTHS[episode]):
            tiny21.cell(data_path(episode), row, "task_index", 2 * task)
    assert [text for _, text in tiny21.found("tasks")] == [told]
    assert [found for found in tiny21.found("rows") if "task" in found[1]] == []
    assert {check for check in tiny21.errors() if check != "stats"} == set()


def test_a_line_that_is_no_json(tiny21) -> None:
    with open(tiny21.root / EPISODES, "a") as file:
        file.write("{\n")
    [(where, message)] = [found for found in tiny21.found("files") if found[0].startswith(EPISODES)]
    assert where == f"{EPISODES}, line 6"
    assert message.startswith("cannot be read as JSON: ")


def test_missing_and_stray_files(tiny21) -> None:
    (tiny21.root / data_path(3)).unlink()
    stray = f"videos/chunk-000/{FRONT}/episode_000011.mp4"
    (tiny21.root / video_path(FRONT, 1)).rename(tiny21.root / stray)
    for path in ("data/notes.txt", "videos/notes.txt", "meta/old/a.parquet", "README.md", "images/1.png"):
        (tiny21.root / path).parent.mkdir(exist_ok=True)
        (tiny21.root / path).touch()
    counted = "belongs to no episode: LeRobot counts such files when it adds episodes, and fails"
    assert tiny21.found("files") == [
        (video_path(FRONT, 1), "does not exist, but should contain episode 1"),
        (data_path(3), "does not exist, but should contain episode 3"),
        ("data/notes.txt", "belongs to no episode, but LeRobot would read it"),
        ("meta/old/a.parquet", counted),
        ("videos/notes.txt", "belongs to no episode"),
        (stray, counted),
    ]
    assert tiny21.errors().count("files") == 5


def test_an_episode_in_the_folder_of_another_chunk(tiny21) -> None:
    (tiny21.root / data_path(4)).rename(tiny21.root / "data/chunk-000/episode_000004.parquet")
    assert [where for where, _ in tiny21.found("files")] == [
        data_path(4),
        "data/chunk-000/episode_000004.parquet",
    ]


def test_types_that_datasets_3_does_not_know(tiny21) -> None:
    tiny21.table(data_path(2), lambda t: t.replace_schema_metadata(hf_metadata(t.schema, "List")))
    told = 'its metadata has "_type": "List" for observation.state: LeRobot 0.3.3 knows only "Sequence"'
    assert tiny21.found("hf_features") == [(data_path(2), told)]
    assert tiny21.errors() == ["hf_features"]


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{"}, {"huggingface": '{"info": {"features": []}}'}])
def test_pictures_need_metadata(tiny21, metadata: dict[str, str] | None) -> None:
    tiny21.table(data_path(2), lambda t: t.replace_schema_metadata(metadata))
    told = 'its metadata does not say "_type": "Image": LeRobot 0.3.3 cannot load it'
    assert tiny21.found("hf_features") == [(f"{data_path(2)}, column {TOP}", told)]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("index", 14, "index is 14 instead of 13"),
        ("episode_index", 4, "episode_index is 4 instead of 3"),
        ("frame_index", 2, "frame_index is 2 instead of 1"),
        ("task_index", 2, "task_index is 2, but there are 2 tasks"),
        ("observation.state", [0.0, float("nan"), 0.0], "observation.state[1] is nan"),
    ],
)
def test_one_wrong_row(tiny21, column: str, value: Any, message: str) -> None:
    tiny21.cell(data_path(3), 1, column, value)  # frame 13 of the dataset
    assert (f"{data_path(3)}, row 1", message) in tiny21.found("rows")


def test_rows_of_one_file_do_not_shift_the_next(tiny21) -> None:
    tiny21.table(data_path(1), lambda table: table.slice(0, 2))
    assert tiny21.found("rows") == [(data_path(1), "has 2 rows, but its episode has 3 frames")]
    assert tiny21.found("stats") == [(data_path(1), "has 1 rows too few for its episode")]


def test_columns_that_lerobot_reads_as_they_are(tiny21) -> None:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("gripper_open")
        lists = pa.array([[value] for value in table["gripper_open"].to_pylist()], pa.list_(pa.bool_()))
        return table.set_column(at, "gripper_open", lists).append_column("reward", pa.array([0.5] * len(table)))

    tiny21.table(data_path(0), change)
    assert tiny21.found("rows") == [
        (f"{data_path(0)}, column reward", "is not a feature of info.json"),
        (f"{data_path(0)}, column gripper_open", "is list<element: bool>, which does not hold bool[1]"),
    ]
    assert tiny21.errors() == []
    tiny21.table(data_path(0), lambda table: table.drop_columns(["gripper_open"]))
    assert "rows" in tiny21.errors()


def test_steps_of_time(tiny21) -> None:
    tiny21.cell(data_path(2), 2, "timestamp", 0.2 + 1.5e-4)
    refuses = "LeRobot 0.3.3 refuses to load the dataset"
    assert tiny21.found("timestamps") == [
        (f"{data_path(2)}, row 2", "timestamp is 0.20015 instead of 0.2"),
        (
            f"{data_path(2)}, row 1",
            f"the next timestamp is 0.100150 s later instead of 0.100000 s: {refuses} (2 such rows in this file)",
        ),
    ]


def long_episode(root: Path, length: int, fps: int) -> None:
    """Make the dataset one long episode of a number."""
    for folder in ("data", "videos"):
        shutil.rmtree(root / folder)
    features = {key: entry for key, entry in info_json()["features"].items() if key.endswith(("index", "timestamp"))}
    counts = {"total_episodes": 1, "total_frames": length, "total_videos": 0, "total_chunks": 1}
    info = info_json() | counts | {"fps": fps, "splits": {"train": "0:1"}, "features": features}
    (root / INFO).write_text(json.dumps(info))
    frames = np.arange(length)
    zeros = np.zeros(length, np.int64)
    table = {"timestamp": (frames / fps).astype(np.float32), "frame_index": frames, "episode_index": zeros}
    (root / data_path(0)).parent.mkdir(parents=True)
    pq.write_table(pa.table(table | {"index": frames, "task_index": zeros}), root / data_path(0))
    episode = {"episode_index": 0, "tasks": ["stack the cubes"], "length": length}
    (root / EPISODES).write_text(json.dumps(episode) + "\n")


@pytest.mark.parametrize(("fps", "is_fine"), [(30, False), (10, True)])
def test_an_episode_that_is_too_long(tiny21, fps: int, is_fine: bool) -> None:
    # Loaded with LeRobot 0.3.3: 1,100 s fail at 30 fps, and are fine at 10.
    long_episode(tiny21.root, 1100 * fps, fps)
    told = "too long: of 1100 s at 30 fps float32 is too coarse for LeRobot 0.3.3, which refuses to load the dataset"
    assert tiny21.found("timestamps") == ([] if is_fine else [(data_path(0), told)])


@pytest.mark.parametrize(
    ("feature", "key", "value", "message"),
    [
        ("observation.state", "mean", [0.0, 0.0], "mean is of shape (2,); expected shape (3,)"),
        ("observation.state", "count", [3], "count[0] is 3, but the rows give 2"),
        ("observation.state", "min", 0.0, "min is of shape (); expected shape (3,)"),
        ("grid", "min", [0.0] * 3, "min is of shape (3,); expected shape (2, 3)"),
        (FRONT, "mean", [0.3, 0.3, 0.1], "mean is of shape (3,); expected shape (3, 1, 1)"),
        (FRONT, "max", [[[255.0]], [[200.0]], [[40.0]]], "its values are not in [0, 1]"),
    ],
)
def test_one_wrong_statistic(tiny21, feature: str, key: str, value: Any, message: str) -> None:
    tiny21.line(STATS, 3, lambda entry: entry["stats"][feature].update({key: value}))
    found = tiny21.found("stats")
    assert (f"{STATS}, line 4, stats/{feature}", message) in found or feature == "grid"
    assert found
    assert all(where == f"{STATS}, line 4, stats/{feature}" for where, _ in found)
    assert tiny21.errors()


def test_statistics_that_are_missing(tiny21) -> None:
    tiny21.line(STATS, 1, lambda entry: entry["stats"].pop("grid"))
    assert tiny21.found("stats") == [
        (f"{STATS}, line 2", "has no min, max, mean, std, count of grid; `robotrove stats DATASET` computes them")
    ]
    assert tiny21.errors() == []  # 0.3.3 does without
    tiny21.line(STATS, 1, lambda entry: entry["stats"]["timestamp"].pop("count"))
    assert (f"{STATS}, line 2", "has no count of timestamp; `robotrove stats DATASET` computes them") in tiny21.found(
        "stats"
    )
    assert tiny21.errors() == ["stats"]


def test_statistics_of_a_grid_may_be_collapsed_or_not(tiny21) -> None:
    rows = columns()["grid"][4:7].reshape(-1, 3)  # episode 1

    def collapse(entry: dict[str, Any]) -> None:
        parts = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
        entry["stats"]["grid"].update({key: value.tolist() for key, value in parts.items()})

    tiny21.line(STATS, 1, collapse)
    assert tiny21.found("stats") == []
    tiny21.line(STATS, 1, lambda entry: entry["stats"]["grid"]["mean"].__setitem__(2, 0.3))
    tiny21.line(STATS, 2, lambda entry: entry["stats"]["grid"]["std"][1].__setitem__(0, 0.9))
    assert [text.split(" is ")[0] for _, text in tiny21.found("stats")] == ["mean[2]", "std[3]"]


def test_too_few_lines_of_statistics(tiny21) -> None:
    lines = (tiny21.root / STATS).read_text().splitlines(keepends=True)
    (tiny21.root / STATS).write_text("".join(lines[:-1]))
    assert tiny21.found("stats") == [(STATS, "has 4 lines, but there are 5 episodes")]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (range(7, 11), "has 4 frames, but episode 2 has its frames at 0 to 4"),
        (range(7, 13), "has 6 frames, but its episodes have 5"),
    ],
)
def test_frames_of_a_clip(tiny21, frames: range, message: str) -> None:
    tiny21.video(video_path(WRIST, 2), list(frames), [0])
    assert tiny21.found("videos") == [(video_path(WRIST, 2), message)]
    assert tiny21.errors() == ["videos"]


def test_a_clip_that_does_not_begin_at_zero(tiny21) -> None:
    tiny21.video(video_path(WRIST, 2), list(range(7, 12)), [0], first_pts=1)
    [(where, message)] = tiny21.found("videos")
    assert where == video_path(WRIST, 2)
    assert message.endswith("expected: frame k at exactly k/10 s")


def test_the_clip_of_another_episode(tiny21) -> None:
    tiny21.video(video_path(WRIST, 3), [0, 1], [0])
    [(where, message)] = tiny21.found("videos", deep=True)
    assert where == video_path(WRIST, 3)
    assert message.startswith("the mean colour of episode 3 is (0.01,")


def write_gr00t(root: Path, **change: Any) -> None:
    values = columns()
    stats = {}
    for key in ("observation.state", "timestamp", "gripper_open"):
        table = values[key].reshape(20, -1).astype(np.float32)
        stats[key] = {name: getattr(table, name)(0).tolist() for name in ("mean", "std", "min", "max")}
        stats[key] |= {name: np.quantile(table, q, 0).tolist() for name, q in (("q01", 0.01), ("q99", 0.99))}
    (root / GR00T_STATS).write_text(json.dumps(stats))
    state = {"start": 0, "end": 2}
    modality = {
        "state": {"arm": state},
        "action": {"arm": {"start": 2, "end": 3, "original_key": "observation.state"}},
        "video": {"ego_view": {"original_key": FRONT}},
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }
    for path, value in change.items():
        section, _, key = path.partition("__")
        modality[section][key] = value
    (root / MODALITY).write_text(json.dumps(modality))


@pytest.fixture
def gr00t(tiny21):
    write_gr00t(tiny21.root)
    tiny21.json(INFO, lambda info: info["features"].update(grid=info["features"]["grid"]))
    return tiny21


def test_what_gr00t_reads(gr00t) -> None:
    assert gr00t.found("gr00t") == [(f"{GR00T_STATS}, grid", "is missing: GR00T recomputes the file")]
    assert gr00t.errors() == []
    (gr00t.root / MODALITY).unlink()
    assert gr00t.found("gr00t") == []


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("state", {"start": 0, "end": 4}, "start is 0 and end is 4, not a part of the 3 values of"),
        ("state", {"start": 2, "end": 2}, "start is 2 and end is 2, not a part of the 3 values of"),
        ("action", {"start": 0, "end": 3}, "original_key is 'action', which is missing in info.json"),
        ("state", {"start": 0, "end": 2, "original_key": FRONT}, "which is video[32x48x3] and no vector"),
        ("video", {}, "original_key is 'observation.images.hand', which is missing in info.json"),
        ("video", {"original_key": "note"}, "original_key is 'note', which is string[1] and no video"),
        ("annotation", {"original_key": "note"}, "which is string[1] instead of one whole number"),
        ("annotation", {}, "original_key is 'annotation.hand', which is missing in info.json"),
        ("annotation", None, "is None instead of an object"),
    ],
)
def test_modality(gr00t, section: str, entry: Any, message: str) -> None:
    gr00t.json(MODALITY, lambda content: content[section].update(hand=entry))
    place = f"{MODALITY}, {section}.hand"
    assert any(where == place and message in text for where, text in gr00t.found("gr00t")), gr00t.found("gr00t")
    assert gr00t.errors() == ["gr00t"]


@pytest.mark.parametrize(
    ("change", "message", "is_error"),
    [
        ({"q99": None}, "has no q99: GR00T recomputes the file", False),
        ({"count": [20]}, "has a count: GR00T N1 and N1.5 slice it like the others, and fail", True),
        ({"mean": [0.0, 0.0]}, "mean is of shape (2,); expected shape (3,)", True),
        ({"mean": ["x"]}, "mean is no numbers; expected shape (3,)", True),
    ],
)
def test_stats_for_gr00t(gr00t, change: dict[str, Any], message: str, is_error: bool) -> None:
    def edit(stats: dict[str, Any]) -> None:
        entry = stats["observation.state"] | change
        stats["observation.state"] = {key: value for key, value in entry.items() if value is not None}

    gr00t.json(GR00T_STATS, edit)
    assert (f"{GR00T_STATS}, observation.state", message) in gr00t.found("gr00t")
    assert gr00t.errors() == (["gr00t"] if is_error else [])


def test_lerobots_own_stats_json_is_fine(tiny21) -> None:
    (tiny21.root / GR00T_STATS).write_text(json.dumps(episode_stats(columns(), slice(None))))
    assert tiny21.found("gr00t") == []


def all_files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["gone", "half", "garbage"])
def test_any_damaged_file_is_named_and_nothing_is_raised(tiny21_original: Path, tiny21, damage: str) -> None:
    names = [name for name in all_files(tiny21_original) if name.startswith("meta") or "00002" in name]
    for name in names:
        path, content = tiny21.root / name, (tiny21_original / name).read_bytes()
        path.unlink() if damage == "gone" else path.write_bytes(
            {"half": content[: len(content) * 2 // 3], "garbage": b"\xff\x00{" * 99}[damage]
        )
        findings = verify(tiny21.root).findings
        assert any(f.where.startswith(name) and f.severity == "error" for f in findings), (name, findings)
        path.write_bytes(content)
    assert verify(tiny21.root).ok


@pytest.mark.parametrize("value", [None, "x", -1, [], {}, 1e300, [[]], True])
@pytest.mark.parametrize("path", [EPISODES, TASKS, STATS])
def test_nothing_is_raised_whatever_is_in_the_lines(tiny21, path: str, value: Any) -> None:
    original = (tiny21.root / path).read_text()
    for key in json.loads(original.splitlines()[1]):
        tiny21.line(path, 1, lambda entry, key=key: entry.update({key: value}))
        assert verify(tiny21.root).findings
        (tiny21.root / path).write_text(original)


def test_nothing_is_raised_whatever_is_in_the_json_files(gr00t) -> None:
    for name in (INFO, MODALITY, GR00T_STATS):
        original = (gr00t.root / name).read_text()
        for number, place in enumerate(random.Random(5).choices(places(json.loads(original)), k=24)):
            content = json.loads(original)
            parent = content
            for key in place[:-1]:
                parent = parent[key]
            if place != ("codebase_version",):
                parent[place[-1]] = [None, "x", -1, [], {}, 1e300, [[]], True][number % 8]
            (gr00t.root / name).write_text(json.dumps(content))
            verify(gr00t.root)
        (gr00t.root / name).write_text(original)


@needs(GOLDEN)
def test_a_dataset_of_isaac_lab_arena() -> None:
    # With statistics of the episode, LeRobot 0.3.3 loads it as it is; without, it looks for them on the Hub.
    report = verify(GOLDEN, deep=True)
    assert [(finding.where, finding.message, finding.severity) for finding in report.findings] == [
        (f"{INFO}, feature timestamp", "is float64[1] instead of float32[1] without names", "warning"),
        (INFO, "splits is {'train': '0:100'} instead of {'train': '0:1'}", "warning"),
        (INFO, "total_chunks is 0 instead of 1, for 1 episodes", "warning"),
        (STATS, "does not exist", "error"),
    ]
