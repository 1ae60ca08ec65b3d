"""Datasets as other tools write them, converted: LeRobot gives the values of their rows and frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from robotrove.tests.judges.releases import V21_RELEASES, V30_RELEASES, need, run_script
from robotrove.tests.pipelines.run.test_run_other_tools import (
    CHW,
    FRAMES,
    TEXTS,
    as_v20,
    clock_times,
    edit_column,
    edit_feature,
    film,
    renumber,
    to_disk,
)
from robotrove.tests.support.datasets import tiny_v21, tiny_v30
from robotrove.tests.support.datasets.numbered import convert, quickly
from robotrove.tests.support.datasets.tiny_v30 import FPS, FRONT, LENGTHS, STARTS


def at_rates(root: Path) -> None:
    for number, rate in enumerate((Fraction(15), Fraction(30000, 1001), Fraction(25), Fraction(60), Fraction(5))):
        film(root / tiny_v21.video_path(FRONT, number), *STARTS[number : number + 2].tolist(), rate)


def at_times_of_a_clock(root: Path) -> None:
    for number, (first, end) in enumerate(pairwise(STARTS.tolist())):
        times = pa.array(clock_times(0.01, 1.75e9)[first:end])
        edit_column(root / tiny_v21.data_path(number), "timestamp", lambda old, new=times: new)


CHANGES: dict[str, Callable[[Path], object]] = {
    "v2.0": as_v20,
    "gaps": renumber,
    "rates": at_rates,
    "times": at_times_of_a_clock,
    "cameras": lambda root: edit_feature(root, FRONT, shape=CHW, names=None),
    "links": lambda root: to_disk(root, "videos", root.parent / "disk"),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each dataset in both versions: NAME/v2.1, NAME/v3.0."""
    folder = tmp_path_factory.mktemp("converted")
    with quickly():
        for name, change in CHANGES.items():
            root = folder / name / "source"
            tiny_v21.build(root)
            change(root)
            for version in ("v2.1", "v3.0"):
                convert(root, version, folder / name / version, times="index")
    return folder


@pytest.mark.parametrize("release", [*V21_RELEASES, *V30_RELEASES])
def test_rows_and_frames(release: str, converted: Path, tmp_path: Path) -> None:
    need([release])
    version = "v2.1" if release in V21_RELEASES else "v3.0"
    roots = [converted / name / version for name in CHANGES]
    done = run_script(release, "rows.py", "observation.state", FRONT, *roots, folder=tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    state = tiny_v30.columns()["observation.state"]
    frame_index = np.concatenate([np.arange(length) for length in LENGTHS])
    episodes = np.repeat(range(len(LENGTHS)), LENGTHS)
    for name, found in zip(CHANGES, seen, strict=True):
        assert np.array_equal(np.array(found["values"], np.float32), state), name
        assert found["tasks"] == TEXTS, name
        assert np.array_equal(found["places"], np.stack([episodes, frame_index, FRAMES], axis=1)), name
        assert found["times"] == (frame_index / FPS).astype(np.float32).tolist(), name
        assert (np.array(found["red"]) / 10).round().astype(int).tolist() == FRAMES, name
        np.testing.assert_allclose(found["stats"], state.astype(np.float64).mean(axis=0), rtol=1e-5)
