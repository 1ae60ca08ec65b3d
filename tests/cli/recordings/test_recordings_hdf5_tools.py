"""Rows of docs/hdf5-tools.md: each command of the piper guide has a counterpart that runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.places import ROOT

READ, SPLIT, REPACK = "read_hdf5.py data.h5", "split_hdf5.py", "repack_hdf5.py"
SPLIT_ALL = f"{SPLIT} split-hdf5-file --input data.h5 --output ./split_output"
LENGTHS = {"one.h5": 12, "two.hdf5": 9}  # frames of each episode in ./data
BEFORE = b"not what split writes"


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the code in both columns of the rows below a heading of the page."""
    page = (ROOT / "docs/hdf5-tools.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\nOther names")[0]
    return re.findall(r"^\| `(.+)` \| `(.+)` \|$", section, re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the guide's commands find it: data.h5, and ./data with two files of three episodes."""
    monkeypatch.chdir(tmp_path)
    for name, frames in LENGTHS.items():
        [made] = write_sample("piper", tmp_path / "made", episodes=3, frames=frames)
        (tmp_path / "data").mkdir(exist_ok=True)
        shutil.move(made, tmp_path / "data" / name)
    shutil.copy(tmp_path / "data/one.h5", "data.h5")
    return tmp_path


def actions(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {name: np.asarray(file[name]["action"]).tobytes() for name in file}


def files(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return file name to the actions of its episodes."""
    return {path.name: actions(path) for path in sorted(folder.iterdir()) if path.read_bytes() != BEFORE}


def tree_of_three(out: str, place: Path) -> None:
    assert "episode_0 … episode_2 (3 alike, " in out
    assert "action" in out


def names_of_three(out: str, place: Path) -> None:
    assert out.split() == ["episode_0", "episode_1", "episode_2"]


def values_and_attributes(out: str, place: Path) -> None:
    tree_of_three(out, place)
    with h5py.File("data.h5") as file:
        first = float(f"{file['episode_0/action'][0, 0]:.6g}")
        lengths = {int(file[name].attrs["length"]) for name in file}
    assert re.search(rf"first \[{re.escape(str(first))}", out)
    assert f"@length = {lengths.pop()}" in out


def split_into(*numbers: int, prefix: str = "") -> Callable[[str, Path], None]:
    def check(out: str, place: Path) -> None:
        of = actions(place / "data.h5")
        expected = {f"{prefix}episode_{n}.hdf5": {f"episode_{n}": of[f"episode_{n}"]} for n in numbers}
        assert files(place / "split_output") == expected

    return check


def counts_and_no_file(out: str, place: Path) -> None:
    assert "2 files, 6 episodes" in out
    assert not (place / "repacked").exists()


def plan_and_no_file(out: str, place: Path) -> None:
    assert [line.strip() for line in out.splitlines()] == [
        "repacked/repack_0.hdf5: 6 episodes",
        *(f"one.h5:/episode_{n}" for n in range(3)),
        *(f"two.hdf5:/episode_{n} as /episode_{n + 3}" for n in range(3)),
    ]
    assert not (place / "repacked").exists()


def packed(out: str, place: Path) -> None:
    one, two = actions(place / "data/one.h5"), actions(place / "data/two.hdf5")
    later = {f"episode_{n + 3}": two[f"episode_{n}"] for n in range(3)}
    assert files(place / "repacked") == {"repack_0.hdf5": one | later}


def dataset(out: str, place: Path) -> None:
    """Rows are those of the recordings: piper's `length` is their number but for a few at the end."""
    expected = []
    for name in LENGTHS:
        with h5py.File(place / "data" / name) as file:
            for n in range(3):
                episode = file[f"episode_{n}"]
                expected.append(episode["action"][: int(episode.attrs["length"])])
    tables = [pq.read_table(path, columns=["action"]) for path in sorted(place.glob("dataset/data/*/*.parquet"))]
    found = np.concatenate([np.stack(table["action"].to_numpy()) for table in tables])
    np.testing.assert_array_equal(found, np.concatenate(expected))


EXPECTED: dict[str, Callable[[str, Path], None]] = {
    READ: tree_of_three,
    f"{READ} --attrs --preview": values_and_attributes,
    f"{READ} --max-level 2": tree_of_three,
    f"{SPLIT} list-hdf5-groups --input data.h5": names_of_three,
    SPLIT_ALL: split_into(1, 2),  # episode_0.hdf5 exists, and is kept
    f"{SPLIT_ALL} --groups episode_0 episode_1": split_into(1),
    f'{SPLIT_ALL} --prefix "piper_"': split_into(0, 1, 2, prefix="piper_"),
    f"{SPLIT_ALL} --overwrite": split_into(0, 1, 2),
    f"{SPLIT} split-hdf5-file -i data.h5 -o ./split_output": split_into(1, 2),
    f"{REPACK} analyze --input ./data --episodes-per-file 50": counts_and_no_file,
    f"{REPACK} repack --input ./data --output ./repacked --episodes-per-file 50 --dry-run": plan_and_no_file,
    f"{REPACK} repack --input ./data --output ./repacked --episodes-per-file 50": packed,
    'hdf2lerobotv21.py --all --repo-id "your/repo" --hdf5-root ./data': dataset,
    'convert_hdf5_shards.py --hdf5-root ./data --all --repo-id "your/repo" --workers 4': dataset,
}


def test_each_row_has_its_result() -> None:
    guide = [theirs for theirs, _ in rows("Command lines")]
    assert sorted(guide) == sorted([*EXPECTED, f"{READ} --interactive"])


@pytest.mark.parametrize(("theirs", "ours"), [row for row in rows("Command lines") if row[0] in EXPECTED])
def test_the_counterpart_of_a_command(robotrove: Callable, place: Path, theirs: str, ours: str) -> None:
    (place / "split_output").mkdir()
    (place / "split_output/episode_0.hdf5").write_bytes(BEFORE)
    program, *arguments = shlex.split(ours)
    assert program == "robotrove"
    found = robotrove(*arguments)
    assert found.code == 0, found.err
    EXPECTED[theirs](found.out, place)


def test_the_commands_of_the_browser(place: Path) -> None:
    [ours] = [ours for theirs, ours in rows("Command lines") if theirs.endswith("--interactive")]
    script = [ours for _, ours in rows("Commands of `--interactive`")]
    assert script[-2:] == ["exit", "quit"]
    for end in ("exit", "quit"):
        lines = [*script[:-2], "pwd", end, "nothing follows"]
        command = [sys.executable, "-m", "robotrove.cli", *shlex.split(ours)[1:]]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, cwd=place)
        assert (done.returncode, done.stderr) == (0, "")
        out = [" ".join(line.split()) for line in done.stdout.splitlines()]
        shown = [line for line in out if line.startswith("episode_")]
        assert shown == [f"episode_{n} group, 5 members" for n in range(3)]  # ls
        with h5py.File("data.h5") as file:
            action = file["episode_0/action"][:]
        assert f"action {action.shape} float32, {action.nbytes} B, contiguous" in out  # info
        assert f"{action.size} values" in out
        assert out[-3].startswith(f"min {float(f'{action.min():.6g}')}, ")  # preview
        assert out[-2:] == ["/episode_0", "/"]  # pwd, before and after cd ..
