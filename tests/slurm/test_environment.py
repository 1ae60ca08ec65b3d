"""Nodes on which something else is installed: no rank is made there, and one sentence says why."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robotrove.core.version import __version__
from robotrove.tests.slurm.disturbed import Run
from robotrove.tests.slurm.jobs import submit, wait_until_over

# Read by Python at its start: packages that are not there, and another version of robotrove.
SITE = """
import os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in os.environ.get("HIDDEN", "").split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
if "OTHER_VERSION" in os.environ:
    from robotrove.core import version
    version.__version__ = os.environ["OTHER_VERSION"]
"""
Node = Callable[..., str]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Make an interpreter for the nodes that finds other things installed than this one."""

    def make(**environment: str) -> str:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
        words = " ".join(f"{name}='{value}'" for name, value in environment.items())
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n{words} PYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        return str(python)

    return make


def _refused(run: Run, python: str, *expected: str) -> None:
    """The command that waits, and then status, say why there is no rank; nothing was made."""
    done = submit(run.pipeline, run.output, "--wait", f"executor.python={python}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "stage convert: 4 rank(s) failed" in done.stderr
    wait_until_over(run.output)
    status: dict[str, Any] = run.status()
    whys = {failure["why"] for failure in status["failures"] if failure["stage"] == "convert"}
    for words in expected:
        assert words in done.stderr
        assert all(words in why for why in whys), whys
    assert (status["state"], status["kept"]) == ("planned", 0)
    assert {stage["name"]: stage["failed"] for stage in status["stages"]}["convert"] == 4


def test_another_version_of_robotrove(run: Run, node: Node) -> None:
    _refused(
        run, node(OTHER_VERSION="9.9.9"), "differs from where the run was created", f"robotrove 9.9.9 was {__version__}"
    )


def test_a_package_is_missing_and_then_it_is_there(run: Run, node: Node) -> None:
    _refused(run, node(HIDDEN="h5py"), "No module named 'h5py'", "install robotrove there")
    run.finish()  # with the right one again


def test_no_robotrove_at_all(run: Run, node: Node) -> None:
    _refused(run, node(HIDDEN="robotrove"), "No module named 'robotrove'")


def test_nothing_at_all(run: Run, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    _refused(
        run, f"{tmp_path}/bare/bin/python", "Error while finding module specification", "No module named 'submitit'"
    )


def test_no_such_interpreter(run: Run) -> None:
    _refused(run, "/no/such/python", "/no/such/python", "No such file or directory")
