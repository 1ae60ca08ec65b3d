"""Pipeline draft: a commented pipeline file for recordings, from what they contain."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...core.errors import EpisodeRejected, UsageError, printable
from ...core.features import DEFAULT_FEATURES, cameras
from ...core.source_file import files_below
from ...formats.hdf5 import LAYOUTS
from ...formats.hdf5.file_facts import ArrayFacts, EpisodeFacts, FileFacts, absolute_state, contents, describe
from ...formats.hdf5.hdf5_file import HDF5_SUFFIXES, natural_key
from ...formats.hdf5.mapping import ColumnSpec
from ...media.encode.settings import VideoSettings
from .pipeline_file import shipped_text

_PLAIN = re.compile(r"(?:\.{1,2}/)*/?[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_UNSAFE = re.compile(r"[^\w.\-]")
_VIDEO = {
    "codec": "libsvtav1 (AV1), libx264 (H.264, what GR00T wants), libx265, h264_nvenc …",
    "crf": "quality: lower is better and larger",
    "g": "frames from one keyframe to the next: more is smaller, and slower to read at random",
    "pix_fmt": "pixel format",
    "preset": "speed of the encoder; null is the codec's usual one",
    "threads": "of one encoder; more is faster for large frames and needs more memory",
    "encoder": "pyav, or ffmpeg for the codecs of an ffmpeg program",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """Facts found in the files.

    Attributes:
        files: What to write under `source.files`.
        layout: Name of the layout, the same in all files.
        default_fps: What the layout assumes where a file says nothing.
        episodes: Every episode that can be opened, in order.
        model: The first of those with the most common mapping.
        contents: Every dataset of that one.
        absolute_state: A dataset for its state with absolute joint positions, and why; None where the state has them.
        problems: A sentence for each file and episode that cannot be used.
    """

    files: tuple[str, ...]
    layout: str
    default_fps: int
    episodes: tuple[EpisodeFacts, ...]
    model: EpisodeFacts
    contents: tuple[ArrayFacts, ...]
    absolute_state: tuple[str, str] | None
    problems: tuple[str, ...]

    @property
    def n_frames(self) -> int:
        """Frames of all episodes."""
        return sum(episode.length for episode in self.episodes)


def guess(given: Sequence[Path], on_file: Callable[[int, int], None] = lambda done, total: None) -> Guess:
    """Find out what a pipeline for files needs to know.

    Args:
        given: Files, and folders that stand for the *.hdf5 and *.h5 in them and below.
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
        files=tuple(dict.fromkeys(map(str, given))),
        layout=layout,
        default_fps=LAYOUTS[layout].default_fps,
        episodes=tuple(episode for _, episode in episodes),
        model=model,
        contents=tuple(contents(path, model)),
        absolute_state=absolute_state(path, layout, model),
        problems=tuple(f"{exc.detail} ({exc.reason})" for exc in failures),
    )


def _expanded(item: Path) -> list[Path]:
    if not item.is_dir():
        return [item]
    found = files_below(item, HDF5_SUFFIXES)
    if not found:
        raise UsageError(str(item), "holds no HDF5 files", "a folder with *.hdf5 or *.h5, in it or below")
    return sorted(found, key=lambda path: natural_key(str(path)))


def _only_layout(found: Sequence[FileFacts]) -> str:
    groups: dict[str | None, list[Path]] = {}
    for file in found:
        groups.setdefault(file.layout, []).append(file.path)
    name, paths = next(iter(groups.items()))
    if len(groups) > 1:
        listed = [f"{name or 'no known layout'}: {_some(paths)}" for name, paths in groups.items()]
        raise UsageError(
            "these files",
            "differ in their layout\n    " + "\n    ".join(listed),
            "files of one layout in one pipeline",
            "\n    ".join(["one command for each layout", *(_next(name, paths) for name, paths in groups.items())]),
        )
    if name is None:
        raise UsageError(
            _some(paths),
            "is of no layout that can be recognised",
            "one of " + ", ".join(LAYOUTS),
            _next(name, paths),
        )
    return name


def _next(layout: str | None, paths: Sequence[Path]) -> str:
    """Return the next command for files of one layout, or of an unknown one."""
    if layout is not None:
        return printable(f"robotrove init {shlex.join(_folded(paths))} -o {layout}.yaml")
    inspect = printable(f"robotrove inspect {shlex.quote(str(paths[0]))}")
    return f"{inspect}  # then map what it shows with `layout: generic` (docs/pipelines.md, Layouts)"


def _some(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return printable(", ".join(map(str, paths[:3]))) + more


def _folded(paths: Sequence[Path]) -> list[str]:
    """Return what stands for files in a command: the folder if they are all that it contains."""
    parents = {path.parent for path in paths}
    if len(paths) > 1 and len(parents) == 1:
        parent = parents.pop()
        if set(files_below(parent, HDF5_SUFFIXES)) == set(paths):
            return [str(parent)]
    return list(map(str, paths))


def pipeline_text(guess: Guess, output: str) -> str:
    """Return a pipeline file for what was found; it loads and runs as it is.

    Args:
        guess: What was found.
        output: Folder that the dataset is to get.
    """
    lines = [*_head(guess), "", *_source(guess), "", *_steps(guess), "", *_writer(), "", f"output: {flow(output)}"]
    return "\n".join(lines) + "\n"


def copied_text(name: str, sources: Sequence[str], dataset: str) -> str:
    """Return a shipped pipeline as a file of one's own, with files to convert and an output.

    Args:
        name: Name of the pipeline.
        sources: Files and folders.
        dataset: Name of the dataset. GR00T's tools look for it in a folder `lerobot`.

    Raises:
        UsageError: If there is no such pipeline.
    """
    before, key, after = shipped_text(name).partition("\nsource:\n")
    output = flow(f"{dataset}/lerobot" if "gr00t_files" in after else f"{dataset}_lerobot")
    return f"{before}{key}{_files(sources)}\n{after}output: {output}  # relative to this file too\n"


def flow(value: Any) -> str:
    """Return a plain value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    # JSON is YAML too, except that raw line breaks of Unicode would be folded.
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())


def _head(guess: Guess) -> Iterator[str]:
    lengths = [episode.length for episode in guess.episodes]
    yield f"# Found: layout {guess.layout}, {len(lengths)} episodes of {min(lengths)} to {max(lengths)} frames."
    for problem in guess.problems[:5]:
        yield f"# Cannot be used: {_one_line(problem)}"
    if len(guess.problems) > 5:
        yield f"# … and {len(guess.problems) - 5} more that cannot be used; `robotrove plan` lists them."


def _source(guess: Guess) -> Iterator[str]:
    yield "source:"
    yield _files(guess.files)
    yield f"  layout: {guess.layout}"
    yield f"  task: null  # {_task(guess)}"
    yield f"  fps: {_fps(guess)}"
    yield "  columns:  # feature of the dataset: where it is in an episode; these are the layout's own defaults"
    known = {facts.path: facts for facts in guess.contents}
    mapped: set[str] = set()
    names: set[str] = set(DEFAULT_FEATURES) | {"task"}
    for key, spec in guess.model.columns.items():
        sources = [part.source.strip("/") for part in spec.parts]
        mapped.update(sources)
        name = _unused_name(key, names)
        shown = " + ".join(_facts(known[source]) for source in sources if source in known)
        yield f"    {flow(name)}: {flow(_short(spec))}  # {shown}".rstrip(" #")
        if key == "observation.state" and guess.absolute_state:
            path, why = guess.absolute_state
            mapped.add(path)
            yield f"    # {why}. For absolute positions, those after the action of their row, use this line instead:"
            yield f"    # {key}: {flow(path)}  # {_facts(known[path])}"
    rest = [facts for facts in guess.contents if facts.path not in mapped]
    if possible := [facts for facts in rest if facts.kind != "none"]:
        yield "    # Not converted; a line without its '# ' adds the feature:"
        for facts in possible:
            name = _unused_name(_feature_name(facts), names)
            doubt = f": {facts.problem}" if facts.problem else ""
            yield f"    # {flow(name)}: {flow(facts.path)}  # {_facts(facts)}{doubt}"
    if others := [facts for facts in rest if facts.kind == "none"]:
        yield "    # Not converted, and not possible as columns:"
        for facts in others:
            yield f"    #   {facts.path!r}  {facts.shape} {facts.dtype}: {_one_line(facts.problem)}"


def _files(sources: Sequence[str]) -> str:
    return f"  files: {flow(list(sources))}  # relative to this file"


def _task(guess: Guess) -> str:
    tasks = Counter((episode.task, episode.task_source) for episode in guess.episodes)
    (task, source), _ = tasks.most_common(1)[0]
    if source == "none":
        return "the files do not say it; say what the robot does, such as: put the cube on the plate"
    others = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
    if source == "file":
        return f"the files say it: {task!r}{others}; what stands here is for episodes without"
    stand_ins = {
        "env_name": "the environment's name",
        "env_task": "what LeIsaac says of the environment",
        "file_name": "what the file's name says",
    }
    stand_in = stand_ins[source]
    return f"the files do not say it; say what the robot does. Until then it is {stand_in}: {task!r}{others}"


def _fps(guess: Guess) -> str:
    rates = Counter(episode.fps for episode in guess.episodes)
    rate, _ = rates.most_common(1)[0]
    also = f" (also found: {', '.join(f'{other:g}' for other in rates if other not in (rate, None))})"
    also = also if len(rates.keys() - {None}) > 1 else ""
    if rate is None:
        assumed = f"ASSUMED to be {guess.default_fps}: the files do not say it"
        return f"null  # {assumed}; write here what the recorder ran at{also}"
    if abs(rate - round(rate)) > 1e-6:
        return f"{max(1, round(rate))}  # the files say {rate:g}, and a dataset needs a whole number{also}"
    return f"null  # the files say {rate:g}; what stands here is for files that do not{also}"


def _steps(guess: Guess) -> Iterator[str]:
    lengths = [episode.length for episode in guess.episodes]
    features = guess.model.features
    yield "steps:"
    yield from _success(guess)
    yield "  # Further steps, one line each; remove its '# ' to use it. Keep this order:"
    yield f"  # - length_filter: {{min_length: {min(lengths)}}}  # reject episodes with fewer frames"
    yield "  # - frame_trimmer: {head: 0, tail: 1}  # drop frames at the beginning and the end of each episode"
    vectors = [key for key in ("observation.state", "action") if key in features and len(features[key].shape) == 1]
    if vectors and (joints := features[vectors[0]].names):
        example = {"order": list(joints), "columns": vectors[:1]}
        yield f"  # - joint_remapper: {flow(example)}  # entries in another order, or fewer, by name"
    if vectors:
        example = {"scale": 57.29577951308232, "columns": vectors}
        yield f"  # - unit_converter: {flow(example)}  # value · scale + offset; here radians to degrees"
    if cameras(features):
        yield "  # - image_resizer: {height: 224, width: 224}  # other frame sizes; {pad: even} where H.264 needs it"


def _success(guess: Guess) -> Iterator[str]:
    labels = Counter(episode.success for episode in guess.episodes)
    counts = f"{labels[True]} successes, {labels[False]} failures, {labels[None]} without a label"
    if labels[True]:
        yield f"  - success_filter  # keeps successes only; found {counts}"
        if labels[None]:
            yield "  # - success_filter: {missing: success}  # the same, but episodes without a label are kept"
    elif labels[False]:
        yield f"  # - success_filter  # would keep nothing; found {counts}"
    else:
        yield "  # - success_filter: {missing: success}  # these files have no labels: keeps everything"


def _writer() -> Iterator[str]:
    yield "writer:"
    yield "  robot_type: null  # name of the robot in info.json, such as so101_follower"
    yield "  # video:  # these are the defaults"
    for field in fields(VideoSettings):
        yield f"  #   {field.name}: {flow(field.default)}  # {_VIDEO[field.name]}"


def _short(spec: ColumnSpec) -> Any:
    """Return a column as short as a pipeline file may have it."""
    full = spec.model_dump(by_alias=True, exclude_defaults=True)
    if isinstance(full["from"], list):
        parts = [part["from"] if part.keys() == {"from"} else part for part in full["from"]]
        full["from"] = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
    return full["from"] if full.keys() == {"from"} else full


def _facts(facts: ArrayFacts) -> str:
    rows = ", ".join(["T", *map(str, facts.shape[1:])])
    return f"({rows}{',' if len(facts.shape) == 1 else ''}) {facts.dtype}"


def _feature_name(facts: ArrayFacts) -> str:
    name = re.sub(r"^(obs|observations)/", "observation/", facts.path).replace("/", ".")
    if facts.kind == "camera":
        return "observation.images." + name.removeprefix("observation.").removeprefix("images.")
    # Readers of LeRobot datasets take every name with "image" in it for a camera.
    return re.sub("image", "picture", name)


def _unused_name(key: str, taken: set[str]) -> str:
    """Return a feature name like `key` that is safe as a folder and not taken yet; takes it."""
    safe = name = _UNSAFE.sub("_", key).replace("..", "_").lstrip(".-") or "feature"
    number = 2
    while name in taken:
        name, number = f"{safe}_{number}", number + 1
    taken.add(name)
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())
