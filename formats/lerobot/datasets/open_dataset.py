"""Opening a dataset by its path: its version decides the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ....core.errors import UsageError
from ....core.registry import Registry
from .. import paths_v21, paths_v30
from ..dataset_files import read_object
from .dataset import Dataset, FolderSource
from .dataset_v21 import V21Source
from .dataset_v30 import V30Source

VIEWS = Registry(
    "format version",
    __package__ or "",
    {"v2.1": "dataset_v21:DatasetV21", "v3.0": "dataset_v30:DatasetV30"},
)

SOURCES: Mapping[str, Callable[[Path], FolderSource[Any]]] = {
    paths_v30.CODEBASE_VERSION: V30Source,
    paths_v21.CODEBASE_VERSION: V21Source,
}


def check_is_dataset(root: Path) -> None:
    """Refuse a folder that is no dataset.

    Raises:
        UsageError: If there is no info.json in it.
    """
    if not (root / paths_v30.INFO).is_file():
        raise UsageError(str(root), f"is not a dataset, it has no {paths_v30.INFO}", "a LeRobot dataset")


def open_dataset(root: Path, on_file: Callable[[str], None] = lambda path: None) -> Dataset:
    """Open a dataset by the codebase_version of its info.json.

    Args:
        root: The dataset's folder.
        on_file: As in DatasetFiles.

    Raises:
        Damaged: If info.json cannot be read.
        UsageError: If it names another version than v2.1 and v3.0.
    """
    version = read_object(root, paths_v30.INFO).get("codebase_version")
    if not isinstance(version, str) or version not in VIEWS:
        raise UsageError(
            str(root / paths_v30.INFO),
            f"codebase_version is {version!r}",
            " or ".join(VIEWS),
            "convert an older dataset with the LeRobot that made it",
        )
    view: Dataset = VIEWS[version](root, on_file)
    return view


def version_of(root: Path) -> str:
    """Return the codebase_version of a dataset that can be opened, such as "v3.0".

    Args:
        root: The dataset's folder.

    Raises:
        UsageError: If there is no dataset, or one of another version than v3.0 and v2.1.
        Damaged: If info.json cannot be read.
    """
    supported = "a LeRobot dataset of version " + " or ".join(SOURCES)
    if not (root / paths_v30.INFO).is_file():
        raise UsageError(str(root), f"is no dataset: there is no {paths_v30.INFO}", supported)
    version = read_object(root, paths_v30.INFO).get("codebase_version")
    if version == "v2.0":
        raise UsageError(
            str(root),
            "is of version v2.0, which has statistics of the whole only, none of its episodes",
            supported,
            "bring it to v2.1 with LeRobot 0.3.3: lerobot/datasets/v21/convert_dataset_v20_to_v21.py",
        )
    if not isinstance(version, str) or version not in SOURCES:
        raise UsageError(str(root / paths_v30.INFO), f"codebase_version is {version!r}", supported)
    return version


def open_source(root: Path) -> FolderSource[Any]:
    """Open a dataset by its version; raises as `version_of` does."""
    return SOURCES[version_of(root)](root)
