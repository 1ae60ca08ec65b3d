"""`robotrove handoff`: the files run as they are, with what GR00T and LeRobot would be there for."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.cli.datasets import stats
from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.training.gr00t_training import TAGS
from robotrove.manifests.robot import load_robot, shipped_robots
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

DATASET = "[downgrader, {gr00t_files: {robot: so101}}]"
# What a Python that is started says of it: its arguments, where it is, and what it was told by the environment.
SHOW = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "$PWD" "${IS_TORCHRUN:-}" "${CUDA_VISIBLE_DEVICES:-}" "$@" > "$SEEN"
"""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("handoff")
    files = write_sample("leisaac", folder, episodes=2, frames=24, height=48, width=64)
    made = {"v2.1": folder / "it's $(mine)", "v3.0": folder / "v30", "plain": folder / "plain"}
    run_shipped("leisaac_so101", files, made["v2.1"], "formats=[v2.1]", f"dataset={DATASET}")
    run_shipped("leisaac_so101", files, made["v3.0"])
    run_shipped("leisaac_so101", files, made["plain"], "formats=[v2.1]")
    return made


def handoff(*arguments: str | Path) -> None:
    command.main([str(argument) for argument in arguments], standalone_mode=False)


def start(script: Path, tmp_path: Path, *arguments: str, **environment: str) -> list[str]:
    """Run a script with programs that only write down what they were given."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("python", "torchrun", "lerobot-train"):
        (programs / name).write_text(SHOW)
        (programs / name).chmod(0o755)
    seen = tmp_path / "seen"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    known = {key: value for key, value in os.environ.items() if key not in ("NUM_GPUS", "CUDA_VISIBLE_DEVICES")}
    subprocess.run(
        ["bash", script, *arguments], env=known | {"PATH": path, "SEEN": str(seen)} | environment, check=True
    )
    return seen.read_text().splitlines()


@pytest.mark.parametrize("version", ["n1.6", "n1.7"])
def test_the_configuration_of_new_releases(datasets: dict[str, Path], tmp_path: Path, version: str) -> None:
    """The module is run with the five names that it imports from GR00T."""
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--robot", "so101", "--version", version)
    text = (tmp_path / "out/modality_config.py").read_text()
    registered: dict[str, Any] = {}
    old = {"new_embodiment": "theirs", "gr1": "theirs"}

    class Tag:
        def __init__(self, value: str) -> None:
            self.value = value

    class Kinds:
        RELATIVE, ABSOLUTE, NON_EEF, DEFAULT = "RELATIVE", "ABSOLUTE", "NON_EEF", "DEFAULT"

    def register(config: Any, embodiment_tag: Tag) -> None:
        assert embodiment_tag.value not in old, "GR00T refuses a tag that it has a configuration for"
        registered[embodiment_tag.value] = config

    tree = ast.parse(text)
    imported = [name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names]
    names = {"MODALITY_CONFIGS": old, "register_modality_config": register, "EmbodimentTag": Tag}
    names |= {name: Kinds for name in ("ActionRepresentation", "ActionType", "ActionFormat")}
    names |= {"ActionConfig": dict, "ModalityConfig": dict}
    assert set(imported) == set(names)
    tree.body = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    exec(compile(tree, "modality_config.py", "exec"), dict(names))
    assert old == {"gr1": "theirs"}
    absolute = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT"}
    assert registered == {
        "new_embodiment": {
            "video": {"delta_indices": [0], "modality_keys": ["front", "wrist"]},
            "state": {"delta_indices": [0], "modality_keys": ["single_arm", "gripper"]},
            "action": {
                "delta_indices": list(range(16)),
                "modality_keys": ["single_arm", "gripper"],
                "action_configs": [absolute | {"rep": "RELATIVE"}, absolute],
            },
            "language": {"delta_indices": [0], "modality_keys": ["annotation.human.task_description"]},
        }
    }
    text = (tmp_path / "out/relative_actions.yaml").read_text()
    assert f"robotrove stats {quote(str(datasets['v2.1']))} --relative relative_actions.yaml\n" in text
    assert yaml.safe_load(text) == {
        "action_horizon": 16,
        "actions": {"single_arm": {"rep": "RELATIVE"}, "gripper": {"rep": "ABSOLUTE"}},
    }


@pytest.mark.parametrize(
    ("version", "gpus", "program", "script", "here"),
    [
        ("n1.6", "1", "python", "gr00t/experiment/launch_finetune.py", "checkout"),
        ("n1.7", "4", "torchrun", "gr00t/experiment/launch_finetune.py", "checkout"),
        ("n1.5", "4", "python", "{checkout}/scripts/gr00t_finetune.py", "out"),
        ("n1", "1", "python", "{out}/modality_config.py", "out"),
        ("n1", "2", "torchrun", "{out}/modality_config.py", "out"),
    ],
)
def test_the_command(
    datasets: dict[str, Path], tmp_path: Path, version: str, gpus: str, program: str, script: str, here: str
) -> None:
    out, checkout = tmp_path / "out", tmp_path / "checkout"
    checkout.mkdir()
    handoff("gr00t", datasets["v2.1"], "-o", out, "--robot", "so101", "--version", version)
    found = start(out / "finetune.sh", tmp_path, "--max-steps", "7", GR00T=str(checkout), NUM_GPUS=gpus)
    name, cwd, torchrun, cuda, *arguments = found
    assert (name, Path(cwd).name) == (program, here)
    assert script.format(out=out, checkout=checkout) in arguments
    given = dict(pairwise(arguments))
    assert given["--dataset-path"] == str(datasets["v2.1"]), "a name that a shell would take apart"
    assert (given["--num-gpus"], given["--max-steps"]) == (gpus, "7")
    assert given["--output-dir"] == str(out / "checkpoints")
    tag = "NEW_EMBODIMENT" if version == "n1.6" else "new_embodiment"
    assert given["--embodiment-tag"] == tag
    if version in ("n1.6", "n1.7"):
        assert given["--modality-config-path"] == str(out / "modality_config.py")
        assert cuda == ("0" if gpus == "1" else "")
    else:
        assert given["--data-config"] == ("robot" if version == "n1" else "modality_config:RobotConfig")
        assert given.get("--video-backend") == ("decord" if version == "n1.5" else None), "torchcodec is N1.5's default"
        assert torchrun == ("1" if program == "torchrun" else "")


def test_a_relative_checkout_and_the_job(datasets: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "gr00t/scripts").mkdir(parents=True)
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.5")
    relative = os.path.relpath(tmp_path / "gr00t")
    found = start(tmp_path / "out/finetune.sbatch", tmp_path, GR00T=relative, SLURM_GPUS_ON_NODE="8")
    assert found[4] == str(tmp_path / "gr00t/scripts/gr00t_finetune.py")
    assert found[found.index("--num-gpus") + 1] == "8"


def test_a_shell_with_cdpath(datasets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gr00t").mkdir()
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.6")
    monkeypatch.chdir(tmp_path)
    found = start(Path("out/finetune.sh"), tmp_path, GR00T="gr00t", CDPATH=f"/tmp:{tmp_path}")
    assert found[1] == str(tmp_path / "gr00t")
    assert found[found.index("--output-dir") + 1] == str(tmp_path / "out/checkpoints")


@pytest.mark.parametrize("version", ["n1", "n1.5"])
def test_the_configuration_of_old_releases(datasets: dict[str, Path], tmp_path: Path, version: str) -> None:
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--robot", "so101", "--version", version)
    tree = ast.parse((tmp_path / "out/modality_config.py").read_text())
    [config] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    values: dict[str, Any] = {}
    exec(compile(ast.Module(config.body, []), "config", "exec"), values)
    assert {key: values[key] for key in ("video_keys", "state_keys", "action_keys", "language_keys")} == {
        "video_keys": ["video.front", "video.wrist"],
        "state_keys": ["state.single_arm", "state.gripper"],
        "action_keys": ["action.single_arm", "action.gripper"],
        "language_keys": ["annotation.human.task_description"],
    }
    assert values["action_indices"] == list(range(16))
    metadata = json.loads((tmp_path / "out/experiment_cfg/metadata.json").read_text())["new_embodiment"]
    stats = json.loads((datasets["v2.1"] / "meta/stats.json").read_text())
    assert metadata["statistics"]["action"]["gripper"]["q99"] == stats["action"]["q99"][5:]
    assert metadata["modalities"]["video"]["wrist"] == {"resolution": [64, 48], "channels": 3, "fps": 30.0}


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        ("v3.0", ["--robot", "so101", "--version", "n1.6"], r"is v3.0[\s\S]*convert .* --to v2.1 --gr00t so101"),
        ("plain", ["--robot", "so101", "--version", "n1.6"], r"modality.json: does not exist[\s\S]*--gr00t"),
        (
            "v2.1",
            ["--robot", "so101", "--version", "n1.6", "--tag", "gr2"],
            "no embodiment tag 'gr2' .did you mean 'gr1'",
        ),
        ("v2.1", ["--robot", "so102", "--version", "n1.6"], "did you mean 'so101'"),
    ],
)
def test_what_is_refused(
    datasets: dict[str, Path], tmp_path: Path, dataset: str, options: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        handoff("gr00t", datasets[dataset], "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_the_robot_of_the_robot_type(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-o", tmp_path / "out", "--version", "n1.6"]
    handoff("gr00t", datasets["v2.1"], *options)
    assert "configuration: NVIDIA/Isaac-GR00T 4e62473 (N1.6), examples/SO100/" in capsys.readouterr().out
    other = shutil.copytree(datasets["v2.1"], tmp_path / "other")
    info = json.loads((other / "meta/info.json").read_text())
    (other / "meta/info.json").write_text(json.dumps(info | {"robot_type": "gr1_arms_only"}))
    with pytest.raises(
        UsageError,
        match=r"which no robot manifest has[\s\S]*one of aloha, bi_piper, .*so101, or a YAML[\s\S]*--robot gr1$",
    ):
        handoff("gr00t", other, "-o", tmp_path / "new", "--version", "n1.6")
    assert not (tmp_path / "new").exists()


def test_a_preset_and_values_of_the_configuration(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--like", "robotrove", "--relative", "none", "--horizon", "8"]
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--version", "n1.6", "--preset", "piper", *changes)
    assert "note: relative actions none instead of single_arm\n  note: 8 actions at" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.md",
        "finetune.sbatch",
        "finetune.sh",
        "modality_config.py",
    ]
    found = start(tmp_path / "out/finetune.sh", tmp_path, GR00T=str(tmp_path))
    assert found[found.index("--num-gpus") + 1] == "2"
    with pytest.raises(UsageError, match=r"only for N1\.6"):
        handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "new", "--version", "n1.7", "--preset", "piper")
    with pytest.raises(UsageError, match="'wrist' is not an action with a state"):
        handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "new", "--version", "n1.7", "--relative", "gripper,wrist")
    assert not (tmp_path / "new").exists()


def test_the_command_that_writes_a_missing_modality_json(datasets: dict[str, Path], tmp_path: Path) -> None:
    """The dataset is not written to; the command is run as it is typed."""
    plain = shutil.copytree(datasets["plain"], tmp_path / "it's plain")
    for options in ([], ["--robot", "so101"]):
        with pytest.raises(UsageError) as caught:
            handoff("gr00t", plain, "-o", tmp_path / "out", "--version", "n1.6", *options)
        assert not (plain / "meta/modality.json").exists()
        command = shlex.split(caught.value.todo)
        assert command == ["robotrove", "stats", str(plain), "--gr00t", "--robot", "so101"]
    stats.command.main(command[2:], standalone_mode=False)
    handoff("gr00t", plain, "-o", tmp_path / "out", "--version", "n1.6")


def test_episodes_shorter_than_the_horizon_that_is_chosen(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that is kept has 19 frames: the sample's 24, the first five dropped."""
    options = ["--robot", "so101", "--version", "n1.6", "--horizon"]
    with pytest.raises(UsageError, match=r"1 of 1 episodes are shorter than 20 frames[\s\S]*--horizon 19"):
        handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", *options, "20")
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", *options, "19")
    assert "are shorter" not in capsys.readouterr().out
    uneven = shutil.copytree(datasets["v2.1"], tmp_path / "uneven")
    line = json.dumps({"episode_index": 1, "tasks": ["x"], "length": 5})
    with (uneven / "meta/episodes.jsonl").open("a") as file:
        file.write(line + "\n")
    table = pq.read_table(uneven / "data/chunk-000/episode_000000.parquet").slice(0, 5)
    pq.write_table(table, uneven / "data/chunk-000/episode_000001.parquet")
    handoff("gr00t", uneven, "-o", tmp_path / "note", *options, "10")
    assert "note: 1 of 2 episodes are shorter than 10 frames" in capsys.readouterr().out


def test_an_existing_folder_stays(datasets: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for place in (tmp_path, tmp_path / "link"):
        with pytest.raises(UsageError, match="already exists"):
            handoff("lerobot", datasets["v3.0"], "-o", place)


def test_what_cannot_be_written_or_is_no_dataset(datasets: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written: "):
        handoff("lerobot", datasets["v3.0"], "-o", tmp_path / "file/out")
    for options in (["lerobot"], ["gr00t", "--robot", "so101", "--version", "n1.6"]):
        with pytest.raises(UsageError, match="is not a dataset"):
            handoff(*options, tmp_path, "-o", tmp_path / "out")


@pytest.mark.parametrize("version", ["n1.6", "n1.7"])
def test_a_robot_of_which_the_dataset_has_nothing(datasets: dict[str, Path], tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError, match=r"robot gr1: .* has no state of left_arm[\s\S]*one of single_arm, gripper"):
        handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", "--robot", "gr1", "--version", version)


def test_a_robot_whose_groups_have_other_widths(datasets: dict[str, Path], tmp_path: Path) -> None:
    robot = tmp_path / "robot.yaml"
    robot.write_text("name: r\nrobot_type: r\njoints: [a, b]\ngroups: {single_arm: [a], gripper: [b]}\n")
    options = ["--robot", robot, "--version", "n1.6", "--tag", "new_embodiment"]
    with pytest.raises(UsageError, match=r"state.single_arm of meta/modality.json has 5 values[\s\S]*expected: 1,"):
        handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "out", *options)


@pytest.mark.parametrize("change", [lambda found: found.pop("annotation"), lambda found: found.update(annotation=None)])
def test_a_dataset_without_annotations(datasets: dict[str, Path], tmp_path: Path, change: Any) -> None:
    """N1.6 opens it; the configuration needs one."""
    root = shutil.copytree(datasets["v2.1"], tmp_path / "dataset")
    content = json.loads((root / "meta/modality.json").read_text())
    change(content)
    (root / "meta/modality.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="has no annotation"):
        handoff("gr00t", root, "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.6")


def test_statistics_of_null(datasets: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(datasets["v2.1"], tmp_path / "dataset")
    stats = json.loads((root / "meta/stats.json").read_text())
    stats["action"]["q01"] = None
    (root / "meta/stats.json").write_text(json.dumps(stats))
    with pytest.raises(UsageError, match="has not all statistics"):
        handoff("gr00t", root, "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.5")


def test_what_to_do_next_can_be_typed(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my $(out)"
    handoff("lerobot", datasets["v2.1"], "-o", out)
    assert shlex.split(capsys.readouterr().out.splitlines()[-1])[-2:] == ["bash", str(out / "train.sh")]
    handoff("gr00t", datasets["v2.1"], "-o", tmp_path / "a b", "--robot", "so101", "--version", "n1.6")
    assert shlex.split(capsys.readouterr().out.splitlines()[-1])[-1] == str(tmp_path / "a b/finetune.sh")
    strange = shutil.copytree(datasets["v3.0"], tmp_path / "it's v3")
    with pytest.raises(UsageError) as caught:
        handoff("gr00t", strange, "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.6")
    command = shlex.split(str(caught.value).splitlines()[-1])[2:]
    assert command == ["robotrove", "convert", str(strange), "--to", "v2.1", "--gr00t", "so101", "-o", "NEW"]


def test_names_from_a_dataset_stay_names(datasets: dict[str, Path], tmp_path: Path) -> None:
    """modality.json may be anybody's: its keys must not become code."""
    strange = shutil.copytree(datasets["v2.1"], tmp_path / 'x"""\nimport os\n"""')
    path = strange / "meta/modality.json"
    modality = json.loads(path.read_text())
    evil = 'a"]; raise SystemExit(1); ["'
    modality["video"][evil] = modality["video"].pop("front")
    path.write_text(json.dumps(modality))
    for version in ("n1", "n1.6"):
        handoff("gr00t", strange, "-o", tmp_path / version, "--robot", "so101", "--version", version)
        tree = ast.parse((tmp_path / version / "modality_config.py").read_text())
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert any(text in (evil, f"video.{evil}") for text in texts)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        assert not calls
        subprocess.run(["bash", "-n", tmp_path / version / "finetune.sh"], check=True)
        lines = (tmp_path / version / "finetune.sh").read_text().splitlines()
        comments = lines[1 : lines.index("set -euo pipefail")]
        assert all(line.startswith("# ") for line in comments)


def test_the_command_for_lerobot(datasets: dict[str, Path], tmp_path: Path) -> None:
    handoff("lerobot", datasets["v2.1"], "-o", tmp_path / "out", "--policy", "diffusion")
    found = start(tmp_path / "out/train.sh", tmp_path, "--steps=3")
    assert found[0] == "lerobot-train"
    assert found[4:] == [
        "--dataset.repo_id=local/it-s-mine",
        f"--dataset.root={datasets['v2.1']}",
        "--policy.type=diffusion",
        "--policy.push_to_hub=false",
        "--job_name=diffusion-it-s-mine",
        f"--output_dir={tmp_path / 'out/checkpoints'}",
        "--steps=3",
    ]


def test_lerobot_gets_nothing_without_actions(datasets: dict[str, Path], tmp_path: Path) -> None:
    blind = shutil.copytree(datasets["v3.0"], tmp_path / "blind")
    info = json.loads((blind / "meta/info.json").read_text())
    del info["features"]["action"]
    (blind / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(
        UsageError, match=r"LeRobot would refuse or misread it[\s\S]*no feature action[\s\S]*--for lerobot"
    ):
        handoff("lerobot", blind, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_robot_has_tags_that_exist() -> None:
    for name in shipped_robots():
        gr00t = load_robot(name).gr00t
        published = [(version, one.tag) for releases in gr00t.like.values() for version, one in releases.items()]
        for version, tag in [*gr00t.tags.items(), *published]:
            assert tag in TAGS[version], f"{name}, {version}"
