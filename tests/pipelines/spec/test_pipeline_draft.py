from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected, UsageError
from robotrove.core.yaml_source import read_yaml
from robotrove.formats.hdf5.samples import write_sample
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.plan.planner import Plan, make_plan
from robotrove.pipelines.spec.pipeline_draft import Guess, flow, guess, pipeline_text
from robotrove.pipelines.spec.resolved_pipeline import ResolvedPipeline, load_pipeline

FRAMES = 6
LAYOUTS = ("isaaclab", "piper", "aloha", "robomimic", "libero")


def sample(folder: Path, layout: str = "isaaclab", episodes: int = 3) -> list[Path]:
    return write_sample(layout, folder, episodes=episodes, frames=FRAMES, height=48, width=48, cameras=("front",))


def text_of(*paths: Path) -> str:
    return pipeline_text(guess(paths), "out")


def loaded(text: str) -> ResolvedPipeline:
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return load_pipeline(Path(file.name))


def planned(text: str) -> Plan:
    return make_plan(loaded(text))


def uncommented(text: str, pattern: str) -> str:
    """Take the '# ' away from the lines that fit."""
    changed, count = re.subn(rf"^( *)# ({pattern})", r"\1\2", text, flags=re.MULTILINE)
    assert count
    return changed


def line_of(text: str, begin: str) -> str:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(begin)]
    return line.strip()


@pytest.mark.parametrize(
    "value",
    [
        "obs/joint_pos",
        "./data/a b.hdf5",
        "/data/*.hdf5",
        "null",
        "No",
        "1.5",
        ".5",
        ".inf",
        "- x",
        "a: b",
        "a #b",
        "",
        " a",
        "ä ö",
        "tab\t",
        "line\u2028line",
        'quote"',
        "[a]",
        True,
        None,
        3,
        0.1,
        ["a", "b, c"],
        {"from": "x", "slice": [0, 3], "odd: key": None},
    ],
)
def test_flow_reads_back(value: Any) -> None:
    located, problems = read_yaml(f"key: {flow(value)}  # remark", "test")
    assert not problems
    assert located is not None
    assert located.plain() == {"key": value}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_columns_are_the_layouts_own(tmp_path: Path, layout: str) -> None:
    files = [str(path) for path in sample(tmp_path, layout)]
    plan = planned(text_of(tmp_path))
    source = json.dumps({"files": files, "layout": layout})
    plain = planned(f"{{source: {source}, steps: [{{success_filter: {{missing: success}}}}]}}")
    assert plan.features == plain.features
    assert [row.label for row in plan.manifest.kept] == [row.label for row in plain.manifest.kept]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_commented_line_works(tmp_path: Path, layout: str) -> None:
    sample(tmp_path, layout)
    text = text_of(tmp_path)
    more = uncommented(text, r"- (?:length_filter|frame_trimmer|joint_remapper|unit_converter|image_resizer)")
    plan = planned(more)
    assert {row.length for row in plan.manifest.kept} == {FRAMES - 1}
    assert plan.features["observation.images.front"].shape == (224, 224, 3)
    if layout not in ("isaaclab", "libero"):  # the others have no labels
        assert len(list(planned(uncommented(text, "- success_filter: ")).manifest.kept)) == 3
    video = uncommented(uncommented(text, "video:"), rf"  (?:{'|'.join(asdict(VideoSettings()))}):")
    assert loaded(video).spec.writer.arguments["video"] == asdict(VideoSettings())


def test_what_is_not_converted_is_offered_under_names_that_work(tmp_path: Path) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/image_features"] = np.ones((FRAMES, 4))
            demo["obs/note"] = ["x"] * FRAMES
            demo["next_obs/front"] = np.zeros((FRAMES, 48, 48, 3), np.uint8)
            demo["timestamp"] = np.arange(FRAMES)
            demo["points"] = np.zeros((FRAMES, 2, 3, 5), np.float32)
            demo["with space"] = np.zeros(FRAMES)
    text = text_of(path)
    assert set(planned(text).features) == {"action", "observation.state", "observation.images.front"}
    features = planned(
        uncommented(text, r"[\w.]+: (?:obs|states|next_obs|processed_actions|timestamp|with)\b")
    ).features
    added = {key: str(feature) for key, feature in features.items()}
    for key, kind in {
        "observation.joint_vel": "float32[7]",
        "observation.picture_features": "float32[4]",
        "observation.note": "string[1]",
        "observation.images.next_obs.front": "video[48x48x3]",
        "timestamp_2": "int64[1]",
        "with_space": "float32[1]",
        "states.articulation.robot.root_pose": "float32[7]",
    }.items():
        assert added[key] == kind
    assert line_of(text, "#   'points'").startswith(f"#   'points'  ({FRAMES}, 2, 3, 5) float32: ")
    assert line_of(text, "#   'initial_state/articulation/robot/root_pose'").endswith(
        f"1 row(s), the episode has {FRAMES}"
    )
    assert line_of(text, "# observation.joint_vel:") == "# observation.joint_vel: obs/joint_vel  # (T, 7) float32"


@pytest.mark.parametrize(
    ("layout", "task", "fps"),
    [
        ("isaaclab", "Until then it is the environment's name: 'Isaac-Sample-Reach-v0'", "null  # the files say 30;"),
        ("leisaac", "what LeIsaac says of the environment: 'Pick three oranges", "null  # ASSUMED to be 30:"),
        ("piper", "the files say it: 'put the cup on the tray';", "null  # ASSUMED to be 30:"),
        ("aloha", "say what the robot does, such as:", "null  # ASSUMED to be 50:"),
    ],
)
def test_task_and_rate(tmp_path: Path, layout: str, task: str, fps: str) -> None:
    sample(tmp_path, layout)
    text = text_of(tmp_path)
    assert line_of(text, "task:").startswith("task: null  # the files ")
    assert task in line_of(text, "task:")
    assert line_of(text, "fps:").startswith(f"fps: {fps}")


def test_a_rate_that_is_no_whole_number(tmp_path: Path) -> None:
    (path,) = sample(tmp_path, "robomimic")
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = json.dumps({"env_name": "x", "env_kwargs": {"control_freq": 29.97}})
    text = text_of(path)
    assert line_of(text, "fps:") == "fps: 30  # the files say 29.97, and a dataset needs a whole number"
    assert planned(text).fps == 30


ABSOLUTE = "observation.state: states/articulation/robot/joint_position  # (T, 7) float32"
DEFAULT_POSE = np.array([0.04, -0.19, -0.11, -2.5, 0.004, 2.4, 0.7], np.float32)


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        (np.zeros(7), None),
        (np.full(7, 2e-4), None),  # rounding of the recorder
        (DEFAULT_POSE, "is relative to the robot's default pose"),
        (DEFAULT_POSE * [0, 0, 0, 1, 0, 0, 0], "is relative to the robot's default pose"),
        (np.arange(7 * FRAMES).reshape(FRAMES, 7) / 10, "differs from the robot's state"),
    ],
)
def test_a_state_that_is_not_the_joint_positions(tmp_path: Path, change: np.ndarray, meaning: str | None) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/joint_pos"][...] -= change.astype(np.float32)
    text = text_of(path)
    lines = [line.strip() for line in text.splitlines()]
    assert f"# {ABSOLUTE}" in lines if meaning else f"# {ABSOLUTE}" not in lines
    if meaning:
        given = lines.index("observation.state: obs/joint_pos  # (T, 7) float32")
        assert lines[given + 1].startswith(f"# obs/joint_pos {meaning}. For absolute positions, those after the action")
        switched = uncommented(text.replace("    observation.state: obs/joint_pos", "    # "), "observation.state:")
        assert planned(switched).features["observation.state"].names[0] == "joint_position_0"
        assert not [line for line in lines if line.startswith("# states.articulation.robot.joint_position:")]


@pytest.mark.parametrize("damage", ["no states", "no initial state", "other width", "no rows"])
def test_states_that_cannot_be_compared_are_no_error(tmp_path: Path, damage: str) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["obs/joint_pos"][...] -= DEFAULT_POSE
            if damage == "no states":
                del demo["states"]
            elif damage == "no initial state":
                del demo["initial_state/articulation/robot/joint_position"]
            else:
                del demo["states/articulation/robot/joint_position"]
                shape = (FRAMES, 9) if damage == "other width" else (0, 7)
                demo["states/articulation/robot/joint_position"] = np.zeros(shape, np.float32)
    assert line_of(text_of(path), "observation.state:") == "observation.state: obs/joint_pos  # (T, 7) float32"
    assert "default pose" not in text_of(path)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (
            [True, False, None],
            "- success_filter  # keeps successes only; found 1 successes, 1 failures, 1 without a label",
        ),
        (
            [False, None, None],
            "# - success_filter  # would keep nothing; found 0 successes, 1 failures, 2 without a label",
        ),
        ([None] * 3, "# - success_filter: {missing: success}  # these files have no labels: keeps everything"),
    ],
)
def test_success_filter(tmp_path: Path, labels: Sequence[bool | None], line: str) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        for demo, label in zip(file["data"].values(), labels, strict=True):
            demo.attrs.pop("success", None)
            if label is not None:
                demo.attrs["success"] = label
    text = text_of(path)
    assert line in [entry.strip() for entry in text.splitlines()]
    assert len(list(planned(text).manifest.kept)) == (1 if True in labels else 3)


def test_names_of_cameras_become_safe(tmp_path: Path) -> None:
    (path,) = write_sample("aloha", tmp_path, episodes=1, frames=2, cameras=("left wrist", "left_wrist"))
    features = planned(text_of(path)).features
    assert {"observation.images.left_wrist", "observation.images.left_wrist_2"} <= features.keys()


def test_files_are_written_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [path.relative_to(tmp_path) for path in sample(tmp_path / "a", "aloha", episodes=11)]
    assert guess(paths).files == tuple(f"a/episode_{number}.hdf5" for number in range(11))
    assert guess([Path("a"), Path("a")]).files == ("a",)
    assert guess(paths[:2]).files == ("a/episode_0.hdf5", "a/episode_1.hdf5")
    assert guess(paths[:1]).files == ("a/episode_0.hdf5",)
    assert [row.source for row in planned(text_of(*paths)).manifest.rows][-1] == "episode_10.hdf5"
    assert len(guess([Path("a"), *paths]).episodes) == 11  # none counts twice


def test_the_mapping_of_most_episodes_is_written(tmp_path: Path) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs/front"]
    found = guess([path])
    assert found.model.key == "data/demo_1"
    assert "observation.images.front" in found.model.columns
    assert planned(pipeline_text(found, "out")).manifest.rows[0].reason == "missing_dataset"


def test_bad_episodes_and_files_are_counted(tmp_path: Path) -> None:
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        del file["data/demo_1/actions"]
    (tmp_path / "bad.hdf5").write_bytes(b"")
    found: Guess = guess([tmp_path])
    assert [episode.key for episode in found.episodes] == ["data/demo_0", "data/demo_2"]
    assert found.n_frames == 2 * FRAMES
    assert [problem.rpartition(" ")[2] for problem in found.problems] == ["(empty_file)", "(missing_dataset)"]


def test_nothing_to_guess_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no HDF5 files"):
        guess([tmp_path])
    (path,) = sample(tmp_path)
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            del demo["actions"]
    with pytest.raises(EpisodeRejected, match="actions"):
        guess([path])
