"""run.json: what a run is, fixed when it is created."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.commit import write_file
from ..core.features import Feature, Features
from .reading import read_json, undamaged


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Identity of a run and the facts about its dataset.

    Attributes:
        digest: sha256 over pipeline, version, outside code, encoder and episodes.
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

    @property
    def run_id(self) -> str:
        """Short name of the run; the same for the same inputs and pipeline."""
        return self.digest[:12]

    def write(self, path: Path) -> None:
        """Write run.json, whole or not at all."""
        entry = asdict(self) | {"features": {key: feature.to_json() for key, feature in self.features.items()}}
        write_file(path, json.dumps(entry, indent=2, ensure_ascii=False).encode())

    @classmethod
    def read(cls, path: Path) -> RunInfo:
        """Read run.json."""
        with undamaged(path):
            entry = read_json(path)
            features = {key: Feature.from_json(value) for key, value in entry["features"].items()}
            return cls(**{**entry, "features": features})
