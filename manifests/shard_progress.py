"""Progress of a shard, read from committed files only."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ..core.checksums import FileSum, first_problem, read_sealed, sealed
from ..core.commit import TEMPORARY_SUFFIX, attempt_name, exists_now, look_again, write_file
from ..core.episode import Rejection
from ..core.workspace import Workspace, episode_uid
from .shard import RejectedEpisode, Shard, ShardDamaged

EPISODE_FILE = "episode.json"
PREVIOUS = "previous"
_DAMAGE = "damage.txt"
_REJECTED = ".rejected.json"


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
        return exists_now(self.target)

    @property
    def previous(self) -> Path | None:
        """The shard before a retry, with the kept episodes to reuse, or None."""
        folder = self.folder / PREVIOUS
        return folder if folder.exists() else None

    def kept_before(self) -> set[int]:
        """Manifest rows that the earlier shard holds; none if that turns out to be damaged, and is set aside."""
        try:
            return {kept.index for kept in Shard.read(self.previous).kept} if self.previous else set()
        except ShardDamaged as exc:
            self.set_aside(exc)
            return set()

    def episode(self, index: int) -> Path:
        """Folder of a committed episode."""
        return self.folder / episode_uid(index)

    def _rejection(self, index: int) -> Path:
        return self.folder / f"{episode_uid(index)}{_REJECTED}"

    def is_done(self, index: int) -> bool:
        """True if the episode is committed here or was rejected."""
        return self.episode(index).exists() or self._rejection(index).exists()

    def reject(self, index: int, rejection: Rejection) -> None:
        """Note that an episode is not in the shard."""
        entry = RejectedEpisode(index, rejection.reason, rejection.detail, rejection.error)
        write_file(self._rejection(index), sealed(json.dumps(asdict(entry), ensure_ascii=False)))

    def reopen(self) -> None:
        """Forget the episodes that were rejected for bad data, and rejections that are damaged."""
        for path in self.folder.glob(f"*{_REJECTED}"):
            if _damage(path) or json.loads(read_sealed(path))["error"]:
                path.unlink()

    def drop_damaged(self) -> list[str]:
        """Take the name of each episode and rejection that is not as it was written; set such an earlier shard aside.

        Returns:
            What was wrong with each episode, rejection or shard.
        """
        found = []
        look_again(self.folder)
        for path in sorted(self.folder.glob("*")):
            if path.name == PREVIOUS:
                try:
                    Shard.read(path).check(path)
                except ShardDamaged as exc:
                    self.set_aside(exc)
                    found.append(str(exc))
            elif damage := _damage(path):
                found.append(f"{path}: {damage}")
                with suppress(FileNotFoundError):
                    os.rename(path, path.with_name(attempt_name(path.name)))  # `clear` removes it with the rest
        return found

    def set_aside(self, damaged: ShardDamaged) -> None:
        """Rename a damaged shard, this one or that before a retry, unless another process has done so."""
        for number in itertools.count(1):
            aside = self.target.with_name(f"{self.target.name}.damaged-{number}")
            try:
                os.rename(damaged.folder, aside)
            except FileNotFoundError:
                return
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                (aside / _DAMAGE).write_text(damaged.damage, encoding="utf-8")
                return

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


def damaged_shards(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    """Yield the damaged shards that were set aside, with what is wrong with each."""
    for folder in sorted(workspace.shards.glob("*.damaged-*")):
        path = folder / _DAMAGE
        yield folder, path.read_text(encoding="utf-8") if path.exists() else ""


def _damage(path: Path) -> str:
    """Return what is wrong with a committed episode or a rejection; empty for other files."""
    is_episode = path.name[1:].isdigit()
    record = path / EPISODE_FILE if is_episode else path
    if not is_episode and not path.name.endswith(_REJECTED):
        return ""
    exists_now(record)
    try:
        entry = json.loads(read_sealed(record))
    except FileNotFoundError:
        return f"{record.name} is missing"
    except ValueError as exc:
        return f"{record.name} {exc}"
    return first_problem(path, {name: FileSum(*at) for name, at in entry.get("checksums", {}).items()})
