"""What only the layout of LIBERO does: which rows belong together, and how frames are turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected, UsageError
from robotrove.formats.hdf5 import LAYOUTS
from robotrove.formats.hdf5.layout import guess_layout
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.tests.support.libero import STEPS, TASK, commands, picture, states, write_libero
from robotrove.tests.support.places import SHARED_DATA, needs

SIM = SHARED_DATA / "sims/robosuite/image_depth.hdf5"
EPISODE = "data/demo_0"
# A robosuite arm takes three steps for an action: measured with 1.4.0, and on SIM, whose row t is before action t.
RESPONSE = (0.46, 0.40, 0.08, 0.03)
TIMES = np.arange(40)[:, None]


def order(positions: np.ndarray, actions: np.ndarray, path: Path) -> str:
    """Return what the layout finds out of a motion: after, before or the reason why not."""
    with h5py.File(path, "w") as file:
        demo = file.create_group(EPISODE)
        demo["actions"] = np.column_stack([actions, np.zeros((len(actions), 4))])
        demo["obs/ee_states"] = np.column_stack([positions, np.zeros((len(positions), 3))])
        demo["obs/gripper_states"] = np.zeros((len(positions), 2))
    with h5py.File(path) as file:
        try:
            ep = LAYOUTS["libero"](observation="auto").open(file, EPISODE)
        except EpisodeRejected as exc:
            return exc.reason
        return "before" if ep.length == len(actions) else "after"


def moved(actions: np.ndarray, response: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Return the positions (T + 1, 3) before the first action and after each, which the controller clips."""
    asked = 0.05 * np.clip(actions, -1, 1)
    steps = [np.convolve(axis, response)[: len(asked)] for axis in asked.T]
    return np.concatenate([np.zeros((1, 3)), np.cumsum(np.stack(steps, axis=1), axis=0)])


RANDOM = np.random.default_rng(7)
MOTIONS = {
    "of a hand": commands(0, 40)[:, :3],
    "slow": 0.6 * np.sin(TIMES / 12 + [0, 1, 2]),
    "along one axis": np.sin(TIMES / 3) * [1, 0, 0],
    "noise": RANDOM.uniform(-1, 1, (40, 3)),
    "clipped": RANDOM.uniform(-3, 3, (40, 3)),
    "in steps": np.repeat(RANDOM.uniform(-1, 1, (10, 3)), 4, axis=0),
    "ever faster": TIMES / 40 * [0.3, -0.2, 0.9],
}


@pytest.mark.parametrize("response", [(1.0,), RESPONSE], ids=["at once", "of robosuite"])
@pytest.mark.parametrize("actions", MOTIONS.values(), ids=MOTIONS)
def test_the_motion_tells_the_order(tmp_path: Path, actions: np.ndarray, response: tuple[float, ...]) -> None:
    positions = moved(actions, response)
    assert order(positions[1:], actions, tmp_path / "a.hdf5") == "after"
    assert order(positions[:-1], actions, tmp_path / "b.hdf5") == "before"


def test_a_hand_that_is_led_to_its_goal(tmp_path: Path) -> None:
    """Each action depends on the position before it, as a person's or a policy's does."""
    position, goal = np.zeros(3), np.array([0.3, -0.2, 0.15])
    positions, actions = [position], np.zeros((0, 3))
    for step in range(100):
        goal = -goal if step % 50 == 49 else goal
        actions = np.vstack([actions, np.clip(8 * (goal - positions[-1]), -1, 1)])
        positions = [*moved(actions, RESPONSE)]
    assert order(np.array(positions)[1:], actions, tmp_path / "a.hdf5") == "after"
    assert order(np.array(positions)[:-1], actions, tmp_path / "b.hdf5") == "before"


@needs(SIM)
def test_a_recording_of_robosuite(tmp_path: Path) -> None:
    """Observations are before their action. They follow action t - 2 best, so that one correlation would mislead."""
    with h5py.File(SIM) as file:
        demos = [(demo["obs/robot0_eef_pos"][()], demo["actions"][:, :3]) for demo in file["data"].values()]
    assert demos
    for positions, actions in demos:
        assert order(positions, actions, tmp_path / "a.hdf5") == "before"
        assert order(positions[1:], actions[:-1], tmp_path / "b.hdf5") == "after"
        noisy = positions + RANDOM.normal(0, 1e-4, positions.shape)
        assert order(noisy, actions, tmp_path / "a.hdf5") == "before"


UNCLEAR = {
    "at rest": (np.zeros((40, 3)), MOTIONS["noise"]),
    "rotations alone": (np.zeros((40, 3)), np.zeros((40, 3))),
    "one speed": (moved(np.full((40, 3), 0.5))[1:], np.full((40, 3), 0.5)),
    "too short": (moved(MOTIONS["noise"][:3])[1:], MOTIONS["noise"][:3]),
    "mostly noise": (RANDOM.normal(0, 0.05, (40, 3)), MOTIONS["noise"]),
    "the other way": (-moved(MOTIONS["noise"])[1:], MOTIONS["noise"]),
    "NaN": (np.full((40, 3), np.nan), MOTIONS["noise"]),
}


@pytest.mark.parametrize(("positions", "actions"), UNCLEAR.values(), ids=UNCLEAR)
def test_nothing_is_guessed(tmp_path: Path, positions: np.ndarray, actions: np.ndarray) -> None:
    assert order(positions, actions, tmp_path / "a.hdf5") == "unclear_pairing"


def reason(path: Path) -> str:
    with h5py.File(path) as file, pytest.raises(EpisodeRejected) as caught:
        LAYOUTS["libero"](observation="auto").open(file, EPISODE)
    return caught.value.reason


def test_what_is_no_motion_is_rejected_for_what_it_is(tmp_path: Path) -> None:
    path = write_libero(tmp_path, "official", episodes=1)
    with h5py.File(path, "a") as file:
        demo = file[EPISODE]
        del demo["actions"]
        demo["actions"] = np.zeros(STEPS)
    assert reason(path) == "bad_slice"
    with h5py.File(path, "a") as file:
        del file[EPISODE]["actions"]
        file[EPISODE].create_dataset("actions", (STEPS, 7), chunks=(4, 7), dtype="f8")[:8] = 1
    assert reason(path) == "missing_rows"
    with h5py.File(path, "a") as file:
        del file[EPISODE]["actions"]
    assert reason(path) == "missing_dataset"


def test_one_row_that_is_no_number_does_not_hide_the_order(tmp_path: Path) -> None:
    positions = moved(MOTIONS["of a hand"])[1:]
    positions[20] = np.nan
    assert order(positions, MOTIONS["of a hand"], tmp_path / "a.hdf5") == "after"


@pytest.mark.parametrize(("observation", "first"), [("auto", 1), ("after", 1), ("before", 0)])
def test_pairs(tmp_path: Path, observation: str, first: int) -> None:
    path = write_libero(tmp_path, "official", episodes=1)
    with h5py.File(path) as file:
        ep = LAYOUTS["libero"](observation=observation).open(file, EPISODE)
        assert (ep.length, ep.text, ep.fps, ep.success) == (STEPS - first, TASK, 20, True)
        np.testing.assert_array_equal(ep["action"], commands(0)[first:].astype(np.float32))
        np.testing.assert_array_equal(
            ep["observation.state"], states(commands(0))[1 : STEPS + 1 - first].astype(np.float32)
        )
        assert not [note for note in ep.origin.notes if "num_samples" in note]
        again = LAYOUTS["libero"](observation="before").open(file, EPISODE, ep.origin.mapping)
        assert again["action"].tolist() == ep["action"].tolist(), "a worker reads as planning decided"


def test_what_belongs_to_the_action_and_what_to_the_observation(tmp_path: Path) -> None:
    """The creator's robot_states are of the observation after the step, its states of the simulator before it."""
    path = write_libero(tmp_path, "official", episodes=1)
    with h5py.File(path, "a") as file:
        file[EPISODE]["states"] = file[EPISODE]["robot_states"] = np.arange(STEPS)[:, None]
    columns = {name: ColumnSpec(source=name) for name in ("states", "robot_states", "dones", "actions")}
    with h5py.File(path) as file:
        ep = LAYOUTS["libero"](columns=columns, observation="auto").open(file, EPISODE)
        assert ep["states"][:, 0].tolist() == list(range(1, STEPS))
        assert ep["robot_states"][:, 0].tolist() == list(range(STEPS - 1))
        assert (ep.length, ep["dones"][-1, 0]) == (STEPS - 1, 1)


def test_rows_after_those_that_count_are_in_no_pair(tmp_path: Path) -> None:
    path = write_libero(tmp_path, "official", episodes=1)
    with h5py.File(path, "a") as file:
        file[EPISODE].attrs["num_samples"] = 20
        file[EPISODE]["obs/ee_states"][20:] = 9  # left over from elsewhere
    with h5py.File(path) as file:
        ep = LAYOUTS["libero"](observation="auto").open(file, EPISODE)
        np.testing.assert_array_equal(ep["action"], commands(0)[1:20].astype(np.float32))
        np.testing.assert_array_equal(ep["observation.state"], states(commands(0))[1:20].astype(np.float32))


def test_regenerated_files_are_recognised(tmp_path: Path) -> None:
    path = write_libero(tmp_path, "regenerated", episodes=1)
    with h5py.File(path) as file:
        assert guess_layout(file) == "libero"
        ep = LAYOUTS["libero"](fps=20, observation="auto").open(file, EPISODE)
        assert (ep.length, ep.text, ep.origin.task_source, ep.success) == (STEPS, TASK, "file_name", True)
    with h5py.File(path, "a") as file:
        del file[f"{EPISODE}/obs/ee_states"]
        assert guess_layout(file) != "libero"


MIRRORED: Callable[[np.ndarray], np.ndarray] = lambda upright: upright[:, ::-1]  # noqa: E731


@pytest.mark.parametrize(
    ("kind", "convention", "frames", "expected"),
    [
        ("official", "opengl", "upright", lambda upright: upright),
        ("official", "opencv", "upright", lambda upright: upright),
        ("official", "opengl", "rotated", MIRRORED),
        ("official", "opencv", "rotated", MIRRORED),
        ("regenerated", "opengl", "rotated", MIRRORED),
    ],
)
@pytest.mark.parametrize("is_mapped", [False, True])
def test_frames(
    tmp_path: Path,
    kind: str,
    convention: str,
    frames: str,
    expected: Callable[[np.ndarray], np.ndarray],
    is_mapped: bool,
) -> None:
    path = write_libero(tmp_path, kind, episodes=1, convention=convention)
    key = "observation.images.agentview"
    columns = {key: ColumnSpec(source="obs/agentview_rgb", flip="vertical")} if frames == "upright" else {}
    columns = columns if convention == "opengl" else {}
    columns = columns or {key: ColumnSpec(source="obs/agentview_rgb")}
    with h5py.File(path) as file:
        ep = LAYOUTS["libero"](columns=columns if is_mapped else None, frames=frames).open(file, EPISODE)
        found = ep[key][0]
        np.testing.assert_array_equal(found, expected(picture(int(kind == "official"), 0, len(found))))


def test_a_flip_of_the_pipeline_comes_first(tmp_path: Path) -> None:
    path = write_libero(tmp_path, "official", episodes=1)
    columns = {"observation.images.a": ColumnSpec(source="obs/agentview_rgb", flip="none")}
    with h5py.File(path) as file:
        ep = LAYOUTS["libero"](columns=columns, frames="rotated").open(file, EPISODE)
        np.testing.assert_array_equal(ep["observation.images.a"][0], file[f"{EPISODE}/obs/agentview_rgb"][0])


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="did you mean 'after'"):
        LAYOUTS["libero"](observation="aftr")
    columns = {"action": ColumnSpec(source="actions", rows=(1, None))}
    with pytest.raises(UsageError, match="so does `rows` of action"):
        LAYOUTS["libero"](columns=columns, observation="auto")
    LAYOUTS["libero"](columns=columns)
