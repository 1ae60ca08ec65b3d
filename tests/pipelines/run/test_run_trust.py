"""Run directories of others: code that they name is imported only from people who can be trusted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.executors.worker import Worker
from robotrove.executors.worker import command as worker_command
from robotrove.tests.support.pipelines.faults import command
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")]

SOMEBODY = 12345
BLOCKS = """
from pathlib import Path

from robotrove.blocks.dataset_step import DatasetStep
from robotrove.blocks.episode_step import EpisodeFilter

Path({marker!r}).touch()


class Keep(EpisodeFilter):
    def reject(self, ep):
        return None


class Note(DatasetStep):
    def units(self):
        return []

    def process(self, unit):
        pass
"""


class Lab:
    """A finished run with blocks of a lab, which leave a mark where they are imported."""

    def __init__(self, folder: Path) -> None:
        self.out, self.run_dir, self.code = folder / "out", folder / "out.run", folder / "code"
        self.marker = folder / "imported"
        self.code.mkdir()
        (self.code / "lab_blocks.py").write_text(BLOCKS.format(marker=str(self.marker)))
        pipeline = write_pipeline(
            folder,
            [sample(folder, "demos.hdf5", 2, 4)],
            steps=[{"use": "lab_blocks:Keep"}],
            dataset=["aggregator", "dataset_stats", {"use": "lab_blocks:Note"}],
            code=["code"],
        )
        done = run_cli(pipeline, self.out, "--workers", "1")
        assert done.returncode == 0, done.stderr
        self.marker.unlink()

    def imported(self) -> bool:
        return self.marker.exists()

    def commands(self) -> Iterator[subprocess.CompletedProcess[str]]:
        """Yield the outcome of each command that needs the blocks, a worker's like that of the others."""
        frozen = self.run_dir / "pipeline.yaml"
        yield command("verify", self.out, "--source", self.run_dir)
        yield command("plan", frozen)
        yield command("run", frozen, "--output", self.out)
        with open(self.run_dir.parent / "worker.log", "wb") as log:
            worker = Worker(worker_command(self.run_dir), 1, log=log)
            worker.give("convert", 0)
            answer = worker.answer()
            worker.end()
        assert answer is not None
        told = (self.run_dir.parent / "worker.log").read_text() + answer["error"]
        yield subprocess.CompletedProcess("worker", 2 if answer["error"] else 0, "", told)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_status_trace_and_cancel_import_nothing(lab: Lab) -> None:
    done = command("status", lab.run_dir, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads(done.stdout)
    assert status["state"] == "finished"
    assert [stage["name"] for stage in status["stages"]] == [
        "convert",
        *(f"1-aggregator.{phase}" for phase in ("plan", "process", "finish")),
        *(f"2-dataset_stats.{phase}" for phase in ("plan", "process", "finish")),
        *(f"3-Note.{phase}" for phase in ("plan", "process", "finish")),
        "commit",
        "report",
    ]
    assert command("trace", lab.out, 0).returncode == 0
    assert command("cancel", lab.run_dir).stdout == "nothing works on this run\n"
    assert not lab.imported()


def test_status_of_another_version_imports_nothing(lab: Lab) -> None:
    """Its run.json does not list the stages; those that blocks of the lab add are not known."""
    run = json.loads((lab.run_dir / "run.json").read_text())
    del run["stages"]
    (lab.run_dir / "run.json").write_text(json.dumps({**run, "version": "0.2.2"}))
    done = command("status", lab.run_dir, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads(done.stdout)
    assert (status["state"], status["version"]) == ("finished", "0.2.2")
    assert not lab.imported()


def _risk(lab: Lab, risk: str) -> tuple[Path, str]:
    """Put a run at risk; return the place, and the words for it."""
    place, what = risk.split(" of " if " of " in risk else " for ")
    path = {"run": lab.run_dir, "pipeline": lab.run_dir / "pipeline.yaml", "code": lab.code}[place]
    if what == "all":
        path.chmod(path.stat().st_mode | 0o1002)
        return path, "may be written by everybody"
    os.chown(path, SOMEBODY, -1)
    return path, f"belongs to the user {SOMEBODY}"


@pytest.mark.parametrize(
    "risk", ["run of somebody", "run for all", "pipeline for all", "code of somebody", "code for all"]
)
def test_code_that_others_may_have_written_is_not_imported(lab: Lab, risk: str) -> None:
    place, found = _risk(lab, risk)
    for done in lab.commands():
        assert done.returncode == 2, done
        assert f"{place}: {found}" in done.stderr
        assert f"chmod o-w {place}" in done.stderr
        assert not lab.imported()
    assert command("status", lab.run_dir).returncode == 0


def test_one_that_a_group_may_write_is_a_warning(lab: Lab) -> None:
    lab.run_dir.chmod(0o770)
    for done in lab.commands():
        assert done.returncode == 0, done
        assert f"warning: {lab.run_dir} may be written by its group; chmod g-w {lab.run_dir}" in done.stderr
        assert lab.imported()
        lab.marker.unlink()


def test_without_code_of_its_own_anybody_may_have_written_it(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "demos.hdf5", 2, 4)])
    assert run_cli(pipeline, tmp_path / "out", "--workers", "1").returncode == 0
    os.chown(tmp_path / "out.run", SOMEBODY, -1)
    done = command("verify", tmp_path / "out", "--source", tmp_path / "out.run")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_of_code_without_blocks_from_there(tmp_path: Path) -> None:
    """A package that robotrove finds missing, such as hdf5plugin, would be imported from the folder."""
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "demos.hdf5", 2, 4)])
    assert run_cli(pipeline, tmp_path / "out", "--workers", "1").returncode == 0
    frozen = tmp_path / "out.run/pipeline.yaml"
    (tmp_path / "evil").mkdir(mode=0o777)
    (tmp_path / "evil").chmod(0o777)
    frozen.write_text(frozen.read_text().replace("code: []", f"code: ['{tmp_path}/evil']"))
    done = command("verify", tmp_path / "out", "--source", tmp_path / "out.run")
    assert done.returncode == 2
    assert f"{tmp_path}/evil: may be written by everybody" in done.stderr
