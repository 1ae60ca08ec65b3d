"""Base of an append: existing dataset, described, and unchanged when the run is resumed."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...blocks.binding import Binding
from ...blocks.dataset.dataset_maker import DatasetMaker
from ...core.errors import RobotroveError, RunChanged, UsageError, naming_dataset
from ...core.features import LISTS
from ...core.workspace import Workspace
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset_info import DatasetInfo, decided_annotations
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import has_origins, origins
from ...formats.lerobot.writers.kept_files import check_columns, kept_episodes
from ...hub.address import is_on_hub
from ...hub.source_files import dataset_place, local_dataset
from ...manifests.run_info import BaseDataset, RunInfo
from ...media.remux.video_index import encoding_at
from ..spec.pipeline_spec import PipelineSpec
from ..spec.resolved_pipeline import ResolvedPipeline
from .input_datasets import check_name, walk

ALREADY_THERE = "already_in_dataset"
_PARTS = ("data", "meta", "videos")


@dataclass(frozen=True, slots=True)
class KnownEpisode:
    """An episode of the dataset that a run appends to.

    Attributes:
        index: Its number.
        length: Rows of its recording.
        content: Second digest of its recording; None where 0.2.2 or earlier wrote it, or its data were damaged.
    """

    index: int
    length: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Base:
    """Facts about the dataset that a run appends to.

    Attributes:
        dataset: What is written down of it.
        info: What is the same for all of its episodes.
        episodes: (digest, key) of a recording to its episode; recordings that begin and end alike may share them.
        size: Bytes of all of its files.
    """

    dataset: BaseDataset
    info: DatasetInfo
    episodes: Mapping[tuple[str, str], Sequence[KnownEpisode]]
    size: int


def read_base(append_to: str, formats: Sequence[str], annotations: Mapping[str, str]) -> Base:
    """Read the dataset that a pipeline appends to.

    Args:
        append_to: Its folder, or its name on the Hub.
        formats: LeRobot versions that the pipeline makes.
        annotations: Columns to "tasks" or "values", as the user decided.

    Raises:
        UsageError: If there is none, or it is of another version than the pipeline makes.
    """
    root = _folder(append_to)
    check_name(root)
    with naming_dataset(root):
        existing = open_dataset(root)
        digest = _digest(root)  # before it is read: what changes from here on is noticed
        if [existing.version] != list(formats):
            raise UsageError(str(root), f"is of version {existing.version}", " and ".join(formats), "see `formats:`")
        episodes: dict[tuple[str, str], list[KnownEpisode]] = defaultdict(list)
        for origin in origins(existing) if has_origins(existing) else ():
            known = KnownEpisode(origin.episode_index, origin.source_length, origin.content_digest)
            episodes[origin.source_digest, origin.source_key].append(known)
        sizes = {name: state.st_size for name, state in walk(root)}
        files = sum(name.endswith((".parquet", ".mp4")) for name in sizes)
        counts = existing.count("total_episodes"), existing.count("total_frames")
        decided, _ = decided_annotations([existing], annotations)
        decided.pop(LISTS["subtasks"], None)  # new episodes bring numbers, no texts
        info = replace(DatasetInfo.of_dataset(existing), annotations=decided)
        info = replace(info, features=info.placed_features)
        return Base(BaseDataset(str(root), *counts, files, digest), info, episodes, sum(sizes.values()))


def check_base(base: Base, pipeline: ResolvedPipeline) -> None:
    """Refuse a dataset that episodes of a pipeline cannot join, before any is made.

    Raises:
        UsageError: Showing all differences, or what is in the way.
    """
    root = Path(base.dataset.path)
    with naming_dataset(root):
        existing = open_dataset(root)
        for maker in pipeline.dataset:
            if isinstance(maker, DatasetMaker):
                writer = maker.writer(base.info)
                for _ in kept_episodes(existing, writer.planner(), lambda note: None):
                    pass
                check_columns(existing, writer.schema)
        notes = [_other("robot_type", pipeline.robot_type, base.info.robot_type)]
        for key in base.info.camera_keys:
            encoding = encoding_at(root / next(existing.video_files(key)).path)
            notes += [
                _other(f"the codec of {key}", pipeline.video.format, encoding.codec),
                _other(f"the pixel format of {key}", pipeline.video.pix_fmt, encoding.pix_fmt),
            ]
    if text := "; ".join(filter(None, notes)):
        action = "see `writer:` (robot_type, video), or make a dataset of its own of these recordings"
        raise UsageError(str(root), f"new episodes would differ from its own: {text}", "the same everywhere", action)


def check_same_base(binding: Binding, name: str | None = None) -> None:
    """Refuse to go on where the dataset that is appended to is another than when the run was created.

    Args:
        binding: The run.
        name: As it is given, to ask the Hub too where it is there; jobs of a cluster need not reach that.

    Raises:
        RunChanged: Naming it.
    """
    base, root = binding.run.base, binding.base_root
    if base is None or root is None:
        return
    change = ""
    now = dataset_place(name) if name and is_on_hub(name) else root
    if now != root:
        change = f"is {now} now"
    else:
        if name and is_on_hub(name):
            local_dataset(name)  # what is not here any more is fetched again
        if not (root / paths_v30.INFO).is_file():
            change = "is missing"
        elif _digest(root) != base.digest:
            change = "was changed"
    if change:
        raise RunChanged(str(binding.workspace.run_dir), [f"dataset {root} {change}"])


def workspace_of_append(spec: PipelineSpec, output: Path, run_dir: Path | None) -> Workspace:
    """Return where a run works; one that puts a longer dataset in the place of its base has a new run directory.

    Its name follows from what is appended to, so that the same command resumes the run as long as that is there, and
    appends again later. A run that was interrupted after it had renamed its base is found by what it left.
    """
    workspace = Workspace.for_output(output, run_dir)
    output = workspace.output
    if run_dir is not None or spec.append_to != str(output):
        return workspace
    begin = f"{output.name}.append-"
    for found in sorted(output.parent.glob(f"{glob.escape(begin)}*.run")):
        with suppress(RobotroveError):  # one that was never created
            earlier = Workspace(found, output)
            run = RunInfo.read(earlier.run)
            is_between = not output.exists() and earlier.output_before(run.run_id).exists()
            if not earlier.report.exists() and (is_between or Binding(earlier, run).made_output):
                return earlier
    with naming_dataset(output):
        open_dataset(output)
    return Workspace(output.with_name(f"{begin}{_digest(output)[:12]}.run"), output)


def _folder(name: str) -> Path:
    return Path(os.path.abspath(local_dataset(name)))


def _digest(root: Path) -> str:
    """Return the digest of what a dataset's meta says, and of the names and sizes of its other files."""
    digest = hashlib.sha256()
    try:
        for name, state in walk(root):
            part = name.partition(os.sep)[0]
            if part not in _PARTS:
                continue
            check_name(root, name)
            content = _content(root / name) if part == "meta" else state.st_size
            digest.update(f"{name}\0{content}\0".encode())
    except OSError as exc:
        raise UsageError(str(exc.filename or root), f"cannot be read: {exc.strerror}", "a LeRobot dataset") from exc
    return digest.hexdigest()


def _content(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _other(what: str, new: object, old: object) -> str:
    return "" if new == old else f"{what} would be {new!r} instead of {old!r}"
