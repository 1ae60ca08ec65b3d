"""Edited datasets in LeRobot: every value is that of the dataset before, but for what was to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robotrove.tests.judges.other_tools import FPS, PAIR, VECTORS, VIDEOS, joints
from robotrove.tests.judges.recordings import FRONT, WRIST, Recorder
from robotrove.tests.judges.releases import run_script
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.datasets.numbered import make_both
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.dataset.runner import verify

RECORDED = SHARED_DATA / "sims" / "lerobot061"
HEAD = "observation.images.head"


def edited(folder: Path, root: Path, release: str, dropped: list[str]) -> dict[str, Any]:
    """What a release sees of a dataset without its episode 1 and some features, with renamed ones and new tasks."""
    renamed = {FRONT: HEAD, "action": "actions"}
    changes = ["--drop", "1", "--task", "2-2=put it down", "--robot-type", "so102"]
    changes += [text for old, new in renamed.items() for text in ("--rename-feature", f"{old}={new}")]
    changes += [text for name in dropped for text in ("--drop-feature", name)]
    done = run_robotrove("edit", root, "-o", folder / "out", *changes)
    assert done.returncode == 0, done.stderr
    assert [f for f in verify(folder / "out", deep=True).findings if f.severity == "error"] == []
    info = json.loads((root / "meta/info.json").read_text())
    episodes = [number for number in range(info["total_episodes"]) if number != 1]
    edit = {"episodes": episodes, "names": {new: old for old, new in renamed.items()}, "tasks": {"1": "put it down"}}
    (folder / "edit.json").write_text(json.dumps(edit))
    offline = {"HF_HUB_OFFLINE": "1"}
    done = run_script(release, "edited.py", root, folder / "out", folder / "edit.json", folder=folder, **offline)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["differing"] == []
    assert seen["frames"][0] == seen["frames"][1] > 0
    assert seen["compared"] > 8 * seen["frames"][1]
    assert seen["robot_type"] == "so102"
    assert {HEAD, "actions"} <= set(seen["stats"])
    assert not {FRONT, "action", *dropped} & set(seen["stats"])
    return seen


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        pytest.param(name, dropped, marks=needs(RECORDED / name))
        for name, dropped in (
            ("depth_av1", ["observation.state"]),
            ("depth_image", ["observation.images.front_depth"]),
            ("lang_full", ["observation.state"]),
            ("string_av1", ["note", "tactile"]),
        )
    ],
)
def test_recordings_of_lerobot_061(tmp_path: Path, name: str, dropped: list[str]) -> None:
    assert edited(tmp_path, RECORDED / name, "0.6.1", dropped)["dropped"] == dropped


@pytest.mark.parametrize("release", ["0.3.3", "0.4.4", "0.6.1"])
def test_recordings_of_each_release(tmp_path: Path, release: str) -> None:
    recorder = Recorder(tmp_path / release)
    lengths, tasks = PAIR["a"]
    features = VECTORS | VIDEOS
    recorder.record("a", lengths, tasks, features=features, fps=FPS, first=10, given=joints(10, sum(lengths)))
    assert not (errors := recorder.run(release)), errors
    seen = edited(tmp_path, tmp_path / release / "a", release, [WRIST, "note"])
    assert seen["dropped"] == sorted([WRIST, "note"])


@pytest.mark.parametrize("release", ["0.3.3", "0.4.4", "0.6.1"])
def test_datasets_of_ours(tmp_path: Path, release: str) -> None:
    make_both(tmp_path, "ours", [5, 4, 6], ["pick", "place"], 0, {FRONT: (64, 64), WRIST: (32, 48)})
    root = tmp_path / ("ours_v21" if release == "0.3.3" else "ours")
    assert edited(tmp_path, root, release, [WRIST])["dropped"] == [WRIST]
