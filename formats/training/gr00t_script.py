"""Commands that fine-tune GR00T: finetune.sh and its job script, with the options of each release.

Options: scripts/gr00t_finetune.py of N1 and N1.5, gr00t/experiment/launch_finetune.py of N1.6 and N1.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from ...manifests.robot import Gr00tVersion
from ..lerobot.gr00t.modality import METADATA
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


def script_files(training: Gr00tTraining, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        training: What is trained.
        folder: Where the files will be.
    """
    return {
        FINETUNE: _command(training),
        "finetune.sbatch": sbatch(f"gr00t-{training.version}", folder.absolute() / FINETUNE),
    }


def _command(training: Gr00tTraining) -> str:
    release = training.version.upper()
    body = f"""here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
: "${{GR00T:?Set GR00T to a checkout of Isaac-GR00T ({release}), and activate its Python}}"
GR00T=$(cd "$GR00T" && pwd)
gpus=${{NUM_GPUS:-1}}
"""
    options = {
        "--dataset-path": quote(str(training.dataset)),
        "--base-model-path": _MODELS[training.version],
        "--num-gpus": '"$gpus"',
        "--output-dir": '"${OUTPUT_DIR:-$here/checkpoints}"',
    }
    if training.is_old:
        body += 'cd "$here"\n'
        named = training.version == "n1"
        options["--data-config"] = "robot" if named else "modality_config:RobotConfig"
        options["--embodiment-tag"] = training.tag
        if not named:
            options["--video-backend"] = "decord"  # torchcodec takes frames one too early where times are in float32
        body += _N1 if named else 'exec python "$GR00T/scripts/gr00t_finetune.py"'
    else:
        # The command line of N1.6 takes tags by the names of their members, N1.7 either way.
        tag = training.tag.upper() if training.version == "n1.6" else training.tag
        options |= {"--modality-config-path": f'"$here/{CONFIG}"', "--embodiment-tag": tag}
        body += _LAUNCH
    name = in_comments(training.dataset.name)
    comments = [f"Fine-tunes GR00T {release} on {name}; further options go through, such as --max-steps 20000."]
    if training.rlinf_tag:
        comments += [
            f"RLinf reads it as {training.rlinf_tag}, a tag that NVIDIA's checkout lacks: its projector is the same.",
            f"Copy {METADATA}, which has both, over that of the checkpoint before RLinf loads it.",
        ]
    return script(comments, f'{body} \\\n{option_lines(options)} \\\n    "$@"\n')


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
    launch=(torchrun --nproc_per_node="$gpus" --master_port="${MASTER_PORT:-29500}")
fi
exec "${launch[@]}" gr00t/experiment/launch_finetune.py"""
