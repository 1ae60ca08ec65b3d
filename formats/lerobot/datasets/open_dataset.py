"""Opening of a dataset by its path; its version decides the class."""

from __future__ import annotations

import shlex
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
    {"v2.0": "dataset_v21:DatasetV20", "v2.1": "dataset_v21:DatasetV21", "v3.0": "dataset_v30:DatasetV30"},
)
_SUPPORTED = "v2.0, v2.1 or v3.0"


def check_is_dataset(root: Path) -> None:
    """Refuse a folder that is no dataset.

    Raises:
        UsageError: If there is no info.json in it.
    """
    if not (root / paths_v30.INFO).exists():
        raise UsageError(
            str(root),
            f"is not a dataset: it has no {paths_v30.INFO}",
            f"a LeRobot dataset of version {_SUPPORTED}",
            "give the folder that contains meta/, or restore that file",
        )


def open_dataset(
    path: str | Path,
    *,
    damage: Callable[[DatasetDamaged], None] | None = None,
    on_file: Callable[[str], None] = lambda path: None,
) -> Dataset:
    """Open a LeRobot dataset of version 3.0, 2.1 or 2.0; PyAV is imported with the first frame.

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
        raise UsageError(str(root / paths_v30.INFO), f"codebase_version is {version!r}", _SUPPORTED)
    dataset: Dataset = VERSIONS[version](root, damage, on_file)
    return dataset


def open_current(path: str | Path, *, on_file: Callable[[str], None] = lambda path: None) -> Dataset:
    """Open a dataset as `open_dataset` does, to be checked or completed, which one of version 2.0 cannot be.

    Raises:
        UsageError: As `open_dataset`, or if it is of version 2.0.
    """
    dataset = open_dataset(path, on_file=on_file)
    if dataset.version == "v2.0":
        told = "codebase_version is 'v2.0', which is only read and converted"
        todo = f"robotrove convert {shlex.quote(str(path))} --to v2.1 -o OUT"
        raise UsageError(str(dataset.root / paths_v30.INFO), told, "v2.1 or v3.0", todo)
    return dataset
