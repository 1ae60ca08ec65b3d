"""Workflow of OSMO that fine-tunes GR00T, after osmo/finetune.yaml of Isaac Lab Arena at e81d5e4.

Fields: src/utils/job/task.py of NVIDIA/OSMO at 1da31e19. The file is a template of Jinja, with OSMO's own tokens such
as {{input:0}} and {{output}}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

WORKFLOW = "finetune.osmo.yaml"
GPUS = 8  # of Arena's workflow, which has 80 CPUs and 700 GiB for them
_CPUS_PER_GPU, _MEMORY_GIB = 10, 700
_FOLDER = "/tmp/finetune"  # in the container
_PLATFORM = "ovx-l40"
# Marks of Jinja that texts may contain, but for the token of the input.
_MARKS = re.compile(r"\{\{(?!input:0\}\})|\{%|\{#")


def osmo_workflow(
    files: Mapping[str, str],
    *,
    command: str,
    title: str,
    given: Mapping[str, Any],
    gpus: int = GPUS,
) -> str:
    """Return the workflow as YAML.

    Args:
        files: Name to content; they name the dataset by its place in the container.
        command: Of these files, the script that trains; it reads GR00T, NUM_GPUS, OUTPUT_DIR and WANDB.
        title: Of the training, for the workflow's name.
        given: Input of the task: a dataset of OSMO, or a URI.
        gpus: For the training.
    """
    task = {
        "name": "master",
        "lead": True,
        "image": "{{ image }}",
        "command": ["bash"],
        "args": [f"{_FOLDER}/{command}"],
        "environment": {"GR00T": "/workspace", "NUM_GPUS": str(gpus), "OUTPUT_DIR": "{{output}}", "WANDB": "0"},
        "credentials": {},
        "downloadType": "download",
        "files": [{"path": f"{_FOLDER}/{name}", "contents": _literal(text)} for name, text in files.items()],
        "inputs": [_literal_values(given)],
        "outputs": [{"url": "{{ output_url }}/{{workflow_id}}"}],
    }
    resources = {
        "cpu": _CPUS_PER_GPU * gpus,
        "gpu": gpus,
        "memory": f"{-(-_MEMORY_GIB * gpus // GPUS)}Gi",
        "storage": "400Gi",
        "platform": "{{ platform }}",
    }
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    document = {
        "version": 2,
        "workflow": {
            "name": "{{ workflow_name }}",
            "groups": [{"name": "finetune", "tasks": [task]}],
            "resources": {"default": resources},
            "timeout": {"exec_timeout": "7d", "queue_timeout": "2d"},
        },
        "default-values": {"workflow_name": name, "platform": _PLATFORM},
    }
    return "".join(f"# {line}\n" for line in _about(given)) + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


def submission(path: str) -> str:
    """Return the command that submits a workflow; its path must be quoted already."""
    return f"osmo workflow submit {path} --pool POOL --set image=IMAGE output_url=URI"


def _about(given: Mapping[str, Any]) -> list[str]:
    about = [
        "OSMO workflow that fine-tunes GR00T. Not tried on a server. What has no value here must be given:",
        f"  {submission(WORKFLOW)}",
        "image: a container with Isaac-GR00T in /workspace, its Python first on PATH.",
        "output_url: swift://… or s3://…; the checkpoints come to output_url/WORKFLOW_ID.",
        f"platform: that of your pool; {_PLATFORM} is Arena's.",
        'Weights & Biases: WANDB: "1", and credentials: {wandb-auth: {WANDB_API_KEY: wandb_pass}}, as Arena has it.',
    ]
    if "url" in given:
        about.append("The place of the files below a URI's input is inferred from OSMO's client, not verified.")
    return about


def _literal(text: str) -> str:
    """Return a text as a template for itself; with no quotes, which YAML would escape."""
    return _MARKS.sub(lambda mark: "{% raw %}" + mark[0] + "{% endraw %}", text)


def _literal_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _literal_values(one) for key, one in value.items()}
    return _literal(value)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)
