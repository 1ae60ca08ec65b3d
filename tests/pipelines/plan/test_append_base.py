"""Recordings that are appended to a dataset: both are there as they were recorded, and the old files as they were."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.dataset.aggregator import Aggregator
from robotrove.blocks.dataset.dataset_stats import DatasetStats
from robotrove.blocks.dataset.downgrader import Downgrader
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.core.errors import ConfigError, RobotroveError, RunChanged, UsageError
from robotrove.manifests.run_report import RunReport
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.plan.planner import Plan
from robotrove.pipelines.run.reopen import finished_run
from robotrove.pipelines.run.trace import trace
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.datasets.expected import assert_holds, assert_statistics
from robotrove.tests.support.datasets.numbered import (
    FPS,
    FRONT,
    SIZES,
    Made,
    Recorded,
    conversion,
    digests,
    make,
    quickly,
    record,
)
from robotrove.tests.support.datasets.on_disk import OnDisk, forget
from robotrove.tests.support.pipelines.faults import small_files
from robotrove.tests.support.pipelines.runs import AtStart, Here, assert_same_dataset, tree
from robotrove.verification.dataset.runner import verify
from robotrove.verification.source.source_check import check_source

pytestmark = pytest.mark.slow

VERSIONS = ("v3.0", "v2.1")
OLD = [6, 9, 4, 12, 5]
NEW = [7, 3, 8]


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with quickly(), small_files(0.008, 0.008):
        yield
    forget()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A dataset of each version, of the same recordings; with a file that GR00T needs."""
    folder = tmp_path_factory.mktemp("bases")
    made = {}
    for version in VERSIONS:
        made[version] = make(folder / version, "base", OLD, ["x", "y"], 0, formats=[version])
        (made[version].root / "meta/modality.json").write_text('{"state": {}}')
        (made[version].root / "README.md").write_text("# mine")
        # As LeRobot writes names, and what only somebody else knows.
        info = json.loads((made[version].root / "meta/info.json").read_text())
        info["features"]["action"]["names"] = {"motors": ["action_0", "action_1", "action_2"]}
        info["features"]["observation.state"]["names"] = {"left": ["x", "x"], "right": ["x", "x"]}
        (made[version].root / "meta/info.json").write_text(json.dumps(info | {"lab": "ours"}))
    assert len(OnDisk(made["v3.0"].root).files("data", "parquet")) > 2  # chunks of two files
    assert len(OnDisk(made["v3.0"].root).files("videos", "mp4")) > 2
    return made


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Recorded]]:
    path = tmp_path_factory.mktemp("news") / "new.hdf5"
    return path, record(path, NEW, ["y", "z"], 500)


@pytest.fixture(params=VERSIONS)
def base(request: pytest.FixtureRequest, bases: dict[str, Made]) -> Iterator[Made]:
    """A dataset, which is as it was after each test."""
    found = bases[request.param]
    before = digests(found.root)
    yield found
    assert digests(found.root) == before


@pytest.fixture
def own(base: Made, tmp_path: Path) -> Made:
    """A copy of a dataset that may be changed."""
    return Made(shutil.copytree(base.root, tmp_path / "own"), base.episodes)


def old_recording(base: Made) -> Path:
    [path] = (base.root.parent / "recorded").glob("*.hdf5") if (base.root.parent / "recorded").exists() else [Path()]
    return path


def version_of(root: Path) -> str:
    return str(OnDisk(root).info["codebase_version"])


def grow(base: Path, output: Path, *recordings: Path, **more: Any) -> RunReport:
    """Append recordings in this process."""
    options = {"formats": [version_of(base)], **more}
    run = {name: options.pop(name) for name in ("retry_rejected", "run_dir", "watcher") if name in options}
    return conversion(*recordings, append_to=base, **options).run(output=output, executor=Here(), **run)


def files_of(root: Path) -> dict[str, bytes]:
    """Return the files of rows and frames."""
    return {name: content for name, content in tree(root).items() if name.startswith(("data/", "videos/"))}


def check_grown(output: Path, base: Path, episodes: list[Recorded]) -> None:
    """All is there and right by numpy, the files of the base are the same, and those of others come after them."""
    forget()
    dataset = OnDisk(output)
    assert_holds(dataset, episodes)
    assert_statistics(dataset, episodes)
    old, now = files_of(base), files_of(output)
    assert old.items() < now.items()
    for name in now.keys() - old.keys():  # each after those that were there
        folders = re.sub(r"(chunk-\d+/)?(file-|episode_)\d+", "", name)
        before = [other for other in old if re.sub(r"(chunk-\d+/)?(file-|episode_)\d+", "", other) == folders]
        assert name > max(before)
    assert (output / "meta/modality.json").read_text() == '{"state": {}}'
    info, told = dataset.info, OnDisk(base).info
    counts = {key for key in told if key.startswith("total_")} | {"splits"}
    assert {key: info[key] for key in told.keys() - counts} == {key: told[key] for key in told.keys() - counts}
    assert [finding for finding in verify(output, deep=True).findings if finding.severity == "error"] == []


def test_new_recordings_come_after_the_old_ones(base: Made, news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    path, episodes = news
    old = old_recording(base)
    report = grow(base.root, tmp_path / "out", old, path)
    assert (report.listed, report.kept, report.frames) == (8, 3, sum(NEW))
    assert (report.rejected, report.exit_code) == ({"already_in_dataset": 5}, 0)
    lines = [json.loads(line) for line in (tmp_path / "out.run/rejected.jsonl").read_text().splitlines()]
    assert [line["detail"] for line in lines] == [f"is episode {number} of {base.root}" for number in range(5)]
    check_grown(tmp_path / "out", base.root, base.episodes + episodes)
    compared = check_source(tmp_path / "out", finished_run(tmp_path / "out.run"), deep=True)
    assert (compared.problems, compared.episodes, compared.foreign) == ((), 3, 5)
    found = [trace(tmp_path / "out", number) for number in (1, 6)]
    assert [one.origin.source_key for one in found] == ["runs/run_1", "runs/run_1"]
    assert [one.path for one in found] == [None, str(path)]  # the base has its run directory elsewhere


def test_the_number_of_files_goes_on(bases: dict[str, Made], news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    """Files of v3.0 are numbered on, two to a chunk here; each kind by itself."""
    base = bases["v3.0"].root
    grow(base, tmp_path / "out", news[0])
    for kind, suffix in (("data", "parquet"), *((f"videos/{key}", "mp4") for key in SIZES)):
        found = OnDisk(tmp_path / "out").files(kind, suffix)
        numbers = [int(path.parent.name[-3:]) * 2 + int(path.stem[-3:]) for path in found]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > len(OnDisk(base).files(kind, suffix))
    meta = OnDisk(tmp_path / "out").meta
    assert [row["data/file_index"] < 2 for row in meta] == [True] * 8


def test_nothing_new(base: Made, tmp_path: Path) -> None:
    report = grow(base.root, tmp_path / "deep/out", old_recording(base))
    assert (report.listed, report.kept, report.rejected) == (5, 0, {"already_in_dataset": 5})
    assert report.exit_code == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="none of 6 episodes can be kept"):  # something is, but it is bad
        grow(base.root, tmp_path / "out", old_recording(base), tmp_path / "none.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_the_longer_dataset_takes_the_name_of_the_base(
    base: Made, own: Made, news: tuple[Path, list[Recorded]], tmp_path: Path
) -> None:
    path, episodes = news
    report = grow(own.root, own.root, path)
    [before] = tmp_path.glob("own.before-*")
    assert f"the dataset as it was before is {before}" in report.notes
    assert_same_dataset(before, base.root)
    check_grown(own.root, base.root, own.episodes + episodes)
    grow(before, tmp_path / "beside/out", path)
    assert_same_dataset(tmp_path / "beside/out", own.root)
    left = sorted(found.name for found in tmp_path.iterdir())
    # The same command has nothing to add, and the recordings of another day are appended to all of it.
    assert grow(own.root, own.root, path).kept == 0
    assert sorted(found.name for found in tmp_path.iterdir()) == left
    more = record(tmp_path / "more/more.hdf5", [2, 5], ["x"], 700)
    report = grow(own.root, own.root, path, tmp_path / "more/more.hdf5")
    assert (report.kept, report.rejected) == (2, {"already_in_dataset": 3})
    check_grown(own.root, before, own.episodes + episodes + more)
    assert len(list(tmp_path.glob("own.before-*"))) == len(list(tmp_path.glob("own.append-*.run"))) == 2
    assert trace(own.root, 5).path == str(path)  # of the first run
    assert trace(own.root, 8).path == str(tmp_path / "more/more.hdf5")


def test_rejected_episodes_are_tried_again_after_the_base_gave_its_name(
    own: Made, news: tuple[Path, list[Recorded]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, episodes = news
    spoil = tmp_path / "spoil"
    spoil.touch()
    source = Hdf5Reader.episodes

    def spoilt(self: Hdf5Reader, file: Path, rows: list[Any]) -> Iterator[Any]:
        for ep in source(self, file, rows):
            if spoil.exists() and ep.origin.key.endswith("run_1"):
                ep.reject("spoilt", "for a passing reason", error=True)
            yield ep

    monkeypatch.setattr(Hdf5Reader, "episodes", spoilt)
    run_dir = tmp_path / "run"
    report = grow(own.root, own.root, path, run_dir=run_dir)
    assert (report.kept, report.rejected, report.exit_code) == (2, {"spoilt": 1}, 1)
    [before] = tmp_path.glob("own.before-*")
    check_grown(own.root, before, own.episodes + episodes[::2])
    spoil.unlink()
    report = grow(own.root, own.root, path, run_dir=run_dir, retry_rejected=True)
    assert (report.kept, report.exit_code) == (3, 0)
    check_grown(own.root, before, own.episodes + episodes)
    assert list(tmp_path.glob("own.*")) == [before]


@pytest.mark.parametrize("where", ["beside", "in its place"])
def test_a_base_that_changed_in_between_is_refused(
    own: Made, news: tuple[Path, list[Recorded]], tmp_path: Path, where: str
) -> None:
    info = own.root / "meta/info.json"
    content = info.read_text()
    output = own.root if where == "in its place" else tmp_path / "out"

    def change() -> None:
        info.write_text(content + " ")

    run = {"run_dir": tmp_path / "run"}
    with pytest.raises(RunChanged, match=rf"dataset {own.root} was changed"):  # when the output is to get its name
        grow(own.root, output, news[0], watcher=AtStart(change), **run)
    with pytest.raises(RunChanged, match=rf"dataset {own.root} was changed"):
        grow(own.root, output, news[0], **run)
    assert json.loads(info.read_text())["total_episodes"] == 5
    info.write_text(content)
    video = next(own.root.rglob("*.mp4"))
    frames = video.read_bytes()
    video.write_bytes(frames + b"\0")
    with pytest.raises(RunChanged, match=rf"dataset {own.root} was changed"):
        grow(own.root, output, news[0], **run)
    video.write_bytes(frames)
    assert grow(own.root, output, news[0], **run).kept == 3
    assert grow(own.root, output, news[0], **run).was_finished
    old = own.root if where == "beside" else next(tmp_path.glob("own.before-*"))
    check_grown(output, old, own.episodes + news[1])


def test_what_differs_is_shown(base: Made, news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    path, _ = news
    out = tmp_path / "out"
    for message, more in (
        ("robot_type would be 'hand' instead of 'arm'", {"robot_type": "hand"}),
        (f"the codec of {FRONT} would be 'av1' instead of 'h264'", {"video": VideoSettings()}),
        (
            f"pixel format of {FRONT} would be 'yuv444p' instead of 'yuv420p'",
            {"video": VideoSettings(codec="libx264", pix_fmt="yuv444p")},
        ),
        ("fps_mismatch: has 20 fps, .* have 10", {"fps": 20}),
    ):
        with pytest.raises(UsageError, match=message):
            grow(base.root, out, path, **more)
    record(tmp_path / "wide/wide.hdf5", [3], ["x"], 800, {**SIZES, FRONT: (64, 96)})
    with pytest.raises(UsageError, match=rf"{FRONT} is video\[64x96x3\] instead of video\[64x64x3\]"):
        grow(base.root, out, tmp_path / "wide/wide.hdf5")
    other = "v2.1" if version_of(base.root) == "v3.0" else "v3.0"
    with pytest.raises(UsageError, match=f"is of version {version_of(base.root)}"):
        grow(base.root, out, path, formats=[other])
    with pytest.raises(UsageError, match=r"not a dataset: it has no meta/info\.json"):
        conversion(path, append_to=tmp_path / "none").run(output=out, executor=Here())
    with pytest.raises(UsageError, match="one is in the other"):
        grow(base.root, base.root / "out", path)
    # Of recordings of which some fit, these are appended, and the others are rejected by name.
    report = grow(base.root, out, tmp_path / "wide/wide.hdf5", path)
    assert (report.kept, report.rejected, report.exit_code) == (3, {"feature_mismatch": 1}, 1)


def test_files_that_cannot_stay_are_refused(own: Made, news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    """What other commands mend while they copy cannot be mended where files stay."""
    if version_of(own.root) == "v3.0":
        episodes = own.root / "meta/episodes/chunk-000/file-000.parquet"
        table = pq.read_table(episodes)
        column = table.column_names.index("data/chunk_index")
        pq.write_table(table.set_column(column, "data/chunk_index", [[0] * len(table)]), episodes)
        message = "data/file_index of"
    else:
        with open(own.root / "meta/tasks.jsonl", "a") as tasks:
            tasks.write('{"task_index": 5, "task": "of no episode"}\n')
        message = "its tasks are not numbered"
    with pytest.raises(UsageError, match=f"(?s){message}.*to do: robotrove") as caught:
        grow(own.root, tmp_path / "out", news[0])
    assert not (tmp_path / "out.run").exists()
    # The way that it names leads on.
    for command in re.findall(r"robotrove (.+? -o [A-Z]+)", str(caught.value)):
        words = command.replace("OTHER", str(tmp_path / "other")).replace("NEW", str(tmp_path / "new")).split()
        done = run_robotrove(*words)
        assert done.returncode == 0, done.stderr
    report = grow(tmp_path / "new", tmp_path / "out", news[0])
    assert report.base is not None
    assert (report.base.episodes, report.kept) == (len(own.episodes), len(news[1]))


def test_videos_that_begin_late_are_refused(
    bases: dict[str, Made], news: tuple[Path, list[Recorded]], tmp_path: Path
) -> None:
    """LeRobot finds their frames by their times; of new episodes these are counted from 0."""
    own = shutil.copytree(bases["v3.0"].root, tmp_path / "own")
    path = sorted((own / "videos" / FRONT).rglob("*.mp4"))[-1]
    late = 5
    with av.open(str(path)) as source, av.open(str(tmp_path / "late.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                ticks = round(late / FPS / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, stream
                target.mux(packet)
    (tmp_path / "late.mp4").replace(path)
    episodes = own / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(episodes)
    file = [int(path.parent.name[-3:]), int(path.stem[-3:])]
    prefix = f"videos/{FRONT}"
    rows = table.select([f"{prefix}/chunk_index", f"{prefix}/file_index"]).to_pylist()
    shift = [late / FPS if [*row.values()] == file else 0.0 for row in rows]
    for name in (f"{prefix}/from_timestamp", f"{prefix}/to_timestamp"):
        times = [time + more for time, more in zip(table[name].to_pylist(), shift, strict=True)]
        table = table.set_column(table.column_names.index(name), name, [times])
    pq.write_table(table, episodes)
    with pytest.raises(UsageError, match=rf"{path.name} begins later than at 0 s"):
        grow(own, tmp_path / "out", news[0])


def test_columns_of_other_types_are_refused(
    bases: dict[str, Made], news: tuple[Path, list[Recorded]], tmp_path: Path
) -> None:
    """Datasets of Arena's own converter have times in float64: whoever reads all files would stumble."""
    with pytest.raises(UsageError, match="timestamp is float instead of double"):
        grow(bases["v2.1"].root, tmp_path / "out", news[0], dataset=[Downgrader(reference_exact=True)])


def test_statistics_of_gr00t_are_left_out_unless_a_block_makes_them(
    bases: dict[str, Made], news: tuple[Path, list[Recorded]], tmp_path: Path
) -> None:
    own = shutil.copytree(bases["v2.1"].root, tmp_path / "own")
    for name in ("stats", "relative_stats"):
        (own / f"meta/{name}.json").write_text("{}")
    report = grow(own, tmp_path / "out", news[0])
    left_out = {f"meta/{name}.json is not in the output: recompute it with `robotrove stats`" for name in
                ("stats", "relative_stats")}  # fmt: skip
    assert left_out <= set(report.notes)
    assert not any((tmp_path / "out/meta").glob("*stats.json"))


def test_pipelines_that_are_refused(news: tuple[Path, list[Recorded]]) -> None:
    with pytest.raises(ConfigError, match=r"is one dataset, of one version, but v3\.0, v2\.1 are made"):
        conversion(news[0], append_to="base", formats=["v3.0", "v2.1"])
    with pytest.raises(ConfigError, match="`robotrove aggregate` merges datasets"):
        Pipeline(dataset=[Aggregator(datasets=["one"]), DatasetStats()], append_to="two")


def test_it_can_be_planned(base: Made, news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    plan = conversion(old_recording(base), news[0], append_to=base.root, formats=[version_of(base.root)]).plan()
    assert isinstance(plan, Plan)
    assert [row.reason for row in plan.manifest.rows] == ["already_in_dataset"] * 5 + [""] * 3
    assert plan.base is not None
    assert (plan.base.dataset.episodes, plan.base.dataset.frames) == (5, sum(OLD))
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_of_anyone(bases: dict[str, Made], news: tuple[Path, list[Recorded]], tmp_path: Path) -> None:
    """What nobody knows the origin of is taken as it is; its recordings cannot be recognised."""
    own = Made(shutil.copytree(bases["v3.0"].root, tmp_path / "own"), bases["v3.0"].episodes)
    shutil.rmtree(own.root / "meta/robotrove")  # and so exact quantiles of its cameras as a whole
    report = grow(own.root, tmp_path / "out", news[0])
    assert report.kept == 3
    forget()
    assert_holds(OnDisk(tmp_path / "out"), own.episodes + news[1])
    assert files_of(own.root).items() < files_of(tmp_path / "out").items()
    assert trace(tmp_path / "out", 2).origin.source_name == "own"


def test_errors_are_of_ours(tmp_path: Path, bases: dict[str, Made], news: tuple[Path, list[Recorded]]) -> None:
    own = shutil.copytree(bases["v3.0"].root, tmp_path / "own")
    (own / "meta/info.json").write_text("{")
    with pytest.raises(RobotroveError, match="cannot be read as JSON"):
        conversion(news[0], append_to=own).run(output=tmp_path / "out", executor=Here())
