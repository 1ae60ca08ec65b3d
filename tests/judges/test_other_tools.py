"""Datasets that other tools wrote: verify has no false alarm, and merge and convert keep everything or name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.tests.judges.kept import lost
from robotrove.tests.judges.other_tools import COARSE, DESCRIPTION, VALIDITY, Kind, write_all
from robotrove.tests.judges.releases import RELEASES, need
from robotrove.tests.support.datasets.numbered import aggregate, convert, digests, quickly
from robotrove.verification.dataset.runner import verify

RECORDERS = [f"{release} {what}" for release in ("0.4.4", "0.6.1") for what in ("videos", "pictures", "removed")]
EDITED = [f"{release} {what}" for release in ("0.4.4", "0.6.1") for what in ("deleted", "merged", "split", "converted")]
NEW = ["0.4.4 subtasks", "0.6.1 depth", "0.6.1 annotated"]
FORMS = ["any4lerobot", "gr00t"]
NAMES = ["0.3.3 videos", *RECORDERS, *EDITED, *NEW, *FORMS]
TEXT_COLUMNS = (DESCRIPTION, COARSE, VALIDITY)
# v2.1 knows neither depth nor language columns.
ONLY_V30 = {"0.6.1 pictures": "front_depth", "0.6.1 depth": "front_depth", "0.6.1 annotated": "language_persistent"}
# What datasets 4 writes, 3.6 of LeRobot 0.3.3 cannot read; and keys that it needs to go on recording.
RIGHT_ERRORS = {
    "any4lerobot": 'LeRobot 0.3.3 knows only "Sequence"',
    "gr00t": "is missing: LeRobot cannot add episodes",
}
# Each is true of these files.
SUMS = r"(std|mean)\[\d\] is .* \(LeRobot sums in float32\)"
OF_EPISODES = r"\d of 5 quantiles differ \(LeRobot averages those of the episodes\)"
OVERFLOW = r"std is only 0 though values differ by 1 \(LeRobot 0\.4\.0 to 0\.5\.1 has this bug\)"
OLD_INDICES = "LeRobot leaves those of indices so when it merges or deletes episodes"
GAPS = r"task_index is \d instead of \d: LeRobot may give it to another task too when it adds episodes"
NO_QUANTILES = "has no q01, q10, q50, q90, q99 of"


@dataclass(frozen=True)
class Result:
    """A new dataset, what it was made of, and what the run said."""

    root: Path
    sources: tuple[Path, ...]
    notes: str


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    need(RELEASES)
    return write_all(tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="module")
def before(kinds: Mapping[str, Kind]) -> dict[Path, str]:
    return digests(*(root for kind in kinds.values() for root in kind.roots))


@pytest.fixture(scope="module")
def results(
    kinds: Mapping[str, Kind], before: Mapping[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Result]]:
    """Of each kind: both datasets merged, the first one converted, and that converted back."""
    folder, found = tmp_path_factory.mktemp("results"), {}
    with quickly():
        for name, kind in kinds.items():
            if name in NAMES:
                found[name] = made(kind, folder / name, is_converted=name not in ONLY_V30)
    return found


def made(kind: Kind, folder: Path, *, is_converted: bool) -> list[Result]:
    merged = aggregate(kind.roots, folder / "merged")
    results = [Result(folder / "merged", kind.roots, "\n".join(merged.notes))]
    versions = ("v3.0", "v2.1") if kind.is_v21 else ("v2.1", "v3.0")
    source, notes = kind.roots[0], ""
    for version in versions if is_converted else ():
        notes += "\n".join(convert(source, version, folder / version).notes)
        source = folder / version
        results.append(Result(source, kind.roots[:1], notes))
    return results


def findings(root: Path) -> list[tuple[str, str]]:
    return [(found.severity, f"{found.where}: {found.message}") for found in verify(root, deep=True).findings]


def expected_warnings(name: str) -> list[str]:
    if name.startswith(("0.3.3", *FORMS)):
        return [SUMS, GAPS]
    if "converted" in name:
        return [SUMS, NO_QUANTILES]
    if "0.4.4" in name:
        return [SUMS, OF_EPISODES, OVERFLOW, OLD_INDICES, "and 2 more"]
    return [SUMS, OF_EPISODES, OLD_INDICES]


@pytest.mark.parametrize("name", NAMES)
def test_verify_finds_nothing_wrong(kinds: Mapping[str, Kind], name: str) -> None:
    for root in kinds[name].roots:
        for severity, message in findings(root):
            is_error = name in RIGHT_ERRORS and RIGHT_ERRORS[name] in message
            assert severity == ("error" if is_error else "warning"), message
            assert is_error or any(re.search(known, message) for known in expected_warnings(name)), message


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_kept_or_named(results: Mapping[str, list[Result]], name: str) -> None:
    for result in results[name]:
        assert lost(result.sources, result.root, result.notes, TEXT_COLUMNS) == [], result.root


@pytest.mark.parametrize("name", NAMES)
def test_what_was_made_is_sound(results: Mapping[str, list[Result]], name: str) -> None:
    """Only cameras keep what is wrong with their statistics, because they are not computed again."""
    for result in results[name]:
        kept = [OVERFLOW] if "0.4.4" in name else []
        for severity, message in findings(result.root):
            assert severity == "warning", message
            assert any(re.search(known, message) for known in kept), message


@pytest.mark.parametrize("name", ONLY_V30)
def test_what_v21_cannot_hold_is_refused_before_anything_is_written(
    kinds: Mapping[str, Kind], name: str, tmp_path: Path
) -> None:
    with pytest.raises(RobotroveError, match=rf"{ONLY_V30[name]}.*: cannot be in a dataset of v2\.1"):
        convert(kinds[name].roots[0], "v2.1", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_sources_are_untouched(
    kinds: Mapping[str, Kind], before: Mapping[Path, str], results: Mapping[str, list[Result]]
) -> None:
    assert len(results) == len(NAMES)
    assert digests(*(root for kind in kinds.values() for root in kind.roots)) == before
