"""LIBERO for GR00T and RLinf: what their environments do with the dataset gives back what was recorded and seen.

The formulas are theirs. Grippers: RLinf a3816b59, rlinf/envs/action_utils.py (GR00T N1.5); GR00T 4e62473 and 23ace64,
libero_env.py (N1.6, N1.7). Pictures: RLinf, rlinf/envs/libero/utils.py. Rows: scripts/create_dataset.py of LIBERO at
8f1084e steps the simulator and then records; regenerate_libero_dataset.py of any4lerobot at 6937315 records first.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.cli.datasets.handoff import command as handoff
from robotrove.core.errors import UsageError
from robotrove.pipelines.run.reopen import finished_run
from robotrove.tests.support.datasets.gr00t_loaders import RELEASES
from robotrove.tests.support.libero import CLOSE, OPEN, STEPS, TASK, commands, picture, states, write_libero
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import column, info, lines, names, plan, rows, run_shipped, videos
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source

CAMERAS = ("observation.images.image", "observation.images.wrist_image")
CONSUMERS = ("rlinf", "gr00t-n1", "gr00t-n1.5", "gr00t-n1.6", "gr00t-n1.7")
RLINF_TAG = "libero_franka"
EXACT = "writer.video={codec: libx264, preset: ultrafast, crf: 4, g: 10}"
ROWS = {"official": STEPS - 1, "regenerated": STEPS}


def first_action(kind: str) -> int:
    """The first action with an observation before it: of an official file the second."""
    return 1 if kind == "official" else 0


def check_grippers(dataset: Path, kind: str, episode: int, row: int) -> None:
    stored = column(rows(dataset), "action")[row : row + ROWS[kind], 6]
    recorded = commands(episode)[first_action(kind) :, 6]
    assert set(recorded) == {OPEN, CLOSE}
    np.testing.assert_array_equal(np.sign(1 - 2 * stored), recorded, "RLinf with GR00T N1.5")
    np.testing.assert_array_equal(-np.sign(2 * stored - 1), recorded, "the others")


def check_pairs(dataset: Path, kind: str, episode: int, row: int) -> None:
    """Each action with the state that it was given in."""
    table, recorded, first = rows(dataset), commands(episode), first_action(kind)
    part = slice(row, row + ROWS[kind])
    np.testing.assert_array_equal(column(table, "action")[part, :6], recorded[first:, :6].astype(np.float32))
    np.testing.assert_array_equal(
        column(table, "observation.state")[part], states(recorded)[first:-1].astype(np.float32)
    )


def check_pictures(dataset: Path, kind: str, episode: int, row: int) -> None:
    """What a policy gets of the environment in that state: the renderer's picture, turned by 180 degrees."""
    for camera, key in enumerate(CAMERAS):
        for at, found in enumerate(videos(dataset, key)[row : row + ROWS[kind]]):
            rendered = picture(first_action(kind) + at, camera, found.shape[0])[::-1]
            shown = rendered[::-1, ::-1]
            assert error(found, shown) < 6, f"{key}, row {row + at}"
            others = [np.rot90(side, turns) for side in (shown, shown[::-1]) for turns in range(4)]
            assert min(error(found, other) for other in others[1:]) > 15, "the picture is not asymmetric"


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).mean())


def check_sizes(dataset: Path, kind: str, episode: int, row: int) -> None:
    """VideoToTensor.check_input of N1 and N1.5, where the environment renders 256x256."""
    assert {videos(dataset, key).shape[1:] for key in CAMERAS} == {(256, 256, 3)}
    assert {tuple(info(dataset)["features"][key]["shape"]) for key in CAMERAS} == {(256, 256, 3)}


CHECKS = {"gripper": check_grippers, "pairs": check_pairs, "pictures": check_pictures, "size": check_sizes}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("libero")
    return [write_libero(folder / kind, kind, seed=seed) for kind, seed in (("official", 0), ("regenerated", 5))]


EPISODES = (("official", 0, 0), ("official", 1, 23), ("regenerated", 5, 46), ("regenerated", 6, 70))


@pytest.fixture(scope="module")
def dataset(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "dataset"
    report = run_shipped("libero_gr00t", recordings, output, EXACT)
    assert (report.kept, report.rejected) == (4, {})
    return output


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("episode", EPISODES, ids=str)
def test_the_environment_gets_back_what_was_recorded(
    dataset: Path, episode: tuple[str, int, int], check: Callable[..., None]
) -> None:
    """Official and regenerated files in one run."""
    check(dataset, *episode)


FAULTS = {
    "gripper": ("gripper", "steps[1]={unit_converter: {columns: [action]}}"),
    "flipped": ("pictures", "source.options.frames=upright"),
    "unpaired": ("pairs", "source.options.observation=before"),
    "small": ("size", "steps=[success_filter, {unit_converter: {columns: [action], scale: [1, 1, 1, 1, 1, 1, -0.5], "
              "offset: [0, 0, 0, 0, 0, 0, 0.5]}}]"),
}  # fmt: skip


@pytest.mark.parametrize(("check", "override"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_found(tmp_path: Path, recordings: list[Path], check: str, override: str) -> None:
    """Each setting of the pipeline, taken back, fails its check and no other; rows alone shift pictures too."""
    run_shipped("libero_gr00t", recordings[:1], tmp_path / "out", EXACT, override)
    with pytest.raises(AssertionError):
        CHECKS[check](tmp_path / "out", *EPISODES[0])
    for name in CHECKS.keys() - {check, *(("pictures", "gripper") if check == "pairs" else ())}:
        CHECKS[name](tmp_path / "out", *EPISODES[0])


def check_tag(dataset: Path, folder: Path) -> None:
    """NVIDIA's N1.5 knows the tag, and RLinf finds an entry of its own, with all that it derives from it."""
    script = (folder / "finetune.sh").read_text()
    [tag] = re.findall(r"--embodiment-tag (\S+)", script)
    projectors = {
        "gr1": 24,
        "oxe_droid": 17,
        "agibot_genie1": 26,
        "new_embodiment": 31,
    }  # gr00t/data/embodiment_tags.py
    assert projectors[tag] == 31, "that of libero_franka in RLinf"
    known = json.loads((folder / "experiment_cfg/metadata.json").read_text())
    assert {key: entry["embodiment_tag"] for key, entry in known.items()} == {name: name for name in (tag, RLINF_TAG)}
    stats = json.loads((dataset / "meta/stats.json").read_text())
    for entry in known.values():
        modalities, grippers = entry["modalities"], entry["statistics"]["action"]["gripper"]
        assert sum(part["shape"][0] for part in modalities["action"].values()) == 7
        assert {key: camera["resolution"] for key, camera in modalities["video"].items()} == {
            "image": [256, 256],
            "wrist_image": [256, 256],
        }
        assert (grippers["min"], grippers["max"]) == ([0], [1])
        assert grippers["mean"] == stats["action"]["mean"][6:]


def hand_off(dataset: Path, folder: Path, tag: str, version: str = "n1.5") -> None:
    options = ["gr00t", dataset, "-o", folder, "--robot", "libero", "--version", version, "--tag", tag]
    handoff.main(list(map(str, options)), standalone_mode=False)


@pytest.fixture(scope="module")
def handed_off(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handoff") / "rlinf"
    hand_off(dataset, folder, RLINF_TAG)
    return folder


def test_the_tag_of_rlinf_is_trained_as_new_embodiment(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a b"
    hand_off(dataset, folder, RLINF_TAG)
    check_tag(dataset, folder)
    metadata = "experiment_cfg/metadata.json"
    *_, copy = capsys.readouterr().out.splitlines()
    assert shlex.split(copy.partition(": ")[2]) == ["cp", str(folder / metadata), f"CHECKPOINT/{metadata}"]
    note = f"# - trained as new_embodiment, which has the projector of RLinf's {RLINF_TAG}: before RLinf loads"
    assert note in (folder / "finetune.sh").read_text()


@pytest.mark.parametrize("tag", ["new_embodiment", "gr1"])
def test_a_tag_of_nvidia_has_one_entry(dataset: Path, tmp_path: Path, tag: str) -> None:
    hand_off(dataset, tmp_path / "out", tag)
    known = json.loads((tmp_path / "out/experiment_cfg/metadata.json").read_text())
    assert [(key, entry["embodiment_tag"]) for key, entry in known.items()] == [(tag, tag)]
    assert "RLinf" not in (tmp_path / "out/finetune.sh").read_text()


@pytest.mark.parametrize(
    ("tag", "projector"), [("maniskill_widowx", 30), ("libero_panda", 2), ("robocasa_panda_omron", 13)]
)
def test_a_tag_of_rlinf_that_nvidia_does_not_train(dataset: Path, tmp_path: Path, tag: str, projector: int) -> None:
    """RLinf a3816b59, rlinf/models/embodiment/gr00t: with another projector the policy would be untrained."""
    with pytest.raises(UsageError, match=rf"--tag {tag}[\s\S]*is projector {projector} in RLinf") as caught:
        hand_off(dataset, tmp_path / "out", tag)
    assert "gr1 24, oxe_droid 17, agibot_genie1 26, new_embodiment 31" in str(caught.value)
    assert "one of libero_franka, isaaclab_franka" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_raw_grippers_are_not_handed_off(recordings: list[Path], tmp_path: Path) -> None:
    run_shipped("libero_gr00t", recordings[1:], tmp_path / "raw", FAULTS["gripper"][1])
    with pytest.raises(UsageError, match=r"action.gripper: has values from -1 to 1[\s\S]*robotrove run libero_gr00t"):
        hand_off(tmp_path / "raw", tmp_path / "out", RLINF_TAG)


@pytest.mark.parametrize("name", ["finetune.sh", "experiment_cfg/metadata.json"])
def test_a_tag_that_only_one_of_both_knows_is_found(dataset: Path, handed_off: Path, tmp_path: Path, name: str) -> None:
    """The fifth fault: either file as it was before, with the tag of RLinf alone."""
    folder = shutil.copytree(handed_off, tmp_path / "handoff")
    path = folder / name
    if name.endswith(".json"):
        path.write_text(json.dumps({RLINF_TAG: json.loads(path.read_text())[RLINF_TAG]}))
    else:
        path.write_text(path.read_text().replace("new_embodiment", RLINF_TAG))
    with pytest.raises((AssertionError, KeyError)):
        check_tag(dataset, folder)


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_loader_of_gr00t_reads_was_recorded(dataset: Path, release: str) -> None:
    """Key by key: the state and the action of each step, and its pictures."""
    loader = RELEASES[release](dataset)
    for episode, (kind, seed, _) in enumerate(EPISODES):
        first, recorded = first_action(kind), commands(seed)
        expected = {"state": states(recorded)[first:-1], "action": recorded[first:].copy()}
        expected["action"][:, 6] = np.where(recorded[first:, 6] == CLOSE, 0, 1)
        for section, values in expected.items():
            keys = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
            found = np.concatenate([loader.vector(episode, section, key)[:, 0] for key in keys], axis=1)
            np.testing.assert_array_equal(found, values[: len(found)].astype(np.float32))
        for camera, key in enumerate(("image", "wrist_image")):
            for at, frame in enumerate(loader.video(episode, key)):
                assert error(frame, picture(first + at, camera, 256)[:, ::-1]) < 6
        assert set(loader.texts(episode, "human.action.task_description")) == {TASK}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_every_consumer_takes_it(dataset: Path, consumer: str) -> None:
    report = verify(dataset, consumers=chosen([consumer]))
    assert [one for one in report.findings if one.consumer or one.severity == "error"] == []


def test_it_looks_like_the_published_sets(dataset: Path) -> None:
    """IPEC-COMMUNITY/libero_*_no_noops_1.0.0_lerobot."""
    facts = info(dataset)
    assert (facts["codebase_version"], facts["robot_type"], facts["fps"]) == ("v2.1", "franka", 20)
    assert {key: tuple(facts["features"][key]["shape"]) for key in (*CAMERAS, "observation.state", "action")} == {
        **dict.fromkeys(CAMERAS, (256, 256, 3)),
        "observation.state": (8,),
        "action": (7,),
    }
    assert names(dataset, "action") == ["x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3", "gripper"]
    assert lines(dataset, "tasks.jsonl") == [{"task_index": 0, "task": TASK}]
    actions = column(rows(dataset), "action")
    assert set(actions[:, 6]) == {0, 1}


def test_it_verifies_against_the_recordings(dataset: Path) -> None:
    report = check_source(dataset, finished_run(dataset.with_name("dataset.run")), deep=True)
    assert (report.problems, report.episodes, report.frames) == ((), 4, 2 * 94)


def test_upright_files_are_mirrored(tmp_path: Path) -> None:
    """Of the convention "opencv": stored upright, shown as the mirror image that other files have too."""
    path = write_libero(tmp_path / "official", "official", episodes=1, convention="opencv")
    run_shipped("libero_gr00t", [path], tmp_path / "out", EXACT)
    check_pictures(tmp_path / "out", "official", 0, 0)


def test_what_planning_tells(recordings: list[Path]) -> None:
    notes = plan("libero_gr00t", recordings).notes
    for begin, end in (("the file has observations after", "before it"), ("the file has no macros_image", "camera")):
        assert next(note for note in notes if note.startswith(begin)).endswith(f"{end} (2 episodes)")


def test_an_arm_at_rest_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write_libero(tmp_path / "official", "official")
    with h5py.File(path, "a") as file:
        file["data/demo_0/obs/ee_states"][:] = file["data/demo_0/obs/ee_states"][0]
    report = run_shipped("libero_gr00t", [path], tmp_path / "out")
    assert (report.kept, report.rejected) == (1, {"unclear_pairing": 1})
    [detail] = [row.detail for row in plan("libero_gr00t", [path]).manifest.rows if row.reason]
    assert "options: {observation: after}" in detail
    report = run_shipped("libero_gr00t", [path], tmp_path / "decided", "source.options.observation=after")
    assert (report.kept, report.rejected) == (2, {})
    check_pairs(tmp_path / "decided", "official", 1, STEPS - 1)
