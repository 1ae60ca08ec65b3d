"""The pipelines for piper, ALOHA, robomimic and LIBERO, and how shipped pipelines are found and copied."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from robotrove.cli.recordings.init import command as init
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import PATCHES, patch, read_marker
from robotrove.pipelines.spec.pipeline_file import shipped_names
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import column, info, names, rows, run_shipped, videos
from robotrove.tests.support.places import ROOT

FRAMES, HEIGHT, WIDTH = 8, 48, 96


def cameras(dataset: Path) -> list[str]:
    return [key for key, feature in info(dataset)["features"].items() if feature["dtype"] == "video"]


def assert_pictures(dataset: Path, expected: list[str], episodes: int) -> None:
    """Every frame of every camera in order, upright and with its colours."""
    assert cameras(dataset) == [f"observation.images.{name}" for name in expected]
    for number, key in enumerate(cameras(dataset)):
        found = videos(dataset, key)
        assert [read_marker(frame) for frame in found] == [(row, number) for row in range(FRAMES)] * episodes
        for name, colour in PATCHES.items():
            pixels = found[FRAMES // 2][patch(name, HEIGHT, WIDTH)].reshape(-1, 3)
            assert np.abs(np.median(pixels, axis=0) - colour).max() < 25, f"{key}: {name}"


def sample(folder: Path, layout: str) -> list[Path]:
    return write_sample(layout, folder, episodes=2, frames=FRAMES, height=HEIGHT, width=WIDTH)


@pytest.mark.parametrize("layout", ["piper", "piper_raw"])
def test_piper_has_the_right_colours(tmp_path: Path, layout: str) -> None:
    paths = sample(tmp_path, layout)
    run_shipped("piper_bimanual", paths, tmp_path / "out")
    with h5py.File(paths[0]) as file:
        assert len(file["episode_0/state"]) > FRAMES, "the recorder leaves rows behind the attribute length"
        for key, source in (("observation.state", "state"), ("action", "action")):
            expected = np.concatenate([file[f"episode_{n}/{source}"][:FRAMES] for n in range(2)])
            np.testing.assert_array_equal(column(rows(tmp_path / "out"), key), expected, err_msg=key)
            assert names(tmp_path / "out", key) == [
                f"{side}_joint_{joint}.pos" for side in ("left", "right") for joint in range(1, 8)
            ]
    assert_pictures(tmp_path / "out", ["left_wrist", "mid", "right_wrist"], 2)
    facts = info(tmp_path / "out")
    assert (facts["codebase_version"], facts["robot_type"], facts["fps"]) == ("v3.0", "bi_piper", 30)


def test_aloha(tmp_path: Path) -> None:
    paths = sample(tmp_path, "aloha_padded")
    run_shipped("aloha", paths, tmp_path / "out", "source.task=Fold the towel.")
    for key, source in (("observation.state", "observations/qpos"), ("action", "action")):
        parts = []
        for path in paths:
            with h5py.File(path) as file:
                parts.append(file[source][()])
        np.testing.assert_array_equal(column(rows(tmp_path / "out"), key), np.concatenate(parts), err_msg=key)
        arm = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
        assert names(tmp_path / "out", key) == [f"{side}_{joint}" for side in ("left", "right") for joint in arm]
    assert_pictures(tmp_path / "out", ["front", "wrist"], 2)
    assert info(tmp_path / "out")["fps"] == 50


@pytest.mark.parametrize(
    ("layout", "parts", "seen"),
    [
        ("robomimic", ("robot0_joint_pos", "robot0_gripper_qpos"), ["front", "wrist"]),
        ("libero", ("ee_states", "gripper_states"), ["agentview", "eye_in_hand"]),
    ],
)
def test_robomimic_and_libero(tmp_path: Path, layout: str, parts: tuple[str, ...], seen: list[str]) -> None:
    paths = sample(tmp_path, layout)
    run_shipped(layout, paths, tmp_path / "out")
    with h5py.File(paths[0]) as file:
        demos = [file[f"data/demo_{n}"] for n in range(2)]
        state = np.concatenate([np.hstack([demo[f"obs/{part}"] for part in parts]) for demo in demos])
        actions = np.concatenate([demo["actions"] for demo in demos])
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "observation.state"), state)
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "action"), actions)
    assert_pictures(tmp_path / "out", seen, 2)


def test_libero_gr00t_converts_the_sample_too(tmp_path: Path) -> None:
    """Observation k with action k + 1: row t of the sample is after action t."""
    [path] = sample(tmp_path, "libero")
    report = run_shipped("libero_gr00t", [path], tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {})
    with h5py.File(path) as file:
        demo = file["data/demo_0"]
        states, actions = np.hstack([demo["obs/ee_states"], demo["obs/gripper_states"]]), demo["actions"][:]
    actions[:, 6] = (1 - actions[:, 6]) / 2
    found = rows(tmp_path / "out")
    np.testing.assert_array_equal(column(found, "observation.state")[: FRAMES - 1], states[:-1])
    np.testing.assert_array_equal(column(found, "action")[: FRAMES - 1], actions[1:])
    assert set(actions[:, 6]) == {0, 1}


def test_liberos_gripper_from_closed_to_open(tmp_path: Path) -> None:
    """The step in the comment of the pipeline: 1 - clip(a, 0, 1) for the commands -1 (open) and 1 (close)."""
    [path] = sample(tmp_path, "libero")
    grippers = np.where(np.arange(FRAMES) < 3, -1.0, 1.0)
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo["actions"][:, 6] = grippers
    [line] = [line for line in copied(tmp_path, "libero").splitlines() if "unit_converter" in line]
    step = line.partition("- unit_converter: ")[2]
    run_shipped("libero", [path], tmp_path / "out", f"steps[0]={{unit_converter: {step}}}")
    np.testing.assert_array_equal(column(rows(tmp_path / "out"), "action")[:FRAMES, 6], 1 - np.clip(grippers, 0, 1))


def copied(folder: Path, name: str, *files: str) -> str:
    target = folder / f"{name}.yaml"
    done = CliRunner().invoke(init, [*files, "--pipeline", name, "-o", str(target)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return target.read_text(encoding="utf-8")


def test_the_documentation_names_each_of_them() -> None:
    page = (ROOT / "docs/converters.md").read_text(encoding="utf-8")
    assert [name for name in shipped_names() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", shipped_names())
def test_a_copy_is_the_same_pipeline_with_an_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    copied(tmp_path, name, "a.hdf5", "more/b c.hdf5")
    for_gr00t = name.startswith(("arena", "evaltasks")) or name == "libero_gr00t"
    output = f"{tmp_path.name}/lerobot" if for_gr00t else f"{tmp_path.name}_lerobot"
    given = ['source.files=["a.hdf5", "more/b c.hdf5"]', f"output={output}"]
    assert load_pipeline(tmp_path / f"{name}.yaml").spec == load_pipeline(Path(name), given).spec


def test_a_folder_may_bear_the_name_of_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("aloha").mkdir()
    assert load_pipeline(Path("aloha"), ["source.files=[aloha]"]).spec.writer is not None
    Path("libero").write_text("source: {files: [x.h5], layout: robomimic}")
    assert load_pipeline(Path("libero")).spec.source.arguments["layout"] == "robomimic", (
        "a file of that name comes first"
    )


def test_a_name_that_is_none(tmp_path: Path) -> None:
    for call in (lambda: load_pipeline(Path("arena_gr1_micro")), lambda: copied(tmp_path, "arena_gr1_micro")):
        with pytest.raises(UsageError, match="did you mean 'arena_gr1_microwave'") as caught:
            call()
        assert all(name in str(caught.value) for name in shipped_names())
