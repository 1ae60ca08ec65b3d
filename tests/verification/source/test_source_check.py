from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.steps.frame_trimmer import FrameTrimmer
from robotrove.blocks.steps.success_filter import SuccessFilter
from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.mapping import ColumnSpec
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.run.reopen import finished_run
from robotrove.verification.source import recordings
from robotrove.verification.source.recordings import SourceProblem
from robotrove.verification.source.source_check import Audited, SourceReport, check_source

FRAMES, HEAD, SIZE = 12, 2, 64
KEPT = FRAMES - HEAD
FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three successes and a failure, two rows trimmed; front is a video, wrist are pictures, one column is text."""
    folder = tmp_path_factory.mktemp("run")
    (path,) = write_sample("isaaclab", folder, episodes=3, frames=FRAMES, height=SIZE, width=SIZE)
    with h5py.File(path, "a") as file:
        file["data/demo_2"].attrs["success"] = True
        file.copy("data/demo_0", file["data"], "demo_3")
        file["data/demo_3"].attrs["success"] = False
        for name in file["data"]:
            file[f"data/{name}/note"] = [f"row {row}" for row in range(FRAMES)]
    columns = {
        "action": "actions",
        "observation.state": "obs/joint_pos",
        "note": "note",
        FRONT: "obs/front",
        WRIST: {"from": "obs/wrist", "kind": "image"},
    }
    Pipeline(
        source=Hdf5Reader(files=[str(path)], layout="isaaclab", columns=columns, task="reach"),
        steps=[SuccessFilter(), FrameTrimmer(head=HEAD)],
    ).run(output=folder / "dataset", workers=1)
    return folder


@pytest.fixture
def dataset(run: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(run / "dataset", tmp_path / "dataset")


def check(dataset: Path, run: Path, *, deep: bool = False) -> SourceReport:
    return check_source(dataset, finished_run(run / "dataset.run"), deep=deep)


def change(dataset: Path, path: str, column: str, edit: Callable[[list], None]) -> None:
    """Edit the values of a column of a parquet file."""
    table = pq.read_table(dataset / path)
    values = table[column].to_pylist()
    edit(values)
    index = table.schema.get_field_index(column)
    field = table.schema.field(index)
    pq.write_table(table.set_column(index, field, pa.array(values, field.type)), dataset / path)


def frames_of(episodes: int = 3) -> list[np.ndarray]:
    """The frames of the front video: those of each episode one after the other."""
    return list(pictures(FRAMES, SIZE, SIZE, camera=0))[HEAD:] * episodes


def encode(dataset: Path, frames: list[np.ndarray], **settings: object) -> None:
    (path,) = (dataset / "videos" / FRONT).rglob("*.mp4")
    make_encoder(VideoSettings(**settings)).encode(path, iter([np.stack(frames)]), width=SIZE, height=SIZE, fps=30)


def set_value(row: int, entry: int, value: float) -> Callable[[list], None]:
    def edit(values: list) -> None:
        values[row][entry] = value

    return edit


@pytest.mark.parametrize("deep", [False, True])
def test_a_right_dataset(run: Path, deep: bool) -> None:
    seen = []
    report = check_source(
        run / "dataset",
        finished_run(run / "dataset.run"),
        deep=deep,
        progress=lambda done, total: seen.append((done, total)),
    )
    audited = Audited(episodes=3, pyfive=3 * 4, h5py=3)  # pyfive reads no texts of variable length
    assert report == SourceReport((), 0, episodes=3, frames=3 * (KEPT if deep else 5), foreign=0, audited=audited)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_number(run: Path, dataset: Path) -> None:
    state = pq.read_table(dataset / "data/chunk-000/file-000.parquet")["observation.state"].to_pylist()
    value = float(np.nextafter(np.float32(state[KEPT + 4][6]), np.float32(2)))  # the smallest difference there is
    change(dataset, "data/chunk-000/file-000.parquet", "observation.state", set_value(KEPT + 4, 6, value))
    (problem,) = check(dataset, run).problems
    assert problem == SourceProblem(
        1,
        "isaaclab.hdf5:data/demo_1",
        "observation.state",
        4,
        f"joint_pos_6 is {value!r} in the dataset, {state[KEPT + 4][6]!r} in the source (row 6 of the source)",
    )
    assert problem.where == "episode 1 (isaaclab.hdf5:data/demo_1), observation.state, row 4"


def test_rows_in_another_order(run: Path, dataset: Path) -> None:
    def swap(values: list) -> None:
        values[0], values[1] = values[1], values[0]

    change(dataset, "data/chunk-000/file-000.parquet", "action", swap)
    (problem,) = check(dataset, run).problems
    assert (problem.episode, problem.feature, problem.row) == (0, "action", 0)
    assert problem.message.endswith("(2 rows differ)")


def test_text_of_a_row(run: Path, dataset: Path) -> None:
    def edit(values: list) -> None:
        values[2 * KEPT + 9] = "?"

    change(dataset, "data/chunk-000/file-000.parquet", "note", edit)
    (problem,) = check(dataset, run).problems
    assert (problem.episode, problem.feature, problem.row) == (2, "note", 9)
    assert problem.message == "'?' in the dataset, 'row 11' in the source (row 11 of the source)"


def test_task(run: Path, dataset: Path) -> None:
    change(dataset, "meta/tasks.parquet", "task", lambda values: values.__setitem__(0, "grasp"))
    found = [(problem.episode, problem.feature, problem.row) for problem in check(dataset, run).problems]
    assert found == [(episode, "task_index", 0) for episode in range(3)]
    change(
        dataset, "meta/episodes/chunk-000/file-000.parquet", "tasks", lambda values: values.__setitem__(1, ["grasp"])
    )
    texts = {problem.message for problem in check(dataset, run).problems if problem.feature == "task"}
    assert texts == {"'grasp' in the dataset, 'reach' from the source"}


def test_a_picture(run: Path, dataset: Path) -> None:
    def swap(values: list) -> None:
        values[3] = values[4]

    change(dataset, "data/chunk-000/file-000.parquet", WRIST, swap)
    (problem,) = check(dataset, run).problems
    assert (problem.episode, problem.feature, problem.row) == (0, WRIST, 3)


def later(frames: list[np.ndarray]) -> list[np.ndarray]:
    return frames[1:] + frames[-1:]


def earlier(frames: list[np.ndarray]) -> list[np.ndarray]:
    return frames[:1] + frames[:-1]


def swapped(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame[..., ::-1] for frame in frames]


def upside_down(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame[::-1] for frame in frames]


def four_later(frames: list[np.ndarray]) -> list[np.ndarray]:
    return frames[4:] + frames[:4]


def dark(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame // 2 for frame in frames]


@pytest.mark.parametrize(
    ("damage", "row", "message"),
    [
        (later, 0, "is more like the source's frame after its own"),
        (earlier, 2, "is more like the source's frame before its own"),
        (swapped, 0, "red and blue are swapped"),
        (upside_down, 0, "is not the source's frame"),
        (four_later, 0, "is not the source's frame"),
        (dark, 0, "is not the source's frame"),
    ],
)
def test_frames(run: Path, dataset: Path, damage: Callable, row: int, message: str) -> None:
    frames = frames_of(1)
    encode(dataset, frames + damage(frames) + frames)
    (problem,) = check(dataset, run).problems
    assert (problem.episode, problem.feature, problem.row) == (1, FRONT, row)
    assert problem.message.startswith(f"{message} (mean difference ")


def test_one_frame_between_the_samples_takes_a_deep_check(run: Path, dataset: Path) -> None:
    frames = frames_of()
    frames[3] = frames[4]
    encode(dataset, frames)
    assert check(dataset, run).ok
    (problem,) = check(dataset, run, deep=True).problems
    assert (problem.episode, problem.feature, problem.row) == (0, FRONT, 3)


@pytest.mark.parametrize("settings", [{"crf": 45}, {"codec": "libx264", "g": 10}], ids=str)
def test_another_encoding_of_the_same_frames_passes(run: Path, dataset: Path, settings: dict) -> None:
    encode(dataset, frames_of(), **settings)
    assert check(dataset, run, deep=True).ok


def test_coarse_encodings_pass_because_the_source_encodes_no_better(tmp_path: Path) -> None:
    write_sample("robomimic", tmp_path, episodes=1, frames=8, height=48, width=80, cameras=("front",))
    Pipeline.from_yaml(_coarse(tmp_path)).run(output=tmp_path / "dataset", workers=1)
    assert check(tmp_path / "dataset", tmp_path, deep=True).ok


def _coarse(folder: Path) -> Path:
    text = f"source: {{files: ['{folder}'], layout: robomimic}}\nwriter: {{video: {{crf: 63, g: 8}}}}\n"
    (folder / "coarse.yaml").write_text(text)
    return folder / "coarse.yaml"


def test_a_video_that_cannot_be_read(run: Path, dataset: Path) -> None:
    (path,) = (dataset / "videos" / FRONT).rglob("*.mp4")
    path.write_bytes(path.read_bytes()[:200])
    problems = check(dataset, run).problems
    assert [(problem.episode, problem.feature) for problem in problems] == [(episode, FRONT) for episode in range(3)]
    assert all(problem.message.startswith("cannot be compared: ") for problem in problems)


def test_provenance_that_lies(run: Path, dataset: Path) -> None:
    path = "meta/robotrove/episodes.parquet"
    change(dataset, path, "first_row", lambda values: values.__setitem__(0, 1))
    change(dataset, path, "success", lambda values: values.__setitem__(1, None))
    messages = [(problem.episode, problem.message) for problem in check(dataset, run).problems]
    assert messages == [
        (0, "rows 1..11 in the provenance, 2..11 of the source are used"),
        (1, "success is None in the provenance, True in the source"),
    ]


def test_an_episode_twice_and_one_missing(run: Path, dataset: Path) -> None:
    path = "meta/robotrove/episodes.parquet"
    change(dataset, path, "source_key", lambda values: values.__setitem__(2, "data/demo_1"))
    first, second = check(dataset, run).problems
    assert (first.episode, first.message) == (2, "episode 1 comes from there too")
    assert (second.episode, second.source) == (None, "isaaclab.hdf5:data/demo_2")
    assert second.where == "isaaclab.hdf5:data/demo_2"


def test_an_episode_that_the_run_left_out(run: Path, dataset: Path) -> None:
    path = "meta/robotrove/episodes.parquet"
    change(dataset, path, "source_key", lambda values: values.__setitem__(2, "data/demo_3"))
    messages = [problem.message for problem in check(dataset, run).problems]
    assert messages == ["the run kept no such episode", "the run kept it, but the dataset does not have it"]


@pytest.fixture
def source(run: Path) -> Iterator[Path]:
    """The recording, as it was again afterwards."""
    path = run / "isaaclab.hdf5"
    state, aside = path.stat(), run / "aside"
    shutil.copy(path, aside)
    yield path
    aside.replace(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_sources_that_are_gone_or_changed(run: Path, source: Path) -> None:
    os.utime(source)
    (problem,) = check(run / "dataset", run).problems
    assert problem.message == f"{source} was changed since: 3 episode(s) cannot be compared"
    source.unlink()
    report = check(run / "dataset", run)
    assert report.problems[0].message == f"{source} is missing: 3 episode(s) cannot be compared"
    assert (report.episodes, report.ok) == (0, False)


def test_a_file_behind_a_link_that_is_gone_or_changed(tmp_path: Path) -> None:
    part = tmp_path / "part.h5"
    with h5py.File(part, "w") as file:
        file["q"] = np.ones((4, 2), np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["q"] = h5py.ExternalLink("part.h5", "/q")
    reader = Hdf5Reader(
        files=[str(tmp_path / "a.h5")], layout="generic", columns={"action": ColumnSpec(source="q")}, task="t", fps=10
    )
    Pipeline(source=reader, steps=[]).run(output=tmp_path / "dataset", workers=1)
    os.utime(part)
    (problem,) = check(tmp_path / "dataset", tmp_path).problems
    assert problem.message == f"{part} was changed since: 1 episode(s) cannot be compared"
    part.unlink()
    (problem,) = check(tmp_path / "dataset", tmp_path).problems
    assert problem.message == f"{part} is missing: 1 episode(s) cannot be compared"


def test_only_twenty_problems_are_kept(run: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MAX_PROBLEMS", 2)
    change(dataset, "meta/tasks.parquet", "task", lambda values: values.__setitem__(0, "grasp"))
    report = check(dataset, run)
    assert (len(report.problems), report.n_problems) == (2, 3)


def test_episodes_of_another_run_are_not_compared(run: Path, dataset: Path) -> None:
    path = "meta/robotrove/episodes.parquet"
    change(dataset, path, "run_digest", lambda values: values.__setitem__(0, "another"))
    report = check(dataset, run)
    assert (report.episodes, report.foreign) == (2, 1)
    assert [problem.source for problem in report.problems] == ["isaaclab.hdf5:data/demo_0"]
    change(dataset, path, "run_digest", lambda values: values.__setitem__(slice(None), ["another"] * 3))
    with pytest.raises(UsageError, match="does not come from the run"):
        check(dataset, run)


def test_an_unfinished_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "dataset.run", tmp_path / "dataset.run")
    (tmp_path / "dataset.run/report.json").unlink()
    with pytest.raises(UsageError, match="not finished"):
        check(run / "dataset", tmp_path)


def test_a_provenance_table_that_is_too_short(run: Path, dataset: Path) -> None:
    path = dataset / "meta/robotrove/episodes.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pc.less(table["episode_index"], 2)), path)
    assert check(dataset, run).problems[0].message == "has not one row per episode"
    path.unlink()
    assert check(dataset, run).problems[0].where == "meta/robotrove/episodes.parquet"


def test_every_problem_can_be_written_as_json(run: Path, dataset: Path) -> None:
    change(dataset, "data/chunk-000/file-000.parquet", "action", set_value(0, 0, float("nan")))
    (problem,) = check(dataset, run).problems
    assert "nan in the dataset" in json.loads(json.dumps(problem.message))
