"""shard.json: episodes that a rank kept and rejected, and the checksums of its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.checksums import FileSum, first_problem, read_sealed, sealed
from ..core.commit import exists_now
from ..core.errors import RobotroveError

SHARD_FILE = "shard.json"
_HISTOGRAMS = ', "histograms": '


@dataclass(frozen=True, slots=True)
class KeptEpisode:
    """One episode in a shard.

    Attributes:
        index: Row in the manifest.
        length: Frames.
        row_bytes: Size of its rows as a parquet file of their own.
        clip_bytes: Camera key to size of its clip as an mp4 file of its own.
    """

    index: int
    length: int
    row_bytes: int
    clip_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class RejectedEpisode:
    """One episode that was rejected while its shard was made; fields as in the manifest."""

    index: int
    reason: str
    detail: str
    error: bool


class ShardDamaged(RobotroveError):
    """A committed shard is not as it was written.

    Args:
        folder: The shard.
        found: The file, and what is wrong with it.
    """

    def __init__(self, folder: Path, found: str) -> None:
        todo = "resume the run: it moves the shard aside and recreates it"
        super().__init__(str(folder), f"is damaged: {found}", "the files as robotrove wrote them", todo)
        self.folder = folder
        self.damage = found


@dataclass(frozen=True, slots=True)
class Shard:
    """Everything about a committed shard that its LeRobot files do not say.

    Attributes:
        rank: Number of the shard.
        kept: Episodes in it, in order.
        rejected: Episodes of the manifest that are not in it.
        checksums: Path of each other file, relative to the shard, to its checksum.
        histograms: Camera key to (3, 256) counts of the sampled pixel values.
    """

    rank: int
    kept: list[KeptEpisode]
    rejected: list[RejectedEpisode]
    checksums: dict[str, FileSum]
    histograms: dict[str, list[list[int]]]

    @property
    def frames(self) -> int:
        """Frames in the shard."""
        return sum(episode.length for episode in self.kept)

    def write(self, folder: Path) -> None:
        """Write shard.json into a folder that is not committed yet."""
        (folder / SHARD_FILE).write_bytes(sealed(json.dumps(asdict(self), ensure_ascii=False)))

    def check(self, folder: Path, within: str = "", *, size_only: bool = False) -> None:
        """Compare the shard's files with their checksums.

        Args:
            folder: The shard.
            within: Beginning of the paths to compare, by default all.
            size_only: Compare sizes, and read nothing.

        Raises:
            ShardDamaged: If one differs or is missing.
        """
        sums = {name: expected for name, expected in self.checksums.items() if name.startswith(within)}
        if found := first_problem(folder, sums, size_only=size_only):
            raise ShardDamaged(folder, found)

    @classmethod
    def read(cls, folder: Path, *, pixels: bool = True, is_sealed: bool = True) -> Shard:
        """Read the shard.json of a committed shard.

        Args:
            folder: The shard.
            pixels: Whether to read the histograms, which are most of the file.
            is_sealed: False for shards of versions before 0.2.3: they have no checksums.

        Raises:
            ShardDamaged: If the file is missing or damaged.
        """
        path = folder / SHARD_FILE
        exists_now(path)
        try:
            text = read_sealed(path) if is_sealed else path.read_text(encoding="utf-8")
            if not pixels:  # they stand last, and no text in JSON has quotes like these in it
                text = text.partition(_HISTOGRAMS)[0] + _HISTOGRAMS + "{}}"
            entry = json.loads(text)
            return cls(
                entry["rank"],
                [KeptEpisode(**kept) for kept in entry["kept"]],
                [RejectedEpisode(**rejected) for rejected in entry["rejected"]],
                {name: FileSum(*found) for name, found in entry.get("checksums", {}).items()},
                entry["histograms"],
            )
        except FileNotFoundError as exc:
            raise ShardDamaged(folder, f"{SHARD_FILE} is missing") from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ShardDamaged(folder, f"{SHARD_FILE} {exc}") from exc
