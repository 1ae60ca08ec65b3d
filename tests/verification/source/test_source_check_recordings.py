"""No false alarm: the second opinion agrees with every sample, and with recordings of real simulators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robotrove.formats.hdf5.samples import SAMPLES, write_sample
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline
from robotrove.tests.support.places import SHARED_DATA, missing
from robotrove.verification.source.source_check import SourceReport, check_source

LAYOUTS = {
    **{"leisaac_bi_so101": "leisaac", "leisaac_lekiwi": "leisaac", "piper_raw": "piper"},
    **dict.fromkeys(("arena_gr1", "arena_g1", "arena_droid", "evaltasks"), "isaaclab"),
    **dict.fromkeys(("aloha_padded", "aloha_vlen"), "aloha"),
}
GENERIC = {
    "options": {"episodes": "/recordings/*"},
    "columns": {
        "observation.state": ["arm/q", "arm/gripper"],
        "action": "command",
        "observation.images.front": {"from": "cams/front", "color": "bgr"},
    },
}


def check(folder: Path, files: list[Path], layout: str, deep: bool = True, **source: Any) -> SourceReport:
    pipeline = write_pipeline(folder, files, layout, source={"task": "reach", **source})
    run_here(pipeline, folder / "dataset")
    return check_source(folder / "dataset", finished_run(folder / "dataset.run"), deep=deep)


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_samples_of_every_layout(tmp_path: Path, sample: str, compression: Any) -> None:
    files = write_sample(sample, tmp_path / "s", episodes=2, frames=7, height=48, width=64, compression=compression)
    report = check(tmp_path, files, LAYOUTS.get(sample, sample), **(GENERIC if sample == "generic" else {}))
    assert report.problems == ()
    assert report.audited.episodes == 2
    assert report.audited.pyfive + report.audited.h5py >= 2 * 3  # an action, a state and a camera at least


SIMS = SHARED_DATA / "sims"
REAL: dict[str, tuple[Path, str, dict[str, Any]]] = {
    "isaaclab": (SHARED_DATA / "isaaclab/dataset.hdf5", "isaaclab", {}),
    "isaaclab, failed": (SHARED_DATA / "isaaclab/generated_dataset_small_failed.hdf5", "isaaclab", {}),
    "isaaclab 3": (
        SIMS / "other/isaaclab3_visuomotor_depth.hdf5",
        "isaaclab",
        {
            "columns": {
                "action": "processed_actions",
                "observation.state": ["obs/joint_pos", "states/articulation/robot/root_pose"],
                "observation.images.table": "obs/table_cam",
                "observation.images.norm": "obs/table_cam_norm",
            }
        },
    ),
    "maniskill rgb": (
        SIMS / "maniskill/pickcube_rgb.h5",
        "generic",
        {
            "options": {"episodes": "/*", "last_observation": "drop"},
            "columns": {
                "action": "actions",
                "observation.state": ["obs/agent/qpos", {"from": "obs/extra/tcp_pose", "slice": [0, 3]}],
                "observation.images.base": "obs/sensor_data/base_camera/rgb",
                "observation.pose": "obs/sensor_param/base_camera/extrinsic_cv",
                "next.done": "success",
            },
        },
    ),
    "maniskill rgbd": (
        SIMS / "maniskill/pushcube_rgbd.h5",
        "generic",
        {
            "options": {"episodes": "/*"},
            "columns": {
                "action": "actions",
                "observation.state": {"from": "obs/agent/qpos", "rows": [None, -1]},
                "next.state": {"from": "obs/agent/qpos", "rows": [1, None]},
                "observation.images.base": {"from": "obs/sensor_data/base_camera/rgb", "rows": [0, -1]},
            },
        },
    ),
    "maniskill state": (
        SIMS / "maniskill/peg_state.h5",
        "generic",
        {
            "options": {"episodes": "/*", "last_observation": "drop"},
            "columns": {"action": "actions", "observation.state": {"from": "obs", "slice": [2, 20]}},
        },
    ),
    "minari door": (
        SIMS / "minari/door-v0/data/main_data.hdf5",
        "generic",
        {
            "options": {"episodes": "/*", "last_observation": "drop"},
            "columns": {"action": "actions", "observation.state": "observations"},
        },
    ),
    "minari pixels": (
        SIMS / "minari/fetchpix-v0/data/main_data.hdf5",
        "generic",
        {
            "options": {"episodes": "/*", "last_observation": "drop"},
            "columns": {
                "action": "actions",
                "observation.state": "observations/state/observation",
                "observation.images.pixels": "observations/pixels",
            },
        },
    ),
    "robosuite": (
        SIMS / "robosuite/image_depth.hdf5",
        "robomimic",
        {
            "columns": {
                "action": "actions",
                "observation.state": ["obs/robot0_eef_pos", "obs/robot0_gripper_qpos"],
                "observation.images.agent": {"from": "obs/agentview_image", "flip": "vertical"},
            }
        },
    ),
    "roboset": (
        SIMS / "other/roboset.h5",
        "generic",
        {
            "options": {"episodes": "/*"},
            "columns": {
                "action": ["data/ctrl_arm", "data/ctrl_ee"],
                "observation.state": {"from": "data/qp_arm", "dtype": "keep"},
                "observation.images.left": "data/rgb_left",
            },
        },
    ),
    "d4rl": (
        SIMS / "other/d4rl_door-random.hdf5",
        "generic",
        {
            "options": {"split": ["terminals", "timeouts"]},
            "columns": {"action": "actions", "observation.state": {"from": "observations", "slice": [3, 30]}},
        },
    ),
    "agibot": (
        SIMS / "other/agibot/meta_info/pick_up_the_cube/c0dd349b-c72f-4e22-aad3-fd65ee4398eb/proprio_states.h5",
        "generic",
        {"columns": {"action": "action/joint/position", "observation.state": "state/joint/position"}},
    ),
}


def test_nothing_is_skipped_but_where_the_recordings_are_missing() -> None:
    assert [str(path) for path, _, _ in REAL.values() if SHARED_DATA.exists() and not path.exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_recordings_of_simulators(tmp_path: Path, name: str) -> None:
    path, layout, source = REAL[name]
    if not path.exists():
        pytest.skip(missing(path))
    report = check(tmp_path, [path], layout, **source)
    # The comparison of videos is another matter: x264 may show a small arm that moves fast as in the frame before.
    assert [problem for problem in report.problems if problem.message.startswith("second opinion: ")] == []
    assert report.audited.episodes == report.episodes > 0
    assert report.audited.without == 0
