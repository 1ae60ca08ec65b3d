"""Commands that fine-tune GR00T, run with stand-ins of Python and torchrun, and read as each release reads them."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from robotrove.core.errors import UsageError
from robotrove.formats.training.gr00t_script import FINETUNE, PRESETS, script_files
from robotrove.formats.training.gr00t_training import gr00t_training
from robotrove.manifests.robot import Gr00tVersion, load_robot
from robotrove.tests.support.training.robot_datasets import robot_dataset

SHOW = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "${IS_TORCHRUN:-}" "${CUDA_VISIBLE_DEVICES:-}" "$@" > "$SEEN"
"""
JITTER = ["brightness", "0.3", "contrast", "0.4", "saturation", "0.5", "hue", "0.08"]
TUNED = {"tune_llm": False, "tune_projector": True, "tune_diffusion_model": True}
OPTIMISER = {"learning_rate": "1e-4", "weight_decay": "1e-5", "warmup_ratio": "0.05"}
TAGS = {"n1": ("gr1", "new_embodiment"), "n1.5": ("gr1", "oxe_droid", "agibot_genie1", "new_embodiment")}
# Options with a value and their defaults, of scripts/gr00t_finetune.py and gr00t/experiment/launch_finetune.py.
OLD: dict[str, Any] = {
    **{"dataset_path": None, "output_dir": None, "data_config": None, "embodiment_tag": "new_embodiment"},
    **{"num_gpus": "1", "max_steps": "10000", "lora_rank": "0", "report_to": "wandb", **OPTIMISER},
}
NEW: dict[str, Any] = {
    **{"dataset_path": None, "output_dir": "./outputs", "base_model_path": None, "embodiment_tag": None},
    **{"modality_config_path": None, "num_gpus": "1", "global_batch_size": "64", "max_steps": "10000"},
    **{"save_steps": "1000", "save_total_limit": "5", "dataloader_num_workers": "2", **OPTIMISER},
    "color_jitter_params": None,
}
VALUES: dict[Gr00tVersion, dict[str, Any]] = {
    "n1": OLD
    | {"base_model_path": "nvidia/GR00T-N1-2B", "batch_size": "16", "save_steps": "500"}
    | {"dataloader_num_workers": "8", "video_backend": "decord"},
    "n1.5": OLD
    | {"base_model_path": "nvidia/GR00T-N1.5-3B", "batch_size": "32", "save_steps": "1000"}
    | {"dataloader_num_workers": "12", "video_backend": "torchcodec"},
    "n1.6": NEW | {"state_dropout_prob": "0.0"},
    "n1.7": NEW | {"state_dropout_prob": "0.2"},
}
SWITCHES: dict[Gr00tVersion, dict[str, bool]] = {
    "n1": TUNED | {"tune_visual": True, "resume": False},
    "n1.5": TUNED | {"tune_visual": False, "resume": False},
    "n1.6": TUNED | {"tune_visual": False, "use_wandb": False},
    "n1.7": TUNED | {"tune_visual": False, "use_wandb": False},
}
CHOICES = {"report_to": ("wandb", "tensorboard"), "video_backend": ("torchcodec", "decord", "torchvision_av")}


def options(version: Gr00tVersion, arguments: Sequence[str]) -> dict[str, Any]:
    """Read a command line as tyro does: `-` and `_` alike, --x and --no-x, and unknown options end the program."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, value in VALUES[version].items():
        choices = TAGS.get(version) if name == "embodiment_tag" else CHOICES.get(name)
        count = "*" if name == "color_jitter_params" else None
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, choices=choices, nargs=count)
    for name, on in SWITCHES[version].items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=on, action=argparse.BooleanOptionalAction)
    return vars(parser.parse_args([re.sub("_", "-", one) if one.startswith("--") else one for one in arguments]))


def written(folder: Path, name: str, version: Gr00tVersion, preset: str | None = None) -> Path:
    """Write the scripts of a robot into the folder `out`, and return that folder."""
    training = gr00t_training(robot_dataset(folder / "data", name), load_robot(name), version)
    (folder / "out").mkdir()
    (folder / "checkout").mkdir()
    for file, text in script_files(training, folder / "out", preset).items():
        (folder / "out" / file).write_text(text)
    return folder / "out"


def run(folder: Path, file: str = FINETUNE, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("python", "torchrun"):
        (programs / name).write_text(SHOW)
        (programs / name).chmod(0o755)
    given = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "SEEN": str(folder.parent / "seen")}
    given |= {"GR00T": str(folder.parent / "checkout")} | environment
    return subprocess.run(
        ["bash", folder / file, *arguments], env=given, cwd=folder.parent, capture_output=True, text=True, check=False
    )


def seen(folder: Path) -> list[str]:
    return (folder.parent / "seen").read_text().splitlines()


def parsed(version: Gr00tVersion, folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run finetune.sh, and return what the release makes of the command line."""
    done = run(folder, FINETUNE, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    words = seen(folder)[3:]
    return options(version, words[next(place for place, word in enumerate(words) if word.endswith(".py")) + 1 :])


ARENA_NEW = {
    **{"num_gpus": "8", "global_batch_size": "96", "max_steps": "20000", "save_steps": "5000"},
    **{"save_total_limit": "5", "tune_visual": True, "dataloader_num_workers": "16", "color_jitter_params": JITTER},
}
ARENA_OLD = {
    **{"num_gpus": "8", "batch_size": "24", "max_steps": "20000", "save_steps": "5000", "tune_visual": True},
    "dataloader_num_workers": "16",
}
# Preset, release, robots of its guide: what differs from the defaults of the release.
GUIDES: list[tuple[str, Gr00tVersion, list[str], dict[str, Any]]] = [
    ("best", "n1.5", ["gr1", "g1"], ARENA_OLD),
    ("best", "n1.6", ["gr1", "g1"], ARENA_NEW),
    ("best", "n1.7", ["g1"], ARENA_NEW),
    ("small", "n1.5", ["gr1"], ARENA_OLD | {"num_gpus": "1", "lora_rank": "128"}),
    ("small", "n1.6", ["gr1"], ARENA_NEW | {"num_gpus": "1", "global_batch_size": "16", "max_steps": "30000"}),
    ("evaltasks", "n1", ["gr1"], ARENA_OLD | {"batch_size": "96"}),
    (
        *("piper", "n1.6", ["bi_piper"]),
        {"num_gpus": "2", "dataloader_num_workers": "32", "color_jitter_params": JITTER},
    ),
    ("leisaac", "n1.5", ["so101"], {}),
]
PLAIN: list[tuple[str, Gr00tVersion]] = [
    *(("gr1", "n1"), ("gr1", "n1.5"), ("gr1", "n1.6"), ("gr1", "n1.7"), ("g1", "n1.5"), ("g1", "n1.6"), ("g1", "n1.7")),
    *(("so101", "n1"), ("so101", "n1.5"), ("so101", "n1.6"), ("so101", "n1.7"), ("bi_piper", "n1.6")),
    *(("libero", "n1.5"), ("libero", "n1.6"), ("libero", "n1.7"), ("droid", "n1.6"), ("droid", "n1.7")),
]
CASES = [(None, version, name, {}) for name, version in PLAIN]
CASES += [(preset, version, name, changed) for preset, version, names, changed in GUIDES for name in names]  # type: ignore[misc]
MEMBERS = {"gr1": "GR1", "g1": "NEW_EMBODIMENT", "so101": "NEW_EMBODIMENT", "bi_piper": "NEW_EMBODIMENT"}
MEMBERS |= {"libero": "LIBERO_PANDA", "droid": "OXE_DROID"}
VALUE = {"libero": "libero_sim", "droid": "oxe_droid_relative_eef_relative_joint"}


@pytest.mark.parametrize(("preset", "version", "name", "changed"), CASES)
def test_scripts(tmp_path: Path, preset: str | None, version: Gr00tVersion, name: str, changed: dict[str, Any]) -> None:
    out = written(tmp_path, name, version, preset)
    expected = VALUES[version] | SWITCHES[version] | changed
    expected |= {"dataset_path": str(tmp_path / "data"), "output_dir": str(out / "checkpoints")}
    if version in ("n1", "n1.5"):
        expected["data_config"] = "robot" if version == "n1" else "modality_config:RobotConfig"
        expected["embodiment_tag"] = "gr1" if name == "gr1" else "new_embodiment"
        expected |= {"report_to": "tensorboard", "video_backend": "decord"}
    else:
        expected["base_model_path"] = f"nvidia/GR00T-{version.upper()}-3B"
        expected["modality_config_path"] = str(out / "modality_config.py")
        expected["embodiment_tag"] = MEMBERS[name] if version == "n1.6" else VALUE.get(name, "new_embodiment")
    assert parsed(version, out) == expected
    program = seen(out)[0]
    assert program == ("torchrun" if version != "n1.5" and expected["num_gpus"] != "1" else "python")
    assert ("--standalone" in seen(out)) == (program == "torchrun")
    if version in ("n1.6", "n1.7"):
        assert seen(out)[2] == ("0" if program == "python" else "")


def test_every_preset_is_in_the_table() -> None:
    assert [(preset, version) for preset, version, _, _ in GUIDES] == [
        (preset, version) for preset, releases in PRESETS.items() for version in releases
    ]
    for preset in (one for releases in PRESETS.values() for one in releases.values()):
        written_down = {"--max-steps", "--save-steps", "--dataloader-num-workers"}
        assert written_down < set(preset.options), "also where they are the defaults"


def test_the_table_of_presets_in_the_pages() -> None:
    lines = (Path(__file__).parents[3] / "docs/gr00t.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    shown = {
        (row[0], row[1].lower()): (row[3], row[4].split()[0], row[5], "vision" in row[6])
        for row in rows
        if len(row) == 8 and row[1].startswith("N1")
    }
    for preset, version, names, changed in GUIDES:
        given = VALUES[version] | SWITCHES[version] | changed
        batch = given.get("batch_size") or given["global_batch_size"]
        row = (given["num_gpus"], batch, given["max_steps"], given["tune_visual"])
        assert shown.pop((preset, version)) == row, f"{preset}, {version}, {names}"
    assert shown == {}


@pytest.mark.parametrize(
    ("preset", "version", "words"),
    [
        (
            "piper",
            "n1.5",
            r"no settings for GR00T N1.5, only for N1.6[\s\S]*a preset of GR00T N1.5: best, small, leisaac",
        ),
        ("leisaac", "n1.6", r"only for N1.5[\s\S]*N1.6: best, small, piper[\s\S]*--preset best, or --version n1.5"),
        ("best", "n1", r"only for N1.5, N1.6, N1.7[\s\S]*a preset of GR00T N1: evaltasks"),
    ],
)
def test_a_preset_of_another_release(tmp_path: Path, preset: str, version: Gr00tVersion, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        written(tmp_path, "so101", version, preset)


@pytest.mark.parametrize("version", ["n1.6", "n1.7"])
def test_options_that_a_release_does_not_know(tmp_path: Path, version: Gr00tVersion) -> None:
    """The guide's --no-resume, and the batch of each GPU: this test's reader ends as the release's does."""
    out = written(tmp_path, "g1", version)
    assert parsed(version, out, "--max_steps", "7", "--no-tune-projector")["max_steps"] == "7"
    for unknown in (["--no-resume"], ["--batch-size", "8"], ["--report-to", "wandb"]):
        with pytest.raises(SystemExit):
            parsed(version, out, *unknown)


def test_options_that_older_releases_do_not_know(tmp_path: Path) -> None:
    out = written(tmp_path, "gr1", "n1.5", "best")
    assert parsed("n1.5", out, "--no-resume", "--report-to", "tensorboard")["resume"] is False
    for unknown in (["--global-batch-size", "8"], ["--report-to", "none"], ["--color-jitter-params", "hue", "1"]):
        with pytest.raises(SystemExit):
            parsed("n1.5", out, *unknown)


@pytest.mark.parametrize("version", ["n1.6", "n1.7"])
def test_a_folder_with_checkpoints(tmp_path: Path, version: Gr00tVersion) -> None:
    out = written(tmp_path, "g1", version)
    assert run(out).returncode == 0, "the folder is not there"
    (out / "checkpoints").mkdir()
    assert run(out).returncode == 0, "the folder is empty"
    (out / "checkpoints/checkpoint-500").mkdir()
    (tmp_path / "seen").unlink()
    done = run(out)
    assert done.returncode == 2
    assert not (tmp_path / "seen").exists(), "nothing is started"
    assert f"{out}/checkpoints has checkpoints, and GR00T {version.upper()} always resumes" in done.stderr
    assert "RESUME=1" in done.stderr
    assert run(out, SLURM_RESTART_COUNT="1").returncode == 0, "Slurm has requeued the job"
    assert parsed(version, out, RESUME="1")["output_dir"] == str(out / "checkpoints")
    assert parsed(version, out, OUTPUT_DIR="new [1]")["output_dir"] == str(tmp_path / "new [1]")
    (tmp_path / "new [1]/checkpoint-1").mkdir(parents=True)
    assert run(out, OUTPUT_DIR="new [1]").returncode == 2
    for hidden in (["--output-dir", "x"], ["--output_dir=x"]):
        done = run(out, FINETUNE, *hidden)
        assert (done.returncode, done.stderr) == (2, "Give OUTPUT_DIR=DIR instead of --output-dir.\n")
    for hidden in (["--num-gpus", "4"], ["--num_gpus=4"]):
        done = run(out, FINETUNE, *hidden, OUTPUT_DIR="empty")
        assert (done.returncode, done.stderr) == (2, "Give NUM_GPUS=N instead of --num-gpus.\n")


@pytest.mark.parametrize("version", ["n1", "n1.5"])
def test_older_releases_resume_if_asked(tmp_path: Path, version: Gr00tVersion) -> None:
    out = written(tmp_path, "gr1", version)
    (out / "checkpoints/checkpoint-500").mkdir(parents=True)
    assert parsed(version, out)["resume"] is False
    assert parsed(version, out, RESUME="1")["resume"] is True
    assert parsed(version, out, SLURM_RESTART_COUNT="1")["resume"] is True, "Slurm has requeued the job"
    assert parsed(version, out, SLURM_RESTART_COUNT="1", OUTPUT_DIR="empty")["resume"] is False, "no checkpoint yet"


@pytest.mark.parametrize("version", ["n1", "n1.5", "n1.6", "n1.7"])
def test_wandb_only_if_asked(tmp_path: Path, version: Gr00tVersion) -> None:
    out = written(tmp_path, "gr1", version)
    name, off, on = ("report_to", "tensorboard", "wandb") if version in ("n1", "n1.5") else ("use_wandb", False, True)
    assert [parsed(version, out, **given)[name] for given in ({}, {"WANDB": "0"}, {"WANDB": "1"})] == [off, off, on]


def test_gpus_that_do_not_divide_the_batch(tmp_path: Path) -> None:
    out = written(tmp_path, "gr1", "n1.6", "best")
    assert parsed("n1.6", out, NUM_GPUS="4")["num_gpus"] == "4"
    done = run(out, NUM_GPUS="5")
    assert (done.returncode, "NUM_GPUS=5 does not divide the batch of 96" in done.stderr) == (2, True)
    assert parsed("n1.6", out, "--global-batch-size", "100", NUM_GPUS="5")["global_batch_size"] == "100"


@pytest.mark.parametrize(("preset", "gpus"), [(None, 1), ("best", 8), ("small", 1), ("piper", 2)])
def test_gpus_of_the_job(tmp_path: Path, preset: str | None, gpus: int) -> None:
    out = written(tmp_path, "gr1", "n1.6", preset)
    text = (out / "finetune.sbatch").read_text()
    for asked in (f"--gres=gpu:{gpus}", f"--cpus-per-task={8 * gpus}", f"--mem={64 * gpus}G"):
        assert f"#SBATCH {asked}\n" in text
    assert run(out, "finetune.sbatch").returncode == 0
    assert seen(out)[seen(out).index("--num-gpus") + 1] == str(gpus)
    assert run(out, "finetune.sbatch", SLURM_GPUS_ON_NODE="4").returncode == 0
    assert seen(out)[seen(out).index("--num-gpus") + 1] == "4"


def test_the_first_lines_of_a_script_with_a_preset(tmp_path: Path) -> None:
    """The options of the preset stand in the command."""
    lines = (written(tmp_path, "gr1", "n1.6", "small") / FINETUNE).read_text().splitlines()
    assert "# Settings: preset small, 1 GPU (isaac-sim/IsaacLab-Arena e81d5e4: gr1)." in lines
    [variables] = [line for line in lines if line.startswith("# Variables: ")]
    assert variables.startswith("# Variables: GR00T=CHECKOUT, NUM_GPUS, ")


def test_settings_of_guides_stand_in_a_script_without_a_preset(tmp_path: Path) -> None:
    lines = (written(tmp_path, "gr1", "n1.6") / FINETUNE).read_text().splitlines()
    comments = [line for line in lines if line.startswith("#   ")]
    assert [comment.split(":")[0] for comment in comments] == ["#   best", "#   small", "#   piper"]
    assert "8 GPUs, --global-batch-size 96 --max-steps 20000 --save-steps 5000 --save-total-limit 5" in comments[0]
    assert any("GR00T N1.6 keeps the statistics of its checkpoint for tag gr1" in line for line in lines)
