"""`robotrove handoff lerobot`: options of each release, and the names of a pretrained policy's cameras."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.lerobot.datasets.open_dataset import open_current
from robotrove.formats.training.lerobot_training import pretrained_policy
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
CAMERAS = [f"observation.images.camera{number}" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lerobot")
    files = write_sample("leisaac", folder, episodes=2, frames=24, height=48, width=64)
    for version in ("v2.1", "v3.0"):
        run_shipped("leisaac_so101", files, folder / version, f"formats=[{version}]")
    return {version: folder / version for version in ("v2.1", "v3.0")}


def policy(folder: Path, *cameras: str, **more: Any) -> Path:
    """Write the part of a policy that LeRobot reads first, as save_pretrained writes it."""
    features = {key: {"type": "VISUAL", "shape": [3, 256, 256]} for key in cameras}
    features |= {"observation.state": {"type": "STATE", "shape": [6]}}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"type": "smolvla", "input_features": features, **more}))
    return folder


def options(out: Path, tmp_path: Path) -> dict[str, str]:
    """Return what lerobot-train is started with, from a stand-in for it."""
    program = tmp_path / "lerobot-train"
    program.write_text('#!/usr/bin/env bash\nprintf "%s\\0" "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", out / "train.sh", "--steps=7"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(argument.split("=", 1) for argument in done.stdout.split("\0")[:-1])


def handoff(*arguments: str | Path) -> None:
    command.main(["lerobot", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_new_policy(datasets: dict[str, Path], tmp_path: Path, version: str) -> None:
    out = tmp_path / "out"
    handoff(datasets[version], "-o", out)
    assert options(out, tmp_path) == {
        "--dataset.repo_id": f"local/{version}",
        "--dataset.root": str(datasets[version]),
        "--policy.type": "act",
        "--policy.push_to_hub": "false",
        "--job_name": f"act-{version}",
        "--output_dir": str(out / "checkpoints"),
        "--steps": "7",
    }


@pytest.mark.parametrize(
    ("version", "evaluation"),
    [("v2.1", "--eval_freq=20000"), ("v3.0", "--eval_freq=20000 in 0.4, --env_eval_freq=20000 in 0.6.1")],
)
def test_defaults_stand_in_the_script(datasets: dict[str, Path], tmp_path: Path, version: str, evaluation: str) -> None:
    """lerobot/configs/train.py of 0.3.3, 0.4.4 and 0.6.1; the judges compare them with each release."""
    handoff(datasets[version], "-o", tmp_path / "out")
    lines = (tmp_path / "out/train.sh").read_text().splitlines()
    assert lines[2] == "#   --steps=100000 --batch_size=8 --num_workers=4 --save_freq=20000 --wandb.enable=false"
    assert lines[3].endswith(f": {evaluation}")


def test_a_pretrained_policy_of_the_hub(datasets: dict[str, Path], tmp_path: Path) -> None:
    given = [f"--rename={FRONT}={CAMERAS[1]}", "--rename", f"{WRIST}={CAMERAS[0]}"]
    handoff(datasets["v3.0"], "-o", tmp_path / "out", "--pretrained", "lerobot/smolvla_base", *given)
    found = options(tmp_path / "out", tmp_path)
    assert found["--policy.path"] == "lerobot/smolvla_base"
    assert json.loads(found["--rename_map"]) == {FRONT: CAMERAS[1], WRIST: CAMERAS[0]}
    assert found["--job_name"] == "smolvla_base-v3.0"
    assert "--policy.type" not in found, "lerobot-train refuses both"


def test_cameras_of_a_policy_of_the_hub_are_not_known(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handoff(datasets["v3.0"], "-o", tmp_path / "out", "--pretrained", "lerobot/smolvla_base")
    assert "feature mismatch, give the names of the policy's cameras: --rename KEY=KEY" in capsys.readouterr().out
    assert "--rename_map" not in options(tmp_path / "out", tmp_path)


def test_a_camera_that_is_no_observation_has_no_other_name(datasets: dict[str, Path], tmp_path: Path) -> None:
    """LeRobot renames observations only."""
    root = shutil.copytree(datasets["v3.0"], tmp_path / "dataset")
    text = (root / "meta/info.json").read_text()
    (root / "meta/info.json").write_text(text.replace(FRONT, "front"))
    chosen = pretrained_policy(open_current(root), str(policy(tmp_path / "policy", CAMERAS[0])), {})
    assert chosen.renames == {WRIST: CAMERAS[0]}


@pytest.mark.parametrize(
    ("cameras", "given", "renames"),
    [
        (CAMERAS, {}, {FRONT: CAMERAS[0], WRIST: CAMERAS[1]}),
        (CAMERAS, {WRIST: CAMERAS[0]}, {WRIST: CAMERAS[0], FRONT: CAMERAS[1]}),
        ([CAMERAS[0]], {}, {FRONT: CAMERAS[0]}),
        ([WRIST, CAMERAS[0]], {}, {FRONT: CAMERAS[0]}),
        ([FRONT, WRIST], {}, None),
        ([FRONT], {}, None),
        ([FRONT, WRIST, CAMERAS[2]], {}, None),
        ([], {}, None),
    ],
)
def test_a_pretrained_policy_in_a_folder(
    datasets: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    cameras: list[str],
    given: dict[str, str],
    renames: dict[str, str] | None,
) -> None:
    path = policy(tmp_path / "it's $(mine)", *cameras)
    more = [f"--rename={old}={new}" for old, new in given.items()]
    handoff(datasets["v3.0"], "-o", tmp_path / "out", "--pretrained", path, *more)
    found = options(tmp_path / "out", tmp_path)
    assert found["--policy.path"] == str(path)
    assert ("--rename_map" in found) == (renames is not None)
    printed = capsys.readouterr().out.splitlines()[1:-1]
    if renames is not None:
        assert json.loads(found["--rename_map"]) == renames
    assert printed == [f"  {old} is {new} of the policy" for old, new in (renames or {}).items()]


def test_a_policy_whose_cameras_need_no_names_trains_on_v21_too(datasets: dict[str, Path], tmp_path: Path) -> None:
    """0.3.3 knows --policy.path, and no --rename_map."""
    handoff(datasets["v2.1"], "-o", tmp_path / "out", "--pretrained", policy(tmp_path / "policy", FRONT, WRIST))
    assert options(tmp_path / "out", tmp_path)["--policy.path"] == str(tmp_path / "policy")
    with pytest.raises(UsageError, match=r"LeRobot 0.3.3, which cannot rename cameras[\s\S]*convert \S* --to v3.0"):
        handoff(datasets["v2.1"], "-o", tmp_path / "more", "--pretrained", policy(tmp_path / "other", *CAMERAS))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "act", "--pretrained", "a/b"], "takes the type of a pretrained policy from its files"),
        (["--rename", f"{FRONT}=x"], "a new policy takes the names of the dataset"),
        (["--pretrained", "a/b", "--rename", "front"], r"'front' has no ="),
        (["--pretrained", "a/b", "--rename", "observation.images.fron=x"], "did you mean 'observation.images.front'"),
        (["--pretrained", "a/b", "--rename", "action=x"], "the dataset has no observation 'action'"),
        (
            ["--pretrained", "a/b", "--rename", f"{FRONT}=x", "--rename", f"{WRIST}=x"],
            "gives two observations one name",
        ),
        (["--pretrained", "a/b", "--rename", f"{FRONT}=x", "--rename", f"{FRONT}=y"], "images.front' two names"),
        (
            ["--pretrained", "{policy}", "--rename", f"{FRONT}=observation.images.camera4"],
            "did you mean 'observation.i",
        ),
        (
            ["--pretrained", "{policy}", "--rename", "observation.state=observation.images.camera1"],
            r"camera1 of the policy is VISUAL, and observation.state is float32\[6\]",
        ),
        (["--pretrained", "/no/where"], r"config.json: says nothing of a policy[\s\S]*OWNER/NAME of the Hub"),
        (["--pretrained", "{folder}"], "config.json: says nothing of a policy"),
    ],
)
def test_what_is_refused(datasets: dict[str, Path], tmp_path: Path, arguments: list[str], words: str) -> None:
    places = {"policy": policy(tmp_path / "policy", *CAMERAS), "folder": tmp_path}
    with pytest.raises(UsageError, match=words):
        handoff(datasets["v3.0"], "-o", tmp_path / "out", *(text.format(**places) for text in arguments))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"input_features": [1]}', '{"input_features": {"x": 3}}'])
def test_files_that_are_no_policy(datasets: dict[str, Path], tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match="says nothing of a policy"):
        handoff(datasets["v3.0"], "-o", tmp_path / "out", "--pretrained", tmp_path)


def test_names_of_a_policy_stay_names(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "x'; touch evil; '\x1b[31m"
    handoff(datasets["v3.0"], "-o", tmp_path / "out", "--pretrained", policy(tmp_path / "policy", evil))
    assert json.loads(options(tmp_path / "out", tmp_path)["--rename_map"]) == {FRONT: evil}
    assert "\x1b" not in capsys.readouterr().out
    assert shlex.split((tmp_path / "out/train.sh").read_text(), comments=True)
