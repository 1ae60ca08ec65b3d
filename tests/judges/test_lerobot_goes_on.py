"""LeRobot's own tools work on what robotrove makes: its converter, recorder and editors, and the result is right."""

from __future__ import annotations

import pytest

from robotrove.tests.judges.expectations import check_access, check_facts, check_frames, check_rows
from robotrove.tests.judges.releases import BACKENDS, V21_RELEASES, V30_RELEASES, Seen
from robotrove.tests.judges.scenarios import DOWN, THEIRS, Dataset

Views = dict[str, dict[str, Seen]]

# What went on as v2.1 is looked at by the release that reads it, the rest by both others.
judged = pytest.mark.parametrize(
    ("release", "name"),
    [
        (release, name)
        for name, (source, *_) in THEIRS.items()
        for release in (V21_RELEASES if source in DOWN and name.endswith("_more") else V30_RELEASES)
    ],
)


@pytest.mark.parametrize("name", THEIRS)
def test_the_tool_takes_our_dataset(made: dict[str, Dataset], name: str) -> None:
    assert made[name].exit_code == 0, made[name].output


@judged
def test_it_opens(made: dict[str, Dataset], views: Views, release: str, name: str) -> None:
    check_facts(views[release][name], made[name].truth)


@pytest.mark.parametrize("backend", BACKENDS)
@judged
def test_rows_and_frames(made: dict[str, Dataset], views: Views, release: str, name: str, backend: str) -> None:
    check_rows(views[release][name], made[name].truth, backend)
    check_frames(views[release][name], made[name].truth, backend)


@judged
def test_batches_windows_and_an_episode_alone(made: dict[str, Dataset], views: Views, release: str, name: str) -> None:
    check_access(views[release][name], made[name].truth)
