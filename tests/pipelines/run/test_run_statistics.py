"""Mean and std of new datasets are those of the rows in float64, whatever the sources say of their episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.support.datasets.numbered import aggregate, convert, digests
from robotrove.tests.support.pipelines.runs import Here
from robotrove.verification.dataset.runner import verify

Rows = Mapping[str, np.ndarray]
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
LINES = "meta/episodes_stats.jsonl"
SAID = "(first: episode 0, action): recomputed in float64 (LeRobot sums in float32)"


def at_rest(seed: int, length: int) -> Rows:
    """Joints that hardly move: radians, degrees, motor units, epoch times, and a table of small angles."""
    dice = np.random.default_rng(seed)
    step = np.cumsum(dice.normal(0, 0.002, length))
    action = np.stack([np.full(length, 3.1415927), np.full(length, 1.3), 43 + step / 2, step], axis=1)
    return {
        "action": action.astype(np.float32),
        "observation.degrees": (np.array([179.9, -90.0]) + dice.normal(0, 1e-4, (length, 2))).astype(np.float32),
        "observation.units": np.array([2048, 4095, 0]) + dice.integers(0, 2, (length, 3)) * [0, 1, 1],
        "observation.epoch": 1e9 + dice.uniform(-1e-3, 1e-3, (length, 1)),
        "observation.table": (1.5 + dice.normal(0, 1e-6, (length, 2, 3))).astype(np.float32),
        "observation.stage": np.full((length, 1), 7),
    }


def make(folder: Path, name: str, episodes: Sequence[Rows], version: str = "v3.0", **more: Any) -> Path:
    path = folder / f"{name}.hdf5"
    with h5py.File(path, "w") as file:
        for number, rows in enumerate(episodes):
            for key, values in rows.items():
                file[f"runs/run_{number}/{key}"] = values.reshape(-1) if values.shape[1:] == (1,) else values
    source = Hdf5Reader(
        files=[str(path)],
        layout="generic",
        columns={key: {"from": key, "dtype": "keep"} for key in episodes[0]},
        options={"episodes": "/runs/run_*"},
        task="hold",
        fps=10,
    )
    pipeline = Pipeline(source=source, writer=ShardWriter(robot_type="arm"), formats=[version], **more)
    pipeline.run(output=folder / name, run_dir=folder / f"{name}.run", executor=Here())
    return folder / name


def lerobots(rows: np.ndarray) -> dict[str, list[float]]:
    """Mean and std as LeRobot 0.4 to 0.6 computes them: sums in the dtype of the rows, E[x²] - E[x]²."""
    table = rows.reshape(-1, rows.shape[-1])
    mean, squares = np.mean(table, axis=0), np.mean(table**2, axis=0)
    return {"mean": mean.tolist(), "std": np.sqrt(np.maximum(0, squares - mean**2)).tolist()}


def as_lerobot_has_it(root: Path, episodes: Sequence[Rows]) -> None:
    """Give the episodes the mean and std that LeRobot gives them; those of tables stay."""
    kept = [key for key in episodes[0] if episodes[0][key].ndim == 2]
    if (root / LINES).exists():
        lines = [json.loads(line) for line in (root / LINES).read_text().splitlines()]
        for line, rows in zip(lines, episodes, strict=True):
            for key in kept:
                line["stats"][key] |= lerobots(rows[key])
        (root / LINES).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return
    table = pq.read_table(root / EPISODES)
    for key in kept:
        for name in ("mean", "std"):
            column = f"stats/{key}/{name}"
            values = pa.array([lerobots(rows[key])[name] for rows in episodes], table.schema.field(column).type)
            table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, root / EPISODES)


def of_episodes(root: Path) -> list[dict[str, Any]]:
    """Feature to statistics of each episode."""
    if (root / LINES).exists():
        return [json.loads(line)["stats"] for line in (root / LINES).read_text().splitlines()]
    found = []
    for row in pq.read_table(root / EPISODES).to_pylist():
        found.append(stats := {})
        for column, value in row.items():
            if column.startswith("stats/"):
                key, _, name = column.removeprefix("stats/").rpartition("/")
                stats.setdefault(key, {})[name] = value
    return found


def assert_exact(found: Mapping[str, Any], rows: np.ndarray, what: str) -> None:
    """Mean and std are those of numpy in float64: to 1e-6, or 1e-9 of the largest value; std 0 for equal values."""
    values = rows.astype(np.float64)
    values = values.reshape(len(rows), -1) if np.ndim(found["mean"]) > 1 else values.reshape(-1, rows.shape[-1])
    mean, std = np.ravel(found["mean"]), np.ravel(found["std"])
    slack = 1e-9 * np.abs(values).max(axis=0)
    flat = np.ptp(values, axis=0) == 0
    assert (np.abs(mean - values.mean(axis=0)) <= np.maximum(1e-6 * np.abs(values.mean(axis=0)), slack)).all(), what
    assert (std[flat] == 0).all(), what
    assert (mean[flat] == values[0][flat]).all(), what
    # The shifted values are exact, so that their spread is that of epoch times, too.
    spread = (values - values[0]).std(axis=0)
    np.testing.assert_allclose(std, np.where(flat, 0, spread), rtol=1e-6, err_msg=what)


def assert_statistics(root: Path, episodes: Sequence[Rows]) -> None:
    for number, (found, rows) in enumerate(zip(of_episodes(root), episodes, strict=True)):
        for key, values in rows.items():
            assert_exact(found[key], values, f"episode {number}, {key}")
    if (root / "meta/stats.json").exists():
        whole = json.loads((root / "meta/stats.json").read_text())
        for key in episodes[0]:
            assert_exact(whole[key], np.concatenate([rows[key] for rows in episodes]), key)
            assert whole[key]["count"] == [sum(len(rows[key]) for rows in episodes)]


def notes(report: RunReport) -> list[str]:
    return [note for note in report.notes if "statistics" in note]


@pytest.fixture
def recorded() -> list[list[Rows]]:
    return [[at_rest(0, 120), at_rest(1, 37)], [at_rest(2, 64), at_rest(3, 1), at_rest(4, 90)]]


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_wrong_sums_do_not_reach_merged_and_converted_datasets(
    tmp_path: Path, recorded: list[list[Rows]], version: str
) -> None:
    inputs = [make(tmp_path, f"in_{at}", episodes, version) for at, episodes in enumerate(recorded)]
    for root, episodes in zip(inputs, recorded, strict=True):
        as_lerobot_has_it(root, episodes)
    before, both = digests(*inputs), [*recorded[0], *recorded[1]]
    with pytest.raises(AssertionError):
        assert_statistics(inputs[0], recorded[0])
    merged = aggregate(inputs, tmp_path / "merged")
    assert_statistics(tmp_path / "merged", both)
    # Of the fourth, with a single row, everything is exact.
    assert notes(merged) == [f"the statistics of 4 episodes were not those of the rows {SAID}"]
    older = convert(inputs[1], "v2.1", tmp_path / "older")
    assert_statistics(tmp_path / "older", recorded[1])
    assert notes(older) == [f"the statistics of 2 episodes were not those of the rows {SAID}"]
    for made in ("merged", "older"):
        assert [found for found in verify(tmp_path / made, deep=True).findings if found.check == "stats"] == []
    again = aggregate([tmp_path / "merged"], tmp_path / "again")
    assert notes(again) == []
    for path in (EPISODES, "meta/stats.json"):
        assert (tmp_path / "again" / path).read_bytes() == (tmp_path / "merged" / path).read_bytes()
    assert digests(*inputs) == before


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_a_dataset_that_is_appended_to_gets_right_ones(
    tmp_path: Path, recorded: list[list[Rows]], version: str
) -> None:
    base = make(tmp_path, "base", recorded[0], version)
    as_lerobot_has_it(base, recorded[0])
    longer = make(tmp_path, "longer", recorded[1], version, append_to=str(base))
    assert_statistics(longer, [*recorded[0], *recorded[1]])
    report = RunReport.read(tmp_path / "longer.run" / "report.json")
    assert notes(report) == [f"the statistics of 2 episodes were not those of the rows {SAID}"]


def test_statistics_of_other_rows_are_computed(tmp_path: Path, recorded: list[list[Rows]]) -> None:
    root = make(tmp_path, "made", recorded[0])
    table = pq.read_table(root / EPISODES)
    names = [name for name in table.column_names if name.startswith("stats/observation.degrees/")]
    swapped = table.take([1, 0]).select(names)
    for name in names:
        table = table.set_column(table.column_names.index(name), name, swapped.column(name))
    pq.write_table(table, root / EPISODES)
    report = aggregate([root], tmp_path / "out")
    assert [note.partition("(")[2] for note in notes(report)] == [
        "first: episode 0, observation.degrees): recomputed in float64 (LeRobot sums in float32)"
    ]
    assert_statistics(tmp_path / "out", recorded[0])
    for found, rows in zip(of_episodes(tmp_path / "out"), recorded[0], strict=True):
        values = rows["observation.degrees"].astype(np.float64)
        assert found["observation.degrees"]["max"] == values.max(axis=0).tolist()
        assert found["observation.degrees"]["q50"] == np.quantile(values, 0.5, axis=0).tolist()


def test_good_statistics_stay_as_they_are(tmp_path: Path, recorded: list[list[Rows]]) -> None:
    inputs = [make(tmp_path, f"in_{at}", episodes) for at, episodes in enumerate(recorded)]
    assert notes(aggregate(inputs, tmp_path / "merged")) == []
    found = of_episodes(tmp_path / "merged")
    for stats, before in zip(found, [*of_episodes(inputs[0]), *of_episodes(inputs[1])], strict=True):
        assert {key: stats[key] for key in recorded[0][0]} == {key: before[key] for key in recorded[0][0]}
