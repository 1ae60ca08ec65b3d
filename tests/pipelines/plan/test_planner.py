"""Episodes that are listed twice are found, in time that grows with the recordings, not with their pairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.core.columns import Array
from robotrove.formats.hdf5 import chunked_rows
from robotrove.manifests.run_report import RunReport
from robotrove.pipelines.plan.planner import make_plan
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.pipelines.runs import run_here, write_pipeline

ROWS = 12


def record(path: Path, seed: int, change: Callable[[h5py.Group], Any] = lambda group: None, **camera: Any) -> Path:
    """Write a recording that begins and ends at rest: only the rows between differ from those of others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        group.create_group("initial_state")
        for name, width in (("actions", 3), ("obs/joint_pos", 2)):
            rows = np.random.default_rng(seed).normal(size=(ROWS, width)).astype(np.float32)
            rows[[0, -1]] = 0
            group[name] = rows
        frames = np.random.default_rng(1).integers(0, 255, (ROWS, 16, 16, 3), np.uint8)
        group.create_dataset("obs/front", data=frames, **camera)
        change(group)
    return path


def reasons(folder: Path, *files: Path) -> list[str]:
    plan = make_plan(load_pipeline(write_pipeline(folder, files or [folder / "*.h5"])))
    return [row.reason for row in plan.manifest.rows]


def assign(path: str, place: Any, value: Any) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        group[path][place] = value

    return change


def test_what_is_between_the_ends_tells_recordings_apart(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", 1)
    shutil.copy(tmp_path / "a.h5", tmp_path / "b_copy.h5")
    record(tmp_path / "c_repacked.h5", 1, chunks=(5, 7, 16, 1), compression="gzip")
    record(tmp_path / "d_other.h5", 2)
    record(tmp_path / "e_twin.h5", 1, assign("obs/front", (ROWS // 2, 3, 3, 0), 77))  # equal numbers, other pictures
    shutil.copy(tmp_path / "e_twin.h5", tmp_path / "f_copy.h5")
    record(tmp_path / "g_number.h5", 1, assign("obs/joint_pos", (5, 1), 0.125))
    twice = "duplicate_episode"
    assert reasons(tmp_path) == ["", twice, twice, "", "", twice, ""]


def test_the_first_of_equal_ones_is_named(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)):
        record(tmp_path / f"{name}.h5", seed)
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "*.h5"])))
    assert [row.detail for row in plan.manifest.rows] == [
        "",
        "",
        "is the same episode as a.h5:data/demo_0",
        "is the same episode as b.h5:data/demo_0",
        "is the same episode as a.h5:data/demo_0",
    ]


def test_copies_under_other_names_in_a_file_are_two(tmp_path: Path) -> None:
    with h5py.File(record(tmp_path / "a.h5", 1), "r+") as file:
        file.copy("data/demo_0", file["data"], "demo_1")
    assert reasons(tmp_path) == ["", ""]


def test_damaged_data_are_never_called_a_duplicate(tmp_path: Path) -> None:
    def checked(group: h5py.Group) -> None:
        group.create_dataset("obs/extra", data=np.arange(ROWS), chunks=(4,), fletcher32=True)

    for name in ("a", "b", "c"):
        record(tmp_path / f"{name}.h5", 1, checked)
    assert reasons(tmp_path) == ["", "duplicate_episode", "duplicate_episode"]
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            place = file["data/demo_0/obs/extra"].id.get_chunk_info(1).byte_offset  # rows 4 to 7, no column's
        with open(tmp_path / f"{name}.h5", "r+b") as stream:
            stream.seek(place)
            stream.write(b"\x63")
    assert reasons(tmp_path) == ["", "", ""]


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count of the rows that are read for comparing, in one entry."""
    count = [0]
    read = chunked_rows.ChunkedRows.batches

    def counted(self: chunked_rows.ChunkedRows, start: int, stop: int) -> Iterator[Array]:
        for rows in read(self, start, stop):
            count[0] += len(rows)
            yield rows

    monkeypatch.setattr(chunked_rows.ChunkedRows, "batches", counted)
    return count


def test_rows_read_for_comparing_grow_with_the_recordings(tmp_path: Path, rows_read: list[int]) -> None:
    files = [record(tmp_path / f"{number:03}.h5", number) for number in range(400)]
    read = {}
    for recordings in (100, 200, 400):
        rows_read[0] = 0
        assert reasons(tmp_path, *files[:recordings]) == [""] * recordings
        read[recordings] = rows_read[0]
    assert read[100] == 100 * (2 * ROWS + 3)  # all numbers, and three frames
    assert read[200] <= 2.1 * read[100]
    assert read[400] <= 2.1 * read[200]


def test_nothing_is_read_where_none_begin_and_end_alike(tmp_path: Path, rows_read: list[int]) -> None:
    for number in range(3):
        record(tmp_path / f"{number}.h5", number, assign("actions", 0, number))
    assert reasons(tmp_path) == ["", "", ""]
    assert rows_read == [0]


def _append(base: Path, output: Path, *files: Path, version: str = "v3.0") -> RunReport:
    pipeline = write_pipeline(output.parent, files, append_to=str(base), formats=[version])
    return run_here(pipeline, output)


def _origins(dataset: Path) -> list[dict[str, Any]]:
    folder = dataset / "meta/robotrove"
    if (folder / "episodes.parquet").exists():
        return pq.read_table(folder / "episodes.parquet").to_pylist()
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def _forget_content(dataset: Path, episodes: Sequence[int] | None = None) -> None:
    """Make the provenance as 0.2.2 wrote it: without content digests, or without those of some episodes."""
    lines = _origins(dataset)
    for line in lines:
        if episodes is None:
            del line["content_digest"]
        elif line["episode_index"] in episodes:
            line["content_digest"] = None
    path = dataset / "meta/robotrove/episodes.parquet"
    if path.exists():
        pq.write_table(pa.Table.from_pylist(lines), path)
    else:
        path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _actions(dataset: Path) -> Array:
    tables = [pq.read_table(path) for path in sorted(dataset.glob("data/*/*.parquet"))]
    return np.stack([row for table in tables for row in table["action"].to_pylist()])


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
class TestAppended:
    @pytest.fixture
    def old(self, tmp_path: Path) -> list[Path]:
        """Two recordings that begin and end alike."""
        return [record(tmp_path / "old" / f"{name}.h5", seed) for name, seed in (("a", 1), ("b", 2))]

    @pytest.fixture
    def base(self, tmp_path: Path, version: str, old: list[Path]) -> Path:
        run_here(write_pipeline(tmp_path, old, formats=[version]), tmp_path / "base")
        digests = [(origin["source_digest"], origin["content_digest"]) for origin in _origins(tmp_path / "base")]
        assert digests[0][0] == digests[1][0]
        assert digests[0][1] != digests[1][1]
        return tmp_path / "base"

    def test_another_recording_with_the_same_digest_is_new(
        self, tmp_path: Path, version: str, base: Path, old: list[Path]
    ) -> None:
        new = record(tmp_path / "c.h5", 3)
        twin = record(tmp_path / "d.h5", 1, assign("obs/front", (0, 0, 0, 0), 9))
        shutil.copy(old[1], tmp_path / "copy.h5")
        report = _append(base, tmp_path / "longer", *old, new, twin, tmp_path / "copy.h5", version=version)
        assert (report.kept, report.rejected, report.exit_code) == (2, {"already_in_dataset": 3}, 0)
        [note] = [note for note in report.notes if "alike" in note]
        assert note.startswith(f"appended as new: alike at the ends to an episode of {base}, with other numbers")
        assert note.endswith("(2 episodes)")
        expected = []
        for path in (*old, new, twin):
            with h5py.File(path) as file:
                expected.append(file["data/demo_0/actions"][:])
        np.testing.assert_array_equal(_actions(tmp_path / "longer"), np.concatenate(expected))
        again = _append(tmp_path / "longer", tmp_path / "none", *old, new, twin, version=version)
        assert (again.kept, again.rejected) == (0, {"already_in_dataset": 4})

    def test_of_a_dataset_without_content_digests_the_length_decides(
        self, tmp_path: Path, version: str, base: Path, old: list[Path]
    ) -> None:
        _forget_content(base)
        report = _append(base, tmp_path / "longer", *old, record(tmp_path / "c.h5", 3), version=version)
        assert (report.kept, report.rejected) == (0, {"already_in_dataset": 3})
        assert report.notes[-1] == (
            f"not appended: {base} has no content digest of them, but their digest, name and length agree: "
            "old/a.h5:data/demo_0 (episode 0), old/b.h5:data/demo_0 (episode 0), c.h5:data/demo_0 (episode 0)"
        )
        shorter = {
            "observation.state": {"from": "obs/joint_pos", "rows": [0, 5]},
            "action": {"from": "actions", "rows": [0, 5]},
        }
        front = {"observation.images.front": {"from": "obs/front", "rows": [0, 5]}}
        pipeline = write_pipeline(
            tmp_path, old, append_to=str(base), formats=[version], source={"columns": shorter | front}
        )
        assert run_here(pipeline, tmp_path / "other").kept == 2  # as many rows as no episode of it has

    def test_merging_and_converting_keep_the_content_digest(
        self, tmp_path: Path, version: str, base: Path, old: list[Path]
    ) -> None:
        more = record(tmp_path / "c.h5", 3)
        run_here(write_pipeline(tmp_path, [more], formats=[version]), tmp_path / "more")
        other = {"v3.0": "v2.1", "v2.1": "v3.0"}[version]
        pipeline = tmp_path / "merge.yaml"
        for name, made in (("same", version), ("other", other)):
            block = {"v3.0": "aggregator", "v2.1": "downgrader"}[made]
            steps = [{block: {"datasets": [str(base), str(tmp_path / "more")]}}]
            pipeline.write_text(yaml.safe_dump({"dataset": steps}))
            run_here(pipeline, tmp_path / name)
            expected = [origin["content_digest"] for path in (base, tmp_path / "more") for origin in _origins(path)]
            assert [origin["content_digest"] for origin in _origins(tmp_path / name)] == expected
            assert None not in expected
            new = record(tmp_path / "d.h5", 4)
            report = _append(tmp_path / name, tmp_path / f"{name}_longer", *old, more, new, version=made)
            assert (report.kept, report.rejected) == (1, {"already_in_dataset": 3})


def test_a_base_of_which_only_some_content_is_known(tmp_path: Path) -> None:
    old = [record(tmp_path / f"{name}.h5", seed) for name, seed in (("a", 1), ("b", 2))]
    run_here(write_pipeline(tmp_path, old), tmp_path / "base")
    _forget_content(tmp_path / "base", [0])
    report = _append(tmp_path / "base", tmp_path / "longer", *old)
    assert (report.kept, report.rejected) == (0, {"already_in_dataset": 2})
    assert report.notes[-1].endswith("name and length agree: a.h5:data/demo_0 (episode 0)")


def test_a_label_that_a_filter_cannot_use_is_in_a_note(tmp_path: Path) -> None:
    record(tmp_path / "a.h5", 1, lambda group: group.attrs.update(success=0.35))
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.h5"], steps=["success_filter"])))
    assert [row.reason for row in plan.manifest.rows] == ["no_success_label"]
    [note] = [note for note in plan.notes if "success_threshold" in note]
    assert note.endswith("(1 episodes, for example: attribute 'success' of /data/demo_0 is 0.35)")


def test_datasets_that_are_not_converted_are_shown_by_a_command_for_every_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:  # of no known layout: init refuses it
        file["action"] = file["more"] = np.ones((ROWS, 2), np.float32)
    source = {"columns": {"action": "action"}, "task": "t", "fps": 10}
    plan = make_plan(load_pipeline(write_pipeline(tmp_path, [tmp_path / "a.h5"], "generic", source=source)))
    assert plan.notes == ["1 HDF5 datasets are not converted; robotrove inspect FILE shows all (1 episodes)"]
