"""Datasets that other tools wrote: verify has no false alarm, and merge and convert keep everything or name it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.tests.judges.kept import Files, lost
from robotrove.tests.judges.other_tools import COARSE, DESCRIPTION, VALIDITY, Kind, write_all
from robotrove.tests.judges.releases import RELEASES, Seen, need, run_script
from robotrove.tests.support.datasets.numbered import aggregate, convert, digests, quickly
from robotrove.verification.dataset.runner import verify

RECORDERS = [f"{release} {what}" for release in ("0.4.4", "0.6.1") for what in ("videos", "pictures", "removed")]
EDITED = [f"{release} {what}" for release in ("0.4.4", "0.6.1") for what in ("deleted", "merged", "split", "converted")]
NEW = ["0.4.4 subtasks", "0.6.1 depth", "0.6.1 annotated"]
FORMS = ["any4lerobot", "gr00t"]
NAMES = ["0.3.3 videos", *RECORDERS, *EDITED, *NEW, *FORMS]
SUBTASKS = ["0.4.4 subtasks"]  # 0.4.4 reads these lists
TEXT_COLUMNS = (DESCRIPTION, COARSE, VALIDITY)
# v2.1 knows neither depth nor language columns.
ONLY_V30 = {"0.6.1 pictures": "front_depth", "0.6.1 depth": "front_depth", "0.6.1 annotated": "language_persistent"}
# What datasets 4 writes, 3.6 of LeRobot 0.3.3 cannot read; and keys that it needs to record more episodes.
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
                # What LeRobot merged has the episodes of the second dataset, too.
                more = {"on_duplicate": "keep"} if name.endswith("merged") else {}
                found[name] = made(kind, folder / name, is_converted=name not in ONLY_V30, **more)
    return found


def made(kind: Kind, folder: Path, *, is_converted: bool, **more: Any) -> list[Result]:
    merged = aggregate(kind.roots, folder / "merged", **more)
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


@pytest.mark.parametrize("name", NAMES)
def test_mean_and_std_are_those_of_numpy_in_float64(results: Mapping[str, list[Result]], name: str) -> None:
    """Of each episode and of all rows, for joints at rest, in degrees and in motor units too."""
    for result in results[name]:
        files = Files(result.root)
        ends = np.cumsum([episode["length"] for episode in files.episodes])
        numeric = {key for key, feature in files.features.items() if feature["dtype"] in ("float32", "int64", "bool")}
        assert {"action", "observation.units"} <= numeric
        for key in numeric:
            rows = np.array(files.rows(key), np.float64).reshape(ends[-1], -1)
            for number, part in enumerate(np.split(rows, ends[:-1])):
                stats = {stat: files.episodes[number][f"stats/{key}/{stat}"] for stat in ("mean", "std")}
                check_exact(stats, part, f"{result.root}, {key}, episode {number}")
            if not files.is_v21:
                whole = json.loads((result.root / "meta/stats.json").read_text())[key]
                check_exact(whole, rows, f"{result.root}, {key}")
                assert whole["count"] == [len(rows)]


def check_exact(stats: Mapping[str, Any], rows: np.ndarray, where: str) -> None:
    """To 1e-6, or 1e-9 of the largest value; a std is 0 where all values are equal."""
    slack = 1e-9 * np.abs(rows).max(axis=0)
    for found, expected in ((stats["mean"], rows.mean(axis=0)), (stats["std"], rows.std(axis=0))):
        assert np.all(np.abs(found - expected) <= np.maximum(1e-6 * np.abs(expected), slack)), where
    is_flat = np.ptp(rows, axis=0) == 0
    assert np.all(np.array(stats["std"])[is_flat] == 0), where
    assert np.all(np.array(stats["mean"])[is_flat] == rows[0][is_flat]), where


def gr00t_texts(root: Path, key: str) -> list[str]:
    """The text of each row by the rule of GR00T's loaders: modality.json names the column, tasks.jsonl has the text."""
    entry = json.loads((root / "meta/modality.json").read_text())["annotation"][key]
    files = Files(root)
    numbers = files.rows(entry.get("original_key", f"annotation.{key}"))
    return [files.texts("task")[number] for number in numbers or ()]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_instructions_of_gr00t_lead_to_the_same_texts(
    kinds: Mapping[str, Kind], is_reversed: bool, tmp_path: Path
) -> None:
    """Merged in both orders and converted, to our reading and by GR00T's rule; numbers have gaps in the sources."""
    roots = kinds["gr00t"].roots[::-1] if is_reversed else kinds["gr00t"].roots
    expected = {
        key.removeprefix("annotation."): [text for root in roots for text in Files(root).said(key) or ()]
        for key in TEXT_COLUMNS
    }
    assert all(
        gr00t_texts(roots[0], key) == texts[: len(gr00t_texts(roots[0], key))] for key, texts in expected.items()
    )
    with quickly():
        aggregate(roots, tmp_path / "merged")
        convert(tmp_path / "merged", "v2.1", tmp_path / "older")
    for root in (tmp_path / "merged", tmp_path / "older"):
        opened = open_dataset(root)
        for key, texts in expected.items():
            numbers = np.concatenate([batch[f"annotation.{key}"] for batch in opened.rows([f"annotation.{key}"])])
            assert [opened.tasks[number] for number in numbers.ravel().tolist()] == texts
    assert {key: gr00t_texts(tmp_path / "older", key) for key in expected} == expected
    assert set(expected["human.validity"]) == {"valid"}


@pytest.fixture(scope="module")
def views(results: Mapping[str, list[Result]], tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Seen]:
    """What LeRobot sees of merged datasets and of those of v2.1, by root: 0.3.3, 0.4.4 or 0.6.1."""
    folder, found = tmp_path_factory.mktemp("views"), {}
    for release in ("0.3.3", "0.4.4", "0.6.1"):
        places = {}
        for name in (name for name in results if name not in ONLY_V30):
            newest = "0.4.4" if name in SUBTASKS else "0.6.1"
            for number, result in enumerate(results[name]):
                reads = "0.3.3" if Files(result.root).is_v21 else newest if number == 0 or name in SUBTASKS else ""
                if reads == release:
                    places[result.root] = folder / f"{name}-{number}.npz"
        run_script(release, "judge.py", *(path for pair in places.items() for path in pair), folder=folder)
        found |= {root: Seen(path, release) for root, path in places.items()}
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONLY_V30])
def test_lerobot_reads_the_same_rows_and_tasks(
    results: Mapping[str, list[Result]], views: Mapping[Path, Seen], name: str
) -> None:
    seen_of = {result.root: (result, views[result.root]) for result in results[name] if result.root in views}
    assert len(seen_of) == (3 if name in SUBTASKS else 2)
    for root, (result, seen) in seen_of.items():
        assert not seen.error, seen.error
        sources = [Files(source) for source in result.sources]
        assert seen.facts["frames"] == sum(episode["length"] for one in sources for episode in one.episodes)
        expected = {key: [value for one in sources for value in one.rows(key) or ()] for key in ("action", "note")}
        expected["task"] = [text for one in sources for text in one.said("task_index") or ()]
        if name in SUBTASKS and not Files(root).is_v21:
            expected["subtask"] = [text for one in sources for text in one.said("subtask_index") or ()]
            assert {"reach", "grasp", "lift"} <= set(expected["subtask"])
        for key, values in expected.items():
            assert seen[f"pyav/{key}"].tolist() == values, (root, key)
        features = Files(root).features.items()
        assert set(seen.facts["cameras"]) == {key for key, one in features if one["dtype"] in ("video", "image")}


@pytest.mark.parametrize("name", ONLY_V30)
def test_what_v21_cannot_hold_is_refused_before_anything_is_written(
    kinds: Mapping[str, Kind], name: str, tmp_path: Path
) -> None:
    with pytest.raises(RobotroveError, match=rf"{ONLY_V30[name]}.*: cannot be in a dataset of v2\.1"):
        convert(kinds[name].roots[0], "v2.1", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_lerobot_lacks_after_encoding_pictures_is_named(kinds: Mapping[str, Kind], tmp_path: Path) -> None:
    """Its `convert_image_to_video` (0.6.1) writes no tasks and statistics of episodes, which its merge needs."""
    for number, root in enumerate(kinds["0.6.1 encoded"].roots):
        errors = [message for severity, message in findings(root) if severity == "error"]
        assert errors
        assert [
            m for m in errors if "has no column tasks" not in m and "has no min, max, mean, std, count" not in m
        ] == []
        with pytest.raises(RobotroveError, match=re.escape(f"{root}/meta/episodes/") + ".*has no column tasks"):
            aggregate([root], tmp_path / f"{number}")
        assert not (tmp_path / f"{number}").exists()


def test_sources_are_untouched(
    kinds: Mapping[str, Kind], before: Mapping[Path, str], results: Mapping[str, list[Result]]
) -> None:
    assert len(results) == len(NAMES)
    assert digests(*(root for kind in kinds.values() for root in kind.roots)) == before
