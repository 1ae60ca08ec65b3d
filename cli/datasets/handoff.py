"""robotrove handoff."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import get_args

import click

from ...blocks.publish.osmo import OsmoAddress, recording_of
from ...core.commit import folder_attempt
from ...core.errors import UsageError, exists_already, not_written, printable
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.datasets.open_dataset import open_current
from ...formats.lerobot.gr00t.modality import METADATA, MODALITY, gr00t_metadata
from ...formats.training.evaluation import evaluation_files
from ...formats.training.gr00t_config import CONFIG, config_files
from ...formats.training.gr00t_script import FINETUNE, PRESETS, preset_for, script_files
from ...formats.training.gr00t_training import RLINF, Changes, Gr00tTraining, Like, gr00t_training
from ...formats.training.job_scripts import TRAIN
from ...formats.training.lerobot_training import Policy, lerobot_files, pretrained_policy
from ...formats.training.openpi_training import openpi_files, openpi_training
from ...formats.training.osmo_workflow import GPUS, WORKFLOW, osmo_workflow, submission
from ...formats.training.rlinf_training import FRAGMENT, RLINF_TAGS, RlinfVersion, rlinf_fragment
from ...manifests.robot import Gr00tVersion, Owner, RobotManifest, load_robot, robots_of_type, shipped_robots
from ...verification.check import Diagnostic
from ...verification.consumers import CONSUMERS
from ...verification.consumers.gr00t_release import HorizonCheck, Release
from ...verification.consumers.info_keys import CameraSizesCheck
from ...verification.consumers.libero import LiberoCheck
from ...verification.dataset.runner import own_findings
from ..output import echo

_ELSEWISE = ("frame_times",)  # holds for torchcodec, and the command for N1.5 takes decord

_dataset = click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
_output = click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write; it must not exist.",
)


@click.group()
def command() -> None:
    """Write the files that start training.

    They are the trainer's configuration, the command, and a job script for Slurm.
    """


@command.command()
@_dataset
@_output
@click.option("--robot", help="Robot manifest: name or YAML file; by default that of the dataset's robot_type.")
@click.option("--version", type=click.Choice(get_args(Gr00tVersion)), required=True, help="Release of GR00T.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings of a guide; GR00T's defaults without.")
@click.option(
    "--like",
    type=click.Choice([*get_args(Owner), "robotrove"]),
    help="Owner of the configuration; the robot's first by default.",
)
@click.option("--tag", help="Embodiment tag; the configuration's by default.")
@click.option(
    "--relative", metavar="KEY,KEY|none", help="Actions relative to the state; the configuration's by default."
)
@click.option("--horizon", type=click.IntRange(min=1), help="Actions predicted at a time; as in the configuration.")
@click.option(
    "--osmo", metavar="NAME|URI", help="Write a workflow of OSMO too, for a dataset that push uploaded there."
)
def gr00t(
    dataset: Path,
    folder: Path,
    robot: str | None,
    version: Gr00tVersion,
    preset: str | None,
    like: Like | None,
    tag: str | None,
    relative: str | None,
    horizon: int | None,
    osmo: str | None,
) -> None:
    """Write the files that fine-tune GR00T on a DATASET.

    DATASET is of version 2.1, with meta/modality.json. For N1, N1.5 and RLinf, experiment_cfg/metadata.json is
    written too: the checkpoint must contain it.
    """
    address = None if osmo is None else OsmoAddress(osmo, "--osmo")
    existing = open_current(dataset)
    if not isinstance(existing, DatasetV21):
        known = _of_type(existing)
        name = robot or (known.name if known else "ROBOT")
        action = f"robotrove convert {quote(str(dataset))} --to v2.1 --gr00t {quote(name)} -o NEW"
        raise UsageError(str(dataset), f"is {existing.version}", "v2.1, the version that GR00T reads", action)
    manifest = _robot(existing, robot)
    if not (existing.root / MODALITY).exists():
        action = f"robotrove stats {quote(str(dataset))} --gr00t --robot {quote(robot or manifest.name)}"
        raise UsageError(str(existing.root / MODALITY), "does not exist", "the keys that GR00T reads", action)
    consumer = "rlinf" if version == "n1.5" and tag in RLINF else f"gr00t-{version}"
    doubts = _refuse(existing, consumer, besides=("camera_sizes", "horizon"))  # of what is chosen below
    keys = None if relative is None else () if relative == "none" else tuple(relative.split(","))
    training = gr00t_training(existing, manifest, version, like, Changes(tag, keys, horizon))
    release = next(one for one in Release if one.version == version)
    sizes, lengths = CameraSizesCheck(release, training.video), HorizonCheck(release, training.horizon)
    found = list((sizes if training.is_old else lengths).run(existing, deep=False))
    _refuse_errors(existing, consumer, found)
    files = config_files(training) | script_files(training, folder, preset)
    files |= evaluation_files(existing, f"GR00T {version.upper()}", manifest, training)
    if training.is_old:
        tags = filter(None, (training.tag, training.rlinf_tag))
        files[METADATA] = json.dumps(gr00t_metadata(existing, *tags), indent=4) + "\n"
    if address:
        files[WORKFLOW] = _workflow(training, preset, address)
    _write(folder, files)
    notes = _notes([*training.notes, *(one.message for one in found), *doubts])
    echo(f"{folder}: {', '.join(files)}\n  configuration: {training.source}{notes}")
    echo(f"  start: GR00T=CHECKOUT bash {quote(str(folder / FINETUNE))}")
    if address:
        echo(f"  on OSMO: {submission(quote(str(folder / WORKFLOW)))}")
    if training.rlinf_tag:
        echo(f"  before RLinf loads the checkpoint: cp {quote(str(folder / METADATA))} CHECKPOINT/{METADATA}")


def _workflow(training: Gr00tTraining, preset: str | None, address: OsmoAddress) -> str:
    """Return a workflow with the files of a training, for the dataset at its place in the container."""
    recording = recording_of(training.dataset)
    there = replace(training, dataset=Path(address.workflow_path(recording)))
    files = config_files(there) | script_files(there, Path(), preset)
    return osmo_workflow(
        {name: files[name] for name in (CONFIG, FINETUNE)},
        command=FINETUNE,
        title=f"gr00t-{training.version} {recording}",
        given=address.workflow_input,
        gpus=preset_for(preset, training.version).gpus if preset else GPUS,
    )


def _robot(dataset: Dataset, name: str | None) -> RobotManifest:
    """Return a robot by its name, or else that of the dataset's robot_type."""
    if name is not None:
        return load_robot(name)
    if robot := _of_type(dataset):
        return robot
    found, known = dataset.info.get("robot_type"), shipped_robots()
    near = next((one for one in known if str(found).startswith(f"{one}_")), "NAME")  # gr1_arms_only of EvalTasks
    raise UsageError(
        f"{dataset.root}, robot_type of meta/info.json",
        f"is {found!r}, which no robot manifest has",
        "one of " + ", ".join(known) + ", or a YAML file",
        f"--robot {near}",
    )


def _of_type(dataset: Dataset) -> RobotManifest | None:
    return next(iter(robots_of_type(dataset.info.get("robot_type"))), None)


@command.command()
@_dataset
@_output
@click.option("--policy", help="Type of policy, as lerobot-train knows it; act by default.")
@click.option("--pretrained", metavar="FOLDER|OWNER/NAME", help="Pretrained policy to start from, such as smolvla.")
@click.option(
    "--rename", "renames", metavar="KEY=KEY", multiple=True, help="Camera of the dataset=of the policy; repeatable."
)
def lerobot(dataset: Path, folder: Path, policy: str | None, pretrained: str | None, renames: tuple[str, ...]) -> None:
    """Write the files that start lerobot-train on a DATASET.

    A pretrained policy reads cameras by its own names. Without --rename, those of a policy in a folder are paired
    with the dataset's in the order of both.
    """
    if policy and pretrained:
        raise UsageError(
            "--policy", "lerobot-train takes the type of a pretrained policy from its files", "one of both"
        )
    if renames and not pretrained:
        raise UsageError("--rename", "a new policy takes the names of the dataset", "with --pretrained only")
    if wrong := [text for text in renames if "=" not in text]:
        raise UsageError("--rename", f"{wrong[0]!r} has no =", "KEY=KEY, the dataset's first")
    cameras = [text.split("=", 1)[0] for text in renames]
    if doubled := [key for key in dict.fromkeys(cameras) if cameras.count(key) > 1]:
        raise UsageError("--rename", f"gives {printable(doubled[0])!r} two names", "one name for each")
    existing = open_current(dataset)
    doubts = _refuse(existing, "lerobot")
    chosen = Policy(policy or "act")
    if pretrained:
        chosen = pretrained_policy(existing, pretrained, dict(text.split("=", 1) for text in renames))
    files = lerobot_files(existing, chosen, folder) | evaluation_files(existing, "LeRobot", _of_type(existing))
    _write(folder, files)
    shown = "".join(f"\n  {printable(old)} is {printable(new)} of the policy" for old, new in chosen.renames.items())
    if pretrained and not shown and not Path(pretrained).exists():
        shown = "\n  if LeRobot finds a feature mismatch, give the names of the policy's cameras: --rename KEY=KEY"
    echo(f"{folder}: {', '.join(files)}{shown}{_notes(doubts)}\n  start: bash {quote(str(folder / TRAIN))}")


@command.command()
@_dataset
@_output
def openpi(dataset: Path, folder: Path) -> None:
    """Write the files that train pi0 with openpi on a DATASET.

    DATASET is of version 2.1. train_config.py has the configuration, with keys of this dataset; train.sh computes
    the statistics once, then trains.
    """
    existing = open_current(dataset)
    doubts = _refuse(existing, "openpi")
    training = openpi_training(existing)
    files = openpi_files(training, folder) | evaluation_files(existing, "openpi", _of_type(existing))
    _write(folder, files)
    echo(
        f"{folder}: {', '.join(files)}\n"
        f"  openpi reads HF_LEROBOT_HOME/{training.repo_id}: {TRAIN} links the dataset there, in {folder}"
        f"{_notes(doubts)}\n  start: OPENPI=CHECKOUT bash {quote(str(folder / TRAIN))}"
    )


@command.command()
@_dataset
@_output
@click.option(
    "--version", type=click.Choice(get_args(RlinfVersion)), default="n1.5", show_default=True, help="Release of GR00T."
)
@click.option("--tag", type=click.Choice(RLINF_TAGS), help="Embodiment tag; LIBERO's or ManiSkill's by default.")
def rlinf(dataset: Path, folder: Path, version: RlinfVersion, tag: str | None) -> None:
    """Write the values of RLinf's YAML that come from a DATASET.

    They are printed too. Train GR00T first, with the files of `handoff gr00t`.
    """
    existing = open_current(dataset)
    doubts = _refuse(existing, "rlinf")
    if version != "n1.5":
        doubts = _refuse(existing, f"gr00t-{version}")
    assert isinstance(existing, DatasetV21)  # RLinf refuses other versions
    fragment = rlinf_fragment(existing, version, tag)
    files = {FRAGMENT: fragment} | evaluation_files(existing, "RLinf", _of_type(existing))
    _write(folder, files)
    echo(f"{fragment}{folder}: {', '.join(files)}{_notes(doubts)}")


def _notes(texts: Sequence[str]) -> str:
    return "".join(f"\n  note: {text}" for text in texts)


def _refuse(dataset: Dataset, consumer: str, besides: Sequence[str] = ()) -> list[str]:
    """Hand over nothing that the trainer refuses or reads wrong, by all of its checks besides some.

    Returns:
        What may be wrong in LIBERO's values: a policy learns it, and no trainer reports it.
    """
    found = list(own_findings(dataset, CONSUMERS[consumer]))
    _refuse_errors(dataset, consumer, [one for one in found if one.check not in (*_ELSEWISE, *besides)])
    return [f"{one.where}: {one.message}" for one in found if one.check == LiberoCheck.name]


def _refuse_errors(dataset: Dataset, consumer: str, found: Sequence[Diagnostic]) -> None:
    wrong = [f"{one.where}: {one.message}" for one in found if one.severity == "error"]
    if wrong:
        raise UsageError(
            str(dataset.root),
            "\n    ".join([f"{CONSUMERS[consumer].title} would refuse or misread it", *wrong]),
            "a dataset without errors for it",
            f"robotrove verify {quote(str(dataset.root))} --for {consumer}",
        )


def _write(folder: Path, files: Mapping[str, str]) -> None:
    if os.path.lexists(folder):  # a link to nothing is in the way too
        raise exists_already(folder, "folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_attempt(folder) as attempt:
            for name, text in files.items():
                path = attempt / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
                if path.suffix == ".sh":
                    path.chmod(0o755)
    except OSError as exc:
        raise not_written(folder, exc, "a place that can be written, with room", "-o NAME") from exc
