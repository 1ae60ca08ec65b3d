"""Statistics of an existing dataset: recomputed and completed in place, or only checked."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....core.checksums import update_list
from ....core.commit import Replacements, json_text
from ....core.errors import Damaged, UsageError
from .. import paths_v30
from ..datasets.dataset import Dataset
from ..datasets.dataset_info import input_episodes
from ..datasets.dataset_stats import histograms, usable, whole_stats
from ..datasets.dataset_v21 import DatasetV21
from ..datasets.dataset_v30 import DatasetV30
from ..datasets.open_dataset import open_current
from ..gr00t.gr00t_stats import data_files, gr00t_columns, gr00t_stats
from ..gr00t.modality import MODALITY, modality_text, stale_modality
from ..gr00t.relative_actions import RELATIVE_STATS, read_actions, relative_stats
from ..stats.feature_stats import FeatureStats
from ..stats.stats_comparison import (
    EXACT,
    LEROBOT,
    NO_NUMBERS,
    Differences,
    FeatureDifferences,
    StatDifference,
    beyond_float32,
    differing,
    differing_of_camera,
    numbers_of,
)
from .camera_recompute import colour_cameras, needed_cameras
from .episode_recompute import EpisodeRecompute
from .stats_store import Changes, StatsStore, StatsStoreV21, StatsStoreV30

Progress = Callable[[str, int, int], None]

_POSES = 1e-6  # what GR00T's own statistics of relative poses may differ by


@dataclass(frozen=True, slots=True)
class StatsReport:
    """Recomputed statistics and their differences.

    Attributes:
        episodes: Number of episodes.
        frames: Number of frames.
        numbers: Features computed from the rows.
        cameras: Camera computed from its frames to why it was.
        kept: Cameras of depth, with statistics that stay as they are.
        differences: By feature; those of a check, or what was changed.
        written: Files that were replaced, relative to the dataset.
        modality: Differences of meta/modality.json, where it is asked for.
    """

    episodes: int
    frames: int
    numbers: tuple[str, ...]
    cameras: Mapping[str, str]
    kept: tuple[str, ...]
    differences: Mapping[str, FeatureDifferences]
    written: tuple[str, ...]
    modality: tuple[str, ...] = ()


def recompute(
    root: Path,
    *,
    check: bool = False,
    cameras: bool | Sequence[str] = False,
    gr00t: bool = False,
    relative: Path | None = None,
    keep_unusable: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> StatsReport:
    """Recompute the statistics of a dataset of version 3.0 or 2.1 from its rows and frames.

    Replaces those of episodes (and for v3.0 those of the dataset) that are missing or differ: of
    numbers always, of cameras where something is missing or impossible. A camera is computed as a
    whole, so that its histogram gives exact quantiles of the dataset. Everything is computed before
    the first file is replaced; each file is replaced as a whole, and a second call completes an
    interrupted one. Memory holds the numbers of one episode and a row group of meta/episodes.

    Args:
        root: The dataset.
        check: Write nothing; what is within LeRobot's own rounding is no difference.
        cameras: Recompute these, or all.
        gr00t: v2.1: write meta/stats.json for GR00T.
        relative: v2.1: write meta/relative_stats.json for these relative actions, see `read_actions`.
        keep_unusable: Keep the statistics of episodes with numbers that are NaN or infinite, rather than refuse them.
        progress: Called with what is being done, how many episodes are done, of how many.

    Raises:
        UsageError: If it is no such dataset, or files of GR00T are asked for with v3.0.
        RobotroveError: If a file is missing or damaged, or has less than meta says; nothing is written then.
    """
    dataset = open_v21(root) if gr00t or relative is not None else open_current(root)
    assert isinstance(dataset, DatasetV21 | DatasetV30)
    if not dataset.numeric_features:
        raise Damaged(paths_v30.INFO, "has no features that are numbers")
    total = len(dataset.lengths)
    for done, _ in enumerate(input_episodes(dataset, lambda text: None), 1):
        progress("reading files", done, total)

    kept = tuple(key for key, feature in dataset.cameras.items() if feature.is_depth)
    store: StatsStore[Any] = StatsStoreV21(dataset) if isinstance(dataset, DatasetV21) else StatsStoreV30(dataset)
    before = histograms(dataset)
    needed = needed_cameras(store, before)
    if cameras:
        chosen = colour_cameras(dataset.features) if cameras is True else cameras
        needed = {key: needed.get(key, "asked for") for key in chosen}
    differences = Differences()
    episodes = EpisodeRecompute(dataset, store, list(needed), differences, check=check, keep_unusable=keep_unusable)
    changes = _counted(episodes.changes(), total, progress)
    with Replacements(root) as aside:
        if not check:
            recomputed = {key: kind for key, kind in dataset.kinds.items() if key in needed or kind.is_numeric}
            store.rewrite(changes, recomputed, aside)
        deque(changes, maxlen=0)  # to its end, which a check does not come to otherwise
        progress("computing the whole", total, total)
        counts = before | episodes.histograms
        if isinstance(dataset, DatasetV21):
            files = _gr00t(dataset, gr00t_files(dataset, gr00t=gr00t, relative=relative), differences, check=check)
        else:
            found = usable(whole_stats(dataset, episodes.merged(), counts))
            whole = {key: stats for key, stats in found.items() if key not in kept}
            files = _dataset(dataset, whole, list(needed), differences, check=check)
        written: tuple[str, ...] = ()
        if not check:
            if any(not np.array_equal(counts[key], before.get(key, ())) for key in counts):
                files[paths_v30.HISTOGRAMS] = {key: values.tolist() for key, values in counts.items()}
            for path, content in files.items():
                aside.write(path, _json(content))
            written = aside.commit(first=paths_v30.HISTOGRAMS)
            update_list(root, written)
    frames = int(dataset.starts[-1])
    return StatsReport(total, frames, tuple(dataset.numeric_features), needed, kept, differences.by_feature, written)


def open_v21(root: Path) -> DatasetV21:
    """Open a dataset that gets files of GR00T.

    Raises:
        UsageError: If it is no dataset of version 2.1.
    """
    dataset = open_current(root)
    if not isinstance(dataset, DatasetV21):
        raise UsageError(
            str(root),
            f"is {dataset.version}",
            "a dataset of v2.1, which GR00T reads",
            f"robotrove convert {shlex.quote(str(root))} --to v2.1 --gr00t ROBOT --output OUTPUT",
        )
    return dataset


def complete_gr00t(
    dataset: DatasetV21,
    modality: Mapping[str, Any],
    *,
    check: bool = False,
    relative: Path | None = None,
) -> StatsReport:
    """Write the files that GR00T reads beside those of LeRobot, and no other.

    A file that is right stays as it is, also with the rounding of GR00T's own script; LeRobot's statistics are not
    read. Everything is computed before the first file is replaced.

    Args:
        dataset: The dataset.
        modality: Content of meta/modality.json.
        check: Write nothing.
        relative: Write meta/relative_stats.json too, for these relative actions, see `read_actions`.

    Raises:
        ConfigError, Damaged, UsageError: As `gr00t_files`.
    """
    notes = stale_modality(dataset.root, modality)
    differences = Differences()
    contents = gr00t_files(dataset, gr00t=True, relative=relative, modality=modality)
    changed = _gr00t(dataset, contents, differences, check=True)
    written: tuple[str, ...] = ()
    if not check:
        with Replacements(dataset.root) as aside:
            if notes:
                aside.write(MODALITY, modality_text(modality))
            for path, content in changed.items():
                aside.write(path, _json(content))
            written = aside.commit()
            update_list(dataset.root, written)
    columns = tuple(contents[paths_v30.STATS])
    total, frames = len(dataset.lengths), int(dataset.starts[-1])
    return StatsReport(total, frames, columns, {}, (), differences.by_feature, written, tuple(notes))


def _counted(changes: Iterator[Changes], total: int, progress: Progress) -> Iterator[Changes]:
    for done, changed in enumerate(changes, 1):
        yield changed
        progress("computing", done, total)


def _dataset(
    dataset: Dataset,
    whole: Mapping[str, FeatureStats],
    cameras: Sequence[str],
    differences: Differences,
    *,
    check: bool,
) -> dict[str, Any]:
    """Compare meta/stats.json with what should be in it; return it as it should be, unless it is."""
    before = dataset.json(paths_v30.STATS) if (dataset.root / paths_v30.STATS).exists() else {}
    changed = {}
    for key, exact in whole.items():
        entry = before.get(key)
        found = numbers_of(entry if isinstance(entry, dict) else {})
        if check and key in cameras:
            names = differing_of_camera(found, exact, 1, lossy=key in dataset.video_keys)
        else:
            names = differing(found, exact, LEROBOT if check else EXACT)
        if names:
            differences.add_all(paths_v30.STATS, key, None, names, found, exact)
            changed[key] = {name: value.tolist() for name, value in exact.items()}
    return {paths_v30.STATS: before | changed} if changed else {}


def _gr00t(
    dataset: DatasetV21, files: Mapping[str, Mapping[str, Any]], differences: Differences, *, check: bool
) -> dict[str, Any]:
    """Compare the files that GR00T reads with what should be in them; return those that differ as they should be."""
    changed = {}
    for path, content in files.items():
        for difference in gr00t_differences(dataset, path, content, check=check):
            differences.add(difference)
            changed[path] = content
    return changed


def _json(content: Mapping[str, Any]) -> bytes:
    return (json_text(content, indent=4) + "\n").encode()


def gr00t_files(
    dataset: DatasetV21, *, gr00t: bool, relative: Path | None, modality: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the statistics that are asked for, by file, with what should be in them.

    Args:
        dataset: The dataset.
        gr00t: True for meta/stats.json.
        relative: For meta/relative_stats.json: which actions are relative, see `read_actions`.
        modality: Content of modality.json, instead of the file of the dataset.

    Raises:
        ConfigError, Damaged, UsageError: As `gr00t_stats` and `relative_stats`.
    """
    content: dict[str, dict[str, Any]] = {}
    if gr00t:
        content[paths_v30.STATS] = gr00t_stats(data_files(dataset.root), gr00t_columns(dataset.root))
    if relative is not None:
        files = [dataset.root / dataset.data_file(number) for number in dataset.numbers.tolist()]
        content[RELATIVE_STATS] = relative_stats(files, read_actions(dataset.root / MODALITY, relative, modality))
    return content


def gr00t_differences(
    dataset: DatasetV21, path: str, content: Mapping[str, Mapping[str, Any]], *, check: bool
) -> Iterator[StatDifference]:
    """Yield how a file differs from what should be in it, bit for bit.

    Args:
        dataset: The dataset.
        path: The file.
        content: What should be in it.
        check: Accept what is off by no more than GR00T's own statistics may be.
    """
    there = dataset.json(path) if (dataset.root / path).exists() else {}
    for key, stats in content.items():
        entry = there.get(key)
        exact = {name: np.array(values) for name, values in stats.items()}
        for name, expected in stats.items():
            found = entry.get(name) if isinstance(entry, dict) else None
            if found != expected and not (check and _close(name, found, exact, dataset, path)):
                yield StatDifference(path, f"{key} (GR00T)", name, None, found, expected)
    for key in there.keys() - content.keys():
        yield StatDifference(path, f"{key} (GR00T)", "all", None, there[key], None)


def _close(name: str, found: Any, exact: FeatureStats, dataset: DatasetV21, path: str) -> bool:
    values = numbers_of({name: found}).get(name, NO_NUMBERS)
    if values.shape != exact[name].shape:
        return False
    is_pose = path == RELATIVE_STATS and np.allclose(values, exact[name], rtol=0, atol=_POSES)
    return is_pose or not beyond_float32(name, values, exact, int(dataset.starts[-1])).any()
