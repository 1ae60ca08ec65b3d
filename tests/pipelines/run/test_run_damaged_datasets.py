"""Datasets that are damaged, or are none: what is wrong is named, and nothing is made that looks finished."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.core.errors import RobotroveError, RunChanged
from robotrove.executors.executor import Executor
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.support.datasets.expected import assert_holds
from robotrove.tests.support.datasets.numbered import FRONT, WRIST, Made, aggregate, convert, digests, make, quickly
from robotrove.tests.support.datasets.on_disk import OnDisk, forget
from robotrove.tests.support.pipelines.faults import command, environment, killed_in, small_files
from robotrove.tests.support.pipelines.runs import Here, assert_no_leftovers, assert_same_dataset, tree

pytestmark = pytest.mark.slow


LENGTHS = [6, 4, 9, 5, 7]
DATA_30 = "data/chunk-000/file-001.parquet"
VIDEO_30 = f"videos/{FRONT}/chunk-000/file-001.mp4"
META_30 = "meta/episodes/chunk-000/file-000.parquet"
DATA_21 = "data/chunk-000/episode_000003.parquet"
VIDEO_21 = f"videos/chunk-000/{WRIST}/episode_000003.mp4"
INFO = "meta/info.json"
PROVENANCE_30 = "meta/robotrove/episodes.parquet"

Change = Callable[[Path], object]


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with quickly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "useful_ranks", 2)
        yield
    forget()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Made]]:
    """The same episodes as a dataset of each version, of several files."""
    folder = tmp_path_factory.mktemp("sound")
    with small_files(0.012, 0.006, chunks=1000):
        made = make(folder, "v3.0", LENGTHS, ["x", "y"], 0)
        convert(made.root, "v2.1", folder / "v2.1")
    found = {"v3.0": made, "v2.1": Made(folder / "v2.1", made.episodes)}
    assert len(OnDisk(made.root).files("data", "parquet")) > 1
    assert len(OnDisk(made.root).files(f"videos/{FRONT}", "mp4")) > 1
    before = digests(*(dataset.root for dataset in found.values()))
    yield found
    assert digests(*(dataset.root for dataset in found.values())) == before


def _copy(sound: dict[str, Made], version: str, folder: Path) -> Path:
    return Path(shutil.copytree(sound[version].root, folder / "damaged"))


def remove(name: str) -> Change:
    return lambda root: (root / name).unlink()


def cut(name: str, share: float) -> Change:
    def change(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return change


def edit_json(**changes: Any) -> Change:
    def change(root: Path) -> None:
        content = json.loads((root / INFO).read_text())
        (root / INFO).write_text(json.dumps(content | changes))

    return change


def edit_table(name: str, column: str, row: int, value: Any) -> Change:
    """Change one value of a parquet file; its row groups stay as they are."""

    def change(root: Path) -> None:
        table = pq.read_table(root / name)
        values = table[column].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        at = table.column_names.index(column)
        pq.write_table(table.set_column(at, table.field(at), [pa.array(values, table.field(at).type)]), root / name)

    return change


def shorten(name: str) -> Change:
    def change(root: Path) -> None:
        table = pq.read_table(root / name)
        pq.write_table(table.slice(0, len(table) - 1), root / name)

    return change


def edit_line(name: str, line: int, **changes: Any) -> Change:
    def change(root: Path) -> None:
        lines = [json.loads(text) for text in (root / name).read_text(encoding="utf-8").splitlines()]
        lines[line] |= changes
        (root / name).write_text("".join(json.dumps(entry) + "\n" for entry in lines), encoding="utf-8")

    return change


def repeat_line(name: str, line: int, **changes: Any) -> Change:
    def change(root: Path) -> None:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        more = json.dumps(json.loads(lines[line]) | changes)
        (root / name).write_text("\n".join([*lines, more]), encoding="utf-8")

    return change


def drop_line(name: str, line: int) -> Change:
    def change(root: Path) -> None:
        lines = (root / name).read_text(encoding="utf-8").splitlines(keepends=True)
        del lines[line]
        (root / name).write_text("".join(lines), encoding="utf-8")

    return change


def replace_by_link(name: str) -> Change:
    """Make a file a link to one outside of the dataset, which is a clone of what somebody else may have made."""

    def change(root: Path) -> None:
        outside = root.parent / "outside"
        outside.mkdir()
        target = (root / name).rename(outside / Path(name).name)
        (root / name).symlink_to(target)
        (root / ".git").mkdir()

    return change


def spoil(name: str) -> Change:
    """Overwrite bytes in the middle of a column of numbers, where only reading it shows it."""

    def change(root: Path) -> None:
        column = pq.ParquetFile(root / name).metadata.row_group(0).column(0)
        content = bytearray((root / name).read_bytes())
        at = column.data_page_offset
        content[at + 30 : at + column.total_compressed_size] = b"\xff" * (column.total_compressed_size - 30)
        (root / name).write_bytes(content)

    return change


V30: dict[str, tuple[Change, str, str]] = {
    # What is done to the dataset; the file at fault; what is said of it.
    "missing mp4": (remove(VIDEO_30), VIDEO_30, "does not exist"),
    "missing parquet": (remove(DATA_30), DATA_30, "does not exist"),
    "missing table of episodes": (remove(META_30), "meta/episodes", "parquet"),
    "missing tasks": (remove("meta/tasks.parquet"), "meta/tasks.parquet", "does not exist"),
    "half an mp4": (cut(VIDEO_30, 0.5), VIDEO_30, ""),
    "mp4 without its end": (cut(VIDEO_30, 0.98), VIDEO_30, ""),
    "half a parquet": (cut(DATA_30, 0.5), DATA_30, "cannot be read as parquet"),
    "half a table of episodes": (cut(META_30, 0.5), META_30, "cannot be read as parquet"),
    "a row too few": (shorten(DATA_30), DATA_30, r"rows, but episode \d"),
    "a length too large": (
        edit_table(META_30, "length", 1, lambda n: n + 1), "videos/", "episode 1 should be frames",
    ),
    "a length too small": (edit_table(META_30, "length", 1, lambda n: n - 1), "data/", "episode 1 has 4 rows"),
    "a length of none": (edit_table(META_30, "length", 1, 0), "meta/episodes", "length 0"),
    "provenance of another number": (
        edit_table(PROVENANCE_30, "episode_index", 1, 7), PROVENANCE_30, "row 1: is about episode 7",
    ),
    "an episode of another number": (edit_table(META_30, "episode_index", 1, 7), META_30, "episode 7 instead of 1"),
    "overlapping windows": (
        edit_table(META_30, f"videos/{FRONT}/from_timestamp", 1, lambda at: at - 0.2),
        "videos/", "episode 0 is frames 0 to 5, and episode 1 is frames 4 to 7: they overlap",
    ),
    "a window past the end": (
        edit_table(META_30, f"videos/{FRONT}/from_timestamp", 4, lambda at: at + 3), "videos/", "episode 4 should be",
    ),
    "a window between frames": (
        edit_table(META_30, f"videos/{FRONT}/from_timestamp", 1, lambda at: at + 0.05), "videos/", "not a frame",
    ),
    "data_path leads out": (
        edit_json(data_path="../outside/file-{chunk_index:03d}-{file_index:03d}.parquet"), "../outside", "leads out",
    ),
    "video_path leads out": (
        edit_json(video_path="../outside/{video_key}/{chunk_index}-{file_index}.mp4"), "../outside", "leads out",
    ),
    "video_path is absolute": (
        edit_json(video_path="/etc/{video_key}/{chunk_index}-{file_index}.mp4"), "/etc/", "leads out",
    ),
    "video_path is one for all": (edit_json(video_path="videos/one.mp4"), INFO, "more than one file"),
    "a link that leads out": (replace_by_link(VIDEO_30), VIDEO_30, "leads out"),
}  # fmt: skip
V21: dict[str, tuple[Change, str, str]] = {
    "missing mp4": (remove(VIDEO_21), VIDEO_21, "does not exist"),
    "missing parquet": (remove(DATA_21), DATA_21, "does not exist"),
    "missing episodes": (remove("meta/episodes.jsonl"), "meta/episodes.jsonl", "does not exist"),
    "half an mp4": (cut(VIDEO_21, 0.5), VIDEO_21, ""),
    "mp4 without its end": (cut(VIDEO_21, 0.8), VIDEO_21, ""),
    "half a parquet": (cut(DATA_21, 0.5), DATA_21, "cannot be read as parquet"),
    "a row too few": (shorten(DATA_21), DATA_21, "has 4 rows, but episode 3 has 5 frames"),
    "a length too large": (edit_line("meta/episodes.jsonl", 3, length=6), DATA_21, "has 5 rows"),
    "a length of none": (edit_line("meta/episodes.jsonl", 3, length=0), "meta/episodes.jsonl", "length 0"),
    "provenance of more episodes": (
        repeat_line("meta/robotrove/episodes.jsonl", 4, episode_index=5), "meta/robotrove/episodes.jsonl", "tells of 6",
    ),
    "an episode less": (drop_line("meta/episodes.jsonl", 1), "meta/info.json", "but meta/episodes.jsonl has "),
    "statistics of an episode less": (drop_line("meta/episodes_stats.jsonl", 4), "meta/episodes_stats.jsonl", "ends"),
    "a task that is in no list": (edit_line("meta/episodes.jsonl", 3, tasks=["q"]), "meta/tasks.jsonl", "'q'"),
    "data_path leads out": (edit_json(data_path="../out/{episode_index}.parquet"), "../out", "leads out"),
    "video_path leads out": (
        edit_json(video_path="../out/{video_key}/{episode_index}.mp4"), "../out", "leads out",
    ),
    "a link that leads out": (replace_by_link(VIDEO_21), VIDEO_21, "leads out"),
}  # fmt: skip
# Only found where rows are copied.
LATE: dict[str, tuple[str, Change, str, str]] = {
    "rows of another episode": (
        "v3.0", edit_table(DATA_30, "episode_index", 0, 0), DATA_30, r"row 0\b.*episode_index is 0",
    ),
    "rows at other times": ("v2.1", edit_table(DATA_21, "timestamp", 2, 0.25), DATA_21, "timestamp is 0.25"),
    "rows of an unknown task": ("v2.1", edit_table(DATA_21, "task_index", 2, 7), DATA_21, "task_index"),
    "spoilt values": ("v3.0", spoil(DATA_30), DATA_30, ""),
    "spoilt values of one episode": ("v2.1", spoil(DATA_21), DATA_21, ""),
}  # fmt: skip


KEEP = ("--on-duplicate", "keep")  # the damaged dataset is a copy of the sound one


def _refused(act: Callable[[], object]) -> tuple[int, str]:
    """Return exit code and text of the error that a run ends with."""
    with pytest.raises(RobotroveError) as caught:
        act()
    return caught.value.exit_code, str(caught.value)


def _pipeline(*inputs: Path) -> Pipeline:
    maker = Aggregator(datasets=[str(path) for path in inputs], on_duplicate="keep")
    return Pipeline(dataset=[maker, DatasetStats()])


def _act(block: str, inputs: list[Path], output: Path) -> RunReport:
    if block == "aggregate":
        return aggregate(inputs, output, on_duplicate="keep")
    return convert(inputs[-1], "v2.1", output)


class TestDamaged:
    """A sound dataset, and a damaged one after it."""

    def _check(self, inputs: list[Path], output: Path, block: str, at_fault: str, said: str) -> None:
        before = digests(*inputs)
        code, text = _refused(lambda: _act(block, inputs, output))
        assert code == 1
        assert str(inputs[-1]) in text, f"which dataset is it?\n{text}"
        assert at_fault in text
        assert re.search(said, text), text
        assert "Traceback" not in text
        assert not output.exists()
        assert digests(*inputs) == before

    @pytest.mark.parametrize(
        ("version", "name", "block"),
        [("v3.0", name, block) for name in V30 for block in ("aggregate", "convert")]
        + [("v2.1", name, "aggregate") for name in V21],
    )
    def test_while_planning(self, sound: dict[str, Made], tmp_path: Path, version: str, name: str, block: str) -> None:
        """Nothing has been written then but the run directory."""
        change, at_fault, said = {"v3.0": V30, "v2.1": V21}[version][name]
        root = _copy(sound, version, tmp_path / "in")
        change(root)
        self._check([sound["v3.0"].root, root], tmp_path / "out", block, at_fault, said)
        beside = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
        if name == "statistics of an episode less":  # they are read at the very end
            beside -= {"out.partial"}
        assert beside == {"in", "out.run"}

    @pytest.mark.parametrize("name", LATE)
    def test_while_copying(self, sound: dict[str, Made], tmp_path: Path, name: str) -> None:
        version, change, at_fault, said = LATE[name]
        root = _copy(sound, version, tmp_path / "in")
        change(root)
        self._check([sound["v3.0"].root, root], tmp_path / "out", "aggregate", at_fault, said)
        assert [path.name for path in (tmp_path / "out.run").rglob("*.tmp")] == []

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    @pytest.mark.parametrize("key", ["total_episodes", "total_frames"])
    @pytest.mark.parametrize("by", [-1, 1])
    def test_wrong_counts(self, sound: dict[str, Made], tmp_path: Path, version: str, key: str, by: int) -> None:
        root = _copy(sound, version, tmp_path / "in")
        edit_json(**{key: OnDisk(root).info[key] + by})(root)
        self._check([sound["v3.0"].root, root], tmp_path / "out", "aggregate", INFO, key)

    def test_the_command_says_it_in_words(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        remove(VIDEO_30)(root)
        done = command("aggregate", sound["v3.0"].root, root, *KEEP, "-o", tmp_path / "out")
        assert done.returncode == 1
        assert VIDEO_30 in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.run"]


class TestRepaired:
    @pytest.mark.parametrize("block", ["aggregate", "convert"])
    def test_wrong_file_indices(self, sound: dict[str, Made], tmp_path: Path, block: str) -> None:
        """As older LeRobot converters leave them: the first episode of a file is said to be in the one before."""
        root = _copy(sound, "v3.0", tmp_path / "in")
        numbers = pq.read_table(root / META_30)["data/file_index"].to_pylist()
        first = next(episode for episode, number in enumerate(numbers) if number)
        edit_table(META_30, "data/file_index", first, 0)(root)
        assert numbers[first] == 1
        report = _act(block, [root], tmp_path / "out")
        [note] = report.notes
        assert note.startswith(f"data/file_index of 1 episode was wrong (first: episode {first})")
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        right = tmp_path / "right"
        _act(block, [sound["v3.0"].root], right)
        left, expected = tree(tmp_path / "out"), tree(right)
        differing = [name for name in left if left[name] != expected.get(name)]
        names = [name.partition(".")[0] for name in differing]
        # The first has the checksums of the others, which name the input.
        assert names == ["meta/robotrove/checksums", "meta/robotrove/episodes", "meta/robotrove/run"]

    @pytest.mark.parametrize("block", ["aggregate", "convert"])
    def test_episodes_that_lerobot_added_later(self, sound: dict[str, Made], tmp_path: Path, block: str) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        table = pq.read_table(root / PROVENANCE_30)
        pq.write_table(table.slice(0, 2), root / PROVENANCE_30)
        report = _act(block, [root], tmp_path / "out")
        [note] = report.notes
        assert note.startswith(
            f"{PROVENANCE_30} ends before episode 2 of 5; from there on, the output names {root.name} "
        )
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        if block == "aggregate":
            found = pq.read_table(tmp_path / "out" / PROVENANCE_30).to_pylist()
        else:
            lines = (tmp_path / "out/meta/robotrove/episodes.jsonl").read_text().splitlines()
            found = [json.loads(line) for line in lines]
        inputs = [{"input_datasets": [{"dataset": root.name, "episode": number}]} for number in (0, 1)]
        assert found[:2] == [line | more for line, more in zip(table.slice(0, 2).to_pylist(), inputs, strict=True)]
        assert [(origin["episode_index"], origin["source_name"], origin["source_key"]) for origin in found[2:]] == [
            (episode, root.name, f"episode {episode}") for episode in (2, 3, 4)
        ]

    def test_tasks_and_episodes_in_any_order(self, sound: dict[str, Made], tmp_path: Path) -> None:
        """A task twice, numbers that no task has: LeRobot 0.3.3 loads it."""
        root = _copy(sound, "v2.1", tmp_path / "in")
        for name in ("episodes", "episodes_stats"):
            lines = (root / f"meta/{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            (root / f"meta/{name}.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
        tasks = (root / "meta/tasks.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(tasks[-1])
        more = [json.dumps(last | {"task_index": last["task_index"] + 3}), tasks[0]]
        (root / "meta/tasks.jsonl").write_text("\n".join([*more, *tasks]), encoding="utf-8")
        aggregate([root], tmp_path / "out")
        aggregate([sound["v2.1"].root], tmp_path / "right")
        left, right = tree(tmp_path / "out"), tree(tmp_path / "right")
        assert left.keys() == right.keys()
        differing = [name for name in left if left[name] != right[name]]
        # The first has the checksums of the others, which name the input.
        assert differing == [f"meta/robotrove/{name}" for name in ("checksums.jsonl", "episodes.parquet", "run.json")]

    def test_statistics_that_are_missing_are_computed(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v2.1", tmp_path / "in")
        remove("meta/episodes_stats.jsonl")(root)
        aggregate([root], tmp_path / "out")
        found, right = OnDisk(tmp_path / "out"), OnDisk(sound["v3.0"].root)
        for left, expected in zip(found.episodes, right.episodes, strict=True):
            for name, values in expected.stats["action"].items():
                assert left.stats["action"][name].tolist() == values.tolist()


class TestNoDataset:
    @pytest.mark.parametrize("version", ["v9.9", "v1.6", "3", None])
    def test_an_unknown_version(self, sound: dict[str, Made], tmp_path: Path, version: str | None) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        edit_json(codebase_version=version)(root)
        code, text = _refused(lambda: aggregate([sound["v3.0"].root, root], tmp_path / "out", on_duplicate="keep"))
        assert code == 2
        assert str(root) in text
        assert str(version) in text
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "out.run/run.json").exists()

    @pytest.mark.parametrize("kind", ["empty", "absent", "file", "recordings"])
    def test_a_folder_that_is_none(self, sound: dict[str, Made], tmp_path: Path, kind: str) -> None:
        folder = tmp_path / "in"
        if kind == "file":
            folder.write_text("x")
        elif kind != "absent":
            (folder / "videos").mkdir(parents=True)
        done = command("aggregate", sound["v3.0"].root, folder, *KEEP, "-o", tmp_path / "out")
        assert done.returncode == 2
        assert f"{folder}: is not a dataset: it has no {INFO}" in done.stderr
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "out.run/run.json").exists()

    def test_an_empty_dataset(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        edit_json(total_episodes=0, total_frames=0)(root)
        code, text = _refused(lambda: aggregate([root], tmp_path / "out"))
        assert (code, str(root) in text, "no episode" in text) == (2, True, True)

    @pytest.mark.parametrize("key", ["total_episodes", "total_frames"])
    @pytest.mark.parametrize("value", ["1e400", "-1", "5.0", '"5"', "null", "true"])
    def test_a_number_that_is_no_count(self, sound: dict[str, Made], tmp_path: Path, key: str, value: str) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        text = json.dumps(json.loads((root / INFO).read_text()) | {key: "here"})
        (root / INFO).write_text(text.replace('"here"', value))
        code, text = _refused(lambda: aggregate([root], tmp_path / "out"))
        assert (code, f"{root / INFO}: cannot be used: {key} is " in text) == (2, True), text

    @pytest.mark.parametrize("place", ["folder", "file in meta", "file in data"])
    def test_names_that_are_not_utf_8(self, sound: dict[str, Made], tmp_path: Path, place: str) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        if place == "folder":
            root = root.rename(root.with_name("a\udcffb"))
        elif place == "file in meta":
            (root / "meta" / "a\udcffb.json").write_text("{}")
        else:
            (root / DATA_30).rename((root / DATA_30).with_name("a\udcffb.parquet"))
        code, text = _refused(lambda: aggregate([sound["v3.0"].root, root], tmp_path / "out", on_duplicate="keep"))
        assert code == 2
        assert "a\\udcffb" in text
        assert "not UTF-8" in text
        text.encode()  # a terminal and a log can hold it
        done = command("convert", root, "--to", "v2.1", "-o", tmp_path / "out")
        assert (done.returncode, "not UTF-8" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_the_output_of_a_name_that_is_not_utf_8(self, sound: dict[str, Made], tmp_path: Path) -> None:
        for places in ({"output": tmp_path / "a\udcffb"}, {"output": tmp_path / "o", "run_dir": tmp_path / "a\udcffb"}):
            code, text = _refused(lambda places=places: _pipeline(sound["v3.0"].root).run(**places))  # type: ignore[misc]
            assert (code, "a\\udcffb: its name is not UTF-8" in text) == (2, True)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("why", ["no dataset", "another robot", "no episode", "output exists"])
    @pytest.mark.parametrize("fresh", [False, True])
    def test_what_is_refused_leaves_nothing(
        self, sound: dict[str, Made], tmp_path: Path, why: str, *, fresh: bool
    ) -> None:
        root, output = _copy(sound, "v3.0", tmp_path / "in"), tmp_path / "deep" / "er" / "out"
        if why == "no dataset":
            (root / INFO).unlink()
        elif why == "another robot":
            edit_json(robot_type="leg")(root)
        elif why == "no episode":
            edit_json(total_episodes=0, total_frames=0)(root)
        else:
            output.mkdir(parents=True)
        inputs = [root] if why == "no episode" else [sound["v3.0"].root, root]
        before = sorted(tmp_path.rglob("*"))
        code, _ = _refused(lambda: _pipeline(*inputs).run(output=output, fresh=fresh))
        assert code == 2
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_run_directory_that_cannot_be_made_leaves_nothing(self, sound: dict[str, Made], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        places = {"output": tmp_path / "deep" / "out", "run_dir": tmp_path / "file" / "run"}
        code, text = _refused(lambda: _pipeline(sound["v3.0"].root).run(**places))
        assert (code, "cannot be made" in text) == (2, True)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_an_empty_run_directory_of_the_user_s_stays(self, sound: dict[str, Made], tmp_path: Path) -> None:
        (tmp_path / "out.run").mkdir()
        _refused(lambda: aggregate([tmp_path / "nope"], tmp_path / "out"))
        assert [path.name for path in tmp_path.iterdir()] == ["out.run"]


class TestPlaces:
    def test_a_link_to_nothing_as_output(self, sound: dict[str, Made], tmp_path: Path) -> None:
        (tmp_path / "out").symlink_to(tmp_path / "nowhere")
        code, text = _refused(lambda: aggregate([sound["v3.0"].root], tmp_path / "out"))
        assert (code, "already exists" in text) == (2, True)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert (tmp_path / "out").is_symlink()

    def test_the_input_of_a_finished_conversion_may_go(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        convert = partial(command, "convert", root, "--to", "v2.1", "-o", tmp_path / "out")
        assert convert().returncode == 0
        shutil.rmtree(root)
        done = convert()
        assert (done.returncode, "already finished" in done.stdout + done.stderr) == (0, True), done.stderr
        shutil.rmtree(tmp_path / "out")
        done = convert()
        assert (done.returncode, f"dataset {root} is missing" in done.stderr) == (2, True), done.stderr

    def test_an_output_that_exists(self, sound: dict[str, Made], tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("x")
        code, text = _refused(lambda: aggregate([sound["v3.0"].root], tmp_path / "out"))
        assert (code, str(tmp_path / "out") in text) == (2, True)
        assert tree(tmp_path / "out") == {"thesis.tex": b"x"}

    def test_an_output_that_is_another_run_s(self, sound: dict[str, Made], tmp_path: Path) -> None:
        aggregate([sound["v3.0"].root], tmp_path / "out")
        shutil.rmtree(tmp_path / "out.run")
        before = tree(tmp_path / "out")
        code, text = _refused(lambda: aggregate([sound["v2.1"].root], tmp_path / "out"))
        assert (code, "not the output of this run" in text) == (2, True)
        assert tree(tmp_path / "out") == before

    @pytest.mark.parametrize("place", ["", "merged", "meta/merged", "../link/merged", ".."])
    def test_an_output_in_an_input_or_around_it(self, sound: dict[str, Made], tmp_path: Path, place: str) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        (tmp_path / "in" / "link").symlink_to(root)
        before = tree(tmp_path)
        run_dir = ("--run-dir", tmp_path.parent / f"{tmp_path.name}-run")
        done = command("aggregate", root, "-o", root / place, *run_dir)
        assert done.returncode == 2, done.stderr
        assert str(root) in done.stderr
        assert tree(tmp_path) == before

    def test_an_input_twice(self, sound: dict[str, Made], tmp_path: Path) -> None:
        made = sound["v3.0"]
        report = aggregate([made.root, sound["v2.1"].root, made.root], tmp_path / "out", on_duplicate="keep")
        assert (report.kept, report.frames) == (3 * len(LENGTHS), 3 * sum(LENGTHS))
        assert_holds(OnDisk(tmp_path / "out"), made.episodes * 3)

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_a_linked_input(self, sound: dict[str, Made], tmp_path: Path, version: str) -> None:
        (tmp_path / "link").symlink_to(sound[version].root)
        aggregate([tmp_path / "link"], tmp_path / "out")
        assert_holds(OnDisk(tmp_path / "out"), sound[version].episodes)

    def test_links_within_an_input(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        (root / VIDEO_30).rename(root / "elsewhere.mp4")
        (root / VIDEO_30).symlink_to(root / "elsewhere.mp4")
        aggregate([root], tmp_path / "out")
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


class TestResumed:
    """A run that was killed, and goes on in other circumstances."""

    STAGES = ("1-aggregator.plan", "1-aggregator.process", "1-aggregator.finish", "commit")

    def _killed(self, stage: str, act: Callable[[], object]) -> None:
        assert killed_in(stage, 2, act) == -signal.SIGKILL

    @pytest.mark.parametrize("stage", STAGES)
    def test_relative_inputs_from_another_folder(
        self, sound: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
    ) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(root.parent)
        pipeline = Pipeline(dataset=[Aggregator(datasets=["damaged"]), DatasetStats()])
        act = partial(pipeline.run, output=tmp_path / "out", executor=Here())
        self._killed(stage, act)
        monkeypatch.chdir(tmp_path / "elsewhere")
        act()
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        assert_no_leftovers(tmp_path / "out")

    def test_the_command_from_another_folder(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        (tmp_path / "elsewhere").mkdir()
        env = environment(tmp_path / "env", kill_in="1-aggregator.process")
        killed = command("aggregate", "damaged", "-o", "../out", cwd=root.parent, env=env)
        assert killed.returncode == 1
        [shown] = re.findall(r"resume with: robotrove (.*)", killed.stderr)
        done = command(*shown.split(), cwd=tmp_path / "elsewhere")
        assert done.returncode == 0, done.stderr
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        assert os.listdir(tmp_path / "elsewhere") == []

    @pytest.mark.parametrize("stage", STAGES)
    @pytest.mark.parametrize(
        "change",
        [
            lambda root: os.utime(root / VIDEO_30, ns=(1, 1)),
            lambda root: edit_json(robot_type="leg")(root),
            lambda root: (root / DATA_30).unlink(),
            lambda root: (root / "data/chunk-000/file-099.parquet").write_bytes(b""),
        ],
        ids=["a time", "info", "a file less", "a file more"],
    )
    def test_a_changed_input_is_refused(
        self, sound: dict[str, Made], tmp_path: Path, stage: str, change: Change
    ) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        inputs = [sound["v3.0"].root, root]
        self._killed(stage, lambda: aggregate(inputs, tmp_path / "out", on_duplicate="keep"))
        change(root)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "out" in path.name}
        with pytest.raises(RunChanged) as caught:
            aggregate(inputs, tmp_path / "out", on_duplicate="keep")
        assert caught.value.exit_code == 2
        assert f"dataset {root} was changed" in str(caught.value)
        assert f"dataset {inputs[0]}" not in str(caught.value)
        assert not (tmp_path / "out").exists()
        after = {path: path.stat().st_mtime_ns for path in before}
        assert [path for path in before if path.is_file() and before[path] != after[path]] == []

    def test_a_mended_input_after_fresh(self, sound: dict[str, Made], tmp_path: Path) -> None:
        root = _copy(sound, "v3.0", tmp_path / "in")
        remove(VIDEO_30)(root)
        _refused(lambda: aggregate([root], tmp_path / "out"))
        shutil.copyfile(sound["v3.0"].root / VIDEO_30, root / VIDEO_30)
        blocks = [Aggregator(datasets=[str(root)]), DatasetStats()]
        with pytest.raises(RunChanged):
            Pipeline(dataset=blocks).run(output=tmp_path / "out", executor=Here())
        Pipeline(dataset=blocks).run(output=tmp_path / "out", executor=Here(), fresh=True)
        assert_holds(OnDisk(tmp_path / "out"), sound["v3.0"].episodes)
        aggregate([root], tmp_path / "again")
        assert_same_dataset(tmp_path / "out", tmp_path / "again")
