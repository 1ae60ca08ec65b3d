"""episode_selector and task_relabel in a run: planned as they run, counted, and a list in a file is part of the run."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from robotrove.core.errors import RunChanged
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

    (tmp_path / "bad.yaml").write_text("[]")
    with pytest.raises(RunChanged):
        run_here(pipeline, tmp_path / "out")
