from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.core.lease import own_identity
from robotrove.executors.stage import RankMarks


@pytest.fixture
def marks(tmp_path: Path) -> RankMarks:
    return RankMarks(tmp_path / "logs")


def test_nothing_is_noted_of_a_stage_that_nobody_began(marks: RankMarks, tmp_path: Path) -> None:
    assert (marks.running(), marks.failures()) == (set(), {})
    marks.forget([0, 1])
    assert list(tmp_path.iterdir()) == []


def test_a_rank_at_work_is_running_and_then_is_not(marks: RankMarks, tmp_path: Path) -> None:
    with marks.at_work(7):
        assert marks.running() == {7}
    assert (marks.running(), marks.failures()) == (set(), {})
    assert list((tmp_path / "logs" / "running").iterdir()) == []


def test_a_rank_that_failed_says_why_until_it_runs_again(marks: RankMarks) -> None:
    for rank in (3, 4):
        with pytest.raises(ValueError, match="no room"), marks.at_work(rank):
            raise ValueError("no room")
    assert marks.running() == set()
    assert marks.failures() == dict.fromkeys((3, 4), "ValueError: no room")
    with marks.at_work(3):
        assert set(marks.failures()) == {4}
    marks.forget([4, 5])
    assert marks.failures() == {}


def test_our_own_errors_are_told_as_they_are(marks: RankMarks) -> None:
    with pytest.raises(RobotroveError), marks.at_work(0):
        raise RobotroveError("a file", "is damaged", "a whole one")
    assert marks.failures() == {0: "a file: is damaged\n  expected: a whole one"}


def test_a_killed_process_is_not_at_work(marks: RankMarks, tmp_path: Path) -> None:
    """It had no time to take its mark back."""
    folder = tmp_path / "logs" / "running"
    folder.mkdir(parents=True)
    code = "from robotrove.core.lease import own_identity; print(own_identity(), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    (folder / "00002").write_text(process.stdout.readline())
    assert marks.running() == {2}
    process.kill()
    process.communicate()
    assert marks.running() == set()


def test_a_process_on_another_host_lives_as_long_as_its_heart_beats(marks: RankMarks, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "running" / "00001"
    path.parent.mkdir(parents=True)
    path.write_text('{"host": "elsewhere", "pid": 1, "started": "1", "nonce": "x"}')
    assert marks.running() == {1}
    os.utime(path, (0, 0))
    assert marks.running() == set()


def test_a_mark_that_a_successor_has_taken_over_stays(marks: RankMarks, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "running" / "00000"
    successor = own_identity()
    with marks.at_work(0):
        path.write_text(successor)
    assert path.read_text() == successor


def test_marks_that_a_full_disk_cut_are_no_error(marks: RankMarks, tmp_path: Path) -> None:
    for folder in ("running", "failed"):
        (tmp_path / "logs" / folder).mkdir(parents=True)
        (tmp_path / "logs" / folder / "00000").touch()
        (tmp_path / "logs" / folder / "00001").write_text('{"why"')
        (tmp_path / "logs" / folder / "00002.abc.tmp").touch()
    assert (marks.running(), marks.failures()) == (set(), {})


def test_a_failure_that_cannot_be_noted_stays_what_is_raised(marks: RankMarks, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), marks.at_work(0):
        1 / (tmp_path / "logs" / "failed").write_bytes(b"")  # a file where a folder should be
