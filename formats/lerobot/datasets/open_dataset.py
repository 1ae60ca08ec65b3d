"""Opening of a dataset by its path; its version decides the class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ....core.errors import DatasetDamaged, UsageError, naming_dataset
from ....core.registry import Registry
from .. import paths_v30
from ..dataset_files import read_object
from .dataset import Dataset

VERSIONS = Registry(
    "format version",
    __package__ or "",
    {"v2.1": "dataset_v21:DatasetV21", "v3.0": "dataset_v30:DatasetV30"},
)
_V20 = (
    "convert it to v2.1 with LeRobot 0.3.3 (lerobot/datasets/v21/convert_dataset_v20_to_v21.py): v2.0 has statistics "
    "of the whole only, none of its episodes"
)
_SUPPORTED = " or ".join(VERSIONS)


def check_is_dataset(root: Path) -> None:
    """Refuse a folder that is no dataset.

    Raises:
        UsageError: If there is no info.json in it.
    """
    if not (root / paths_v30.INFO).exists():
        raise UsageError(
            str(root), f"is not a dataset: it has no {paths_v30.INFO}", f"a LeRobot dataset of version {_SUPPORTED}"
        )


def open_dataset(
    path: str | Path,
    *,
    damage: Callable[[DatasetDamaged], None] | None = None,
    on_file: Callable[[str], None] = lambda path: None,
) -> Dataset:
    """Open a LeRobot dataset of version 3.0 or 2.1; PyAV is imported with the first frame.

    Args:
        path: Its folder.
        damage: Collector: called with each fault that is met while reading, which then continues as far as it can;
            by default a fault is raised.
        on_file: Called with the relative path of each parquet, JSON lines or video file when it is opened.

    Raises:
        UsageError: If it is no dataset, or one of another version.
        DatasetDamaged: If info.json cannot be read.
    """
    root = Path(path)
    check_is_dataset(root)
    with naming_dataset(root):
        version = read_object(root, paths_v30.INFO).get("codebase_version")
    if not isinstance(version, str) or version not in VERSIONS:
        todo = _V20 if version == "v2.0" else ""
        raise UsageError(str(root / paths_v30.INFO), f"codebase_version is {version!r}", _SUPPORTED, todo)
    dataset: Dataset = VERSIONS[version](root, damage, on_file)
    return dataset
