"""The public door to datasets: values, order and memory of what is read, and what becomes of damage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove import Dataset, DatasetDamaged, open_dataset
from robotrove.core.errors import UsageError
from robotrove.formats.lerobot.datasets import dataset as module
from robotrove.media.image.images import encode_png
from robotrove.tests.support.datasets import written_datasets as written
from robotrove.tests.support.datasets.written_datasets import FRONT, LENGTHS, TASKS, V30_EPISODES, WRIST

STILL = "observation.images.still"
DATA_30 = [f"data/chunk-000/file-{number:03d}.parquet" for number in (0, 1)]
WRITERS = {"v3.0": written.write_v30, "v2.1": written.write_v21}
NAMES = ["observation.state", "grid", "done", "note", "timestamp", "index"]


@pytest.fixture(params=list(WRITERS))
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return WRITERS[request.param](tmp_path / "cubes")


@pytest.fixture
def v30(tmp_path: Path) -> Path:
    return written.write_v30(tmp_path / "cubes")


def levels(frames: Iterator[np.ndarray]) -> list[int]:
    """The grey levels of frames, to the nearest that was written."""
    return [round((float(frame.mean()) - 20) / 15) for batch in frames for frame in batch]


def test_what_both_versions_say(root: Path) -> None:
    dataset = open_dataset(str(root))
    assert isinstance(dataset, Dataset)
    assert (dataset.root, dataset.fps, dataset.tasks) == (root, written.FPS, TASKS)
    assert list(dataset.features) == [*written.FEATURES, *written.DEFAULTS]
    found = [(at.index, at.length, list(at.tasks), set(at.tracks)) for at in dataset.episodes()]
    tasks = [[TASKS[task] for task in own] for own in written.EPISODE_TASKS]
    assert found == [(number, LENGTHS[number], tasks[number], {FRONT, WRIST}) for number in range(len(LENGTHS))]
    for at in dataset.episodes():
        assert (at.row_bytes, {(track.size, track.encoding) for track in at.tracks.values()}) == (None, {(None, None)})


def with_values(root: Path) -> dict[str, list[Any]]:
    """Give every row values of its own, in the types of info.json; return the columns of the whole dataset."""
    numbers = np.arange(sum(LENGTHS) * 6, dtype=np.float32)
    values = {"observation.state": numbers[: sum(LENGTHS) * 3].reshape(-1, 3).tolist()}
    values |= {"grid": (numbers / 8).reshape(-1, 2, 3).tolist(), "done": [row % 3 == 0 for row in range(sum(LENGTHS))]}
    kinds = {"observation.state": pa.list_(pa.float32()), "grid": pa.list_(pa.list_(pa.float32())), "done": pa.bool_()}
    tables = []
    for path in sorted(root.glob("data/*/*.parquet")):
        table = pq.read_table(path)
        first = table["index"][0].as_py()
        for name, kind in kinds.items():
            column = pa.array(values[name][first : first + table.num_rows], kind)
            table = table.set_column(table.schema.get_field_index(name), name, column)
        pq.write_table(table, path)
        tables.append(table)
    return pa.concat_tables(tables).to_pydict()


@pytest.mark.parametrize("batch_rows", [1, 2, 16_384])
def test_rows_in_any_order(root: Path, batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = with_values(root)
    monkeypatch.setattr(module, "BATCH_ROWS", batch_rows)
    dataset = open_dataset(root)
    for name, values in by_name(dataset.rows(NAMES), batch_rows).items():
        assert values.reshape(np.shape(expected[name])).tolist() == expected[name], name
    episodes = list(dataset.episodes())
    for number in (2, 0, 1, 3, 3, 0):
        here = slice(written.STARTS[number], written.STARTS[number + 1])
        for name, values in by_name(dataset.rows(NAMES, episodes[number]), batch_rows).items():
            feature = dataset.features[name]
            assert values.shape == (LENGTHS[number], *feature.shape) or feature.dtype == "string"
            assert values.dtype == (object if feature.dtype == "string" else feature.dtype)
            assert values.reshape(np.shape(expected[name][here])).tolist() == expected[name][here], (number, name)
    assert list(dataset.rows([])) == []


def by_name(batches: Iterator[dict[str, np.ndarray]], most: int) -> dict[str, np.ndarray]:
    """The rows of batches that have at most so many."""
    held = list(batches)
    assert max(len(batch["index"]) for batch in held) <= most
    return {name: np.concatenate([batch[name] for batch in held]) for name in held[0]}


def test_iterators_do_not_disturb_each_other(v30: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 1)
    dataset = open_dataset(v30)
    first, second, *_ = dataset.episodes()  # in the same file
    pairs = zip(dataset.rows(["index"], first), dataset.rows(["index"], second), strict=False)
    assert [(left["index"].item(), right["index"].item()) for left, right in pairs] == [(0, 4), (1, 5), (2, 6)]
    next(dataset.rows(["index"], second))  # left before its end
    assert [batch["index"].item() for batch in dataset.rows(["index"], first)] == [0, 1, 2, 3]


def test_rows_are_read_from_their_row_group_on(v30: Path) -> None:
    for path in DATA_30:
        pq.write_table(pq.read_table(v30 / path), v30 / path, row_group_size=2)
    dataset = open_dataset(v30)
    last = list(dataset.episodes())[3]  # rows 5 and 6 of a file with the row groups 0-1, 2-3, 4-5 and 6
    read = [(row, len(batch["index"])) for row, batch in dataset.row_batches(DATA_30[1], ["index"], last.rows.first)]
    assert read[0][0] == 4
    assert [value for batch in dataset.rows(["index"], last) for value in batch["index"][:, 0].tolist()] == [12, 13]
    assert list(dataset.row_batches(DATA_30[1], ["index"], 7)) == []


def test_columns_that_are_no_rows(root: Path) -> None:
    dataset = open_dataset(root)
    with pytest.raises(UsageError, match=r"cubes: has no column nothing, observation.images.front"):
        next(dataset.rows(["index", "nothing", FRONT]))
    at = next(dataset.episodes())
    for key in ("grid", "observation.images.top"):
        with pytest.raises(UsageError, match=f"has no colour camera '{key}'"):
            next(dataset.frames(key, at))
    with pytest.raises(UsageError, match=r"has no observation.images.top"):
        next(dataset.stats(["observation.images.top"]))


def test_frames_in_bounded_batches(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(root)
    episodes = list(dataset.episodes())
    for number in (3, 1, 2, 0, 2):
        for key in (FRONT, WRIST):
            batches = list(dataset.frames(key, episodes[number]))
            assert [(batch.dtype, batch.shape) for batch in batches] == [(np.uint8, (LENGTHS[number], 16, 32, 3))]
            assert levels(iter(batches)) == list(written.frames_of(number))
    monkeypatch.setattr(module, "_FRAME_BYTES", 2 * 16 * 32 * 3)
    assert [len(batch) for batch in dataset.frames(FRONT, episodes[2])] == [2, 2, 1]


@pytest.mark.parametrize(("first", "count", "rows"), [(0, 1, [0]), (2, 2, [2, 3]), (3, None, [3, 4]), (4, 9, [4])])
def test_some_frames_of_an_episode(root: Path, first: int, count: int | None, rows: list[int]) -> None:
    dataset = open_dataset(root)
    episode = next(at for at in dataset.episodes() if at.index == 2)
    for key in (FRONT, WRIST):
        assert levels(dataset.frames(key, episode, first, count)) == [written.STARTS[2] + row for row in rows]


def test_some_pictures_of_an_episode(v30: Path) -> None:
    frames = with_pictures(v30)
    dataset = open_dataset(v30)
    episode = next(at for at in dataset.episodes() if at.index == 2)
    [batch] = dataset.frames(STILL, episode, 1, 3)
    np.testing.assert_array_equal(batch, frames[written.STARTS[2] + 1 : written.STARTS[2] + 4])


def test_frames_of_a_file_that_begins_late(v30: Path) -> None:
    written.write_video(v30 / f"videos/{FRONT}/chunk-000/file-001.mp4", range(4, 14), [0, 3, 8], first_pts=2)
    for episode, begin in ((1, 0.2), (2, 0.5), (3, 1.0)):
        path = V30_EPISODES[episode // 3]
        change = {f"videos/{FRONT}/from_timestamp": begin}
        written.edit_rows(v30 / path, lambda rows, row=episode % 3, change=change: rows[row].update(change))
    dataset = open_dataset(v30)
    assert [levels(dataset.frames(FRONT, at)) for at in dataset.episodes()] == [
        list(written.frames_of(number)) for number in range(len(LENGTHS))
    ]


def with_pictures(root: Path) -> np.ndarray:
    """Add a camera that is stored as pictures to a v3.0 dataset; return its frames."""
    frames = np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), 8, 12, 3), dtype=np.uint8)
    first = 0
    for path in DATA_30:
        table = pq.read_table(root / path)
        rows = [{"bytes": encode_png(frame), "path": None} for frame in frames[first : first + table.num_rows]]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        pq.write_table(table.append_column(STILL, pa.array(rows, kind)), root / path)
        first += table.num_rows
    camera = {"dtype": "image", "shape": [8, 12, 3], "names": ["height", "width", "channels"]}
    written.edit_json(root / "meta/info.json", lambda info: info["features"].update({STILL: camera}))
    return frames


def test_pictures_as_frames_and_as_files(v30: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = with_pictures(v30)
    monkeypatch.setattr(module, "_FRAME_BYTES", 3 * 8 * 12 * 3)
    dataset = open_dataset(v30)
    for at in dataset.episodes():
        expected = frames[written.STARTS[at.index] : written.STARTS[at.index + 1]]
        batches = list(dataset.frames(STILL, at))
        assert max(map(len, batches)) <= 3
        np.testing.assert_array_equal(np.concatenate(batches), expected)
        [rows] = dataset.rows([STILL, "index"], at)
        assert rows[STILL].tolist() == [encode_png(frame) for frame in expected]


def test_statistics_of_each_episode(root: Path) -> None:
    [batch] = stacked(open_dataset(root), ["grid", FRONT])
    expected = [[written.known(episode, "grid", "q99")] for episode in range(4)]
    assert batch["stats/grid/q99"].tolist() == [values for [values] in expected]
    assert batch[f"stats/{FRONT}/mean"].shape == (4, 3, 1, 1)
    assert batch["stats/grid/count"].tolist() == [[length] for length in LENGTHS]
    assert {name.split("/")[1] for name in batch} == {"grid", FRONT}


def stacked(dataset: Dataset, names: list[str]) -> list[dict[str, np.ndarray]]:
    """The statistics of all batches as one."""
    batches = list(dataset.stats(names))
    return [{name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}]


def drop_data(root: Path) -> None:
    (root / DATA_30[1]).unlink()


def spoil_video(root: Path) -> None:
    (root / f"videos/{FRONT}/chunk-000/file-000.mp4").write_bytes(b"no video")


def repeat_task(root: Path) -> None:
    written.write_table(root / "meta/tasks.parquet", pa.table({"task_index": [0, 1], "task": [TASKS[0]] * 2}))


def drop_tasks(root: Path) -> None:
    (root / "meta/tasks.parquet").unlink()


def renumber(root: Path) -> None:
    written.edit_rows(root / V30_EPISODES[0], lambda rows: rows[1].update(episode_index=7))


def empty_tasks(root: Path) -> None:
    written.edit_rows(root / V30_EPISODES[0], lambda rows: rows[2].update(tasks=None))


def swap_rows(root: Path) -> None:
    table = pq.read_table(root / DATA_30[0])
    pq.write_table(table.take([4, 5, 6, 0, 1, 2, 3]), root / DATA_30[0])


def drop_stats(root: Path) -> None:
    (root / V30_EPISODES[1]).write_bytes(b"no table")


def all_of(dataset: Dataset) -> dict[str, Any]:
    """Read everything; return what came of it."""
    tasks, episodes = dataset.tasks, list(dataset.episodes())
    return {
        "tasks": tasks,
        "episodes": [at.index for at in episodes],
        "rows": [value for batch in dataset.rows(["index"]) for value in batch["index"][:, 0].tolist()],
        "by episode": [[v for b in dataset.rows(["index"], at) for v in b["index"][:, 0].tolist()] for at in episodes],
        "frames": [sum(map(len, dataset.frames(FRONT, at))) for at in episodes],
        "stats": [len(batch["stats/grid/min"]) for batch in dataset.stats(["grid"])],
    }


WHOLE = {
    "tasks": TASKS,
    "episodes": [0, 1, 2, 3],
    "rows": list(range(14)),
    "by episode": [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 10, 11], [12, 13]],
    "frames": LENGTHS,
    "stats": [3, 1],
}


@pytest.mark.parametrize(
    ("damage", "place", "found", "left"),
    [
        (drop_data, DATA_30[1], "does not exist, but episode 2 should be in it",
         {"rows": list(range(7)), "by episode": [[0, 1, 2, 3], [4, 5, 6], [], []]}),
        (spoil_video, f"videos/{FRONT}/chunk-000/file-000.mp4", "episode 0 is in it", {"frames": [0, 3, 5, 2]}),
        (repeat_task, "meta/tasks.parquet, row 1", "the task of row 0 exists twice", {"tasks": [TASKS[0]] * 2}),
        (drop_tasks, "meta/tasks.parquet", "does not exist", {"tasks": []}),
        (renumber, f"{V30_EPISODES[0]}, row 1", "is about episode 7 instead of 1",
         {"episodes": [0, 7, 2, 3], "by episode": [[0, 1, 2, 3], [], [7, 8, 9, 10, 11], [12, 13]]}),
        (empty_tasks, f"{V30_EPISODES[0]}, row 2", "tasks: the value is missing",
         {"episodes": [0, 1, 3], "by episode": [[0, 1, 2, 3], [4, 5, 6], []], "frames": [4, 3, 2]}),
        (swap_rows, DATA_30[0], "row 0 and those after it are not all of episode 0",
         {"rows": [4, 5, 6, 0, 1, 2, 3, *range(7, 14)], "by episode": [[], [], *WHOLE["by episode"][2:]]}),
        (drop_stats, V30_EPISODES[1], "cannot be read as parquet",
         {"episodes": [0, 1, 2], "by episode": WHOLE["by episode"][:3], "frames": [0, 0, 0], "stats": [3]}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_collector_is_told_and_the_rest_is_read(
    v30: Path, damage: Callable[[Path], None], place: str, found: str, left: dict[str, Any]
) -> None:
    assert all_of(open_dataset(v30)) == WHOLE
    damage(v30)
    with pytest.raises(DatasetDamaged) as caught:
        all_of(open_dataset(v30))
    faults: list[DatasetDamaged] = []
    seen = all_of(open_dataset(v30, damage=faults.append))
    assert {name: value for name, value in seen.items() if value != WHOLE[name]} == left
    assert (faults[0].place, found in faults[0].found) == (place, True), faults[0]
    for fault in (caught.value, faults[0]):
        assert fault.where == str(v30 / place)
        assert (fault.todo, fault.exit_code) == (f"robotrove verify {v30}", 2)


def test_tasks_of_v21_that_are_damaged(tmp_path: Path) -> None:
    root = written.write_v21(tmp_path / "cubes")
    lines = [(0, "a"), (0, "b"), ("x", "c"), (2, 7), (1, "d")]
    written.write_lines(root / "meta/tasks.jsonl", [{"task_index": index, "task": task} for index, task in lines])
    faults: list[DatasetDamaged] = []
    assert open_dataset(root, damage=faults.append).tasks == ["a", "d"]
    assert [(fault.place, fault.found) for fault in faults] == [
        ("meta/tasks.jsonl, line 2", "task_index is 0, but that is another task in a line before"),
        ("meta/tasks.jsonl, line 3", "task_index is 'x' instead of a count"),
        ("meta/tasks.jsonl, line 4", "task is 7 instead of a text"),
    ]


def test_a_picture_that_is_damaged(v30: Path) -> None:
    with_pictures(v30)
    written.edit_rows(v30 / DATA_30[0], lambda rows: rows[5].update({STILL: {"bytes": b"no picture", "path": None}}))
    dataset = open_dataset(v30)
    with pytest.raises(DatasetDamaged) as caught:
        [list(dataset.frames(STILL, at)) for at in dataset.episodes()]
    assert caught.value.place == f"{DATA_30[0]}, column {STILL}, row 1 of episode 1"


@pytest.mark.parametrize(("key", "value"), [("fps", 29.97), ("features", []), ("codebase_version", "v1.6")])
def test_info_that_cannot_be_used(v30: Path, key: str, value: Any) -> None:
    written.edit_json(v30 / "meta/info.json", lambda info: info.update({key: value}))
    with pytest.raises(UsageError, match=r"cubes/meta/info.json: \w+ is"):
        getattr(open_dataset(v30, damage=print), key)


def test_info_that_cannot_be_read(v30: Path) -> None:
    (v30 / "meta/info.json").write_text("{")
    with pytest.raises(DatasetDamaged, match=r"cubes/meta/info.json: cannot be read as JSON"):
        open_dataset(v30, damage=print)


LIGHT = """
import json, sys
from robotrove import open_dataset
dataset = open_dataset(sys.argv[1])
opened = [name for name in sys.modules if name.startswith("robotrove.formats.lerobot.datasets.dataset_v")]
rows = sum(len(batch["index"]) for at in dataset.episodes() for batch in dataset.rows(["index"], at))
heavy = [name for name in ("av", "h5py", "pyarrow.dataset", "huggingface_hub", "torch") if name in sys.modules]
next(dataset.frames("observation.images.front", next(dataset.episodes())))
print(json.dumps([opened, rows, heavy, "av" in sys.modules]))
"""


def test_what_is_imported(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, str(root)], capture_output=True, text=True, check=True)
    version = "v30" if (root / "meta/tasks.parquet").exists() else "v21"
    own = f"robotrove.formats.lerobot.datasets.dataset_{version}"
    assert json.loads(done.stdout) == [[own], sum(LENGTHS), [], True]


WIDE = """
import re, sys
from robotrove import open_dataset
dataset = open_dataset(sys.argv[1])
[at] = dataset.episodes()
rows = sum(len(batch["wide"]) for batch in dataset.rows(["wide"], at))
print(rows, int(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().expandtabs())[1]) // 1024)
"""


def test_memory_does_not_grow_with_wide_rows(tmp_path: Path) -> None:
    """One episode of 100 and of 3,000 rows of 24,000 numbers, 10 and 288 MB, each in one row group."""
    peaks = []
    for count in (100, 3_000):
        root = tmp_path / str(count)
        feature = {"dtype": "float32", "shape": [24_000], "names": None}
        index = {"dtype": "int64", "shape": [1], "names": None}
        info = {"codebase_version": "v2.1", "fps": 10, "chunks_size": 1000, "data_path": "{episode_index}.parquet"}
        written.write_json(root / "meta/info.json", info | {"features": {"wide": feature, "episode_index": index}})
        written.write_lines(root / "meta/tasks.jsonl", [{"task_index": 0, "task": "x"}])
        line = {"episode_index": 0, "length": count, "tasks": ["x"]}
        written.write_lines(root / "meta/episodes.jsonl", [line])
        values = pa.array(np.resize(np.arange(1 << 20, dtype=np.float32), count * 24_000))
        columns = {
            "wide": pa.FixedSizeListArray.from_arrays(values, 24_000),
            "episode_index": np.zeros(count, np.int64),
        }
        pq.write_table(pa.table(columns), root / "0.parquet", row_group_size=count, use_dictionary=False)
        del values, columns
        done = subprocess.run([sys.executable, "-c", WIDE, str(root)], capture_output=True, text=True, check=True)
        rows, peak = map(int, done.stdout.split())
        assert rows == count
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 120, peaks  # batches of 16 MB, and what pyarrow needs to make one


def test_an_episode_of_another_dataset_is_refused(root: Path, tmp_path: Path) -> None:
    other = next(open_dataset(WRITERS[open_dataset(root).version](tmp_path / "other")).episodes())
    dataset = open_dataset(root)
    for read in (lambda at: dataset.rows(["index"], at), lambda at: dataset.frames(FRONT, at)):
        for at in (other, 0):
            with pytest.raises(UsageError, match=r"an episode of dataset\.episodes\(\)"):
                list(read(at))


def test_rows_of_the_whole_are_as_many_as_the_episodes_have_frames(v30: Path) -> None:
    (v30 / DATA_30[1]).unlink()
    with pytest.raises(DatasetDamaged, match=r"has \d+ rows in all, and the episodes have 14 frames"):
        list(open_dataset(v30).rows(["index"]))
    faults: list[DatasetDamaged] = []
    assert sum(len(batch["index"]) for batch in open_dataset(v30, damage=faults.append).rows(["index"])) < 14
    assert len(faults) == 1
