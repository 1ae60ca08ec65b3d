from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import Damaged, UsageError
from robotrove.formats.lerobot.gr00t.gr00t_stats import GR00T_KEYS, gr00t_columns, gr00t_stats, write_gr00t_stats
from robotrove.formats.lerobot.stats import exact_quantiles
from robotrove.formats.lerobot.stats.stats_comparison import beyond_float32
from robotrove.tests.support.places import SHARED_DATA, needs

GOLDEN = SHARED_DATA / "arena_gr1_golden"


def lists(rows: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1]).cast(
        pa.list_(pa.from_numpy_dtype(rows.dtype))
    )


def write(path: Path, columns: Mapping[str, pa.Array], **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), path, **options)
    return path


@needs(GOLDEN)
def test_the_file_that_gr00t_wrote(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    write_gr00t_stats(GOLDEN, tmp_path)
    theirs, ours = (json.loads((root / "meta/stats.json").read_text()) for root in (GOLDEN, tmp_path))
    assert list(ours) == list(theirs)
    for key, stats in ours.items():
        assert list(stats) == list(theirs[key]) == list(GR00T_KEYS)
        found, exact = ({name: np.array(values) for name, values in entry.items()} for entry in (theirs[key], stats))
        scale = np.maximum(np.abs(exact["min"]), np.abs(exact["max"]))
        for name in GR00T_KEYS:
            assert (np.abs(found[name] - exact[name]) <= 4e-7 * scale).all(), (key, name)
            assert not beyond_float32(name, found[name], exact, 152).any(), (key, name)
        np.testing.assert_allclose(found["std"], exact["std"], rtol=8e-7)


def episodes(lengths: list[int]) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        {
            "observation.state": (rng.normal(size=(n, 7)) * 30).astype(np.float32),
            "action": rng.normal(size=(n, 3)),
            "timestamp": np.arange(n) / 30,
            "next.done": np.arange(n) == n - 1,
            "episode_index": np.full(n, episode),
            "wall_time_ns": (1 << 60) + (1 << 36) + np.arange(n),
            "reward": rng.normal(size=(n, 1)).astype(np.float32),
        }
        for episode, n in enumerate(lengths)
    ]


@pytest.mark.parametrize("batch_values", [200, 1 << 21])
def test_all_rows_of_all_files(tmp_path: Path, batch_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_quantiles, "_BATCH_VALUES", batch_values)
    data = episodes([40, 1, 333, 120])
    files = [
        write(
            tmp_path / f"data/chunk-000/episode_{i:06d}.parquet",
            {key: lists(rows) if rows.ndim > 1 else pa.array(rows) for key, rows in episode.items()},
            row_group_size=64,
        )
        for i, episode in enumerate(data)
    ]
    found = gr00t_stats(files, list(data[0]))
    assert list(found) == list(data[0])
    for key, stats in found.items():
        rows = np.concatenate([ep[key] if ep[key].ndim > 1 else ep[key][:, None] for ep in data]).astype(np.float64)
        exact = {"mean": (rows - rows[0]).mean(axis=0) + rows[0], "std": (rows - rows[0]).std(axis=0)}
        exact |= {"min": rows.min(axis=0), "max": rows.max(axis=0)}
        exact |= {f"q{level:02d}": np.quantile(rows, level / 100, axis=0) for level in (1, 99)}
        assert tuple(stats) == GR00T_KEYS
        for name, values in stats.items():
            np.testing.assert_allclose(values, exact[name], rtol=1e-11, atol=1e-14, err_msg=f"{key} {name}")
        # As GR00T does it: one row after the other is cast, then all are stacked and summed in float32.
        cast = np.vstack([np.asarray(row, dtype=np.float32) for ep in data for row in (ep[key].tolist())])
        for name, of in {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}.items():
            assert not beyond_float32(name, of(cast, axis=0).astype(np.float64), exact, len(cast)).any(), (key, name)
    assert gr00t_stats(files, ["reward"]) == {"reward": found["reward"]}
    assert gr00t_stats(files[::-1], ["action"])["action"]["max"] == found["action"]["max"]


def test_columns_of_numbers_only_in_their_order(tmp_path: Path) -> None:
    picture = pa.array([{"bytes": b"x", "path": None}] * 2)
    columns = {
        "task": pa.array(["pick", "place"]),
        "z": pa.array([1.0, 2.0]),
        "observation.images.front": picture,
        "matrix": pa.array([[[1.0]], [[2.0]]]),
        "a": pa.array([[1, 2], [3, 4]]),
        "words": pa.array([["x"], ["y"]]),
        "fixed": lists(np.ones((2, 2), np.float16)),
        "done": pa.array([True, False]),
        "when": pa.array([1, 2], pa.timestamp("ns")),
    }
    write(tmp_path / "data/chunk-000/episode_000000.parquet", columns)
    (tmp_path / "meta").mkdir()
    assert gr00t_columns(tmp_path) == ["z", "a", "fixed", "done"]
    write_gr00t_stats(tmp_path)
    text = (tmp_path / "meta/stats.json").read_text()
    assert list(json.loads(text)) == ["z", "a", "fixed", "done"]
    assert json.loads(text)["a"]["mean"] == [2.0, 3.0]
    assert text.startswith('{\n    "z": {\n        "mean": [\n            1.5\n        ],\n        "std": [\n')


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"a": pa.array([[1.0, 2.0], [3.0]])}, "column a: rows have 2, 1 values"),
        ({"a": pa.array([[1.0, 2.0, 3.0]])}, "column a: rows have 3 values, those before 2"),
        ({"a": pa.array([[1.0, 2.0], None])}, "column a: rows have 2, None values"),
        ({"a": pa.array([[1.0, None]])}, "column a: 1 values are empty"),
        ({"a": pa.array([[1.0, float("nan")]])}, "column a: 1 values are NaN"),
        ({"a": pa.array([[-float("inf"), 2.0]])}, "column a: 1 values are NaN, infinite or too large for float32"),
        ({"a": pa.array([[1e39, -1e39]])}, "column a: 2 values are NaN, infinite or too large for float32"),
        ({"a": pa.array(["x"])}, "column a: values are string"),
        ({"b": pa.array([1.0])}, "has no column a"),
    ],
)
def test_rows_that_have_no_statistics(tmp_path: Path, second: Mapping[str, pa.Array], words: str) -> None:
    first = write(tmp_path / "episode_000000.parquet", {"a": pa.array([[1.0, 2.0]])})
    with pytest.raises(Damaged, match=rf"^episode_000001.parquet[:,] .*{words}|^episode_000001.parquet: {words}"):
        gr00t_stats([first, write(tmp_path / "episode_000001.parquet", second)], ["a"])


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no parquet file"):
        write_gr00t_stats(tmp_path)
    empty = write(tmp_path / "data/chunk-000/episode_000000.parquet", {"a": pa.array([], pa.float32())})
    with pytest.raises(UsageError, match="no rows"):
        gr00t_stats([empty], ["a"])
    with pytest.raises(UsageError, match="no rows"):
        write_gr00t_stats(tmp_path)
    assert not (tmp_path / "meta").exists()


@pytest.mark.parametrize("count", [300, 36_000])
def test_a_joint_at_rest_is_exact_where_sums_in_float32_are_not(tmp_path: Path, count: int) -> None:
    dice = np.random.default_rng(count)
    rows = np.stack([np.full(count, 3.1415927), 43 + dice.normal(0, 1e-4, count), 2048 + dice.integers(0, 2, count)], 1)
    rows = rows.astype(np.float32)
    file = write(tmp_path / "episode_000000.parquet", {"a": lists(rows)})
    found = {name: np.array(values) for name, values in gr00t_stats([file], ["a"])["a"].items()}
    table = rows.astype(np.float64)
    np.testing.assert_allclose(found["mean"], table.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found["std"], np.where(np.ptp(table, axis=0), table.std(axis=0), 0), rtol=1e-9)
    assert found["std"][0] == 0
    for name, of in {"mean": np.mean, "std": np.std}.items():
        theirs = of(rows, axis=0).astype(np.float64)
        assert not beyond_float32(name, theirs, found, count).any(), name
        assert beyond_float32(name, theirs + 0.3 * found["max"], found, count).all()
