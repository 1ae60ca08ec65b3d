"""Appending under kill -9 at every step: the base is never lost, and the rerun ends in the undisturbed bytes.

ROBOTROVE_FAULTS sets how often each kind of fault is tried at a random moment.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from robotrove.executors.executor import Executor
from robotrove.tests.support.datasets.expected import assert_holds
from robotrove.tests.support.datasets.numbered import FRONT, conversion, make, quickly, record
from robotrove.tests.support.datasets.on_disk import OnDisk, forget
from robotrove.tests.support.pipelines.faults import (
    changes_by_stage,
    command,
    environment,
    forked,
    killed_in,
    moments,
    small_files,
    small_limits,
)
from robotrove.tests.support.pipelines.runs import Here, assert_same_dataset, tree

pytestmark = pytest.mark.slow


ROUNDS = int(os.environ.get("ROBOTROVE_FAULTS", "1"))
LIMITS = small_limits(0.008, 0.008)
SIZES = {FRONT: (64, 64)}


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with quickly(), small_files(0.008, 0.008), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "useful_ranks", 2)
        yield
    forget()


@dataclass(frozen=True)
class Job:
    """Recordings to be appended.

    Attributes:
        base: The dataset, which must not be touched.
        recording: The file.
        right: What comes of it undisturbed.
        in_place: Whether it is to have the name of its base.
    """

    base: Path
    recording: Path
    right: Path
    in_place: bool

    def prepared(self, output: Path) -> Path:
        """Remove what was made; return what is appended to, a copy of the base in its own place."""
        for folder in output.parent.glob(f"{output.name}*"):
            shutil.rmtree(folder)
        return shutil.copytree(self.base, output) if self.in_place else self.base

    def act(self, output: Path) -> None:
        append_to = output if self.in_place else self.base
        formats = [self.base.parent.name]
        conversion(self.recording, append_to=append_to, formats=formats).run(output=output, executor=Here())

    def check_base(self, output: Path) -> None:
        """Whatever happened, the base is there, whole."""
        places = [output, *output.parent.glob(f"{output.name}.before-*")] if self.in_place else [self.base]
        expected = tree(self.base)
        assert any(tree(place) == expected for place in places)

    def check(self, output: Path) -> None:
        """The output is the undisturbed one, the base is there, and nothing that is only half done."""
        assert_same_dataset(output, self.right)
        self.check_base(output)
        beside = {path.name.partition("-")[0] for path in output.parent.glob(f"{output.name}*")}
        name = output.name
        assert beside == ({name, f"{name}.before", f"{name}.append"} if self.in_place else {name, f"{name}.run"})
        [run] = output.parent.glob(f"{name}.*run")
        assert (run / "report.json").exists()
        assert [path.name for path in run.rglob("*.tmp")] == []


@pytest.fixture(scope="module", params=["v3.0", "v2.1"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("made")
    base = make(folder / request.param, "base", [6, 9, 4], ["x", "y"], 0, sizes=SIZES, formats=[request.param])
    new = record(folder / "new.hdf5", [5, 3, 7], ["y", "z"], 100, SIZES)
    job = Job(base.root, folder / "new.hdf5", folder / "right", in_place=False)
    job.act(job.right)
    assert_holds(OnDisk(job.right), base.episodes + new)
    return job


@pytest.fixture(params=["beside", "in place"])
def job(request: pytest.FixtureRequest, made: Job) -> Iterator[Job]:
    before = tree(made.base)
    yield Job(made.base, made.recording, made.right, request.param == "in place")
    assert tree(made.base) == before


def test_killed_at_every_step(job: Job, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job.prepared(out)
    counts = changes_by_stage(partial(job.act, out))
    assert {"", "convert", "commit", "report"} < counts.keys()
    seen = set()
    for number, (stage, total) in enumerate(counts.items()):
        rounds = total if stage == "commit" else 3 * ROUNDS if stage.endswith(".process") else ROUNDS
        for moment in moments(total, number, rounds):
            job.prepared(out)
            assert killed_in(stage, moment, partial(job.act, out)) == -signal.SIGKILL, (stage, moment)
            job.check_base(out)
            seen.add((out.exists(), any(tmp_path.glob("out.before-*"))))
            assert forked(partial(job.act, out)) == 0, (stage, moment)
            job.check(out)
    if job.in_place:  # the base alone, its old name free for its successor, both
        assert seen == {(True, False), (False, True), (True, True)}


@pytest.mark.parametrize(("job", "stage"), [("beside", "1-{}.process"), ("in place", "commit")], indirect=["job"])
def test_a_worker_is_killed(job: Job, tmp_path: Path, stage: str) -> None:
    """Commands with several workers, of which one is killed; another number of them goes on."""
    version = job.base.parent.name
    stage = stage.format("aggregator" if version == "v3.0" else "downgrader")
    out = tmp_path / "out"
    append_to = job.prepared(out)
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(conversion(job.recording, formats=[version]).spec.to_yaml())
    arguments = ("run", pipeline, f"append_to={append_to}", "--output", out, "--workers")
    killed = command(*arguments, 2, env=environment(tmp_path / "killing", limits=LIMITS, kill_in=stage, moment=3))
    assert (tmp_path / "killing/killed").exists()
    assert killed.returncode == 1, killed.stderr
    assert "was killed by signal 9" in killed.stderr
    job.check_base(out)
    done = command(*arguments, 3, env=environment(tmp_path / "env", limits=LIMITS))
    assert done.returncode == 0, done.stderr
    assert "3 episodes of " in done.stdout
    job.check(out)
