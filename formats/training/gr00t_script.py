"""Commands that fine-tune GR00T: finetune.sh and its job script, with the options of each release.

Options: scripts/gr00t_finetune.py of N1 (755876a) and N1.5 (1259d62, 4af2b62), gr00t/experiment/launch_finetune.py of
N1.6 (4e62473, e29d8fc) and N1.7 (23ace64). An unknown option ends them, so a script has only those of its release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from ...core.errors import UsageError
from ...manifests.robot import Gr00tVersion
from .gr00t_config import CONFIG
from .gr00t_training import Gr00tTraining
from .job_scripts import in_comments, option_lines, sbatch, script

FINETUNE = "finetune.sh"
_MODELS: Mapping[Gr00tVersion, str] = {
    "n1": "nvidia/GR00T-N1-2B",
    "n1.5": "nvidia/GR00T-N1.5-3B",
    "n1.6": "nvidia/GR00T-N1.6-3B",
    "n1.7": "nvidia/GR00T-N1.7-3B",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings of a guide for one release.

    Attributes:
        source: Project, commit, and the robots of the guide.
        gpus: GPUs of the machine.
        options: Option of the release to its value, empty for a switch.
    """

    source: str
    gpus: int
    options: Mapping[str, str]

    @property
    def machine(self) -> str:
        return f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"

    def __str__(self) -> str:
        words = " ".join(f"{name} {value}".rstrip() for name, value in self.options.items())
        return f"{self.machine}, {words} ({self.source})"


# Arena's and EvalTasks' guides train the vision tower, which is frozen by default from N1.5 on.
_VISION = {"--no-tune-llm": "", "--tune-visual": "", "--tune-projector": "", "--tune-diffusion-model": ""}
_JITTER = {"--color-jitter-params": "brightness 0.3 contrast 0.4 saturation 0.5 hue 0.08"}


def _old(batch: int, steps: int, save: int, workers: int) -> dict[str, str]:
    """Return the settings in the words of N1 and N1.5; the batch is that of each GPU."""
    names = ("--batch-size", "--max-steps", "--save-steps", "--dataloader-num-workers")
    return dict(zip(names, map(str, (batch, steps, save, workers)), strict=True))


def _new(batch: int, steps: int, save: int, workers: int) -> dict[str, str]:
    """Return the settings in the words of N1.6 and N1.7; the batch is that of all GPUs."""
    names = ("--global-batch-size", "--max-steps", "--save-steps", "--save-total-limit", "--dataloader-num-workers")
    return dict(zip(names, map(str, (batch, steps, save, 5, workers)), strict=True))


_ARENA = "isaac-sim/IsaacLab-Arena"
_OPTIMISER = {"--learning-rate": "1e-4", "--weight-decay": "1e-5", "--warmup-ratio": "0.05"}
PRESETS: Mapping[str, Mapping[Gr00tVersion, Preset]] = {
    "best": {
        "n1.5": Preset(f"{_ARENA} release/0.1.1: gr1, g1", 8, _old(24, 20000, 5000, 16) | _VISION),
        "n1.6": Preset(f"{_ARENA} e81d5e4: gr1, af4c882: g1", 8, _new(96, 20000, 5000, 16) | _VISION | _JITTER),
        "n1.7": Preset(f"{_ARENA} af4c882: g1", 8, _new(96, 20000, 5000, 16) | _VISION | _JITTER),
    },
    "small": {
        "n1.5": Preset(
            f"{_ARENA} release/0.1.1: gr1, g1", 1, _old(24, 20000, 5000, 16) | {"--lora-rank": "128"} | _VISION
        ),
        "n1.6": Preset(f"{_ARENA} e81d5e4: gr1", 1, _new(16, 30000, 5000, 16) | _VISION | _JITTER),
    },
    "evaltasks": {
        "n1": Preset("isaac-sim/IsaacLabEvalTasks b79bc68: gr1", 8, _old(96, 20000, 5000, 16) | _VISION),
    },
    "piper": {
        "n1.6": Preset("12e21/piper_gr00t 4d021be: bi_piper", 2, _new(64, 10000, 1000, 32) | _OPTIMISER | _JITTER),
    },
    "leisaac": {
        "n1.5": Preset(
            "NVIDIA/Isaac-GR00T 1259d62, getting_started/3_0: so101, as LeIsaac's guide", 1, _old(32, 10000, 1000, 12)
        ),
    },
}


def preset_for(name: str, version: Gr00tVersion) -> Preset:
    """Return the settings of a preset for a release.

    Raises:
        UsageError: If its guide is for another release.
    """
    if version in PRESETS[name]:
        return PRESETS[name][version]
    fitting = ", ".join(other for other, releases in PRESETS.items() if version in releases)
    raise UsageError(
        f"--preset {name}",
        f"has no settings for GR00T {version.upper()}, only for {', '.join(PRESETS[name]).upper()}",
        f"a preset of GR00T {version.upper()}: {fitting}",
        f"--preset {fitting.split(', ')[0]}, or --version {next(iter(PRESETS[name]))}",
    )


def script_files(training: Gr00tTraining, folder: Path, preset: str | None = None) -> dict[str, str]:
    """Return file name to content.

    Args:
        training: What is trained.
        folder: Where the files will be.
        preset: Name of a preset of the release; without one, GR00T's defaults hold.

    Raises:
        UsageError: If the preset is for another release.
    """
    settings = None if preset is None else preset_for(preset, training.version)
    gpus = settings.gpus if settings else 1
    return {
        FINETUNE: script(_comments(training, preset, settings), _command(training, settings, gpus)),
        "finetune.sbatch": sbatch(f"gr00t-{training.version}", folder.absolute() / FINETUNE, gpus),
    }


def _comments(training: Gr00tTraining, preset: str | None, settings: Preset | None) -> list[str]:
    name, release = in_comments(training.dataset.name), training.version.upper()
    lines = [f"Fine-tunes GR00T {release} on {name}; further options go through, such as --max-steps 20000."]
    lines += [f"Configuration: {training.source}.", *(f"- {note}" for note in training.notes)]
    if settings:
        lines.append(f"Settings: preset {preset}, {settings.machine} ({settings.source}).")
    else:
        lines.append("Settings: GR00T's defaults. Those of guides, which handoff gr00t --preset NAME writes:")
        lines += [f"  {one}: {found[training.version]}" for one, found in PRESETS.items() if training.version in found]
    variables = "GR00T=CHECKOUT, NUM_GPUS, OUTPUT_DIR=DIR, RESUME=1 to resume, WANDB=1 to report to wandb"
    lines.append(f"Variables: {variables}.")
    if training.is_old:
        lines.append("--batch-size counts for each GPU: NUM_GPUS times as much in all.")
    else:
        lines.append("--global-batch-size counts for all GPUs together, and NUM_GPUS must divide it.")
        lines.append(f"The guides' --no-resume is not an option of GR00T {release}: do not add it.")
    return lines


def _command(training: Gr00tTraining, settings: Preset | None, gpus: int) -> str:
    release, named = training.version.upper(), training.version == "n1"
    body = f"""here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
: "${{GR00T:?Set GR00T to a checkout of Isaac-GR00T ({release}), and activate its Python}}"
GR00T=$(cd "$GR00T" && pwd)
gpus=${{NUM_GPUS:-{gpus}}}
output=${{OUTPUT_DIR:-$here/checkpoints}}
case $output in /*) ;; *) output=$PWD/$output ;; esac
"""
    options = {
        "--dataset-path": quote(str(training.dataset)),
        "--base-model-path": _MODELS[training.version],
        "--num-gpus": '"$gpus"',
        "--output-dir": '"$output"',
    }
    if training.is_old:
        body += _SWITCHES_OLD + 'cd "$here"\n'
        options["--data-config"] = "robot" if named else "modality_config:RobotConfig"
        options["--embodiment-tag"] = training.tag
        options |= {"--report-to": '"$report"', '"$resume"': ""}
        if not named:
            options["--video-backend"] = "decord"  # torchcodec takes frames one too early where times are in float32
        body += _N1 if named else 'exec python "$GR00T/scripts/gr00t_finetune.py"'
    else:
        # The command line of N1.6 takes tags by the names of their members, N1.7 either way.
        tag = training.tag.upper() if training.version == "n1.6" else training.tag
        options |= {"--modality-config-path": f'"$here/{CONFIG}"', "--embodiment-tag": tag, '"$wandb"': ""}
        batch = settings.options["--global-batch-size"] if settings else "64"
        body += _SWITCHES.format(release=release, batch=batch) + _LAUNCH
    options |= settings.options if settings else {}
    return f'{body} \\\n{option_lines(options)} \\\n    "$@"\n'


# N1 and N1.5 know wandb, tensorboard and (N1.5) azure_ml, wandb by default, and "none" is refused.
_SWITCHES_OLD = """report=tensorboard
if [ "${WANDB:-0}" = 1 ]; then report=wandb; fi
resume=--no-resume
if [ "${RESUME:-0}" = 1 ]; then resume=--resume; fi
if [ "${SLURM_RESTART_COUNT:-0}" != 0 ] && [ -n "$(ls -d "$output"/checkpoint-* 2>/dev/null)" ]; then
    resume=--resume  # Slurm has requeued this job; without a checkpoint --resume fails
fi
"""
# The guides' --no-resume is unknown to N1.6 and N1.7: they always resume from the last checkpoint in the output folder.
_SWITCHES = """wandb=--no-use-wandb
if [ "${{WANDB:-0}}" = 1 ]; then wandb=--use-wandb; fi
case " $* " in *" --output"[-_]"dir"*) echo "Give OUTPUT_DIR=DIR instead of --output-dir." >&2; exit 2 ;; esac
# The batch would be shared among GPUs that torchrun does not start.
case " $* " in *" --num"[-_]"gpus"*) echo "Give NUM_GPUS=N instead of --num-gpus." >&2; exit 2 ;; esac
resume=${{RESUME:-0}}
if [ "${{SLURM_RESTART_COUNT:-0}}" != 0 ]; then resume=1; fi  # Slurm has requeued this job
if [ "$resume" != 1 ] && [ -n "$(ls -d "$output"/checkpoint-* 2>/dev/null)" ]; then
    echo "$output has checkpoints, and GR00T {release} always resumes from the last one (it has no --no-resume)." >&2
    echo "To resume: RESUME=1. For a new training: OUTPUT_DIR=DIR." >&2
    exit 2
fi
case " $* " in
    *" --global"[-_]"batch"*) ;;
    *) if [ $(({batch} % gpus)) != 0 ]; then
        echo "NUM_GPUS=$gpus does not divide the batch of {batch}: add --global-batch-size N that it divides." >&2
        exit 2
    fi ;;
esac
"""
_N1 = """export GR00T
if [ "$gpus" = 1 ]; then
    launch=(python)
else
    export IS_TORCHRUN=1
    launch=(torchrun --standalone --nproc_per_node="$gpus")
fi
exec "${launch[@]}" "$here/modality_config.py\""""
_LAUNCH = """cd "$GR00T"
if [ "$gpus" = 1 ]; then
    export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}
    launch=(python)
else
    launch=(torchrun --standalone --nproc_per_node="$gpus")
fi
exec "${launch[@]}" gr00t/experiment/launch_finetune.py"""
