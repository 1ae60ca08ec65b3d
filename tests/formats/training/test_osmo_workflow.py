"""OSMO's workflow: every field of version 2, valid before and after OSMO fills the template in."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.training.osmo_workflow import osmo_workflow
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

# osmo/finetune.yaml of Isaac Lab Arena at e81d5e4, for 8 GPUs; TaskSpec and ResourceSpec of NVIDIA/OSMO at 1da31e19.
WORKFLOW = {"name", "groups", "resources", "timeout"}
TASK = {
    *("name", "lead", "image", "command", "args", "environment", "credentials", "downloadType", "files", "inputs"),
    "outputs",
}
RESOURCES = {"cpu": 80, "gpu": 8, "memory": "700Gi", "storage": "400Gi", "platform": "{{ platform }}"}
TIMEOUT = {"exec_timeout": "7d", "queue_timeout": "2d"}
FILES = {
    "finetune.sh": "#!/usr/bin/env bash\ntrain '{{input:0}}/bottle/pick/lerobot'\n",
    "config.py": "A = {1: {2: 3}}\n",
}
SET = {"image": "nvcr.io/mine:1", "output_url": "swift://host/account/out"}
# OSMO's own tokens stay as they are until the task begins (src/utils/job/workflow.py).
TOKENS = r"\{\{(?:uuid|workflow_id|output|input:[^}]+|host:[^}]+)\}\}"


def filled_in(text: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Fill a template in as OSMO does, of Jinja's language what the file uses: names, and texts as they are."""
    values = yaml.safe_load(text)["default-values"] | given
    workflow = text[text.index("\nworkflow:") : text.index("\ndefault-values:")]

    def value(found: re.Match[str]) -> str:
        token, raw, name = found.groups()
        assert token or raw or name, f"{found[0]}: Jinja would take it"
        return token or raw or str(values[name])

    parts = rf"({TOKENS})|{{% raw %}}(.*?){{% endraw %}}|\{{\{{ (\w+) \}}\}}|\{{[{{%#]"
    filled: dict[str, Any] = yaml.safe_load(re.sub(parts, value, workflow))["workflow"]
    return filled


def made(**more: Any) -> str:
    settings = {"command": "finetune.sh", "title": "gr00t-n1.6 It's $(mine)"} | more
    return osmo_workflow(settings.pop("files", FILES), **{"given": {"dataset": {"name": "isaac/bottle"}}, **settings})


def test_every_field() -> None:
    document = yaml.safe_load(made())
    assert list(document) == ["version", "workflow", "default-values"]
    assert document["version"] == 2
    workflow = document["workflow"]
    assert set(workflow) == WORKFLOW
    assert workflow["name"] == "{{ workflow_name }}"
    assert workflow["resources"] == {"default": RESOURCES}
    assert workflow["timeout"] == TIMEOUT
    [group] = workflow["groups"]
    [task] = group["tasks"]
    assert set(task) == TASK
    assert task == {
        "name": "master",
        "lead": True,
        "image": "{{ image }}",
        "command": ["bash"],
        "args": ["/tmp/finetune/finetune.sh"],
        "environment": {"GR00T": "/workspace", "NUM_GPUS": "8", "OUTPUT_DIR": "{{output}}", "WANDB": "0"},
        "credentials": {},
        "downloadType": "download",
        "files": [{"path": f"/tmp/finetune/{name}", "contents": text} for name, text in FILES.items()],
        "inputs": [{"dataset": {"name": "isaac/bottle"}}],
        "outputs": [{"url": "{{ output_url }}/{{workflow_id}}"}],
    }
    assert document["default-values"] == {"workflow_name": "gr00t-n1-6-it-s-mine", "platform": "ovx-l40"}


def test_filled_in() -> None:
    workflow = filled_in(made(), SET)
    assert workflow["name"] == "gr00t-n1-6-it-s-mine"
    assert workflow["resources"]["default"]["platform"] == "ovx-l40"
    [task] = workflow["groups"][0]["tasks"]
    assert task["image"] == "nvcr.io/mine:1"
    assert task["outputs"] == [{"url": "swift://host/account/out/{{workflow_id}}"}]
    assert {file["path"].split("/")[-1]: file["contents"] for file in task["files"]} == FILES


def test_other_numbers_of_gpus() -> None:
    """Of 8 GPUs, 80 CPUs and 700 GiB."""
    expected = {1: (10, "88Gi"), 2: (20, "175Gi"), 8: (80, "700Gi")}
    for gpus, (cpus, memory) in expected.items():
        document = yaml.safe_load(made(gpus=gpus))["workflow"]
        resources = document["resources"]["default"]
        assert (resources["gpu"], resources["cpu"], resources["memory"]) == (gpus, cpus, memory)
        assert document["groups"][0]["tasks"][0]["environment"]["NUM_GPUS"] == str(gpus)


def test_a_uri_and_what_is_not_verified() -> None:
    text = made(given={"url": "s3://bucket/bottle"})
    assert filled_in(text, SET)["groups"][0]["tasks"][0]["inputs"] == [{"url": "s3://bucket/bottle"}]
    assert "inferred from OSMO's client, not verified" in text
    assert "not verified" not in made()


def test_texts_stay_texts() -> None:
    """Marks of Jinja in a script or an address are not for Jinja, nor is YAML in names for YAML."""
    files = {
        "finetune.sh": 'n=${#a[@]}; echo "{{ secret }} {% raw %}"\ncd \'{{input:0}}/x: "{{ y }}" # z\'\n',
        "one_line": "{{ a }}: [",
    }
    text = made(files=files, given={"url": "s3://b/{{x}}"}, title="gr00t {{ x }}: [")
    [task] = filled_in(text, SET)["groups"][0]["tasks"]
    assert {file["path"].split("/")[-1]: file["contents"] for file in task["files"]} == files
    assert task["inputs"] == [{"url": "s3://b/{{x}}"}]
    assert yaml.safe_load(text)["default-values"]["workflow_name"] == "gr00t-x"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset as OSMO's workflows read it, of a recording with a name that shells and templates read."""
    folder = tmp_path_factory.mktemp("osmo")
    files = write_sample("leisaac", folder, episodes=2, frames=24, height=48, width=64)
    root = folder / "it's $(mine) {{ x }}" / "lerobot"
    root.parent.mkdir()
    run_shipped("leisaac_so101", files, root, "formats=[v2.1]", "dataset=[downgrader, {gr00t_files: {robot: so101}}]")
    return root


def handoff(*arguments: str | Path) -> None:
    command.main(["gr00t", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize(
    ("address", "entry", "below"),
    [
        ("isaac/pick:v2", {"dataset": {"name": "isaac/pick:v2"}}, "pick/"),
        ("s3://bucket/pick", {"url": "s3://bucket/pick"}, ""),
    ],
)
@pytest.mark.parametrize(
    ("version", "preset", "gpus", "cpus", "memory", "program"),
    [
        ("n1.6", None, 8, 80, "700Gi", "torchrun"),
        ("n1.6", "best", 8, 80, "700Gi", "torchrun"),
        ("n1.6", "piper", 2, 20, "175Gi", "torchrun"),
        ("n1.6", "small", 1, 10, "88Gi", "python"),
        ("n1.5", "best", 8, 80, "700Gi", "python"),
        ("n1", "evaltasks", 8, 80, "700Gi", "torchrun"),
    ],
)
def test_the_task_trains_on_what_push_uploaded(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    address: str,
    entry: dict[str, Any],
    below: str,
    version: str,
    preset: str | None,
    gpus: int,
    cpus: int,
    memory: str,
    program: str,
) -> None:
    """The files of the task are written where the container would have them, and its command is run."""
    out = tmp_path / "out"
    more = ["--preset", preset] if preset else []
    handoff(dataset, "-o", out, "--robot", "so101", "--version", version, "--osmo", address, *more)
    submit = f"osmo workflow submit {out}/finetune.osmo.yaml --pool POOL --set image=IMAGE output_url=URI"
    assert f"  on OSMO: {submit}" in capsys.readouterr().out.splitlines()
    workflow = filled_in((out / "finetune.osmo.yaml").read_text(), SET)
    resources = workflow["resources"]["default"]
    assert (resources["gpu"], resources["cpu"], resources["memory"]) == (gpus, cpus, memory)
    [task] = workflow["groups"][0]["tasks"]
    assert task["inputs"] == [entry]
    container, checkout = tmp_path / "container", tmp_path / "checkout"
    (container / "tmp/finetune").mkdir(parents=True)
    checkout.mkdir()
    for name in ("python", "torchrun"):
        (container / name).write_text('#!/usr/bin/env bash\nprintf "%s\\n" "${0##*/}" "$@" > "$SEEN"\n')
        (container / name).chmod(0o755)
    for file in task["files"]:
        (container / file["path"].lstrip("/")).write_text(file["contents"].replace("{{input:0}}", "/osmo/input/0"))
    assert task["command"] == ["bash"]
    values = task["environment"] | {"GR00T": str(checkout), "OUTPUT_DIR": str(tmp_path / "output")}
    assert task["environment"]["OUTPUT_DIR"] == "{{output}}"
    known = {"PATH": f"{container}{os.pathsep}{os.environ['PATH']}", "SEEN": str(tmp_path / "seen")}
    [script] = task["args"]
    done = subprocess.run(["bash", container / script.lstrip("/")], env=known | values, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, *arguments = (tmp_path / "seen").read_text().splitlines()
    given = dict(pairwise(arguments))
    assert name == program
    assert given["--dataset-path"] == f"/osmo/input/0/{below}it's $(mine) {{{{ x }}}}/lerobot"
    assert given["--num-gpus"] == str(gpus)
    assert given["--output-dir"] == str(tmp_path / "output")
    ast.parse((container / "tmp/finetune/modality_config.py").read_text())


def test_addresses_and_presets_that_do_not_fit(dataset: Path, tmp_path: Path) -> None:
    options = [dataset, "-o", tmp_path / "out", "--robot", "so101", "--version", "n1.6", "--osmo"]
    with pytest.raises(UsageError, match=r"--osmo: 'a\.b' is not an address"):
        handoff(*options, "a.b")
    with pytest.raises(UsageError, match=r"has no settings for GR00T N1\.6"):
        handoff(*options, "cubes", "--preset", "leisaac")
    assert not (tmp_path / "out").exists()
