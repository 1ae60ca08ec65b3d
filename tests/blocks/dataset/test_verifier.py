"""The verifier in a run: nothing that is wrong gets the name of the output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.core.errors import RankFailed
from robotrove.tests.support.pipelines.runs import run_here, sample, write_pipeline

BLOCKS = ["aggregator", "dataset_stats", "downgrader", "verifier"]


def test_what_is_right_gets_its_name(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 12)], dataset=BLOCKS)
    report = run_here(pipeline, tmp_path / "out")
    assert (report.kept, len(report.datasets)) == (3, 2)


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_what_is_wrong_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 12)], dataset=BLOCKS)
    out = tmp_path / "out"

    def spoil(self: DatasetStats) -> None:
        info = self.binding.finished_root(version) / "meta/info.json"
        info.write_text(json.dumps(json.loads(info.read_text()) | {"total_frames": 35}))

    with monkeypatch.context() as patch:
        # Between the blocks that make datasets and the one that checks them; of v2.1 the last word is the downgrader's.
        patch.setattr("robotrove.blocks.dataset.verifier.Verifier.plan", spoil)
        with pytest.raises(RankFailed, match=rf"(?s)stage 4-verifier\.process: .*{version}: \d+ problems") as caught:
            run_here(pipeline, out)
    assert "total_frames" in str(caught.value)
    assert not out.exists()
