from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

STATS = "meta/stats.json"


@pytest.fixture
def dataset(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted / "dataset", tmp_path / "dataset"))


def edit(dataset: Path, feature: str, name: str, values: list[float] | None) -> None:
    content = json.loads((dataset / STATS).read_text())
    if values is None:
        del content[feature][name]
    else:
        content[feature][name] = values
    (dataset / STATS).write_text(json.dumps(content))


def test_a_dataset_that_is_right(robotrove: Callable, dataset: Path) -> None:
    found = robotrove("stats", dataset)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == [
        f"{dataset}: 2 episodes, 16 frames",
        "recomputed: 7 features from the rows",
        "nothing to do",
        f"check: robotrove verify {dataset}",
    ]


def test_differences_are_told_and_mended(robotrove: Callable, dataset: Path) -> None:
    right = (dataset / STATS).read_text()
    edit(dataset, "frame_index", "q50", [3.25])
    edit(dataset, "index", "q01", None)
    edit(dataset, "index", "mean", [7.6])
    found = robotrove("stats", dataset, "--check")
    assert found.code == 1
    assert found.out.splitlines() == [
        f"{dataset}: 2 episodes, 16 frames",
        "recomputed: 7 features from the rows",
        "frame_index: 1 value differs (q50)",
        f"  {STATS}: q50 is [3.25]; expected [3.5]",
        "index: 2 values differ (mean, q01), 1 of them missing",
        f"  {STATS}: mean is [7.6]; expected [7.5]",
        f"  {STATS}: q01 is missing; expected [0.15]",
        "3 values differ",
        f"fix: robotrove stats {dataset}",
    ]
    document = robotrove("stats", dataset, "--check", "--json")
    assert document.code == 1
    assert document.json["ok"] is False
    assert document.json["differences"]["frame_index"]["shown"] == [
        {
            "file": STATS,
            "feature": "frame_index",
            "statistic": "q50",
            "episode": None,
            "found": [3.25],
            "expected": [3.5],
        }
    ]
    mended = robotrove("stats", dataset)
    assert mended.code == 0
    assert mended.out.splitlines()[2:] == [
        "frame_index: 1 value changed (q50)",
        "index: 2 values changed (mean, q01), 1 of them missing",
        f"written: {STATS}",
        f"check: robotrove verify {dataset}",
    ]
    assert json.loads((dataset / STATS).read_text()) == json.loads(right)
    assert robotrove("verify", dataset, "--deep").code == 0


def test_cameras(robotrove: Callable, dataset: Path) -> None:
    edit(dataset, "observation.images.front", "std", [[[0.0]]] * 3)
    found = robotrove("stats", dataset, "--check", "--cameras", "--json").json
    assert found["cameras"] == {"observation.images.front": "asked for"}
    [difference] = found["differences"]["observation.images.front"]["shown"]
    assert (difference["statistic"], difference["found"]) == ("std", [[[0.0]]] * 3)
    assert robotrove("stats", dataset, "--cameras").code == 0
    assert robotrove("stats", dataset, "--check", "--cameras").out.splitlines()[-2] == "no differences"


def test_usage(robotrove: Callable, dataset: Path, tmp_path: Path) -> None:
    found = robotrove("stats", tmp_path)
    assert (found.code, "is not a dataset" in found.err) == (2, True)
    found = robotrove("stats", dataset, "--gr00t")
    assert found.code == 2
    assert f"to do: robotrove convert {dataset} --to v2.1" in found.err
