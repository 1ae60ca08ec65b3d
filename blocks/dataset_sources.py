"""Where the episodes of a new dataset come from: the run's shards, or finished datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.columns import Array
from ..core.errors import RobotroveError, intact, printable
from ..core.workspace import Workspace
from ..formats.lerobot.arrow_rows import Damaged
from ..formats.lerobot.episode_metas import EpisodeMetas
from ..formats.lerobot.episode_plan import PlacedEpisode
from ..formats.lerobot.open_source import open_source
from ..formats.lerobot.shard_source import ShardSource
from ..formats.lerobot.source import DatasetFacts, DatasetSource
from ..manifests.manifest import Manifest


class DatasetSources:
    """The sources in order, each opened when it is its turn; what it holds of its dataset goes with it.

    Args:
        datasets: Folders of finished datasets; None for the shards of the run.
        workspace: That of the run.
        facts: What is the same for every episode of the new dataset.
    """

    def __init__(self, datasets: Sequence[str] | None, workspace: Workspace, facts: DatasetFacts) -> None:
        self._datasets = datasets
        self._workspace = workspace
        self._facts = facts

    def __iter__(self) -> Iterator[DatasetSource]:
        if self._datasets is not None:
            yield from (open_source(Path(folder)) for folder in self._datasets)
            return
        for rank in range(Manifest.shards(self._workspace.manifest)):
            shard = self._workspace.shard(rank)
            if not shard.exists():
                raise RobotroveError(str(shard), "is missing", "all shards committed", "resume the run")
            if (source := ShardSource(shard, self._facts)).shard.kept:
                yield source

    def named(self, root: Path | None = None) -> AbstractContextManager[None]:
        """Say what to do where a source, by default any of them, turns out to be damaged."""
        root = root or self._workspace.shards
        return intact(root) if self._datasets is None else _readable(root)

    def described(self, placed: Iterator[PlacedEpisode]) -> Iterator[tuple[list[PlacedEpisode], EpisodeMetas]]:
        """Yield all planned episodes in order, some at a time, with what the sources say of them."""
        for number, source in enumerate(self):
            with self.named(source.root):
                for metas in source.metas():
                    batch = list(islice(placed, len(metas)))
                    if [episode.source for episode in batch] != [number] * len(metas):
                        raise Damaged("meta", "tells of other episodes than when the new dataset was planned")
                    yield batch, metas
        if (lost := next(placed, None)) is not None:
            where = f"dataset {lost.source + 1}, episode {lost.episode}"
            raise RobotroveError(
                where, "meta tells no more of it", "the datasets as they were planned", "mend it, or start with --fresh"
            )

    def video_info(self) -> dict[str, Mapping[str, Any]]:
        """Return what all sources say alike of their videos; there may be more in it than can be read off a file."""
        shared: dict[str, Mapping[str, Any]] | None = None
        for source in self:
            infos = source.facts.video_info
            shared = dict(infos) if shared is None else {k: i for k, i in shared.items() if infos.get(k) == i}
        return shared or {}

    def histograms(self) -> dict[str, Array]:
        """Return the histograms of all sources together, of cameras of which all have one."""
        sums: dict[str, Array] | None = None
        for source in self:
            part = source.histograms()
            sums = part if sums is None else {key: n + part[key] for key, n in sums.items() if key in part}
        return sums or {}

    def extras(self) -> tuple[dict[Path, Path], list[str]]:
        """Return the extra files that all sources have alike, each with one origin, and a note on every other."""
        digests: dict[Path, set[bytes]] = {}
        origins: dict[Path, list[Path]] = {}
        count = 0
        for source in self:
            count += 1
            for path in source.extra_files():
                digests.setdefault(path, set()).add(hashlib.sha256((source.root / path).read_bytes()).digest())
                origins.setdefault(path, []).append(source.root / path)
        shared = {path: all_[0] for path, all_ in origins.items() if len(all_) == count and len(digests[path]) == 1}
        dropped = [path for path in origins if path not in shared]
        return shared, [f"{printable(str(path))} is not the same in all datasets: left out" for path in dropped]


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    """Say which dataset it is that cannot be read."""
    try:
        yield
    except (Damaged, FileNotFoundError, ValueError) as exc:
        where, found = str(root), str(exc)
        if isinstance(exc, Damaged):
            where, found = str(root / exc.where), exc.message
        elif isinstance(exc, FileNotFoundError):
            where, found = str(exc.filename), "does not exist"
        raise RobotroveError(where, found, "a complete LeRobot dataset", f"robotrove verify {root}") from exc
