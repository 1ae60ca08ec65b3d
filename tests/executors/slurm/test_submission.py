from __future__ import annotations

import json
from pathlib import Path

import pytest

from robotrove.executors.slurm.submission import FILE, Batch, Submission, job_name, log_of

CONVERT = Batch(("convert",), ((("convert", 0), ("convert", 1)), (("convert", 2),)))
REST = Batch(("plan", "report"), ((("plan", 0), ("report", 0)),))


@pytest.fixture
def submission() -> Submission:
    return Submission("robotrove-abc", "slurm", "ann", "login1", [("12", CONVERT), ("13", REST)])


def test_it_is_read_back_equal(submission: Submission, tmp_path: Path) -> None:
    submission.write(tmp_path)
    assert Submission.read(tmp_path) == submission
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    json.loads((tmp_path / FILE).read_text())


def test_nothing_submitted(tmp_path: Path) -> None:
    assert Submission.read(tmp_path) is None
    assert Submission.read(tmp_path / "not there") is None


def test_whose_ranks_are_whose(submission: Submission) -> None:
    assert list(submission.jobs_of("convert")) == [("12", 0, [0, 1]), ("12", 1, [2])]
    assert list(submission.jobs_of("report")) == [("13", 0, [0])]
    assert list(submission.jobs_of("commit")) == []
    assert submission.job_ids == ["12", "13"]


def test_the_name_is_the_run_s_own_for_ever(tmp_path: Path) -> None:
    name = job_name(tmp_path / "one" / "jobs")
    assert name.startswith("robotrove-")
    assert job_name(tmp_path / "one" / "jobs") == name
    assert job_name(tmp_path / "two" / "jobs") != name


def test_where_a_job_prints(tmp_path: Path) -> None:
    assert log_of(tmp_path, "12", 3, is_array=True) == tmp_path / "12_3_0_log.out"
    assert log_of(tmp_path, "12", 0, is_array=False) == tmp_path / "12_0_log.out"
