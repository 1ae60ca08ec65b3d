"""What the tests of whole runs share: small pipelines, runs in this process and outside, and how to compare them."""

from __future__ import annotations

import filecmp
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.core.workspace import Workspace
from robotrove.executors.executor import Executor
from robotrove.executors.rank_runner import RankRunner
from robotrove.executors.stage import Stage
from robotrove.formats.hdf5.samples import write_sample
from robotrove.manifests.events import Event, EventReader
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.run.runner import execute
from robotrove.pipelines.run.status import Silent, Watcher
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline

# Fast to encode, and the bytes depend on nothing but the frames.
WRITER = {"video": {"codec": "libx264", "preset": "ultrafast"}}


def write_pipeline(folder: Path, files: Sequence[Path | str], layout: str = "isaaclab", **more: Any) -> Path:
    """Write a pipeline file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pipeline.yaml"
    source = {"files": [str(file) for file in files], "layout": layout, **more.pop("source", {})}
    path.write_text(yaml.safe_dump({"source": source, "writer": WRITER, **more}, allow_unicode=True), encoding="utf-8")
    return path


def sample(folder: Path, name: str, episodes: int, frames: int, **more: Any) -> Path:
    """Write one Isaac Lab file of 48x48 frames under a name of its own."""
    settings = {"height": 48, "width": 48, "cameras": ("front",)} | more
    [path] = write_sample("isaaclab", folder / "made", episodes=episodes, frames=frames, **settings)
    return path.rename(folder / name)


class Here(Executor):
    """Runs ranks in this process: no start-up cost, and faults can be put in with monkeypatch."""

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        runner = RankRunner(stage)
        failures: dict[int, str] = {}
        for rank in stage.missing():
            try:
                runner.run_rank(rank)
            except Exception as exc:
                failures[rank] = f"{type(exc).__name__}: {exc}"
            on_poll()
        if failures:
            raise stage.failed(failures)


class AtStart(Watcher):
    """Does something when the plan is made and the stages begin."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def planning(self, done: int, total: int) -> None: ...

    def started(self, status: object) -> None:
        self._act()

    def progress(self, status: object) -> None: ...


def run_here(pipeline: Path, output: Path, *, watcher: Watcher | None = None, **more: Any) -> RunReport:
    """Run a pipeline in this process."""
    return execute(load_pipeline(pipeline), Workspace.for_output(output), Here(), watcher=watcher or Silent(), **more)


def run_undisturbed(pipeline: Path, output: Path, *, episodes: int, frames: int, shards: int) -> None:
    """Run a pipeline in this process, and make sure that it has as many shards as a test of faults needs."""
    report = run_here(pipeline, output)
    assert (report.kept, report.frames) == (episodes, episodes * frames)
    assert len(list((output.with_name(f"{output.name}.run") / "shards").iterdir())) == shards


def command(pipeline: Path, output: Path, *more: str) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "robotrove.cli", "run", str(pipeline), "--output", str(output), *more]


def run_cli(pipeline: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline as a user does."""
    return subprocess.run(command(pipeline, output, *more), capture_output=True, text=True, timeout=600)


def start_cli(pipeline: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    """Start a run in a session, and so a process group, of its own."""
    return subprocess.Popen(
        command(pipeline, output, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background inherits that Ctrl-C is ignored; a person's command does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def tree(root: Path) -> dict[str, bytes]:
    """Return every file of a folder by relative path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def assert_same_dataset(found: Path, expected: Path) -> None:
    """Every file equal byte for byte, and no other file."""
    left, right = tree(found), tree(expected)
    assert sorted(left) == sorted(right)
    assert [name for name in left if left[name] != right[name]] == []
    assert not filecmp.dircmp(found, expected).left_only


def assert_no_leftovers(output: Path) -> None:
    """Beside the output and in the run directory lies nothing that is only half done."""
    run = output.with_name(f"{output.name}.run")
    beside = {path.name for path in output.parent.iterdir() if path.name.startswith(output.name)}
    assert beside == {output.name, run.name}
    assert [path.name for path in run.rglob("*.tmp") if not path.name.startswith("run.lock.")] == []
    assert [path.name for path in (run / "shards").iterdir() if not path.name.isdigit()] == []
    assert not (run / "run.lock").exists()


def events(output: Path) -> list[Event]:
    """Return the journal of a run in order of time."""
    return sorted(EventReader(output.with_name(f"{output.name}.run") / "events").read(), key=lambda event: event.time)


def committed_on_disk(output: Path) -> set[int]:
    """Return the manifest rows of the episodes that are committed, as the files say it."""
    shards = output.with_name(f"{output.name}.run") / "shards"
    found: set[int] = set()
    for folder in shards.glob("*"):
        if folder.name.isdigit():
            found |= {kept["index"] for kept in json.loads((folder / "shard.json").read_text())["kept"]}
        elif folder.name.endswith(".partial"):
            with suppress(FileNotFoundError):  # it is a shard by now
                found |= {int(name[1:]) for name in os.listdir(folder) if name[1:].isdigit()}
    return found


def assert_encoded_once(output: Path, but: Collection[int] = ()) -> None:
    """No episode was started again after it had been committed, and none committed twice; `but` may have been."""
    done: set[int] = set()
    for event in events(output):
        assert event.episode not in done, f"episode {event.episode}: {event.kind} after it was committed"
        if event.kind == "committed" and event.episode not in but:
            done.add(event.episode)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without power cuts in sight, runs in this process need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
