"""Values of RLinf's configuration that come from a dataset (examples/embodiment/config of RLinf at a3816b59)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import yaml

from ...core.errors import UsageError
from ...manifests.robot import HORIZON
from ..lerobot.datasets.dataset_v21 import DatasetV21
from ..lerobot.gr00t.modality import METADATA, MODALITY, column_of
from .job_scripts import in_comments

FRAGMENT = "rlinf.yaml"
RlinfVersion: TypeAlias = Literal["n1.5", "n1.6", "n1.7"]

# model/gr00t.yaml, gr00t_n1d6.yaml and gr00t_n1d7.yaml.
_MODEL_TYPES: Mapping[RlinfVersion, str] = {"n1.5": "gr00t", "n1.6": "gr00t_n1d6", "n1.7": "gr00t_n1d7"}
_CHECKPOINT = "/path/to/checkpoint"


@dataclass(frozen=True, slots=True)
class _Simulator:
    """Settings of RLinf for a tag: converter of observations, actions that it plays of a chunk, cameras."""

    versions: Sequence[RlinfVersion]
    converter: str
    chunks: int
    cameras: Sequence[str] = ()


_TAGS: Mapping[str, _Simulator] = {
    "libero_franka": _Simulator(("n1.5",), "libero", 5),
    "libero_panda": _Simulator(("n1.6",), "libero", 16),
    "libero_sim": _Simulator(("n1.7",), "libero", 16),
    # env/isaaclab_stack_cube.yaml has a size for each camera.
    "isaaclab_franka": _Simulator(("n1.5",), "isaaclab_stack_cube", 16, ("table_cam", "wrist_cam")),
    "maniskill_widowx": _Simulator(("n1.5",), "maniskill", 5),
}
RLINF_TAGS = tuple(_TAGS)


def rlinf_fragment(dataset: DatasetV21, version: RlinfVersion, tag: str | None = None) -> str:
    """Return the values as YAML, to replace those of the same name in a configuration of RLinf.

    Args:
        dataset: With the names of one of RLinf's data configurations in modality.json.
        version: Release of GR00T.
        tag: Embodiment tag; by default that of the data, LIBERO's or ManiSkill's.

    Raises:
        UsageError: If the release has no such tag.
    """
    modality = dataset.json(MODALITY)
    fits = [name for name, one in _TAGS.items() if version in one.versions]
    is_maniskill = "ego_view" in modality["video"]
    fits = [name for name in fits if (_TAGS[name].converter == "maniskill") == is_maniskill]
    if not fits or tag not in (None, *fits):
        found = f"RLinf has no configuration of this data for {tag or 'this release'} with GR00T {version.upper()}"
        others = [name for name in RLINF_TAGS if (_TAGS[name].converter == "maniskill") == is_maniskill]
        expected = ", ".join(f"{name} ({', '.join(_TAGS[name].versions)})" for name in others)
        raise UsageError(MODALITY, found, expected, "--version VERSION --tag TAG")
    chosen = tag or fits[0]
    simulator = _TAGS[chosen]
    model = {
        "model_type": _MODEL_TYPES[version],
        "model_path": _CHECKPOINT,
        "embodiment_tag": chosen,
        "obs_converter_type": simulator.converter,
        "action_dim": sum(part["end"] - part["start"] for part in modality["action"].values()),
        "num_action_chunks": min(simulator.chunks, HORIZON),
    }
    values: dict[str, Any] = {"actor": {"model": model}, "rollout": {"model": {"model_path": _CHECKPOINT}}}
    if simulator.converter != "maniskill":
        values["env"] = {stage: {"init_params": _sizes(dataset, simulator)} for stage in ("train", "eval")}
    about = [
        f"{in_comments(dataset.root.absolute().name)} in RLinf, with GR00T {version.upper()}: replace these values in",
        "a file of examples/embodiment/config, with the checkpoint of finetune.sh as model_path, twice.",
        f"The checkpoint must contain {METADATA} with an entry {chosen}."
        if version == "n1.5"
        else f"{METADATA} in the checkpoint is optional for {version.upper()}.",
        f"num_action_chunks is for a training with {HORIZON} actions at a time; with --horizon N of `handoff gr00t`",
        "it is at most N.",
    ]
    about += (
        ["N1.7 also needs backbone_model_path beside both model_path: Cosmos-Reason2-2B."] if version == "n1.7" else []
    )
    return "".join(f"# {line}\n" for line in about) + yaml.safe_dump(values, sort_keys=False)


def _sizes(dataset: DatasetV21, simulator: _Simulator) -> dict[str, Any]:
    """Return the sizes that the simulator must render: GR00T N1.5 refuses others than metadata.json's."""
    entries = dataset.json(MODALITY)["video"]
    shapes = {key: dataset.features[column_of("video", key, entries[key])].shape for key in ("image", "wrist_image")}
    if simulator.cameras:
        return {
            camera: {"height": height, "width": width}
            for camera, (height, width, *_) in zip(simulator.cameras, shapes.values(), strict=True)
        }
    height, width, *_ = shapes["image"]  # of both: N1.5 refuses cameras of several sizes
    return {"camera_heights": height, "camera_widths": width}
