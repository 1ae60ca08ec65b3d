"""Input datasets of a run: described, and unchanged when the run is resumed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from ...core.errors import Damaged, RunChanged, UsageError, check_utf8, naming_dataset, printable, verify_command
from ...core.features import Features
from ...core.workspace import Workspace
from ...formats.lerobot import paths_v30
from ...formats.lerobot.dataset_files import count_in, parse_object
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit, recorded_edits
from ...formats.lerobot.datasets.dataset_info import DatasetInfo, check_alike, decided_annotations
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...hub.source_files import local_dataset
from ...manifests.run_info import InputDataset, skipped
from ..spec.pipeline_spec import PipelineSpec
from .duplicates import duplicates, refuse_duplicates

_LINKED = ("data", "videos")  # folders with files that may be elsewhere


@dataclass(frozen=True, slots=True)
class DatasetInputs:
    """Input datasets of a run.

    Attributes:
        datasets: The datasets, in order.
        files: How many parquet and mp4 files they have together.
        features: What they hold, the default five aside.
        fps: Its frames per second.
        robot_type: As in its info.json.
        annotations: As in `RunInfo`.
        notes: What a user should know before running.
        edits: As in `RunInfo`.
    """

    datasets: list[InputDataset]
    files: int
    features: Features
    fps: int
    robot_type: str | None
    annotations: Mapping[str, str]
    notes: list[str]
    edits: Sequence[Mapping[str, Any]] = ()

    @property
    def episodes(self) -> int:
        """Episodes of all datasets."""
        return sum(dataset.episodes for dataset in self.datasets)

    @property
    def frames(self) -> int:
        """Frames of all datasets that the run takes."""
        return sum(dataset.kept_frames for dataset in self.datasets)

    @property
    def kept(self) -> int:
        """Episodes that the run takes."""
        return sum(dataset.kept for dataset in self.datasets)

    @property
    def skipped(self) -> Counter[str]:
        """Episodes that the run does not take, by reason."""
        return skipped(self.datasets)


def read_inputs(
    datasets: Sequence[str],
    annotations: Mapping[str, str],
    on_dataset: Callable[[int, int], None] = lambda done, total: None,
    on_duplicate: str = "refuse",
    edit: DatasetEdit | None = None,
) -> DatasetInputs:
    """Describe datasets, reading their info.json, annotation columns, and the names, sizes and times of their files.

    Where there are several, also their provenance, and of episodes without one the statistics and, in doubt, the rows.

    Args:
        datasets: Their absolute folders, or hf://datasets/OWNER/NAME.
        annotations: Columns to "tasks" or "values", as the user decided.
        on_dataset: Called with (datasets done, datasets in all).
        on_duplicate: "refuse", "skip" or "keep" episodes that a dataset before has too.
        edit: Changes to the only dataset.

    Raises:
        UsageError: If a folder is no dataset, or they cannot become one, or share episodes and that is refused.
    """
    folders = [local_folder(folder) for folder in datasets]
    for folder in folders:
        check_name(folder)
    infos = [_info(folder) for folder in folders]
    check_alike(list(zip(folders, infos, strict=True)))
    features = reduce(DatasetInfo.with_names_of, infos).features
    if edit is not None:  # what a column that is dropped holds does not matter
        integers = (key for key in edit.drop_features if key in features and features[key].is_integer)
        annotations = {**dict.fromkeys(integers, "values"), **annotations}
    found: list[InputDataset] = []
    files = 0
    for folder in folders:
        dataset, count = _describe(folder)
        found.append(dataset)
        files += count
        on_dataset(len(found), len(folders))
    if edit is not None:
        with naming_dataset(folders[0]):
            only = open_dataset(folders[0])
            found = [edit.applied(found[0], only.episode_numbers.tolist(), only.lengths.tolist())]
    positions = {at for dataset in found for episode in dataset.skipped for at in episode.positions}
    decided, notes = decided_annotations([open_dataset(folder) for folder in folders], annotations, positions)
    for folder, info in zip(folders, infos, strict=True):
        for key in (key for key, feature in features.items() if feature.names and not info.features[key].names):
            notes.append(printable(f"{key} has no names in {folder}; the output has those of another dataset"))
    if on_duplicate != "keep" and edit is None:
        shared = duplicates(folders, decided)
        if on_duplicate == "refuse":
            refuse_duplicates(folders, shared)
        found = [replace(dataset, skipped=tuple(own)) for dataset, own in zip(found, shared, strict=True)]
    edits = [before.entry for before in recorded_edits(open_dataset(folders[0]))] if len(folders) == 1 else []
    if edit is None:
        edits = [{}, *edits] if edits else []
        return DatasetInputs(found, files, features, infos[0].fps, infos[0].robot_type, decided, notes, edits)
    own = edit.info(replace(infos[0], annotations=decided))
    edits = [edit.entry, *edits]
    return DatasetInputs(found, files, own.features, own.fps, own.robot_type, own.annotations, notes, edits)


def check_same_inputs(
    spec: PipelineSpec, inputs: Sequence[InputDataset], workspace: Workspace, *, is_finished: bool
) -> None:
    """Refuse a run if its datasets changed since it was created; a finished one no longer needs them.

    Raises:
        RunChanged: Naming those that differ.
    """
    if is_finished and not all(os.path.exists(dataset.path) for dataset in inputs):
        return
    differences = []
    for given, dataset in zip(spec.datasets, inputs, strict=True):
        here = local_folder(given)
        if str(here) != dataset.path and here.exists():  # the pipeline file was moved, for instance
            differences.append(f"dataset {here} was {dataset.path}")
        elif not (Path(dataset.path) / paths_v30.INFO).is_file():
            differences.append(f"dataset {dataset.path} is missing")
        elif not _is_same(dataset):
            differences.append(f"dataset {dataset.path} was changed")
    if differences:
        raise RunChanged(str(workspace.run_dir), differences[:20])


def _is_same(dataset: InputDataset) -> bool:
    try:
        return _describe(Path(dataset.path))[0] == replace(dataset, skipped=())
    except UsageError:
        return False


def _info(folder: Path) -> DatasetInfo:
    with naming_dataset(folder):
        return DatasetInfo.of_dataset(open_dataset(folder))


def local_folder(folder: str) -> Path:
    """Return the absolute folder of an input dataset, fetched if it is on the Hub."""
    return Path(os.path.abspath(local_dataset(os.path.expanduser(folder))))


def _describe(folder: Path) -> tuple[InputDataset, int]:
    """Return a dataset and its number of parquet and mp4 files."""
    try:
        content = (folder / paths_v30.INFO).read_bytes()
        info = parse_object(content, paths_v30.INFO)
        episodes, frames = (count_in(info, f"total_{name}", paths_v30.INFO) for name in ("episodes", "frames"))
        digest = hashlib.sha256()
        count = 0
        for name, state in walk(folder):
            check_name(folder, name)
            digest.update(os.fsencode(name) + f"\0{state.st_size} {state.st_mtime_ns}\0".encode())
            count += name.endswith((".parquet", ".mp4"))
    except OSError as exc:
        raise UsageError(str(exc.filename or folder), f"cannot be read: {exc.strerror}", "a LeRobot dataset") from exc
    except Damaged as exc:
        raise UsageError(
            str(folder / exc.where), f"cannot be used: {exc.found}", "the info.json of LeRobot", verify_command(folder)
        ) from exc
    return InputDataset(str(folder), episodes, frames, digest.hexdigest(), hashlib.sha256(content).hexdigest()), count


def check_name(folder: Path, name: str = "") -> None:
    """Refuse names that are not UTF-8: neither a plan nor a report can hold them."""
    check_utf8(os.path.join(folder, name), "rename or remove it")


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative path, state) of every file, in the order of their names; links lead to rows and videos."""

    def refuse(exc: OSError) -> None:
        raise exc

    home = os.path.realpath(root)
    seen = {home}
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders.sort()
        is_data = os.path.relpath(folder, root).split(os.sep)[0] in _LINKED
        for path in (os.path.join(folder, name) for name in [*folders]):
            if not os.path.islink(path):
                continue
            target = os.path.realpath(path)
            is_own = is_data or os.path.relpath(path, root) in _LINKED
            # A folder is read once, and not if the dataset is in it.
            if is_own and target not in seen and not home.startswith(target + os.sep):
                seen.add(target)
            else:
                folders.remove(os.path.basename(path))
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), _state(path)


def _state(path: str) -> os.stat_result:
    """Return the state of a file, or of a link that leads nowhere: only rows and videos have to be there."""
    try:
        return os.stat(path)
    except OSError:
        if os.path.islink(path):
            return os.lstat(path)
        raise
