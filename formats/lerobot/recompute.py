"""Completing and correcting the statistics of a finished dataset in place, or saying what is wrong with them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.commit import Replacements
from ...core.errors import Damaged, UsageError
from . import paths
from .camera_recompute import colour_cameras
from .checks.stat_values import numbers_of
from .dataset_stats import whole_stats
from .episode_recompute import EpisodeRecompute
from .folder_source import FolderSource
from .needed_cameras import needed_cameras
from .open_source import open_source
from .recompute_gr00t import gr00t_differences, gr00t_files
from .stats import FeatureStats
from .stats_differences import EXACT, LEROBOT, Differences, FeatureDifferences, differing, differing_of_camera
from .stats_store import Changes, StatsStore
from .stats_store_v21 import StatsStoreV21
from .stats_store_v30 import StatsStoreV30
from .view import DatasetView
from .view_v21 import DatasetViewV21
from .view_v30 import DatasetViewV30

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class StatsReport:
    """What was recomputed, and what came of it.

    Attributes:
        episodes: Number of episodes.
        frames: Number of frames.
        numbers: Features computed from the rows.
        cameras: Camera computed from its frames to why it was.
        differences: By feature; those of a check, or what was changed.
        written: Files that were replaced, relative to the dataset.
    """

    episodes: int
    frames: int
    numbers: tuple[str, ...]
    cameras: Mapping[str, str]
    differences: Mapping[str, FeatureDifferences]
    written: tuple[str, ...]


def recompute(
    root: Path,
    *,
    check: bool = False,
    cameras: bool | Sequence[str] = False,
    gr00t: bool = False,
    relative: Path | None = None,
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
        gr00t: v2.1: write meta/stats.json as GR00T does.
        relative: v2.1: write meta/relative_stats.json for these relative actions, see `relative_config`.
        progress: Called with what is being done, how many episodes are done, of how many.

    Raises:
        UsageError: If it is no such dataset, or files of GR00T are asked for with v3.0.
        RobotroveError: If a file is missing or damaged, or has less than meta says; nothing is written then.
    """
    source = open_source(root)
    assert isinstance(source, FolderSource)
    view: DatasetViewV21 | DatasetViewV30 = source.view
    if isinstance(view, DatasetViewV30) and (gr00t or relative is not None):
        raise UsageError(
            str(root),
            f"is {view.version}",
            "a dataset of v2.1 for --gr00t and --relative",
            f"robotrove convert {root} --to v2.1 --output OUTPUT",
        )
    if not view.numeric_features:
        raise Damaged(paths.INFO, "has no features that are numbers")
    total = len(view.lengths)
    for done, _ in enumerate(source.files(lambda text: None), 1):
        progress("reading files", done, total)

    store: StatsStore[Any] = StatsStoreV21(view) if isinstance(view, DatasetViewV21) else StatsStoreV30(view)
    before = source.histograms()
    needed = needed_cameras(store, before)
    if cameras:
        chosen = colour_cameras(view.features) if cameras is True else cameras
        needed = {key: needed.get(key, "asked for") for key in chosen}
    differences = Differences()
    episodes = EpisodeRecompute(source, view, store, list(needed), differences, check=check)
    changes = _counted(episodes.changes(), total, progress)
    with Replacements(root) as aside:
        if not check:
            recomputed = {key: f for key, f in view.features.items() if key in needed or key in view.numeric_features}
            store.rewrite(changes, recomputed, aside)
        deque(changes, maxlen=0)  # to its end, which a check does not come to otherwise
        progress("computing the whole", total, total)
        histograms = before | episodes.histograms
        if isinstance(view, DatasetViewV21):
            files = _gr00t(view, gr00t_files(view, gr00t=gr00t, relative=relative), differences, check=check)
        else:
            whole = whole_stats(view, episodes.merged(), histograms)
            files = _dataset(view, whole, list(needed), differences, check=check)
        written: tuple[str, ...] = ()
        if not check:
            if any(not np.array_equal(histograms[key], before.get(key, ())) for key in histograms):
                files[paths.HISTOGRAMS] = {key: counts.tolist() for key, counts in histograms.items()}
            for path, content in files.items():
                aside.write(path, _json(content))
            written = aside.commit(first=paths.HISTOGRAMS)
    frames = int(view.starts[-1])
    return StatsReport(total, frames, tuple(view.numeric_features), needed, differences.by_feature, written)


def _counted(changes: Iterator[Changes], total: int, progress: Progress) -> Iterator[Changes]:
    for done, changed in enumerate(changes, 1):
        yield changed
        progress("computing", done, total)


def _dataset(
    view: DatasetView,
    whole: Mapping[str, FeatureStats],
    cameras: Sequence[str],
    differences: Differences,
    *,
    check: bool,
) -> dict[str, Any]:
    """Compare meta/stats.json with what should be in it; return it as it should be, unless it is."""
    before = view.json(paths.STATS) if (view.root / paths.STATS).exists() else {}
    changed = {}
    for key, exact in whole.items():
        entry = before.get(key)
        found = numbers_of(entry if isinstance(entry, dict) else {})
        if check and key in cameras:
            names = differing_of_camera(found, exact, 1, lossy=view.features[key].is_video)
        else:
            names = differing(found, exact, LEROBOT if check else EXACT)
        if names:
            differences.add_all(paths.STATS, key, None, names, found, exact)
            changed[key] = {name: value.tolist() for name, value in exact.items()}
    return {paths.STATS: before | changed} if changed else {}


def _gr00t(
    view: DatasetViewV21, files: Mapping[str, Mapping[str, Any]], differences: Differences, *, check: bool
) -> dict[str, Any]:
    """Compare the files that GR00T reads with what should be in them; return those that differ as they should be."""
    changed = {}
    for path, content in files.items():
        for difference in gr00t_differences(view, path, content, check=check):
            differences.add(difference)
            changed[path] = content
    return changed


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=4, ensure_ascii=False) + "\n").encode()
