"""Every registered block passes the contract of its kind."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest

from robotrove.blocks import BLOCKS
from robotrove.blocks.binding import Bound
from robotrove.blocks.episode_step import EpisodeStep
from robotrove.core.episode import Episode
from robotrove.core.errors import RobotroveError
from robotrove.pipelines.spec.arguments import BlockSpec, build
from robotrove.testing.block_contracts import BlockContract, StepContract, make_episode


class TestSuccessFilter(StepContract):
    cls = BLOCKS["success_filter"]
    arguments: ClassVar[dict[str, Any]] = {"policy": "label", "missing": "success"}


class TestLengthFilter(StepContract):
    cls = BLOCKS["length_filter"]
    arguments: ClassVar[dict[str, Any]] = {"min_length": 2, "max_length": 50}


class _WithModels(StepContract):
    """Its arguments contain models, which a pipeline file has as mappings."""

    def make(self, **changes: Any) -> EpisodeStep:
        step = build(BlockSpec(self.cls.name, {**self.arguments, **changes}))
        assert isinstance(step, EpisodeStep)
        return step


class TestEpisodeSelector(_WithModels):
    cls = BLOCKS["episode_selector"]
    arguments: ClassVar[dict[str, Any]] = {
        "keep": ["demo_*", 3, "5-7"],
        "drop": ["b.hdf5:demo_1"],
        "where": [{"field": "length", "op": ">=", "value": 2}],
    }


class TestTaskRelabel(_WithModels):
    cls = BLOCKS["task_relabel"]
    arguments: ClassVar[dict[str, Any]] = {
        "tasks": {"pick": "pick up the cube"},
        "rules": [{"where": [{"field": "key", "op": "==", "value": "demo_1"}], "task": "place the cube"}],
    }


class TestFrameTrimmer(StepContract):
    cls = BLOCKS["frame_trimmer"]
    arguments: ClassVar[dict[str, Any]] = {"head": 1, "tail": 2}


class TestJointRemapper(StepContract):
    cls = BLOCKS["joint_remapper"]
    arguments: ClassVar[dict[str, Any]] = {
        "robot": None,
        "groups": None,
        "order": ["f", "z", "a"],
        "source_names": list("abcdef"),
        "fill": {"z": 0.5},
        "columns": ["action"],
    }


class TestJointRemapperOfAJointSpace(StepContract):
    cls = BLOCKS["joint_remapper"]
    arguments: ClassVar[dict[str, Any]] = {"robot": "droid", "spaces": {"observation.state": "state"}}

    def episode(self) -> Episode:
        return make_episode(width=13, names=None)


class TestUnitConverter(StepContract):
    cls = BLOCKS["unit_converter"]
    arguments: ClassVar[dict[str, Any]] = {
        "scale": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "offset": -1.5,
        "other_width": "keep",
        "columns": ["action"],
    }


class TestUnitConverterOfARobot(StepContract):
    cls = BLOCKS["unit_converter"]
    arguments: ClassVar[dict[str, Any]] = {"robot": "so101"}


class TestImageResizer(StepContract):
    cls = BLOCKS["image_resizer"]
    arguments: ClassVar[dict[str, Any]] = {
        "height": 10,
        "width": 12,
        "pad": "square",
        "cameras": ["observation.images.front"],
    }


class _AddsColumns(_WithModels):
    def test_without_its_columns_the_episode_is_rejected_and_nothing_else_happens(self) -> None:
        """It needs none, and refuses one that is there."""
        ep = self.make().visit(self.make().visit(self.episode()))
        assert ep.rejection is not None
        assert (ep.rejection.reason, ep.rejection.error) == ("duplicate_column", True)


class TestAnnotator(_AddsColumns):
    cls = BLOCKS["annotator"]
    arguments: ClassVar[dict[str, Any]] = {"columns": ["annotation.human.task_description"]}


class TestColumnAdder(_AddsColumns):
    cls = BLOCKS["column_adder"]
    arguments: ClassVar[dict[str, Any]] = {
        "columns": {
            "next.done": {"value": False, "last": True, "dtype": "bool"},
            "next.reward": {"value": 0.25, "last": 1.0, "dtype": "float64"},
        }
    }


class TestHdf5Reader(BlockContract):
    cls = BLOCKS["hdf5_reader"]
    arguments: ClassVar[dict[str, Any]] = {
        "files": ["/nowhere/a.hdf5", "/nowhere/*.h5"],
        "layout": "isaaclab",
        "columns": {"action": {"from": "actions", "slice": [0, 3]}},
        "task": "pick",
        "fps": 25,
    }


class TestShardWriter(BlockContract):
    cls = BLOCKS["shard_writer"]
    arguments: ClassVar[dict[str, Any]] = {"robot_type": "so101", "video": {"codec": "libx264", "crf": 20}}


class TestAggregator(BlockContract):
    cls = BLOCKS["aggregator"]
    arguments: ClassVar[dict[str, Any]] = {
        "datasets": ["/nowhere/a", "/nowhere/b"],
        "on_mismatch": "reencode",
        "times": "index",
        "video": {"codec": "libx264", "crf": 20},
    }


class TestDowngrader(BlockContract):
    cls = BLOCKS["downgrader"]
    arguments: ClassVar[dict[str, Any]] = {
        "datasets": ["/nowhere/a"],
        "reference_exact": True,
        "allow_long": True,
        "times": "index",
        "video": {"g": 5},
    }


class TestDatasetStats(BlockContract):
    cls = BLOCKS["dataset_stats"]
    arguments: ClassVar[dict[str, Any]] = {"dataset": "/nowhere"}


class TestGr00tFiles(BlockContract):
    cls = BLOCKS["gr00t_files"]
    arguments: ClassVar[dict[str, Any]] = {"robot": "gr1"}


class TestVerifier(BlockContract):
    cls = BLOCKS["verifier"]
    arguments: ClassVar[dict[str, Any]] = {"deep": True}


class TestHubPublisher(BlockContract):
    cls = BLOCKS["hub_publisher"]
    arguments: ClassVar[dict[str, Any]] = {
        "repo_id": "lab/cubes",
        "version": "v2.1",
        "branch": "v2.1",
        "public": True,
        "license": "mit",
        "verify": False,
        "dataset": "/nowhere",
    }


class TestOsmoPublisher(BlockContract):
    cls = BLOCKS["osmo_publisher"]
    arguments: ClassVar[dict[str, Any]] = {"dataset": "isaac/gr1_bottle:v2", "verify": False}


def test_none_is_missing_here() -> None:
    suites = [suite for suite in globals().values() if inspect.isclass(suite) and issubclass(suite, BlockContract)]
    covered = {suite.cls.name for suite in suites if "cls" in vars(suite)}
    assert covered == set(BLOCKS)


@pytest.mark.parametrize("name", BLOCKS)
def test_outside_of_a_run_it_says_what_it_needs(name: str) -> None:
    required = {
        "hdf5_reader": {"files": ["x.hdf5"], "layout": "isaaclab"},
        "hub_publisher": {"repo_id": "lab/cubes"},
        "gr00t_files": {"robot": "gr1"},
        "osmo_publisher": {"dataset": "cubes"},
    }
    if not issubclass(BLOCKS[name], Bound):
        return
    with pytest.raises(RobotroveError, match=r"used outside of a run[\s\S]*Pipeline"):
        _ = BLOCKS[name](**required.get(name, {})).binding


def test_the_episode_of_these_tests_has_different_values_everywhere() -> None:
    ep = make_episode()
    assert len(set(ep["action"].ravel().tolist())) == ep["action"].size


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_has_the_name_under_which_it_is_registered(name: str) -> None:
    assert BLOCKS[name].name == name
