"""dataset_stats alone: on a dataset outside of a run, and again where something is missing meanwhile."""

from __future__ import annotations

import gc
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset import dataset_stats as module
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.tests.support.datasets.numbered import FRONT, Made, make

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path, "made", [6, 9, 4], ["x", "y"], 0)


def stats(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "meta/stats.json").read_text())
    return found


@pytest.mark.parametrize("units", [1, 2, 16])
def test_it_replaces_the_statistics(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: int) -> None:
    monkeypatch.setattr(module, "_UNITS", units)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    before = stats(made.root)
    (made.root / "meta/stats.json").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DatasetStats(dataset=str(made.root)).run_here()
        gc.collect()
    assert not list((tmp_path / "temporary").iterdir())
    found = stats(made.root)
    assert {key: entry for key, entry in found.items() if key != FRONT} == {
        key: entry for key, entry in before.items() if key != FRONT
    }
    for key in ("action", "observation.state", "observation.matrix", "observation.stage"):
        rows = np.concatenate([episode.rows[key] for episode in made.episodes]).astype(np.float64)
        rows = rows.reshape(-1, rows.shape[-1])
        for name, quantile in QUANTILES.items():
            np.testing.assert_array_equal(found[key][name], np.quantile(rows, quantile, axis=0))
        np.testing.assert_array_equal(found[key]["max"], rows.max(axis=0))


def test_the_same_block_again_sees_what_is_missing_meanwhile(made: Made) -> None:
    block = DatasetStats(dataset=str(made.root))
    block.run_here()
    before = stats(made.root)
    [path] = (made.root / "meta/episodes").rglob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([f"stats/{FRONT}/std"]), path)
    block.run_here()
    assert f"stats/{FRONT}/std" in pq.read_schema(path).names
    found = stats(made.root)
    assert found.keys() == before.keys()
    assert found[FRONT].keys() == before[FRONT].keys()
    np.testing.assert_allclose(found[FRONT]["mean"], before[FRONT]["mean"], atol=0.02)  # of stored frames now
    assert {key: entry for key, entry in found.items() if key != FRONT} == {
        key: entry for key, entry in before.items() if key != FRONT
    }
