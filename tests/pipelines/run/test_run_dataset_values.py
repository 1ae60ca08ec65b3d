"""Datasets made of datasets hold the values, frames and statistics of these, and nothing else, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.executors.executor import Executor
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.datasets.expected import assert_holds, assert_statistics
from robotrove.tests.support.datasets.numbered import (
    AV1,
    FPS,
    FRONT,
    SIZES,
    WRIST,
    Made,
    Recorded,
    aggregate,
    conversion,
    convert,
    digests,
    make,
    quickly,
    record,
)
from robotrove.tests.support.datasets.on_disk import OnDisk, forget
from robotrove.tests.support.pipelines.faults import command, environment, small_files, small_limits
from robotrove.tests.support.pipelines.runs import Here, assert_no_leftovers, assert_same_dataset, tree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with quickly():
        yield
    forget()


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Twenty datasets with instructions in common and of their own; every fifth one has several files and chunks."""
    folder = tmp_path_factory.mktemp("twenty")
    made, first = [], 0
    for number in range(20):
        lengths = [3 + number % 4, 1 + number % 3, 4]
        tasks = ["pick", f"task {number}"] if number % 2 else [f"task {number // 4}", "put «ü»", "pick"]
        with small_files(0.001, 0.001) if number % 5 == 0 else nullcontext():
            made.append(make(folder, f"d{number:02}", lengths, tasks, first))
        first += sum(lengths)
    assert len(OnDisk(made[5].root).files("data", "parquet")) > 2
    assert len(OnDisk(made[5].root).files(f"videos/{FRONT}", "mp4")) > 2
    return made


@pytest.fixture(scope="module")
def before(twenty: list[Made]) -> dict[Path, str]:
    return digests(*(made.root for made in twenty))


@pytest.fixture(scope="module", params=[1, 3, 20])
def inputs(request: pytest.FixtureRequest, twenty: list[Made], before: dict[Path, str]) -> list[Made]:
    """Of twenty datasets one, three or all; the first ones have one and several files, and are not in order."""
    return [twenty[5], twenty[1], twenty[0], *twenty[2:5], *twenty[6:]][: request.param]


@pytest.fixture(scope="module")
def joined(inputs: list[Made], tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    output = tmp_path_factory.mktemp(f"joined{len(inputs)}") / "out"
    with small_files():
        report = aggregate([made.root for made in inputs], output)
    frames = sum(episode.length for episode in _episodes(inputs))
    assert (report.kept, report.frames, report.notes) == (3 * len(inputs), frames, [])
    return OnDisk(output)


def _episodes(inputs: Sequence[Made]) -> list[Recorded]:
    return [episode for made in inputs for episode in made.episodes]


class TestAggregated:
    def test_rows_instructions_times_and_frames(self, joined: OnDisk, inputs: list[Made]) -> None:
        assert_holds(joined, _episodes(inputs))

    def test_frames_as_we_read_them(self, joined: OnDisk, inputs: list[Made]) -> None:
        for row, episode in zip(joined.meta, _episodes(inputs), strict=True):
            for camera, key in enumerate(SIZES):
                place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
                path = joined.root / joined.info["video_path"].format(video_key=key, **place)
                first = round(row[f"videos/{key}/from_timestamp"] * FPS)
                found = [read_marker(frame) for frame in iter_frames(path, first, row["length"])]
                assert found == [(number, camera) for number in episode.numbers]

    def test_statistics(self, joined: OnDisk, inputs: list[Made]) -> None:
        assert_statistics(joined, _episodes(inputs))

    def test_packets_are_those_of_the_sources(self, joined: OnDisk, inputs: list[Made]) -> None:
        expected = [stored.packets for made in inputs for stored in OnDisk(made.root).episodes]
        assert [stored.packets for stored in joined.episodes] == expected

    def test_provenance_is_carried_over(self, joined: OnDisk, inputs: list[Made]) -> None:
        expected = [
            origin | {"input_datasets": [{"dataset": made.root.name, "episode": origin["episode_index"]}]}
            for made in inputs
            for origin in OnDisk(made.root).origins
        ]
        renumbered = [origin | {"episode_index": number} for number, origin in enumerate(expected)]
        assert joined.origins == renumbered
        assert {origin["source_name"] for origin in joined.origins} == {f"{made.root.name}.hdf5" for made in inputs}

    def test_histograms_are_summed(self, joined: OnDisk, inputs: list[Made]) -> None:
        assert set(joined.histograms) == set(SIZES)
        for key, counts in joined.histograms.items():
            pixels = np.concatenate([episode.frames[key].reshape(-1, 3) for episode in _episodes(inputs)])
            expected = [np.bincount(pixels[:, channel], minlength=256) for channel in range(3)]
            np.testing.assert_array_equal(counts, expected)

    def test_files_are_as_small_as_asked_for(self, joined: OnDisk, inputs: list[Made]) -> None:
        if len(inputs) == 20:
            for kind, suffix in (("data", "parquet"), *((f"videos/{key}", "mp4") for key in SIZES)):
                files = [path.relative_to(joined.root / kind).as_posix() for path in joined.files(kind, suffix)]
                assert files[:3] == [f"chunk-{c:03d}/file-{f:03d}.{suffix}" for c, f in ((0, 0), (0, 1), (1, 0))]

    def test_the_sources_are_untouched(self, joined: OnDisk, twenty: list[Made], before: dict[Path, str]) -> None:
        assert joined.meta
        assert digests(*(made.root for made in twenty)) == before


# One episode per file, and two files per chunk.
SMALL = small_limits(0.001, 0.001)


def _make_both(
    roots: Sequence[Path], folder: Path, joined: Path | None = None, versions: Sequence[str] = ("v3.0", "v2.1")
) -> dict[str, Path]:
    """Join datasets, and bring what comes of it to version 2.1, in this process."""
    found = {version: folder / version for version in versions}
    with small_files(0.001, 0.001):
        if "v3.0" in found:
            aggregate(roots, found["v3.0"])
        if "v2.1" in found:
            convert(joined or found["v3.0"], "v2.1", found["v2.1"])
    return found


def _ranks(output: Path) -> int:
    (stage,) = (output.with_name(f"{output.name}.run") / "logs").glob("1-*.process")
    return len(list((stage / "completions").iterdir()))


@pytest.fixture(scope="module")
def in_64(twenty: list[Made], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both versions, made by as many ranks as there can be."""
    return _make_both([made.root for made in twenty], tmp_path_factory.mktemp("in_64"))


class TestPartition:
    """Neither ranks nor workers leave a trace in any byte of the output."""

    @pytest.mark.parametrize("version", ["v3.0", "v2.1"])
    def test_one_rank_and_64(
        self, twenty: list[Made], in_64: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        monkeypatch.setattr(Executor, "useful_ranks", 1)
        output = _make_both([made.root for made in twenty], tmp_path, in_64["v3.0"], [version])[version]
        assert (_ranks(output), _ranks(in_64[version])) == (1, 64)
        assert_same_dataset(output, in_64[version])

    def test_64_ranks_hold_the_recordings(self, twenty: list[Made], in_64: dict[str, Path]) -> None:
        for root in in_64.values():
            assert_holds(OnDisk(root), _episodes(twenty))

    @pytest.mark.parametrize("workers", [1, 2, 3])
    def test_workers(self, twenty: list[Made], tmp_path: Path, workers: int) -> None:
        roots = [made.root for made in twenty[5:8]]
        right = _make_both(roots, tmp_path / "right")
        assert _ranks(right["v2.1"]) > 3
        env = environment(tmp_path / "env", limits=SMALL)
        more = ("--workers", workers)
        up = command("aggregate", *roots, "-o", tmp_path / "v3.0", *more, env=env)
        assert up.returncode == 0, up.stderr
        assert_same_dataset(tmp_path / "v3.0", right["v3.0"])
        down = command("convert", right["v3.0"], "--to", "v2.1", "-o", tmp_path / "v2.1", *more, env=env)
        assert down.returncode == 0, down.stderr
        assert_same_dataset(tmp_path / "v2.1", right["v2.1"])


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> tuple[OnDisk, list[int]]:
    """A thousand episodes of 5 to 9 frames of two datasets, as version 2.1, and the length of each."""
    folder = tmp_path_factory.mktemp("thousand")
    lengths = [5 + (number * 7) % 5 for number in range(1000)]
    first, made = 0, []
    for half in (lengths[:500], lengths[500:]):
        made.append(make(folder, f"from{first}", half, ["x", "y", "z"], first, sizes={FRONT: (32, 48)}))
        first += sum(half)
    assert first < 1 << 16  # so that no marker is there twice
    aggregate([half.root for half in made], folder / "joined")
    convert(folder / "joined", "v2.1", folder / "clips")
    return OnDisk(folder / "clips"), lengths


class TestThousandClips:
    def test_every_clip_has_exactly_its_frames(self, thousand: tuple[OnDisk, list[int]]) -> None:
        dataset, lengths = thousand
        assert [row["length"] for row in dataset.meta] == lengths
        assert len(dataset.files("videos", "mp4")) == len(lengths)
        first = 0
        for episode, length in enumerate(lengths):
            path = dataset.root / f"videos/chunk-000/{FRONT}/episode_{episode:06d}.mp4"
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                frames = list(container.decode(stream))
                assert stream.frames == length
                assert stream.time_base is not None
                times = [frame.pts * stream.time_base for frame in frames]
            assert times == [Fraction(frame, FPS) for frame in range(length)], path
            shown = [read_marker(frames[at].to_ndarray(format="rgb24")) for at in (0, -1)]
            assert shown == [(first, 0), (first + length - 1, 0)], path
            first += length

    def test_every_file_of_rows_is_its_episode(self, thousand: tuple[OnDisk, list[int]]) -> None:
        dataset, lengths = thousand
        first = 0
        for episode, length in enumerate(lengths):
            table = pq.read_table(dataset.root / f"data/chunk-000/episode_{episode:06d}.parquet")
            assert table["index"].to_pylist() == list(range(first, first + length))
            assert set(table["episode_index"].to_pylist()) == {episode}
            first += length


@pytest.fixture(scope="module")
def trip(twenty: list[Made], tmp_path_factory: pytest.TempPathFactory) -> list[OnDisk]:
    """A dataset of several files, as version 2.1, and as version 3.0 again."""
    folder = tmp_path_factory.mktemp("trip")
    with small_files():
        aggregate([made.root for made in twenty[5:9]], folder / "there")
        assert convert(folder / "there", "v2.1", folder / "clips").notes == []
        assert convert(folder / "clips", "v3.0", folder / "back").notes == []
    return [OnDisk(folder / name) for name in ("there", "clips", "back")]


class TestRoundTrip:
    def test_clips_hold_the_recordings(self, trip: list[OnDisk], twenty: list[Made]) -> None:
        assert trip[1].is_v21
        assert_holds(trip[1], _episodes(twenty[5:9]))
        assert_statistics(trip[1], _episodes(twenty[5:9]))

    def test_rows_and_their_types(self, trip: list[OnDisk]) -> None:
        there, _, back = trip
        assert back.rows.equals(there.rows, check_metadata=True)

    def test_instructions(self, trip: list[OnDisk]) -> None:
        there, clips, back = trip
        assert there.tasks == clips.tasks == back.tasks
        assert pq.read_table(there.root / "meta/tasks.parquet").equals(pq.read_table(back.root / "meta/tasks.parquet"))

    def test_meta_of_episodes(self, trip: list[OnDisk]) -> None:
        there, _, back = trip
        # Where a file ends may differ: rows of version 2.1 are in files of their own, which are larger in sum.
        placed = [name for name in there.meta[0] if name.startswith(("data/", "videos/"))]
        left, right = ([{k: v for k, v in row.items() if k not in placed} for row in d.meta] for d in (there, back))
        assert left == right
        assert "stats/action/q01" in left[0]

    def test_statistics_and_provenance(self, trip: list[OnDisk]) -> None:
        there, clips, back = trip
        assert (there.root / "meta/stats.json").read_bytes() == (back.root / "meta/stats.json").read_bytes()
        for before, after in pairwise(trip):
            steps = [{"dataset": before.root.name, "episode": number} for number in range(len(before.origins))]
            chains = [[step, *origin["input_datasets"]] for step, origin in zip(steps, before.origins, strict=True)]
            expected = [o | {"input_datasets": c} for o, c in zip(before.origins, chains, strict=True)]
            assert after.origins == expected
        for key in SIZES:
            np.testing.assert_array_equal(there.histograms[key], clips.histograms[key])
            np.testing.assert_array_equal(there.histograms[key], back.histograms[key])

    def test_packets(self, trip: list[OnDisk]) -> None:
        there, clips, back = ([stored.packets for stored in dataset.episodes] for dataset in trip)
        assert there == clips == back

    def test_frames_are_where_they_were(self, trip: list[OnDisk], twenty: list[Made]) -> None:
        assert_holds(trip[2], _episodes(twenty[5:9]))

    def test_info(self, trip: list[OnDisk]) -> None:
        assert trip[0].info == trip[2].info
        assert trip[1].info["total_videos"] == 2 * len(trip[1].meta)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Recorded]]:
    path = tmp_path_factory.mktemp("formats") / "demos.hdf5"
    return path, record(path, [5, 1, 8, 130, 150, 7, 3], ["push", "pull"], 300)


class TestSeveralFormats:
    @pytest.mark.parametrize("formats", [["v3.0", "v2.1"], ["v2.1"]], ids=" and ".join)
    def test_one_conversion(self, recorded: tuple[Path, list[Recorded]], tmp_path: Path, formats: list[str]) -> None:
        path, episodes = recorded
        output = tmp_path / "out"
        with small_files():
            conversion(path, formats=formats).run(output=output, executor=Here())
        roots = [output / version for version in formats] if len(formats) > 1 else [output]
        found = [OnDisk(root) for root in roots]
        assert [dataset.info["codebase_version"] for dataset in found] == formats
        for dataset in found:
            assert_holds(dataset, episodes)
        packets = [[stored.packets for stored in dataset.episodes] for dataset in found]
        assert packets == [packets[0]] * len(formats)
        shards = [OnDisk(shard) for shard in sorted((tmp_path / "out.run/shards").iterdir())]
        assert len(shards) == 2
        assert packets[0] == [stored.packets for shard in shards for stored in shard.episodes]  # encoded once
        stats = [[stored.stats for stored in dataset.episodes] for dataset in found]
        for left, right in zip(stats[0], stats[-1], strict=True):
            assert left.keys() == right.keys()
            for key in left:
                if np.shape(left[key]["mean"]) == np.shape(right[key]["mean"]):  # v2.1 keeps the axes of a matrix
                    np.testing.assert_equal(dict(left[key]), dict(right[key]))
        assert_no_leftovers(output)


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """One dataset of AV1, one of H.264."""
    folder = tmp_path_factory.mktemp("codecs")
    sizes = {FRONT: (64, 64)}
    return [
        make(folder, "av1", [6, 4], ["x"], 0, AV1, sizes),
        make(folder, "h264", [5, 3, 7], ["y", "x"], 100, sizes=sizes),
    ]


class TestMixed:
    def test_two_codecs_are_refused_and_both_are_named(self, codecs: list[Made], tmp_path: Path) -> None:
        done = command("aggregate", *(made.root for made in codecs), "-o", tmp_path / "out")
        assert done.returncode in (1, 2), done.stderr
        for text in (f"{codecs[1].root}, episode 0, {FRONT}", "h264", "av1", "--on-mismatch reencode"):
            assert text in done.stderr
        assert "Traceback" not in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["out.run"]

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["to AV1", "to H.264"])
    def test_encoded_anew(self, codecs: list[Made], tmp_path: Path, order: tuple[int, int]) -> None:
        first, second = (codecs[number] for number in order)
        before = digests(first.root, second.root)
        report = aggregate([first.root, second.root], tmp_path / "out", on_mismatch="reencode")
        assert report.notes == [f"{len(second.episodes)} clips of {FRONT} were re-encoded"]
        found = OnDisk(tmp_path / "out")
        assert_holds(found, [*first.episodes, *second.episodes])
        codecs_found = set()
        for path in found.files("videos", "mp4"):
            with av.open(str(path)) as container:
                codecs_found.add(container.streams.video[0].codec_context.name.replace("libdav1d", "av1"))
        assert codecs_found == {("av1", "h264")[order[0]]}
        copied = [stored.packets for stored in OnDisk(first.root).episodes]
        assert [stored.packets for stored in found.episodes][: len(copied)] == copied
        assert digests(first.root, second.root) == before
        assert_no_leftovers(tmp_path / "out")

    def test_encoded_anew_by_the_command_it_says_so(self, codecs: list[Made], tmp_path: Path) -> None:
        roots = [made.root for made in codecs]
        done = command("aggregate", *roots, "-o", tmp_path / "out", "--on-mismatch", "reencode", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["notes"] == [f"3 clips of {FRONT} were re-encoded"]

    def test_everything_that_differs_is_shown(self, twenty: list[Made], tmp_path: Path) -> None:
        folder = tmp_path / "in"
        slow = make(folder, "slow", [3], ["x"], 0, fps=5)
        other = make(folder, "other", [3], ["x"], 0, robot_type="leg")
        small = make(folder, "small", [3], ["x"], 0, sizes={FRONT: (48, 64)})
        roots = [made.root for made in (twenty[1], slow, other, twenty[2], small)]
        before = digests(*roots)
        done = command("aggregate", *roots, "-o", tmp_path / "out")
        assert done.returncode in (1, 2)
        for line in (
            f"3 of 5 datasets: differ from {twenty[1].root}",
            f"{slow.root}: fps is 5 instead of 10",
            f"{other.root}: robot_type is 'leg' instead of 'arm'",
            f"{small.root}: {FRONT} is video[48x64x3] instead of video[64x64x3]; {WRIST} missing",
        ):
            assert line in done.stderr, done.stderr
        assert f"{twenty[2].root}:" not in done.stderr
        assert [path for path in tmp_path.iterdir() if path != folder] == []  # refused before anything is made
        assert digests(*roots) == before


def test_one_dataset_alone_is_the_same_dataset(twenty: list[Made], tmp_path: Path) -> None:
    """Only the identity of the run differs, and that the provenance names the dataset."""
    aggregate([twenty[1].root], tmp_path / "out")
    left, right = tree(tmp_path / "out"), tree(twenty[1].root)
    assert left.keys() == right.keys()
    differing = [f"meta/robotrove/{name}" for name in ("checksums.jsonl", "episodes.parquet", "run.json")]
    assert sorted(name for name in left if left[name] != right[name]) == differing
