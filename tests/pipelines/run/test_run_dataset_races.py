"""What happens around a run of datasets while it works: inputs that change, another run into the same output."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.blocks.dataset.downgrader import Downgrader
from robotrove.core.errors import RobotroveError, RunChanged
from robotrove.executors.executor import Executor
from robotrove.executors.rank_runner import RankRunner
from robotrove.executors.stage import Stage
from robotrove.pipelines.pipeline import Pipeline

from ...support.datasets.expected import assert_holds
from ...support.datasets.numbered import FRONT, SIZES, Made, aggregate, convert, digests, make, quickly
from ...support.datasets.on_disk import OnDisk

pytestmark = pytest.mark.slow


class Before(Executor):
    """Runs ranks in this process, and does something before a stage."""

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self._name = name
        self._act = act

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        if stage.name == self._name:
            self._act()
        RankRunner(stage).run()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    folder = tmp_path_factory.mktemp("races")
    with quickly():
        return [make(folder, name, [5, 7], ["x", "y"], 20 * number) for number, name in enumerate(("one", "two"))]


def joining(two: list[Made]) -> Pipeline:
    return Pipeline(dataset=[Aggregator(datasets=[str(made.root) for made in two]), DatasetStats()])


@pytest.mark.parametrize("stage", ["1-aggregator.process", "1-aggregator.finish", "2-dataset_stats.finish"])
def test_an_input_that_changes_meanwhile_makes_no_dataset(two: list[Made], tmp_path: Path, stage: str) -> None:
    (video,) = sorted((two[1].root / "videos" / FRONT).rglob("*.mp4"))
    state = video.stat()
    try:
        with pytest.raises(RunChanged, match=f"dataset {two[1].root} was changed"):
            joining(two).run(output=tmp_path / "out", executor=Before(stage, lambda: os.utime(video)))
    finally:
        os.utime(video, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not (tmp_path / "out").exists()


def test_two_runs_into_one_output_leave_each_other_alone(two: list[Made], tmp_path: Path) -> None:
    output = tmp_path / "out"

    def other() -> None:
        joining(two).run(output=output, run_dir=tmp_path / "other", executor=Before("", lambda: None))

    with pytest.raises(RobotroveError, match="was created by another run during this one"):
        joining(two).run(output=output, run_dir=tmp_path / "mine", executor=Before("commit", other))
    assert_holds(OnDisk(output), [episode for made in two for episode in made.episodes])
    assert len(list(tmp_path.glob("out.partial-*"))) == 1  # what this run made: nothing of anybody is deleted


def test_another_size_is_refused_whatever_is_said(two: list[Made], tmp_path: Path) -> None:
    """info.json says one size, the files hold others, as no LeRobot checks."""
    other = make(tmp_path / "in", "other", [4], ["x"], 90, sizes=SIZES | {FRONT: (96, 64)})
    info = other.root / "meta/info.json"
    info.write_text(info.read_text().replace("96", "64"))
    before = digests(other.root)
    for mismatch in ("refuse", "reencode"):
        output = tmp_path / mismatch
        with pytest.raises(RobotroveError, match=rf"{other.root}, episode 0, {FRONT}: frames are 64x96"):
            aggregate([two[0].root, other.root], output, on_mismatch=mismatch)
        assert not output.exists()
    assert digests(other.root) == before


def test_rows_of_another_task_than_meta_says_are_refused(two: list[Made], tmp_path: Path) -> None:
    convert(two[0].root, "v2.1", tmp_path / "old")
    episodes = tmp_path / "old/meta/episodes.jsonl"
    episodes.write_text(episodes.read_text().replace('["x"]', '["y"]'))
    with pytest.raises(RobotroveError, match=r"old/data/.*episode 0 has rows with the task 'x'"):
        aggregate([tmp_path / "old"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_unit_has_many_episodes_of_many_files(two: list[Made], tmp_path: Path) -> None:
    """One row group per file would otherwise be read for each episode: quadratic time."""
    convert(two[0].root, "v2.1", tmp_path / "old")
    again = Pipeline(dataset=[Downgrader(datasets=[str(tmp_path / "old")] * 3, on_duplicate="keep")])
    again.run(output=tmp_path / "out", executor=Before("", lambda: None))
    block = (tmp_path / "out.run/plans/downgrader/plan.json").read_text()
    assert block.count('"first": 0, "last": 6') == 1 + len(SIZES)
    assert_holds(OnDisk(tmp_path / "out"), two[0].episodes * 3)
