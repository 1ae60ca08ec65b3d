"""Recordings appended to a dataset that GR00T reads: its files are computed again, from all episodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import column, rows, run_shipped
from robotrove.verification.consumers import CONSUMERS
from robotrove.verification.dataset.runner import own_findings


def test_statistics_are_of_all_rows_and_every_consumer_takes_it(tmp_path: Path) -> None:
    old = write_sample("libero", tmp_path / "old", episodes=2, frames=20, height=48, width=64, seed=1)
    new = write_sample("libero", tmp_path / "new", episodes=3, frames=14, height=48, width=64, seed=2)
    run_shipped("libero_gr00t", old, tmp_path / "out")
    before = json.loads((tmp_path / "out/meta/stats.json").read_text())
    modality = (tmp_path / "out/meta/modality.json").read_bytes()
    report = run_shipped("libero_gr00t", [*old, *new], tmp_path / "longer", f"append_to={tmp_path / 'out'}")
    assert (report.kept, report.rejected) == (3, {"already_in_dataset": 2})
    actions = column(rows(tmp_path / "longer"), "action")
    assert len(actions) == 2 * 19 + 3 * 13
    found = json.loads((tmp_path / "longer/meta/stats.json").read_text())["action"]
    np.testing.assert_array_equal(found["max"], actions.max(axis=0))
    np.testing.assert_allclose(found["q01"], np.quantile(actions.astype(np.float64), 0.01, axis=0), rtol=1e-6)
    assert found != before["action"]
    assert (tmp_path / "longer/meta/modality.json").read_bytes() == modality
    view = open_dataset(tmp_path / "longer")
    for consumer in ("gr00t-n1", "gr00t-n1.6", "gr00t-n1.7"):
        assert not [one for one in own_findings(view, CONSUMERS[consumer]) if one.severity == "error"]
