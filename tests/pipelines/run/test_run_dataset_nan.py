"""Values that are NaN or infinite in the rows of input datasets."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.commit import json_text
from robotrove.tests.support.command import Outcome, robotrove  # noqa: F401 - a fixture
from robotrove.tests.support.datasets import tiny_v21, tiny_v30


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is no JSON")


def strict(root: Path) -> dict[str, Any]:
    """Every JSON file of meta/ by its name, read as strict readers do: lists of lines of JSON lines."""
    found = {}
    for path in sorted((root / "meta").glob("*.json*")):
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        found[path.name] = [json.loads(text, parse_constant=refuse) for text in texts]
    return found


def spoil(root: Path, key: str, row: int, entry: int, value: float) -> str:
    """Change one number in the first data file."""
    path = min(root.rglob("data/**/*.parquet"))
    table = pq.read_table(path)
    column = table.column(key).combine_chunks()
    rows = np.array(column.to_pylist(), np.float32)
    rows.reshape(len(rows), -1)[row, entry] = value
    changed = pa.array(rows.tolist(), pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.schema.get_field_index(key), key, changed), path)
    return str(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("version", "other"), [("v3.0", "v2.1"), ("v2.1", "v3.0")])
def test_convert_names_the_first(
    version: str,
    other: str,
    value: float,
    tmp_path: Path,
    robotrove: Callable[..., Outcome],  # noqa: F811
) -> None:
    root, out = tmp_path / "source", tmp_path / "out"
    tiny_v30.build(root)
    if version == "v2.1":
        root = tmp_path / "old"
        assert robotrove("convert", tmp_path / "source", "--to", version, "-o", root).code == 0
    spoil(root, "observation.state", 2, 1, value)
    path = spoil(root, "observation.state", 1, 2, value)
    done = robotrove("convert", root, "--to", other, "-o", out)
    assert done.code == 0, done.err
    first = f"row 1 of episode 0 in {path}, entry 2, is {value}"
    assert f"NaN or infinite values in column observation.state: 2 (first: {first})" in done.out
    copied = np.array(pq.read_table(min(out.rglob("data/**/*.parquet"))).column("observation.state").to_pylist())
    assert repr(float(copied[1, 2])) == repr(float(copied[2, 1])) == repr(float(value))
    assert np.isfinite(copied).sum() == copied.size - 2
    files = strict(out)
    if other == "v3.0":
        assert "observation.state" not in files["stats.json"][0]
        assert {"timestamp", "observation.images.wrist"} <= files["stats.json"][0].keys()


def test_values_of_all_datasets_are_counted(tmp_path: Path, robotrove: Callable[..., Outcome]) -> None:  # noqa: F811
    for name in "ab":
        tiny_v30.build(tmp_path / name)
    path = spoil(tmp_path / "b", "observation.state", 3, 0, np.inf)
    options = ("--on-mismatch", "reencode", "--on-duplicate", "keep")
    done = robotrove("aggregate", tmp_path / "a", tmp_path / "b", *options, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert f"NaN or infinite values in column observation.state: 1 (first: row 3 of episode 0 in {path}" in (done.out)
    strict(tmp_path / "out")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cameras_without_quantiles(
    value: float,
    tmp_path: Path,
    robotrove: Callable[..., Outcome],  # noqa: F811
) -> None:
    """LeRobot 0.3 writes none: those of the output come from its frames, beside a column without statistics."""
    tiny_v21.build(tmp_path / "old")
    spoil(tmp_path / "old", "observation.state", 1, 2, value)
    done = robotrove("convert", tmp_path / "old", "--to", "v3.0", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "NaN or infinite values in column observation.state: 1 (first" in done.out
    [stats] = strict(tmp_path / "out")["stats.json"]
    assert "observation.state" not in stats
    assert {"q01", "q99"} <= stats[tiny_v30.FRONT].keys()
    total = sum(tiny_v30.LENGTHS)
    assert (stats["grid"]["count"], stats["timestamp"]["max"]) == ([total], [0.5])
    [episodes] = (tmp_path / "out").glob("meta/episodes/*/*.parquet")
    means = np.array(pq.read_table(episodes)["stats/observation.state/mean"].to_pylist())
    rows = tiny_v30.columns()["observation.state"]
    expected = [rows[first:last].mean(axis=0) for first, last in pairwise(tiny_v30.STARTS.tolist())]
    np.testing.assert_allclose(means[1:], expected[1:], rtol=1e-5)
    assert not np.isfinite(means[0, 2])


def test_json_text_is_strict() -> None:
    document = {
        "a": [1.5, float("nan"), (float("inf"), -float("inf"))],
        "b": {"c": float("nan"), "d": "NaN", "e": None},
    }
    assert json.loads(json_text(document), parse_constant=refuse) == {
        "a": [1.5, None, [None, None]],
        "b": {"c": None, "d": "NaN", "e": None},
    }
    assert json_text({"é": 1}, indent=1) == '{\n "é": 1\n}'
