"""episode_selector and task_relabel in a run: planned as they run, counted, and a list in a file is part of the run."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from robotrove.core.errors import RunChanged
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.datasets.on_disk import OnDisk
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_here,
    sample,
    write_pipeline,
)


def test_selected_and_relabelled(tmp_path: Path) -> None:
    files = [sample(tmp_path, "a.hdf5", 3, 5), sample(tmp_path, "b.hdf5", 3, 6)]
    (tmp_path / "bad.yaml").write_text('["b.hdf5:demo_1"]')
    steps = [
        {"episode_selector": {"keep": ["0-1"], "drop": str(tmp_path / "bad.yaml")}},
        {
            "task_relabel": {
                "rules": [{"where": [{"field": "file", "op": "like", "value": "*/b.hdf5"}], "task": "in b"}]
            }
        },
        {"success_filter": {"policy": "label", "missing": "success"}},
    ]
    pipeline = write_pipeline(tmp_path, files, steps=steps)
    report = run_here(pipeline, tmp_path / "out")
    assert (report.listed, report.kept, report.rejected) == (6, 3, {"not_selected": 3})
    with h5py.File(files[0]) as file:
        assert list(file["data"]) == ["demo_0", "demo_1", "demo_2"]
    origins = OnDisk(tmp_path / "out").origins
    assert [(origin["source_name"], origin["source_key"]) for origin in origins] == [
        ("a.hdf5", "data/demo_0"),
        ("a.hdf5", "data/demo_1"),
        ("b.hdf5", "data/demo_0"),
    ]
    tasks = [row["tasks"] for row in OnDisk(tmp_path / "out").meta]
    assert tasks[2] == ["in b"]
    assert tasks[0] == tasks[1] != tasks[2]
    lines = [json.loads(line) for line in (tmp_path / "out.run/rejected.jsonl").read_text().splitlines()]
    assert {line["detail"] for line in lines} == {"drop has an entry for it", "none of 1 entries of keep names it"}

    assert not [note for note in report.notes if "fit no episode" in note]

    (tmp_path / "bad.yaml").write_text("[]")
    with pytest.raises(RunChanged):
        run_here(pipeline, tmp_path / "out")


def test_entries_without_an_episode_are_noted(tmp_path: Path) -> None:
    files = [sample(tmp_path, "a.hdf5", 3, 5), sample(tmp_path, "b.hdf5", 3, 6)]
    many = [f"c.hdf5:demo_{number}" for number in range(12)]
    steps = [
        {"success_filter": {"policy": "label", "missing": "success"}},
        {"episode_selector": {"keep": [0, "2-9", 3, "7-8", "demo_1", "demo_01", "b.hdf5"], "drop": ["a.hdf5:demo_0"]}},
        {"episode_selector": {"drop": many}},
        {"task_relabel": {"tasks": {"pikc": "pick it up", "pick": "take it"}}},
    ]
    pipeline = write_pipeline(tmp_path, files, source={"task": "pick"}, steps=steps)
    told = [
        "episode_selector: entries of keep fit no episode: 3, 7-8, demo_01",
        f"episode_selector: entries of drop fit no episode: {', '.join(many[:10])}, …",
        "task_relabel: no episode has the task 'pikc'",
    ]
    report = run_here(pipeline, tmp_path / "out")
    assert [note for note in report.notes if note.startswith(("episode_selector", "task_relabel"))] == told
    assert report.kept == 5
    planned = make_plan(load_pipeline(pipeline))
    assert [note for note in planned.notes if note.startswith(("episode_selector", "task_relabel"))] == told
