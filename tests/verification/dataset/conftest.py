"""Tiny datasets of both versions that a test may damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.verification.dataset.runner import verify

from ...support.datasets import tiny_v21, tiny_v30
from ...support.datasets.tiny_v30 import HEIGHT, WIDTH, picture, write_video


class Tiny:
    """A copy of the dataset that a test may damage."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def video(
        self, path: str, frames: list[int], keyframes: list[int], size: tuple[int, int] = (HEIGHT, WIDTH), **more: int
    ) -> None:
        """Replace a video by one of the pictures of some frames."""
        write_video(self.root / path, [picture(i, *size) for i in frames], keyframes, **more)

    def found(self, check: str, *, deep: bool = False) -> list[tuple[str, str]]:
        """(where, message) of one check's findings."""
        report = verify(self.root, deep=deep)
        return [
            (finding.where, finding.message.replace(str(self.root), "DATASET"))
            for finding in report.findings
            if finding.check == check
        ]

    def errors(self) -> list[str]:
        """Checks that find errors; warnings do not count."""
        return [finding.check for finding in verify(self.root).findings if finding.severity == "error"]

    def json(self, path: str, change: Callable[[dict[str, Any]], None]) -> None:
        content = json.loads((self.root / path).read_text())
        change(content)
        (self.root / path).write_text(json.dumps(content))

    def line(self, path: str, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change one object of a file of JSON lines, counted from 0."""
        lines = [json.loads(line) for line in (self.root / path).read_text().splitlines()]
        change(lines[number])
        tiny_v21.write_lines(self.root / path, lines)

    def table(self, path: str, change: Callable[[pa.Table], pa.Table]) -> None:
        pq.write_table(change(pq.read_table(self.root / path)), self.root / path)

    def cell(self, path: str, row: int, column: str, value: Any) -> None:
        def change(table: pa.Table) -> pa.Table:
            values = table.column(column).to_pylist()
            values[row] = value
            kind = table.schema.field(column).type
            return table.set_column(table.schema.get_field_index(column), column, pa.array(values, kind))

        self.table(path, change)


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "dataset"
    tiny_v30.build(root)
    return root


@pytest.fixture
def tiny(tiny_original: Path, tmp_path: Path) -> Tiny:
    shutil.copytree(tiny_original, tmp_path / "dataset")
    return Tiny(tmp_path / "dataset")


@pytest.fixture(scope="session")
def tiny21_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny21") / "dataset"
    tiny_v21.build(root)
    return root


@pytest.fixture
def tiny21(tiny21_original: Path, tmp_path: Path) -> Tiny:
    shutil.copytree(tiny21_original, tmp_path / "dataset")
    return Tiny(tmp_path / "dataset")
