"""The commands around a run, for pipelines without a source and for several formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from robotrove.core.version import __version__
from robotrove.manifests.run_report import RunReport
from robotrove.tests.support.command import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def pipeline(converted: Path, tmp_path: Path) -> Path:
    twice = {"datasets": [str(converted / "dataset")] * 2, "on_duplicate": "keep"}
    blocks = [{"aggregator": twice}, "dataset_stats"]
    path = tmp_path / "merge.yaml"
    path.write_text(yaml.safe_dump({"dataset": blocks, "output": str(tmp_path / "merged")}))
    return path


def test_plan_says_what_is_taken_and_touches_nothing(robotrove: Command, converted: Path, pipeline: Path) -> None:
    before = sorted(pipeline.parent.rglob("*"))
    done = robotrove("plan", pipeline)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:4] == [
        "4 episodes of 2 datasets, all kept",
        f"  {converted / 'dataset'}: 2 episodes, 16 frames",
        f"  {converted / 'dataset'}: 2 episodes, 16 frames",
        "32 frames at 30 fps",
    ]
    assert lines[4:6] == ["  action: float32[7]", "  observation.state: float32[7]"]
    assert sorted(pipeline.parent.rglob("*")) == before


def test_plan_as_json(robotrove: Command, converted: Path, pipeline: Path) -> None:
    plan = robotrove("plan", pipeline, "--json").json
    dataset = {"path": str(converted / "dataset"), "episodes": 2, "frames": 16}
    assert plan["inputs"] == [dataset, dataset]
    assert (plan["listed"], plan["kept"], plan["frames"], plan["fps"]) == (4, 4, 32, 30)
    assert "action" in plan["features"]


def test_run_and_status(robotrove: Command, pipeline: Path, tmp_path: Path) -> None:
    output = tmp_path / "merged"
    done = robotrove("run", pipeline, "--workers", 1)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{output}: 4 episodes, 32 frames (done in ")
    assert lines[1:] == ["  all episodes of 2 datasets", f"  check: robotrove verify {output}"]

    status = robotrove("status", f"{output}.run").out.splitlines()
    facts = robotrove("status", f"{output}.run", "--json").json
    total = facts["total"]
    assert status[0] == f"finished: {total} of {total} ranks done, for 4 episodes with 32 frames"
    assert status[-3:] == ["  commit: 1 of 1 ranks", "  report: 1 of 1 ranks", f"  logs: {output}.run/logs"]
    assert (facts["state"], facts["unit"], facts["done"]) == ("finished", "ranks", total)
    assert (facts["listed"], facts["kept"], facts["frames"], facts["rejected"]) == (4, 4, 32, {})

    again = robotrove("run", pipeline, "--json").json
    assert (again["was_finished"], again["kept"], again["datasets"]) == (True, 4, [str(output)])
    assert json.loads((tmp_path / "merged.run" / "report.json").read_text())["inputs"] == again["inputs"]


def test_what_a_worker_prints_that_came_up_with_the_command_is_in_its_log(
    robotrove: Command, converted: Path, tmp_path: Path
) -> None:
    done = robotrove("aggregate", converted / "dataset", "-o", tmp_path / "out", "--workers", 1)
    assert done.code == 0, done.err
    log = (tmp_path / "out.run" / "logs" / "workers.log").read_text()
    assert log.index("aggregator.plan") < log.index("aggregator.process") < log.index("dataset_stats.process")
    assert "Traceback" not in log
    assert "Processing done" in log
    assert "Processing done" not in done.err
    assert psutil.Process().children() == []


def test_a_command_that_is_refused_leaves_no_worker_and_no_folder(robotrove: Command, tmp_path: Path) -> None:
    done = robotrove("aggregate", tmp_path / "nothing", "-o", tmp_path / "out")
    assert done.code == 2
    assert str(tmp_path / "nothing") in done.err
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == []


def test_retry_rejected_is_bad_usage(robotrove: Command, pipeline: Path) -> None:
    done = robotrove("run", pipeline, "--retry-rejected")
    assert done.code == 2
    assert "rejects none" in done.err


def test_status_of_a_conversion_counts_episodes(robotrove: Command, converted: Path) -> None:
    head = robotrove("status", converted / "dataset.run").out.splitlines()[0]
    assert head.startswith("finished: 3 of 3 episodes decided, 2 kept, 1 rejected; 16 of 16 frames, ")


def test_every_version_is_to_be_verified(robotrove: Command, converted: Path, tmp_path: Path) -> None:
    output = tmp_path / "both"
    done = robotrove("run", converted / "pipeline.yaml", "formats=[v3.0, v2.1]", "--output", output, "--workers", 1)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2:] == [
        f"  check: robotrove verify {output / 'v3.0'} --source {output}.run",
        f"  check: robotrove verify {output / 'v2.1'} --source {output}.run",
    ]
    report = RunReport.read(tmp_path / "both.run" / "report.json")
    assert (report.kept, report.datasets) == (2, [str(output / "v3.0"), str(output / "v2.1")])


def stored(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_fresh_is_not_offered_where_it_would_move_another_dataset(
    robotrove: Command, converted: Path, pipeline: Path, tmp_path: Path
) -> None:
    """Of another kind of run, or without a source in common; the same for runs of other versions."""
    merged, copy, own = tmp_path / "merged", tmp_path / "copy", converted / "dataset"
    assert robotrove("run", pipeline, "--workers", 1).code == 0
    assert robotrove("convert", own, "-o", copy, "--to", "v2.1", "--workers", 1).code == 0
    before = stored(tmp_path, converted)
    another = [
        (("convert", own, "-o", merged, "--to", "v2.1"), f"aggregator of {own}, {own}"),
        (("aggregate", copy, "-o", merged), f"aggregator of {own}, {own}"),
        (("convert", merged, "-o", own, "--to", "v2.1"), f"hdf5_reader of {converted / 'isaaclab.hdf5'}"),
        (("run", converted / "pipeline.yaml", "--output", merged), f"aggregator of {own}, {own}"),
    ]
    for command, made in another:
        told = robotrove(*command)
        assert told.code == 2
        todo = f"  to do: --output DIR for this dataset: the one here is another ({made})"
        assert told.err.splitlines()[-1] == todo
        assert "--fresh" not in told.err
    run = merged.with_name("merged.run") / "run.json"
    run.write_text(run.read_text().replace(f'"{__version__}"', '"0.2.2"'))
    told = robotrove(*another[0][0])
    assert told.code == 2
    assert "was created by robotrove 0.2.2" in told.err
    assert told.err.endswith(f"for this dataset: the one here is another ({another[0][1]})\n")
    assert "or start over with --fresh" in robotrove("run", pipeline).err
    assert stored(tmp_path, converted) == before | {str(run): run.read_bytes()}


def test_fresh_is_offered_for_the_same_sources(
    robotrove: Command, converted: Path, pipeline: Path, tmp_path: Path
) -> None:
    assert robotrove("run", pipeline, "--workers", 1).code == 0
    shorter = robotrove("aggregate", converted / "dataset", "-o", tmp_path / "merged")
    assert shorter.code == 2
    assert "or --fresh to move this one aside and start over" in shorter.err
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "isaaclab.hdf5").hardlink_to(converted / "isaaclab.hdf5")
    assert "or --fresh" in robotrove("run", converted / "pipeline.yaml", "source.fps=15").err
    moved = robotrove("run", converted / "pipeline.yaml", f"source.files=[{recordings}]")
    assert "--fresh" not in moved.err


@pytest.mark.parametrize("json_too", [False, True])
def test_fresh_says_what_it_moves(robotrove: Command, pipeline: Path, tmp_path: Path, *, json_too: bool) -> None:
    assert robotrove("run", pipeline, "--workers", 1).code == 0
    (tmp_path / "merged" / "large").write_bytes(bytes(3_000_000))
    sizes = [sum(map(len, stored(tmp_path / name).values())) for name in ("merged", "merged.run")]
    lock = tmp_path / "merged.run" / "run.lock"
    done = robotrove("run", pipeline, "--workers", 1, "--fresh", *(["--json"] if json_too else []))
    assert done.code == 0, done.err
    assert not lock.exists()
    moved = [line for line in done.err.splitlines() if line.startswith("moved aside: ")]
    assert moved[0] == f"moved aside: {tmp_path}/merged -> {tmp_path}/merged.old-1 ({sizes[0] / 1e6:.1f} MB)"
    assert moved[1].startswith(f"moved aside: {tmp_path}/merged.run -> {tmp_path}/merged.run.old-1 (")
    assert len(moved) == 2
    assert "moved aside" not in done.out
