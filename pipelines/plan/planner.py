"""Planner: lists the episodes of a run, kept and rejected, and cuts them into shards."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from ...blocks.episode_step import EpisodeFilter, EpisodeStep
from ...core.columns import Loss
from ...core.episode import EXAMPLE, Episode, Rejection, Scanned
from ...core.errors import EpisodeRejected, UsageError, in_utf8, printable
from ...core.features import DEFAULT_FEATURES, Features, cameras, difference, named_like, video_cameras
from ...core.machine import usable_cpus
from ...core.source_file import SourceFile
from ...formats.lerobot.features.feature_kind import kind_of
from ...formats.lerobot.time_limits import is_too_long_for_v21
from ...manifests.manifest import EpisodeRow, Manifest, cut_shards
from ...media.encode.settings import VideoSettings
from ..spec.resolved_pipeline import ResolvedPipeline
from .append_base import ALREADY_THERE, Base, KnownEpisode, read_base

# Measured on a recording of Isaac Lab Arena (512x512, resized to 256 and 480) with each codec's default
# settings: bytes in the file, and CPU nanoseconds, per pixel.
_BYTES_PER_PIXEL = {"libsvtav1": 0.04, "libx264": 0.02}
_NS_PER_PIXEL = {"libsvtav1": 45.0, "libx264": 25.0}
_OTHER = "libsvtav1"

# A feature's name becomes a folder of the output; it may come from an input file.
_SAFE_NAME = re.compile(r"\w[\w.\-]*")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated disk and time of a run; other content, settings and machines give other figures.

    Attributes:
        dataset_bytes: Size of a dataset.
        disk_bytes: Size of run directory and datasets together.
        seconds: Time with one worker per CPU.
    """

    dataset_bytes: int
    disk_bytes: int
    seconds: float


def estimate(features: Features, frames: int, video: VideoSettings, datasets: int = 1, base: int = 0) -> Estimate:
    """Estimate a run of `frames` frames: the shards, and so many datasets made of them, behind `base` bytes."""
    codec = video.codec if video.codec in _NS_PER_PIXEL else _OTHER
    seen = cameras(features)
    pixels = frames * sum(camera.shape[0] * camera.shape[1] for camera in seen.values())
    numbers = frames * sum(8 * prod(feature.shape) for key, feature in features.items() if key not in seen)
    size = round(pixels * _BYTES_PER_PIXEL[codec] + numbers)
    seconds = pixels * _NS_PER_PIXEL[codec] / 1e9 / usable_cpus()
    return Estimate(base + size, base + (1 + datasets) * size, seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a run.

    Attributes:
        manifest: Every episode, kept or rejected.
        features: What the dataset will hold; that of most episodes.
        fps: Frames per second of the dataset.
        notes: What a user should know before running (assumed fps, unused datasets).
        estimate: Room and time, roughly.
        base: The dataset that the episodes are appended to, if any.
    """

    manifest: Manifest
    features: Features
    fps: int
    notes: list[str]
    estimate: Estimate
    base: Base | None = None

    @property
    def annotations(self) -> Mapping[str, str]:
        """Meaning of the numbers of annotation columns, see `RunInfo`; those of recordings are values."""
        own = {key: feature for key, feature in self.features.items() if key.startswith("annotation.")}
        values = {key: "values" for key, feature in own.items() if feature.is_integer and not feature.points_into}
        return values | dict(self.base.info.annotations if self.base is not None else {})


@dataclass(slots=True)
class _Found:
    row: EpisodeRow
    features: Features | None
    fps: int
    losses: dict[str, Loss] = field(default_factory=dict)
    comparing_s: float = 0.0
    earlier_digest: str = ""

    @property
    def places(self) -> list[tuple[str, str]]:
        """Its digest and name, by the rule of now and by that of earlier versions where it is another."""
        return [
            (digest, self.row.key)
            for digest in dict.fromkeys((self.row.digest, self.earlier_digest or self.row.digest))
        ]


def make_plan(pipeline: ResolvedPipeline, on_file: Callable[[int, int], None] = lambda done, total: None) -> Plan:
    """List the episodes of all files and apply the steps that need no data; writes nothing.

    Steps that read data, and stock datatrove steps, wait for the run. Behind one that may change an episode, no step
    rejects here.

    Args:
        pipeline: One that has a source.
        on_file: Called with (files done, files in all).
    """
    reader, steps, video = pipeline.reader, pipeline.steps, pipeline.video
    append_to = pipeline.spec.append_to
    base = read_base(append_to, pipeline.formats, pipeline.annotations) if append_to else None
    files = reader.find()
    root = Path(os.path.commonpath([file.name.parent for file in files]))
    # Whether to keep what LeRobot 0.3.3 cannot load is an argument of the block that makes version 2.1.
    for_v21 = any(maker.makes == "v2.1" and not getattr(maker, "allow_long", False) for maker in pipeline.dataset)
    found: list[_Found] = []
    notes = _Notes()
    for number, recording in enumerate(files):
        file = recording.measured()  # before it is read: what changes from here on is noticed
        for scanned in reader.scan(file):
            found.append(_episode(len(found), file, root, scanned, steps, video, for_v21))
            if scanned.episode is not None:
                notes.add(scanned.episode, found[-1].row)
            del scanned  # it holds the files behind links open, with the lock that reading the content does not take
        on_file(number + 1, len(files))
    alike = _alike(found, base.episodes if base is not None else {})
    for number, digest in reader.content_digests(alike).items() if alike else ():
        found[number].row = replace(found[number].row, content=digest)
    uncertain = _refuse_known(found, base) if base is not None else []
    _refuse_duplicates(found)
    features, fps, others = _most_have(found)
    if base is not None:
        features, fps, others = base.info.features, base.info.fps, base.dataset.path
        for entry in found:
            entry.features = named_like(features, entry.features or {})
    _refuse_differing(found, features, fps, others)
    _check_losses(found)
    if features:
        pipeline.check_blocks(features, [base.dataset.path] if base is not None else [])
    rows = cut_shards(entry.row for entry in found)
    places = [(row.path, row.key) for row in rows]
    own = [note for step in steps if isinstance(step, EpisodeStep) for note in step.notes(places)]
    told = [*notes.told(), *uncertain, *map(printable, own)]
    if (comparing_s := sum(entry.comparing_s for entry in found)) > 1:
        told.append(f"comparing values with float32 took {comparing_s:.1f} s; a `dtype:` of such columns saves that")
    frames = sum(row.length for row in rows if not row.reason)
    needed = estimate(features, frames, video, len(pipeline.formats), base.size if base is not None else 0)
    return Plan(Manifest(rows), features, fps, told, needed, base)


def _episode(
    index: int,
    file: SourceFile,
    root: Path,
    scanned: Scanned,
    steps: Sequence[Any],
    video: VideoSettings,
    for_v21: bool,
) -> _Found:
    source = file.name.relative_to(root).as_posix()
    names = (str(file.path), source, scanned.key)
    shown = in_utf8(names[0]), in_utf8(names[1]), in_utf8(names[2])
    row = EpisodeRow(index, *shown, scanned.digest, 0, 0, 0, "", None, file.size, file.mtime_ns)
    row = replace(row, inode=file.inode, ctime_ns=file.ctime_ns)
    ep = scanned.episode
    if names != shown:
        refused = Rejection("bad_name", "a name that is not UTF-8 cannot be stored; rename it", error=True)
        return _Found(row.rejected(refused), None, 0)
    if ep is None:
        return _Found(row.rejected(scanned.rejection) if scanned.rejection else row, None, 0)
    row = replace(row, length=ep.length, source_length=ep.length, fps=ep.fps, task=ep.text, success=ep.success)
    row = replace(row, start=ep.origin.start, mapping=sys.intern(ep.origin.mapping), files=sys.intern(ep.origin.files))
    is_known = True  # False after a step that may change what the steps after it see, and waits for the run
    for step in steps:
        if not isinstance(step, EpisodeStep) or step.reads_data:
            is_known = is_known and isinstance(step, EpisodeFilter)
            continue
        tried = step.visit(ep.with_facts())  # of a copy, since a rejection stays with the episode that it is given
        if is_known or tried.rejection is None:
            ep = tried
    row = replace(row, length=ep.length, fps=ep.fps, task=ep.text)
    losses: dict[str, Loss] = {}
    started = time.perf_counter()
    if ep.rejection is None:
        try:
            _check_features(ep.features, video)
            losses = {key: loss for key, column in ep.columns.items() if (loss := column.loss()) is not None}
        except EpisodeRejected as exc:
            ep.reject(exc.reason, exc.detail, error=True)
    comparing_s = time.perf_counter() - started
    if ep.rejection is None and for_v21 and is_too_long_for_v21(ep.length, ep.fps):
        detail = f"lasts {ep.length / ep.fps:.0f} s, {ep.length} frames: LeRobot 0.3.3 cannot load it in version 2.1"
        ep.reject("too_long_for_v21", f"{detail}; downgrader: {{allow_long: true}} keeps it", error=False)
    row = row.rejected(ep.rejection) if ep.rejection else row
    return _Found(row, ep.features, ep.fps, losses, comparing_s, scanned.earlier_digest)


def _check_features(features: Features, video: VideoSettings) -> None:
    filmed = video_cameras(features)
    for key, feature in features.items():
        try:
            kind_of(feature)
        except LookupError:
            raise EpisodeRejected("bad_dtype", f"{key} is {feature}, and no kind of column has this dtype") from None
        if not feature.shape or min(feature.shape) < 1:
            raise EpisodeRejected("bad_shape", f"{key} has shape {feature.shape}, expected sizes of at least 1")
        if not _SAFE_NAME.fullmatch(key) or ".." in key or len(key.encode()) > _LONGEST_NAME:
            raise EpisodeRejected(
                "bad_feature_name",
                f"{key[:80]!r} cannot be a feature; name it under `columns:` with letters, digits, . _ -, "
                f"{_LONGEST_NAME} bytes at most",
            )
        if key in DEFAULT_FEATURES or key == "task":  # a step may have added it
            raise EpisodeRejected(
                "bad_feature_name", f"{key!r} is what LeRobot itself has in every row; give the column another name"
            )
        if key in filmed:
            height, width, _ = filmed[key].shape
            video.check_size(width, height)


class _Notes:
    """Notes on the episodes as they were recorded, before any step, each with the number of its episodes."""

    def __init__(self) -> None:
        self._opened = 0
        self._lacking: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, ep: Episode, row: EpisodeRow) -> None:
        """Count the notes on an episode; of a rejected one that it could be opened, and what its success label says."""
        self._opened += 1
        for option, instead in ep.origin.lacking:
            self._lacking[option] += 1
            self._examples.setdefault(option, instead)
        if row.reason in ("", "no_success_label"):
            for note in ep.origin.notes:
                self._count(*note.split(EXAMPLE, maxsplit=1))
        if row.reason:
            return
        if ep.origin.fps_source == "default":
            self._count(
                f"the files do not say their frame rate: {ep.fps} fps is assumed, set source.fps if that is wrong"
            )
        if ep.origin.unused:
            self._count(f"{len(ep.origin.unused)} HDF5 datasets are not converted; robotrove inspect FILE shows all")
        if not row.task:
            self._count("no instruction: set source.task")

    def _count(self, text: str, example: str = "") -> None:
        self._counts[text] += 1
        self._examples.setdefault(text, example)

    def told(self) -> list[str]:
        """Return the notes in the order of the alphabet.

        Raises:
            UsageError: If an option of the source names a place that no episode has.
        """
        for option, count in self._lacking.items():
            if count == self._opened:
                found = printable(self._examples[option])
                raise UsageError(option, found, "a place that the recordings have", "robotrove inspect FILE")
            text = f"{option}: some episodes have no such place"
            self._counts[text], self._examples[text] = count, self._examples[option]
        return [
            printable(f"{text} ({count} episodes{EXAMPLE if (example := self._examples[text]) else ''}{example})")
            for text, count in sorted(self._counts.items())
        ]


def _check_losses(found: Sequence[_Found]) -> None:
    """Stop where float32 would lose what a column is about, with the worst example of each column."""
    worst: dict[str, tuple[Loss, EpisodeRow]] = {}
    for entry in found:
        for key, loss in entry.losses.items():
            if not entry.row.reason and (key not in worst or loss.share > worst[key][0].share):
                worst[key] = loss, entry.row
    if not worst:
        return
    lines = [f"float32 is too coarse for {', '.join(worst)}"]
    for key, (loss, row) in worst.items():
        place = f"{loss.dataset} row {loss.row} of {row.path}, episode {row.key}"
        name = f", entry {loss.name}" if loss.name else ""
        lines.append(printable(f"{key}{name}: {place} has {loss.value!r}, in float32 {loss.stored!r}"))
    columns = ", ".join(f"{key}: {{from: …, dtype: float64}}" for key in worst)
    raise UsageError(
        "loses_precision",
        "\n    ".join(lines),
        "a `dtype:`, or changes of at most 1e-6, or of 1e-4 of the range of their entry in the episode",
        f"source: {{columns: {{{columns}}}}} keeps the values, dtype: float32 accepts the loss; "
        "`robotrove init FILE` writes the columns of a layout",
    )


def _alike(found: Sequence[_Found], known: Mapping[tuple[str, str], Sequence[KnownEpisode]]) -> list[EpisodeRow]:
    """Return the episodes that begin and end like others, listed or known: their content tells them apart."""
    kept = [entry for entry in found if not entry.row.reason]
    counts = Counter(place for entry in kept for place in entry.places)
    counts.update({place: 1 for place, episodes in known.items() if any(ep.content for ep in episodes)})
    return [entry.row for entry in kept if any(counts[place] > 1 for place in entry.places)]


def _refuse_duplicates(found: Sequence[_Found]) -> None:
    """Reject each episode that is listed before, under the same name in another file."""
    first: dict[tuple[str, str, str], EpisodeRow] = {}
    for entry in found:
        row = entry.row
        # Of damaged data it is empty: the run finds them, and names them.
        if row.reason or not row.content:
            continue
        twin = first.setdefault((row.digest, row.key, row.content), row)
        if twin is not row:
            detail = f"is the same episode as {twin.label}"
            entry.row = row.rejected(Rejection("duplicate_episode", detail, error=True))


def _refuse_known(found: Sequence[_Found], base: Base) -> list[str]:
    """Reject each episode that is in the dataset already; return notes on what is not certain."""
    by_length: list[str] = []
    others = 0
    for entry in found:
        row = entry.row
        places = [] if row.reason else entry.places
        alike = [known for place in places for known in base.episodes.get(place, ())]
        same = [known for known in alike if known.content is not None and known.content == row.content]
        same += [known for known in alike if known.content is None and known.length == row.source_length]
        if same:
            detail = f"is episode {same[0].index} of {base.dataset.path}"
            entry.row = row.rejected(Rejection(ALREADY_THERE, detail, error=False))
            if same[0].content is None:
                by_length.append(f"{row.label} (episode {same[0].index})")
        others += bool(alike and not same)
    path, notes = base.dataset.path, []
    if by_length:
        named = ", ".join(by_length)
        why = f"{path} has no content digest of them, but their digest, name and length agree"
        notes.append(f"not appended: {why}: {named}")
    if others:
        told = f"appended as new: alike at the ends to an episode of {path}, with other numbers, frames or length"
        notes.append(f"{told} ({others} episodes)")
    return notes


def _most_have(found: Sequence[_Found]) -> tuple[Features, int, str]:
    """Return the features and fps that most episodes have, and what to call these episodes."""
    kept = [entry for entry in found if not entry.row.reason and entry.features is not None]
    votes = Counter((repr(entry.features), entry.fps) for entry in kept)
    if not votes:
        return {}, 0, ""
    winner = max(votes, key=lambda vote: votes[vote])
    model = next(entry for entry in kept if (repr(entry.features), entry.fps) == winner)
    return model.features or {}, model.fps, "most episodes"


def _refuse_differing(found: Sequence[_Found], features: Features, fps: int, others: str) -> None:
    """Reject each episode with other features or fps than those of the dataset."""
    for entry in found:
        if entry.row.reason or entry.features is None:
            continue
        if notes := difference(features, entry.features):
            detail = f"differs from {others}: {notes}"
            entry.row = entry.row.rejected(Rejection("feature_mismatch", detail, error=True))
        elif entry.fps != fps:
            detail = f"has {entry.fps} fps, {others} have {fps}"
            entry.row = entry.row.rejected(Rejection("fps_mismatch", detail, error=True))
