"""Statistics of episodes in v2.1: lines of meta/episodes_stats.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import IO, Any

from ...core.commit import Replacements
from ...core.errors import Damaged
from ...core.features import Features
from .paths_v21 import EPISODES_STATS
from .stats import STAT_KEYS
from .stats_store import Changes, StatsStore
from .view import selected
from .view_v21 import DatasetViewV21


class StatsStoreV21(StatsStore[DatasetViewV21]):
    """Statistics in meta/episodes_stats.jsonl, which may be too short, or not there."""

    keeps_axes = True

    def found(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        for line in self._lines():
            yield EPISODES_STATS, selected(line["stats"], keys, STAT_KEYS)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield a line for each episode, those that are not there without statistics."""
        lines = self.view.json_lines(EPISODES_STATS) if (self.view.root / EPISODES_STATS).exists() else iter(())
        for episode in range(len(self.view.lengths)):
            where, line = next(lines, ("", {"episode_index": episode, "stats": {}}))
            if line.get("episode_index") != episode:
                raise Damaged(where, f"is about episode {line.get('episode_index')!r} instead of {episode}")
            if not isinstance(line.get("stats"), dict):
                raise Damaged(where, "has no stats")
            yield line
        for where, _ in lines:
            raise Damaged(where, f"is about an episode that is not in {self.view.episodes_path}")

    def rewrite(self, changes: Iterator[Changes], features: Features, aside: Replacements) -> None:
        """See the base class; what a line has besides statistics is kept."""
        with ExitStack() as stack:
            file: IO[str] | None = None
            for episode, (line, changed) in enumerate(zip(self._lines(), changes, strict=True)):
                if file is None and changed:
                    attempt = aside.attempt(EPISODES_STATS)
                    file = stack.enter_context(open(attempt, "w", encoding="utf-8", newline="\n"))
                    for before in islice(self._lines(), episode):
                        _write(file, before)
                if file is not None:
                    _write(file, line | {"stats": _changed(line["stats"], changed)})


def _changed(stats: Mapping[str, Any], changed: Changes) -> dict[str, Any]:
    new = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in changed.items()}
    others = {key: entry for key, entry in stats.items() if isinstance(entry, dict) and key in new}
    return {**stats, **{key: others.get(key, {}) | entry for key, entry in new.items()}}


def _write(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
