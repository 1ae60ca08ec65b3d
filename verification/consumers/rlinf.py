"""RLinf, which runs GR00T N1.5 with data configurations of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.gr00t.modality import MODALITY, entries, slice_of
from ..check import Check, Diagnostic
from .gr00t import N1_5
from .libero import POSE
from .modality import written

_LIBERO: Mapping[str, int | None] = {
    "video.image": None,
    "video.wrist_image": None,
    **{f"state.{key}": 1 for key in POSE},
    "state.gripper": 2,
    **{f"action.{key}": 1 for key in (*POSE, "gripper")},
    "annotation.human.action.task_description": None,
}
_MANISKILL: Mapping[str, int | None] = dict.fromkeys(
    ("video.ego_view", "state.left_arm", "action.left_arm", "annotation.human.action.task_description")
)
# Data configuration to the names that it reads, and how many values each has.
CONFIGS = {"libero_franka (isaaclab_franka)": _LIBERO, "maniskill_widowx": _MANISKILL}


class DataConfigCheck(Check[DatasetV21]):
    """modality.json has the names of one of RLinf's data configurations.

    rlinf/models/embodiment/gr00t/gr00t_n1d5/modality_config.py: LiberoFrankaDataConfig and
    ManiskillWidowXDataConfig. Widths are those of the observations that its simulators give.
    """

    name = "data_config"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what the configuration that comes nearest does not find."""
        if not (dataset.root / MODALITY).exists():
            return  # said so already
        there = {f"{entry.section}.{entry.key}": slice_of(entry) for entry in entries(dataset.json(MODALITY))}
        config, names = max(CONFIGS.items(), key=lambda item: len(item[1].keys() & there.keys()) / len(item[1]))
        if missing := [name for name in names if name not in there]:
            told = f"has no {', '.join(missing)}, which RLinf's data configuration {config} reads"
            yield self.error(
                MODALITY, f"{told}; add names for them; {written(dataset)}, for LIBERO with the robot libero"
            )
        for name, width in names.items():
            bounds = there.get(name)
            if width is not None and bounds and bounds[1] - bounds[0] != width:
                told = f"has {bounds[1] - bounds[0]} values, but {config} has {width}"
                yield self.error(f"{MODALITY}, {name}", f"{told}: write start and end of {width}")


RLINF = replace(N1_5, title="RLinf", checks=(*N1_5.checks, DataConfigCheck()))
