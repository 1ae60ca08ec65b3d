"""The comparison of two versions' outputs: what may differ, and what it finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.tests.same_output import compare, print_comparison

ROWS = {"first_row": [0, 0], "success": [True, None], "run_digest": ["a", "a"], "robotrove_version": ["1", "1"]}
RUN = {"encoder_version": "pyav", "run_digest": "a", "robots": [{"robotrove_version": "1", "fps": float("nan")}]}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("old", "new"):
        write(tmp_path / name)
    return tmp_path / "old", tmp_path / "new"


def write(folder: Path, rows: dict[str, Any] = ROWS, run: dict[str, Any] = RUN) -> None:
    provenance = folder / "meta" / "robotrove"
    provenance.mkdir(parents=True, exist_ok=True)
    (folder / "meta" / "info.json").write_text('{"robotrove_version": "1"}')
    pq.write_table(pa.table(rows), provenance / "episodes.parquet")
    (provenance / "run.json").write_text(json.dumps(run))
    (provenance / "episodes.jsonl").write_text(json.dumps(run) + "\n" + json.dumps(rows) + "\n")
    (provenance / "notes.txt").write_text("1")


def test_equal_but_for_version_and_digest(folders: tuple[Path, Path]) -> None:
    new = {"run_digest": ["b", "b"], "robotrove_version": ["2", "2"]}
    write(
        folders[1], ROWS | new, RUN | {"run_digest": "b", "robots": [{"robotrove_version": "2", "fps": float("nan")}]}
    )
    assert (folders[0] / "meta/robotrove/run.json").read_bytes() != (
        folders[1] / "meta/robotrove/run.json"
    ).read_bytes()
    assert compare(*folders) == (5, "")


def test_columns_that_later_versions_have(folders: tuple[Path, Path]) -> None:
    write(folders[1], ROWS | {"row_runs": [None, None]})
    assert compare(*folders) == (5, "")
    assert "row_runs: only in the old version" in compare(*reversed(folders))[1]


@pytest.mark.parametrize(
    ("rows", "run", "difference"),
    [
        ({"first_row": [0, 1]}, {}, "meta/robotrove/episodes.jsonl: /1/first_row/1: old 0, new 1"),
        ({}, {"encoder_version": 1}, "meta/robotrove/episodes.jsonl: /0/encoder_version: old 'pyav', new 1"),
        ({}, {"robots": []}, "meta/robotrove/episodes.jsonl: /0/robots: old [{'robotrove_version'"),
        ({}, {"more": 1}, "meta/robotrove/episodes.jsonl: /0/more: only in the new version"),
    ],
)
def test_values_of_json(folders: tuple[Path, Path], rows: dict[str, Any], run: dict[str, Any], difference: str) -> None:
    write(folders[1], ROWS | rows, RUN | run)
    assert compare(*folders)[1].startswith(difference)


@pytest.mark.parametrize(
    ("column", "difference"),
    [
        (pa.array([0, 1]), "/columns/first_row/1: old 0, new 1"),
        (pa.array([0, 0], pa.int32()), "/types/first_row: old 'int64', new 'int32'"),
    ],
)
def test_columns_of_parquet(folders: tuple[Path, Path], column: pa.Array, difference: str) -> None:
    pq.write_table(pa.table(ROWS | {"first_row": column}), folders[1] / "meta/robotrove/episodes.parquet")
    assert compare(*folders) == (3, f"meta/robotrove/episodes.parquet: {difference}")


def test_one_byte(folders: tuple[Path, Path]) -> None:
    (folders[1] / "meta/info.json").write_text('{"robotrove_version": "2"}')
    found = "meta/info.json: differs from byte 23 on (old 26 bytes, new 26 bytes)"
    assert compare(*folders) == (1, found)


def test_other_files(folders: tuple[Path, Path]) -> None:
    (folders[0] / "meta/more").write_text("")
    assert compare(*folders) == (0, "meta/more: only the old version wrote it")


def test_the_list_of_checksums_is_not_compared(folders: tuple[Path, Path]) -> None:
    (folders[1] / "meta/robotrove/checksums.jsonl").write_text("{}\n")
    assert compare(*folders) == (5, "")
    (folders[1] / "meta/checksums.jsonl").write_text("{}\n")
    assert compare(*folders) == (0, "meta/checksums.jsonl: only the new version wrote it")


def test_outputs(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_comparison(*folders)
    (folders[1] / "more").mkdir()
    assert not print_comparison(*folders)
    assert "more                   0 files compared, no files" in capsys.readouterr().out
    (tmp_path / "nothing").mkdir()
    assert not print_comparison(tmp_path / "nothing", tmp_path / "nothing")
