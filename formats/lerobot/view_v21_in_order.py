"""A v2.1 dataset whose lines come in the order of their episodes, whatever their order in the file is."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np

from .paths_v21 import EPISODES, EPISODES_STATS
from .view_v21 import DatasetViewV21


class OrderedViewV21(DatasetViewV21):
    """Reads episodes.jsonl and episodes_stats.jsonl as LeRobot does: sorted by episode_index.

    That is in lerobot 0.3.3, datasets/utils.py: load_episodes and load_episodes_stats. Memory grows by some
    bytes per episode, and only where lines are not in order.
    """

    def json_lines(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class; a number that is missing, there twice or none is left to the reader to find."""
        if path not in (EPISODES, EPISODES_STATS):
            yield from super().json_lines(path)
            return
        episode = 0
        for where, line in super().json_lines(path):
            if line.get("episode_index") != episode:
                break
            yield where, line
            episode += 1
        else:
            return
        yield from self._sorted(path, episode)

    def _sorted(self, path: str, skip: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the lines after the first `skip` in the order of their episodes."""
        episodes, offsets, numbers = array("q"), array("q"), array("q")
        with open(self.root / path, "rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                if line.strip() and (skip := skip - 1) < 0:
                    where = f"{path}, line {number}"
                    content = self._object(line, where)
                    index = content.get("episode_index")
                    if type(index) is not int or not 0 <= index < 1 << 62:
                        yield where, content
                        index = -1
                    episodes.append(index)
                    offsets.append(offset)
                    numbers.append(number)
                offset += len(line)
            for at in np.argsort(episodes, kind="stable").tolist():
                file.seek(offsets[at])
                where = f"{path}, line {numbers[at]}"
                yield where, self._object(file.readline(), where)
