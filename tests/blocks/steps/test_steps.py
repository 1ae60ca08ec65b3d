"""What filters and maps do to values, row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
import yaml

from robotrove.blocks.episode_step import EpisodeFilter, EpisodeMap
from robotrove.blocks.steps.annotator import Annotator
from robotrove.blocks.steps.column_adder import ColumnAdder, Constant
from robotrove.blocks.steps.episode_selector import Condition, EpisodeSelector
from robotrove.blocks.steps.frame_trimmer import FrameTrimmer
from robotrove.blocks.steps.image_resizer import ImageResizer
from robotrove.blocks.steps.joint_remapper import JointRemapper
from robotrove.blocks.steps.length_filter import LengthFilter
from robotrove.blocks.steps.success_filter import SuccessFilter
from robotrove.blocks.steps.task_relabel import TaskRelabel, TaskRule
from robotrove.blocks.steps.unit_converter import UnitConverter
from robotrove.core.columns import ArrayColumn
from robotrove.core.episode import Episode, EpisodeOrigin
from robotrove.core.errors import EpisodeRejected, RobotroveError, UsageError
from robotrove.core.features import Feature
from robotrove.testing.block_contracts import JOINTS, make_episode

SO101 = [
    f"{name}.pos" for name in ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
]
Policy: TypeAlias = Literal["keep", "failures", "label"]
Missing: TypeAlias = Literal["failure", "success"]


def _reason(ep: Episode) -> tuple[str, bool]:
    assert ep.rejection is not None
    return ep.rejection.reason, ep.rejection.error


class TestBase:
    def test_what_a_filter_says(self) -> None:
        class Picky(EpisodeFilter):
            name = "picky"

            def reject(self, ep: Episode) -> str | None:
                return {1: "short", 2: "short: only 2: really"}.get(ep.length)

        seen = list(Picky().run([make_episode(length) for length in (1, 2, 3)]))
        assert [ep.rejection and (ep.rejection.reason, ep.rejection.detail, ep.rejection.error) for ep in seen] == [
            ("short", "rejected by picky", False),
            ("short", "only 2: really", False),
            None,
        ]

    def test_bad_data_and_errors_cost_the_episode(self) -> None:
        errors = [EpisodeRejected("odd", "row 3"), ZeroDivisionError("no frames"), MemoryError("8 GiB")]

        class Bad(EpisodeMap):
            name = "bad"

            def apply(self, ep: Episode) -> Episode:
                raise errors[ep.length - 1]

        seen = [ep.rejection for ep in Bad().run([make_episode(length) for length in (1, 2, 3)])]
        assert [(why.reason, why.error) for why in seen if why] == [
            ("odd", True), ("step_failed", True), ("too_large", True),
        ]  # fmt: skip
        assert seen[1] is not None
        assert seen[1].detail.startswith("block bad: ZeroDivisionError: no frames, at ")

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), ImportError("no such package")])
    def test_errors_of_the_machine_stop_the_run(self, error: Exception) -> None:
        class Bad(EpisodeMap):
            def apply(self, ep: Episode) -> Episode:
                raise error

        with pytest.raises((RobotroveError, ImportError), match=r"No space left.* at episode|no such package"):
            Bad().visit(make_episode(2))


class TestSuccessFilter:
    @pytest.mark.parametrize(
        ("policy", "missing", "success", "reason"),
        [
            ("keep", "failure", True, None),
            ("keep", "failure", False, "not_successful"),
            ("keep", "failure", None, "no_success_label"),
            ("keep", "success", None, None),
            ("keep", "success", False, "not_successful"),
            ("failures", "failure", True, "successful"),
            ("failures", "failure", False, None),
            ("failures", "failure", None, None),
            ("failures", "success", None, "no_success_label"),
            ("label", "failure", True, None),
            ("label", "failure", False, None),
            ("label", "failure", None, None),
        ],
    )
    def test_policies(self, policy: Policy, missing: Missing, success: bool | None, reason: str | None) -> None:
        ep = SuccessFilter(policy=policy, missing=missing).visit(make_episode(success=success))
        assert (ep.rejection and ep.rejection.reason) == reason
        if ep.rejection is not None:
            assert not ep.rejection.error

    @pytest.mark.parametrize(
        ("success", "missing", "last"),
        [(True, "failure", True), (False, "success", False), (None, "failure", False), (None, "success", True)],
    )
    def test_the_label_is_true_in_the_last_frame_of_a_success_alone(
        self, success: bool | None, missing: Missing, last: bool
    ) -> None:
        ep = SuccessFilter(policy="label", missing=missing).visit(make_episode(4, success=success))
        assert ep.features["next.success"] == Feature("bool", (1,))
        assert ep["next.success"].tolist() == [[False], [False], [False], [last]]
        assert ep["next.success"].dtype == bool

    def test_one_frame(self) -> None:
        ep = SuccessFilter(policy="label").visit(make_episode(1, success=True))
        assert ep["next.success"].tolist() == [[True]]

    def test_without_the_label_no_column_is_added(self) -> None:
        assert "next.success" not in SuccessFilter().visit(make_episode(success=True)).columns


class TestLengthFilter:
    @pytest.mark.parametrize(
        ("length", "reason"), [(4, "too_short"), (5, None), (9, None), (10, "too_long"), (1, "too_short")]
    )
    def test_both_limits_are_inclusive(self, length: int, reason: str | None) -> None:
        ep = LengthFilter(min_length=5, max_length=9).visit(make_episode(length))
        assert (ep.rejection and ep.rejection.reason) == reason
        if ep.rejection is not None:
            assert f"{length} frames" in ep.rejection.detail

    def test_a_single_frame_is_enough_by_default(self) -> None:
        assert LengthFilter().visit(make_episode(1)).rejection is None

    def test_limits_that_leave_nothing(self) -> None:
        with pytest.raises(UsageError, match="max_length 3 is below min_length 4"):
            LengthFilter(min_length=4, max_length=3)

    def test_it_counts_what_is_left_at_its_place(self) -> None:
        trimmed = FrameTrimmer(head=5).visit(make_episode(8))
        assert _reason(LengthFilter(min_length=4).visit(trimmed)) == ("too_short", False)


class TestFrameTrimmer:
    def test_every_column_and_the_rows_used(self) -> None:
        whole = make_episode(8)
        ep = FrameTrimmer(head=2, tail=1).visit(make_episode(8))
        assert ep.length == 5
        assert ep.row_map.rows.tolist() == [2, 3, 4, 5, 6]
        for key in whole.columns:
            np.testing.assert_array_equal(ep[key], whole[key][2:7], err_msg=key)
        np.testing.assert_array_equal(
            np.concatenate(list(ep.frames("observation.images.front"))), whole["observation.images.front"][2:7]
        )

    def test_twice_adds_up(self) -> None:
        ep = FrameTrimmer(tail=2).visit(FrameTrimmer(head=3).visit(make_episode(8)))
        assert ep.row_map.rows.tolist() == [3, 4, 5]
        assert ep["observation.state"][:, 0].tolist() == [30, 40, 50]

    def test_one_frame_may_remain_but_not_none(self) -> None:
        assert FrameTrimmer(head=4, tail=3).visit(make_episode(8))["action"][:, 0].tolist() == [140]
        for head, tail in ((4, 4), (8, 0), (0, 8), (100, 0)):
            assert _reason(FrameTrimmer(head=head, tail=tail).visit(make_episode(8))) == ("nothing_left", True)

    def test_negative_numbers(self) -> None:
        with pytest.raises(UsageError, match="head -1"):
            FrameTrimmer(head=-1)


class TestJointRemapper:
    def test_by_name_both_columns(self) -> None:
        ep = JointRemapper(order=["f", "a", "c"]).visit(make_episode(3))
        assert ep["observation.state"].tolist() == [[5, 0, 2], [15, 10, 12], [25, 20, 22]]
        assert ep["action"].tolist() == [[105, 100, 102], [115, 110, 112], [125, 120, 122]]
        assert ep.features["action"] == Feature("float32", (3,), ("f", "a", "c"))
        assert ep["action"].dtype == np.float32

    def test_other_columns_stay(self) -> None:
        ep = JointRemapper(order=["f"], columns=["action"]).visit(make_episode(2))
        assert ep["action"].tolist() == [[105], [115]]
        assert ep["observation.state"].shape == (2, 6)

    def test_names_given_for_a_recording_without(self) -> None:
        ep = JointRemapper(order=["right", "left"], source_names=["left", "x", "y", "z", "w", "right"])
        assert ep.visit(make_episode(1, names=None))["action"].tolist() == [[105, 100]]

    def test_constants_for_joints_that_are_not_there(self) -> None:
        ep = JointRemapper(order=["b", "hand", "a"], fill={"hand": 0.25}).visit(make_episode(2))
        assert ep["observation.state"].tolist() == [[1, 0.25, 0], [11, 0.25, 10]]

    def test_a_robot_gives_names_to_a_recording_in_its_order(self) -> None:
        ep = JointRemapper(robot="so101").visit(make_episode(2, names=None))
        assert ep.features["action"].names == tuple(SO101)
        assert ep["observation.state"].tolist() == [[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]]

    def test_groups_pick_by_name_from_a_recording_in_the_robots_order(self) -> None:
        """Whichever groups are wanted, in whichever order, the recording is still in the robot's order."""
        ep = JointRemapper(robot="so101", groups=["gripper", "single_arm"]).visit(make_episode(1, names=None))
        assert ep["observation.state"].tolist() == [[5, 0, 1, 2, 3, 4]]
        assert ep.features["action"].names == (SO101[5], *SO101[:5])
        ep = JointRemapper(robot="so101", groups=["gripper"]).visit(make_episode(2, names=None))
        assert ep["action"].tolist() == [[105], [115]]

    def test_groups_pick_from_a_recording_with_names(self) -> None:
        names = (*SO101[3:], *SO101[:3])
        ep = JointRemapper(robot="so101", groups=["gripper"]).visit(make_episode(1, names=names))
        assert ep["observation.state"].tolist() == [[2]]

    def test_a_recording_of_another_width(self) -> None:
        ep = JointRemapper(robot="so101").visit(make_episode(2, names=None, width=7))
        assert _reason(ep) == ("wrong_joint_count", True)
        assert ep.rejection is not None
        assert "7 entries, expected 6" in ep.rejection.detail

    def test_an_unknown_joint_is_told_with_the_nearest(self) -> None:
        ep = JointRemapper(order=["elbow_flx.pos"]).visit(make_episode(2, names=tuple(SO101)))
        assert _reason(ep) == ("unknown_joint", True)
        assert ep.rejection is not None
        assert "did you mean 'elbow_flex.pos'?" in ep.rejection.detail

    def test_columns_in_joint_spaces_of_their_own(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        spaces = {"sim": ["leg", "b", "head", "a"], "driven": ["b", "a"]}
        path.write_text(yaml.safe_dump({"name": "mine", "robot_type": "m", "joints": ["a", "b"], "spaces": spaces}))
        ep = make_episode(2, names=None, width=4)
        ep = ep.with_column("action", ArrayColumn(Feature("float64", (2,)), np.array([[100.0, 101.0], [110.0, 111.0]])))
        out = JointRemapper(robot=str(path), spaces={"observation.state": "sim", "action": "driven"}).visit(ep)
        assert out["observation.state"].tolist() == [[3, 1], [13, 11]]
        assert out["action"].tolist() == [[101, 100], [111, 110]]
        assert out.features["action"] == Feature("float64", (2,), ("a", "b"))
        assert out.features["observation.state"].names == ("a", "b")

    def test_a_recording_that_is_not_in_the_space(self) -> None:
        ep = JointRemapper(robot="gr1", spaces={"action": "action"}).visit(make_episode(2))
        assert _reason(ep) == ("wrong_joint_count", True)
        assert ep.rejection is not None
        assert "6 entries, expected 36" in ep.rejection.detail

    @pytest.mark.parametrize(
        ("column", "reason"), [("observation.images.front", "not_a_vector"), ("acton", "missing_column")]
    )
    def test_columns_that_are_no_vectors(self, column: str, reason: str) -> None:
        assert _reason(JointRemapper(order=["a"], columns=[column]).visit(make_episode())) == (reason, True)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({}, "either robot or order"),
            ({"robot": "so101", "order": ["a"]}, "either robot or order"),
            ({"order": ["a"], "groups": ["arm"]}, "groups without robot"),
            ({"order": ["a"], "spaces": {"action": "sim"}}, "spaces without robot"),
            ({"robot": "g1", "spaces": {"action": "simm"}}, "no joint space 'simm' .did you mean 'sim'"),
            ({"robot": "so101", "spaces": {"action": "sim"}}, "a robot with a joint space"),
            ({"robot": "so110"}, "did you mean 'so101'"),
            ({"robot": "so101", "groups": ["single_arms"]}, "did you mean 'single_arm'"),
        ],
    )
    def test_mistakes_are_told_when_it_is_built(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            JointRemapper(**arguments)


class TestUnitConverter:
    # Joint limits in degrees and motor ranges of the SO-101, as LeIsaac's documentation tabulates them.
    LIMITS = ((-110, 110), (-100, 100), (-100, 90), (-95, 95), (-160, 160), (-10, 100))
    MOTOR = ((-100, 100),) * 5 + ((0, 100),)

    def _leisaac(self, radians: np.ndarray) -> np.ndarray:
        """The documented formula, joint by joint with Python numbers on float32 arrays."""
        out = np.zeros_like(radians)
        for joint, ((low, high), (motor_low, motor_high)) in enumerate(zip(self.LIMITS, self.MOTOR, strict=True)):
            degrees = radians[:, joint] / np.pi * 180
            out[:, joint] = (degrees - low) / (high - low) * (motor_high - motor_low) + motor_low
        return out

    def _episode(self, rows: np.ndarray, names: tuple[str, ...] | None = None) -> Episode:
        ep = make_episode(len(rows), names=names, width=rows.shape[1])
        for key in ("observation.state", "action"):
            ep = ep.with_column(key, ArrayColumn(Feature(rows.dtype.name, rows.shape[1:], names), rows))
        return ep

    def test_radians_to_motor_units_bit_for_bit(self) -> None:
        radians = np.random.default_rng(0).uniform(-4, 4, (5000, 6)).astype(np.float32)
        found = UnitConverter(robot="so101").visit(self._episode(radians))["action"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, self._leisaac(radians))
        assert np.abs(found).max() > 100, "nothing is clipped"

    def test_the_ends_of_the_ranges(self) -> None:
        for end in (0, 1):
            radians = np.deg2rad(np.array([[limits[end] for limits in self.LIMITS]], np.float64))
            found = UnitConverter(robot="so101").visit(self._episode(radians))["observation.state"]
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, [[motor[end] for motor in self.MOTOR]], atol=1e-12)

    def test_entries_with_the_robots_names_are_converted_by_name(self) -> None:
        radians = np.random.default_rng(1).uniform(-1, 1, (10, 6)).astype(np.float32)
        order = [5, 2, 0, 1, 4, 3]
        shuffled = self._episode(radians[:, order], tuple(SO101[joint] for joint in order))
        found = UnitConverter(robot="so101").visit(shuffled)["action"]
        np.testing.assert_array_equal(found, self._leisaac(radians)[:, order])
        gripper = self._episode(radians[:, 5:], (SO101[5],))
        np.testing.assert_array_equal(
            UnitConverter(robot="so101").visit(gripper)["action"], self._leisaac(radians)[:, 5:]
        )

    def test_after_a_remapper_with_groups(self) -> None:
        radians = np.random.default_rng(2).uniform(-1, 1, (4, 6)).astype(np.float32)
        ep = JointRemapper(robot="so101", groups=["gripper", "single_arm"]).visit(self._episode(radians))
        found = UnitConverter(robot="so101").visit(ep)["action"]
        np.testing.assert_array_equal(found, self._leisaac(radians)[:, [5, 0, 1, 2, 3, 4]])

    def test_scale_and_offset(self) -> None:
        ep = UnitConverter(scale=2.0, offset=[0.0, 1, 2, 3, 4, 5]).visit(make_episode(2))
        assert ep["observation.state"].tolist() == [[0, 3, 6, 9, 12, 15], [20, 23, 26, 29, 32, 35]]
        ep = UnitConverter(scale=0.5, columns=["action"]).visit(make_episode(1))
        assert ep["action"].tolist() == [[50, 50.5, 51, 51.5, 52, 52.5]]
        assert ep["observation.state"].tolist() == [[0, 1, 2, 3, 4, 5]]

    @pytest.mark.parametrize(
        ("arguments", "episode", "reason"),
        [
            ({"robot": "so101"}, {"width": 7, "names": None}, "wrong_joint_count"),
            ({"scale": [1.0, 2.0]}, {}, "wrong_joint_count"),
            ({"offset": [1.0] * 7}, {}, "wrong_joint_count"),
            ({"scale": 2.0}, {"dtype": "int64"}, "not_floating"),
            ({"scale": 2.0, "columns": ["velocity"]}, {}, "missing_column"),
        ],
    )
    def test_what_does_not_fit(self, arguments: dict, episode: dict, reason: str) -> None:
        assert _reason(UnitConverter(**arguments).visit(make_episode(**episode))) == (reason, True)

    def test_what_is_no_angle_stays_bit_for_bit(self) -> None:
        rows = np.random.default_rng(3).uniform(-4, 4, (7, 9)).astype(np.float32)
        ep = UnitConverter(robot="lekiwi").visit(self._episode(rows))
        np.testing.assert_array_equal(ep["action"][:, :6], self._leisaac(rows[:, :6]))
        np.testing.assert_array_equal(ep["action"][:, 6:], rows[:, 6:])
        assert ep.features["action"].names == (*SO101, "x.vel", "y.vel", "theta.vel")
        speeds = UnitConverter(robot="lekiwi").visit(self._episode(rows[:, 6:8], ("x.vel", "y.vel")))
        np.testing.assert_array_equal(speeds["action"], rows[:, 6:8])

    def test_each_arm_of_two_on_its_own(self) -> None:
        rows = np.random.default_rng(4).uniform(-4, 4, (7, 12)).astype(np.float32)
        found = UnitConverter(robot="bi_so101").visit(self._episode(rows))["action"]
        np.testing.assert_array_equal(found, np.hstack([self._leisaac(rows[:, :6]), self._leisaac(rows[:, 6:])]))

    def test_another_number_of_entries_is_kept_where_that_is_wanted(self) -> None:
        rows = np.random.default_rng(5).uniform(-4, 4, (7, 8)).astype(np.float32)
        names = tuple(f"dim_{index}" for index in range(8))
        ep = UnitConverter(robot="so101", other_width="keep").visit(self._episode(rows, names))
        np.testing.assert_array_equal(ep["action"], rows)
        assert ep.features["action"].names == names

    def test_a_robot_without_ranges(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"name": "mine", "robot_type": "mine", "joints": [{"name": "a"}]}))
        with pytest.raises(UsageError, match="gives no conversion for joint a"):
            UnitConverter(robot=str(path))
        with pytest.raises(UsageError, match="robot bi_piper gives no conversion at all"):
            UnitConverter(robot="bi_piper")
        with pytest.raises(UsageError, match="robot aloha gives no conversion for joint left_waist"):
            UnitConverter(robot="aloha")
        with pytest.raises(UsageError, match="robot together with scale or offset"):
            UnitConverter(robot="so101", scale=2.0)


class TestAnnotator:
    def test_it_repeats_the_task_index_which_an_episode_has_only_in_a_dataset(self) -> None:
        ep = Annotator(columns=["annotation.human.validity"]).visit(make_episode(3))
        feature = ep.features["annotation.human.validity"]
        assert feature.points_into == "task_index"
        assert Feature.from_json(feature.to_json()).points_into == "task_index", "info.json says it too"
        assert Feature("int64", (1,)).points_into == ""

    def test_texts_of_their_own_are_tasks_of_the_episode(self) -> None:
        """A row has the number of its text among them."""
        ep = Annotator(columns={"annotation.a": "valid", "annotation.b": "sim"}).visit(make_episode(3))
        ep = Annotator(columns={"annotation.c": "good"}).visit(Annotator(columns=["annotation.d"]).visit(ep))
        ep.text = "another"
        assert ep.tasks == ("another", "valid", "sim", "good")
        assert [ep.take(np.array([2, 0]))[f"annotation.{key}"].tolist() for key in "abcd"] == [
            [[number]] * 2 for number in (1, 2, 3, 0)
        ]


class TestColumnAdder:
    def test_the_last_frame_is_that_of_what_is_left(self) -> None:
        columns = {
            "next.reward": Constant(value=0.5, last=2, dtype="float64"),
            "next.done": Constant(value=False, last=True, dtype="bool"),
            "zero": Constant(value=0),
        }
        for blocks in ((ColumnAdder(columns=columns), FrameTrimmer(head=1, tail=2)), (ColumnAdder(columns=columns),)):
            ep = make_episode(6 if len(blocks) == 2 else 3)
            for block in blocks:
                ep = block.visit(ep)
            assert ep["next.reward"].tolist() == [[0.5], [0.5], [2.0]]
            assert ep["next.done"].tolist() == [[False], [False], [True]]
            assert ep["zero"].tolist() == [[0.0]] * 3
            assert [ep[key].dtype.name for key in columns] == ["float64", "bool", "float32"]

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            ("int64", 5.5),
            ("int64", 2**63),
            ("bool", 5),
            ("float32", 1e39),
            ("float64", math.inf),
            ("float32", math.nan),
        ],
    )
    def test_a_value_that_the_column_cannot_hold(self, dtype: Any, value: Any) -> None:
        for other in ({"value": value}, {"value": False, "last": value}):
            with pytest.raises(ValueError, match=f"is not a {dtype}"):
                Constant(dtype=dtype, **other)


class TestImageResizer:
    def test_even_adds_black_below_and_to_the_right(self) -> None:
        whole = make_episode(3)["observation.images.front"]
        ep = ImageResizer(pad="even").visit(make_episode(3))
        found = ep["observation.images.front"]
        assert found.shape == (3, 6, 8, 3)
        np.testing.assert_array_equal(found[:, :5, :7], whole)
        assert not found[:, 5:].any()
        assert not found[:, :, 7:].any()
        assert ep.features["observation.images.front"].shape == (6, 8, 3)

    def test_even_leaves_even_sizes_alone(self) -> None:
        even = make_episode(2, height=4, image_width=6)
        np.testing.assert_array_equal(
            ImageResizer(pad="even").visit(make_episode(2, height=4, image_width=6))["observation.images.wrist"],
            even["observation.images.wrist"],
        )

    def test_square_puts_the_frame_in_the_middle(self) -> None:
        whole = make_episode(2)["observation.images.wrist"]  # 5 x 7
        found = ImageResizer(pad="square").visit(make_episode(2))["observation.images.wrist"]
        assert found.shape == (2, 7, 7, 3)
        np.testing.assert_array_equal(found[:, 1:6], whole)
        assert not found[:, 0].any()
        assert not found[:, 6].any()

    def test_resize_keeps_places_and_colours(self) -> None:
        ep = make_episode(1, height=40, image_width=60)
        frames = np.zeros((1, 40, 60, 3), np.uint8)
        frames[:, :20, :30] = (200, 10, 30)
        frames[:, 20:, 30:] = (5, 90, 250)
        ep = ep.with_column("observation.images.front", ArrayColumn(ep.features["observation.images.front"], frames))
        found = ImageResizer(height=20, width=30, cameras=["observation.images.front"]).visit(ep)[
            "observation.images.front"
        ]
        assert found.shape == (1, 20, 30, 3)
        expected = {(4, 7): (200, 10, 30), (15, 22): (5, 90, 250), (4, 22): (0, 0, 0), (15, 7): (0, 0, 0)}
        for place, colour in expected.items():
            assert np.abs(found[(0, *place)].astype(int) - colour).max() <= 1

    def test_pad_comes_before_resize(self) -> None:
        ep = make_episode(1, height=20, image_width=60)
        frames = np.full((1, 20, 60, 3), 255, np.uint8)
        ep = ep.with_column("observation.images.front", ArrayColumn(ep.features["observation.images.front"], frames))
        found = ImageResizer(height=30, width=30, pad="square", cameras=["observation.images.front"]).visit(ep)[
            "observation.images.front"
        ][0]
        assert found[:8].max() <= 2, "a third above is black"
        assert found[22:].max() <= 2
        assert found[12:18].min() >= 253

    def test_cameras_that_are_not_named_stay(self) -> None:
        ep = ImageResizer(height=2, width=2, cameras=["observation.images.wrist"]).visit(make_episode(1))
        assert ep["observation.images.wrist"].shape == (1, 2, 2, 3)
        assert ep["observation.images.front"].shape == (1, 5, 7, 3)

    def test_a_camera_that_is_not_there(self) -> None:
        ep = ImageResizer(pad="even", cameras=["observation.images.frnt"]).visit(make_episode())
        assert _reason(ep) == ("missing_column", True)
        assert ep.rejection is not None
        assert "did you mean 'observation.images.front'?" in ep.rejection.detail

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"height": 4}, "only one of height and width"),
            ({}, "does nothing"),
            ({"height": 0, "width": 4}, "at least 1 pixel"),
        ],
    )
    def test_mistakes_are_told_when_it_is_built(self, arguments: dict, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            ImageResizer(**arguments)


def test_the_joints_of_the_contract_are_six() -> None:
    assert len(JOINTS) == 6


class TestEpisodeSelector:
    @staticmethod
    def kept(*ids: str, **arguments: Any) -> list[str]:
        episodes = [make_episode(length) for length in range(1, len(ids) + 1)]
        for ep, name in zip(episodes, ids, strict=True):
            ep.id = name
        selected = list(EpisodeSelector(**arguments).run(episodes))
        assert {_reason(ep) for ep in selected if ep.rejection} <= {("not_selected", False)}
        return [ep.id for ep in selected if ep.rejection is None]

    @pytest.mark.parametrize(
        ("keep", "expected"),
        [
            ([1], ["left/a.hdf5:demo_1", "right/a.hdf5:demo_1"]),
            (["1-10"], ["left/a.hdf5:demo_1", "left/a.hdf5:demo_10", "right/a.hdf5:demo_1", "e7.hdf5:data"]),
            ([7], ["e7.hdf5:data"]),  # of the file, as the key has no number
            (["demo_1"], ["left/a.hdf5:demo_1", "right/a.hdf5:demo_1"]),
            (["left/a.hdf5:demo_1"], ["left/a.hdf5:demo_1"]),
            (["a.hdf5:*_1"], ["left/a.hdf5:demo_1", "right/a.hdf5:demo_1"]),
            (["right/*"], ["right/a.hdf5:demo_1"]),
            (["ight/a.hdf5"], []),
            (["emo_1"], []),
            ([], []),
        ],
    )
    def test_entries(self, keep: list[int | str], expected: list[str]) -> None:
        ids = ["left/a.hdf5:data/demo_1", "left/a.hdf5:data/demo_10", "right/a.hdf5:data/demo_1", "e7.hdf5:data"]
        expected = [name.replace(":demo", ":data/demo") for name in expected]
        assert self.kept(*ids, keep=keep) == expected
        assert self.kept(*ids, drop=keep) == [name for name in ids if name not in expected]

    @pytest.mark.parametrize(
        ("field", "op", "value", "lengths"),
        [
            ("length", ">=", 2, [2, 3]),
            ("length", "<", 2, [1]),
            ("length", "in", [1, 3], [1, 3]),
            ("length", "!=", 2, [1, 3]),
            ("task", "==", "pick", [1, 2, 3]),
            ("task", "contains", "ic", [1, 2, 3]),
            ("key", "like", "?", [1, 2, 3]),
            ("success", "==", True, []),  # none has a label
            ("metadata.operator", "==", "ann", [2]),
            ("metadata.operator", "!=", "bob", [2]),  # the others say nothing
            ("metadata.grade", ">=", 3, [2]),
        ],
    )
    def test_conditions(self, field: str, op: Any, value: Any, lengths: list[int]) -> None:
        episodes = [make_episode(length) for length in (1, 2, 3)]
        for ep in episodes:
            ep.id = f"a.hdf5:{ep.length}"
        episodes[1].metadata.update(operator="ann", grade=np.int64(3))  # as attributes of HDF5 are read
        selector = EpisodeSelector(where=[Condition(field=field, op=op, value=value)])
        assert [ep.length for ep in selector.run(episodes) if ep.rejection is None] == lengths

    @pytest.mark.parametrize("entry", ["a[0:12]", "data/a[0:12]", "x.hdf5:data/a[0:12]", "a[0:*]"])
    def test_brackets_and_colons_of_keys_stand_for_themselves(self, entry: str) -> None:
        """Episodes that lie end to end have such keys."""
        keys = ["data/a[0:12]", "data/a[12:24]", "data/a0"]
        episodes = [
            Episode(id=key, text="", length=1, fps=30, columns={}, origin=EpisodeOrigin(file="day/x.hdf5", key=key))
            for key in keys
        ]
        selected = EpisodeSelector(keep=[entry]).run(episodes)
        assert [ep.origin.key for ep in selected if ep.rejection is None] == keys[:1]

    def test_the_number_of_a_folder_is_none_of_an_episode(self) -> None:
        ids = ["day_3/left.hdf5:data", "day_3/left_7.hdf5:data"]
        assert self.kept(*ids, drop=[3]) == ids
        assert self.kept(*ids, drop=[7]) == ids[:1]

    def test_a_list_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("[1, 3-4]")
        ids = [f"a.hdf5:demo_{number}" for number in range(6)]
        assert self.kept(*ids, drop=str(tmp_path / "bad.yaml")) == [ids[0], ids[2], ids[5]]

    def test_what_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("{a: 1}")
        for arguments, told in (
            ({}, "selects nothing"),
            ({"keep": ["9-7"]}, "'9-7' is neither a number nor a range"),
            ({"keep": str(tmp_path / "bad.txt")}, "does not end with .yaml or .json"),
            ({"keep": str(tmp_path / "bad.yaml")}, "is not a list of numbers and texts"),
        ):
            with pytest.raises(UsageError, match=told):
                EpisodeSelector(**arguments)  # type: ignore[arg-type]
        for wrong in ({"op": "<", "value": "3"}, {"op": "in", "value": 3}, {"op": "like", "value": 3}):
            with pytest.raises(ValueError, match=f"{wrong['op']} needs"):
                Condition(field="length", **wrong)
        with pytest.raises(ValueError, match=r"'lenght' is not a field \(did you mean 'length'\?\); expected length, "):
            Condition(field="lenght", value=3)
        # "!=" would keep every episode.
        for strange, told in (
            ({"field": "length", "op": "!=", "value": "12"}, "length is a number, and never '12'"),
            ({"field": "length", "op": "in", "value": [1, "12"]}, "length is a number, and never '12'"),
            ({"field": "success", "op": "!=", "value": "true"}, "success is true or false, and never 'true'"),
            ({"field": "key", "op": "!=", "value": 7}, "key is a text, and never 7"),
            ({"field": "task", "op": ">", "value": 7}, "task is a text, and never 7"),
        ):
            with pytest.raises(ValueError, match=told):
                Condition(**strange)


class TestTaskRelabel:
    def test_tasks_decide_before_rules_and_others_stay(self) -> None:
        long = TaskRule(where=[Condition(field="length", op=">", value=2)], task="a long one")
        any_length = TaskRule(where=[Condition(field="length", op=">", value=1)], task="two rows")
        episodes = [make_episode(length) for length in (1, 2, 3, 4)]
        episodes[3].text = "place"
        relabel = TaskRelabel(tasks={"place": "place the cube"}, rules=[long, any_length])
        assert [ep.tasks for ep in relabel.run(episodes)] == [
            ("pick",),
            ("two rows",),
            ("a long one",),
            ("place the cube",),
        ]
        assert [ep.text for ep in episodes] == ["pick", "pick", "pick", "place"]

    def test_what_is_refused(self) -> None:
        with pytest.raises(UsageError, match="has no new task"):
            TaskRelabel()
        with pytest.raises(UsageError, match="a new task is empty"):
            TaskRelabel(tasks={"pick": " "})
