"""Tiers of the tests, and the skips that CI accepts."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

from robotrove.tests.support.places import NOT_IN_REPOSITORY

HERE = Path(__file__).parent
TIERS = {
    "hub": (HERE / "hub", HERE / "blocks/publish/test_hub_publisher.py"),
    "slurm": (HERE / "slurm",),
    "ray": (HERE / "executors/test_ray.py",),
    "view": (HERE / "cli/recordings/test_viewer.py",),
    "judges": (HERE / "judges",),
}
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the tiers that have folders of their own; slow ones are marked where they stand."""
    for item in items:
        for tier, places in TIERS.items():
            if any(item.path.is_relative_to(place) for place in places):
                item.add_marker(tier)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail tests that CI skips."""
    return _checked((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail modules that CI skips as a whole."""
    return _checked((yield))


def _checked(report: Report) -> Report:
    """In CI, fail a skipped test, unless it needs a recording that is not in the repository."""
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_IN_REPOSITORY not in reason:
            report.outcome = "failed"
            report.longrepr = f"CI runs every check, and this one was skipped: {reason}"
    return report
