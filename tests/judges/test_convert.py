"""What `robotrove convert` makes is in the LeRobot of either version what the source was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.tests.judges.expectations import (
    QUANTILES,
    check_access,
    check_episodes,
    check_facts,
    check_frames,
    check_rows,
    check_same_pixels,
    check_statistics,
)
from robotrove.tests.judges.recordings import Truth
from robotrove.tests.judges.releases import BACKENDS, V21_RELEASES, V30_RELEASES, Seen
from robotrove.tests.judges.scenarios import DOWN, ROUND, UP, Dataset, robotrove

Views = dict[str, dict[str, Seen]]
OURS = DOWN | UP | ROUND
STATS = ("count", "min", "max", "mean", "std", *QUANTILES)
LEVEL = 1 / 255

# What each release has to look at.
judged = pytest.mark.parametrize(
    ("release", "name"),
    [(release, name) for release in V21_RELEASES for name in DOWN]
    + [(release, name) for release in V30_RELEASES for name in (*UP, *ROUND)],
)


@pytest.mark.parametrize("name", OURS)
def test_the_command_ends_well_and_verify_finds_nothing_wrong(made: dict[str, Dataset], name: str) -> None:
    assert made[name].exit_code == 0, made[name].output
    checked = robotrove("verify", str(made[name].root), "--deep", "--json")
    assert checked.returncode == 0, checked.stdout
    assert [f for f in json.loads(checked.stdout)["findings"] if f["severity"] == "error"] == []


@pytest.mark.parametrize("name", OURS)
def test_meta_has_length_and_tasks_of_every_episode(made: dict[str, Dataset], name: str) -> None:
    check_episodes(made[name].root, made[name].truth)


@judged
def test_it_opens_with_the_same_tasks(
    recorded: dict[str, Dataset], made: dict[str, Dataset], views: Views, release: str, name: str
) -> None:
    seen = views[release][name]
    check_facts(seen, made[name].truth)
    (source,) = made[name].sources
    assert seen.facts["tasks"] == source_of(views, release, source).facts["tasks"]


@pytest.mark.parametrize("backend", BACKENDS)
@judged
def test_rows_are_those_of_the_source(
    made: dict[str, Dataset], views: Views, release: str, name: str, backend: str
) -> None:
    check_rows(views[release][name], made[name].truth, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@judged
def test_frames_are_those_of_the_source_bit_for_bit(
    made: dict[str, Dataset], views: Views, release: str, name: str, backend: str
) -> None:
    seen = views[release][name]
    check_frames(seen, made[name].truth, backend)
    check_same_pixels(seen, [source_of(views, release, source) for source in made[name].sources], backend)


@judged
def test_batches_windows_and_an_episode_alone(made: dict[str, Dataset], views: Views, release: str, name: str) -> None:
    check_access(views[release][name], made[name].truth)


@pytest.mark.parametrize("name", OURS)
def test_packets_are_those_of_the_source(recorded: dict[str, Dataset], made: dict[str, Dataset], name: str) -> None:
    (source,) = made[name].sources
    for key in video_keys(made[name].root):
        assert packets(made[name].root, key) == packets((recorded | made)[source].root, key)


@pytest.mark.parametrize("name", DOWN)
def test_every_clip_has_its_frames_from_zero_on(made: dict[str, Dataset], name: str) -> None:
    truth = made[name].truth
    for key in video_keys(made[name].root):
        clips = videos(made[name].root, key)
        assert len(clips) == len(truth.lengths)
        for clip, length in zip(clips, truth.lengths, strict=True):
            with av.open(str(clip)) as file:
                times = [frame.time for frame in file.decode(video=0)]
            assert times == pytest.approx((np.arange(length) / truth.fps).tolist(), abs=1e-9)


@pytest.mark.parametrize("name", DOWN)
def test_v21_statistics_of_every_episode_are_those_of_its_rows(made: dict[str, Dataset], name: str) -> None:
    """Tables keep their axes, as 0.3.3 has them."""
    truth = made[name].truth
    lines = (made[name].root / "meta" / "episodes_stats.jsonl").read_text().splitlines()
    episodes = [json.loads(line)["stats"] for line in lines]
    for key, rows in numbers(truth):
        for episode, part in zip(episodes, np.split(rows, np.cumsum(truth.lengths)[:-1]), strict=True):
            check_statistics({stat: np.array(value) for stat, value in episode[key].items()}, part)


@pytest.mark.parametrize("name", DOWN)
def test_v21_statistics_of_the_dataset_are_those_of_all_rows(made: dict[str, Dataset], views: Views, name: str) -> None:
    """0.3.3 makes them of the episodes'."""
    seen = views["0.3.3"][name]
    for key, rows in numbers(made[name].truth):
        check_statistics({stat: seen[f"meta/{key}/{stat}"] for stat in ("count", "min", "max", "mean", "std")}, rows)
    for key in made[name].truth.cameras:
        colours = (made[name].truth.rows[key] / 255).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(seen[f"meta/{key}/mean"], colours.reshape(3, 1, 1), atol=4 * LEVEL)


@pytest.mark.parametrize("name", [*UP, *ROUND])
def test_v30_statistics_of_every_episode_are_those_of_its_rows(made: dict[str, Dataset], name: str) -> None:
    """All of them, also where the source has no quantiles, as 0.3.3 records; leading axes of tables are folded."""
    episodes = pq.read_table(made[name].root / "meta" / "episodes").to_pylist()
    truth = made[name].truth
    for key, rows in numbers(truth):
        for episode, part in zip(episodes, np.split(rows, np.cumsum(truth.lengths)[:-1]), strict=True):
            stats = {stat: np.array(episode[f"stats/{key}/{stat}"]) for stat in STATS}
            count = stats.pop("count")
            table = part.reshape(-1, part.shape[-1])
            check_statistics(stats | {"count": count * len(table) // len(part)}, table)
    for key in truth.cameras:
        assert all(np.shape(episode[f"stats/{key}/{stat}"]) == (3, 1, 1) for episode in episodes for stat in QUANTILES)


def test_statistics_for_gr00t_have_quantiles_and_no_count(made: dict[str, Dataset]) -> None:
    stats = json.loads((made["many_21"].root / "meta" / "stats.json").read_text())
    for key in ("action", "observation.state", "timestamp"):
        rows = made["many_21"].truth.index["timestamp"] if key == "timestamp" else made["many_21"].truth.rows[key]
        table = rows.astype(np.float64).reshape(len(rows), -1)
        assert set(stats[key]) == {"min", "max", "mean", "std", "q01", "q99"}
        np.testing.assert_allclose(stats[key]["mean"], table.mean(0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(stats[key]["q01"], np.quantile(table, 0.01, axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_wrong_files_of_episodes_are_mended_and_mentioned(made: dict[str, Dataset], name: str) -> None:
    """LeRobot's converter gives the first episode of each file of rows the number of the file before."""
    assert ("data/file_index of 1 episode was wrong" in made[name].output) == (made[name].sources == ["official"])


def test_the_recording_with_wrong_files_is_wrong(recorded: dict[str, Dataset]) -> None:
    root = recorded["official"].root
    said = pq.read_table(root / "meta" / "episodes")["data/file_index"].to_pylist()
    kept = [
        number
        for number, path in enumerate(sorted((root / "data").glob("*/*.parquet")))
        for _ in set(pq.read_table(path)["episode_index"].to_pylist())
    ]
    assert sum(a != b for a, b in zip(said, kept, strict=True)) == 1


def source_of(views: Views, release: str, name: str) -> Seen:
    """Return what this release has seen of a source or, if it cannot read that version, another."""
    return views[release].get(name) or next(seen[name] for seen in views.values() if name in seen)


def numbers(truth: Truth) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the features that have statistics of numbers."""
    for key, rows in truth.rows.items():
        if rows.dtype.kind != "U" and key not in truth.cameras:
            yield key, rows


def video_keys(root: Path) -> list[str]:
    features = json.loads((root / "meta" / "info.json").read_text())["features"]
    return [key for key, feature in features.items() if feature["dtype"] == "video"]


def videos(root: Path, key: str) -> list[Path]:
    """Return the files of a camera in the order of their episodes, of either version."""
    return sorted(path for path in root.glob("videos/*/*/*.mp4") if key in path.parts)


def packets(root: Path, key: str) -> list[bytes]:
    """Return the packets of a camera in order."""
    found = []
    for path in videos(root, key):
        with av.open(str(path)) as file:
            found += [bytes(packet) for packet in file.demux(video=0) if packet.size]
    return found
