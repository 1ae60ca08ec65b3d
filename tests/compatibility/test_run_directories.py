"""Run directories of earlier versions: `run`, workers and `--source` refuse, `status`, `cancel` and `trace` work."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.core.version import __version__
from robotrove.tests.compatibility.conftest import FIRST, VERSIONS
from robotrove.tests.support.executors.slurm_commands import put_commands

pytestmark = pytest.mark.slow


Command = Callable[..., Any]
Unpack = Callable[[str], Path]

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
BUT_THE_FIRST = pytest.mark.parametrize("version", [version for version in VERSIONS if version != FIRST])

START_OVER = "start over with --fresh, which moves this run aside, or with --output NEW"
WITHOUT_SOURCE = "rerun the pipeline into another --output DIR, or remove --source"

PLANNED = {"no_success_label": 1, "not_successful": 1}
V30_STAGES = [
    "convert",
    *(f"{block}.{phase}" for block in ("1-aggregator", "2-dataset_stats") for phase in ("plan", "process", "finish")),
    "commit",
    "report",
]


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def number(version: str) -> str:
    """Return what the run directories of an archive say of their version."""
    return version.partition("-")[0]


def refusal(run_dir: Path, version: str, instead: str) -> str:
    """Return how the run directory of another version is refused."""
    return (
        f"error: {run_dir}: was created by robotrove {version}, but this is robotrove {__version__}\n"
        f"  expected: a run of robotrove {__version__}\n"
        f"  to do: use robotrove {version}, or {instead}\n"
    )


def change_run(run_dir: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json."""
    entry = json.loads((run_dir / "run.json").read_text())
    change(entry)
    (run_dir / "run.json").write_text(json.dumps(entry))


def rename_column(run_dir: Path, old: str, new: str) -> None:
    """Change a column of the manifest."""
    table = pq.read_table(run_dir / "manifest.parquet")
    names = [new if name == old else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), run_dir / "manifest.parquet")


def change_blocks(run_dir: Path) -> None:
    """Name a block that this version does not have."""
    content = yaml.safe_load((run_dir / "pipeline.yaml").read_text())
    (run_dir / "pipeline.yaml").write_text(yaml.safe_dump(content | {"dataset": ["a_block_of_old"]}))


def change_shards(run_dir: Path) -> None:
    """Describe the episodes of shards otherwise."""
    for path in run_dir.glob("shards/*/shard.json"):
        entry = json.loads(path.read_text())
        path.write_text(json.dumps(entry | {"kept": [{"row": kept["index"]} for kept in entry["kept"]]}))


# What a version may change in its run directories, and whether `trace` still finds the recording through them.
FORMS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "a field less": (lambda run_dir: change_run(run_dir, lambda entry: entry.pop("features")), True),
    "a field more": (lambda run_dir: change_run(run_dir, lambda entry: entry.update(planner="x")), True),
    "other features": (lambda run_dir: change_run(run_dir, lambda entry: entry.update(features=["action"])), True),
    "another base": (lambda run_dir: change_run(run_dir, lambda entry: entry.update(base="/data/base")), True),
    "no digest": (lambda run_dir: change_run(run_dir, lambda entry: entry.pop("digest")), False),
    "no length": (lambda run_dir: rename_column(run_dir, "length", "frames"), False),
    "no path": (lambda run_dir: rename_column(run_dir, "path", "file"), False),
    "no table": (lambda run_dir: (run_dir / "manifest.parquet").write_bytes(b"rows"), False),
    "no manifest": (lambda run_dir: (run_dir / "manifest.parquet").unlink(), False),
    "other blocks": (change_blocks, True),
    "no pipeline": (lambda run_dir: (run_dir / "pipeline.yaml").unlink(), True),
    "other shards": (change_shards, True),
}
EVERY_FORM = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def changed(unpacked: Unpack) -> Callable[[str], Path]:
    """Unpack 0.2.1, and give v30.run and stopped.run another form."""

    def change(form: str) -> Path:
        folder = unpacked("0.2.1")
        for name in ("v30.run", "stopped.run"):
            output = str(folder / name.removesuffix(".run"))
            change_run(folder / name, lambda entry, output=output: entry.update(output=output))
            FORMS[form][0](folder / name)
        return folder

    return change


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How this version starts a worker, without the run directory: as a run of its own has noted it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pipeline.yaml").write_text("source: {files: [recordings], layout: isaaclab, task: reach}\n")
    sample = ("sample", "isaaclab", "recordings", "--episodes", "1", "--frames", "2", "--cameras", "")
    for arguments in (sample, ("run", "pipeline.yaml", "--output", "made", "--workers", "1")):
        subprocess.run([sys.executable, "-m", "robotrove.cli", *arguments], cwd=folder, check=True)
    stage = json.loads((folder / "made.run/logs/convert/executor.json").read_text())["_stage"]
    assert stage["command"][-1] == str(folder / "made.run")
    return stage["command"][:-1]


def answer(worker: list[str], run_dir: Path) -> str:
    """Have a worker run a rank; returns the error that it answers."""
    with subprocess.Popen([*worker, run_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("convert 0\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())["error"]


def assert_refused(robotrove: Command, folder: Path, version: str) -> None:
    """All that would build on v30.run or stopped.run names both versions, and leaves everything as it was."""
    for name in ("v30", "stopped"):  # what a killed command leaves, which a run of this version would clear away
        (folder / f"{name}.run" / "manifest.parquet.12.tmp").write_bytes(b"half")
        (folder / f"{name}.run" / "run.lock").write_text("of a process that ended")
    before = files(folder)
    for name, options in (("v30", ()), ("stopped", ("on_error=stop",))):
        done = robotrove("run", "pipeline.yaml", *options, "--output", name)
        assert (done.code, done.out, done.err) == (2, "", refusal(folder / f"{name}.run", version, START_OVER))
    for options in ((), ("--replay",), ("--deep",)):
        done = robotrove("verify", "v30", "--source", "v30.run", *options)
        assert (done.code, done.out, done.err) == (2, "", refusal(folder / "v30.run", version, WITHOUT_SOURCE))
    done = robotrove("export-actions", "v30", "--source", "v30.run", "--output", "actions.hdf5")
    assert (done.code, done.out, done.err) == (2, "", refusal(folder / "v30.run", version, WITHOUT_SOURCE))
    assert files(folder) == before


def assert_worker_refuses(worker: list[str], run_dir: Path, version: str) -> None:
    """A rank that is to be run by this version fails, and leaves everything as it was."""
    before = files(run_dir)
    error = answer(worker, run_dir).splitlines()
    assert error[0].endswith(f"differs from where the run was created: robotrove {__version__} was {version}")
    assert error[2] == "  to do: install them there or exclude that machine, then resume the run"
    assert files(run_dir) == before


@EVERY_VERSION
def test_what_builds_on_a_run_refuses_it(robotrove: Command, unpacked: Unpack, version: str) -> None:
    assert_refused(robotrove, unpacked(version), number(version))


@EVERY_VERSION
def test_a_worker_refuses_a_run(worker: list[str], unpacked: Unpack, version: str) -> None:
    assert_worker_refuses(worker, unpacked(version) / "stopped.run", number(version))


@EVERY_FORM
def test_another_form_is_refused_alike(robotrove: Command, changed: Unpack, form: str) -> None:
    assert_refused(robotrove, changed(form), "0.2.1")


@pytest.mark.parametrize("form", ["a field less", "no pipeline"])
def test_a_worker_refuses_another_form_alike(worker: list[str], changed: Unpack, form: str) -> None:
    assert_worker_refuses(worker, changed(form) / "stopped.run", "0.2.1")


def test_a_run_that_names_no_version_is_refused(robotrove: Command, unpacked: Unpack) -> None:
    folder = unpacked("0.2.1")
    for name in ("v30.run", "stopped.run"):
        change_run(folder / name, lambda entry: entry.pop("version"))
    assert_refused(robotrove, folder, "unknown")


@BUT_THE_FIRST
def test_a_merge_and_an_append_are_refused(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    done = robotrove("aggregate", "v30", "v21", "--output", "merged")
    assert (done.code, done.err) == (2, refusal(folder / "merged.run", version, START_OVER))
    more = ("source.files=[more]", "append_to=v30", "source.task=open the drawer")
    done = robotrove("run", "pipeline.yaml", *more, "--output", "longer")
    assert (done.code, done.err) == (2, refusal(folder / "longer.run", version, START_OVER))


@pytest.mark.parametrize("version", [FIRST, "0.2.1"])
def test_a_refused_run_is_started_over(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    before = files(folder / "stopped.run")
    done = robotrove("run", "pipeline.yaml", "--output", "stopped", "--fresh", "--workers", 1, "--json")
    assert done.code == 1  # for demo_1
    assert (done.json["kept"], done.json["rejected"]) == (3, PLANNED | {"non_finite": 1})
    assert files(folder / "stopped.run.old-1") == before
    checked = robotrove("verify", "stopped", "--source", "stopped.run", "--replay", "--json").json
    assert (checked["ok"], checked["source"]["episodes"], checked["replay"]["rows"]) == (True, 3, 21)


@EVERY_VERSION
def test_status_of_a_finished_run(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    change_run(folder / "v30.run", lambda entry: entry.update(output=str(folder / "v30")))
    before = files(folder)
    done = robotrove("status", "v30.run", "--json")
    assert done.code == 0, done.err
    status = done.json
    assert (status["state"], status["version"], status["failures"]) == ("finished", number(version), [])
    assert (status["listed"], status["kept"], status["rejected"]) == (6, 3, PLANNED | {"non_finite": 1})
    assert (status["unit"], status["done"], status["total"]) == ("episodes", 6, 6)
    assert (status["frames"], status["total_frames"]) == (21, 28)  # demo_1 was planned with 7
    wrote_report = int(version != FIRST)  # in a stage of its own
    assert [(stage["name"], stage["done"], stage["ranks"]) for stage in status["stages"]] == [
        *((name, 1, 1) for name in V30_STAGES[:-1]),
        ("report", wrote_report, 1),
    ]
    text = robotrove("status", "v30.run")
    assert text.code == 0
    assert f"  created by robotrove {number(version)}, this is robotrove {__version__}\n" in text.out
    assert files(folder) == before


@EVERY_VERSION
def test_status_of_an_interrupted_run(robotrove: Command, unpacked: Unpack, version: str) -> None:
    unpacked(version)
    done = robotrove("status", "stopped.run", "--json")
    assert done.code == 0, done.err
    status = done.json
    assert (status["state"], status["version"]) == ("stopped", number(version))
    assert (status["listed"], status["kept"], status["rejected"]) == (6, 1, PLANNED)
    assert (status["frames"], status["total_frames"], status["done"]) == (7, 28, 3)
    assert [stage["name"] for stage in status["stages"]] == V30_STAGES
    assert not any(stage["done"] for stage in status["stages"])
    if version != FIRST:  # which noted no failures
        [failure] = status["failures"]
        assert (failure["stage"], failure["rank"]) == ("convert", 0)
        assert failure["why"].startswith("non_finite: isaaclab.hdf5:data/demo_1: action has nan at row 4")


@BUT_THE_FIRST
def test_status_of_a_merge(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    change_run(folder / "merged.run", lambda entry: entry.update(output=str(folder / "merged")))
    done = robotrove("status", "merged.run", "--json")
    assert done.code == 0, done.err
    status = done.json
    assert (status["state"], status["unit"], status["listed"], status["kept"]) == ("finished", "ranks", 6, 6)
    assert (status["frames"], status["total_frames"]) == (42, 42)
    assert [stage["name"] for stage in status["stages"]] == V30_STAGES[1:]
    assert status["done"] == status["total"] > 0


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put commands of Slurm on the PATH, by which job 7 waits; returns the file into which scancel writes."""
    prints = {
        "squeue": """case "$*" in
            *%o*) echo "7|$PWD/submitted.run/jobs/7_submission.sh";;
            *) echo "7|N/A|PENDING|Priority|";;
        esac""",
        "scontrol": "echo 'ClusterName = golden'",
    }
    return put_commands(tmp_path, monkeypatch, prints)


@BUT_THE_FIRST
def test_jobs_are_seen_and_cancelled(robotrove: Command, unpacked: Unpack, cluster: Path, version: str) -> None:
    folder = unpacked(version)
    status = robotrove("status", "submitted.run", "--json").json
    assert (status["state"], status["jobs"], status["waiting_for"]) == ("pending", ["7"], {"Priority": 1})
    assert (status["listed"], status["kept"], status["rejected"]) == (6, 0, PLANNED)
    name = (folder / "submitted.run/jobs/name").read_text()
    done = robotrove("cancel", "submitted.run")
    assert (done.code, done.out) == (0, f"cancelled the jobs of {name}: 7\n")
    assert cluster.read_text() == "7\n"


@EVERY_VERSION
def test_cancel(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    before = files(folder)
    for name in ("v30.run", "stopped.run"):
        done = robotrove("cancel", name)
        assert (done.code, done.out) == (0, "nothing works on this run\n")
    assert files(folder) == before


@EVERY_VERSION
@pytest.mark.parametrize("is_open", [False, True])
def test_cancel_interrupts_only_who_has_the_lock_open(
    robotrove: Command, unpacked: Unpack, version: str, is_open: bool
) -> None:
    """Commands of these versions did not keep it open, and a lock may name any process of the user."""
    lock = unpacked(version) / "stopped.run/run.lock"
    lock.touch()
    with (
        open(lock if is_open else os.devnull) as stream,
        subprocess.Popen(
            ["sleep", "60"], stdin=stream, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        ) as process,
    ):
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        written = {"host": socket.gethostname(), "pid": process.pid, "started": started, "nonce": secrets.token_hex(8)}
        lock.write_text(json.dumps(written))  # all of these versions write this
        assert robotrove("status", "stopped.run", "--json").json["state"] == "running"
        done = robotrove("cancel", "stopped.run")
        if is_open:
            assert (done.code, done.out) == (0, f"interrupted process {process.pid}\n")
            assert process.wait() == -signal.SIGINT
        else:
            assert (done.code, done.out) == (2, "")
            assert f"if process {process.pid} is that command: kill -INT {process.pid}" in done.err
            assert process.poll() is None
            process.kill()


@EVERY_FORM
def test_another_form_is_looked_at_and_ended(robotrove: Command, changed: Unpack, form: str) -> None:
    folder = changed(form)
    for name, state, ranks in (("v30.run", "finished", (9, 9)), ("stopped.run", "stopped", (0, 1))):
        done = robotrove("status", name, "--json")
        assert done.code == 0, done.err
        status = done.json
        assert (status["state"], status["version"]) == (state, "0.2.1")
        if status["unit"] == "ranks":
            assert (status["done"], status["total"]) == ranks
        [convert] = [stage for stage in status["stages"] if stage["name"] == "convert"]
        assert (convert["done"], convert["ranks"]) == (ranks[0] // 9, 1)
        assert robotrove("status", name).code == 0
        done = robotrove("cancel", name)
        assert (done.code, done.out) == (0, "nothing works on this run\n")
    [line] = [json.loads(line) for line in (folder / "v21/meta/robotrove/episodes.jsonl").read_text().splitlines()][1:2]
    done = robotrove("trace", "v30", 1, "--json")
    assert done.code == 0, done.err
    source = "/tmp/robotrove-golden/0.2.1/recordings/isaaclab.hdf5"
    assert done.json["source_path"] == (source if FORMS[form][1] else None)
    del line["run_digest"]  # of v21.run
    assert line.items() <= done.json.items()
    assert robotrove("trace", "v30", 1).code == 0


def test_trace_beside_a_run_that_is_damaged(robotrove: Command, unpacked: Unpack) -> None:
    folder = unpacked("0.2.1")
    (folder / "v30.run/run.json").write_text("{")
    done = robotrove("trace", "v30", 2)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[:3] == ["episode 2", "  source:      isaaclab.hdf5", "  key:         data/demo_3"]
    assert lines[3] == ("  path:        unknown: no readable run directory v30.run names the file")
    assert lines[4:6] == ["  rows:        1..7, 7 of 8", "  success:     yes"]


@BUT_THE_FIRST
def test_trace_leads_from_what_was_appended_to_its_base(robotrove: Command, unpacked: Unpack, version: str) -> None:
    folder = unpacked(version)
    change_run(folder / "longer.run", lambda entry: entry["base"].update(path=str(folder / "v30")))
    found = [robotrove("trace", "longer", episode, "--json").json for episode in (1, 4)]
    golden = f"/tmp/robotrove-golden/{version}"
    assert [(one["source_key"], one["source_path"]) for one in found] == [
        ("data/demo_2", f"{golden}/recordings/isaaclab.hdf5"),
        ("data/demo_1", f"{golden}/more/isaaclab.hdf5"),
    ]


@BUT_THE_FIRST
def test_a_submitted_run_is_refused_without_asking_a_cluster(
    robotrove: Command, unpacked: Unpack, version: str
) -> None:
    folder = unpacked(version)
    done = robotrove("run", "pipeline.yaml", "--output", "submitted")
    assert (done.code, done.err) == (2, refusal(folder / "submitted.run", number(version), START_OVER))


def test_a_base_that_an_append_moved_away_is_named(robotrove: Command, unpacked: Unpack) -> None:
    folder = unpacked("0.2.1")
    run_id = json.loads((folder / "longer.run" / "run.json").read_text())["digest"][:12]
    change_run(folder / "longer.run", lambda entry: entry.update(output=str(folder / "longer")))
    (folder / "longer").rename(folder / f"longer.before-{run_id}")
    done = robotrove("run", "pipeline.yaml", "source.files=[more]", "--output", "longer")
    moved = f"mv {folder}/longer.before-{run_id} {folder}/longer, then {START_OVER}"
    assert (done.code, done.err) == (2, refusal(folder / "longer.run", "0.2.1", moved))


def test_status_counts_episodes_where_a_block_cannot_be_imported_any_more(robotrove: Command, unpacked: Unpack) -> None:
    folder = unpacked("0.2.1")
    whole = robotrove("status", "v30.run", "--json").json
    content = yaml.safe_load((folder / "v30.run/pipeline.yaml").read_text())
    steps = [*content["steps"], {"use": "lab.blocks:Slow"}]
    (folder / "v30.run/pipeline.yaml").write_text(yaml.safe_dump(content | {"steps": steps}))
    found = robotrove("status", "v30.run", "--json").json
    assert (found["listed"], found["kept"], found["rejected"]) == (whole["listed"], whole["kept"], whole["rejected"])
    assert found["kept"] == 3
