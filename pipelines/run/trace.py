"""Trace: from an episode of a dataset back to its recording."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import RobotroveError, UsageError
from ...core.version import __version__
from ...core.workspace import Workspace
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.episode_location import EpisodeLocation
from ...formats.lerobot.datasets.open_dataset import open_dataset
from ...formats.lerobot.datasets.provenance import ProvenanceRow, has_origins, origin_of
from ...manifests.manifest import EpisodeRow, Manifest
from ...manifests.run_info import RunIdentity, dataset_names, kept_names


@dataclass(frozen=True, slots=True)
class VideoWindow:
    """Frames of an episode in a video file.

    Attributes:
        path: The file, relative to the dataset.
        start: Time of the first frame, in s.
        end: Time after the last frame, in s.
    """

    path: str
    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.path}, {self.start:.3f} to {self.end:.3f} s"


@dataclass(frozen=True, slots=True)
class Trace:
    """Recording of an episode.

    Attributes:
        origin: What the dataset itself knows.
        run_dir: The run directory that names the recording, None if none does that can be read.
        row: The recording in its manifest, None likewise.
        datasets: Absolute folders of `origin.input_datasets`; None as for `row`.
        videos: Where each camera's frames are; empty if the metadata does not say so.
    """

    origin: ProvenanceRow
    run_dir: Path | None
    row: EpisodeRow | None
    datasets: Sequence[str | None]
    videos: Mapping[str, VideoWindow]

    @property
    def path(self) -> str | None:
        """Absolute path of the source file, None if it is unknown."""
        return self.row.path if self.row else None

    @property
    def is_there(self) -> bool:
        """True if a file is at that path."""
        return self.row is not None and Path(self.row.path).is_file()


def trace(dataset: Path, episode: int) -> Trace:
    """Return where an episode of a dataset comes from.

    Args:
        dataset: Folder of the dataset; the source's path is looked up in `<output>.run`.
        episode: Number of the episode, from 0.

    Raises:
        UsageError: If there is no such dataset or episode, or nothing is known about its origin.
        Damaged: If the dataset cannot be read.
    """
    existing = open_dataset(dataset)
    if not has_origins(existing):
        raise UsageError(
            str(dataset),
            f"does not say where its episodes come from, it has no {existing.provenance_path}",
            "a dataset made by robotrove",
        )
    origin = origin_of(existing, episode)
    if origin is None:
        count = existing.count("total_episodes")
        raise UsageError(str(dataset), f"has no episode {episode}", f"0 to {count - 1}")
    folders = list(_input_folders(dataset, origin))
    nearest = [Path(folder) for folder in reversed(folders) if folder]  # to the recording
    listed = (_listed(folder, origin) for folder in (*nearest, dataset))
    run_dir, row = next((found for found in listed if found[1]), (None, None))
    videos: Mapping[str, VideoWindow] = {}
    with suppress(RobotroveError):  # a damaged dataset still names its recording
        for at in existing.episodes():
            if at.index == episode:
                videos = video_windows(existing, at)
                break
    return Trace(origin, run_dir, row, folders, videos)


def video_windows(dataset: Dataset, at: EpisodeLocation) -> dict[str, VideoWindow]:
    """Return where the frames of an episode are in the video file of each camera."""
    windows = {}
    for key, track in at.tracks.items():
        clip = track.clip
        rate = clip.rate or dataset.fps
        path = clip.path.relative_to(dataset.root).as_posix()
        windows[key] = VideoWindow(path, float(clip.first / rate), float((clip.first + clip.frames) / rate))
    return windows


def _input_folders(dataset: Path, origin: ProvenanceRow) -> Iterator[str | None]:
    """Yield the folder of each dataset that the episode was taken from, the last one first."""
    folder: str | None = str(dataset)
    for step in origin.input_datasets or ():
        runs = [run for _, run in _runs(Path(folder).absolute(), set())] if folder else []
        made_by = _made_by(Path(folder)) if folder else ""
        runs.sort(key=lambda run: run.digest != made_by)  # conversions in place leave several beside each other
        named = (pair for run in runs for pair in _named_inputs(run))
        folder = next((path for name, path in named if name == step["dataset"]), None)
        yield folder


def _made_by(dataset: Path) -> str:
    """Return the digest of the run that made a dataset, empty if it does not say that."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((dataset / paths_v30.RUN).read_text(encoding="utf-8"))["run_digest"])
    return ""


def _named_inputs(run: RunIdentity) -> Iterator[tuple[str, str]]:
    """Yield name and folder of each dataset that a run took its episodes from."""
    yield from zip(dataset_names(run.inputs), run.inputs, strict=True)
    if set(run.inputs) & set(kept_names(run.output)):  # in place: the input had the name of the output then
        yield dataset_names([run.output])[0], run.inputs[0]


def _listed(dataset: Path, origin: ProvenanceRow) -> tuple[Path | None, EpisodeRow | None]:
    """Return the run directory that a dataset's recording is listed in, and its row there."""
    name = (origin.source_name, origin.source_key)
    for workspace, run in _runs(dataset.absolute(), set()):
        if run.digest == origin.run_digest and workspace.manifest.is_file():
            # What another version wrote may be unreadable here; the rest is known all the same.
            with suppress(OSError, *(() if run.version == __version__ else (RobotroveError,))):
                rows = Manifest.read(workspace.manifest).rows
                return workspace.run_dir, next((row for row in rows if (row.source, row.key) == name), None)
    return None, None


def _runs(dataset: Path, seen: set[Path]) -> Iterator[tuple[Workspace, RunIdentity]]:
    """Yield the runs that may have made a dataset, appended to it, converted it in place, or made what it was then."""
    seen.add(dataset)
    before = re.sub(r"_v\d\d$", "", dataset.name)  # a conversion in place gave it this name
    for output in dict.fromkeys((dataset, dataset.parent, dataset.parent / before)):
        # The parent may hold a dataset per version.
        found = [output.with_name(f"{output.name}.run")] if output.name else []
        for begin in ("append-", "to-v"):
            found += sorted(output.parent.glob(f"{glob.escape(output.name)}.{begin}*.run"))
        for run_dir in found:
            workspace = Workspace(run_dir, dataset)
            try:
                run = RunIdentity.read(workspace.run)
            except (RobotroveError, OSError):
                continue
            yield workspace, run
            if run.base and Path(run.base) not in seen:
                yield from _runs(Path(run.base), seen)
