"""`robotrove handoff openpi`: train.sh is run with stubs of openpi's modules and scripts, which use its file."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robotrove.cli.datasets.handoff import command
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped

# What train_config.py takes from openpi, with the names and defaults of src/openpi at 15a9616.
TRANSFORMS = """
import dataclasses

class DataTransformFn: ...

@dataclasses.dataclass(frozen=True)
class Group:
    inputs: tuple = ()
    outputs: tuple = ()
    def push(self, *, inputs=(), outputs=()):
        return Group((*self.inputs, *inputs), (*outputs, *self.outputs))

@dataclasses.dataclass(frozen=True)
class RepackTransform(DataTransformFn):
    structure: dict
    def __call__(self, data):
        take = lambda value: {key: take(one) for key, one in value.items()} if isinstance(value, dict) else data[value]
        return take(self.structure)

@dataclasses.dataclass(frozen=True)
class DeltaActions(DataTransformFn):
    mask: tuple

@dataclasses.dataclass(frozen=True)
class AbsoluteActions(DataTransformFn):
    mask: tuple
"""
MODEL = """
import enum

class ModelType(enum.Enum):
    PI0, PI0_FAST, PI05 = "pi0", "pi0_fast", "pi05"
"""
PI0_CONFIG = """
import dataclasses
from openpi.models.model import ModelType

@dataclasses.dataclass(frozen=True)
class Pi0Config:
    pi05: bool = False
    model_type: ModelType = ModelType.PI0
    action_horizon: int = 50
"""
WEIGHT_LOADERS = """
import dataclasses

@dataclasses.dataclass(frozen=True)
class CheckpointWeightLoader:
    params_path: str
"""
CONFIG = """
import dataclasses, pathlib
from openpi import transforms

@dataclasses.dataclass(frozen=True)
class DataConfig:
    repo_id: str = None
    repack_transforms: transforms.Group = transforms.Group()
    data_transforms: transforms.Group = transforms.Group()
    model_transforms: transforms.Group = transforms.Group()
    action_sequence_keys: tuple = ("actions",)
    prompt_from_task: bool = False

@dataclasses.dataclass(frozen=True)
class ModelTransformFactory:
    def __call__(self, model_config):
        return transforms.Group(inputs=("model",))

@dataclasses.dataclass(frozen=True)
class DataConfigFactory:
    repo_id: str = None
    base_config: DataConfig = None
    def create_base_config(self, assets_dirs, model_config):
        return dataclasses.replace(self.base_config, repo_id=self.repo_id)

@dataclasses.dataclass(frozen=True)
class LeRobotAlohaDataConfig(DataConfigFactory):
    use_delta_joint_actions: bool = True
    adapt_to_pi: bool = True
    repack_transforms: transforms.Group = None
    action_sequence_keys: tuple = ("action",)

@dataclasses.dataclass(frozen=True)
class LeRobotDROIDDataConfig(DataConfigFactory): ...

@dataclasses.dataclass(frozen=True)
class TrainConfig:
    name: str
    model: object
    data: DataConfigFactory
    weight_loader: object
    batch_size: int = 32
    num_workers: int = 2
    num_train_steps: int = 30_000
    save_interval: int = 1000
    keep_period: int = 5000
    wandb_enabled: bool = True
    assets_base_dir: str = "./assets"
    @property
    def assets_dirs(self):
        return (pathlib.Path(self.assets_base_dir) / self.name).resolve()

_CONFIGS_DICT = {}
"""
# What scripts/compute_norm_stats.py and scripts/train.py do with it, as far as the configuration goes: train.py's data
# loader has workers that are started with "spawn".
NORM_STATS = """
import sys
from openpi.training import config as _config

def main(config_name):
    config = _config._CONFIGS_DICT[config_name]
    folder = config.assets_dirs / config.data.repo_id
    folder.mkdir(parents=True)
    (folder / "norm_stats.json").write_text("{}")

if __name__ == "__main__":
    assert sys.argv[1] == "--config-name"
    main(sys.argv[2])
"""
TRAIN = """
import dataclasses, json, multiprocessing, os, pickle, sys
import numpy as np
from openpi.training import config as _config

def read(transforms, sample, found):
    for transform in pickle.loads(transforms):
        sample = transform(sample)
    found.put(sample)

if __name__ == "__main__":
    config = _config._CONFIGS_DICT[sys.argv[1]]
    report = dataclasses.asdict(dataclasses.replace(config, model=None, data=None))
    report["root"] = os.path.realpath(os.path.join(os.environ["HF_LEROBOT_HOME"], config.data.repo_id))
    report |= {"model": repr(config.model), "argv": sys.argv[1:], "data": type(config.data).__name__}
    report |= {"base": dataclasses.asdict(config.data.base_config), "repo_id": config.data.repo_id}
    if hasattr(config.data, "create"):
        data = config.data.create(config.assets_dirs, config.model)
        both = [*data.repack_transforms.inputs, *data.data_transforms.inputs]
        report |= {"steps": [type(one).__name__ for one in both], "keys": data.action_sequence_keys}
        report |= {"model_transforms": data.model_transforms.inputs, "prompt": data.prompt_from_task}
        context = multiprocessing.get_context("spawn")
        found = context.Queue()
        with np.load(os.environ["SAMPLE"]) as arrays:
            sample = {**arrays, "prompt": "pick"}
        context.Process(target=read, args=(pickle.dumps(both), sample, found)).start()
        sample = found.get(timeout=60)
        np.savez(os.environ["SEEN"], **{f"image/{key}": one for key, one in sample["image"].items()},
                 **{f"mask/{key}": one for key, one in sample["image_mask"].items()},
                 state=sample["state"], actions=sample["actions"], prompt=sample["prompt"])
        [answer] = data.data_transforms.outputs
        report["answer"] = answer({"actions": np.arange(64.0).reshape(2, 32)})["actions"].tolist()
    else:
        report["repack"] = dataclasses.asdict(config.data).get("repack_transforms")
    print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def openpi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout with the stubs."""
    root = tmp_path_factory.mktemp("openpi")
    files = {
        "openpi/transforms.py": TRANSFORMS,
        "openpi/models/model.py": MODEL,
        "openpi/models/pi0_config.py": PI0_CONFIG,
        "openpi/training/config.py": CONFIG,
        "openpi/training/weight_loaders.py": WEIGHT_LOADERS,
        "scripts/compute_norm_stats.py": NORM_STATS,
        "scripts/train.py": TRAIN,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    files = write_sample("leisaac", folder, episodes=2, frames=24, height=48, width=64)
    run_shipped("leisaac_so101", files, folder / "it's $(mine)", "formats=[v2.1]")
    return folder / "it's $(mine)"


def features_of(root: Path, copy: Path, **features: tuple[str, list[int]]) -> Path:
    """Return a copy with other features in info.json: what handoff reads."""
    shutil.copytree(root, copy)
    info = json.loads((copy / "meta/info.json").read_text())
    kept = {key: info["features"][key] for key in ("timestamp", "frame_index", "episode_index", "index", "task_index")}
    named = {key.replace("__", "."): {"dtype": dtype, "shape": shape} for key, (dtype, shape) in features.items()}
    for key, entry in named.items():
        entry["names"] = ["height", "width", "channels"] if entry["dtype"] == "video" else None
        if entry["dtype"] == "video":
            entry["info"] = {"video.fps": 30.0, "video.channels": 3}
        kept[key] = entry
    (copy / "meta/info.json").write_text(json.dumps(info | {"features": kept}))
    return copy


def handoff(*arguments: str | Path) -> None:
    command.main(["openpi", *map(str, arguments)], standalone_mode=False)


def start(out: Path, openpi: Path, tmp_path: Path, *options: str, **environment: str) -> dict[str, Any]:
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    more = {"OPENPI": str(openpi), "PYTHONPATH": str(openpi), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    more |= {"SAMPLE": str(tmp_path / "sample.npz"), "SEEN": str(tmp_path / "seen.npz")}
    done = subprocess.run(
        ["bash", out / "train.sh", *options],
        env=known | more | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_the_configuration(dataset: Path, openpi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my out"
    handoff(dataset, "-o", out)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{out}: train_config.py, train.sh, train.sbatch, evaluation.md"
    assert printed[1] == f"  openpi reads HF_LEROBOT_HOME/local/it-s-mine: train.sh links the dataset there, in {out}"
    rng = np.random.default_rng(1)
    front, wrist = rng.random((2, 3, 48, 64)).astype(np.float32)
    state, actions = rng.random(6).astype(np.float32), rng.random((50, 6)).astype(np.float32)
    columns = {"observation.images.front": front, "observation.images.wrist": wrist, "observation.state": state}
    np.savez(tmp_path / "sample.npz", **columns, action=actions, task_index=0)
    report = start(out, openpi, tmp_path, "--num-train-steps", "7")
    assert report == {
        "name": "pi0_it_s_mine",
        "model": "Pi0Config(pi05=False, model_type=<ModelType.PI0: 'pi0'>, action_horizon=50)",
        "data": "RobotData",
        "repo_id": "local/it-s-mine",
        "root": str(dataset.resolve()),
        "weight_loader": {"params_path": "gs://openpi-assets/checkpoints/pi0_base/params"},
        # TrainConfig of openpi; wandb is off unless it is asked for.
        "batch_size": 32,
        "num_workers": 2,
        "num_train_steps": 30_000,
        "save_interval": 1000,
        "keep_period": 5000,
        "wandb_enabled": False,
        "assets_base_dir": "./assets",
        "argv": [
            *("pi0_it_s_mine", "--exp-name", "it-s-mine", "--checkpoint-base-dir", str(out / "checkpoints")),
            *("--num-train-steps", "7"),
        ],
        "base": report["base"],
        "prompt": True,
        "keys": ["action"],
        "model_transforms": ["model"],
        "steps": ["RepackTransform", "RobotInputs"],
        "answer": [list(range(6)), list(range(32, 38))],
    }
    seen = np.load(tmp_path / "seen.npz")
    for name, image in (("base_0_rgb", front), ("left_wrist_0_rgb", wrist)):
        assert np.array_equal(seen[f"image/{name}"], (image.transpose(1, 2, 0) * 255).astype(np.uint8))
        assert seen[f"mask/{name}"]
    assert seen["image/right_wrist_0_rgb"].shape == (48, 64, 3)
    assert not seen["image/right_wrist_0_rgb"].any()
    assert not seen["mask/right_wrist_0_rgb"]
    assert np.array_equal(seen["state"], state)
    assert np.array_equal(seen["actions"], actions)
    assert seen["prompt"] == "pick"
    assert (out / "assets/pi0_it_s_mine/local/it-s-mine/norm_stats.json").exists()
    more = start(out, openpi, tmp_path, "--resume", OUTPUT_DIR="kept")["argv"]
    assert more[-3:] == ["--checkpoint-base-dir", str(tmp_path / "kept"), "--resume"], "statistics are computed once"


def test_joints_that_are_targets(dataset: Path, openpi: Path, tmp_path: Path) -> None:
    """One line of the file, as its comment says."""
    out = tmp_path / "out"
    handoff(dataset, "-o", out)
    path = out / "train_config.py"
    text = path.read_text()
    assert "DELTA = [False, False, False, False, False, False]\n" in text
    path.write_text(
        text.replace("DELTA = [False, False, False, False, False,", "DELTA = [True, True, True, True, True,")
    )
    report = subprocess.run(
        [
            sys.executable,
            "-c",
            "from train_config import *; print(CONFIG.data.create('', CONFIG.model).data_transforms)",
        ],
        env={"PYTHONPATH": f"{openpi}:{out}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DeltaActions(mask=[True, True, True, True, True, False])" in report
    assert "AbsoluteActions(mask=[True, True, True, True, True, False])" in report


@pytest.mark.parametrize(
    ("names", "pictures", "unused"),
    [
        (["front"], {"base_0_rgb": "front"}, []),
        (["wrist", "front"], {"base_0_rgb": "front", "left_wrist_0_rgb": "wrist"}, []),
        (
            ["right_wrist", "left_wrist", "top"],
            {"base_0_rgb": "top", "left_wrist_0_rgb": "left_wrist", "right_wrist_0_rgb": "right_wrist"},
            [],
        ),
        (
            ["Cam_Right_Wrist", "Cam_Left_Wrist", "Cam_High"],
            {"base_0_rgb": "Cam_High", "left_wrist_0_rgb": "Cam_Left_Wrist", "right_wrist_0_rgb": "Cam_Right_Wrist"},
            [],
        ),
        (["top", "side"], {"base_0_rgb": "top", "left_wrist_0_rgb": "side"}, []),
        (
            ["a", "b", "c", "d"],
            {"base_0_rgb": "a", "left_wrist_0_rgb": "b", "right_wrist_0_rgb": "c"},
            ["observation.images.d"],
        ),
    ],
)
def test_cameras(dataset: Path, tmp_path: Path, names: list[str], pictures: dict[str, str], unused: list[str]) -> None:
    """pi0 sees one picture of the scene and two of wrists."""
    seen = {f"observation__images__{name}": ("video", [48, 64, 3]) for name in names}
    root = features_of(dataset, tmp_path / "d", **seen, state=("float32", [7]), actions=("float32", [7]))
    handoff(root, "-o", tmp_path / "out")
    text = (tmp_path / "out/train_config.py").read_text()
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id != "CONFIG"
    }
    found = {picture: values["COLUMNS"][name] for picture, name in values["PICTURES"].items() if name}
    assert found == {picture: f"observation.images.{name}" for picture, name in pictures.items()}
    assert (values["COLUMNS"]["observation/state"], values["COLUMNS"]["actions"]) == ("state", "actions")
    assert (values["ACTION_DIM"], values["DELTA"]) == (7, [False] * 7)
    assert [line for line in text.splitlines() if "Not used" in line] == [
        f"# Not used, since pi0 sees three: {name}." for name in unused
    ]


def test_forms_that_openpi_has_itself(dataset: Path, openpi: Path, tmp_path: Path) -> None:
    """LeRobotAlohaDataConfig and LeRobotDROIDDataConfig of src/openpi/training/config.py."""
    pictures = {f"observation__images__{name}": ("video", [48, 64, 3]) for name in ("cam_high", "cam_left_wrist")}
    joints = {"observation__state": ("float32", [14]), "action": ("float32", [14])}
    handoff(features_of(dataset, tmp_path / "aloha", **pictures, **joints), "-o", tmp_path / "a")
    report = start(tmp_path / "a", openpi, tmp_path)
    assert report["data"] == "LeRobotAlohaDataConfig"
    assert report["base"]["prompt_from_task"] is True
    [repack] = report["repack"]["inputs"]
    assert repack["structure"] == {
        "images": {
            "cam_high": "observation.images.cam_high",
            "cam_left_wrist": "observation.images.cam_left_wrist",
        },
        "state": "observation.state",
        "actions": "action",
        "prompt": "prompt",
    }
    pictures = {
        f"{name}_left": ("video", [48, 64, 3]) for name in ("exterior_image_1", "exterior_image_2", "wrist_image")
    }
    joints = {"joint_position": ("float32", [7]), "gripper_position": ("float32", [1]), "actions": ("float32", [8])}
    handoff(features_of(dataset, tmp_path / "droid", **pictures, **joints), "-o", tmp_path / "d")
    report = start(tmp_path / "d", openpi, tmp_path)
    assert (report["data"], report["base"]["action_sequence_keys"]) == ("LeRobotDROIDDataConfig", ["actions"])
    assert report["base"]["prompt_from_task"] is True


def test_names_of_a_dataset_stay_names(dataset: Path, tmp_path: Path) -> None:
    seen = {'observation__images__a"]; raise SystemExit(1); ["': ("video", [48, 64, 3])}
    root = features_of(
        dataset, tmp_path / 'x"""\nimport os\n"""', **seen, state=("float32", [7]), actions=("float32", [7])
    )
    handoff(root, "-o", tmp_path / "out")
    tree = ast.parse((tmp_path / "out/train_config.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    subprocess.run(["bash", "-n", tmp_path / "out/train.sh"], check=True)


def test_what_is_refused(dataset: Path, tmp_path: Path) -> None:
    wide = features_of(
        dataset,
        tmp_path / "wide",
        observation__images__front=("video", [48, 64, 3]),
        state=("float32", [7]),
        actions=("float32", [40]),
    )
    with pytest.raises(UsageError, match=r"openpi would refuse or misread it[\s\S]*at most 32 values"):
        handoff(wide, "-o", tmp_path / "out")
    blind = features_of(dataset, tmp_path / "blind", state=("float32", [7]), actions=("float32", [7]))
    with pytest.raises(UsageError, match="lacks a state, an action and a camera"):
        handoff(blind, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
