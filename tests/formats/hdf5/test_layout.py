from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected, UsageError
from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.layout import guess_layout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.demos import STATE, demo, rejected
from robotrove.tests.support.places import SHARED_DATA, needs

FRAMES = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        yield file


def test_unequal_lengths_lists_each(file: h5py.File) -> None:
    demo(file, **{"obs/front": FRAMES[:3]})
    error = rejected(file)
    assert error.reason == "unequal_lengths"
    assert "action 4, observation.state 4, observation.images.front 3" in error.detail


def test_no_rows(file: h5py.File) -> None:
    demo(file, **{"actions": STATE[:0], "obs/joint_pos": STATE[:0]})
    assert rejected(file).reason == "empty_episode"


def test_no_state_says_what_to_do(file: h5py.File) -> None:
    demo(file, **{"obs/joint_pos": None, "obs/other": STATE})
    error = rejected(file)
    assert (error.reason, "columns:" in error.detail) == ("missing_dataset", True)


def test_a_gone_episode_and_a_dangling_link(file: h5py.File) -> None:
    demo(file)
    file["data/demo_1"] = h5py.SoftLink("/nowhere")
    file["data/note"] = 3
    assert LAYOUTS["isaaclab"]().list(file) == ["data/demo_0", "data/demo_1"]
    assert rejected(file, key="data/demo_1").reason == "missing_dataset"
    assert rejected(file, key="data/demo_7").reason == "missing_dataset"


def test_names_of_groups_are_only_names(file: h5py.File) -> None:
    names = ["..", "demo 1", "démo_2", "a:b", "~", "$HOME"]
    for name in names:
        demo(file, name)
    layout = LAYOUTS["isaaclab"]()
    episodes = [layout.open(file, key) for key in layout.list(file)]
    assert {ep.origin.key for ep in episodes} == {f"data/{name}" for name in names}
    assert all((ep["action"] == STATE).all() for ep in episodes)


def test_a_name_that_is_no_text_is_one_rejection(file: h5py.File) -> None:
    demo(file, "demo_0")
    file["data"].create_group(b"demo_\xff")
    layout = LAYOUTS["isaaclab"]()
    assert layout.list(file) == ["data/demo_0", "data/demo_\\xff"]
    assert rejected(file, key="data/demo_\\xff").reason == "missing_dataset"
    assert layout.open(file, "data/demo_0").length == 4


def test_nested_observations_and_camera_groups(file: h5py.File) -> None:
    demo(
        file,
        **{
            "obs/joint_pos": None,
            "obs/policy/joint_pos": STATE + 1,
            "obs/cams/front_rgb": FRAMES + 1,
            "obs/mask": FRAMES[..., 0].astype(np.int32),
            "obs/depth": FRAMES[..., :1].astype(np.float32),
            "camera_obs/pov_rgb": FRAMES + 2,
            "camera_obs/cams/front": FRAMES + 3,
        },
    )
    ep = LAYOUTS["isaaclab"]().open(file, "data/demo_0")
    assert (ep["observation.state"] == STATE + 1).all()
    values = {key: int(ep[key][0, 0, 0, 0]) for key in ep.columns if "images" in key}
    assert values == {
        "observation.images.cams.front": 1,
        "observation.images.pov": 2,
        "observation.images.camera_obs.cams.front": 3,
    }
    assert ep.origin.unused == ("obs/depth", "obs/mask")


def test_two_arms_and_humanoids(file: h5py.File) -> None:
    demo(file, **{"obs/joint_pos": None, "obs/right_joint_pos": STATE + 1, "obs/left_joint_pos": STATE})
    demo(file, "demo_1", **{"obs/joint_pos": None, "obs/robot_joint_pos": STATE + 5})
    layout = LAYOUTS["isaaclab"]()
    both = layout.open(file, "data/demo_0")
    np.testing.assert_array_equal(both["observation.state"], np.concatenate([STATE, STATE + 1], axis=1))
    assert both.features["observation.state"].names[2:4] == ("left_joint_pos_2", "right_joint_pos_0")
    np.testing.assert_array_equal(layout.open(file, "data/demo_1")["observation.state"], STATE + 5)


@pytest.mark.parametrize(
    ("arguments", "fps", "expected"),
    [
        ({"dt": 0.01, "decimation": 5}, None, (20, "file", False)),
        ({"dt": 1 / 60, "decimation": 1}, 25, (60, "file", False)),
        ({"dt": 0.005}, 25, (25, "pipeline", False)),
        (None, None, (30, "default", True)),
        ({"dt": 0.007, "decimation": 2}, 50, (50, "pipeline", False)),
    ],
)
def test_frames_per_second(file: h5py.File, arguments: Any, fps: int | None, expected: tuple[int, str, bool]) -> None:
    demo(file)
    file["data"].attrs["env_args"] = json.dumps({"env_name": "E", "sim_args": arguments})
    ep = LAYOUTS["isaaclab"](fps=fps).open(file, "data/demo_0")
    assert (ep.fps, ep.origin.fps_source, ep.origin.fps_source == "default") == expected


def test_a_rate_that_is_no_whole_number(file: h5py.File) -> None:
    demo(file)
    file["data"].attrs["env_args"] = json.dumps({"sim_args": {"dt": 0.007, "decimation": 2}})
    error = rejected(file)
    assert (error.reason, "71.4286" in error.detail, "`fps:`" in error.detail) == ("bad_fps", True, True)


def test_task_from_file_pipeline_environment(file: h5py.File) -> None:
    group = demo(file)
    file["data"].attrs["env_args"] = json.dumps({"env_name": "Kitchen", "env_kwargs": {"control_freq": 20}})
    layouts = LAYOUTS["robomimic"](columns=_columns()), LAYOUTS["robomimic"](columns=_columns(), task="do it")
    tasks = [(ep.text, ep.origin.task_source) for ep in (layout.open(file, "data/demo_0") for layout in layouts)]
    assert tasks == [("Kitchen", "env_name"), ("do it", "pipeline")]
    group.attrs["ep_meta"] = json.dumps({"lang": "open the door"})
    ep = layouts[1].open(file, "data/demo_0")
    assert (ep.text, ep.origin.task_source, ep.fps) == ("open the door", "file", 20)


def _columns() -> dict[str, ColumnSpec]:
    return {"action": ColumnSpec(source="actions"), "observation.state": ColumnSpec(source="obs/joint_pos")}


def test_robomimic_without_joints_uses_the_pose(file: h5py.File) -> None:
    terms = {"robot0_eef_pos": STATE, "robot0_eef_quat": STATE[:, :1] + 50, "robot0_gripper_qpos": STATE + 9}
    demo(file, **{"obs/joint_pos": None, **{f"obs/{name}": rows for name, rows in terms.items()}})
    ep = LAYOUTS["robomimic"]().open(file, "data/demo_0")
    np.testing.assert_array_equal(ep["observation.state"], np.concatenate(list(terms.values()), axis=1))


def test_libero_from_the_file_name_and_opencv(tmp_path: Path) -> None:
    [path] = write_sample("libero", tmp_path, episodes=1, frames=3, height=48, width=48)
    with h5py.File(path, "a") as file:
        layout = LAYOUTS["libero"]()
        upright = layout.open(file, "data/demo_0")["observation.images.agentview"]
        file["data"].attrs["problem_info"] = "{}"
        file["data"].attrs["macros_image_convention"] = "opencv"
        file["data/demo_0/dones"][-1] = 0
        ep = layout.open(file, "data/demo_0")
        assert (ep.text, ep.origin.task_source, ep.success) == (
            "open the top drawer of the cabinet", "file_name", False,
        )  # fmt: skip
        np.testing.assert_array_equal(ep["observation.images.agentview"], upright[:, ::-1])


def test_piper_rows_beyond_the_length_and_before_it(tmp_path: Path) -> None:
    [path] = write_sample("piper", tmp_path, episodes=1, frames=6, height=48, width=48)
    with h5py.File(path, "a") as file:
        assert len(file["episode_0/state"]) == 8
        ep = LAYOUTS["piper"]().open(file, "episode_0")
        assert {len(ep[key]) for key in ep.columns} == {6}
        file["episode_0"].attrs["length"] = 9
        assert rejected(file, "piper", "episode_0").reason == "unequal_lengths"


def test_aloha_extras(tmp_path: Path) -> None:
    path = write_sample("aloha_padded", tmp_path, episodes=1, frames=4, height=48, width=48)[0]
    with h5py.File(path, "a") as file:
        file["base_action"] = STATE[:, :2]
        file["observations/effort"] = STATE
        file["compress_len"][:] = file["compress_len"][()][::-1]  # in the order of another writer
        ep = LAYOUTS["aloha"](fps=25).open(file, "/")
        assert ep.fps == 25
        np.testing.assert_array_equal(ep["action.base"], STATE[:, :2])
        np.testing.assert_array_equal(ep["observation.effort"], STATE)
        assert ep["observation.images.front"].shape == (4, 48, 48, 3)


def test_generic_places(file: h5py.File) -> None:
    demo(file, "demo_1", ok=np.array([False, False, True]), prompt="lift", rate=np.array([15]))
    demo(file, "demo_0")
    demo(file, "other_0")
    layout = LAYOUTS["generic"](
        columns=_columns(),
        episodes="/data/demo_*",
        success="dataset:ok",
        task_from="dataset:prompt",
        fps_from="dataset:rate",
    )
    assert layout.list(file) == ["data/demo_0", "data/demo_1"]
    bare, full = (layout.open(file, key) for key in layout.list(file))
    assert (bare.success, bare.text, bare.fps) == (None, "", 30)
    assert (full.success, full.text, full.fps) == (True, "lift", 15)
    assert LAYOUTS["generic"](columns=_columns()).list(file) == ["/"]


OBSERVED = np.arange(15, dtype=np.float64).reshape(5, 3) + 100  # one more than STATE


def test_the_observation_after_the_last_action_is_dropped(file: h5py.File) -> None:
    demo(
        file, **{"obs/joint_pos": OBSERVED, "obs/front": np.arange(5, dtype=np.uint8)[:, None, None, None] + FRAMES[:1]}
    )
    demo(file, "demo_1", **{"actions": STATE[:1], "obs/joint_pos": OBSERVED[3:], "obs/front": FRAMES[:2]})
    columns: Any = {
        "action": "actions",
        "observation.state": ["obs/joint_pos", {"from": "obs/joint_pos", "rows": [1, None]}],
        "late": {"from": "obs/joint_pos", "rows": [0, 4]},
        "observation.images.front": "obs/front",
    }
    columns = {key: ColumnSpec.model_validate(spec) for key, spec in columns.items()}
    options = {"columns": columns, "episodes": "/data/*"}
    kept = rejected(file, "generic", **options)
    assert (kept.reason, "5" in kept.detail, "4" in kept.detail) == ("unequal_lengths", True, True)
    layout = LAYOUTS["generic"](**options, last_observation="drop")
    ep = layout.open(file, "data/demo_0")
    assert ep.length == 4
    np.testing.assert_array_equal(ep["observation.state"], np.concatenate([OBSERVED[:4], OBSERVED[1:]], axis=1))
    np.testing.assert_array_equal(ep["late"], OBSERVED[:4])
    assert ep["observation.images.front"][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    written = json.loads(ep.origin.mapping)["columns"]
    assert written["observation.images.front"] == {"from": "obs/front", "rows": [None, -1]}
    assert written["observation.state"]["from"][1] == {"from": "obs/joint_pos", "rows": [1, None]}
    assert "rows" not in written["action"]
    # A run reads by the manifest, and asks for no option.
    again = LAYOUTS["generic"](**options).open(file, "data/demo_0", ep.origin.mapping)
    np.testing.assert_array_equal(again["observation.state"], ep["observation.state"])
    assert layout.open(file, "data/demo_1").length == 1


def test_only_one_more_row_is_dropped(file: h5py.File) -> None:
    """A row that is missing twice is a fault of the recording, and so is an episode of no action."""
    demo(file, **{"obs/joint_pos": np.concatenate([OBSERVED, OBSERVED[:1]])})
    demo(file, "demo_1", **{"actions": STATE[:0], "obs/joint_pos": STATE[:1]})
    options = {"columns": _columns(), "episodes": "/data/*", "last_observation": "drop"}
    assert "action 4, observation.state 6" in rejected(file, "generic", **options).detail
    assert rejected(file, "generic", "data/demo_1", **options).reason == "unequal_lengths"


SIMS = SHARED_DATA / "sims"
MANISKILL = {"action": "actions", "observation.state": ["obs/agent/qpos", "obs/agent/qvel"]}
CAMERA = {"observation.images.base": "obs/sensor_data/base_camera/rgb"}
SIMULATORS = {
    "maniskill/pickcube_rgb.h5": ("/traj_*", MANISKILL | CAMERA, "dataset:success"),
    "maniskill/pushcube_rgbd.h5": ("/traj_*", MANISKILL | CAMERA, "dataset:success"),
    "maniskill/peg_state.h5": ("/traj_*", {"action": "actions", "observation.state": "obs"}, "dataset:success"),
    "minari/door-v0/data/main_data.hdf5": (
        "/episode_*", {"action": "actions", "observation.state": "observations"}, None,
    ),
    "minari/fetchpix-v0/data/main_data.hdf5": (
        "/episode_*",
        {"action": "actions", "observation.state": "observations/state/observation",
         "observation.images.top": "observations/pixels"},
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SIMULATORS)
@needs(SIMS)
def test_recordings_of_simulators_keep_one_more_observation(name: str) -> None:
    episodes, columns, success = SIMULATORS[name]
    specs = {key: ColumnSpec.model_validate(spec) for key, spec in columns.items()}
    layout = LAYOUTS["generic"](columns=specs, episodes=episodes, success=success, last_observation="drop")
    with h5py.File(SIMS / name, "r") as file:
        keys = layout.list(file)
        assert len(keys) == 12
        for key in keys:
            ep, group = layout.open(file, key), file[key]
            assert ep.length == len(group["actions"])
            np.testing.assert_array_equal(ep["action"], group["actions"][()])
            state = (
                [columns["observation.state"]]
                if isinstance(columns["observation.state"], str)
                else MANISKILL["observation.state"]
            )
            expected = np.concatenate([group[path][:-1] for path in state], axis=1).astype(np.float32)
            np.testing.assert_array_equal(ep["observation.state"], expected)
            if "observation.images.base" in columns:
                frames = group[columns["observation.images.base"]][:-1]
                np.testing.assert_array_equal(ep["observation.images.base"], frames)
            if success:
                assert ep.success == bool(group["success"][-1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"columns": {}},
        {"columns": {"observation/state": ColumnSpec(source="a")}},
        {"columns": {"timestamp": ColumnSpec(source="a")}},
        {"columns": _columns(), "success": "ok"},
        {"columns": _columns(), "last_observation": "trim"},
    ],
)
def test_mistakes_are_told_before_any_file_is_opened(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LAYOUTS["generic"](**options)


def test_wrong_layout_names_the_right_one(tmp_path: Path) -> None:
    [path] = write_sample("piper_raw", tmp_path, episodes=1, frames=2, height=48, width=48)
    with h5py.File(path) as file, pytest.raises(EpisodeRejected, match="looks like layout 'piper'"):
        LAYOUTS["isaaclab"]().list(file)


def test_unknown_files_are_not_guessed(file: h5py.File) -> None:
    file["data/x"] = 1
    assert guess_layout(file) is None


@pytest.mark.parametrize("layout", ["isaaclab", "leisaac", "robomimic", "libero"])
@pytest.mark.parametrize(
    ("counted", "length", "noted"),
    [
        (3, 3, "are not converted"),
        (6, 6, ""),
        (9, 6, "more rows than"),
        (4.0, 4, "are not converted"),
        ("many", 6, "no number of rows"),
        (-2, 6, "no number of rows"),
        (np.array([2]), 2, "are not converted"),
        (None, 6, ""),
    ],
)
def test_rows_that_num_samples_counts(tmp_path: Path, layout: str, counted: Any, length: int, noted: str) -> None:
    [path] = write_sample(layout, tmp_path, episodes=1, frames=6, height=48, width=48)
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        group.attrs.pop("num_samples", None)
        if counted is not None:
            group.attrs["num_samples"] = counted
        ep = LAYOUTS[layout]().open(file, "data/demo_0")
        assert {len(ep[key]) for key in ep.columns} == {ep.length} == {length}
        np.testing.assert_array_equal(ep["action"], group["actions"][:length].astype(np.float32))
        assert [("num_samples" in note, noted in note) for note in ep.origin.notes] == ([(True, True)] if noted else [])


def test_num_samples_of_zero_and_a_length_that_is_no_number(tmp_path: Path, file: h5py.File) -> None:
    demo(file).attrs["num_samples"] = 0
    error = rejected(file)
    assert (error.reason, "num_samples" in error.detail) == ("empty_episode", True)
    [path] = write_sample("piper", tmp_path, episodes=1, frames=6, height=48, width=48)
    with h5py.File(path, "a") as other:
        other["episode_0"].attrs["length"] = "six"
        error = rejected(other, "piper", "episode_0")
        assert (error.reason, "length" in error.detail) == ("unequal_lengths", True)


def test_rows_behind_num_samples_need_no_storage(file: h5py.File) -> None:
    group = demo(file, **{"actions": None, "obs/joint_pos": None})
    for path in ("actions", "obs/joint_pos", "obs/front"):
        rows = FRAMES + 7 if path == "obs/front" else STATE
        group.create_dataset(path, (12, *rows.shape[1:]), rows.dtype, chunks=(4, *rows.shape[1:]))[:4] = rows
    error = rejected(file)
    assert (error.reason, "rows 4..11 of /data/demo_0/actions" in error.detail) == ("missing_rows", True)
    for counted, rows in ((9, "4..8"), (5, "4")):
        group.attrs["num_samples"] = counted
        assert rows in rejected(file).detail.partition(" of ")[0]
    group.attrs["num_samples"] = 4
    ep = LAYOUTS["isaaclab"]().open(file, "data/demo_0")
    np.testing.assert_array_equal(ep["observation.state"], STATE)
    assert (ep["observation.images.front"] == 7).all()


def test_rows_that_a_mapping_leaves_out_need_no_storage(file: h5py.File) -> None:
    group = demo(file)
    group.create_dataset("late", (8, 3), "f4", chunks=(4, 3))[4:] = STATE + 2
    group.create_dataset("early", (8, 3), "f4", chunks=(4, 3))[:4] = STATE + 1
    columns = {
        "action": ColumnSpec(source="late", rows=(4, None)),
        "observation.state": ColumnSpec(source="early", rows=(None, -4)),
    }
    ep = LAYOUTS["generic"](columns=columns, episodes="/data/*").open(file, "data/demo_0")
    np.testing.assert_array_equal(ep["action"], STATE + 2)
    np.testing.assert_array_equal(ep["observation.state"], STATE + 1)
    columns["action"] = ColumnSpec(source="late", rows=(3, -1))
    error = rejected(file, "generic", columns=columns, episodes="/data/*")
    assert (error.reason, "row 3 of /data/demo_0/late" in error.detail) == ("missing_rows", True)
