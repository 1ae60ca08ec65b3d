"""Run info: what a run was created with, and the command that works on it."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from ..core.commit import write_file
from ..core.errors import undamaged
from ..core.features import Feature, Features

DUPLICATE = "duplicate_episode"
NOT_SELECTED = "not_selected"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True, slots=True)
class Skipped:
    """An episode of an input dataset that the run does not take, or several in a row that an edit drops.

    Attributes:
        position: Its position in its dataset; of the first one if there are several.
        episode: Its number there; those after it rise by 1.
        frames: Frames of all of them.
        dataset: Position among the inputs of a dataset before that has it too; None if an edit drops the episode.
        same_as: Number of the episode there.
        count: Number of episodes.
    """

    position: int
    episode: int
    frames: int
    dataset: int | None = None
    same_as: int | None = None
    count: int = 1

    @property
    def positions(self) -> range:
        """Positions of the episodes."""
        return range(self.position, self.position + self.count)

    @property
    def numbers(self) -> range:
        """Numbers of the episodes."""
        return range(self.episode, self.episode + self.count)

    @property
    def reason(self) -> str:
        """Reason of the rejection."""
        return NOT_SELECTED if self.dataset is None else DUPLICATE


@dataclass(frozen=True, slots=True)
class InputDataset:
    """A dataset that a run takes episodes from, as it was when the run was created.

    Attributes:
        path: Its absolute folder.
        episodes: Its episodes.
        frames: Its frames.
        digest: sha256 over relative path, size and modification time of all its files.
        info_digest: sha256 of its info.json.
        skipped: Its episodes that the run does not take.
    """

    path: str
    episodes: int
    frames: int
    digest: str
    info_digest: str
    skipped: Sequence[Skipped] = ()

    @property
    def kept(self) -> int:
        """Episodes that the run takes."""
        return self.episodes - sum(episode.count for episode in self.skipped)

    @property
    def kept_frames(self) -> int:
        """Their frames."""
        return self.frames - sum(episode.frames for episode in self.skipped)


def why_skipped(episode: Skipped, inputs: Sequence[object]) -> str:
    """Return why an episode is not taken, for people.

    Args:
        episode: The episode.
        inputs: Folders of the input datasets.
    """
    if episode.dataset is None:
        return "dropped by the edit"
    return f"the same as episode {episode.same_as} of {inputs[episode.dataset]}"


def skipped(inputs: Sequence[InputDataset]) -> Counter[str]:
    """Return how many episodes of the input datasets a run does not take, by reason."""
    counts: Counter[str] = Counter()
    for episode in (episode for dataset in inputs for episode in dataset.skipped):
        counts[episode.reason] += episode.count
    return counts


def dataset_names(folders: Sequence[str]) -> list[str]:
    """Return the names of datasets: as many of the last folders of their paths as tell them apart.

    Of one from the Hub, fetched to OWNER/NAME/COMMIT, at least these three.
    """
    parts = [Path(folder).parts for folder in folders]
    needed = 3 if any(_COMMIT.fullmatch(own[-1]) for own in parts) else 1
    while needed < max(map(len, parts), default=0) and len({own[-needed:] for own in parts}) < len(set(parts)):
        needed += 1
    return [str(Path(*own[-needed:])) for own in parts]


def kept_names(output: str, *versions: str) -> list[str]:
    """Return the names under which a conversion in place keeps datasets of some versions, by default of all."""
    return [f"{output}_{version.replace('.', '')}" for version in versions or ("v3.0", "v2.1", "v2.0")]


@dataclass(frozen=True, slots=True)
class BaseDataset:
    """A finished dataset that a run appends to, as it was when the run was created.

    Attributes:
        path: Its absolute folder.
        episodes: Its episodes.
        frames: Its frames.
        files: How many parquet and mp4 files it has.
        digest: sha256 over the content of its meta, and path and size of its other files; not over where it is.
    """

    path: str
    episodes: int
    frames: int
    files: int
    digest: str


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The part of run.json that the run directories of all versions have.

    Attributes:
        version: robotrove's version, "unknown" if the file does not name it.
        digest: As in `RunInfo`.
        output: As in `RunInfo`.
        base: Absolute folder of the dataset that the episodes are appended to, if any.
        inputs: Absolute folders of the datasets that the episodes are taken from.
    """

    version: str
    digest: str
    output: str
    base: str | None
    inputs: Sequence[str]

    @property
    def run_id(self) -> str:
        """As in `RunInfo`."""
        return self.digest[:12]

    @classmethod
    def read(cls, path: Path) -> RunIdentity:
        """Read run.json of any version."""
        with undamaged(path):
            entry = _entry(path.read_text(encoding="utf-8"))
            version, digest, output = (str(entry.get(name, "")) for name in ("version", "digest", "output"))
            base, *inputs = (
                str(found["path"]) if isinstance(found, dict) and "path" in found else None
                for found in (entry.get("base"), *(entry.get("inputs") or ()))
            )
            return cls(version or "unknown", digest, output, base, list(filter(None, inputs)))


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Identity of a run and the facts about its dataset.

    Attributes:
        digest: sha256 over pipeline, version, outside code, encoder, and episodes or input datasets.
        version: robotrove's version.
        encoder: Encoder and FFmpeg version.
        output: Absolute path of the dataset.
        features: What the dataset holds, the default five aside.
        fps: Frames per second.
        robot_type: As in info.json.
        dataset_ranks: Ranks of the middle phase of each dataset block.
        on_error: "reject" or "stop".
        spec_digest: sha256 over pipeline, outside code and version.
        notes: What planning found worth saying.
        formats: LeRobot versions of the output.
        inputs: Datasets that episodes are taken from; none if they come from recordings.
        base: The dataset that the episodes are appended to, if any.
        annotations: Columns of integers to what their numbers are, where features do not say it: "tasks", "subtasks" or
            "values".
        stages: Name of each stage, its ranks, and whether a rank takes little time; none in runs of earlier versions.
        may_drop: True if a step is a filter of datatrove: what it does not pass on is dropped, not lost.
        accepted_code: Such digests of before outside code was changed and accepted, the first one first.
        edits: Changes that the only input dataset, or the base, went through, the last first; empty for a run without
            changes. There are none if no run had any.
    """

    digest: str
    version: str
    encoder: str
    output: str
    features: Features
    fps: int
    robot_type: str | None
    dataset_ranks: int
    on_error: str
    spec_digest: str
    notes: list[str]
    formats: list[str]
    inputs: list[InputDataset]
    base: BaseDataset | None = None
    stages: Sequence[tuple[str, int, bool]] = field(default_factory=list)
    may_drop: bool = False
    accepted_code: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    edits: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """Short name of the run; the same for the same inputs and pipeline."""
        return self.digest[:12]

    def dataset_folders(self, output: Path) -> dict[str, Path]:
        """Return where in an output the dataset of each version is: the output itself, or folders of it if several."""
        return {version: output / version if len(self.formats) > 1 else output for version in self.formats}

    def write(self, path: Path) -> None:
        """Write run.json, whole or not at all."""
        entry = asdict(self) | {"features": {key: feature.to_json() for key, feature in self.features.items()}}
        write_file(path, json.dumps(entry, indent=2, ensure_ascii=False).encode())

    @classmethod
    def read(cls, path: Path) -> RunInfo:
        """Read run.json."""
        with undamaged(path):
            return _parsed(path.read_text(encoding="utf-8"))


# The first runs of 0.1.0 made v3.0 of recordings, the only thing it could, and said neither.
_BEFORE_FORMATS: dict[str, Any] = {"formats": ["v3.0"], "inputs": []}


# A worker asks for every rank, and there may be many inputs.
@lru_cache(maxsize=1)
def _entry(text: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(text)
    return content


@lru_cache(maxsize=1)
def _parsed(text: str) -> RunInfo:
    entry = {**_BEFORE_FORMATS, **_entry(text)}
    features = {key: Feature.from_json(value) for key, value in entry["features"].items()}
    inputs = [
        InputDataset(**value | {"skipped": tuple(Skipped(**twin) for twin in value.get("skipped", ()))})
        for value in entry["inputs"]
    ]
    base = BaseDataset(**entry["base"]) if entry.get("base") else None
    found = {"features": features, "inputs": inputs, "base": base, "stages": [*map(tuple, entry.get("stages", ()))]}
    return RunInfo(**entry | found)


@dataclass(frozen=True, slots=True)
class Started:
    """User, machine and time of a command that works on a run.

    Attributes:
        time: Seconds since the epoch.
        user: Their name on that machine, or their number where it has none.
        host: That machine.
    """

    time: float
    user: str
    host: str

    @classmethod
    def now(cls) -> Self:
        """Return this process's user and machine, and the time."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # containers know numbers only
            user = str(os.getuid())
        return cls(time.time(), user, socket.gethostname())

    def write(self, path: Path) -> None:
        """Write command.json, whole or not at all."""
        write_file(path, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read command.json."""
        with undamaged(path):
            return cls(**read_json(path))
