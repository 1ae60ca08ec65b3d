"""LIBERO's values and pictures, as the environments of GR00T and RLinf take them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ..check import Check, Diagnostic
from .gr00t_release import Release

POSE = ("x", "y", "z", "roll", "pitch", "yaw")
_KEYS = {f"{section}.{key}" for section in ("state", "action") for key in (*POSE, "gripper")}
_KEYS |= {"video.image", "video.wrist_image"}
# Entries of the state in datasets of robotrove's pipelines, of any4lerobot and of those that it published.
_NAMES = {"ee_states_0", "axis_angle1"}
_SIZE = (256, 256)
_ROUNDING = 1e-3
_FIX = (
    "`robotrove run libero_gr00t` writes them so, and so does `unit_converter: {columns: [action], "
    "scale: [1, 1, 1, 1, 1, 1, -0.5], offset: [0, 0, 0, 0, 0, 0, 0.5]}` among the steps of another pipeline"
)

_MIDDLE = 0.5  # between both commands
_TWICE = "Values up to 0.5 come of a second conversion, such as `libero_gr00t` of a file with 0 and 1: remove it"


class LiberoCheck(Check[DatasetV21]):
    """Grippers from 0 (close) to 1 (open), and pictures as large as those that the environments render.

    GR00T: examples/Libero/eval/utils.py (N1.5 at 1259d624), libero_env.py (N1.6 at 4e62473, N1.7 at 23ace64); RLinf at
    a3816b59: action_utils.py. LIBERO records -1 (open) and 1 (close), and so opens where it should close.
    `VideoToTensor.check_input` of N1 and N1.5 demands the size of metadata.json. RLinf's isaaclab_franka has the same
    keys, and its isaaclab_stack_cube takes the sign of the gripper alone.
    """

    name = "libero"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield a gripper in other values, an error if the data are known to be LIBERO's; other sizes of pictures."""
        columns = self._release.columns(dataset, "state", "action", "video")
        if not {f"{entry.section}.{entry.key}" for entry, _, _ in columns} >= _KEYS:
            return
        is_libero = _is_libero(dataset)
        for entry, column, feature in columns:
            if (entry.section, entry.key) == ("action", "gripper"):
                low, high, is_sign = _range(dataset, column, entry.content["start"])
                told = f"has values from {low:g} to {high:g}, but LIBERO in GR00T and RLinf takes 0 (close) to 1 (open)"
                if is_libero and (low < -_ROUNDING or high > 1 + _ROUNDING):
                    yield self.error(entry.place, f"{told}: {_FIX}")
                elif is_libero and low >= -_ROUNDING and high <= _MIDDLE + _ROUNDING:
                    yield self.warning(entry.place, f"{told}: nothing opens the gripper. {_TWICE}")
                elif is_sign and low < 0 and not is_libero:
                    yield self.warning(entry.place, f"{told}: {_FIX}. isaaclab_franka takes the sign: right for it")
            elif is_libero and self._release.is_typed and entry.section == "video" and feature.shape[:2] != _SIZE:
                height, width = feature.shape[:2]
                told = f"{column} is {width}x{height}, but the environments of LIBERO render 256x256"
                why = f"{self._release.title} refuses another size than that of its training data at the first rollout"
                fix = "write `image_resizer: {height: 256, width: 256}` among the steps"
                sizes = f"env.*.init_params.camera_heights {height} and camera_widths {width} in RLinf"
                yield self.warning(entry.place, f"{told}, and {why}; {fix}, or set {sizes}")


class RecordedGripperCheck(Check[Dataset]):
    """Grippers as recorded, -1 (open) and 1 (close): the LIBERO environments of openpi and LeRobot take actions so."""

    name = LiberoCheck.name

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield a warning if the grippers are those of GR00T and RLinf, from 0 (close) to 1 (open)."""
        for key in ("action", "actions") if _is_libero(dataset) else ():
            if key not in dataset.features or dataset.features[key].shape != (7,):
                continue
            low, high, _ = _range(dataset, key, 6)
            if -_ROUNDING <= low < _MIDDLE and high <= 1 + _ROUNDING:
                told = f"has grippers from {low:g} to {high:g}, as GR00T and RLinf take them"
                why = "the LIBERO environments of openpi and LeRobot take -1 (open) and 1 (close), and would close on 1"
                yield self.warning(key, f"{told}; {why}; `robotrove run libero` keeps them as recorded")


def _is_libero(dataset: Dataset) -> bool:
    return any(_NAMES & set(feature.names or ()) for feature in dataset.features.values())


def _range(dataset: Dataset, column: str, entry: int) -> tuple[float, float, bool]:
    """Return the lowest and the highest value of an entry of a vector, and whether all are -1 or 1."""
    kind, low, high, is_sign = dataset.kinds[column], np.inf, -np.inf, True
    for data in dataset.data_files():
        for _, batch in dataset.row_batches(data.path, (column,)):
            values = kind.values(batch[column], f"{data.path}, column {column}")[:, entry]
            low, high = min(low, values.min(initial=np.inf)), max(high, values.max(initial=-np.inf))
            is_sign = is_sign and bool((np.abs(values) == 1).all())
    return low, high, is_sign
