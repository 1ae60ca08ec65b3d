"""Sources of a new dataset: the run's shards, or input datasets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from ...core.columns import Array
from ...core.commit import exists_now
from ...core.errors import Damaged, DatasetDamaged, RobotroveError, naming_dataset, option
from ...core.features import DEFAULT_FEATURES
from ...formats.lerobot import paths_v30
from ...formats.lerobot.dataset_files import ANNOTATIONS, OWN, extra_files, other_files, read_object
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit
from ...formats.lerobot.datasets.dataset_info import DatasetInfo
from ...formats.lerobot.datasets.dataset_stats import histograms
from ...formats.lerobot.datasets.episode_location import EpisodeMetadata, HeldRows, fitted, shared_columns
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import episode_metadata, taken_from
from ...formats.lerobot.datasets.shard_dataset import ShardDataset
from ...formats.lerobot.gr00t.modality import MODALITY, renamed_columns
from ...formats.lerobot.writers.dataset_plan import PlacedEpisode
from ...manifests.manifest import Manifest
from ...manifests.run_info import dataset_names
from ...manifests.shard import Shard, ShardDamaged
from ...manifests.shard_progress import ShardProgress
from ..binding import Binding

_MOST_SHOWN = 5  # files of a folder


class DatasetSources:
    """The sources in order, each opened when it is its turn; what it holds of its dataset goes with it.

    Args:
        datasets: Folders of finished datasets; None for the shards of the run, after the dataset that it appends to.
        binding: The run.
        makes: Version of the new dataset.
        edit: Changes to it.
    """

    def __init__(self, datasets: Sequence[str] | None, binding: Binding, makes: str, edit: DatasetEdit) -> None:
        self._datasets = datasets
        self._binding = binding
        self._makes = makes
        self._edit = edit

    def base(self) -> Iterator[Dataset]:
        """Yield the dataset that is appended to, if there is one."""
        if (root := self._binding.base_root) is not None:
            yield open_dataset(root)

    def __iter__(self) -> Iterator[Dataset]:
        if self._datasets is not None:
            yield from (open_dataset(folder) for folder in self._datasets)
            return
        yield from self.base()
        workspace = self._binding.workspace
        for rank in range(Manifest.shards(workspace.manifest)):
            shard = workspace.shard(rank)
            if not exists_now(shard):
                raise RobotroveError(str(shard), "is missing", "all shards committed", "resume the run")
            with self._setting_aside():
                (source := ShardDataset(shard)).shard.check(shard, within="meta/")
            if source.shard.kept:
                yield source

    def check(self, paths: Iterable[Path]) -> None:
        """Compare those of some files that are in shards with their checksums.

        Raises:
            ShardDamaged: If one differs; the shard is set aside then, and the same command makes it again.
        """
        shards = self._binding.workspace.shards
        with self._setting_aside():
            for path in (path.relative_to(shards) for path in sorted(paths) if path.is_relative_to(shards)):
                shard = shards / path.parts[0]
                Shard.read(shard, pixels=False).check(shard, within=path.relative_to(shard.name).as_posix())

    @contextmanager
    def _setting_aside(self) -> Iterator[None]:
        """Set a damaged shard aside, so that the same command makes it again."""
        try:
            yield
        except ShardDamaged as exc:
            ShardProgress(self._binding.workspace, int(exc.folder.name)).set_aside(exc)
            raise

    def skipped(self, number: int) -> set[int]:
        """Return the positions of the episodes of a source that are not taken."""
        if self._datasets is None:
            return set()
        return {at for episode in self._binding.run.inputs[number].skipped for at in episode.positions}

    def named(self, source: Dataset | None = None) -> AbstractContextManager[None]:
        """Say what to do where a source, by default any of them, turns out to be damaged."""
        root = source.root if source else self._binding.workspace.shards
        is_shard = isinstance(source, ShardDataset) if source else self._datasets is None
        return self._setting_aside() if is_shard else readable(root)

    def described(self, placed: Iterator[PlacedEpisode]) -> Iterator[tuple[list[PlacedEpisode], EpisodeMetadata]]:
        """Yield all planned episodes in order, some at a time, with what the sources say of them."""
        names = dataset_names(self._datasets) if self._datasets is not None else None
        columns, _ = self.columns
        for number, source in enumerate(self):
            with self.named(source):
                extras = HeldRows(fitted(table, columns) for table in source.episode_extras()) if len(columns) else None
                skipped, first = self.skipped(number), 0
                for metadata in episode_metadata(source):
                    metadata = replace(metadata, stats=self._edit.stats(metadata.stats))
                    if extras is not None:
                        metadata = replace(metadata, extras=extras.take(len(metadata)))
                    kept = [at for at in range(len(metadata)) if first + at not in skipped]
                    first += len(metadata)
                    if not kept:
                        continue
                    if len(kept) < len(metadata):
                        metadata = metadata.taken(kept)
                    batch = list(islice(placed, len(metadata)))
                    if [episode.source for episode in batch] != [number] * len(metadata):
                        raise Damaged("meta", "has other episodes than when the new dataset was planned")
                    if names is not None:
                        places = [episode.location.index for episode in batch]
                        origins = taken_from(metadata.provenance, names[number], places)
                        metadata = replace(metadata, provenance=origins)
                    yield batch, metadata
        if (lost := next(placed, None)) is not None:
            where = f"dataset {lost.source + 1}, episode {lost.location.index}"
            raise RobotroveError(
                where,
                "the metadata ends before it",
                "the datasets as they were planned",
                f"restore the dataset, or start over with {option('fresh')}",
            )

    def video_info(self) -> dict[str, Mapping[str, Any]]:
        """Return what is known of the videos besides what can be read off a file."""
        return self._edit.named(shared_video_info(self._tellers()))

    def tools(self) -> tuple[list[Any] | None, list[str]]:
        """Return the tools of annotations that all sources have alike, and a note on those that differ."""
        return shared_tools(self._tellers())

    def histograms(self) -> dict[str, Array]:
        """Return the summed histograms of all sources, for cameras with one in every source that is taken whole."""
        wanted = ((source, self.skipped(number)) for number, source in enumerate(self))
        taken = ((source, skipped) for source, skipped in wanted if len(skipped) < len(source.lengths))
        return self._edit.named(summed_histograms({} if skipped else histograms(source) for source, skipped in taken))

    def extras(self, made: Collection[str] = ()) -> tuple[dict[Path, Path], list[str]]:
        """Return the extra files to copy, each with one origin, and a note on every other; all but those `made`."""
        return shared_extras(self._tellers(), made)

    def modality(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Return modality.json with the columns of the new dataset, and a note on entries that it lacks.

        None where it is a file like others.
        """
        origin = self.extras()[0].get(Path(MODALITY)) if self._edit.changes_features else None
        if origin is None:
            return None, []
        content, lost = renamed_columns(read_object(origin.parent, origin.name), self._edit.name)
        return content, [f"not in the output: {', '.join(lost)} of {MODALITY}: their columns are dropped"] * bool(lost)

    @cached_property
    def columns(self) -> tuple[Any, list[str]]:
        """Extra columns of the episodes to keep, as an arrow schema, and a note on every other."""
        extras = ((str(source.root), source.episode_extras()) for source in self._tellers())
        return shared_columns(extras, is_json=self._makes == "v2.1")

    def task_columns(self, tasks: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
        """Return what else is known of these tasks, by key, and a note on every value that is not."""
        columns, notes = shared_task_columns(self._tellers(), tasks)
        if self._makes == "v3.0" and (texts := [key for key, values in columns.items() if not _is_numeric(values)]):
            found = f"{paths_v30.TASKS} has {', '.join(texts)}"
            notes.append(f"{found}: LeRobot 0.4 and 0.6 can record more episodes of its tasks, but no new tasks")
        return columns, notes

    def feature_keys(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Return what all sources say alike of their features in more keys of info.json, and a note on the rest."""
        keys, notes = shared_feature_keys(self._tellers())
        return self._edit.named(keys), notes

    def _tellers(self) -> Iterable[Dataset]:
        """Return the sources that say something of the dataset besides its episodes: shards do not."""
        return self.base() if self._datasets is None else self


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Name the dataset that cannot be read."""
    try:
        with naming_dataset(root):
            yield
    except FileNotFoundError as exc:
        raise DatasetDamaged(root, str(exc.filename), "does not exist") from exc
    except ValueError as exc:
        raise DatasetDamaged(root, "", str(exc)) from exc


def shared_extras(sources: Iterable[Dataset], made: Collection[str]) -> tuple[dict[Path, Path], list[str]]:
    """Return the extra files that all sources have alike, each with one of its origins, and a note on every other.

    Of `annotations/` a file is also taken that other sources do not have.
    """
    digests: dict[Path, set[bytes]] = {}
    origins: dict[Path, list[Path]] = {}
    roots: list[Path] = []
    for source in sources:
        roots.append(source.root)
        for path in (path for path in extra_files(source) if str(path) not in made):
            with open(source.root / path, "rb") as file:
                digests.setdefault(path, set()).add(hashlib.file_digest(file, "sha256").digest())
            origins.setdefault(path, []).append(source.root / path)
    shared = {
        path: places[0]
        for path, places in origins.items()
        if len(digests[path]) == 1 and (len(places) == len(roots) or path.parts[0] == ANNOTATIONS)
    }
    folders = {parent for path in shared for parent in path.parents}  # a name may be a file here, a folder there
    shared = {path: origin for path, origin in shared.items() if path not in folders}
    dropped = {path: [str(root) for root in roots if root / path in places] for path, places in origins.items()}
    return shared, [
        f"{path} differs between the datasets: not copied from {', '.join(dropped[path])}"
        for path in origins
        if path not in shared
    ]


def shared_task_columns(sources: Iterable[Dataset], tasks: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return key to a value of each task, the first that a source has, and a note on every other value."""
    said: dict[str, dict[str, Any]] = {}
    notes = []
    for source in sources:
        for task, extras in source.task_extras:
            for key, value in extras.items():
                lost = f"not in the output: {key} of the task {task!r} in {source.root}"
                if value is None or value != value:  # pandas writes NaN where there is none
                    continue
                if not _is_json(value):
                    notes.append(f"{lost}, which JSON cannot hold")
                elif said.setdefault(key, {}).setdefault(task, value) != value:
                    notes.append(f"{lost}, because a dataset before has another value")
    return {key: [found.get(task) for task in tasks] for key, found in said.items()}, notes


def _is_numeric(values: Iterable[Any]) -> bool:
    return all(value is None or type(value) in (int, float) for value in values)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def shared_feature_keys(sources: Iterable[Dataset]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return feature to the keys of its entry in info.json that all sources have alike, and a note on every other."""
    said: dict[tuple[str, str], list[tuple[Path, Any]]] = {}
    count = 0
    for source in sources:
        count += 1
        for feature, keys in DatasetInfo.of_dataset(source).feature_keys.items():
            for key, value in keys.items():
                said.setdefault((feature, key), []).append((source.root, value))
    shared: dict[str, dict[str, Any]] = {}
    notes = []
    for (feature, key), found in said.items():
        first = found[0][1]
        if len(found) == count and all(value == first for _, value in found):
            shared.setdefault(feature, {})[key] = first
        else:
            where = f"feature {feature} in {paths_v30.INFO} of {', '.join(str(root) for root, _ in found)}"
            notes.append(f"not in the output: {key} of {where}, because the datasets differ")
    return shared, notes


def left_behind(source: Dataset) -> Iterator[str]:
    """Yield a note on files, columns of rows, statistics and splits of a measured dataset that a new one has not."""
    used = {file.path for file in source.data_files()}
    used |= {file.path for key in source.video_keys for file in source.video_files(key)}
    kept = set(extra_files(source))
    unused: dict[str, list[str]] = {}
    for path in (path for path in other_files(source) if path not in kept and path.as_posix() not in used):
        if source.is_inside(path):
            unused.setdefault(path.parts[0], []).append(path.as_posix())
        else:
            yield f"not in the output: {path}, a link that leads nowhere or out of the dataset"
    others = (path for paths in OWN.values() if source.episodes_path not in paths for path in paths)
    if stale := [path for path in ("meta/relative_stats.json", *others) if (source.root / path).exists()]:
        unused.setdefault("meta", []).extend(stale)
    for paths in unused.values():
        more = f" and {len(paths) - _MOST_SHOWN} more there" if len(paths) > _MOST_SHOWN else ""
        yield f"not in the output: {', '.join(paths[:_MOST_SHOWN])}{more}, which no episode uses"
    if strange := ", ".join(sorted(source.row_columns - {*source.row_features, *DEFAULT_FEATURES})):
        yield f"not in the output: columns of the rows that {paths_v30.INFO} does not name: {strange}"
    if unknown := source.unknown_stats():
        yield f"not in the output: {', '.join(unknown)} of the statistics"
    splits = source.info.get("splits")
    if splits and splits != {"train": f"0:{len(source.lengths)}"}:
        yield f"not in the output: splits of {paths_v30.INFO}: {json.dumps(splits)}"


def shared_video_info(sources: Iterable[Dataset]) -> dict[str, Mapping[str, Any]]:
    """Return what all sources say alike of their videos; there may be more in it than can be read off a file."""
    shared: dict[str, Mapping[str, Any]] | None = None
    for source in sources:
        infos = DatasetInfo.of_dataset(source).video_info
        if shared is None:
            shared = dict(infos)
            continue
        merged = {key: source.kinds[key].merged_info(info, infos.get(key, {})) for key, info in shared.items()}
        shared = {key: info for key, info in merged.items() if info}
    return shared or {}


def shared_tools(sources: Iterable[Dataset]) -> tuple[list[Any] | None, list[str]]:
    """Return the tools in info.json that all sources have alike, and a note on those that differ."""
    said = [source.info.get("tools") for source in sources]
    if all(tools == said[0] for tools in said):
        return (said[0] if said else None), []
    return None, ["not in the output: tools of meta/info.json, which differ between the datasets"]


def summed_histograms(parts: Iterable[dict[str, Array]]) -> dict[str, Array]:
    """Return the summed histograms of all sources, for cameras with one in every source."""
    sums: dict[str, Array] | None = None
    for part in parts:
        sums = part if sums is None else {key: n + part[key] for key, n in sums.items() if key in part}
    return sums or {}
