from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.robomimic_sample import libero_motion
from robotrove.formats.hdf5.samples.sample_spec import action
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.places import SHARED_DATA, missing, needs

RECORDINGS = SHARED_DATA / "isaaclab"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("layout", "kept", "width"),
    [("isaaclab", 2, 7), ("piper", 3, 14), ("aloha", 3, 14), ("robomimic", 3, 7), ("libero", 3, 7)],
)
def test_from_nothing_to_a_verified_dataset(robotrove: Callable, layout: str, kept: int, width: int) -> None:
    options = ("--frames", 6, "--height", 48, "--width", 48, "--cameras", "front")
    assert robotrove("sample", layout, "recordings", *options).code == 0
    files = sorted(Path("recordings").glob("*.hdf5"))
    init = robotrove("init", *files)
    assert init.code == 0
    assert "3 episodes, 18 frames" in init.out
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["kept"], run.json["listed"]) == (0, kept, 3)
    output = run.json["output"]
    verify = robotrove("verify", output, "--source", f"{output}.run", "--deep", "--json")
    assert (verify.code, verify.json["ok"]) == (0, True)
    assert (verify.json["source"]["episodes"], verify.json["source"]["frames"]) == (kept, 6 * kept)
    table = pq.read_table(Path(output, "data/chunk-000/file-000.parquet"))
    is_libero = layout == "libero"
    actions = [libero_motion(episode, 6)[1] if is_libero else action(episode, 6, width) for episode in range(kept)]
    expected = np.concatenate(actions)
    np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), expected)


def test_a_folder_with_folders_and_upper_case_suffixes(robotrove: Callable, tmp_path: Path) -> None:
    """What init counts is what run converts: action 3·d is that of the first episode in day d."""
    for day, name in enumerate(("rec/one.HDF5", "rec/day_2/two.H5", "rec/day_10/deep/three.hdf5", "rec/.old/x.hdf5")):
        options = {"episodes": 1, "frames": 4, "height": 48, "width": 48, "cameras": ("front",), "seed": day}
        (path,) = write_sample("isaaclab", tmp_path / f"sample_{day}", **options)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / name)
    assert "layout isaaclab, 3 episodes, 12 frames" in robotrove("init", "rec").out
    assert load_pipeline(Path("pipeline.yaml")).spec.source.arguments["files"] == [str(tmp_path / "rec")]
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["kept"]) == (0, 3)
    rows = pq.read_table("rec_lerobot/data/chunk-000/file-000.parquet")["action"].to_pylist()
    expected = np.concatenate([action(0, 4, 7, day) for day in (1, 2, 0)])  # day_2, day_10, one
    np.testing.assert_array_equal(np.array(rows, np.float32), expected)


@needs(RECORDINGS)
def test_real_recordings(robotrove: Callable) -> None:
    assert "26 episodes, 5,899 frames" in robotrove("init", *sorted(RECORDINGS.glob("*.hdf5"))).out
    text = Path("pipeline.yaml").read_text()
    assert "- success_filter  # keeps successes only; found 10 successes, 16 failures, 0 without a label" in text
    assert "    # observation.cube_positions: obs/cube_positions  # (T, 9) float32" in text
    run = robotrove("run", "pipeline.yaml", "--workers", 1, "--json")
    assert (run.code, run.json["listed"], run.json["kept"], run.json["frames"]) == (0, 26, 10, 2163)
    assert run.json["rejected"] == {"not_successful": 16}
    verify = robotrove("verify", "isaaclab_lerobot", "--source", "isaaclab_lerobot.run", "--json")
    assert (verify.code, verify.json["ok"], verify.json["source"]["episodes"]) == (0, True, 10)


@needs(RECORDINGS)
def test_absolute_joint_positions_of_a_real_recording(robotrove: Callable) -> None:
    """Isaac Lab's stacking task records `joint_pos_rel` as joint_pos; the other line of the draft has the absolute."""
    recording = RECORDINGS / "dataset.hdf5"
    robotrove("init", recording)
    text = Path("pipeline.yaml").read_text()
    given = "    observation.state: obs/joint_pos  # (T, 9) float32\n"
    why, line = text.partition(given)[2].splitlines()[:2]
    assert why.startswith("    # obs/joint_pos is relative to the robot's default pose.")
    assert line == "    # observation.state: states/articulation/robot/joint_position  # (T, 9) float32"
    Path("pipeline.yaml").write_text(text.replace(given, "").replace(line, line.replace("# ", "", 1)))
    assert robotrove("run", "pipeline.yaml", "--workers", 1).code == 0
    shift = "source.columns={observation.state: {from: states/articulation/robot/joint_position, rows: [null, -1]}, "
    shift += "action: {from: actions, rows: [1, null]}}"
    assert robotrove("run", "pipeline.yaml", shift, "--output", "before", "--workers", 1).code == 0
    with h5py.File(recording) as file:
        demos = sorted(file["data"].values(), key=lambda demo: int(demo.name.rpartition("_")[2]))
        states = [demo["states/articulation/robot/joint_position"][()] for demo in demos]
        actions = [demo["actions"][()] for demo in demos]
    np.testing.assert_array_equal(stored("dataset_lerobot", "observation.state"), np.concatenate(states))
    np.testing.assert_array_equal(stored("dataset_lerobot", "action"), np.concatenate(actions))
    np.testing.assert_array_equal(
        stored("before", "observation.state"), np.concatenate([state[:-1] for state in states])
    )
    np.testing.assert_array_equal(stored("before", "action"), np.concatenate([action[1:] for action in actions]))


def stored(dataset: str, column: str) -> np.ndarray:
    table = pq.read_table(Path(dataset, "data/chunk-000/file-000.parquet"))
    return np.array(table[column].to_pylist(), np.float32)


@pytest.mark.parametrize("name", ["leisaac_so101", "arena_gr1_microwave", "libero"])
def test_the_commands_after_a_shipped_pipeline_run_as_printed(robotrove: Callable, tmp_path: Path, name: str) -> None:
    layout = {"arena_gr1_microwave": "arena_gr1", "leisaac_so101": "leisaac"}
    options = ("--episodes", 2, "--frames", 16, "--height", 48, "--width", 48)
    assert robotrove("sample", layout.get(name, name), "my recordings", *options).code == 0
    init = robotrove("init", "my recordings", "--pipeline", name, "-o", "my pipeline.yaml")
    assert init.code == 0
    outcomes = [robotrove(*shlex.split(command)[1:]) for command in commands(init.out)]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    output = "my recordings/lerobot" if "gr1" in name else "my recordings_lerobot"
    assert Path(output, "meta/info.json").exists()


def commands(text: str) -> list[str]:
    """Return the commands of robotrove in a text, each in a line of its own."""
    return [line.strip().removeprefix("next: ") for line in text.splitlines() if "robotrove " in line]


def test_a_shipped_pipeline_without_files_says_where_they_belong(robotrove: Callable, tmp_path: Path) -> None:
    init = robotrove("init", "--pipeline", "aloha", "-o", "a.yaml")
    assert "next: put the recordings into recordings/, or change source.files in a.yaml, then\n" in init.out
    write_sample("aloha", tmp_path / "recordings", episodes=2, frames=2)
    outcomes = [robotrove(*shlex.split(command)[1:]) for command in commands(init.out)]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert Path("recordings_lerobot/meta/info.json").exists()


def test_names_are_kept_as_given_and_relative_to_the_pipeline_file(robotrove: Callable, tmp_path: Path) -> None:
    for name in ("a.hdf5", "b.hdf5", "c$HOME.hdf5"):
        (path,) = write_sample("isaaclab", tmp_path / "new", episodes=1, frames=4, cameras=())
        path.rename(tmp_path / name)
    assert robotrove("init", "a.hdf5", "b.hdf5", "c$HOME.hdf5").code == 0
    assert yaml.safe_load(Path("pipeline.yaml").read_text())["source"]["files"] == ["a.hdf5", "b.hdf5", "c[$]HOME.hdf5"]
    Path("sub").mkdir()
    absolute = tmp_path / "b.hdf5"
    for more in ([], ["--pipeline", "aloha"]):
        target = Path(f"sub/{len(more)}.yaml")
        assert robotrove("init", "a.hdf5", absolute, "c$HOME.hdf5", *more, "-o", target).code == 0
        source = yaml.safe_load(target.read_text())["source"]
        assert source["files"] == ["../a.hdf5", str(absolute), "../c[$]HOME.hdf5"]
        found = [file.path for file in load_pipeline(target).reader.find()]
        assert found == [tmp_path / name for name in ("a.hdf5", "b.hdf5", "c$HOME.hdf5")]
        assert load_pipeline(target).spec.output == str(tmp_path / "sub" / f"{tmp_path.name}_lerobot")


def test_the_name_of_a_folder_above_is_its_own(
    robotrove: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample("aloha", tmp_path / "day", episodes=1, frames=2)
    (tmp_path / "day/work").mkdir()
    monkeypatch.chdir(tmp_path / "day/work")
    assert robotrove("init", "..", "--pipeline", "aloha").code == 0
    assert "output: day_lerobot  #" in Path("pipeline.yaml").read_text()


def test_an_address_is_kept_as_it_was_given(robotrove: Callable) -> None:
    address = "hf://datasets/lab/recordings@main/day1/*.hdf5"
    assert robotrove("init", address, "--pipeline", "aloha").code == 0
    assert load_pipeline(Path("pipeline.yaml")).spec.source.arguments["files"] == [address]


def test_never_overwrites(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", frames=2)
    Path("pipeline.yaml").write_text("mine")
    found = robotrove("init", "a")
    assert (found.code, found.out) == (2, "")
    assert "already exists" in found.err
    assert Path("pipeline.yaml").read_text() == "mine"
    assert robotrove("init", "a", "-o", "other.yaml").code == 0
    assert load_pipeline(Path("other.yaml")).spec.source.arguments["layout"] == "aloha"


def test_mixed_layouts(robotrove: Callable, tmp_path: Path) -> None:
    for layout in ("aloha", "piper", "generic"):
        write_sample(layout, tmp_path / "a b", episodes=1, frames=2)
    write_sample("robomimic", tmp_path / "c", episodes=1, frames=2)
    found = robotrove("init", "a b", "c")
    assert found.code == 2
    assert "differ in their layout" in found.err
    assert "aloha: a b/episode_0.hdf5" in found.err
    assert "piper: a b/piper.hdf5" in found.err
    assert "no known layout: a b/generic.hdf5" in found.err
    assert not Path("pipeline.yaml").exists()
    todo = [shlex.split(command, comments=True)[1:] for command in commands(found.err)]
    assert todo == [
        ["init", "a b/episode_0.hdf5", "-o", "aloha.yaml"],
        ["inspect", "a b/generic.hdf5"],
        ["init", "a b/piper.hdf5", "-o", "piper.yaml"],
        ["init", "c/robomimic.hdf5", "-o", "robomimic.yaml"],
    ]
    assert [robotrove(*command).code for command in todo] == [0, 0, 0, 0]


@pytest.mark.parametrize("names", [("generic.hdf5",), ("a b/take",), ("one.H5", "a b/take", "generic.hdf5")])
def test_no_known_layout(robotrove: Callable, tmp_path: Path, names: tuple[str, ...]) -> None:
    (path,) = write_sample("generic", tmp_path, frames=2)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if not (tmp_path / name).exists():
            shutil.copy(path, tmp_path / name)
    found = robotrove("init", *names)
    assert found.code == 2
    assert "`layout: generic` (docs/pipelines.md, Layouts)" in found.err
    (todo,) = commands(found.err.replace("to do: ", ""))
    assert shlex.split(todo, comments=True) == ["robotrove", "inspect", names[0]]
    inspect = robotrove(*shlex.split(todo, comments=True)[1:])
    assert (inspect.code, " gripper " in inspect.out) == (0, True)


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("robosuite/demo.hdf5", "-m robomimic.scripts.dataset_states_to_obs --dataset {} --output_name image.hdf5"),
        ("maniskill/pickcube_none.h5", "-m mani_skill.trajectory.replay_trajectory --traj-path {} --use-env-states -o"),
    ],
)
def test_real_recordings_without_observations(robotrove: Callable, name: str, tool: str) -> None:
    recording = SHARED_DATA / "sims" / name
    if not recording.exists():
        pytest.skip(missing(recording))
    found = robotrove("init", recording)
    assert (found.code, found.out) == (2, "")
    assert f"`python {tool.format(recording)}" in found.err
    assert not Path("pipeline.yaml").exists()


def test_a_bad_file_among_good_ones_is_named(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", episodes=2, frames=2)
    Path("a/episode_1.hdf5").write_bytes(b"")
    found = robotrove("init", "a")
    assert found.code == 0
    assert found.err == "warning: a/episode_1.hdf5 has 0 bytes (empty_file)\n"
    assert "# Cannot be used: a/episode_1.hdf5 has 0 bytes (empty_file)" in Path("pipeline.yaml").read_text()


def test_only_bad_files(robotrove: Callable, tmp_path: Path) -> None:
    Path("a.hdf5").write_bytes(b"")
    found = robotrove("init", "a.hdf5")
    assert (found.code, found.err) == (2, "error: a.hdf5 has 0 bytes (empty_file)\n")
    Path("empty").mkdir()
    assert robotrove("init", "empty").code == 2


def test_a_target_that_cannot_be_written(robotrove: Callable, tmp_path: Path) -> None:
    write_sample("aloha", tmp_path / "a", episodes=1, frames=2)
    found = robotrove("init", "a", "-o", "no/such/folder.yaml")
    assert found.code == 2
    assert "cannot be written" in found.err
