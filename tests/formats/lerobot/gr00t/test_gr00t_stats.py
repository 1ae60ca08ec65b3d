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
    assert (tmp_path / "meta/stats.json").read_bytes() == (GOLDEN / "meta/stats.json").read_bytes()


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
def test_all_rows_of_all_files_as_float32(tmp_path: Path, batch_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
        # As GR00T does it: one row after the other is cast, then all are stacked.
        rows = np.vstack([np.asarray(row, dtype=np.float32) for ep in data for row in (ep[key].tolist())])
        wanted = {
            "mean": np.mean(rows, axis=0),
            "std": np.std(rows, axis=0),
            "min": np.min(rows, axis=0),
            "max": np.max(rows, axis=0),
            "q01": np.quantile(rows, np.array(0.01), axis=0),
            "q99": np.quantile(rows, np.array(0.99), axis=0),
        }
        assert tuple(stats) == GR00T_KEYS
        assert stats == {name: values.tolist() for name, values in wanted.items()}, key
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
