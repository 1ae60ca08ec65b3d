"""Columns that point into a list lead to the same texts in every new dataset; flags keep their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import ConfigError, RobotroveError, UsageError
from robotrove.core.workspace import Workspace
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.plan.input_datasets import read_inputs
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.datasets.numbered import aggregate, convert
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
)
from robotrove.tests.support.pipelines.shipped_runs import column, rows
from robotrove.verification.dataset.runner import verify

T, FPS = 6, 10
TASK, FLAG, GOAL = "annotation.human.action.task_description", "annotation.human.validity", "goal"
MODALITY = {
    "state": {"arm": {"start": 0, "end": 2}},
    "action": {"arm": {"start": 0, "end": 2}},
    "video": {},
    "annotation": {"human.action.task_description": {}, "human.validity": {}, "human.goal": {"original_key": GOAL}},
}


def numbers_of(value: Any) -> np.ndarray:
    """One number in all rows, or a number of each row."""
    return np.full(T, value) if np.ndim(value) == 0 else np.array(value)


def write_v21(
    root: Path,
    tasks: Mapping[int, str],
    episodes: Sequence[Mapping[str, Any]],
    *,
    dtypes: Mapping[str, str] = {},
    modality: Any = MODALITY,
    lists: Sequence[str] = (),
) -> Path:
    """Write a dataset as GR00T's tools do: by hand, integer columns by name to a number or one of each row.

    Args:
        root: Its folder.
        tasks: Number to text.
        episodes: Columns of each episode.
        dtypes: Dtype of columns that are not int64.
        modality: Content of modality.json; None for no such file.
        lists: Columns that are stored as lists of one number.
    """
    for folder in ("meta", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    lines, stats, start = [], [], 0
    for episode, given in enumerate(episodes):
        ints = {key: numbers_of(value).astype(dtypes.get(key, "int64")) for key, value in given.items()}
        floats = (np.arange(2 * T, dtype=np.float32) + 10 * start).reshape(T, 2)
        placed = {
            "frame_index": np.arange(T),
            "episode_index": np.full(T, episode),
            "index": np.arange(start, start + T),
        }
        columns: dict[str, Any] = {
            "observation.state": pa.array(floats.tolist(), pa.list_(pa.float32())),
            "action": pa.array(floats.tolist(), pa.list_(pa.float32())),
            **{key: pa.array(values) for key, values in ints.items() if key != "task_index"},
            "timestamp": pa.array((np.arange(T) / FPS).astype(np.float32)),
            **{key: pa.array(values) for key, values in (placed | {"task_index": ints["task_index"]}).items()},
        }
        columns |= {key: pa.array([[number] for number in ints[key].tolist()]) for key in lists}
        pq.write_table(pa.table(columns), root / f"data/chunk-000/episode_{episode:06d}.parquet")
        used = [ints["task_index"], *(ints[key] for key in (TASK, FLAG) if key in ints)]
        texts = [tasks[n] for n in dict.fromkeys(np.concatenate(used).tolist()) if n in tasks]
        lines.append({"episode_index": episode, "tasks": texts, "length": T})
        arrays = {"observation.state": floats, "action": floats, **ints, **placed}
        stats.append({"episode_index": episode, "stats": {key: _statistics(v) for key, v in arrays.items()}})
        start += T
    vector = {"dtype": "float32", "shape": [2], "names": None}
    features = {"observation.state": vector, "action": vector, "timestamp": _single("float32")}
    features |= {key: _single(dtypes.get(key, "int64")) for key in (ints | placed)}
    info = {"codebase_version": "v2.1", "robot_type": "arm", "fps": FPS, "chunks_size": 1000, "video_path": None}
    info |= {"total_episodes": len(episodes), "total_frames": start, "total_tasks": len(tasks), "features": features}
    info |= {"total_videos": 0, "total_chunks": 1, "splits": {"train": f"0:{len(episodes)}"}}
    info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    for name, content in {"info": info, **({"modality": modality} if modality else {})}.items():
        (root / f"meta/{name}.json").write_text(json.dumps(content))
    write_lines(root / "meta/episodes.jsonl", lines)
    write_lines(root / "meta/episodes_stats.jsonl", stats)
    write_lines(root / "meta/tasks.jsonl", [{"task_index": n, "task": text} for n, text in tasks.items()])
    return root


def write_lines(path: Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _single(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [1], "names": None}


def _statistics(values: np.ndarray) -> dict[str, Any]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    found = {name: getattr(np, name)(flat, axis=0).tolist() for name in ("min", "max", "mean", "std")}
    return {**found, "count": [len(values)]}


def texts(dataset: Path, key: str) -> list[str]:
    """The text of each row in our reading."""
    opened = open_dataset(dataset)
    return [opened.tasks[number] for batch in opened.rows([key]) for number in batch[key].ravel().tolist()]


def gr00t_texts(dataset: Path, key: str) -> list[str]:
    """The text of each row as GR00T N1.6 reads a key of modality.json: through tasks.jsonl by its task_index."""
    entry = json.loads((dataset / "meta/modality.json").read_text())["annotation"][key]
    name = entry.get("original_key", f"annotation.{key}")
    lines = [json.loads(line) for line in (dataset / "meta/tasks.jsonl").read_text().splitlines()]
    by_number = {line["task_index"]: line["task"] for line in lines}
    return [by_number[number] for number in column(rows(dataset), name).tolist()]


def repeated(*values: Any) -> list[Any]:
    return np.repeat(values, T).tolist()


def assert_sound(dataset: Path) -> None:
    assert [str(finding) for finding in verify(dataset).findings if finding.severity == "error"] == []


def assert_leads_to(dataset: Path, expected: Mapping[str, list[str]]) -> None:
    """Each column leads to these texts in our reading and, after conversion to v2.1, in that of GR00T."""
    for key, found in expected.items():
        assert texts(dataset, key) == found, key
    assert_sound(dataset)
    if (dataset / "meta/tasks.jsonl").exists() and (dataset / "meta/modality.json").exists():
        keys = {TASK: "human.action.task_description", GOAL: "human.goal"}
        for key, name in keys.items():
            if key in expected:
                assert gr00t_texts(dataset, name) == expected[key], name


def both_ways(tmp_path: Path, inputs: Sequence[Path], expected: Mapping[str, list[str]], name: str = "merged") -> Path:
    """Merge datasets, some with episodes of others, and convert to v2.1 and back; all lead to the same texts."""
    aggregate(inputs, tmp_path / name, on_duplicate="keep")
    convert(tmp_path / name, "v2.1", tmp_path / f"{name}21")
    convert(tmp_path / f"{name}21", "v3.0", tmp_path / f"{name}30")
    for suffix in ("", "21", "30"):
        assert_leads_to(tmp_path / f"{name}{suffix}", expected)
    return tmp_path / name


class TestTasks:
    @pytest.mark.parametrize("is_reversed", [False, True])
    def test_equal_numbers_of_other_texts(self, tmp_path: Path, is_reversed: bool) -> None:
        """Flags without a task "valid", and a column that only modality.json names."""
        own = {"task_index": 0, TASK: 0, GOAL: 1, FLAG: 1}
        write_v21(tmp_path / "open", {0: "open", 1: "wait"}, [own, own | {FLAG: 0}])
        write_v21(tmp_path / "close", {0: "close", 1: "rest"}, [own])
        order = ["close", "open"] if is_reversed else ["open", "close"]
        said, goals = (["close", "open", "open"], ["rest", "wait", "wait"])
        flags = [1, 1, 0]
        if not is_reversed:
            said, goals, flags = ["open", "open", "close"], ["wait", "wait", "rest"], [1, 0, 1]
        expected = {"task_index": repeated(*said), TASK: repeated(*said), GOAL: repeated(*goals)}
        merged = both_ways(tmp_path, [tmp_path / name for name in order], expected)
        for suffix in ("", "21", "30"):
            assert column(rows(tmp_path / f"merged{suffix}"), FLAG).tolist() == repeated(*flags)
        assert open_dataset(merged).tasks == [text for name in order for text in _tasks(tmp_path / name)]

    def test_numbers_that_change_within_an_episode(self, tmp_path: Path) -> None:
        """Of another integer type, and in lists of one number; the statistics are those of the new numbers."""
        steps = [0, 0, 2, 2, 1, 1]
        key = "annotation.human.coarse_action"
        one = {"task_index": 0, key: steps}
        write_v21(tmp_path / "a", {0: "x", 1: "y", 2: "z"}, [one], dtypes={key: "int32"}, modality=None, lists=[key])
        two = {"task_index": 1, key: steps[::-1]}
        write_v21(tmp_path / "b", {0: "z", 1: "w", 2: "x"}, [two], dtypes={key: "int32"}, modality=None)
        expected = {key: [*("x", "x", "z", "z", "y", "y"), *("w", "w", "x", "x", "z", "z")]}
        merged = both_ways(tmp_path, [tmp_path / "a", tmp_path / "b"], expected)
        assert column(rows(merged), key).dtype == np.int32
        [path] = merged.glob("meta/episodes/*/*.parquet")
        meta = pq.read_table(path)
        numbers = column(rows(merged), key).astype(np.float64).reshape(2, T)
        assert meta[f"stats/{key}/max"].to_pylist() == numbers.max(axis=1, keepdims=True).tolist()
        np.testing.assert_allclose(meta[f"stats/{key}/mean"].to_pylist(), numbers.mean(axis=1, keepdims=True))
        assert json.loads((merged / "meta/stats.json").read_text())[key]["max"] == [numbers.max()]

    def test_gaps_in_the_numbers(self, tmp_path: Path) -> None:
        """As in Arena's files; the numbers between them stand for nothing."""
        write_v21(tmp_path / "a", {2: "lift", 7: "wait"}, [{"task_index": 2, TASK: 7, GOAL: 2, FLAG: 1}])
        write_v21(tmp_path / "b", {0: "wait", 1: "lift"}, [{"task_index": 1, TASK: 1, GOAL: 0, FLAG: 1}])
        expected = {
            TASK: repeated("wait", "lift"),
            GOAL: repeated("lift", "wait"),
            "task_index": repeated(*2 * ["lift"]),
        }
        both_ways(tmp_path, [tmp_path / "a", tmp_path / "b"], expected)
        convert(tmp_path / "a", "v3.0", tmp_path / "alone")
        assert_leads_to(tmp_path / "alone", {TASK: repeated("wait"), GOAL: repeated("lift")})

    @pytest.mark.parametrize("is_reversed", [False, True])
    def test_a_flag_that_points_to_the_task_valid(self, tmp_path: Path, is_reversed: bool) -> None:
        """As in NVIDIA's demonstrations: tasks that only the flag points to are kept, and verify knows them."""
        write_v21(tmp_path / "push", {0: "push", 1: "valid"}, [{"task_index": 0, TASK: 0, GOAL: 0, FLAG: 1}])
        write_v21(tmp_path / "pull", {0: "valid", 3: "pull"}, [{"task_index": 3, TASK: 3, GOAL: 3, FLAG: 0}])
        assert_sound(tmp_path / "push")
        order = ["pull", "push"] if is_reversed else ["push", "pull"]
        expected = {"task_index": repeated(*order), TASK: repeated(*order), FLAG: repeated("valid", "valid")}
        both_ways(tmp_path, [tmp_path / name for name in order], expected)
        assert open_dataset(tmp_path / "merged").tasks == (
            ["valid", "pull", "push"] if is_reversed else ["push", "valid", "pull"]
        )

    def test_tasks_that_nothing_points_to_are_still_errors(self, tmp_path: Path) -> None:
        write_v21(tmp_path / "push", {0: "push", 1: "valid"}, [{"task_index": 0, TASK: 0, FLAG: 1}])
        line = {"episode_index": 0, "tasks": ["push", "valid", "pull"], "length": T}
        write_lines(tmp_path / "push/meta/episodes.jsonl", [line])
        write_lines(
            tmp_path / "push/meta/tasks.jsonl", [{"task_index": n, "task": t} for n, t in enumerate(line["tasks"])]
        )
        info = json.loads((tmp_path / "push/meta/info.json").read_text())
        (tmp_path / "push/meta/info.json").write_text(json.dumps(info | {"total_tasks": 3}))
        [error] = [finding for finding in verify(tmp_path / "push").findings if finding.check == "rows"]
        assert error.message == "its tasks are ['pull', 'push', 'valid'], but its rows have ['push']"

    def test_the_flag_of_earlier_versions(self, tmp_path: Path) -> None:
        """The constant 1 is a flag although a task is called "valid", unless it is the number of that."""
        key = "annotation.human.action.valid"
        write_v21(tmp_path / "a", {0: "valid", 1: "push"}, [{"task_index": 1, key: 1}], modality=None)
        write_v21(tmp_path / "b", {0: "valid", 1: "pull"}, [{"task_index": 1, key: 1}], modality=None)
        report = aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        assert column(rows(tmp_path / "out"), key).tolist() == repeated(1, 1)
        [note] = [note for note in report.notes if key in note]
        assert note == f"{key} is copied unchanged: it is the flag that robotrove wrote until 0.2.1"
        write_v21(tmp_path / "c", {0: "push", 1: "valid"}, [{"task_index": 0, key: 1}], modality=None)
        write_v21(tmp_path / "d", {0: "pull", 1: "valid"}, [{"task_index": 0, key: 1}], modality=None)
        aggregate([tmp_path / "d", tmp_path / "c", tmp_path / "d"], tmp_path / "texts", on_duplicate="keep")
        assert texts(tmp_path / "texts", key) == repeated(*3 * ["valid"])


def _tasks(dataset: Path) -> list[str]:
    return [json.loads(line)["task"] for line in (dataset / "meta/tasks.jsonl").read_text().splitlines()]


class TestDoubt:
    def doubtful(self, tmp_path: Path) -> list[Path]:
        """A column whose numbers are tasks in one dataset, and 5 in another."""
        key = "annotation.human.grade"
        write_v21(tmp_path / "a", {0: "push", 1: "pull"}, [{"task_index": 0, key: 1}], modality=None)
        write_v21(tmp_path / "b", {0: "lift", 1: "pull"}, [{"task_index": 0, key: [0, 1, 5, 5, 1, 0]}], modality=None)
        return [tmp_path / "a", tmp_path / "b"]

    def test_it_is_refused_while_planning(self, tmp_path: Path) -> None:
        inputs = self.doubtful(tmp_path)
        with pytest.raises(UsageError) as found:
            aggregate(inputs, tmp_path / "out")
        for word in (
            *("annotation.human.grade", str(inputs[0]), str(inputs[1]), "5 is not in its tasks (0, 1)"),
            *("--annotation annotation.human.grade=values", "annotations: {annotation.human.grade: values}"),
        ):
            assert word in str(found.value)
        assert f"\n    annotation.human.grade of {inputs[1]}: " in str(found.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
        with pytest.raises(UsageError, match="5 is not in its tasks"):
            read_inputs([str(path) for path in inputs], {})
        with pytest.raises(UsageError, match="5 is not in its tasks"):  # what is said does not change the numbers
            aggregate(inputs, tmp_path / "out", annotations={"annotation.human.grade": "tasks"})
        assert "=tasks" not in str(found.value), "no decision gives 5 a task"

    def test_a_decision_holds_for_what_is_made_of_the_dataset(self, tmp_path: Path) -> None:
        key = "annotation.human.grade"
        inputs = self.doubtful(tmp_path)
        report = aggregate(inputs, tmp_path / "out", annotations={key: "values"})
        grades = [*repeated(1), *(0, 1, 5, 5, 1, 0)]
        assert column(rows(tmp_path / "out"), key).tolist() == grades
        assert [note for note in report.notes if key in note] == []
        convert(tmp_path / "out", "v2.1", tmp_path / "old")
        convert(tmp_path / "old", "v3.0", tmp_path / "new")
        aggregate([tmp_path / "new", tmp_path / "out"], tmp_path / "twice", on_duplicate="keep")
        assert column(rows(tmp_path / "twice"), key).tolist() == grades * 2
        with pytest.raises(UsageError, match=r"annotation\.human\.grade"):  # that of b was decided for b alone
            aggregate([tmp_path / "a", tmp_path / "twice"], tmp_path / "mixed")

    def test_values_that_are_numbers_of_tasks_stay_if_so_decided(self, tmp_path: Path) -> None:
        key = "annotation.human.grade"
        for name, task in (("a", "push"), ("b", "pull")):
            write_v21(
                tmp_path / name, {0: task, 1: "rest"}, [{"task_index": 0, key: [0, 1, 0, 1, 0, 1]}], modality=None
            )
        inputs = [tmp_path / "a", tmp_path / "b"]
        aggregate(inputs, tmp_path / "values", annotations={key: "values"})
        assert column(rows(tmp_path / "values"), key).tolist() == [0, 1, 0, 1, 0, 1] * 2
        aggregate(inputs, tmp_path / "tasks")
        assert texts(tmp_path / "tasks", key) == ["push", "rest"] * 3 + ["pull", "rest"] * 3
        for version, source in (("v2.1", tmp_path / "values"), ("v3.0", tmp_path / "a")):
            convert(source, version, tmp_path / version, annotations={key: "values"})
            assert column(rows(tmp_path / version), key).tolist()[:T] == [0, 1, 0, 1, 0, 1]

    def test_datasets_that_differ_in_the_meaning(self, tmp_path: Path) -> None:
        write_v21(tmp_path / "a", {0: "push", 1: "valid"}, [{"task_index": 0, FLAG: 1}], modality=None)
        write_v21(tmp_path / "b", {0: "pull"}, [{"task_index": 0, FLAG: 1}], modality=None)
        with pytest.raises(UsageError, match='it is a flag, and no task is called "valid"'):
            aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        write_v21(tmp_path / "c", {0: "wait", 1: "pull"}, [{"task_index": 1, FLAG: 1}], modality=None)
        with pytest.raises(UsageError, match=rf"; --annotation {FLAG}=tasks renumbers them"):
            aggregate([tmp_path / "a", tmp_path / "c"], tmp_path / "out")
        aggregate([tmp_path / "a", tmp_path / "c"], tmp_path / "tasks", annotations={FLAG: "tasks"})
        assert texts(tmp_path / "tasks", FLAG) == repeated("valid", "pull")
        aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out", annotations={FLAG: "values"})
        assert column(rows(tmp_path / "out"), FLAG).tolist() == repeated(1, 1)

    def test_numbers_with_a_point_are_named(self, tmp_path: Path) -> None:
        """GR00T finds the task of 1.0, too."""
        for name, task in (("a", "push"), ("b", "pull")):
            own = {"task_index": 0, TASK: [0, 1, 0, 1, 0, 1], FLAG: 1}
            write_v21(tmp_path / name, {0: task, 1: "rest"}, [own], dtypes={TASK: "float32"}, modality=None)
        report = aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        assert column(rows(tmp_path / "out"), TASK).tolist() == [0.0, 1.0] * T
        assert f"{TASK} is copied unchanged: it holds float32, and only integers are numbers of tasks" in report.notes

    def test_modality_of_one_dataset_is_enough(self, tmp_path: Path) -> None:
        """It is not in the output, where it differs; what was decided is, for whatever follows."""
        write_v21(tmp_path / "a", {0: "push", 1: "rest"}, [{"task_index": 0, GOAL: 1}])
        write_v21(tmp_path / "b", {0: "pull", 1: "wait"}, [{"task_index": 0, GOAL: 1}], modality=None)
        both = both_ways(tmp_path, [tmp_path / "a", tmp_path / "b"], {GOAL: repeated("rest", "wait")})
        assert not (both / "meta/modality.json").exists()
        both_ways(tmp_path, [tmp_path / "b", both], {GOAL: repeated("wait", "rest", "wait")}, "again")

    @pytest.mark.parametrize("name", ["annotation.human.validty", "observation.state", "task_index"])
    def test_a_column_that_is_none_of_integers(self, tmp_path: Path, name: str) -> None:
        write_v21(tmp_path / "a", {0: "push"}, [{"task_index": 0, FLAG: 1}])
        with pytest.raises(UsageError, match=f"annotations: {name}: is not a column of integers.*\n.*: {FLAG}"):
            aggregate([tmp_path / "a"], tmp_path / "out", annotations={name: "values"})
        write_v21(tmp_path / "b", {0: "push"}, [{"task_index": 0}], modality=None)
        with pytest.raises(UsageError, match="columns of integers: none"):
            aggregate([tmp_path / "b"], tmp_path / "out", annotations={name: "values"})


def record(path: Path, task: str, episodes: int) -> Path:
    with h5py.File(path, "w") as file:
        for episode in range(episodes):
            group = file.create_group(f"data/demo_{episode}")
            group.attrs["prompt"] = task
            values = np.arange(2 * T, dtype=np.float32).reshape(T, 2) + 100 * episode + len(task)
            group["q"], group["a"] = values, values + 0.5
            group["grade"] = np.full(T, 1 + episode)
    return path


def run(folder: Path, files: Sequence[Path], name: str, steps: Sequence[Any], **more: Any) -> RunReport:
    """Convert recordings to v2.1."""
    columns = more.pop("columns", {})
    source = {"files": [str(file) for file in files], "layout": "generic", "fps": FPS}
    source["options"] = {"episodes": "/data/demo_*", "task_from": "attr:prompt"}
    source["columns"] = {"observation.state": {"from": "q"}, "action": {"from": "a"}, **columns}
    content = {"source": source, "steps": list(steps), "writer": {"robot_type": "arm"}, "formats": ["v2.1"], **more}
    (folder / f"{name}.yaml").write_text(json.dumps(content))
    return execute(
        load_pipeline(folder / f"{name}.yaml"), Workspace.for_output(folder / name), Here(), watcher=Silent()
    )


STEPS = [{"annotator": {"columns": [TASK]}}, {"annotator": {"columns": {FLAG: "valid", "annotation.source": "sim"}}}]


class TestAnnotator:
    def test_each_column_has_a_task_of_its_own(self, tmp_path: Path) -> None:
        for name in ("push", "pull"):
            run(tmp_path, [record(tmp_path / f"{name}.h5", name, 2)], name, STEPS)
            assert _tasks(tmp_path / name) == [name, "valid", "sim"]
            lines = [json.loads(line) for line in (tmp_path / name / "meta/episodes.jsonl").read_text().splitlines()]
            assert [line["tasks"] for line in lines] == [[name, "valid", "sim"]] * 2
        said = {"task_index": ["pull"] * 2 + ["push"] * 2, FLAG: ["valid"] * 4, "annotation.source": ["sim"] * 4}
        expected = {key: repeated(*found) for key, found in (said | {TASK: said["task_index"]}).items()}
        merged = both_ways(tmp_path, [tmp_path / "pull", tmp_path / "push"], expected)
        stats = json.loads((merged / "meta/stats.json").read_text())
        assert (stats[FLAG]["min"], stats[FLAG]["max"], stats[TASK]["max"]) == ([1], [1], [3])

    def test_the_source_is_compared_by_text(self, tmp_path: Path) -> None:
        from robotrove.pipelines.run.reopen import finished_run
        from robotrove.verification.source.source_check import check_source

        run(tmp_path, [record(tmp_path / "a.h5", "push", 1), record(tmp_path / "b.h5", "pull", 2)], "out", STEPS)
        finished = finished_run(Workspace.for_output(tmp_path / "out").run_dir)
        assert check_source(tmp_path / "out", finished).ok
        path = tmp_path / "out/data/chunk-000/episode_000001.parquet"
        table = pq.read_table(path)
        at = table.column_names.index(FLAG)
        pq.write_table(table.set_column(at, table.schema.field(at), [np.full(T, 3)]), path)
        [problem] = check_source(tmp_path / "out", finished).problems
        assert (problem.feature, problem.row) == (FLAG, 0)
        assert "3 in the dataset, 1" in problem.message

    def test_a_text_that_is_the_instruction_too(self, tmp_path: Path) -> None:
        run(tmp_path, [record(tmp_path / "a.h5", "valid", 2)], "out", STEPS)
        assert_leads_to(tmp_path / "out", {"task_index": repeated("valid", "valid"), FLAG: repeated("valid", "valid")})
        assert _tasks(tmp_path / "out") == ["valid", "sim"]


class TestAppend:
    @pytest.mark.parametrize("valid", [0, 1])
    def test_to_a_dataset_without_our_mark(self, tmp_path: Path, valid: int) -> None:
        """Its own files stay as they are; new episodes get the numbers of its tasks."""
        tasks = {0: "push", 1: "valid"} if valid else {0: "valid", 1: "push"}
        named = {"annotation": {"human.action.task_description": {}, "human.validity": {}}}
        own = {"task_index": 1 - valid, TASK: 1 - valid, FLAG: valid}
        base = write_v21(tmp_path / "base", tasks, [own], modality=MODALITY | named)
        steps = [{"annotator": {"columns": [TASK]}}, {"annotator": {"columns": {FLAG: "valid"}}}]
        copied_columns(base)
        files = [record(tmp_path / "a.h5", "pull", 1), record(tmp_path / "b.h5", "push", 1)]
        run(tmp_path, files, "longer", steps, append_to=str(base))
        said = ["push", "pull", "push"]
        assert_leads_to(tmp_path / "longer", {TASK: repeated(*said), FLAG: repeated("valid", "valid", "valid")})
        assert texts(tmp_path / "longer", "task_index") == repeated(*said)
        features = json.loads((tmp_path / "longer/meta/info.json").read_text())["features"]
        assert features[TASK]["names"] is None, "as the dataset says it"
        both_ways(
            tmp_path, [tmp_path / "longer", base], {TASK: repeated(*said, "push"), FLAG: repeated(*4 * ["valid"])}
        )
        from robotrove.pipelines.run.reopen import finished_run
        from robotrove.verification.source.source_check import check_source

        assert check_source(tmp_path / "longer", finished_run(Workspace.for_output(tmp_path / "longer").run_dir)).ok

    def test_to_gaps_in_the_numbers(self, tmp_path: Path) -> None:
        """Its files would have to change, so that it is refused; a copy takes the new episodes."""
        named = {"annotation": {"human.action.task_description": {}}}
        own = {"task_index": 2, TASK: 7}
        base = write_v21(tmp_path / "base", {2: "lift", 7: "wait"}, [own], modality=MODALITY | named)
        copied_columns(base)
        file, steps = record(tmp_path / "a.h5", "wait", 1), [{"annotator": {"columns": [TASK]}}]
        with pytest.raises(RobotroveError, match="its tasks are not numbered 0, 1, 2"):
            run(tmp_path, [file], "longer", steps, append_to=str(base))
        assert not (tmp_path / "longer").exists()
        convert(base, "v2.1", tmp_path / "copy")
        run(tmp_path, [file], "longest", steps, append_to=str(tmp_path / "copy"))
        assert_leads_to(tmp_path / "longest", {TASK: repeated("wait", "wait")})
        assert texts(tmp_path / "longest", "task_index") == repeated("lift", "wait")

    def test_a_flag_stays_a_flag(self, tmp_path: Path) -> None:
        base = write_v21(tmp_path / "base", {0: "push", 1: "lift"}, [{"task_index": 1, FLAG: 1}])
        copied_columns(base)
        steps = [{"column_adder": {"columns": {FLAG: {"value": 0, "dtype": "int64"}}}}]
        run(tmp_path, [record(tmp_path / "a.h5", "pull", 1)], "longer", steps, append_to=str(base))
        flags = [v for batch in open_dataset(tmp_path / "longer").rows([FLAG]) for v in batch[FLAG].ravel().tolist()]
        assert flags == repeated(1, 0)
        assert texts(tmp_path / "longer", "task_index") == repeated("lift", "pull")

    def test_values_do_not_join_numbers_of_tasks(self, tmp_path: Path) -> None:
        base = write_v21(tmp_path / "base", {0: "push", 1: "rest"}, [{"task_index": 0, "annotation.grade": 1}])
        copied_columns(base)
        file = record(tmp_path / "a.h5", "pull", 1)
        columns = {"annotation.grade": {"from": "grade", "dtype": "keep"}}
        with pytest.raises(UsageError, match=r"annotation.grade holds numbers of values instead of numbers of tasks"):
            run(tmp_path, [file], "longer", [], append_to=str(base), columns=columns)
        downgrader = [{"downgrader": {"annotations": {"annotation.grade": "values"}}}]
        run(tmp_path, [file], "longer", [], append_to=str(base), columns=columns, dataset=downgrader)
        assert column(rows(tmp_path / "longer"), "annotation.grade").tolist() == repeated(1, 1)
        annotated = [{"annotator": {"columns": ["annotation.grade"]}}]
        with pytest.raises(UsageError, match=r"annotation.grade holds numbers of tasks instead of numbers of values"):
            run(tmp_path, [file], "again", annotated, append_to=str(base), dataset=downgrader)

    def test_values_of_recordings_stay_values(self, tmp_path: Path) -> None:
        """What a recording has under such a name is no number of a task, in whatever it is merged with."""
        columns = {"annotation.grade": {"from": "grade", "dtype": "keep"}}
        for name in ("push", "pull"):
            run(tmp_path, [record(tmp_path / f"{name}.h5", name, 2)], name, [], columns=columns)
        aggregate([tmp_path / "pull", tmp_path / "push"], tmp_path / "out")
        assert column(rows(tmp_path / "out"), "annotation.grade").tolist() == repeated(1, 2, 1, 2)
        run(
            tmp_path,
            [record(tmp_path / "lift.h5", "lift", 1)],
            "longer",
            [],
            columns=columns,
            append_to=str(tmp_path / "push"),
        )
        assert column(rows(tmp_path / "longer"), "annotation.grade").tolist() == repeated(1, 2, 1)


def copied_columns(base: Path) -> None:
    """Store vectors as lists of a fixed length, as new files have them, and the columns in their order."""
    for path in base.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        for key in ("observation.state", "action"):
            at = table.column_names.index(key)
            table = table.set_column(at, key, table[key].cast(pa.list_(pa.float32(), 2)))
        pq.write_table(table, path)


class TestSubtasks:
    def dataset(self, root: Path, subtasks: Sequence[str], numbers: Sequence[int], task: str = "push") -> Path:
        made = write_v21(
            root.with_name(f"{root.name}21"), {0: task}, [{"task_index": 0, "subtask_index": numbers}], modality=None
        )
        convert(made, "v3.0", root)
        self.write(root, subtasks)
        return root

    def write(self, root: Path, subtasks: Sequence[str]) -> None:
        """As LeRobot 0.4.4 reads it: the text is the index of pandas, and rows are looked up by their place."""
        table = pa.table({"subtask_index": pa.array(range(len(subtasks)), pa.int64()), "subtask": list(subtasks)})
        described = {"index_columns": ["subtask"], "columns": [], "column_indexes": []}
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), root / "meta/subtasks.parquet")

    def texts(self, root: Path) -> list[str]:
        names = pq.read_table(root / "meta/subtasks.parquet")["subtask"].to_pylist()
        return [names[number] for number in column(rows(root), "subtask_index").tolist()]

    def test_lists_are_united_and_numbers_renewed(self, tmp_path: Path) -> None:
        a = self.dataset(tmp_path / "a", ["reach", "grasp", "lift"], [0, 0, 1, 1, 2, 2])
        b = self.dataset(tmp_path / "b", ["grasp", "place"], [0, 0, 0, 1, 1, 1], "pull")
        said = {"a": [*2 * ["reach"], *2 * ["grasp"], *2 * ["lift"]], "b": [*3 * ["grasp"], *3 * ["place"]]}
        for order in ("ab", "ba"):
            report = aggregate([tmp_path / name for name in order], tmp_path / order)
            assert self.texts(tmp_path / order) == [text for name in order for text in said[name]]
            assert [note for note in report.notes if "subtasks" in note] == []
            convert(tmp_path / order, "v2.1", tmp_path / f"{order}21")
            assert_sound(tmp_path / f"{order}21")
            assert not list((tmp_path / f"{order}21").glob("meta/**/*.parquet")), "LeRobot 0.3.3 counts these"
            assert open_dataset(tmp_path / f"{order}21").subtasks == open_dataset(tmp_path / order).subtasks
            convert(tmp_path / f"{order}21", "v3.0", tmp_path / f"{order}30")
            assert not (tmp_path / f"{order}30/meta/subtasks.jsonl").exists()
            assert self.texts(tmp_path / f"{order}30") == self.texts(tmp_path / order)
        assert pq.read_table(tmp_path / "ab/meta/subtasks.parquet")["subtask"].to_pylist() == [
            "reach",
            "grasp",
            "lift",
            "place",
        ]
        [path] = (tmp_path / "ba").glob("meta/episodes/*/*.parquet")
        assert pq.read_table(path)["stats/subtask_index/max"].to_pylist() == [[1.0], [3.0]]
        assert (open_dataset(a).subtasks, open_dataset(b).subtasks) == (["reach", "grasp", "lift"], ["grasp", "place"])

    def test_numbers_without_a_list_do_not_join_those_with_one(self, tmp_path: Path) -> None:
        a = self.dataset(tmp_path / "a", ["reach", "grasp"], [0, 0, 1, 1, 1, 1])
        b = self.dataset(tmp_path / "b", ["reach"], [0] * T)
        (b / "meta/subtasks.parquet").unlink()
        with pytest.raises(UsageError, match=r"subtask_index of .*b: it has no meta/subtasks.parquet"):
            aggregate([a, b], tmp_path / "out")
        aggregate([a, b], tmp_path / "out", annotations={"subtask_index": "values"})
        assert column(rows(tmp_path / "out"), "subtask_index").tolist() == [0, 0, 1, 1, 1, 1] + [0] * T

    @pytest.mark.parametrize(
        "lines",
        [
            [{"subtask_index": 0, "subtask": "reach"}, {"subtask_index": 2, "subtask": "grasp"}],
            [{"subtask_index": 0, "subtask": "reach"}, {"subtask_index": 0, "subtask": "grasp"}],
            [{"subtask_index": 0, "subtask": "reach"}, {"subtask": "grasp"}],
            [{"subtask_index": 0, "subtask": ["reach"]}],
        ],
    )
    def test_a_list_that_leads_nowhere(self, tmp_path: Path, lines: list[Any]) -> None:
        self.dataset(tmp_path / "a", ["reach"], [0] * T)
        write_lines(tmp_path / "a21/meta/subtasks.jsonl", lines)
        with pytest.raises(RobotroveError, match=r"a21/meta/subtasks\.jsonl: its subtask_index are not the numbers"):
            aggregate([tmp_path / "a21"], tmp_path / "out")

    def test_a_number_that_the_list_lacks(self, tmp_path: Path) -> None:
        a = self.dataset(tmp_path / "a", ["reach", "grasp"], [0, 0, 1, 1, 2, 2])
        with pytest.raises(UsageError, match=r"subtask_index of .*a: 2 is not in its subtasks \(0, 1\)"):
            aggregate([a], tmp_path / "out")


def test_pipeline_files_take_the_decision(tmp_path: Path) -> None:
    key = "annotation.human.grade"
    write_v21(tmp_path / "a", {0: "push"}, [{"task_index": 0, key: 5}], modality=None)
    content = {"dataset": [{"downgrader": {"datasets": [str(tmp_path / "a")], "annotations": {key: "values"}}}]}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(content))
    execute(load_pipeline(tmp_path / "pipeline.yaml"), Workspace.for_output(tmp_path / "out"), Here(), watcher=Silent())
    assert column(rows(tmp_path / "out"), key).tolist() == repeated(5)


@pytest.mark.parametrize("block", ["aggregator", "downgrader"])
def test_a_decision_about_nothing(tmp_path: Path, block: str) -> None:
    """Recordings have no numbers of tasks: what is decided about them would change nothing."""
    dataset = [{block: {"annotations": {"annotation.human.grade": "values"}}}, *["dataset_stats"] * (block[0] == "a")]
    formats = ["v3.0" if block == "aggregator" else "v2.1"]
    file = record(tmp_path / "a.h5", "push", 1)
    with pytest.raises(ConfigError) as found:
        run(tmp_path, [file], "out", [], dataset=dataset, formats=formats)
    said = f"dataset[0].annotations ({block}): decides about columns of datasets, and recordings have none: remove it, "
    assert f"{said}or give `append_to` or `datasets`" in str(found.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "out.yaml"]


class TestFolder:
    """annotations/: rows name files in it."""

    def dataset(self, root: Path, files: Mapping[str, str]) -> Path:
        write_v21(root, {0: root.name}, [{"task_index": 0}], modality=None)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return root

    def files(self, root: Path) -> dict[str, str]:
        paths = sorted(path for path in (root / "annotations").rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_text() for path in paths}

    def test_files_of_all_inputs_are_in_the_output(self, tmp_path: Path) -> None:
        a = self.dataset(tmp_path / "a", {"annotations/boxes/0.json": "a", "annotations/classes.txt": "same"})
        b = self.dataset(tmp_path / "b", {"annotations/boxes/1.json": "b", "annotations/classes.txt": "same"})
        expected = {"annotations/boxes/0.json": "a", "annotations/boxes/1.json": "b", "annotations/classes.txt": "same"}
        report = aggregate([a, b], tmp_path / "out")
        assert (self.files(tmp_path / "out"), report.notes) == (expected, [])
        convert(tmp_path / "out", "v2.1", tmp_path / "old")
        assert self.files(tmp_path / "old") == expected

    def test_names_that_clash_are_left_behind(self, tmp_path: Path) -> None:
        a = self.dataset(tmp_path / "a", {"annotations/0.json": "a", "annotations/1.json": "x"})
        b = self.dataset(tmp_path / "b", {"annotations/0.json": "b", "annotations/.hidden": "x"})
        report = aggregate([a, b], tmp_path / "out")
        assert self.files(tmp_path / "out") == {"annotations/1.json": "x"}
        assert report.notes == [f"annotations/0.json differs between the datasets: not copied from {a}, {b}"]
