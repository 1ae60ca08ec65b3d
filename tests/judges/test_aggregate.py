"""Datasets that LeRobot recorded, joined by `robotrove aggregate`, are in LeRobot what the sources were."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robotrove.formats.lerobot import paths_v30
from robotrove.tests.judges.expectations import (
    check_access,
    check_episodes,
    check_facts,
    check_frames,
    check_rows,
    check_same_pixels,
)
from robotrove.tests.judges.recordings import FRONT
from robotrove.tests.judges.releases import BACKENDS, V30_RELEASES, Seen
from robotrove.tests.judges.scenarios import MERGES, Dataset, digests, robotrove

Views = dict[str, dict[str, Seen]]
MAX_FILE_S = 1000

releases = pytest.mark.parametrize("release", V30_RELEASES)
merges = pytest.mark.parametrize("name", MERGES)


@merges
def test_the_command_ends_well_and_verify_finds_nothing_wrong(made: dict[str, Dataset], name: str) -> None:
    assert made[name].exit_code == 0, made[name].output
    checked = robotrove("verify", str(made[name].root), "--deep", "--json")
    assert checked.returncode == 0, checked.stdout
    assert [f for f in json.loads(checked.stdout)["findings"] if f["severity"] == "error"] == []


@merges
def test_meta_has_length_and_tasks_of_every_episode(made: dict[str, Dataset], name: str) -> None:
    check_episodes(made[name].root, made[name].truth)


@releases
@merges
def test_it_opens_with_all_tasks_once(made: dict[str, Dataset], views: Views, release: str, name: str) -> None:
    check_facts(views[release][name], made[name].truth)


@pytest.mark.parametrize("backend", BACKENDS)
@releases
@merges
def test_rows_are_those_of_the_sources(
    made: dict[str, Dataset], views: Views, release: str, name: str, backend: str
) -> None:
    check_rows(views[release][name], made[name].truth, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@releases
@merges
def test_frames_are_those_of_the_sources(
    made: dict[str, Dataset], views: Views, release: str, name: str, backend: str
) -> None:
    check_frames(views[release][name], made[name].truth, backend)


@releases
@merges
def test_batches_windows_and_an_episode_alone(made: dict[str, Dataset], views: Views, release: str, name: str) -> None:
    check_access(views[release][name], made[name].truth)


@pytest.mark.parametrize("backend", BACKENDS)
@releases
@pytest.mark.parametrize("name", ["one", "three", "twenty", "rich_alone"])
def test_pixels_of_copied_packets_are_bit_for_bit_those_of_the_sources(
    made: dict[str, Dataset], views: Views, release: str, name: str, backend: str
) -> None:
    sources = [views[release][source] for source in made[name].sources]
    check_same_pixels(views[release][name], sources, backend)


@releases
def test_a_dataset_of_hours_is_read_to_its_end_only_after_aggregation(
    recorded: dict[str, Dataset], made: dict[str, Dataset], views: Views, release: str
) -> None:
    assert "FrameTimestampError" in views[release]["hours"].error
    assert not views[release]["hours_alone"].error
    spans = [
        pq.read_table(recorded["hours"].root / paths_v30.EPISODES),
        pq.read_table(made["hours_alone"].root / paths_v30.EPISODES),
    ]
    before, after = (max(span[f"videos/{FRONT}/to_timestamp"].to_pylist()) for span in spans)
    assert before == pytest.approx(1100)
    assert after <= MAX_FILE_S


def test_the_sources_are_untouched(
    recorded: dict[str, Dataset], before: dict[Path, str], made: dict[str, Dataset], views: Views
) -> None:
    assert made
    assert views
    assert digests(recorded) == before


def test_wrong_files_of_episodes_are_mended_and_mentioned(made: dict[str, Dataset]) -> None:
    said = {name for name in MERGES if "data/file_index of 1 episode was wrong" in made[name].output}
    assert said == {name for name, (sources, _) in MERGES.items() if "official" in sources}


def test_clips_of_another_codec_are_refused_by_name(recorded: dict[str, Dataset], tmp_path: Path) -> None:
    roots = [str(recorded[name].root) for name in ("many", "h264")]
    done = robotrove("aggregate", *roots, "-o", str(tmp_path / "out"))
    assert done.returncode != 0
    assert roots[1] in done.stderr
    assert "--on-mismatch reencode" in done.stderr
    assert not (tmp_path / "out").exists()
