"""`robotrove verify --with-lerobot` with a LeRobot that is there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.tests.judges.releases import RELEASES, V30_RELEASES, need
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline
from robotrove.verification.consumers.installed_lerobot import Seen, seen_by_lerobot


@pytest.mark.parametrize("release", V30_RELEASES)
def test_it_goes_through_all_frames(release: str, tmp_path: Path) -> None:
    need([release])
    done = run_cli(write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 3, 12)]), tmp_path / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    python = os.environ[RELEASES[release]]
    assert seen_by_lerobot(open_dataset(tmp_path / "out"), python) == Seen(release, 36, "")
    spoilt = shutil.copytree(tmp_path / "out", tmp_path / "spoilt")
    info = json.loads((spoilt / "meta/info.json").read_text())
    (spoilt / "meta/info.json").write_text(json.dumps(info | {"total_frames": 30}))
    assert "gives 30 frames of 3 episodes, not 36 of 3" in seen_by_lerobot(open_dataset(spoilt), python).problem
