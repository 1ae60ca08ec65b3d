"""Datasets that LeRobot 0.6.1 recorded and annotated: merged with themselves, they come back equal in LeRobot 0.6.1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from robotrove.formats.lerobot.writers.writer_v30 import texts_table
from robotrove.tests.formats.lerobot.features.test_depth import DEPTH, DEPTHS, MILLIMETRES
from robotrove.tests.judges.releases import run_script
from robotrove.tests.support.datasets.lerobot06 import annotate, call, deepen, entry, measured, picture_rows, tiff, tiny
from robotrove.tests.support.datasets.numbered import aggregate
from robotrove.tests.support.datasets.tiny_v30 import TASKS, TOP
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.dataset.runner import verify

RECORDED = SHARED_DATA / "sims" / "lerobot061"
DEPTH_KEY = "observation.images.front_depth"


def judged(folder: Path, root: Path) -> dict[str, Any]:
    """What LeRobot 0.6.1 sees of a dataset that is merged with itself."""
    assert [f for f in verify(root, deep=True).findings if f.severity == "error"] == []
    merged = folder / "merged"
    aggregate([root, root], merged, on_duplicate="keep")
    assert [f for f in verify(merged, deep=True).findings if f.severity == "error"] == []
    done = run_script("0.6.1", "twice.py", root, merged, folder=folder, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["differing"] == []
    assert seen["frames"][1] == 2 * seen["frames"][0] > 0
    assert seen["compared"] == seen["frames"][1] * len(seen["keys"])
    assert seen["tools"]
    return seen


@pytest.mark.parametrize(
    ("name", "keys", "depth"),
    [
        pytest.param(name, keys, depth, marks=needs(RECORDED / name))
        for name, keys, depth in (
            ("depth_av1", {DEPTH_KEY}, [DEPTH_KEY]),
            ("depth_image", {DEPTH_KEY}, [DEPTH_KEY]),
            ("lang_full", {"language_persistent", "language_events"}, []),
            ("string_av1", {"note", "tactile", "observation.force"}, []),
        )
    ],
)
def test_recordings_of_lerobot_061(tmp_path: Path, name: str, keys: set[str], depth: list[str]) -> None:
    seen = judged(tmp_path, RECORDED / name)
    assert keys <= set(seen["keys"])
    assert seen["depth"] == depth
    assert (seen["entries"] != [0]) == (name == "lang_full")


def deep_rows(root: Path, contents: list[bytes]) -> None:
    """Make TOP pictures of depth."""
    picture_rows(root, contents, DEPTH)
    measured(root, TOP)


SAID = {
    2: [entry(None, None, tool_calls=[call(text="On it – ä", rate=0.25, words=["a", "b"])])],
    13: [entry("x", None)],
}


@pytest.mark.parametrize(
    "change",
    [
        # Near a second keyframe of an episode, which opens a GOP, LeRobot's reader does not find every frame.
        lambda root: deepen(root, g="8"),
        lambda root: deep_rows(root, DEPTHS),
        lambda root: deep_rows(root, [tiff(MILLIMETRES)]),
        lambda root: annotate(root, SAID),
        lambda root: annotate(root, {}),
    ],
    ids=["depth", "metres and millimetres", "millimetres", "annotated", "no events"],
)
def test_datasets_of_the_same_kinds(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = tiny(tmp_path / "one")
    change(root)
    # pandas cannot read the tasks of the tiny dataset.
    pq.write_table(texts_table(TASKS, "task"), root / "meta/tasks.parquet")
    judged(tmp_path, root)
