"""Opening a finished dataset as a source of episodes, whichever version it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from . import paths, paths_v21
from .dataset_files import read_object
from .folder_source import FolderSource
from .v21_source import V21Source
from .v30_source import V30Source

SOURCES: Mapping[str, Callable[[Path], FolderSource[Any]]] = {
    paths.CODEBASE_VERSION: V30Source,
    paths_v21.CODEBASE_VERSION: V21Source,
}


def version_of(root: Path) -> str:
    """Return the codebase_version of a dataset that can be opened, such as "v3.0".

    Args:
        root: The dataset's folder.

    Raises:
        UsageError: If there is no dataset, or one of another version than v3.0 and v2.1.
        Damaged: If info.json cannot be read.
    """
    supported = "a LeRobot dataset of version " + " or ".join(SOURCES)
    if not (root / paths.INFO).is_file():
        raise UsageError(str(root), f"is no dataset: there is no {paths.INFO}", supported)
    version = read_object(root, paths.INFO).get("codebase_version")
    if version == "v2.0":
        raise UsageError(
            str(root),
            "is of version v2.0, which has statistics of the whole only, none of its episodes",
            supported,
            "bring it to v2.1 with LeRobot 0.3.3: lerobot/datasets/v21/convert_dataset_v20_to_v21.py",
        )
    if not isinstance(version, str) or version not in SOURCES:
        raise UsageError(str(root / paths.INFO), f"codebase_version is {version!r}", supported)
    return version


def open_source(root: Path) -> FolderSource[Any]:
    """Open a dataset by its version; raises as `version_of` does."""
    return SOURCES[version_of(root)](root)
