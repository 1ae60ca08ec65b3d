"""The files that GR00T is fine-tuned with; their form is that of GR00T's own examples of each release.

N1.6 and N1.7: examples/SO100/so100_config.py and gr00t/configs/finetune_config.py. N1.5 and N1:
gr00t/experiment/data_config.py and scripts/gr00t_finetune.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote

import yaml

from ...manifests.robot import Gr00tVersion
from .gr00t import HORIZON, Gr00tTraining
from .scripts import in_comments, option_lines, sbatch, script

CONFIG = "modality_config.py"
FINETUNE = "finetune.sh"
_MODELS: Mapping[Gr00tVersion, str] = {
    "n1": "nvidia/GR00T-N1-2B",
    "n1.5": "nvidia/GR00T-N1.5-3B",
    "n1.6": "nvidia/GR00T-N1.6-3B",
    "n1.7": "nvidia/GR00T-N1.7-3B",
}


def gr00t_files(training: Gr00tTraining, folder: Path) -> dict[str, str]:
    """Return file name to content.

    Args:
        training: What is trained.
        folder: Where the files will be.
    """
    files = {
        CONFIG: _old_config(training) if training.is_old else _config(training),
        FINETUNE: _command(training),
        "finetune.sbatch": sbatch(f"gr00t-{training.version}", folder.absolute() / FINETUNE),
    }
    if training.relative:
        files["relative_actions.yaml"] = _relative(training)
    return files


def _about(training: Gr00tTraining) -> str:
    return f"How GR00T {training.version.upper()} reads {_name(training)}, after its meta/modality.json."


def _name(training: Gr00tTraining) -> str:
    return in_comments(training.dataset.name)


def _texts(names: Iterable[str], prefix: str = "") -> str:
    """Return a list of Python texts; JSON's escapes are Python's too."""
    return json.dumps([prefix + name for name in names])


def _config(training: Gr00tTraining) -> str:
    kinds = {key: "RELATIVE" if key in training.relative else "ABSOLUTE" for key in training.action}
    actions = "".join(f"    {json.dumps(key)}: ActionRepresentation.{kind},\n" for key, kind in kinds.items())
    return f'''"""{_about(training)}"""

from gr00t.configs.data.embodiment_configs import MODALITY_CONFIGS, register_modality_config
from gr00t.data.embodiment_tags import EmbodimentTag
from gr00t.data.types import ActionConfig, ActionFormat, ActionRepresentation, ActionType, ModalityConfig

TAG = EmbodimentTag({json.dumps(training.tag)})
HORIZON = {HORIZON}  # actions that are predicted at a time
# RELATIVE: learned as the difference from the state of the same name; ABSOLUTE: as recorded.
ACTIONS = {{
{actions}}}

MODALITY_CONFIGS.pop(TAG.value, None)  # what GR00T has for this tag is for another dataset
register_modality_config(
    {{
        "video": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.video)}),
        "state": ModalityConfig(delta_indices=[0], modality_keys={_texts(training.state)}),
        "action": ModalityConfig(
            delta_indices=list(range(HORIZON)),
            modality_keys=list(ACTIONS),
            action_configs=[
                ActionConfig(rep=rep, type=ActionType.NON_EEF, format=ActionFormat.DEFAULT) for rep in ACTIONS.values()
            ],
        ),
        "language": ModalityConfig(delta_indices=[0], modality_keys={_texts([training.language], "annotation.")}),
    }},
    embodiment_tag=TAG,
)
'''


def _old_config(training: Gr00tTraining) -> str:
    """Return a data configuration; how pictures and numbers are prepared is taken over from GR00T's So100DataConfig."""
    text = f'''"""{_about(training)}"""
{_RUN_IMPORTS if training.version == "n1" else ""}
from gr00t.experiment.data_config import {"DATA_CONFIG_MAP, " if training.version == "n1" else ""}So100DataConfig


class RobotConfig(So100DataConfig):
    video_keys = {_texts(training.video, "video.")}
    state_keys = {_texts(training.state, "state.")}
    action_keys = {_texts(training.action, "action.")}
    language_keys = {_texts([training.language], "annotation.")}
    observation_indices = [0]
    action_indices = list(range({HORIZON}))  # actions that are predicted at a time
'''
    return text + (_RUN if training.version == "n1" else "")


_RUN_IMPORTS = """
import os
import runpy
"""
_RUN = """

if __name__ == "__main__":
    # GR00T N1 knows configurations by name only: this one gets a name, then its script runs as it is.
    DATA_CONFIG_MAP["robot"] = RobotConfig()
    runpy.run_path(os.path.join(os.environ["GR00T"], "scripts", "gr00t_finetune.py"), run_name="__main__")
"""


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
    comments = [
        f"Fine-tunes GR00T {release} on {_name(training)}; further options go through, such as --max-steps 20000."
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


def _relative(training: Gr00tTraining) -> str:
    """Return what `robotrove stats --relative` takes."""
    kinds = {key: {"rep": "RELATIVE" if key in training.relative else "ABSOLUTE"} for key in training.action}
    about = f"# robotrove stats {_name(training)} --relative THIS_FILE writes meta/relative_stats.json.\n"
    return about + yaml.safe_dump({"action_horizon": HORIZON, "actions": kinds}, sort_keys=False)
