from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core import checksums
from robotrove.core.errors import UsageError
from robotrove.verification.check import Check
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset import CHECKS
from robotrove.verification.dataset.runner import verify

FIRST = "data/chunk-000/file-000.parquet"


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_found_in_a_good_dataset(tiny_original: Path, deep: bool) -> None:
    seen = []
    report = verify(tiny_original, deep=deep, progress=lambda check, path: seen.append((check, path)))
    assert report.findings == ()
    assert report.ok
    assert dict(report.counts) == dict(episodes=5, frames=20, tasks=2, cameras=3, errors=0, warnings=0, notes=0)
    assert ("videos", "videos/observation.images.wrist/chunk-000/file-001.mp4") in seen
    assert ("rows", FIRST) in seen


def test_every_check_has_the_name_it_is_registered_under() -> None:
    assert [(version, len(checks)) for version, checks in CHECKS.items()] == [("v2.1", 13), ("v3.0", 12)]
    for checks in CHECKS.values():
        for name, check in checks.items():
            assert issubclass(check, Check)
            assert check.name == name


def test_findings_of_a_check_are_limited_but_counted(tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        for number in range(30):
            table = table.append_column(f"extra{number}", pa.array([0] * 12))
        return table

    tiny.table(FIRST, change)
    report = verify(tiny.root)
    rows = [finding for finding in report.findings if finding.check == "rows"]
    assert len(rows) == 21
    assert rows[19].where == f"{FIRST}, column extra19"
    assert rows[20].message == "and 10 more"
    assert report.counts["errors"] == 30
    assert not report.ok


def test_warnings_alone_are_fine(tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        values = pa.array(table["observation.state"].to_pylist(), pa.list_(pa.float64()))
        return table.set_column(0, "observation.state", values)

    tiny.table(FIRST, change)
    report = verify(tiny.root)
    assert [(finding.check, finding.severity) for finding in report.findings] == [("rows", "warning")]
    assert report.ok


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        verify(tmp_path / "absent")
    assert not verify(tmp_path).ok  # an empty one is a dataset without anything


def all_files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["gone", "empty", "half", "garbage", "folder"])
def test_any_damaged_file_is_named_and_nothing_is_raised(tiny_original: Path, tiny, damage: str) -> None:
    for name in all_files(tiny_original):
        path, content = tiny.root / name, (tiny_original / name).read_bytes()
        path.unlink()
        if damage == "folder":
            path.mkdir()
        elif damage != "gone":
            path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "garbage": b"\xff\x00{" * 99}[damage])
        findings = verify(tiny.root, deep=True).findings
        place = "meta/episodes" if damage == "gone" and "meta/episodes" in name else name
        assert any(f.where.startswith(place) and f.severity == "error" for f in findings), (name, findings)
        path.rmdir() if damage == "folder" else path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert verify(tiny.root).ok


def _flipped(content: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(content)
    damaged[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


@pytest.mark.slow
@pytest.mark.parametrize("original", ["tiny_original", "tiny21_original"])
def test_a_deep_check_finds_what_the_plain_one_does(
    original: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Flipped bits and missing ends of each file, in a dataset with a list of checksums."""
    whole: Path = request.getfixturevalue(original)
    root = Path(shutil.copytree(whole, tmp_path / "dataset"))
    checksums.write_list(root, checksums.sums_below(root))
    dice = random.Random(19)
    told: set[str] = set()
    for name in all_files(whole):
        content = (whole / name).read_bytes()
        flipped = [_flipped(content, dice) for _ in range(6)]
        for damaged in [*flipped, content[:-1], content[: len(content) // 2]]:
            (root / name).write_bytes(damaged)
            with suppress(UsageError):  # a version that is not known
                plain, deep = (verify(root, deep=deep).findings for deep in (False, True))
                assert set(plain) <= set(deep), name
                told |= {finding.check for finding in plain}
        (root / name).write_bytes(content)
    assert told >= {"checksums", "files", "stats", "structure", "tasks", "videos"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found += places(child, (*path, key))
    return found


@pytest.mark.parametrize("name", ["meta/info.json", "meta/stats.json"])
def test_nothing_is_raised_whatever_is_in_the_json_files(tiny_original: Path, tiny, name: str) -> None:
    original = (tiny_original / name).read_text()
    chosen = random.Random(5).sample(places(json.loads(original)), 16)
    for number, place in enumerate(chosen):
        content = json.loads(original)
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = [None, "x", -1, [], {}, 1e300, [[]], True][number % 8]
        (tiny.root / name).write_text(json.dumps(content))
        verify(tiny.root)


def test_nothing_is_raised_whatever_the_types_of_columns(tiny_original: Path, tiny) -> None:
    import pyarrow.parquet as pq

    for name in all_files(tiny_original):
        if not name.endswith(".parquet"):
            continue
        original = pq.read_table(tiny_original / name)
        replacements = [
            pa.nulls(len(original)),
            pa.array(["x"] * len(original)),
            pa.array([[1.5, None]] * len(original)),
            pa.array([float("nan")] * len(original)),
            pa.array([-(2**62)] * len(original)),
        ]
        for at, column in enumerate(original.column_names):
            if column.startswith("stats/") and not column.startswith("stats/grid/q"):
                continue
            table = original.set_column(at, column, replacements[at % len(replacements)])
            pq.write_table(table, tiny.root / name)
            assert verify(tiny.root).findings, (name, column)
        pq.write_table(original, tiny.root / name)


def _without_rows(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    else:
        path.write_text("{}" if path.suffix == ".json" else "\n")


def _empty(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


# What becomes of a file or a folder, and the files for which that is tried; "" is a folder.
HARMS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (lambda path: shutil.rmtree(path) if path.is_dir() else path.unlink(), ("", ".mp4", ".parquet")),
    "empty": (_empty, ("", ".mp4", ".parquet")),
    "without rows": (_without_rows, (".parquet",)),
    "a folder": (_folder, (".mp4", ".parquet")),
    "null": (lambda path: path.write_text("null\n"), ()),
    "a list": (lambda path: path.write_text("[]\n"), ()),
}


@pytest.mark.parametrize(
    "harm", [harm if harm == "missing" else pytest.param(harm, marks=pytest.mark.slow) for harm in HARMS]
)
@pytest.mark.parametrize("original", ["tiny_original", "tiny21_original"])
def test_each_file_and_folder_may_be_harmed(
    original: str, harm: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole: Path = request.getfixturevalue(original)
    change, suffixes = HARMS[harm]
    refused = "{}"  # info.json without a version
    for path in sorted(path.relative_to(whole) for path in whole.rglob("*")):
        if path.suffix in (*suffixes, ".json", ".jsonl"):
            root = Path(shutil.copytree(whole, tmp_path / "harmed"))
            change(root / path)
            if path.name == "info.json" and (root / path).is_file() and (root / path).read_text() == refused:
                with pytest.raises(UsageError, match="codebase_version is None"):
                    verify(root)
                shutil.rmtree(root)
                continue
            assert not verify(root, deep=True, consumers=chosen(["lerobot", "openpi"])).ok, path
            shutil.rmtree(root)
