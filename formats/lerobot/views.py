"""Opening a dataset whichever version it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...core.errors import UsageError
from ...core.registry import Registry
from . import paths
from .dataset_files import read_object
from .view import DatasetView

VIEWS = Registry(
    "format version",
    __name__.rpartition(".")[0],
    {"v2.1": "view_v21:DatasetViewV21", "v3.0": "view_v30:DatasetViewV30"},
)


def check_is_dataset(root: Path) -> None:
    """Refuse a folder that is no dataset.

    Raises:
        UsageError: If there is no info.json in it.
    """
    if not (root / paths.INFO).is_file():
        raise UsageError(str(root), f"is not a dataset, it has no {paths.INFO}", "a LeRobot dataset")


def open_view(root: Path, on_file: Callable[[str], None] = lambda path: None) -> DatasetView:
    """Open a dataset by the codebase_version of its info.json.

    Args:
        root: The dataset's folder.
        on_file: As in DatasetFiles.

    Raises:
        Damaged: If info.json cannot be read.
        UsageError: If it names another version than v2.1 and v3.0.
    """
    version = read_object(root, paths.INFO).get("codebase_version")
    if not isinstance(version, str) or version not in VIEWS:
        raise UsageError(
            str(root / paths.INFO),
            f"codebase_version is {version!r}",
            " or ".join(VIEWS),
            "convert an older dataset with the LeRobot that made it",
        )
    view: DatasetView = VIEWS[version](root, on_file)
    return view
