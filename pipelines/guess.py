"""What a pipeline for some files would be: guessed from the files, for `robotrove init`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import EpisodeRejected, UsageError
from ..formats.hdf5 import LAYOUTS
from ..formats.hdf5.file_facts import DatasetFacts, EpisodeFacts, FileFacts, contents, describe
from ..formats.hdf5.hdf5_file import natural_key

_SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True, slots=True)
class Guess:
    """What was found in the files.

    Attributes:
        files: What to write under `source.files`.
        layout: Name of the layout, the same in all files.
        default_fps: What the layout assumes where a file says nothing.
        episodes: Every episode that can be opened, in order.
        model: The first of those whose mapping is the most common one.
        contents: Every dataset of that one.
        problems: A sentence for each file and episode that cannot be used.
    """

    files: tuple[str, ...]
    layout: str
    default_fps: int
    episodes: tuple[EpisodeFacts, ...]
    model: EpisodeFacts
    contents: tuple[DatasetFacts, ...]
    problems: tuple[str, ...]

    @property
    def n_frames(self) -> int:
        """Frames of all episodes."""
        return sum(episode.length for episode in self.episodes)


def guess(given: Sequence[Path], on_file: Callable[[int, int], None] = lambda done, total: None) -> Guess:
    """Find out what a pipeline for files needs to know.

    Args:
        given: Files, and folders that stand for their *.hdf5 and *.h5.
        on_file: Called with (files done, files in all).

    Raises:
        UsageError: If the files are of no known layout or of several, or a folder holds none.
        EpisodeRejected: If nothing in them can be read.
    """
    paths = list(dict.fromkeys(path for item in given for path in _expanded(item)))
    found: list[FileFacts] = []
    failures: list[EpisodeRejected] = []
    for number, path in enumerate(paths):
        try:
            found.append(describe(path))
        except EpisodeRejected as exc:
            failures.append(exc)
        on_file(number + 1, len(paths))
    failures += [exc for file in found for exc in file.rejected]
    if not any(file.layout is None or file.episodes for file in found):
        raise failures[0]
    layout = _only_layout(found)
    episodes = [(file.path, episode) for file in found for episode in file.episodes]
    votes = Counter(repr(episode.columns) for _, episode in episodes)
    path, model = next(entry for entry in episodes if repr(entry[1].columns) == votes.most_common(1)[0][0])
    return Guess(
        files=_patterns(given, paths),
        layout=layout,
        default_fps=LAYOUTS[layout].default_fps,
        episodes=tuple(episode for _, episode in episodes),
        model=model,
        contents=tuple(contents(path, model)),
        problems=tuple(f"{exc.detail} ({exc.reason})" for exc in failures),
    )


def _expanded(item: Path) -> list[Path]:
    if not item.is_dir():
        return [item]
    found = sorted((path for path in item.iterdir() if path.suffix in _SUFFIXES), key=lambda p: natural_key(p.name))
    if not found:
        raise UsageError(str(item), "holds no HDF5 files", "a folder with *.hdf5 or *.h5")
    return found


def _only_layout(found: Sequence[FileFacts]) -> str:
    groups: dict[str | None, list[Path]] = {}
    for file in found:
        groups.setdefault(file.layout, []).append(file.path)
    if len(groups) > 1:
        listed = [f"{name or 'no known layout'}: {_some(paths)}" for name, paths in groups.items()]
        raise UsageError(
            "these files",
            "differ in their layout\n    " + "\n    ".join(listed),
            "files of one layout in one pipeline",
            "robotrove init for each layout on its own",
        )
    name = next(iter(groups))
    if name is None:
        raise UsageError(
            _some(groups[name]),
            "is of no layout that can be recognised",
            "one of " + ", ".join(LAYOUTS),
            f"`robotrove inspect {groups[name][0]}` shows what is in it; with `layout: generic` say what is where",
        )
    return name


def _some(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + more


def _patterns(given: Sequence[Path], paths: Sequence[Path]) -> tuple[str, ...]:
    """Return what stands for the files in a pipeline: the folder if it is all that the folder holds."""
    parents = {path.parent for path in paths}
    if len(paths) > 1 and len(parents) == 1:
        parent = parents.pop()
        if {path for path in parent.iterdir() if path.suffix in _SUFFIXES} == set(paths):
            return (str(parent),)
    return tuple(dict.fromkeys(map(str, given)))
