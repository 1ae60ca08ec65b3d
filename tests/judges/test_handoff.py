"""What `robotrove handoff lerobot` writes trains: two steps of a small ACT on our dataset, in each LeRobot."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from robotrove.cli.datasets.handoff import command
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.judges.releases import RELEASES, TIMEOUT_S, V21_RELEASES, need
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

# Nothing is fetched, and a processor is enough.
SMALL = [
    *("--policy.device=cpu", "--policy.pretrained_backbone_weights=null", "--policy.use_vae=false"),
    *("--policy.chunk_size=8", "--policy.n_action_steps=8", "--policy.dim_model=32", "--policy.n_heads=2"),
    *("--policy.dim_feedforward=32", "--steps=2", "--batch_size=2", "--num_workers=0"),
]


@pytest.mark.parametrize("release", RELEASES)
def test_lerobot_trains(release: str, tmp_path: Path) -> None:
    need([release])
    files = write_sample("leisaac", tmp_path, episodes=2, frames=30, height=48, width=64)
    version = "v2.1" if release in V21_RELEASES else "v3.0"
    run_shipped("leisaac_so101", files, tmp_path / "out", f"formats=[{version}]")
    command.main(["lerobot", str(tmp_path / "out"), "-o", str(tmp_path / "train")], standalone_mode=False)
    programs = Path(os.environ[RELEASES[release]]).parent
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = known | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["bash", tmp_path / "train/train.sh", *SMALL],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "train/checkpoints/checkpoints/000002/pretrained_model/model.safetensors").is_file()
