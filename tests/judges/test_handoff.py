"""What `robotrove handoff lerobot` writes trains: two steps of a small ACT on our dataset, in each LeRobot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robotrove.cli.datasets.handoff import command
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.judges.releases import RELEASES, TIMEOUT_S, V21_RELEASES, V30_RELEASES, need
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

# Nothing is fetched, and a processor is enough.
SMALL = [
    *("--policy.device=cpu", "--policy.pretrained_backbone_weights=null", "--policy.use_vae=false"),
    *("--policy.chunk_size=8", "--policy.n_action_steps=8", "--policy.dim_model=32", "--policy.n_heads=2"),
    *("--policy.dim_feedforward=32", "--steps=2", "--batch_size=2", "--num_workers=0"),
]
CHECKPOINT = "checkpoints/checkpoints/000002/pretrained_model"
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
OTHER = {FRONT: "observation.images.camera1", WRIST: "observation.images.camera2"}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return one for each release, in its version."""
    folder = tmp_path_factory.mktemp("handoff")
    files = write_sample("leisaac", folder, episodes=2, frames=30, height=48, width=64)
    made = {version: folder / version for version in ("v2.1", "v3.0")}
    for version, path in made.items():
        run_shipped("leisaac_so101", files, path, f"formats=[{version}]")
    return {release: made["v2.1" if release in V21_RELEASES else "v3.0"] for release in RELEASES}


def handoff(*arguments: str | Path) -> None:
    command.main(["lerobot", *map(str, arguments)], standalone_mode=False)


def start(script: Path, programs: Path, home: Path, *options: str) -> str:
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = known | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HF_HOME": str(home)}
    done = subprocess.run(
        ["bash", script, *options],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def understood(release: str, script: Path, tmp_path: Path) -> dict[str, Any]:
    """Return what the options of a script mean to a release, by its own parser."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    judge = Path(__file__).with_name("train_options.py")
    (programs / "lerobot-train").write_text(f'#!/bin/sh\nexec {os.environ[RELEASES[release]]} {judge} "$@"\n')
    (programs / "lerobot-train").chmod(0o755)
    shown: dict[str, Any] = json.loads(start(script, programs, tmp_path / "home").splitlines()[-1])
    return shown


def renamed(checkpoint: Path, folder: Path) -> Path:
    """Copy a policy, and give its cameras other names: the weights of ACT do not depend on them."""
    shutil.copytree(checkpoint, folder)
    for path in folder.glob("*.json"):
        text = path.read_text()
        for old, new in OTHER.items():
            text = text.replace(old, new)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("release", RELEASES)
def test_lerobot_trains(release: str, datasets: dict[str, Path], tmp_path: Path) -> None:
    """A new policy, and from its checkpoint on; from 0.4.0 on also one with other names for the cameras."""
    need([release])
    programs = Path(os.environ[RELEASES[release]]).parent
    handoff(datasets[release], "-o", tmp_path / "train")
    start(tmp_path / "train/train.sh", programs, tmp_path / "home", *SMALL)
    checkpoint = tmp_path / "train" / CHECKPOINT
    assert (checkpoint / "model.safetensors").is_file()
    policy = renamed(checkpoint, tmp_path / "policy") if release in V30_RELEASES else checkpoint
    handoff(datasets[release], "-o", tmp_path / "more", "--pretrained", policy)
    found = understood(release, tmp_path / "more/train.sh", tmp_path)
    assert (found["policy"], found["pretrained"]) == ("act", str(policy))
    assert found["rename_map"] == (OTHER if release in V30_RELEASES else None)
    start(tmp_path / "more/train.sh", programs, tmp_path / "home", *SMALL[-3:])
    assert (tmp_path / "more" / CHECKPOINT / "model.safetensors").is_file()


@pytest.mark.parametrize("release", RELEASES)
def test_its_parser_knows_the_options(release: str, datasets: dict[str, Path], tmp_path: Path) -> None:
    need([release])
    handoff(datasets[release], "-o", tmp_path / "out", "--policy", "diffusion")
    found = understood(release, tmp_path / "out/train.sh", tmp_path)
    defaults = found.pop("defaults")
    name = datasets[release].name
    assert found == {
        "repo_id": f"local/{name}",
        "root": str(datasets[release]),
        "policy": "diffusion",
        "pretrained": "None",
        "push": False,
        "job": f"diffusion-{name}",
        "output": str(tmp_path / "out/checkpoints"),
        "rename_map": None if release in V21_RELEASES else {},
        "wandb": False,
    }
    evaluation = "env_eval_freq" if release == "0.6.1" else "eval_freq"
    assert set(defaults) == {"steps", "batch_size", "num_workers", "save_freq", evaluation}
    shown = dict(re.findall(r"--(\w+)=(\d+)", (tmp_path / "out/train.sh").read_text()))
    assert {option: int(shown[option]) for option in defaults} == defaults
