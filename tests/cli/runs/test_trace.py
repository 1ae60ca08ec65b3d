from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.hdf5_file import open_hdf5, source_digests


def test_trace_leads_to_the_recording(robotrove: Callable, converted: Path) -> None:
    found = robotrove("trace", converted / "dataset", 1, "--json").json
    with open_hdf5(converted / "isaaclab.hdf5", locking=False) as file:
        assert found["source_digest"] == source_digests(file["data/demo_1"])[0]
    assert (found["source_name"], found["source_key"]) == ("isaaclab.hdf5", "data/demo_1")
    assert (found["source_path"], found["source_is_there"]) == (str(converted / "isaaclab.hdf5"), True)
    assert (found["first_row"], found["last_row"], found["source_length"]) == (0, 7, 8)
    assert found["success"] is True
    text = robotrove("trace", converted / "dataset", 1)
    assert text.code == 0
    assert "rows:        0..7, 8 of 8" in text.out
    fps = json.loads((converted / "dataset/meta/info.json").read_text())["fps"]
    (key,) = found["videos"]
    entry = pq.read_table(converted / "dataset/meta/episodes").slice(1, 1).to_pylist()[0]
    window = found["videos"][key]
    assert window["path"] == f"videos/{key}/chunk-000/file-000.mp4"
    assert window["start"] == pytest.approx(entry[f"videos/{key}/from_timestamp"]) == pytest.approx(8 / fps)
    assert window["end"] == pytest.approx(entry[f"videos/{key}/to_timestamp"]) == pytest.approx(16 / fps)
    assert f"video:       {key}: {window['path']}, {8 / fps:.3f} to {16 / fps:.3f} s" in text.out


def test_trace_without_the_run_directory(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted / "dataset", tmp_path / "moved")
    assert robotrove("trace", tmp_path / "moved", 0, "--json").json["source_path"] is None
    assert f"no readable run directory {tmp_path}/moved.run" in robotrove("trace", tmp_path / "moved", 0).out


@pytest.mark.parametrize(
    ("dataset", "episode", "message"),
    [("dataset", 2, "has no episode 2"), ("dataset.run", 0, "is not a dataset"), ("missing", 0, "is not a dataset")],
)
def test_trace_of_what_is_not_there(
    robotrove: Callable, converted: Path, dataset: str, episode: int, message: str
) -> None:
    found = robotrove("trace", converted / dataset, episode)
    assert (found.code, found.out) == (2, "")
    assert message in found.err


def test_trace_of_a_foreign_dataset(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted / "dataset", tmp_path / "foreign")
    shutil.rmtree(tmp_path / "foreign/meta/robotrove")
    found = robotrove("trace", tmp_path / "foreign", 0)
    assert found.code == 2
    assert "does not say where its episodes come from" in found.err


def test_trace_needs_no_video_library() -> None:
    code = "import sys, robotrove.cli.runs.trace, robotrove.pipelines.run.trace; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
