from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample

from ...support.datasets import tiny_v21
from ...support.pipelines.shipped_runs import run_shipped


@pytest.fixture
def damaged(converted: Path, tmp_path: Path) -> Path:
    """The dataset with one number of episode 1 changed: row 3, joint 2 of the action."""
    shutil.copytree(converted / "dataset", tmp_path / "dataset")
    path = tmp_path / "dataset/data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    values = np.array(table["action"].to_pylist(), np.float32)
    values[8 + 3, 2] = 0.5
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 7)
    index = table.schema.get_field_index("action")
    pq.write_table(table.set_column(index, table.schema.field(index), column), path)
    return tmp_path / "dataset"


def test_a_dataset_that_is_right(robotrove: Callable, converted: Path) -> None:
    found = robotrove("verify", converted / "dataset", "--source", converted / "dataset.run")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == [
        f"{converted}/dataset: 2 episodes, 16 frames, 1 task, 1 camera",
        "source: 2 episodes and 10 video frames compared",
        "second opinion: 2 episodes, 6 datasets read by pyfive, 0 by h5py",
        "no errors",
    ]


def test_a_wrong_number_is_found_and_named(robotrove: Callable, converted: Path, damaged: Path) -> None:
    found = robotrove("verify", damaged, "--source", converted / "dataset.run", "--json")
    assert found.code == 1
    assert found.json["ok"] is False
    (problem,) = found.json["source"]["problems"]
    assert (problem["episode"], problem["source"]) == (1, "isaaclab.hdf5:data/demo_1")
    assert (problem["feature"], problem["row"]) == ("action", 3)
    assert problem["message"].startswith("actions_2 is 0.5 in the dataset, 0.")
    text = robotrove("verify", damaged, "--source", converted / "dataset.run")
    assert text.code == 1
    assert "  episode 1 (isaaclab.hdf5:data/demo_1), action, row 3: actions_2 is 0.5 in the dataset" in text.out


def test_replay_takes_vectors_back(robotrove: Callable, converted: Path, damaged: Path) -> None:
    right = robotrove("verify", converted / "dataset", "--source", converted / "dataset.run", "--replay")
    assert (right.code, right.err) == (0, "")
    assert right.out.splitlines()[3:] == [
        "replay: 2 episodes and 16 rows compared with the recordings",
        "  action: 7 entries exactly",
        "  observation.state: 7 entries exactly",
        "no errors",
    ]
    found = robotrove("verify", damaged, "--source", converted / "dataset.run", "--replay", "--json")
    assert (found.code, found.json["ok"], found.json["source"]["n_problems"]) == (1, False, 1)
    replay = found.json["replay"]
    assert (replay["episodes"], replay["rows"], replay["n_problems"]) == (2, 16, 1)
    assert replay["columns"]["action"] == {
        "exact": [f"actions_{n}" for n in range(7)],
        "rounded": [],
        "not_compared": [],
        "largest_difference": 0.0,
    }
    assert replay["added"] == []
    (problem,) = replay["problems"]
    assert (problem["episode"], problem["feature"], problem["row"]) == (1, "action", 3)
    assert problem["message"].startswith("actions_2 is 0.5 in the dataset, 0.")
    assert problem["message"].endswith(" in the recording")
    alone = robotrove("verify", damaged, "--replay")
    assert (alone.code, alone.out) == (2, "")
    assert "--source RUN_DIR" in alone.err
    assert robotrove("verify", damaged, "--json").json["replay"] is None


def test_replay_gives_a_figure_for_each_column(robotrove: Callable, tmp_path: Path) -> None:
    """Of a LeKiwi, the six joints of the arm are motor units, and the speeds of the base stay as they are."""
    files = write_sample("leisaac_lekiwi", tmp_path, frames=12, cameras=())
    step = "column_adder: {columns: {next.reward: {value: 0.0, last: 1.0}}}"
    run_shipped("leisaac_lekiwi", files, tmp_path / "dataset", f"steps[2]={{{step}}}")
    given = ("verify", tmp_path / "dataset", "--source", tmp_path / "dataset.run", "--replay")
    figure = re.compile(r"  (\S+): 3 entries exactly, 6 entries to within rounding \(largest difference (.+)\)")
    lines = robotrove(*given).out.splitlines()
    first = lines.index("replay: 2 episodes and 24 rows compared with the recordings")
    found = dict(figure.fullmatch(line).groups() for line in lines[first + 1 : first + 3])
    assert lines[first + 3 :] == ["  not compared, not in the recordings: next.reward", "no errors"]
    replay = robotrove(*given, "--json").json["replay"]
    assert replay["added"] == ["next.reward"]
    exact = {key: f"{column['largest_difference']:.1e}" for key, column in replay["columns"].items()}
    assert found == exact
    assert all(1e-8 < float(value) < 2.5e-6 for value in exact.values())


def test_structure_is_checked_without_sources(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    shutil.copytree(converted / "dataset", tmp_path / "dataset")
    next((tmp_path / "dataset/videos").rglob("*.mp4")).unlink()
    found = robotrove("verify", tmp_path / "dataset", "--json")
    assert found.code == 1
    assert found.json["source"] is None
    assert found.json["counts"]["errors"] == len(found.json["findings"]) > 0
    assert robotrove("verify", tmp_path / "dataset").out.splitlines()[-1] == "1 error"


def test_both_versions_and_no_other(robotrove: Callable, tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "dataset")
    found = robotrove("verify", tmp_path / "dataset", "--deep")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == [
        f"{tmp_path}/dataset: 5 episodes, 20 frames, 2 tasks, 3 cameras",
        "no errors",
    ]
    info = tmp_path / "dataset/meta/info.json"
    info.write_text(info.read_text().replace('"v2.1"', '"v2.0"'))
    found = robotrove("verify", tmp_path / "dataset")
    assert (found.code, found.out) == (2, "")
    assert "codebase_version is 'v2.0'" in found.err
    assert "expected: v2.1 or v3.0" in found.err


def test_warnings_are_told_and_are_no_failure(robotrove: Callable, tmp_path: Path) -> None:
    tiny_v21.build(tmp_path / "dataset")
    info = tmp_path / "dataset/meta/info.json"
    info.write_text(info.read_text().replace('"total_chunks": 2', '"total_chunks": 0'))
    found = robotrove("verify", tmp_path / "dataset")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[1:] == [
        "counts:",
        "  warning: meta/info.json: total_chunks is 0 instead of 2, for 5 episodes",
        "no errors, 1 warning",
    ]


@pytest.mark.parametrize(
    ("dataset", "run_dir", "message"),
    [
        ("dataset.run", None, "is not a dataset"),
        ("nothing", None, "is not a dataset"),
        ("dataset", "dataset", "is not a run directory"),
    ],
)
def test_what_cannot_be_verified(
    robotrove: Callable, converted: Path, dataset: str, run_dir: str | None, message: str
) -> None:
    source = () if run_dir is None else ("--source", converted / run_dir)
    found = robotrove("verify", converted / dataset, *source, "--json")
    assert (found.code, found.out) == (2, "")
    assert message in found.err


def test_run_prints_the_right_exit_code_and_one_document(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    again = robotrove("run", converted / "pipeline.yaml", "--json")
    assert (again.code, again.json["was_finished"], again.json["kept"]) == (0, True, 2)
    status = robotrove("status", converted / "dataset.run", "--json", "--watch")
    assert (status.code, status.json["state"]) == (0, "finished")
    (tmp_path / "bad.hdf5").write_bytes(b"")
    files = f'source.files=["{converted}/isaaclab.hdf5", "{tmp_path}/bad.hdf5"]'
    bad = robotrove("run", converted / "pipeline.yaml", files, "--output", tmp_path / "out", "--workers", 1, "--json")
    assert (bad.code, bad.json["errors"], bad.json["kept"]) == (1, 1, 2)


def test_lerobot_has_to_be_installed(robotrove: Callable, converted: Path, tmp_path: Path) -> None:
    if find_spec("lerobot"):
        pytest.skip("LeRobot is installed here: tests/judges see to it")
    found = robotrove("verify", converted / "dataset", "--with-lerobot")
    assert found.code == 2
    assert "No module named 'lerobot'" in found.err
    assert "pip install 'robotrove[lerobot]'" in found.err
    tiny_v21.build(tmp_path / "old")
    assert "robotrove convert" in robotrove("verify", tmp_path / "old", "--with-lerobot").err


def test_for_whom_it_is(robotrove: Callable, converted: Path) -> None:
    dataset = converted / "dataset"
    found = robotrove("verify", dataset, "--for", "lerobot", "--for", "gr00t-n1.5", "--for", "lerobot")
    assert (found.code, found.err) == (1, "")
    command = f"robotrove convert {dataset} --to v2.1 -o {dataset}_v21 --gr00t ROBOT"
    assert found.out.splitlines()[1:] == [
        "gr00t-n1.5, version:",
        f"  meta/info.json: codebase_version is v3.0, but GR00T N1.5 reads v2.1: `{command}`",
        "lerobot: no errors or warnings",
        "1 error",
    ]
    assert robotrove("verify", dataset, "--for", "lerobot").code == 0


def test_for_whom_it_is_in_json(robotrove: Callable, converted: Path) -> None:
    found = robotrove("verify", converted / "dataset", "--for", "openpi", "--for", "lerobot", "--json")
    assert (found.code, found.json["ok"], found.json["for"]) == (1, False, ["openpi", "lerobot"])
    [finding] = found.json["findings"]
    assert (finding["consumer"], finding["check"], finding["severity"]) == ("openpi", "version", "error")
    assert robotrove("verify", converted / "dataset", "--json").json["for"] == []


def test_for_whom_nobody_has_heard_of(robotrove: Callable, converted: Path) -> None:
    found = robotrove("verify", converted / "dataset", "--for", "gr00t")
    assert (found.code, found.out) == (2, "")
    assert "gr00t-n1.5" in found.err
