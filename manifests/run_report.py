"""report.json and rejected.jsonl: result of a run, counted from what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..core.commit import write_file
from ..core.errors import undamaged
from .manifest import EpisodeRow
from .run_info import BaseDataset, read_json
from .shard import RejectedEpisode, Shard


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """One line of rejected.jsonl."""

    source: str
    key: str
    reason: str
    detail: str
    error: bool


@dataclass(frozen=True, slots=True)
class RunReport:
    """Totals of a finished run.

    Attributes:
        output: The dataset.
        run_dir: Where everything else is.
        listed: Episodes found, and files that could not be opened.
        kept: Episodes of these in the dataset.
        frames: Their frames.
        rejected: Reason to number of episodes.
        errors: How many of the rejected were rejected for bad data.
        notes: What planning found worth saying.
        seconds: Time that the last command took.
        was_finished: True if there was nothing left to do.
        datasets: Folders of the datasets: the output itself, or one in it for each version.
        inputs: Datasets that the episodes were taken from; none if they come from recordings.
        base: The dataset that the episodes were appended to, if any; its own count neither as listed nor as kept.
    """

    output: str
    run_dir: str
    listed: int
    kept: int
    frames: int
    rejected: Mapping[str, int]
    errors: int
    notes: Sequence[str] = field(default_factory=list)
    seconds: float = 0.0
    was_finished: bool = False
    datasets: Sequence[str] = field(default_factory=list)
    inputs: Sequence[str] = field(default_factory=list)
    base: BaseDataset | None = None

    @property
    def exit_code(self) -> int:
        """0 if complete, 1 if episodes were rejected for bad data."""
        return 1 if self.errors else 0

    def write(self, path: Path) -> None:
        """Write report.json, whole or not at all."""
        write_file(path, json.dumps(asdict(self), indent=2, ensure_ascii=False).encode())

    @classmethod
    def read(cls, path: Path) -> RunReport:
        """Read report.json."""
        with undamaged(path):
            entry = read_json(path)
            base = BaseDataset(**entry["base"]) if entry.get("base") else None
            return cls(**{**entry, "base": base})


def rejected_lines(rows: Sequence[EpisodeRow], shards: Iterable[Shard]) -> list[RejectedLine]:
    """Return every rejection of planning and of finished shards, in the order of the manifest's rows."""
    found = {row.index: RejectedEpisode(row.index, row.reason, row.detail, row.error) for row in rows if row.reason}
    for shard in shards:
        found |= {entry.index: entry for entry in shard.rejected}
    return [
        RejectedLine(rows[i].source, rows[i].key, found[i].reason, found[i].detail, found[i].error)
        for i in sorted(found)
    ]


def write_rejected(path: Path, lines: Sequence[RejectedLine]) -> None:
    """Write rejected.jsonl, one line per episode."""
    write_file(path, "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines).encode())
