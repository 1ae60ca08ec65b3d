"""Datasets as other tools write them: read, merged and converted with right values, and it is said what was changed."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.features import Feature, channels, frame_size
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.plan.input_datasets import walk
from robotrove.tests.support.command import Outcome, robotrove  # noqa: F401 - a fixture
from robotrove.tests.support.datasets import tiny_v21, tiny_v30
from robotrove.tests.support.datasets.numbered import aggregate, convert
from robotrove.tests.support.datasets.tiny_v30 import FPS, FRONT, LENGTHS, STARTS, TASKS, TOP, WRIST
from robotrove.tests.support.datasets.written_datasets import edit_json, edit_lines
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.verification.dataset.runner import verify

V30_EPISODES, V30_TASKS = Path("meta/episodes/chunk-000/file-000.parquet"), Path("meta/tasks.parquet")
TEXTS = np.repeat([TASKS[task] for task in tiny_v30.EPISODE_TASKS], LENGTHS).tolist()
FRAMES = list(range(sum(LENGTHS)))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    tiny_v30.build(folder / "v3.0")
    tiny_v21.build(folder / "v2.1")
    return folder


@pytest.fixture
def v30(originals: Path, tmp_path: Path) -> Path:
    return shutil.copytree(originals / "v3.0", tmp_path / "cubes30")


@pytest.fixture
def v21(originals: Path, tmp_path: Path) -> Path:
    return shutil.copytree(originals / "v2.1", tmp_path / "cubes21")


def edit_column(path: Path, name: str, change: Callable[[pa.ChunkedArray], Any]) -> None:
    table = pq.read_table(path)
    made = change(table.column(name))
    column = made if isinstance(made, pa.Array | pa.ChunkedArray) else pa.array(made)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)


def edit_feature(root: Path, key: str, **entry: Any) -> None:
    edit_json(root / "meta/info.json", lambda info: info["features"][key].update(entry))


def table(root: Path) -> pa.Table:
    """All rows, in the order in which LeRobot reads the files."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(root.glob("data/*/*.parquet"))])


def texts(root: Path) -> list[str]:
    """The instruction of each row, by the numbers alone."""
    if (root / V30_TASKS).exists():
        lines = pq.read_table(root / V30_TASKS).to_pylist()
    else:
        lines = [json.loads(line) for line in (root / "meta/tasks.jsonl").read_text().splitlines()]
    known = {line["task_index"]: line["task"] for line in lines}
    return [known[number] for number in table(root)["task_index"].to_pylist()]


def shown(root: Path, key: str = FRONT) -> list[int]:
    """The numbers of a camera's frames, played from the first file to the last."""
    found = []
    for path in sorted(root.glob(f"videos/**/{key}/**/*.mp4")):
        with av.open(str(path)) as container:
            found += [frame.to_ndarray(format="rgb24")[:8, :, 0].mean() for frame in container.decode(video=0)]
    return (np.array(found) / 10).round().astype(int).tolist()


def assert_whole(root: Path, copies: int = 1) -> None:
    """The dataset is the tiny one, or copies of it: rows, instructions, indices and frames, by its files alone."""
    values, rows = tiny_v30.columns(), table(root)
    assert np.array_equal(rows["observation.state"].to_pylist(), np.tile(values["observation.state"], (copies, 1)))
    assert rows["note"].to_pylist() == [f"n{number}" for number in FRAMES] * copies
    lengths = LENGTHS * copies
    assert rows["episode_index"].to_pylist() == np.repeat(range(len(lengths)), lengths).tolist()
    assert rows["index"].to_pylist() == list(range(sum(lengths)))
    frame_index = np.concatenate([np.arange(length) for length in lengths])
    assert rows["frame_index"].to_pylist() == frame_index.tolist()
    assert rows["timestamp"].to_pylist() == (frame_index / FPS).astype(np.float32).tolist()
    assert texts(root) == TEXTS * copies
    for key in (FRONT, WRIST):
        assert shown(root, key) == FRAMES * copies
    assert [str(found) for found in verify(root, deep=True).findings if found.severity == "error"] == []


def both(root: Path, out: Path, **more: Any) -> RunReport:
    """Merge a dataset alone and convert it to the other version, with right values both times."""
    version = json.loads((root / "meta/info.json").read_text())["codebase_version"]
    merged = aggregate([root], out / "merged", **more)
    converted = convert(root, "v2.1" if version == "v3.0" else "v3.0", out / "converted", **more)
    assert converted.notes == merged.notes
    for made in ("merged", "converted"):
        assert_whole(out / made)
    return merged


class TestTaskNumbers:
    """tasks.parquet in another order, with gaps, and in other types."""

    @pytest.mark.parametrize("dtype", [pa.int64(), pa.int32(), pa.uint8()])
    @pytest.mark.parametrize("numbers", [[1, 0], [5, 2], [0, 7]])
    def test_the_numbers_decide(self, v30: Path, tmp_path: Path, numbers: list[int], dtype: pa.DataType) -> None:
        lines = pa.table({"task_index": pa.array(numbers, dtype), "task": TASKS[::-1] if numbers[0] else TASKS})
        pq.write_table(lines, v30 / V30_TASKS)
        by_text = dict(zip(lines["task"].to_pylist(), numbers, strict=True))
        for path in v30.glob("data/*/*.parquet"):
            edit_column(path, "task_index", lambda old: [by_text[TASKS[number]] for number in old.to_pylist()])
        report = both(v30, tmp_path)
        assert [note for note in report.notes if "meta/tasks.parquet" in note and "order" in note] == list(report.notes)
        opened = open_dataset(v30)
        assert [opened.tasks[n] for rows in opened.rows(["task_index"]) for n in rows["task_index"][:, 0]] == TEXTS

    def test_numbers_that_are_none(self, v30: Path) -> None:
        for numbers, said in (([0.5, 1], "row 0: task_index is 0.5"), ([0, -1], "row 1: task_index is -1")):
            pq.write_table(pa.table({"task_index": numbers, "task": TASKS}), v30 / V30_TASKS)
            with pytest.raises(RobotroveError, match=said):
                _ = open_dataset(v30).tasks

    def test_verify_still_names_what_lerobot_reads_wrong(self, v30: Path) -> None:
        pq.write_table(pq.read_table(v30 / V30_TASKS).take([1, 0]), v30 / V30_TASKS)
        [first, *_] = [found for found in verify(v30).findings if found.severity == "error"]
        assert (first.where, first.message) == (f"{V30_TASKS}, row 0", "task_index is 1; LeRobot looks tasks up by row")


class TestTypes:
    """Numbers in other types that LeRobot loads."""

    @pytest.mark.parametrize(
        ("names", "dtype"),
        [
            (["from_timestamp"], pa.float32()),
            (["from_timestamp", "to_timestamp"], pa.float32()),
            (["chunk_index", "file_index"], pa.int32()),
            (["chunk_index", "file_index"], pa.uint16()),
        ],
    )
    def test_places_of_videos(self, v30: Path, tmp_path: Path, names: Sequence[str], dtype: pa.DataType) -> None:
        for column in (f"videos/{key}/{name}" for key in (FRONT, WRIST) for name in names):
            edit_column(v30 / V30_EPISODES, column, lambda old: old.cast(dtype))
        both(v30, tmp_path)
        findings = verify(v30, deep=True).findings
        assert [str(found) for found in findings if found.severity == "error"] == []
        assert len([found for found in findings if f"is {dtype} instead of" in found.message]) == 2 * len(names)

    @pytest.mark.parametrize("dtype", [pa.int64(), pa.int32()])
    def test_whole_seconds(self, v21: Path, tmp_path: Path, dtype: pa.DataType) -> None:
        """Times are whole numbers where each episode has a file of its own, or lasts whole seconds."""
        v30 = tmp_path / "v30"
        convert(v21, "v3.0", v30)
        (v30 / "meta/robotrove/checksums.jsonl").unlink()  # another tool writes none
        rows = pq.read_table(v30 / V30_EPISODES).to_pylist()
        for key in (FRONT, WRIST):
            for number, row in enumerate(rows):
                shutil.copy(
                    v21 / tiny_v21.video_path(key, number), v30 / f"videos/{key}/chunk-000/file-{number:03d}.mp4"
                )
                row |= {f"videos/{key}/file_index": number, f"videos/{key}/from_timestamp": 0.0}
                row[f"videos/{key}/to_timestamp"] = LENGTHS[number] / FPS
        pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(v30 / V30_EPISODES)), v30 / V30_EPISODES)
        for key in (FRONT, WRIST):
            edit_column(v30 / V30_EPISODES, f"videos/{key}/from_timestamp", lambda old: old.cast(dtype))
        both(v30, tmp_path)
        assert verify(v30, deep=True).ok

    def test_indices_of_rows(self, v30: Path, tmp_path: Path) -> None:
        for path in v30.glob("data/*/*.parquet"):
            for name in ("task_index", "episode_index", "frame_index", "index"):
                edit_column(path, name, lambda old: old.cast(pa.int32()))
        both(v30, tmp_path)
        assert verify(v30).ok

    def test_a_time_that_is_none(self, v30: Path) -> None:
        column = f"videos/{FRONT}/from_timestamp"
        edit_column(v30 / V30_EPISODES, column, lambda old: ["0"] * len(old))
        with pytest.raises(RobotroveError, match=r"from_timestamp is '?0"):
            list(open_dataset(v30).episodes())


NUMBERS = [3, 10, 20, 21, 400]


def renumber(root: Path, numbers: Sequence[int] = NUMBERS) -> None:
    """Give the episodes other numbers, as tools leave them that delete episodes."""
    is_v21 = not (root / V30_EPISODES).exists()
    places = [
        [tiny_v21.data_path(e), *(tiny_v21.video_path(key, e) for key in (FRONT, WRIST))] for e in (*range(5), *numbers)
    ]
    for path in (*root.glob("data/*/*.parquet"), *root.glob(str(V30_EPISODES))):
        edit_column(path, "episode_index", lambda old: [numbers[e] for e in old.to_pylist()])
    for old, new in zip(places[4::-1], places[:4:-1], strict=True) if is_v21 else ():
        for before, after in zip(old, new, strict=True):
            (root / after).parent.mkdir(parents=True, exist_ok=True)
            (root / before).rename(root / after)
    for name in ("episodes", "episodes_stats") if is_v21 else ():
        edit_lines(
            root / f"meta/{name}.jsonl",
            lambda lines: [line.update(episode_index=numbers[line["episode_index"]]) for line in lines],
        )


class TestEpisodeNumbers:
    """Gaps in the numbers of episodes."""

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_renumbered(
        self,
        version: str,
        originals: Path,
        tmp_path: Path,
        robotrove: Callable[..., Outcome],  # noqa: F811
    ) -> None:
        root = shutil.copytree(originals / version, tmp_path / "cubes")
        renumber(root)
        report = both(root, tmp_path)
        [note] = report.notes
        assert "the 5 episodes are numbered 3, 10, 20, 21, 400 in meta/episodes" in note
        for made in ("merged", "converted"):
            assert "episode 21" in robotrove("trace", tmp_path / made, 3).out
        assert not verify(root).ok  # LeRobot cannot find them

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_read_by_their_numbers(self, version: str, originals: Path, tmp_path: Path) -> None:
        root = shutil.copytree(originals / version, tmp_path / "cubes")
        renumber(root)
        opened = open_dataset(root)
        found = list(opened.episodes())
        assert [at.index for at in found] == NUMBERS
        assert "numbered 3, 10, 20, 21, 400" in opened.notes[0]
        for position, at in enumerate(found):
            expected = FRAMES[STARTS[position] : STARTS[position + 1]]
            assert [n for rows in opened.rows(["index"], at) for n in rows["index"][:, 0]] == expected
            for key in (FRONT, WRIST):
                levels = [frame[:8, :, 0].mean() / 10 for frames in opened.frames(key, at) for frame in frames]
                assert np.rint(levels).tolist() == expected
        state = np.concatenate([part["stats/observation.state/mean"] for part in opened.stats(["observation.state"])])
        values = tiny_v30.columns()["observation.state"]
        np.testing.assert_allclose(state, [values[STARTS[e] : STARTS[e + 1]].mean(axis=0) for e in range(5)], rtol=1e-5)

    def test_lines_in_another_order(self, v21: Path, tmp_path: Path) -> None:
        renumber(v21)
        for name in ("episodes", "episodes_stats"):
            edit_lines(v21 / f"meta/{name}.jsonl", lambda lines: lines.reverse())
        both(v21, tmp_path)

    def test_merged_with_others(self, v21: Path, v30: Path, tmp_path: Path) -> None:
        renumber(v21, [1, 2, 3, 4, 5])
        aggregate([v30, v21], tmp_path / "out", on_duplicate="keep")
        assert_whole(tmp_path / "out", copies=2)

    @pytest.mark.parametrize("deleted", [{0}, {1, 3}, {0, 4}, {0, 1, 2}])
    def test_episodes_deleted_by_hand(
        self,
        deleted: set[int],
        v30: Path,
        tmp_path: Path,
        robotrove: Callable[..., Outcome],  # noqa: F811
    ) -> None:
        """The provenance is still that of all episodes; each keeps its own."""
        root, kept = tmp_path / "made", sorted({0, 1, 2, 3, 4} - deleted)
        convert(v30, "v2.1", root)
        edit_json(
            root / "meta/info.json",
            lambda info: info.update(total_episodes=len(kept), total_frames=sum(LENGTHS[e] for e in kept)),
        )
        for name in ("episodes", "episodes_stats"):
            edit_lines(
                root / f"meta/{name}.jsonl", lambda lines: lines.__setitem__(slice(None), [lines[e] for e in kept])
            )
        for path in [*root.rglob("*.parquet"), *root.rglob("*.mp4")]:
            if int(path.stem.removeprefix("episode_")) in deleted:
                path.unlink()
        aggregate([root], tmp_path / "out")
        expected = [number for e in kept for number in range(STARTS[e], STARTS[e + 1])]
        assert table(tmp_path / "out")["note"].to_pylist() == [f"n{number}" for number in expected]
        assert shown(tmp_path / "out") == expected
        for number, before in enumerate(kept):
            said = robotrove("trace", tmp_path / "out", number).out
            assert f"made, episode {before} (" in said
            assert f"episode {before}\n" in said.split("key:")[1]

    @pytest.mark.parametrize("numbers", [[0, 1, 1, 2, 3], [4, 3, 2, 1, 0]])
    def test_numbers_that_do_not_rise(self, v30: Path, numbers: list[int]) -> None:
        edit_column(v30 / V30_EPISODES, "episode_index", lambda old: numbers)
        with pytest.raises(RobotroveError, match=r"is about episode \d instead of"):
            list(open_dataset(v30).episodes())


HWC, SIZE = ["height", "width", "channels"], [tiny_v30.HEIGHT, tiny_v30.WIDTH, 3]
CHW = [3, tiny_v30.HEIGHT, tiny_v30.WIDTH]


class TestCameras:
    """Sizes and names of cameras in other spellings."""

    @pytest.mark.parametrize(
        ("shape", "names", "is_changed"),
        [
            (SIZE, None, True),
            (SIZE, ["height", "width", "channel"], False),
            (SIZE, ["h", "w", "c"], True),
            (SIZE, ["height", "width"], True),
            (SIZE, {"axes": HWC}, False),
            (CHW, None, True),
            (CHW, ["channels", "height", "width"], True),
            (CHW, ["c", "h", "w"], True),
            (CHW, HWC, True),
        ],
    )
    @pytest.mark.parametrize("is_first", [True, False])
    def test_compared_by_size(
        self, shape: list[int], names: Any, is_changed: bool, is_first: bool, v21: Path, v30: Path, tmp_path: Path
    ) -> None:
        for key in (FRONT, WRIST):
            edit_feature(v21, key, shape=shape, names=names)
        edit_feature(v21, TOP, shape=[6, 8, 3] if shape == SIZE else [3, 6, 8], names=names)
        report = aggregate([v21, v30] if is_first else [v30, v21], tmp_path / "out", on_duplicate="keep")
        assert_whole(tmp_path / "out", copies=2)
        features = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
        kept = names if is_first and names == ["height", "width", "channel"] else HWC
        for key, size in ((FRONT, SIZE), (TOP, [6, 8, 3])):
            assert (features[key]["shape"], features[key]["names"]) == (size, kept)
        assert sum("written as" in note for note in report.notes) == 3 * is_changed
        stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
        mean = np.array([np.mean(FRAMES) * 10, 200, 40]) / 2 / 255
        np.testing.assert_allclose(np.ravel(stats[FRONT]["mean"]), mean, atol=0.02)
        frames = np.concatenate(list(open_dataset(v21).frames(FRONT, next(open_dataset(v21).episodes()))))
        assert frames.shape == (LENGTHS[0], *SIZE)

    def test_other_sizes_are_refused(self, v21: Path, v30: Path, tmp_path: Path) -> None:
        edit_feature(v21, FRONT, shape=[tiny_v30.WIDTH, tiny_v30.HEIGHT, 3], names=None)
        with pytest.raises(UsageError, match=r"video\[48x32x3\] instead of video\[32x48x3\]"):
            aggregate([v30, v21], tmp_path / "out", on_duplicate="keep")

    @pytest.mark.parametrize(
        ("shape", "names", "expected"),
        [
            ((3, 480, 640), None, (480, 640, 3)),
            ((480, 640, 1), None, (480, 640, 1)),
            ((1, 480, 640), None, (480, 640, 1)),
            ((3, 4, 3), ("channel", "height", "width"), (4, 3, 3)),
            ((3, 4, 3), None, (3, 4, 3)),
            ((84, 84, 4), ("height", "width", "channel"), (84, 84, 4)),
        ],
    )
    def test_axis_of_colours(self, shape: Any, names: Any, expected: tuple[int, int, int]) -> None:
        feature = Feature("video", shape, names)
        assert (*frame_size(feature), channels(feature)) == expected


class TestNames:
    """Names of entries that only some datasets have."""

    @pytest.mark.parametrize("is_first", [True, False])
    def test_on_one_side(self, is_first: bool, v21: Path, v30: Path, tmp_path: Path) -> None:
        edit_feature(v21, "observation.state", names=None)
        report = aggregate([v21, v30] if is_first else [v30, v21], tmp_path / "out", on_duplicate="keep")
        assert_whole(tmp_path / "out", copies=2)
        features = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
        assert features["observation.state"]["names"] == ["x", "y", "z"]
        assert [note for note in report.notes if "observation.state has no names in" in note]

    def test_other_names_are_refused(self, v21: Path, v30: Path, tmp_path: Path) -> None:
        edit_feature(v21, "observation.state", names=["x", "z", "y"])
        with pytest.raises(UsageError, match=r"observation\.state has other names"):
            aggregate([v30, v21], tmp_path / "out", on_duplicate="keep")

    def test_third_of_three(self, v21: Path, v30: Path, tmp_path: Path) -> None:
        plain = shutil.copytree(v21, tmp_path / "plain")
        edit_feature(plain, "observation.state", names=None)
        edit_feature(v21, "observation.state", names={"motors": ["x", "y", "z"]})
        aggregate([plain, v21, v30], tmp_path / "out", on_duplicate="keep")
        features = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
        assert features["observation.state"]["names"] == ["x", "y", "z"]
        edit_feature(v21, "observation.state", names=["x", "z", "y"])
        with pytest.raises(UsageError, match=r"observation\.state has other names"):
            aggregate([plain, v21, v30], tmp_path / "other", on_duplicate="keep")


def to_disk(root: Path, path: str, disk: Path) -> None:
    """Move a file or folder of a dataset to another disk, and leave a link, in two steps as automounters do."""
    disk.mkdir(exist_ok=True)
    place = disk / f"{len(list(disk.iterdir()))}-{Path(path).name}"
    (root / path).rename(place)
    (disk / f"{place.name}-current").symlink_to(place.name)
    (root / path).symlink_to(disk / f"{place.name}-current")


V30_DATA, V21_DATA = "data/chunk-000/file-001.parquet", tiny_v21.data_path(3)
V30_VIDEO, V21_VIDEO = f"videos/{FRONT}/chunk-000/file-000.mp4", tiny_v21.video_path(WRIST, 4)
LINKED = {
    "v3.0": (["videos"], ["data"], [f"videos/{WRIST}"], ["data/chunk-000"], [V30_DATA, V30_VIDEO]),
    "v2.1": (["videos"], ["data"], ["videos/chunk-001"], [f"videos/chunk-000/{FRONT}"], [V21_DATA, V21_VIDEO]),
}


class TestLinks:
    """Rows and videos on another disk, by links of the user."""

    @pytest.mark.parametrize(
        ("version", "paths"), [(version, paths) for version in LINKED for paths in LINKED[version]]
    )
    def test_followed(self, version: str, paths: Sequence[str], originals: Path, tmp_path: Path) -> None:
        root = shutil.copytree(originals / version, tmp_path / "cubes")
        for path in paths:
            to_disk(root, path, tmp_path / "disk")
        both(root, tmp_path)
        assert verify(root, deep=True).ok
        opened = open_dataset(root)
        assert [n for rows in opened.rows(["index"]) for n in rows["index"][:, 0]] == FRAMES
        assert [len(frames) for at in opened.episodes() for frames in opened.frames(WRIST, at)] == LENGTHS

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    @pytest.mark.parametrize("mark", [".git", ".cache/huggingface"])
    def test_not_followed_in_what_was_fetched(self, mark: str, version: str, originals: Path, tmp_path: Path) -> None:
        for number, path in enumerate((V30_DATA, V30_VIDEO) if version == "v3.0" else (V21_DATA, V21_VIDEO)):
            root = shutil.copytree(originals / version, tmp_path / f"cubes{number}")
            (root / mark).mkdir(parents=True)
            to_disk(root, path, tmp_path / "disk")
            with pytest.raises(RobotroveError, match=f"{path}: leads out of the dataset"):
                list(open_dataset(root).measured())
            assert [found for found in verify(root).findings if "leads out of the dataset" in found.message]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of somebody else")
    @pytest.mark.parametrize("place", ["the dataset", "the other disk"])
    def test_not_followed_if_they_are_of_somebody_else(self, place: str, v30: Path, tmp_path: Path) -> None:
        to_disk(v30, V30_VIDEO, tmp_path / "disk")
        link = v30 / V30_VIDEO if place == "the dataset" else (v30 / V30_VIDEO).readlink()
        os.chown(link, 12345, 12345, follow_symlinks=False)
        with pytest.raises(RobotroveError, match=f"{V30_VIDEO}: leads out of the dataset, and episode 0"):
            list(open_dataset(v30).measured())

    @pytest.mark.parametrize("name", ["data_path", "video_path"])
    @pytest.mark.parametrize("begin", ["../disk/", "/tmp/", "videos/../../disk/", "data/x/../"])
    def test_a_template_never_leads_out(self, begin: str, name: str, v30: Path, v21: Path, tmp_path: Path) -> None:
        to_disk(v30, "videos", tmp_path / "disk")
        for root in (v30, v21):
            edit_json(root / "meta/info.json", lambda info: info.update({name: begin + info[name]}))
            with pytest.raises(RobotroveError, match=f"{name} gives {begin}.*, which leads out of the dataset"):
                list(open_dataset(root).measured())
            with pytest.raises(RobotroveError, match="leads out of the dataset"):
                [frames for at in open_dataset(root).episodes() for frames in open_dataset(root).frames(FRONT, at)]

    def test_other_links_are_named(self, v21: Path, tmp_path: Path) -> None:
        (tmp_path / "private").mkdir()
        (tmp_path / "private/key").write_text("secret")
        links = ["README.md", "annotations", "meta/lab", "meta/notes.txt", "videos/extra.txt"]
        for link in links:
            is_file = Path(link).suffix
            (v21 / link).symlink_to(tmp_path / ("private/key" if is_file else "private"))
        for number, report in enumerate((aggregate([v21], tmp_path / "0"), convert(v21, "v3.0", tmp_path / "1"))):
            assert list(report.notes) == [
                f"not in the output: {link}, a link that leads nowhere or out of the dataset" for link in links
            ]
            copied = [path for path in (tmp_path / str(number)).rglob("*") if path.is_file()]
            assert [
                path for path in copied if path.name in ("key", "README.md") or b"secret" in path.read_bytes()
            ] == []

    def test_what_is_behind_them_counts_as_a_change(self, v30: Path, tmp_path: Path) -> None:
        plain = {name: state.st_size for name, state in walk(v30)}
        to_disk(v30, "videos", tmp_path / "disk")
        to_disk(v30, "data/chunk-000", tmp_path / "disk")
        (v30 / "data/loop").symlink_to(v30)
        (v30 / "videos/loop").symlink_to(tmp_path)
        (v30 / "videos/twice").symlink_to((v30 / "videos").resolve())
        (v30 / "meta/elsewhere").symlink_to(tmp_path / "disk")
        assert {name: state.st_size for name, state in walk(v30)} == plain

    def test_that_lead_nowhere(self, v30: Path, tmp_path: Path) -> None:
        (v30 / "README.md").symlink_to(tmp_path / "gone.md")
        (v30 / "meta/loop").symlink_to("loop")
        report = aggregate([v30], tmp_path / "out")
        assert_whole(tmp_path / "out")
        assert report.notes == [
            "not in the output: README.md, a link that leads nowhere or out of the dataset",
            "not in the output: meta/loop, which no episode uses",
        ]

    def test_a_circle(self, v30: Path, tmp_path: Path) -> None:
        (v30 / V30_DATA).unlink()
        for name, other in (("a", "b"), ("b", "a")):
            (tmp_path / name).symlink_to(tmp_path / other)
        (v30 / V30_DATA).symlink_to(tmp_path / "a")
        with pytest.raises(RobotroveError, match="leads out of the dataset"):
            list(open_dataset(v30).measured())


def film(path: Path, first: int, end: int, rate: Fraction, b_frames: int = 0, keyframes: Sequence[int] = (0,)) -> None:
    """Replace a clip by one with the same frames at another rate."""
    pictures = [tiny_v30.picture(number, tiny_v30.HEIGHT, tiny_v30.WIDTH) for number in range(first, end)]
    tiny_v30.write_video(path, pictures, keyframes, bf=b_frames, fps=rate)


RATES = [Fraction(5), Fraction(30000, 1001), Fraction(15), Fraction(60)]


class TestRates:
    """Clips at another constant rate, with a frame for each row."""

    @pytest.mark.parametrize("b_frames", [0, 2])
    @pytest.mark.parametrize("rate", RATES)
    def test_a_clip_per_episode(self, rate: Fraction, b_frames: int, v21: Path, tmp_path: Path) -> None:
        for number, (first, end) in enumerate(pairwise(STARTS.tolist())):
            film(v21 / tiny_v21.video_path(FRONT, number), first, end, rate, b_frames)
        report = both(v21, tmp_path)
        [note] = [note for note in report.notes if "another rate" in note]
        assert f"{float(rate):.6g} frames per second" in note
        assert "5 (first" in note
        for made in ("merged", "converted"):
            for path in (tmp_path / made).glob(f"videos/**/{FRONT}/**/*.mp4"):
                with av.open(str(path)) as container:
                    times = [frame.pts * frame.time_base * FPS for frame in container.decode(video=0)]
                assert times == list(range(len(times)))
        opened = open_dataset(v21)
        levels = [frame[:8, :, 0].mean() for at in opened.episodes() for f in opened.frames(FRONT, at) for frame in f]
        assert (np.array(levels) / 10).round().tolist() == FRAMES

    @pytest.mark.parametrize("is_counted", [True, False])
    @pytest.mark.parametrize("rate", RATES)
    def test_a_file_for_all(self, rate: Fraction, is_counted: bool, v30: Path, tmp_path: Path) -> None:
        """Episodes begin by the rate of the file, as tools write that sum durations, or by that of the dataset."""
        film(v30 / V30_VIDEO, 0, sum(LENGTHS), rate, keyframes=STARTS[:-1].tolist())
        if not is_counted:
            for name, places in (("from", STARTS[:-1]), ("to", STARTS[1:])):
                times = pa.array(places / float(rate))
                edit_column(v30 / V30_EPISODES, f"videos/{FRONT}/{name}_timestamp", lambda _, new=times: new)
        report = both(v30, tmp_path)
        assert [note for note in report.notes if f"{float(rate):.6g} frames per second" in note]
        assert not verify(v30).ok

    def test_clips_that_cannot_be_copied(self, v30: Path, tmp_path: Path) -> None:
        """Episodes that begin at no keyframe are re-encoded, each frame at its time."""
        film(v30 / V30_VIDEO, 0, sum(LENGTHS), Fraction(30000, 1001), b_frames=2)
        report = convert(v30, "v2.1", tmp_path / "out")
        assert "4 clips of observation.images.front were re-encoded" in report.notes
        assert_whole(tmp_path / "out")

    def test_other_clips_beside_them(self, v21: Path, tmp_path: Path) -> None:
        film(v21 / tiny_v21.video_path(FRONT, 2), STARTS[2], STARTS[3], Fraction(15))
        film(v21 / tiny_v21.video_path(WRIST, 4), STARTS[4], STARTS[5], Fraction(25), b_frames=1)
        [note] = both(v21, tmp_path).notes
        assert "rate, with a frame for each row: 2 (first" in note

    @pytest.mark.parametrize("change", [-1, 1])
    def test_other_counts_are_refused(self, change: int, v21: Path, v30: Path, tmp_path: Path) -> None:
        film(v21 / tiny_v21.video_path(FRONT, 2), STARTS[2], STARTS[3] + change, Fraction(30))
        told = f"has {LENGTHS[2] + change} frames at 30 per second, but episode 2 has {LENGTHS[2]} rows"
        with pytest.raises(RobotroveError, match=told):
            list(open_dataset(v21).measured())
        film(v30 / V30_VIDEO, 0, sum(LENGTHS) + change, Fraction(30), keyframes=STARTS[:-1].tolist())
        told = f"has {sum(LENGTHS) + change} frames at 30 per second, but its episodes have {sum(LENGTHS)} rows"
        with pytest.raises(RobotroveError, match=told):
            list(open_dataset(v30).measured())


class TestEditLists:
    """Clips with more frames than an edit list shows: they are re-encoded, also by `aggregate`."""

    @pytest.mark.parametrize("b_frames", [0, 2])
    @pytest.mark.parametrize(("before", "after"), [(3, 0), (0, 4), (2, 2)])
    def test_a_clip_per_episode(self, before: int, after: int, b_frames: int, v21: Path, tmp_path: Path) -> None:
        path = v21 / tiny_v21.video_path(FRONT, 2)
        first, end = STARTS[2:4].tolist()
        film(path, first - before, end + after, Fraction(FPS), b_frames)
        content = bytearray(path.read_bytes())
        at = content.index(b"elst") + 12
        delay, tick = struct.unpack(">i", content[at + 4 : at + 8])[0], 10240 // FPS
        content[at : at + 8] = struct.pack(">Ii", LENGTHS[2] * 1000 // FPS, delay + before * tick)
        path.write_bytes(content)
        report = both(v21, tmp_path)
        assert sorted(note.split(":")[0] for note in report.notes) == [
            "1 clips of observation.images.front were re-encoded",
            "video files with frames that an edit list hides",
        ]


def clock_times(jitter: float, start: float = 0.0) -> np.ndarray:
    """Times of all rows as a clock has them, from the begin of each episode on."""
    exact = np.concatenate([np.arange(length) for length in LENGTHS]) / FPS
    return start + exact + jitter * np.random.default_rng(3).uniform(-1, 1, len(exact))


class TestTimes:
    """Times of a clock in the rows."""

    @pytest.mark.parametrize(
        ("times", "dtype"),
        [
            (clock_times(0.004), pa.float32()),
            (clock_times(0.004, 1.75e9), pa.float64()),
            (clock_times(0, 5), pa.float32()),
            (np.zeros(sum(LENGTHS)), pa.float32()),
        ],
    )
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_replaced_if_that_is_asked_for(
        self, version: str, times: np.ndarray, dtype: pa.DataType, originals: Path, tmp_path: Path
    ) -> None:
        root, first = shutil.copytree(originals / version, tmp_path / "cubes"), 0
        for path in sorted(root.glob("data/*/*.parquet")):
            count = pq.read_metadata(path).num_rows
            edit_column(path, "timestamp", lambda old, begin=first: pa.array(times[begin : begin + len(old)], dtype))
            first += count
        with pytest.raises(RobotroveError, match=r"times=\"index\" \(in a pipeline, of the block: times: index\)"):
            aggregate([root], tmp_path / "refused")
        report = both(root, tmp_path, times="index")
        assert "timestamp of each row is its frame_index / fps (times: index)" in report.notes
        stats = json.loads((tmp_path / "merged/meta/stats.json").read_text())["timestamp"]
        assert (stats["min"], stats["max"]) == ([0.0], [pytest.approx((max(LENGTHS) - 1) / FPS)])
        [row, *_] = open_dataset(root).rows(["timestamp"])
        assert row["timestamp"][:, 0].tolist() == pa.array(times[: len(row["timestamp"])], dtype).to_pylist()

    @pytest.mark.parametrize("dtype", [pa.timestamp("us"), pa.null(), None])
    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_they_are_not_read(self, version: str, dtype: pa.DataType | None, originals: Path, tmp_path: Path) -> None:
        """Dates, empty, or without their column."""
        root = shutil.copytree(originals / version, tmp_path / "cubes")
        for path in root.glob("data/*/*.parquet"):
            rows = pq.read_table(path)
            at, rest = rows.schema.get_field_index("timestamp"), rows.drop_columns(["timestamp"])
            if dtype is not None:
                values = [None if dtype == pa.null() else 1_750_000_000_000_000 + row for row in range(len(rows))]
                rest = rest.add_column(at, "timestamp", pa.array(values, dtype))
            pq.write_table(rest.replace_schema_metadata(None), path)
        both(root, tmp_path, times="index")

    @pytest.mark.parametrize("command", ["aggregate", "convert"])
    def test_the_option(
        self,
        command: str,
        v21: Path,
        tmp_path: Path,
        robotrove: Callable[..., Outcome],  # noqa: F811
    ) -> None:
        edit_column(v21 / tiny_v21.data_path(2), "timestamp", lambda old: pa.array(np.full(len(old), 7.5, np.float32)))
        more = ["--to", "v3.0"] if command == "convert" else []
        refused = robotrove(command, v21, *more, "-o", tmp_path / "refused")
        assert refused.code == 1
        assert all(text in refused.err for text in ("row 0: timestamp is 7.5", "--times index", "--fresh"))
        assert robotrove(command, v21, *more, "--times", "index", "-o", tmp_path / "out").code == 0
        assert_whole(tmp_path / "out")

    def test_rows_of_other_episodes_are_still_refused(self, v21: Path, tmp_path: Path) -> None:
        edit_column(v21 / tiny_v21.data_path(2), "frame_index", lambda old: list(range(1, len(old) + 1)))
        with pytest.raises(RobotroveError, match="frame_index is 1"):
            aggregate([v21], tmp_path / "out", times="index")


DEPTH = "observation.images.depth"


def as_v20(root: Path, **info: Any) -> Path:
    """Leave what GR00T's datasets of v2.0 have: no statistics of episodes, and no frame_index."""
    (root / "meta/episodes_stats.jsonl").unlink()
    for path in root.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(path).drop(["frame_index"]), path)

    def change(content: dict[str, Any]) -> None:
        content.update(codebase_version="v2.0", **info)
        del content["features"]["frame_index"]
        content["features"][DEPTH] = content["features"][FRONT]

    edit_json(root / "meta/info.json", change)
    return root


class TestV20:
    """Datasets of v2.0."""

    def test_merged_and_converted(self, v21: Path, tmp_path: Path) -> None:
        root = as_v20(v21)
        for version in ("v2.1", "v3.0"):
            report = convert(root, version, tmp_path / version)
            assert_whole(tmp_path / version)
            said = "\n".join(report.notes)
            for note in ("without frame_index", f"not in the output: {DEPTH}, a camera without files", "v2.0 has no"):
                assert note in said
            assert "which no episode uses" not in said
            features = json.loads((tmp_path / version / "meta/info.json").read_text())["features"]
            assert list(features) == list(tiny_v30.FEATURES)
        state = tiny_v30.columns()["observation.state"]
        rows = pq.read_table(tmp_path / "v3.0" / V30_EPISODES)
        lines = [json.loads(line) for line in (tmp_path / "v2.1/meta/episodes_stats.jsonl").read_text().splitlines()]
        for episode, (first, end) in enumerate(pairwise(STARTS.tolist())):
            for name in ("min", "max", "mean", "std"):
                expected = getattr(state[first:end].astype(np.float64), name)(axis=0)
                for found in (
                    rows[f"stats/observation.state/{name}"][episode].as_py(),
                    lines[episode]["stats"]["observation.state"][name],
                ):
                    np.testing.assert_allclose(found, expected, rtol=1e-6)
            red = np.mean(np.arange(first, end)) * 10 / 2 / 255
            assert rows[f"stats/{FRONT}/mean"][episode].as_py()[0][0][0] == pytest.approx(red, abs=0.02)

    def test_read(self, v21: Path) -> None:
        opened = open_dataset(as_v20(v21))
        assert (opened.version, list(opened.cameras)) == ("v2.0", [TOP, FRONT, WRIST])
        expected = np.concatenate([np.arange(length) for length in LENGTHS]).tolist()
        names = ["index", "frame_index"]
        for asked in (names, names[1:]):
            assert [n for rows in opened.rows(asked) for n in rows["frame_index"][:, 0].tolist()] == expected
        for at in opened.episodes():
            [rows] = opened.rows(names, at)
            assert rows["frame_index"][:, 0].tolist() == list(range(at.length))
            assert sum(map(len, opened.frames(WRIST, at))) == at.length

    @pytest.mark.parametrize(
        "template",
        ["data/chunk-{episode_index:03d}/part-{episode_index:06d}.parquet", "data/chunk-000/{episode_index}"],
    )
    def test_numbers_of_episodes_in_templates(self, template: str, v21: Path, tmp_path: Path) -> None:
        root = as_v20(v21, data_path=template)
        for number in range(len(LENGTHS)):
            path = root / template.format(episode_index=number)
            path.parent.mkdir(exist_ok=True)
            (root / tiny_v21.data_path(number)).rename(path)
        both(root, tmp_path) if template.endswith("parquet") else convert(root, "v3.0", tmp_path / "out")
        assert_whole(tmp_path / "merged" if template.endswith("parquet") else tmp_path / "out")

    def test_a_camera_with_some_files_is_not_left_out(self, v21: Path) -> None:
        root = as_v20(v21)
        for number in (0, 2, 3, 4):
            (root / tiny_v21.video_path(WRIST, number)).unlink()
        with pytest.raises(RobotroveError, match="does not exist, but episode 0 should be in it"):
            list(open_dataset(root).measured())

    def test_no_camera_has_files(self, v21: Path, tmp_path: Path) -> None:
        root = as_v20(v21, video_path=None)
        report = convert(root, "v3.0", tmp_path / "out")
        assert len([note for note in report.notes if "a camera without files" in note]) == 3
        assert texts(tmp_path / "out") == TEXTS

    def test_not_checked_as_it_is(self, v21: Path, robotrove: Callable[..., Outcome]) -> None:  # noqa: F811
        root = as_v20(v21)
        for command in ("verify", "stats"):
            found = robotrove(command, root)
            assert (found.code, f"robotrove convert {root} --to v2.1 -o OUT" in found.err) == (2, True)

    def test_v21_keeps_its_rules(self, v21: Path) -> None:
        edit_json(v21 / "meta/info.json", lambda info: info["features"].update({DEPTH: info["features"][FRONT]}))
        with pytest.raises(RobotroveError, match=rf"{DEPTH}/episode_000000.mp4: does not exist"):
            list(open_dataset(v21).measured())
