"""Rows that a block takes: right in the dataset, in its provenance, and in every check that follows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.column_adder import ColumnAdder, Constant
from robotrove.blocks.steps.frame_trimmer import FrameTrimmer
from robotrove.blocks.steps.length_filter import LengthFilter
from robotrove.blocks.steps.success_filter import SuccessFilter
from robotrove.core.errors import Damaged, RobotroveError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.formats.hdf5.samples.sample_spec import action
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.datasets.provenance import origins
from robotrove.media.image.images import ImageDecoder
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.replay.action_export import export_actions
from robotrove.pipelines.replay.replay_check import check_replay
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.blocks.outside import Assigning, EveryNth, Mirrored, Relabelling
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.places import ROOT
from robotrove.verification.source.source_check import check_source

FRAMES = 13
LABEL = "next.success"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"

# Steps around `success_filter: {policy: label}`, and the rows of the recording that are left.
CASES: dict[str, tuple[list[Any], list[int]]] = {
    "before": ([EveryNth(n=2), "label"], [0, 2, 4, 6, 8, 10, 12]),
    "after": (["label", EveryNth(n=2)], [0, 2, 4, 6, 8, 10, 12]),
    "last row dropped": (["label", FrameTrimmer(tail=1), EveryNth(n=2)], [0, 2, 4, 6, 8, 10]),
    "trimmed before": ([FrameTrimmer(head=2, tail=1), "label", EveryNth(n=2)], [2, 4, 6, 8, 10]),
    "trimmed after": (["label", EveryNth(n=2), FrameTrimmer(head=1, tail=2)], [2, 4, 6, 8]),
    "thirds between": ([EveryNth(n=3), FrameTrimmer(head=1), "label", FrameTrimmer(tail=1)], [3, 6, 9]),
    "repeated and backwards": (["label", Mirrored(), FrameTrimmer(tail=1)], [0, 0, 0, *range(12, 0, -1)]),
    "only trimmed": (["label", FrameTrimmer(head=3, tail=2)], [3, 4, 5, 6, 7, 8, 9, 10]),
}


def convert(folder: Path, steps: list[Any], formats: tuple[str, ...] = ("v3.0",)) -> Path:
    """Convert a recording of two successes; front is a video, wrist are pictures."""
    recording = folder / "recording"
    recording.mkdir()
    write_sample("leisaac", recording, episodes=2, frames=FRAMES, height=48, width=64, cameras=("front", "wrist"))
    columns = {
        "action": "actions",
        "observation.state": "obs/joint_pos",
        FRONT: "obs/front",
        WRIST: {"from": "obs/wrist", "kind": "image"},
    }
    label = SuccessFilter(policy="label", missing="success")
    done = ColumnAdder(columns={"next.done": Constant(value=False, last=True, dtype="bool")})
    chosen = [step for given in steps for step in ([label, done] if given == "label" else [given])]
    source = Hdf5Reader(files=[str(recording)], layout="leisaac", columns=columns)
    Pipeline(source=source, steps=chosen, formats=formats).run(output=folder / "dataset", workers=1)
    return folder / "dataset"


def decoded(video: Path) -> list[np.ndarray]:
    with av.open(video) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def rows_of(dataset: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(dataset.glob("data/*/*.parquet"))])


@pytest.mark.parametrize("case", CASES)
def test_values_labels_frames_and_provenance_follow_the_rows(tmp_path: Path, case: str) -> None:
    steps, rows = CASES[case]
    dataset = convert(tmp_path, steps)
    table = rows_of(dataset)
    last = [False] * (len(rows) - 1) + [True]
    assert table[LABEL].to_pylist() == [*last, *[False] * len(rows)], "the second episode is no success"
    assert table["next.done"].to_pylist() == last * 2
    wrist = [ImageDecoder().decode(picture["bytes"]) for picture in table[WRIST].to_pylist()]
    assert [read_marker(frame) for frame in wrist] == [(row, 1) for row in rows] * 2
    [video] = dataset.glob(f"videos/{FRONT}/*/*.mp4")
    assert [read_marker(frame) for frame in decoded(video)] == [(row, 0) for row in rows] * 2
    view = open_dataset(dataset)
    for number, origin in enumerate(origins(view)):
        here = slice(number * len(rows), (number + 1) * len(rows))
        np.testing.assert_array_equal(np.array(table["action"].to_pylist()[here]), action(number, FRAMES, 6)[rows])
        assert origin.row_map.rows.tolist() == rows
        assert (origin.first_row, origin.last_row, origin.source_length) == (min(rows), max(rows), FRAMES)
    run = finished_run(tmp_path / "dataset.run")
    report = check_source(dataset, run, deep=True)
    assert (report.problems, report.episodes, report.frames) == ((), 2, 2 * len(rows))
    replayed = check_replay(dataset, run)
    assert (replayed.problems, replayed.rows) == ((), 2 * len(rows))


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinned")
    convert(folder, ["label", FrameTrimmer(head=2), EveryNth(n=3)], formats=("v3.0", "v2.1"))
    return folder


def origin_rows(dataset: Path) -> list[list[int]]:
    view = open_dataset(dataset)
    return [origin.row_map.rows.tolist() for origin in origins(view)]


def test_both_versions_merging_and_converting_keep_the_rows(thinned: Path, tmp_path: Path) -> None:
    ours = [[2, 5, 8, 11]] * 2
    v30, v21 = thinned / "dataset/v3.0", thinned / "dataset/v2.1"
    assert origin_rows(v30) == origin_rows(v21) == ours
    twice = ["aggregate", v30, v30, "--on-duplicate", "keep"]
    for arguments in (twice, ["convert", v21, "--to", "v3.0"], ["convert", v30, "--to", "v2.1"]):
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        done = run_robotrove(*arguments, "-o", output)
        assert done.returncode == 0, done.stderr
        assert origin_rows(output) == ours * (2 if arguments[0] == "aggregate" else 1), arguments


def test_trace_names_the_rows(thinned: Path) -> None:
    dataset = thinned / "dataset/v3.0"
    assert "rows:        2..11 by 3, 4 of 13\n" in run_robotrove("trace", dataset, 1).stdout
    found = json.loads(run_robotrove("trace", dataset, 1, "--json").stdout)
    assert (found["first_row"], found["last_row"], found["row_runs"]) == (2, 11, [[2, 4, 3]])


def test_verify_names_the_row_of_the_source(thinned: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(thinned / "dataset/v3.0", tmp_path / "dataset")
    [path] = dataset.glob("data/*/*.parquet")
    table = pq.read_table(path)
    labels = table[LABEL].to_pylist()
    labels[2], labels[3] = True, False
    pq.write_table(table.set_column(table.schema.get_field_index(LABEL), LABEL, pa.array(labels)), path)
    [problem] = check_source(dataset, finished_run(thinned / "dataset.run")).problems
    assert (problem.feature, problem.row) == (LABEL, 2)
    assert problem.message == "True in the dataset, False in the source (row 8 of the source) (2 rows differ)"


def test_actions_go_back_from_the_rows_taken(thinned: Path, tmp_path: Path) -> None:
    export = export_actions(thinned / "dataset/v3.0", tmp_path / "a.hdf5", run_dir=thinned / "dataset.run")
    assert (export.episodes, export.rows) == (2, 8)
    with h5py.File(tmp_path / "a.hdf5") as file:
        np.testing.assert_array_equal(file["data/demo_0/actions"], action(0, FRAMES, 6)[[2, 5, 8, 11]])


@pytest.mark.parametrize("runs", [[[2, 4]], [[2, 0, 3]], [["2", 4, 3]], [], "all"])
def test_damaged_runs_are_named(thinned: Path, tmp_path: Path, runs: Any) -> None:
    dataset = shutil.copytree(thinned / "dataset/v2.1", tmp_path / "dataset")
    path = dataset / open_dataset(dataset).provenance_path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["row_runs"] = runs
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Damaged) as caught:
        origin_rows(dataset)
    assert "line 2" in caught.value.where
    assert "row_runs has" in caught.value.found


def test_a_block_that_assigns_ends_the_run_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RobotroveError) as caught:
        convert(tmp_path, [Assigning()])
    assert "block assigning" in str(caught.value)
    assert "Episode.length is read-only; use ep = ep.take(rows)" in " ".join(str(caught.value).split())
    assert not (tmp_path / "dataset").exists()


def test_the_block_of_the_documentation(tmp_path: Path) -> None:
    page = (ROOT / "docs/blocks.md").read_text("utf-8")
    (tmp_path / "my_blocks.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    steps = page.partition("```yaml\n")[2].partition("```")[0]
    write_sample("leisaac", tmp_path, episodes=2, frames=FRAMES, height=48, width=64, cameras=())
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(f"source: {{files: [{tmp_path}/*.hdf5], layout: leisaac, fps: 30}}\n{steps}")
    done = run_robotrove("run", pipeline, "--output", tmp_path / "dataset")
    assert done.returncode == 0, done.stderr
    table = rows_of(tmp_path / "dataset")[:7]  # the first episode, which is a success
    assert table[LABEL].to_pylist() == [False] * 6 + [True]
    np.testing.assert_array_equal(np.array(table["action"].to_pylist()), action(0, FRAMES, 6)[::2])
    np.testing.assert_array_equal(table["timestamp"].to_numpy(), np.arange(7, dtype=np.float32) / np.float32(15))


def test_what_a_block_changes_in_the_run_is_not_decided_while_planning(tmp_path: Path) -> None:
    """The second episode is no success as recorded, and both are 13 rows long."""
    dataset = convert(tmp_path, [Relabelling(), SuccessFilter(), LengthFilter(max_length=7), FrameTrimmer(head=1)])
    assert origin_rows(dataset) == [[2, 4, 6, 8, 10, 12]] * 2
    report = json.loads((tmp_path / "dataset.run/report.json").read_text())
    assert (report["listed"], report["kept"]) == (2, 2)
