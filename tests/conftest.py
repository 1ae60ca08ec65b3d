"""Tiers of the tests, and the skips that CI accepts."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from robotrove.tests.support.places import missing

HERE = Path(__file__).parent
TIERS = {
    "hub": (HERE / "hub", HERE / "blocks/publish/test_hub_publisher.py"),
    "slurm": (HERE / "slurm",),
    "ray": (HERE / "executors/test_ray.py",),
    "judges": (HERE / "judges",),
}
ACCEPTED, _, _ = missing(HERE).partition(":")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the tiers that have folders of their own; slow ones are marked where they stand."""
    for item in items:
        for tier, places in TIERS.items():
            if any(item.path.is_relative_to(place) for place in places):
                item.add_marker(tier)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a check that could not run has failed, unless it wants a real recording that is not there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if ACCEPTED not in reason:
            report.outcome = "failed"
            report.longrepr = f"CI runs every check, and this one was skipped: {reason}"
    return report
