"""Tiers of the tests: what CI does with a skipped check, and which tests are in which tier."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robotrove.tests.conftest import HERE, TIERS
from robotrove.tests.support.places import SHARED_DATA, missing

REAL = missing(SHARED_DATA)


@pytest.mark.parametrize(
    ("test", "ci", "code"),
    [
        ("def test():\n    pytest.skip('no cluster')", "true", 1),
        ("pytest.importorskip('no_such_package')\ndef test(): pass", "true", 2),
        ("def test():\n    pytest.skip('no cluster')", "", 0),
        (f"def test():\n    pytest.skip({REAL!r})", "true", 0),
    ],
)
def test_ci_accepts_no_skip_but_that_of_a_missing_recording(tmp_path: Path, test: str, ci: str, code: int) -> None:
    path = tmp_path / "test_skipping.py"
    path.write_text(f"import pytest\n{test}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "robotrove.tests.conftest", "-p", "no:cacheprovider", path]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"CI": ci}, capture_output=True, text=True)
    assert done.returncode == code, done.stdout


def test_the_places_of_the_tiers_exist() -> None:
    places = [place for several in TIERS.values() for place in several]
    assert [place for place in places if not place.exists()] == []
    assert all(place.is_relative_to(HERE) for place in places)
