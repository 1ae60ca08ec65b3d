"""Runs with a block that fails: the episode that it worked on is rejected with file and line, the rest is kept."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.core.errors import RunChanged
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_cli,
    run_here,
    sample,
    write_pipeline,
)

BLOCK = """\
import numpy as np
from robotrove.blocks.episode_step import EpisodeMap


def broken(batch):
    return batch / np.zeros(2)  # line 6


class Broken(EpisodeMap):
    name = "broken"

    def __init__(self, *, how: str):
        super().__init__()
        self.how = how

    def apply(self, ep):
        if not ep.origin.key.endswith("1"):
            return ep
        if self.how == "apply":
            return ep.columns["nothing"]  # line 20
        if self.how == "memory":
            raise MemoryError("no room")
        return ep.map_column("action", broken)
"""


@pytest.mark.parametrize(
    ("how", "reason", "detail"),
    [
        ("apply", "step_failed", "block broken: KeyError: 'nothing', at {file}:20"),
        ("lazily", "step_failed", "column action of episode a.hdf5:data/demo_1: ValueError: operands could not be"),
        ("memory", "too_large", "block broken needs more memory than there is: no room"),
    ],
)
def test_one_episode_of_three_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str, detail: str
) -> None:
    name = f"block_{how}"
    (tmp_path / f"{name}.py").write_text(BLOCK)
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = [{"use": f"{name}:Broken", "how": how}]
    report = run_here(write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 6)], steps=steps), tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {reason: 1})
    [line] = [json.loads(text) for text in (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines()]
    assert (line["key"], line["reason"], line["error"]) == ("data/demo_1", reason, True)
    assert line["detail"].startswith(detail.format(file=tmp_path / f"{name}.py"))
    if how == "lazily":
        assert line["detail"].endswith(f", at {tmp_path / name}.py:6")


def test_a_stock_filter_of_datatrove_fails_at_one_episode(tmp_path: Path) -> None:
    recording = sample(tmp_path, "a.hdf5", 3, 6)
    with h5py.File(recording, "a") as file:
        for path in ("actions", *(f"obs/{name}" for name in file["data/demo_1/obs"])):
            rows = file[f"data/demo_1/{path}"][:5]
            del file[f"data/demo_1/{path}"]
            file[f"data/demo_1/{path}"] = rows
        file["data/demo_1"].attrs["num_samples"] = 5
    steps = [{"use": "robotrove.tests.support.blocks.sample_blocks:StockFilterThatFails"}]
    report = run_here(write_pipeline(tmp_path, [recording], steps=steps), tmp_path / "out")
    assert (report.kept, report.rejected, report.exit_code) == (2, {"step_failed": 1}, 1)
    [line] = [json.loads(text) for text in (tmp_path / "out.run" / "rejected.jsonl").read_text().splitlines()]
    assert (line["key"], line["error"]) == ("data/demo_1", True)
    assert line["detail"].startswith("block stock_that_fails: ZeroDivisionError: division by zero, at ")


def test_an_episode_that_declares_a_terabyte_costs_only_itself(tmp_path: Path) -> None:
    """What no column reads rejects nothing, whatever it declares."""
    recording = sample(tmp_path, "a.hdf5", 3, 6)
    with h5py.File(recording, "a") as file:
        del file["data/demo_1/actions"]
        file.create_dataset("data/demo_1/actions", (6, 2**30), "f4", chunks=(1, 2**10))
        file.create_dataset("data/demo_2/note", (2**40, 2), "f4", chunks=(1, 2))
    report = run_here(write_pipeline(tmp_path, [recording]), tmp_path / "out")
    assert (report.kept, report.rejected, report.exit_code) == (2, {"too_large": 1}, 1)


FAILING = """\
from robotrove.blocks.episode_step import EpisodeMap


class Half(EpisodeMap):
    name = "half"
    reads_data = True

    def apply(self, ep):
        if ep.origin.key.endswith("1"):
            {line}
        return ep.map_column("action", lambda batch: batch / {divisor})
"""


@pytest.mark.parametrize(
    ("line", "stops"), [("raise ValueError('odd')", False), ("raise OSError(5, 'no such camera')", True)]
)
def test_changed_code_is_accepted_and_written_down(tmp_path: Path, line: str, *, stops: bool) -> None:
    """Episodes of before stay as they are; those that the block failed at are made by the code of now."""
    block, out = tmp_path / "halves.py", tmp_path / "out"
    block.write_text(FAILING.format(line=line, divisor=2))
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 6)], steps=[{"use": "halves:Half"}])
    failed = run_cli(pipeline, out, "--workers", "1")
    assert failed.returncode == 1
    assert ("no such camera" in failed.stderr) is stops, failed.stderr
    assert ("step_failed" in failed.stdout) is not stops
    before = json.loads((tmp_path / "out.run" / "run.json").read_text())
    assert before["accepted_code"] == []

    block.write_text(FAILING.format(line="pass", divisor=4))
    refused = run_cli(pipeline, out)
    assert refused.returncode == 2
    assert "the source code of an outside block, or a file that an argument names, was changed; --accept-code " in (
        refused.stderr
    )
    another = run_cli(pipeline, out, "--accept-code", "writer.video.crf=31")
    assert another.returncode == 2
    assert "writer.video.crf: 31 was 30" in another.stderr
    assert json.loads((tmp_path / "out.run" / "run.json").read_text()) == before

    more = [] if stops else ["--retry-rejected"]
    done = run_cli(pipeline, out, "--accept-code", "--workers", "2", *more)
    assert done.returncode == 0, done.stderr
    now = json.loads((tmp_path / "out.run" / "run.json").read_text())
    assert now["accepted_code"] == [before["spec_digest"]]
    assert now["spec_digest"] != before["spec_digest"]
    assert {key: now[key] for key in now if key not in ("accepted_code", "spec_digest")} == {
        key: before[key] for key in before if key not in ("accepted_code", "spec_digest")
    }
    told = json.loads((out / "meta/robotrove/run.json").read_text())
    assert told["accepted_code"] == [before["spec_digest"], now["spec_digest"]]
    assert told["run_digest"] == before["digest"]
    origins = pq.read_table(out / "meta/robotrove/episodes.parquet").to_pydict()
    made_now = [False, True, stops]  # as below, by what the actions were divided by
    assert origins["code_digest"] == [now["spec_digest"] if is_new else None for is_new in made_now]
    rows = pq.read_table(out / "data/chunk-000/file-000.parquet", columns=["episode_index", "action"]).to_pydict()
    with h5py.File(tmp_path / "a.hdf5") as file:
        for episode, divisor in enumerate((2, 4, 4 if stops else 2)):
            made = [row for number, row in zip(*rows.values(), strict=True) if number == episode]
            recorded = file[f"data/demo_{episode}/actions"][:]
            np.testing.assert_array_equal(np.array(made, np.float32), (recorded / divisor).astype(np.float32))
    assert "already finished" in run_cli(pipeline, out).stdout
    assert run_robotrove("verify", out).returncode == 0


def test_files_that_arguments_name_are_no_code(tmp_path: Path) -> None:
    """A changed robot file would mix units: without a block from outside nothing is offered or accepted."""
    robot = tmp_path / "arm.yaml"
    names = [f"joint_{number}" for number in range(7)]
    joints = [{"name": name, "unit": "rad", "range_deg": [-90, 90], "motor_range": [-100, 100]} for name in names]
    robot.write_text(yaml.safe_dump({"name": "arm", "robot_type": "arm", "joints": joints}))
    steps = [{"use": "unit_converter", "robot": str(robot), "columns": ["action"]}]
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 1, 6)], steps=steps)
    run_here(pipeline, tmp_path / "out")
    robot.write_text(robot.read_text().replace("90", "45"))
    with pytest.raises(RunChanged) as caught:
        run_here(pipeline, tmp_path / "out", accept_code=True)
    assert "was changed\n" in str(caught.value)
    assert "accept" not in str(caught.value)
