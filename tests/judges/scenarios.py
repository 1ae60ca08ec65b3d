"""Which datasets are recorded for the tests, and what robotrove makes of them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from robotrove.tests.judges.recordings import LONG, PLAIN, RICH, SMALL_FILES, STILLS, Recorder, Truth
from robotrove.tests.judges.releases import V21_RELEASES, V30_RELEASES, Seen, run_script

TWENTY = [f"small_{number:02}" for number in range(20)]
TASKS = ["pick", 'place the "cup"', "wipe 猫"]
# One dataset of each command: its sources, and options. What is made may be a source of what follows.
MERGES: dict[str, tuple[list[str], list[str]]] = {
    "one": (["many"], []),
    "three": (["many", "merged", "deleted"], []),
    "twenty": (TWENTY, []),
    "releases": (["old", "official", "new"], ["--on-mismatch", "reencode"]),
    "codecs": (["new_h264", "deleted"], ["--on-mismatch", "reencode"]),
    "rich_alone": (["rich"], []),
    "hours_alone": (["hours"], []),
}
DOWN = {f"{name}_21": name for name in ("many", "h264", "official", "rich", "stills", "new_h264")}
ROBOT = """
name: recorder
robot_type: recorder
joints: [a, b, c, d]
groups: {arm: [a, b, c], hand: [d]}
gr00t: {parts: {state: {pose: {column: observation.state, start: 0, end: 3}}}}
"""
UP = {f"{name}_30": name for name in ("old", "old_rich")}
ROUND = {f"{name}_round": f"{name}_21" for name in ("many", "rich", "new_h264")}
# What LeRobot makes of what we made: it converts our v2.1, goes on recording, takes episodes out, merges.
OFFICIAL = {f"{name}_official": f"{name}_21" for name in ("many", "h264", "stills")}
MORE = {"one_more": "one", "old_30_more": "old_30", "many_21_more": "many_21", "rich_21_more": "rich_21"}
LESS = {"three_less": "three", "old_30_less": "old_30"}
TWICE = {"one_twice": "one"}
THEIRS = {name: [source] for name, source in (OFFICIAL | MORE | LESS).items()} | {
    name: [source, source] for name, source in TWICE.items()
}


@dataclass
class Dataset:
    """A dataset with what it must hold.

    Attributes:
        root: Its folder.
        truth: Its rows and frames.
        sources: Names of the datasets that it was made of.
        exit_code: Of the command that made it.
        output: What that command said.
    """

    root: Path
    truth: Truth
    sources: list[str] = field(default_factory=list)
    exit_code: int = 0
    output: str = field(default="", repr=False)

    @property
    def is_v21(self) -> bool:
        return (self.root / "meta" / "episodes.jsonl").exists()


def record_all(folder: Path) -> dict[str, Dataset]:
    """Let every release record; return dataset by name."""
    recorders = {release: Recorder(folder / release) for release in (*V21_RELEASES, *V30_RELEASES)}
    oldest, middle, newest = recorders.values()
    oldest.record("old", [12, 7, 20, 5, 9, 15], TASKS, limits={"chunks_size": 4}, first=100)
    oldest.record("old_rich", [10, 6, 8], ["x", "y"], features=RICH, codec="h264", first=200)
    small = SMALL_FILES | {"data_files_size_in_mb": 0.006}
    middle.record("many", [12, 30, 7, 40, 18, 5, 25, 1], TASKS, limits=small, resume_at=[5], first=1000)
    middle.record("h264", [20, 9, 14, 30, 11], ["push", "pick"], codec="h264", limits=small, first=1200)
    middle.record("rich", [10, 12, 6], ["y", "z"], features=RICH, first=1300)
    middle.record("stills", [8, 5], ["y"], features=PLAIN | STILLS, first=1400)
    for number, name in enumerate(TWENTY):
        tasks = ["pick", f"task {number}"] if number % 2 else [f"task {number // 4}", "pick"]
        middle.record(name, [6 + number % 5, 5], tasks, codec="h264", first=2000 + 20 * number)
    # 152 of its frames are lost to LeRobot: beyond 1,024 s neighbours of float32 are further apart than its tolerance.
    middle.record("hours", [1500, 1800], ["wait"], features=LONG, fps=3, first=3000)
    middle.merge("merged", [middle.made("many"), middle.made("many")])
    middle.delete("deleted", middle.made("many"), [1, 4])
    middle.convert("official", oldest.made("old"), data_mb=0.006, video_mb=0.02)
    newest.record("new", [10, 8, 12, 9], ["wipe 猫", "dust"], limits=small, resume_at=[2], first=7000)
    options = {"bf": "0"}
    newest.record("new_h264", [10, 8, 12], ["wipe 猫"], codec="h264", codec_options=options, first=7100)
    datasets = {}
    for release, recorder in recorders.items():
        assert not (errors := recorder.run(release)), errors
        datasets |= {name: Dataset(recorder.folder / name, truth) for name, truth in recorder.truths.items()}
    return datasets


def make_all(recorded: Mapping[str, Dataset], folder: Path) -> dict[str, Dataset]:
    """Run every command of ours, then LeRobot on what came of it; return dataset by name."""
    known = dict(recorded)

    def make(name: str, command: Sequence[str], sources: list[str], options: Sequence[str] = ()) -> tuple[str, Dataset]:
        first, *others = (known[source].truth for source in sources)
        roots = [str(known[source].root) for source in sources]
        done = robotrove(*command, *roots, "-o", str(folder / name), "--workers", "2", *options)
        return name, Dataset(folder / name, sum(others, first), sources, done.returncode, done.stdout + done.stderr)

    # LeRobot's own merge has an episode twice, and a part of another dataset is in a third.
    aggregate = ["aggregate", "--on-duplicate", "keep"]
    down, up = ["convert", "--to", "v2.1"], ["convert", "--to", "v3.0"]
    first_round = [(name, aggregate, sources, options) for name, (sources, options) in MERGES.items()]
    robot = folder / "robot.yaml"
    robot.write_text(ROBOT)
    first_round += [
        (name, down, [source], ["--gr00t", str(robot)] * (source == "many")) for name, source in DOWN.items()
    ]
    first_round += [(name, up, [source], []) for name, source in UP.items()]
    second_round = [(name, up, [source], []) for name, source in ROUND.items()]
    with ThreadPoolExecutor(max_workers=2) as pool:  # most of their time is starting
        for commands in (first_round, second_round):
            known |= dict(pool.map(lambda arguments: make(*arguments), commands))
    made = {name: known[name] for name in known.keys() - recorded.keys()}
    return made | make_theirs(made, folder)


def make_theirs(made: Mapping[str, Dataset], folder: Path) -> dict[str, Dataset]:
    """Let LeRobot work on the datasets that we made; `output` is the traceback where it could not."""
    recorders = {release: Recorder(folder / release) for release in ("0.3.3", "0.4.4")}
    oldest, newer = recorders.values()

    def ours(name: str) -> tuple[Path, Truth]:
        return made[name].root, made[name].truth

    for name, source in OFFICIAL.items():
        newer.convert(name, ours(source))
    for name, source in MORE.items():
        features = RICH if source == "rich_21" else PLAIN
        recorder = oldest if source in DOWN else newer
        recorder.record(name, [6, 9], ["one more", "pick"], features=features, onto=ours(source), first=8000)
    for name, source in LESS.items():
        newer.delete(name, ours(source), [0, 3])
    for name, source in TWICE.items():
        newer.merge(name, [ours(source), ours(source)])
    datasets = {}
    for release, recorder in recorders.items():
        errors = recorder.run(release)
        for name in recorder.truths:
            error = errors.get(recorder.folder / name, "")
            datasets[name] = Dataset(*recorder.made(name), THEIRS[name], int(bool(error)), error)
    return datasets


def robotrove(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return subprocess.run([sys.executable, "-m", "robotrove.cli", *arguments], capture_output=True, text=True)


def look_at_all(release: str, datasets: Mapping[str, Dataset], folder: Path) -> dict[str, Seen]:
    """Let a release judge the datasets that it can read; those that do not exist are left out."""
    readable = {
        name: dataset.root
        for name, dataset in datasets.items()
        if (dataset.root / "meta" / "info.json").exists() and dataset.is_v21 == (release in V21_RELEASES)
    }
    paths = [path for name, root in readable.items() for path in (root, folder / f"{name}.npz")]
    run_script(release, "judge.py", *paths, folder=folder)
    return {name: Seen(folder / f"{name}.npz", release) for name in readable}


def digests(datasets: Mapping[str, Dataset]) -> dict[Path, str]:
    """Return path and digest of every file of the datasets."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(datasets)}


def files(datasets: Mapping[str, Dataset]) -> Iterator[Path]:
    """Yield every file of the datasets."""
    for dataset in datasets.values():
        yield from (path for path in sorted(dataset.root.rglob("*")) if path.is_file())
