"""Progress of a shard, read from committed files only."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ..core.checksums import read_sealed, sealed
from ..core.commit import TEMPORARY_SUFFIX, attempt_name, write_file
from ..core.episode import Rejection
from ..core.workspace import Workspace, episode_uid
from .shard import RejectedEpisode, Shard

PREVIOUS = "previous"


class ShardProgress:
    """The committed episodes of one shard.

    While a shard is in progress its folder holds one folder per committed episode, one small file
    per rejected one, and, when rejected episodes are retried, the earlier shard as `previous`.
    """

    def __init__(self, workspace: Workspace, rank: int) -> None:
        self.folder = workspace.partial(rank)
        self.target = workspace.shard(rank)

    @property
    def committed(self) -> bool:
        """True if the shard is finished."""
        return self.target.exists()

    @property
    def previous(self) -> Path | None:
        """The shard before a retry, with the kept episodes to reuse, or None."""
        folder = self.folder / PREVIOUS
        return folder if folder.exists() else None

    def kept_before(self) -> set[int]:
        """Manifest rows that the earlier shard holds."""
        return {kept.index for kept in Shard.read(self.previous).kept} if self.previous else set()

    def episode(self, index: int) -> Path:
        """Folder of a committed episode."""
        return self.folder / episode_uid(index)

    def _rejection(self, index: int) -> Path:
        return self.folder / f"{episode_uid(index)}.rejected.json"

    def is_done(self, index: int) -> bool:
        """True if the episode is committed here or was rejected."""
        return self.episode(index).exists() or self._rejection(index).exists()

    def reject(self, index: int, rejection: Rejection) -> None:
        """Note that an episode is not in the shard."""
        entry = RejectedEpisode(index, rejection.reason, rejection.detail, rejection.error)
        write_file(self._rejection(index), sealed(json.dumps(asdict(entry), ensure_ascii=False)))

    def reopen(self) -> None:
        """Forget the episodes that were rejected for bad data."""
        for path in self.folder.glob("*.rejected.json"):
            if json.loads(read_sealed(path))["error"]:
                path.unlink()

    def clear(self) -> None:
        """Remove the folder of a finished shard, in one move: a second writer finds all of it or nothing."""
        with suppress(FileNotFoundError):
            os.rename(self.folder, self.folder.with_name(attempt_name(self.folder.name)))
        for leftover in self.folder.parent.glob(f"{self.folder.name}.*{TEMPORARY_SUFFIX}"):
            shutil.rmtree(leftover, ignore_errors=True)  # a second writer may be removing it too

    def rejected(self, index: int) -> RejectedEpisode | None:
        """Return the rejection of an episode, None if it has none."""
        path = self._rejection(index)
        return RejectedEpisode(**json.loads(read_sealed(path))) if path.exists() else None
