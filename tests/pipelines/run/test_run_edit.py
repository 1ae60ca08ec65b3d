"""Edited datasets: all that names tasks and features follows; cut clips are re-encoded; a killed run resumes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.blocks.dataset.downgrader import Downgrader
from robotrove.core.errors import ConfigError, RobotroveError, UsageError
from robotrove.formats.lerobot.datasets.dataset_edit import DatasetEdit
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.support.datasets import tiny_v21, tiny_v30
from robotrove.tests.support.datasets.lerobot06 import EVENTS, PERSISTENT, annotate, entry, persistent_of, spoken
from robotrove.tests.support.datasets.on_disk import OnDisk
from robotrove.tests.support.datasets.tiny_v30 import FRONT, HEIGHT, TOP, WIDTH, WRIST
from robotrove.tests.support.pipelines.faults import changes_by_stage, killed_in
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
    tree,
)
from robotrove.verification.dataset.runner import verify

MODALITY = "meta/modality.json"
VALIDITY, DESCRIPTION = "annotation.human.validity", "annotation.human.task_description"


@pytest.fixture(params=["v3.0", "v2.1"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tiny_v30 if request.param == "v3.0" else tiny_v21).build(tmp_path / "tiny")
    return tmp_path / "tiny"


def edit(root: Path, output: Path, **changes: Any) -> RunReport:
    """Edit a dataset in this process, as the command does it."""
    given: dict[str, Any] = {"datasets": [str(root)], "edit": DatasetEdit(**changes)}
    if (root / "meta/episodes.jsonl").exists():
        blocks: list[Any] = [Downgrader(**given, allow_long=True)]
    else:
        blocks = [Aggregator(**given, on_mismatch="reencode"), DatasetStats()]
    return Pipeline(dataset=blocks).run(output=output, executor=Here())


def errors(root: Path) -> list[str]:
    return [str(found) for found in verify(root, deep=True).findings if found.severity == "error"]


def column(root: Path, key: str) -> list[Any]:
    values = [value for path in sorted(root.glob("data/*/*.parquet")) for value in pq.read_table(path)[key].to_pylist()]
    return [value[0] if isinstance(value, list) else value for value in values]


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def describe(root: Path) -> None:
    """Give a v2.1 dataset a third task, "valid", and two columns of task numbers, as GR00T's datasets have them."""
    feature = {"dtype": "int64", "shape": [1], "names": None}
    change_json(
        root / "meta/info.json", lambda info: info["features"].update({VALIDITY: feature, DESCRIPTION: feature})
    )
    change_json(root / "meta/info.json", lambda info: info.update(total_tasks=3))
    tiny_v21.write_lines(
        root / "meta/tasks.jsonl",
        [{"task_index": number, "task": task} for number, task in enumerate([*tiny_v30.TASKS, "valid"])],
    )
    lines = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
    tiny_v21.write_lines(root / "meta/episodes.jsonl", [line | {"tasks": [*line["tasks"], "valid"]} for line in lines])
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        valid = pa.array([2] * len(table), pa.int64())
        table = table.append_column(VALIDITY, valid).append_column(DESCRIPTION, table["task_index"])
        pq.write_table(table.replace_schema_metadata(None), path)


def test_columns_of_task_numbers_follow_and_other_texts_stay(tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "tiny")
    describe(tmp_path / "tiny")
    edit(tmp_path / "tiny", tmp_path / "out", drop=[1], tasks={"2": "put it down"})
    # Episodes 0, 2, 3 and 4 of 4, 5, 2 and 6 rows; "open the drawer" was the task of 1 and 2 only.
    assert OnDisk(tmp_path / "out").tasks == ["stack the cubes", "valid", "put it down"]
    described = [0] * 4 + [2] * 5 + [0] * 2 + [0] * 6
    assert column(tmp_path / "out", "task_index") == described
    assert column(tmp_path / "out", DESCRIPTION) == described
    assert column(tmp_path / "out", VALIDITY) == [1] * 17
    tasks = [row["tasks"] for row in OnDisk(tmp_path / "out").meta]
    assert tasks == [["stack the cubes", "valid"], ["put it down", "valid"], *[["stack the cubes", "valid"]] * 2]
    assert errors(tmp_path / "out") == []


def test_a_column_in_doubt_may_be_dropped(tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "tiny")
    describe(tmp_path / "tiny")
    for path in (tmp_path / "tiny").glob("data/*/*.parquet"):
        table = pq.read_table(path)
        grade = pa.array([7] * len(table), pa.int64())  # no such task
        pq.write_table(table.set_column(table.column_names.index(DESCRIPTION), DESCRIPTION, grade), path)
    with pytest.raises(UsageError, match="their numbers may be those of tasks, or values"):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[1])
    edit(tmp_path / "tiny", tmp_path / "out", drop_features=[DESCRIPTION])
    assert column(tmp_path / "out", VALIDITY) == [2] * 20
    assert OnDisk(tmp_path / "out").tasks == [*tiny_v30.TASKS, "valid"]


def test_subtasks_go_with_their_column(tmp_path: Path) -> None:
    root = tmp_path / "tiny"
    tiny_v21.build(root)
    feature = {"dtype": "int64", "shape": [1], "names": None}
    change_json(root / "meta/info.json", lambda info: info["features"].update({"subtask_index": feature}))
    subtasks = [{"subtask_index": number, "subtask": text} for number, text in enumerate(("reach", "grasp"))]
    tiny_v21.write_lines(root / "meta/subtasks.jsonl", subtasks)
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        numbers = pa.array([row % 2 for row in range(len(table))], pa.int64())
        pq.write_table(table.append_column("subtask_index", numbers).replace_schema_metadata(None), path)
    edit(root, tmp_path / "fewer", drop=[0], tasks={"all": "one"})
    assert column(tmp_path / "fewer", "subtask_index")[:3] == [0, 1, 0]
    lines = (tmp_path / "fewer/meta/subtasks.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == subtasks
    edit(root, tmp_path / "without", drop_features=["subtask_index"])
    assert not (tmp_path / "without/meta/subtasks.jsonl").exists()
    assert errors(tmp_path / "without") == []


def test_modality_follows_and_what_is_dropped_is_named(dataset: Path, tmp_path: Path) -> None:
    content = {
        "state": {"arm": {"start": 0, "end": 3}, "open": {"original_key": "gripper_open", "start": 0, "end": 1}},
        "video": {"front": {}, "wrist": {"original_key": WRIST}},
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }
    (dataset / MODALITY).write_text(json.dumps(content))
    head = "observation.images.head"
    renamed = {"observation.state": "state", FRONT: head}
    report = edit(dataset, tmp_path / "out", rename_features=renamed, drop_features=["gripper_open", WRIST])
    assert json.loads((tmp_path / "out" / MODALITY).read_text()) == {
        "state": {"arm": {"start": 0, "end": 3, "original_key": "state"}},
        "video": {"front": {"original_key": head}},
        "annotation": {"human.task_description": {"original_key": "task_index"}},
    }
    told = "not in the output: state.open, video.wrist of meta/modality.json: their columns are dropped"
    assert told in report.notes


def test_files_that_may_have_numbers_of_episodes_are_named(dataset: Path, tmp_path: Path) -> None:
    labels = '{"episode_index": 1, "label": "good"}\n'
    (dataset / "meta/labels.jsonl").write_text(labels)
    (dataset / MODALITY).write_text("{}")
    told = "copied unchanged, also numbers of episodes if they have any: meta/labels.jsonl"
    assert told in edit(dataset, tmp_path / "out", drop=[0]).notes
    assert (tmp_path / "out/meta/labels.jsonl").read_text() == labels
    report = edit(dataset, tmp_path / "all", robot_type="arm")  # keeps their numbers
    assert not [note for note in report.notes if "labels" in note]


def test_statistics_of_gr00t_are_recomputed(tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "tiny")
    (tmp_path / "tiny/meta/stats.json").write_text("{}")
    edit(tmp_path / "tiny", tmp_path / "out", drop=[0], rename_features={"observation.state": "state"})
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    rows = tiny_v30.columns()["observation.state"][4:].astype(np.float64)
    assert np.allclose(stats["state"]["mean"], rows.mean(0))
    assert np.allclose(stats["state"]["max"], rows.max(0))
    assert "observation.state" not in stats


def test_entries_about_a_camera_follow_it(tmp_path: Path) -> None:
    tiny_v30.build(tmp_path / "tiny")
    answers = [entry("a cube", "vqa", camera=FRONT), entry("a wall", "vqa", camera=WRIST)]
    # Rows 1 of episode 0 and 7, the first of episode 2.
    annotate(tmp_path / "tiny", {1: answers, 7: [answers[1], entry("no", "interjection")]})
    edit(tmp_path / "tiny", tmp_path / "out", drop=[1], rename_features={FRONT: "head"}, drop_features=[WRIST])
    found = spoken(tmp_path / "out", EVENTS)
    assert {row: entries for row, entries in enumerate(found) if entries} == {
        1: [entry("a cube", "vqa", camera="head")],
        4: [entry("no", "interjection")],
    }
    assert spoken(tmp_path / "out", PERSISTENT)[4] == persistent_of(2)
    assert errors(tmp_path / "out") == []


def test_clips_that_cannot_be_cut_are_reencoded_and_counted(tmp_path: Path) -> None:
    tiny_v30.build(tmp_path / "tiny")
    pictures = [tiny_v30.picture(row, HEIGHT, WIDTH) for row in range(20)]
    path = tmp_path / "tiny" / "videos" / FRONT / "chunk-000/file-000.mp4"
    tiny_v30.write_video(path, pictures, [0])  # one keyframe, which only the first episode begins with
    report = edit(tmp_path / "tiny", tmp_path / "out", drop=[1, 2])
    assert f"2 clips of {FRONT} were re-encoded" in report.notes
    assert not [note for note in report.notes if WRIST in note]
    frames = []
    for file in sorted((tmp_path / "out" / "videos" / FRONT).glob("*/*.mp4")):
        with av.open(str(file)) as container:
            frames += [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    rows = [*range(0, 4), *range(12, 20)]
    assert len(frames) == len(rows)
    for frame, row in zip(frames, rows, strict=True):
        assert abs(frame[4:12, :, 0].mean() - 10 * row) < 4


def test_a_dataset_with_gaps_is_edited_by_its_numbers(tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "tiny")
    for name in ("episodes", "episodes_stats"):
        path = tmp_path / "tiny" / f"meta/{name}.jsonl"
        path.write_text(
            "".join(line + "\n" for line in path.read_text().splitlines() if json.loads(line)["episode_index"] != 1)
        )
    change_json(tmp_path / "tiny/meta/info.json", lambda info: info.update(total_episodes=4, total_frames=17))
    with pytest.raises(UsageError, match="has no episode 1"):
        edit(tmp_path / "tiny", tmp_path / "out", drop=[1])
    edit(tmp_path / "tiny", tmp_path / "out", drop=["0-1"], tasks={"3": "third"})
    assert column(tmp_path / "out", "note") == [f"n{row}" for row in range(7, 20)]
    assert [row["tasks"] for row in OnDisk(tmp_path / "out").meta] == [
        ["open the drawer"],
        ["third"],
        ["stack the cubes"],
    ]


def test_what_is_dropped_may_be_damaged(dataset: Path, tmp_path: Path) -> None:
    files = sorted(dataset.glob("videos/**/*.mp4"))
    # Of the wrist camera in v3.0, the first file has the episodes 0 and 1, and no other.
    damaged = [path for path in files if WRIST in str(path)][: 1 if len(files) == 3 else 2]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RobotroveError, match="cannot be read"):
        edit(dataset, tmp_path / "refused", drop=[1])
    edit(dataset, tmp_path / "fewer", drop=["0-1"])
    assert column(tmp_path / "fewer", "note") == [f"n{row}" for row in range(7, 20)]
    assert errors(tmp_path / "fewer") == []
    for path in files:
        if WRIST in str(path):
            path.unlink()
    edit(dataset, tmp_path / "without", drop_features=[WRIST])
    assert column(tmp_path / "without", "note") == [f"n{row}" for row in range(20)]
    assert errors(tmp_path / "without") == []


@pytest.mark.parametrize(("number", "dropped", "rows"), [(0, "0-2", range(12, 20)), (1, "3-4", range(12))])
@pytest.mark.parametrize("is_missing", [False, True])
def test_rows_of_dropped_episodes_may_be_damaged(
    tmp_path: Path, number: int, dropped: str, rows: range, is_missing: bool
) -> None:
    tiny_v30.build(tmp_path / "tiny")
    path = tmp_path / f"tiny/data/chunk-000/file-{number:03d}.parquet"
    content = path.read_bytes()
    path.unlink()
    if not is_missing:
        path.write_bytes(content[:-100])
    with pytest.raises(RobotroveError, match=path.name):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[dropped[0]])
    report = edit(tmp_path / "tiny", tmp_path / "out", drop=[dropped])
    assert column(tmp_path / "out", "note") == [f"n{row}" for row in rows]
    assert errors(tmp_path / "out") == []
    found = "data files have other rows than meta/episodes: episodes were found by episode_index"
    assert [note for note in report.notes if note.endswith(found)] == [
        found if is_missing else f"damaged: data/chunk-000/{path.name}; {found}"
    ]


def test_annotations_of_dropped_episodes_may_be_damaged(dataset: Path, tmp_path: Path) -> None:
    """The numbers of an annotation column decide what it is; those of dropped episodes do not count."""
    change_json(
        dataset / "meta/info.json",
        lambda info: info["features"].update({DESCRIPTION: {"dtype": "int64", "shape": [1], "names": None}}),
    )
    for path in dataset.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        numbers = [7 if episode == 1 else task for episode, task in zip(*flat(table), strict=True)]
        pq.write_table(table.append_column(DESCRIPTION, pa.array(numbers)).replace_schema_metadata(None), path)
    with pytest.raises(UsageError, match="their numbers may be those of tasks, or values"):
        edit(dataset, tmp_path / "refused", drop=[3])
    told = f"{DESCRIPTION} is renumbered with the tasks; episodes that are not taken have 7, which are not in its tasks"
    noted = edit(dataset, tmp_path / "noted", drop=[1]).notes
    assert [note for note in noted if note.startswith(DESCRIPTION)] == [
        f"{told}: --annotation {DESCRIPTION}=values copies the numbers"
    ]
    for path in sorted(dataset.glob("data/*/*.parquet")):
        if max(flat(pq.read_table(path))[0]) >= 3:
            path.write_bytes(b"PAR1")
    edit(dataset, tmp_path / "out", drop=[1, "3-4"])
    assert column(tmp_path / "out", DESCRIPTION) == column(tmp_path / "out", "task_index") == [0] * 4 + [1] * 5
    assert errors(tmp_path / "out") == []


def flat(table: pa.Table) -> list[list[int]]:
    """Numbers of the episodes and tasks of rows."""
    found = ([value[0] if isinstance(value, list) else value for value in table[key].to_pylist()] for key in
             ("episode_index", "task_index"))  # fmt: skip
    return list(found)


def test_files_of_dropped_episodes_may_be_missing_in_v21(tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "tiny")
    for path in (tmp_path / "tiny").rglob("episode_000001.*"):
        path.unlink()
    next((tmp_path / "tiny").rglob("episode_000003.parquet")).write_bytes(b"PAR1")
    with pytest.raises(RobotroveError, match="episode_000003"):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[1])
    edit(tmp_path / "tiny", tmp_path / "out", drop=[1, 3])
    assert column(tmp_path / "out", "note") == [f"n{row}" for row in (*range(4), *range(7, 12), *range(14, 20))]
    assert errors(tmp_path / "out") == []


def test_a_dropped_episode_may_have_another_length(tmp_path: Path) -> None:
    """Episode 1 has a row less than meta/episodes says; the files say in vain where the others are."""
    tiny_v30.build(tmp_path / "tiny")
    path = tmp_path / "tiny/data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table[:5], table[6:]]), path)
    with pytest.raises(RobotroveError, match="has 2 rows of episode 1 instead of 3"):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[0])
    edit(tmp_path / "tiny", tmp_path / "out", drop=[1])
    assert column(tmp_path / "out", "note") == [f"n{row}" for row in (*range(4), *range(7, 20))]

    at = table.column_names.index("episode_index")
    pq.write_table(table[1:].set_column(at, "episode_index", [pa.array([None] * 11, pa.int64())]), path)
    edit(tmp_path / "tiny", tmp_path / "later", drop=["0-2"])
    assert column(tmp_path / "later", "note") == [f"n{row}" for row in range(12, 20)]


def test_a_row_group_of_a_dropped_episode_may_be_damaged(tmp_path: Path) -> None:
    tiny_v30.build(tmp_path / "tiny")
    path = tmp_path / "tiny/data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        for first, stop in ((0, 4), (4, 7), (7, 12)):  # a row group per episode, as LeRobot records
            writer.write_table(table[first:stop])
    facts = pq.read_metadata(path).row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = facts.dictionary_page_offset or facts.data_page_offset
    content[start : start + facts.total_compressed_size] = bytes(facts.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(RobotroveError, match=path.name):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[0])
    edit(tmp_path / "tiny", tmp_path / "out", drop=[1])
    assert column(tmp_path / "out", "note") == [f"n{row}" for row in (*range(4), *range(7, 20))]
    assert errors(tmp_path / "out") == []


def test_a_video_may_end_before_dropped_episodes(tmp_path: Path) -> None:
    tiny_v30.build(tmp_path / "tiny")
    path = tmp_path / f"tiny/videos/{WRIST}/chunk-000/file-001.mp4"
    frames = [tiny_v30.picture(row, HEIGHT, WIDTH) for row in range(7, 13)]
    tiny_v30.write_video(path, frames, [0, 5])  # episode 2, and a frame of the two of episode 3
    with pytest.raises(RobotroveError, match=r"has 6 frames, but episode 3 should be frames 5 to 6"):
        edit(tmp_path / "tiny", tmp_path / "refused", drop=[4])
    edit(tmp_path / "tiny", tmp_path / "out", drop=["3-4"])
    assert errors(tmp_path / "out") == []
    [made] = (tmp_path / "out").glob(f"videos/{WRIST}/*/*.mp4")
    with av.open(str(made)) as container:
        reds = [int(frame.to_ndarray(format="rgb24")[2, 20, 0]) for frame in container.decode(video=0)]
    assert np.abs(np.array(reds) - np.arange(12) * 10).max() <= 6  # `picture` has 10 times its number


def test_an_edit_needs_one_dataset_and_a_change(dataset: Path) -> None:
    with pytest.raises((ConfigError, UsageError), match="changes one dataset, and `datasets` has 2"):
        Aggregator(datasets=[str(dataset)] * 2, edit=DatasetEdit(drop=[1]))
    with pytest.raises((ConfigError, UsageError), match="changes nothing"):
        Aggregator(datasets=[str(dataset)], edit=DatasetEdit(drop=[]))
    with pytest.raises((ConfigError, UsageError), match="edit: keep: is empty"):
        DatasetEdit(keep=[], robot_type="arm")


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_to_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"drop": [1], "tasks": {"all": "one"}, "rename_features": {FRONT: "head", TOP: "picture"}}
    edit(dataset, tmp_path / "whole", **changes)
    expected = tree(tmp_path / "whole")
    stages = changes_by_stage(lambda: edit(dataset, tmp_path / "counted", **changes))
    assert tree(tmp_path / "counted") == expected
    for stage, total in stages.items():
        for moment in {1, total // 2 + 1, total}:
            out = tmp_path / f"{stage}-{moment}"
            assert killed_in(stage, moment, lambda out=out: edit(dataset, out, **changes)) == -signal.SIGKILL
            edit(dataset, out, **changes)
            assert tree(out) == expected, (stage, moment)
