from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.features import Feature
from robotrove.formats.lerobot.datasets.dataset_stats import dataset_stats
from robotrove.formats.lerobot.recompute.camera_recompute import fault
from robotrove.formats.lerobot.recompute.dataset_recompute import StatsReport, recompute
from robotrove.media.image.images import encode_png
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.datasets import written_datasets as written
from robotrove.tests.support.datasets.written_datasets import (
    FRONT,
    LENGTHS,
    STARTS,
    V30_EPISODES,
    WRIST,
    frames_of,
    v21_path,
)

STATS, LINES, HISTOGRAMS = "meta/stats.json", "meta/episodes_stats.jsonl", "meta/robotrove/histograms.json"
DATA = [f"data/chunk-000/file-{number:03d}.parquet" for number in (0, 1)]
LEVELS = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
NUMBERS = ["observation.state", "grid", "done", "timestamp", "frame_index", "episode_index", "index", "task_index"]
TOP = "top"
EPISODES = range(len(LENGTHS))

RNG = np.random.default_rng(5)
STATE = RNG.normal(size=(STARTS[-1], 3)).astype(np.float32)
GRID = RNG.normal(size=(STARTS[-1], 2, 3)).astype(np.float32)
DONE = RNG.random(STARTS[-1]) < 0.4
PICTURES = RNG.integers(0, 256, (STARTS[-1], 5, 7, 3)).astype(np.uint8)


def with_values(path: Path) -> None:
    """Put numbers and pictures into a data file."""
    table = pq.read_table(path)
    at = table["index"].to_numpy()
    arrays = {
        "observation.state": pa.array(STATE[at].tolist(), pa.list_(pa.float32(), 3)),
        "grid": pa.array(GRID[at].tolist(), pa.list_(pa.list_(pa.float32()))),
        "done": pa.array(DONE[at]),
        TOP: pa.array([{"bytes": encode_png(PICTURES[index]), "path": f"{index}.png"} for index in at]),
    }
    for name, values in arrays.items():
        there = table.column_names.index(name) if name in table.column_names else table.num_columns
        table = table.remove_column(there) if there < table.num_columns else table
        table = table.add_column(there, name, values)
    written.write_table(path, table)


def add_top(root: Path) -> None:
    camera = {"dtype": "image", "shape": [5, 7, 3], "names": ["height", "width", "channels"]}
    written.edit_json(root / "meta/info.json", lambda info: info["features"].update({TOP: camera}))
    for path in root.glob("data/*/*.parquet"):
        with_values(path)


@pytest.fixture(scope="module")
def original_v30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = written.write_v30(tmp_path_factory.mktemp("v30") / "cubes")
    add_top(root)
    return root


@pytest.fixture(scope="module")
def complete_v30(original_v30: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("complete") / "cubes"
    shutil.copytree(original_v30, root)
    recompute(root)
    return root


@pytest.fixture(scope="module")
def original_v21(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = written.write_v21(tmp_path_factory.mktemp("v21") / "cubes")
    add_top(root)
    return root


@pytest.fixture
def raw(original_v30: Path, tmp_path: Path) -> Path:
    """Version 3.0 with statistics that are made up, and without any of the pictures."""
    return Path(shutil.copytree(original_v30, tmp_path / "raw"))


@pytest.fixture
def root(complete_v30: Path, tmp_path: Path) -> Path:
    """Version 3.0 with the right statistics."""
    return Path(shutil.copytree(complete_v30, tmp_path / "cubes"))


@pytest.fixture
def v21(original_v21: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original_v21, tmp_path / "cubes"))


def measured(table: np.ndarray, count: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Statistics of (n, D), by their definition."""
    table = table.astype(np.float64)
    found = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    found |= {key: np.quantile(table, level, axis=0) for key, level in LEVELS.items()}
    return {key: value.reshape(shape) for key, value in found.items()} | {"count": np.array([count])}


def pixels_of(root: Path, key: str, episode: int) -> np.ndarray:
    """All pixels of a camera in an episode, which is short enough that every frame is sampled."""
    if key == TOP:
        frames = PICTURES[list(frames_of(episode))]
    else:
        files = written.VIDEO_FILES[key]
        number, first = written.place_of(episode, files)
        path = root / f"videos/{key}/chunk-000/file-{number:03d}.mp4"
        if not path.exists():
            path, first = root / v21_path(episode, key), 0
        frames = np.stack(list(iter_frames(path, first, LENGTHS[episode])))
    return frames.reshape(-1, 3) / 255


def expected(root: Path, episodes: list[int]) -> dict[str, dict[str, Any]]:
    at = np.array([index for episode in episodes for index in frames_of(episode)])
    episode = np.searchsorted(STARTS, at, side="right") - 1
    frame = at - np.array(STARTS)[episode]
    columns = {
        "observation.state": STATE[at],
        "grid": GRID[at].reshape(-1, 3),
        "done": DONE[at, None],
        "timestamp": (frame / 10).astype(np.float32)[:, None],
        "frame_index": frame[:, None],
        "episode_index": episode[:, None],
        "index": at[:, None],
        "task_index": np.array([written.EPISODE_TASKS[number][0] for number in episode])[:, None],
    }
    stats = {key: measured(table, len(at), table.shape[1:]) for key, table in columns.items()}
    for key in (FRONT, WRIST, TOP):
        pixels = np.concatenate([pixels_of(root, key, number) for number in episodes])
        stats[key] = measured(pixels, len(at), (3, 1, 1))
    return stats


def assert_same(found: dict[str, Any], right: dict[str, Any]) -> None:
    assert found.keys() == right.keys()
    for name, value in right.items():
        np.testing.assert_allclose(np.array(found[name]), value, rtol=1e-9, atol=1e-12, err_msg=name)


def episode_rows(root: Path) -> list[dict[str, Any]]:
    return [row for path in V30_EPISODES for row in pq.read_table(root / path).to_pylist()]


def stats_of(row: dict[str, Any], key: str) -> dict[str, Any]:
    prefix = f"stats/{key}/"
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / LINES).read_text().splitlines()]


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def set_cell(root: Path, episode: int, column: str, value: Any) -> None:
    path = root / V30_EPISODES[1 if episode == 3 else 0]
    table = pq.read_table(path)
    values = table.column(column).to_pylist()
    values[episode % 3] = value
    at = table.column_names.index(column)
    written.write_table(path, table.set_column(at, column, pa.array(values, table.schema.field(at).type)))


def of(report: StatsReport) -> dict[str, list[tuple[int | None, str]]]:
    return {key: [(d.episode, d.statistic) for d in found.shown] for key, found in report.differences.items()}


def test_wrong_statistics_become_those_of_rows_and_frames(raw: Path) -> None:
    before = [pq.read_table(raw / path) for path in V30_EPISODES]
    report = recompute(raw)
    assert (report.episodes, report.frames, list(report.numbers)) == (4, 14, NUMBERS)
    assert list(report.cameras) == [FRONT, WRIST, TOP]
    assert report.written == (HISTOGRAMS, *V30_EPISODES, STATS)
    for episode, row in enumerate(episode_rows(raw)):
        for key, stats in expected(raw, [episode]).items():
            assert_same(stats_of(row, key), stats)
    content = json.loads((raw / STATS).read_text())
    whole = expected(raw, list(EPISODES))
    assert content.keys() == whole.keys()
    for key, stats in whole.items():
        assert_same(content[key], stats)
    for path, old in zip(V30_EPISODES, before, strict=True):
        new = pq.read_table(raw / path)
        others = [name for name in old.column_names if not name.startswith("stats/")]
        assert new.select(others).equals(old.select(others))
        assert [name for name in new.column_names if not name.startswith(f"stats/{TOP}/")] == old.column_names
        assert new.column_names[-2:] == ["meta/episodes/chunk_index", "meta/episodes/file_index"]
    histogram = np.array(json.loads((raw / HISTOGRAMS).read_text())[TOP])
    assert histogram[2].tolist() == np.bincount(PICTURES[..., 2].ravel(), minlength=256).tolist()


def test_nothing_to_do(root: Path) -> None:
    before = snapshot(root)
    report = recompute(root)
    assert (report.written, report.differences, report.cameras) == ((), {}, {})
    assert list(recompute(root, cameras=True).cameras) == [FRONT, WRIST, TOP]
    assert recompute(root, check=True, cameras=True).differences == {}
    assert snapshot(root) == before


def test_quantiles_are_added_to_older_datasets(root: Path) -> None:
    for path in V30_EPISODES:
        table = pq.read_table(root / path)
        table = table.drop_columns([name for name in table.column_names if "/q" in name])
        for column, kind in (("index", pa.int64()), ("done", pa.bool_())):
            for name in ("min", "max"):
                at = table.column_names.index(f"stats/{column}/{name}")
                values = table.column(at).to_pylist()
                typed = pa.array(
                    [[bool(v) if kind == pa.bool_() else int(v) for v in row] for row in values], pa.list_(kind)
                )
                table = table.set_column(at, f"stats/{column}/{name}", typed)
        metadata = {"huggingface": '{"info": {"features": {}}}', "maker": "me"}
        written.write_table(root / path, table.replace_schema_metadata(metadata))
    (root / STATS).unlink()
    (root / HISTOGRAMS).unlink()
    report = recompute(root)
    assert report.cameras[FRONT] == "episode 0: has no q01, q10, q50, q90, q99"
    for path in V30_EPISODES:
        schema = pq.read_schema(root / path)
        assert {str(schema.field(f"stats/{key}/max").type) for key in NUMBERS} == {"list<element: double>"}
        names = [name for name in schema.names if name.startswith("stats/done/")]
        assert [name.rpartition("/")[2] for name in names] == ["min", "max", "mean", "std", "count", *LEVELS]
        assert b"huggingface" not in schema.metadata
        assert schema.metadata[b"maker"] == b"me"
    for episode, row in enumerate(episode_rows(root)):
        assert_same(stats_of(row, "done"), expected(root, [episode])["done"])
    assert recompute(root, check=True, cameras=True).differences == {}


def test_a_check_names_each_difference_and_writes_nothing(root: Path) -> None:
    right = expected(root, [1])["observation.state"]["mean"]
    wrong = (right + np.array([0, 0.01, 0])).tolist()
    set_cell(root, 1, "stats/observation.state/mean", wrong)
    set_cell(root, 3, "stats/index/q90", None)
    written.edit_json(root / STATS, lambda stats: stats["index"].update(q50=[6.4]))
    before = snapshot(root)
    report = recompute(root, check=True)
    assert of(report) == {"observation.state": [(1, "mean")], "index": [(3, "q90"), (None, "q50")]}
    [difference] = report.differences["observation.state"].shown
    assert (difference.file, difference.found) == (V30_EPISODES[0], wrong)
    np.testing.assert_allclose(difference.expected, right, rtol=1e-12)
    first, second = report.differences["index"].shown
    assert (first.file, first.found, first.expected) == (V30_EPISODES[1], None, [12.9])
    assert (second.file, second.found, second.expected) == (STATS, [6.4], [6.5])
    assert (report.differences["index"].count, report.differences["index"].missing) == (2, 1)
    assert report.written == ()
    assert snapshot(root) == before
    assert recompute(root).written == (*V30_EPISODES, STATS)
    assert recompute(root, check=True).differences == {}


def test_what_is_shown_is_capped(raw: Path) -> None:
    found = recompute(raw, check=True).differences["done"]
    assert (len(found.shown), found.count > 20) == (5, True)


def test_roundings_of_lerobot_are_none_in_a_check_but_become_exact(root: Path) -> None:
    right = expected(root, [2])["observation.state"]
    set_cell(root, 2, "stats/observation.state/mean", (right["mean"] + 1e-5).tolist())
    set_cell(root, 2, "stats/observation.state/q50", (right["q50"] + 1e-4).tolist())
    assert recompute(root, check=True).differences == {}
    assert of(recompute(root)) == {"observation.state": [(2, "mean"), (2, "q50")]}
    assert_same(stats_of(episode_rows(root)[2], "observation.state"), right)


def test_a_camera_is_computed_where_its_spread_is_impossible(root: Path) -> None:
    kept = stats_of(episode_rows(root)[0], WRIST)["mean"]
    kept[0][0][0] += 0.01
    set_cell(root, 0, f"stats/{WRIST}/mean", kept)
    set_cell(root, 2, f"stats/{FRONT}/std", [[[0.0]]] * 3)
    report = recompute(root)
    assert list(report.cameras) == [FRONT]
    assert report.cameras[FRONT].startswith("episode 2: std 0 is impossible with values from 0.")
    rows = episode_rows(root)
    assert_same(stats_of(rows[2], FRONT), expected(root, [2])[FRONT])
    assert stats_of(rows[0], WRIST)["mean"] == kept
    assert recompute(root, cameras=True).differences.keys() == {WRIST}
    assert_same(stats_of(episode_rows(root)[0], WRIST), expected(root, [0])[WRIST])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"std": 0.0}, "std 0 is impossible with values from 0.1 to 0.9"),
        ({"std": 0.015}, "std 0.015 is impossible"),  # LeRobot's overflow, not quite 0
        ({"std": 0.05}, "std 0.05 is impossible"),  # a tenth of the pixels is below 0.2, a tenth above 0.7
        ({"std": 0.05, "q10": 0.45, "q90": 0.55}, ""),
        ({"std": 0.0, **dict.fromkeys(("min", "max", "mean", *LEVELS), 0.5)}, ""),  # one colour
        ({"max": 90.0}, "its values are not in [0, 1]"),
        ({"mean": 0.95}, "mean is not between min and max"),
        ({"q50": None}, "has no q50"),
    ],
)
def test_what_is_impossible_for_a_camera(changes: dict[str, float | None], said: str) -> None:
    values = {
        "min": 0.1,
        "max": 0.9,
        "mean": 0.5,
        "std": 0.2,
        "q01": 0.12,
        "q10": 0.2,
        "q50": 0.5,
        "q90": 0.7,
        "q99": 0.8,
    }
    stats = {name: np.full((3, 1, 1), value) for name, value in (values | changes).items() if value is not None}
    found = fault(stats | {"count": np.array([4.0])}, {FRONT: Feature("video", (16, 32, 3))}, FRONT)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_other_frames_are_a_difference_and_compression_is_none(root: Path) -> None:
    blurred = stats_of(episode_rows(root)[0], FRONT)["mean"]
    set_cell(root, 0, f"stats/{FRONT}/mean", (np.array(blurred) + 0.02).tolist())
    assert recompute(root, check=True, cameras=True).differences == {}
    set_cell(root, 0, f"stats/{FRONT}/mean", (np.array(blurred) + 0.06).tolist())
    set_cell(root, 1, f"stats/{FRONT}/count", [3 * 16 * 32])  # LeRobot's, encoding while it records
    set_cell(root, 2, f"stats/{TOP}/count", [6])
    found = recompute(root, check=True, cameras=True)
    assert of(found) == {FRONT: [(0, "mean")], TOP: [(2, "count")]}


def test_a_histogram_of_fewer_episodes_is_not_used(root: Path) -> None:
    def halve(histograms: dict[str, Any]) -> None:
        histograms[TOP] = (np.array(histograms[TOP]) // 2).tolist()

    right = json.loads((root / STATS).read_text())[TOP]
    written.edit_json(root / HISTOGRAMS, halve)
    np.testing.assert_array_equal(dataset_stats(root)[TOP]["q50"], right["q50"])
    report = recompute(root)
    assert report.cameras == {TOP: "meta/robotrove/histograms.json: is not of these episodes"}
    assert report.written == (HISTOGRAMS,)
    assert np.array(json.loads((root / HISTOGRAMS).read_text())[TOP]).sum() == PICTURES.size


def test_row_groups_stay(root: Path) -> None:
    path = root / V30_EPISODES[0]
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=1)
    set_cell(root, 2, "stats/index/mean", [0.0])
    pq.write_table(pq.read_table(path), path, row_group_size=1)
    recompute(root)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert pq.read_table(path).to_pylist() == table.to_pylist()


def test_rows_are_found_by_their_order(root: Path) -> None:
    set_cell(root, 2, "data/file_index", 0)  # as LeRobot's converter leaves it
    assert recompute(root).written == ()


@pytest.mark.parametrize("done", [1, 2, 3])
def test_an_interrupted_call_is_completed(raw: Path, root: Path, done: int) -> None:
    for path in (HISTOGRAMS, *V30_EPISODES, STATS)[:done]:
        (raw / path).parent.mkdir(exist_ok=True)
        shutil.copy(root / path, raw / path)
    recompute(raw)
    assert snapshot(raw) == snapshot(root)


def with_nan(root: Path) -> None:
    rows = pq.read_table(root / DATA[1]).to_pylist()
    state = STATE[[row["index"] for row in rows]]
    state[-1, 1] = np.nan
    table = pq.read_table(root / DATA[1])
    written.write_table(
        root / DATA[1], table.set_column(0, "observation.state", pa.array(state.tolist(), pa.list_(pa.float32(), 3)))
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / DATA[1]).unlink(), DATA[1]),
        (lambda root: (root / DATA[1]).write_bytes((root / DATA[1]).read_bytes()[:-100]), DATA[1]),
        (lambda root: written.write_table(root / DATA[1], pq.read_table(root / DATA[1])[:-1]), DATA[1]),
        (lambda root: (root / f"videos/{FRONT}/chunk-000/file-001.mp4").unlink(), "file-001.mp4"),
        (lambda root: written.edit_json(root / HISTOGRAMS, lambda content: content.update({TOP: [[1]]})), HISTOGRAMS),
        (with_nan, "column observation.state: episode 3 has NaN or infinite numbers"),
    ],
)  # fmt: skip
def test_damage_is_named_and_nothing_is_written(root: Path, damage: Any, said: str) -> None:
    set_cell(root, 0, "stats/index/mean", [0.0])
    damage(root)
    before = snapshot(root)
    with pytest.raises(RobotroveError, match=said):
        recompute(root)
    assert snapshot(root) == before


def test_a_damaged_picture_is_named(raw: Path) -> None:
    def damage(rows: list[dict[str, Any]]) -> None:
        rows[2][TOP]["bytes"] = rows[2][TOP]["bytes"][:-20]

    table = pq.read_table(raw / DATA[1])
    rows = table.to_pylist()
    damage(rows)
    written.write_table(
        raw / DATA[1], table.set_column(table.num_columns - 1, TOP, pa.array([row[TOP] for row in rows]))
    )
    before = snapshot(raw)
    with pytest.raises(RobotroveError, match=f"{DATA[1]}, column {TOP}, row 2 of episode 2: "):
        recompute(raw)
    assert snapshot(raw) == before


def test_lines_of_v21(v21: Path) -> None:
    written.edit_lines(v21 / LINES, lambda entries: entries[1].update(note="mine"))
    written.edit_lines(v21 / LINES, lambda entries: entries[1]["stats"]["index"].update(mode=[3]))
    assert recompute(v21).written == (HISTOGRAMS, LINES)
    for episode, line in enumerate(lines(v21)):
        assert line["episode_index"] == episode
        right = expected(v21, [episode])
        if episode == 1:
            assert line["note"] == "mine"
            assert line["stats"]["index"].pop("mode") == [3]
        assert line["stats"].keys() == right.keys()
        for key, stats in right.items():
            assert_same(line["stats"][key], stats)
    before = snapshot(v21)
    assert recompute(v21, cameras=True).written == ()
    assert recompute(v21, cameras=True, check=True).differences == {}
    assert snapshot(v21) == before
    assert STATS not in before


def test_missing_lines_of_v21(v21: Path) -> None:
    recompute(v21)
    right = (v21 / LINES).read_bytes()
    (v21 / LINES).write_bytes(b"".join(right.splitlines(keepends=True)[:2]))
    report = recompute(v21)
    assert [episode for episode, _ in of(report)["done"]] == [2] * 5
    assert report.differences["done"].missing == 20
    assert lines(v21) == [json.loads(line) for line in right.splitlines()]
    (v21 / LINES).unlink()
    recompute(v21)
    found = lines(v21)
    assert [line["episode_index"] for line in found] == [0, 1, 2, 3]
    assert_same(found[3]["stats"]["grid"], expected(v21, [3])["grid"])


def test_v21_keeps_the_axes_that_lerobot_0_3_has(v21: Path) -> None:
    def unfold(entries: list[Any]) -> None:
        for entry in entries:
            for name in ("min", "max", "mean", "std"):
                entry["stats"]["grid"][name] = [[0.0] * 3] * 2

    written.edit_lines(v21 / LINES, unfold)
    recompute(v21)
    grid = lines(v21)[2]["stats"]["grid"]
    assert_same(grid, measured(GRID[7:12].reshape(5, 6), 5, (2, 3)))
    assert recompute(v21, check=True).differences == {}


def test_lines_of_other_episodes(v21: Path) -> None:
    written.edit_lines(v21 / LINES, lambda entries: entries[0].update(episode_index=1))
    with pytest.raises(RobotroveError, match="line 1: is about episode 1 instead of 0"):
        recompute(v21)


def test_the_file_of_gr00t(v21: Path) -> None:
    recompute(v21)
    assert recompute(v21, check=True, gr00t=True).differences["observation.state (GR00T)"].missing == 6
    assert recompute(v21, gr00t=True).written == (STATS,)
    state = json.loads((v21 / STATS).read_text())["observation.state"]
    np.testing.assert_allclose(state["mean"], STATE.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(state["std"], STATE.astype(np.float64).std(axis=0), rtol=1e-12)
    assert recompute(v21, gr00t=True).written == ()
    own = {name: np.array(getattr(np, name)(STATE, axis=0), np.float64).tolist() for name in ("mean", "std")}
    assert own["mean"] != state["mean"]  # what GR00T's script computes, in float32
    written.edit_json(v21 / STATS, lambda stats: stats["observation.state"].update(own))
    assert recompute(v21, check=True, gr00t=True).differences == {}
    wrong = state["std"][1] * 1.002
    written.edit_json(v21 / STATS, lambda stats: stats["observation.state"]["std"].__setitem__(1, wrong))
    report = recompute(v21, check=True, gr00t=True)
    assert of(report) == {"observation.state (GR00T)": [(None, "std")]}
    assert recompute(v21, check=True).differences == {}
    assert recompute(v21, gr00t=True).written == (STATS,)
    assert json.loads((v21 / STATS).read_text())["observation.state"] == state


def test_the_relative_file_of_gr00t(v21: Path, tmp_path: Path) -> None:
    part = {"arm": {"start": 0, "end": 2, "original_key": "observation.state"}}
    written.write_json(v21 / "meta/modality.json", {"state": part, "action": part})
    config = tmp_path / "actions.yaml"
    config.write_text("{action_horizon: 2, actions: {arm: {rep: RELATIVE}}}")
    recompute(v21)
    (v21 / "meta/relative_stats.json").write_text('{"stale": {"max": [[0.0]]}}')
    assert recompute(v21, relative=config).written == ("meta/relative_stats.json",)
    found = (v21 / "meta/relative_stats.json").read_bytes()
    assert found.startswith(b'{\n    "arm": {\n        "max": [\n            [\n                0.0')
    steps = np.concatenate([np.diff(STATE[STARTS[e] : STARTS[e + 1], :2].astype(float), axis=0) for e in EPISODES])
    assert list(json.loads(found)) == ["arm"]
    np.testing.assert_allclose(json.loads(found)["arm"]["max"], [[0, 0], steps.max(axis=0)], rtol=1e-6)
    assert not recompute(v21, relative=config).written
    written.edit_json(v21 / "meta/relative_stats.json", lambda stats: stats["arm"]["max"][1].__setitem__(0, 9.0))
    assert of(recompute(v21, check=True, relative=config)) == {"arm (GR00T)": [(None, "max")]}
    (v21 / "meta/relative_stats.json").unlink()
    config.write_text("{action_horizon: 1000, actions: {arm: {rep: RELATIVE}}}")
    with pytest.raises(UsageError, match="action arm: none of "):
        recompute(v21, relative=config)
    assert not (v21 / "meta/relative_stats.json").exists()


def test_files_of_gr00t_are_for_v21(root: Path) -> None:
    with pytest.raises(UsageError, match=r"robotrove convert .* --to v2\.1"):
        recompute(root, gr00t=True)


def test_the_whole_of_a_dataset_with_gaps(raw: Path) -> None:
    for path in V30_EPISODES:
        table = pq.read_table(raw / path)
        table = table.drop_columns(
            [name for name in table.column_names if name.startswith(("stats/grid", "stats/index"))]
        )
        written.write_table(raw / path, table)
    set_cell(raw, 1, f"stats/{WRIST}/min", None)
    stats = dataset_stats(raw)
    assert stats.keys() == {*NUMBERS, FRONT}  # not TOP, of which there is nothing
    right = expected(raw, list(EPISODES))
    for key in NUMBERS:  # of the rows, whatever the episodes say
        assert_same(stats[key], right[key])
    # Of the episodes, as they are; quantiles of a camera are estimated from theirs.
    assert list(stats[FRONT]) == ["min", "max", "mean", "std", "count", *LEVELS]
    assert all(np.isfinite(stats[FRONT][name]).all() for name in LEVELS)
