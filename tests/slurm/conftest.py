"""Tests on a real cluster of two nodes, which slurm/local_cluster.sh makes; skipped where there is none."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.tests.slurm.disturbed import EPISODES, FRAMES, SHARDS, Run
from robotrove.tests.slurm.gates import ENVIRONMENT, GATE, Gates
from robotrove.tests.slurm.jobs import EXECUTOR, slurm, wait_for
from robotrove.tests.support.pipelines.runs import run_undisturbed, sample, write_pipeline

_MARKER = "# Written by robotrove slurm/local_cluster.sh"


def _missing() -> str:
    """Say why there is no cluster that may be disturbed; empty if there is one."""
    configuration = Path(os.environ.get("SLURM_CONF", ""))
    # These tests set nodes down and kill daemons: not on anybody's real cluster.
    if not configuration.is_file() or not configuration.read_text().startswith(_MARKER):
        return 'SLURM_CONF names no cluster of slurm/local_cluster.sh: `up`, then eval "$(… env)"'
    try:
        found = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired) as exc:
        return f"the cluster does not answer: {exc}"
    return f"the cluster does not answer: {found.stderr}" if found.returncode else ""


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Path:
    """A cluster that answers; its folder."""
    if why := _missing():
        pytest.skip(why)
    return Path(os.environ["SLURM_CONF"]).parent


@pytest.fixture(autouse=True)
def _left_as_it_was(cluster: Path) -> Iterator[None]:
    """Whatever a test did, the next one finds an empty queue and two nodes that work."""
    yield
    slurm("scancel", "--user", getpass.getuser())
    wait_for(lambda: not slurm("squeue", "--noheader"), "an empty queue")
    if "down" in slurm("sinfo", "--noheader", "--format", "%T"):
        slurm("scontrol", "update", "nodename=n1,n2", "state=resume")


@pytest.fixture
def gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gates:
    """Gates for the runs of this test, all open."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "gates"))
    return Gates(tmp_path / "gates")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of five episodes, all of which the cluster works on at a time; before each episode is a gate."""
    folder = tmp_path_factory.mktemp("source")
    path = sample(folder, "demos.hdf5", EPISODES, FRAMES)
    return write_pipeline(folder, [path], steps=[GATE], dataset=["aggregator"], executor=EXECUTOR)


@pytest.fixture(scope="session")
def undisturbed(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that every run of `pipeline` must equal."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run_undisturbed(pipeline, out, episodes=EPISODES, frames=FRAMES, shards=SHARDS)
    return out


@pytest.fixture
def run(pipeline: Path, undisturbed: Path, gates: Gates, tmp_path: Path) -> Iterator[Run]:
    """A run of `pipeline` that has not begun."""
    made = Run(pipeline, tmp_path / "out", undisturbed, gates)
    yield made
    made.end_processes()
