"""Episodes that several input datasets share: found, refused, skipped or kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from robotrove.core.errors import UsageError
from robotrove.formats.lerobot import paths_v21, paths_v30
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.pipelines.plan import duplicates as module
from robotrove.pipelines.plan.duplicates import duplicates
from robotrove.pipelines.plan.input_datasets import read_inputs
from robotrove.pipelines.run.trace import trace
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.datasets.numbered import (
    aggregate,
    conversion,
    convert,
    digests,
    make_both,
    quickly,
    record,
)
from robotrove.tests.support.pipelines.runs import (
    Here,
    quick_disk,  # noqa: F401 - autouse
    run_here,
)
from robotrove.verification.dataset.runner import verify

SIZES = {"observation.images.wrist": (32, 48)}
Pair = tuple[int, int, int, int]  # dataset, episode, dataset before, episode there


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets one (of 3 episodes of 5 frames), two (of 2 of 5 frames), and the same in v2.1."""
    folder = tmp_path_factory.mktemp("made")
    with quickly():
        make_both(folder, "one", [5, 5, 5], ["pick", "place"], 0, SIZES)
        make_both(folder, "two", [5, 5], ["pick", "push"], 100, SIZES)
    return folder


def foreign(source: Path, target: Path) -> Path:
    """Copy a dataset as one of another tool, which says nothing of recordings."""
    shutil.copytree(source, target)
    shutil.rmtree(target / "meta/robotrove")
    return target


def pairs(*folders: Path) -> list[Pair]:
    return [
        (number, twin.episode, twin.dataset, twin.same_as)
        for number, own in enumerate(duplicates(folders, {}))
        for twin in own
    ]


def change_rows(dataset: Path, episode: int, change: Callable[[pa.Table], pa.Table]) -> None:
    path = dataset / f"data/chunk-000/episode_{episode:06d}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def provenance(dataset: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a v2.1 dataset says of its recordings."""
    path = dataset / paths_v21.PROVENANCE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class TestFound:
    def test_other_datasets_share_none(self, made: Path, tmp_path: Path) -> None:
        assert pairs(made / "one", made / "two") == []
        assert pairs(foreign(made / "one", tmp_path / "a"), foreign(made / "two", tmp_path / "b")) == []

    @pytest.mark.parametrize("how", ["same", "link", "dots"])
    def test_the_same_folder(self, made: Path, tmp_path: Path, how: str) -> None:
        (tmp_path / "link").symlink_to(made / "two")
        again = {"same": made / "two", "link": tmp_path / "link", "dots": made / "one/../two"}[how]
        assert pairs(made / "one", made / "two", again) == [(2, 0, 1, 0), (2, 1, 1, 1)]

    @pytest.mark.parametrize("other", ["one", "one_v21"])
    def test_a_copy_or_conversion(self, made: Path, tmp_path: Path, other: str) -> None:
        shutil.copytree(made / other, tmp_path / "copy")
        assert pairs(made / "two", made / "one", tmp_path / "copy") == [(2, at, 1, at) for at in range(3)]

    def test_a_merge_of_it(self, made: Path, tmp_path: Path) -> None:
        aggregate([made / "two", made / "one"], tmp_path / "both")
        assert pairs(made / "one", tmp_path / "both") == [(1, at + 2, 0, at) for at in range(3)]
        assert pairs(tmp_path / "both", made / "one") == [(1, at, 0, at + 2) for at in range(3)]

    def test_the_same_recordings_converted_twice(self, made: Path, tmp_path: Path) -> None:
        source = made / "recorded/one.hdf5"
        more = conversion(source)
        more.run(output=tmp_path / "again", executor=Here())
        assert pairs(made / "one", tmp_path / "again") == [(1, at, 0, at) for at in range(3)]

    @pytest.mark.parametrize("first", ["one", "one_v21"])
    @pytest.mark.parametrize("second", ["one", "one_v21"])
    def test_rows_of_datasets_that_say_nothing(self, made: Path, tmp_path: Path, first: str, second: str) -> None:
        a, b = foreign(made / first, tmp_path / "a"), foreign(made / second, tmp_path / "b")
        assert pairs(a, made / "two", b) == [(2, at, 0, at) for at in range(3)]

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_rows_where_one_says_nothing(self, made: Path, tmp_path: Path, order: str) -> None:
        folders = {"a": made / "one_v21", "b": foreign(made / "one", tmp_path / "b")}
        assert pairs(*(folders[name] for name in order)) == [(1, at, 0, at) for at in range(3)]

    def test_without_statistics_too(self, made: Path, tmp_path: Path) -> None:
        a, b = foreign(made / "one_v21", tmp_path / "a"), foreign(made / "one", tmp_path / "b")
        (a / paths_v21.EPISODES_STATS).unlink()
        assert pairs(a, b, made / "two") == [(1, at, 0, at) for at in range(3)]

    def test_zero_with_another_sign_in_the_statistics(self, made: Path, tmp_path: Path) -> None:
        """Of 0.0 and -0.0 either is the smallest."""
        folders = [foreign(made / "one", tmp_path / name) for name in "ab"]
        for folder, zero in zip(folders, (0.0, -0.0), strict=True):
            path = folder / paths_v30.EPISODES
            table = pq.read_table(path)
            at = table.schema.get_field_index("stats/action/min")
            lows = [[zero, *low[1:]] for low in table.column(at).to_pylist()]
            pq.write_table(
                table.set_column(at, table.schema.field(at), pa.array(lows, table.schema.field(at).type)), path
            )
        assert len(pairs(*folders)) == len(open_dataset(folders[0]).lengths)

    def test_some_episodes_of_a_dataset(self, made: Path, tmp_path: Path) -> None:
        """Rows, not positions, decide."""
        aggregate([made / "two", made / "one"], tmp_path / "both")
        a, b = foreign(tmp_path / "both", tmp_path / "a"), foreign(made / "one_v21", tmp_path / "b")
        assert pairs(a, b) == [(1, at, 0, at + 2) for at in range(3)]

    def test_numbers_with_gaps(self, made: Path, tmp_path: Path) -> None:
        """Numbers are those of the dataset; what is skipped goes by position."""
        gaps = foreign(made / "one_v21", tmp_path / "gaps")
        for name in (paths_v21.EPISODES, paths_v21.EPISODES_STATS):
            text = (gaps / name).read_text()
            (gaps / name).write_text(text.replace('"episode_index": 2', '"episode_index": 7'))
        for path in (gaps / "data/chunk-000/episode_000002.parquet", *gaps.glob("videos/*/*/episode_000002.mp4")):
            path.rename(path.with_name(path.name.replace("000002", "000007")))
        seven = pa.array([7] * 5)
        path = gaps / "data/chunk-000/episode_000007.parquet"
        table = pq.read_table(path)
        at = table.column_names.index("episode_index")
        pq.write_table(table.set_column(at, table.field(at), seven), path)
        assert pairs(gaps, made / "one") == [(1, 0, 0, 0), (1, 1, 0, 1), (1, 2, 0, 7)]
        assert pairs(made / "one", gaps) == [(1, 0, 0, 0), (1, 1, 0, 1), (1, 7, 0, 2)]
        report = aggregate([made / "one", gaps], tmp_path / "out", on_duplicate="skip")
        assert (report.kept, report.rejected) == (3, {"duplicate_episode": 3})

    def test_one_other_text_is_another_episode(self, made: Path, tmp_path: Path) -> None:
        """The rows were described again."""
        a, b = foreign(made / "one_v21", tmp_path / "a"), foreign(made / "one", tmp_path / "b")
        assert pairs(a, b) == [(1, 0, 0, 0), (1, 1, 0, 1), (1, 2, 0, 2)]

        def change(table: pa.Table) -> pa.Table:
            texts = table["note"].to_pylist()
            return table.set_column(table.column_names.index("note"), "note", pa.array([*texts[:-1], "other"]))

        change_rows(a, 1, change)
        assert pairs(a, b) == [(1, 0, 0, 0), (1, 2, 0, 2)]

    @pytest.mark.parametrize("column", ["action", "observation.matrix", "observation.stage"])
    def test_one_other_number_is_another_episode(self, made: Path, tmp_path: Path, column: str) -> None:
        a, b = foreign(made / "one_v21", tmp_path / "a"), foreign(made / "one_v21", tmp_path / "b")

        def change(table: pa.Table) -> pa.Table:
            values = table.column(column).to_pylist()
            middle = np.array(values[2])
            values[2] = (middle + np.ones_like(middle) * (middle == middle.flat[0])).tolist()
            return table.set_column(
                table.column_names.index(column), column, pa.array(values, table.field(column).type)
            )

        change_rows(b, 1, change)
        assert pairs(a, b) == [(1, 0, 0, 0), (1, 2, 0, 2)]

    def test_another_instruction_is_another_episode(self, made: Path, tmp_path: Path) -> None:
        a, b = foreign(made / "one_v21", tmp_path / "a"), foreign(made / "one_v21", tmp_path / "b")
        for name in (paths_v21.TASKS, paths_v21.EPISODES):
            (b / name).write_text((b / name).read_text().replace('"pick"', '"grasp"'))
        assert pairs(a, b) == [(1, 1, 0, 1)]

    def test_recordings_that_begin_alike_differ_by_the_second_digest(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one_v21", tmp_path / "other")
        provenance(tmp_path / "other", lambda line: line.update(content_digest="f" * 64))
        assert pairs(made / "one", tmp_path / "other") == []

    def test_rows_decide_where_a_second_digest_is_missing(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one_v21", tmp_path / "before")
        provenance(tmp_path / "before", lambda line: line.pop("content_digest"))
        assert pairs(made / "one", tmp_path / "before") == [(1, at, 0, at) for at in range(3)]

        def backwards(table: pa.Table) -> pa.Table:
            return table.set_column(0, table.field(0), table.column(0).combine_chunks()[::-1])

        change_rows(tmp_path / "before", 1, backwards)
        assert pairs(made / "one", tmp_path / "before") == [(1, 0, 0, 0), (1, 2, 0, 2)]

    def test_other_rows_of_a_recording_are_another_episode(self, made: Path, tmp_path: Path) -> None:
        for name, first, last in (("head", 0, 1), ("tail", 2, 4), ("all", 0, 4)):
            shutil.copytree(made / "one_v21", tmp_path / name)
            provenance(tmp_path / name, lambda line, f=first, t=last: line.update(first_row=f, last_row=t))
        assert pairs(tmp_path / "head", tmp_path / "tail") == []
        assert len(pairs(tmp_path / "head", tmp_path / "all")) == 3

    def test_a_dataset_may_have_an_episode_twice(self, made: Path, tmp_path: Path) -> None:
        aggregate([made / "one", made / "one"], tmp_path / "twice", on_duplicate="keep")
        assert pairs(tmp_path / "twice") == []
        assert pairs(tmp_path / "twice", made / "two") == []
        convert(tmp_path / "twice", "v2.1", tmp_path / "old")
        assert open_dataset(tmp_path / "old").count("total_episodes") == 6

    def test_equal_rows_of_two_recordings_are_two_episodes(self, made: Path, tmp_path: Path) -> None:
        """Simulated recordings may differ in their pictures alone."""
        episodes = record(tmp_path / "a.hdf5", [5], ["pick"], 0, SIZES)
        shutil.copy(tmp_path / "a.hdf5", tmp_path / "b.hdf5")
        with h5py.File(tmp_path / "b.hdf5", "a") as file:
            file["runs/run_0/observation.images.wrist"][:] = 255 - episodes[0].frames["observation.images.wrist"]
        for name in "ab":
            conversion(tmp_path / f"{name}.hdf5").run(output=tmp_path / name, executor=Here())
        assert pairs(tmp_path / "a", tmp_path / "b") == []


class TestCost:
    def test_rows_are_read_of_candidates_only(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of 8 episodes of one length only the 2 with equal ranges are read, each once."""
        read: list[tuple[str, int]] = []
        digest = module._Digester.digest

        def counted(self: Any, at: Any) -> bytes:
            read.append((self.dataset.root.name, at.index))
            return digest(self, at)

        monkeypatch.setattr(module._Digester, "digest", counted)
        a, b = foreign(made / "one_v21", tmp_path / "a"), foreign(made / "two", tmp_path / "b")
        c = foreign(made / "one_v21", tmp_path / "c")
        change_rows(c, 0, lambda table: table)
        stats = [json.loads(line) for line in (c / paths_v21.EPISODES_STATS).read_text().splitlines()]
        for line in stats[1:]:
            line["stats"]["action"]["max"][0] += 1
        (c / paths_v21.EPISODES_STATS).write_text("".join(json.dumps(line) + "\n" for line in stats))
        assert pairs(a, b, c) == [(2, 0, 0, 0)]
        assert read == [("a", 0), ("c", 0)]

    def test_no_rows_are_read_where_recordings_are_known(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module._Digester, "digest", None)
        monkeypatch.setattr(module, "_ranges", None)
        assert len(pairs(made / "one", made / "two", made / "one_v21")) == 3

    def test_one_dataset_is_not_compared(self, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "open_dataset", None, raising=True)
        with pytest.raises(TypeError):
            duplicates([made / "one", made / "two"], {})
        monkeypatch.undo()
        assert duplicates([made / "one"], {}) == [[]]


class TestRefused:
    def test_it_names_datasets_episodes_and_options(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one", tmp_path / "copy")
        before = digests(tmp_path, made)
        with pytest.raises(UsageError) as caught:
            aggregate([made / "one", tmp_path / "copy"], tmp_path / "out")
        text = str(caught.value)
        assert caught.value.exit_code == 2
        assert "episodes that a dataset before has too: 3\n" in text
        for at in range(3):
            assert f"{tmp_path / 'copy'}, episode {at}: the same as episode {at} of {made / 'one'}\n" in text
        assert "--on-duplicate skip" in text
        assert "--on-duplicate keep" in text
        assert digests(tmp_path, made) == before

    def test_ten_are_shown(self, made: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            read_inputs([str(made / "one")] * 5, {})
        text = str(caught.value)
        assert text.count("the same as") == 10
        assert "has too: 12\n" in text
        assert "    and 2 more\n" in text

    def test_by_the_command(self, made: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(made / "two")
        found = run_robotrove("aggregate", made / "two", tmp_path / "link", "-o", tmp_path / "out")
        assert (found.returncode, found.stdout) == (2, "")
        assert f"{tmp_path / 'link'}, episode 1: the same as episode 1 of {made / 'two'}" in found.stderr
        assert sorted(os.listdir(tmp_path)) == ["link"]
        done = run_robotrove(
            "aggregate", made / "two", tmp_path / "link", "-o", tmp_path / "out", "--on-duplicate", "keep"
        )
        assert done.returncode == 0
        assert open_dataset(tmp_path / "out").count("total_episodes") == 4

    @pytest.mark.parametrize("block", ["aggregator", "downgrader"])
    def test_in_a_pipeline(self, made: Path, tmp_path: Path, block: str) -> None:
        given = {"datasets": [str(made / "one"), str(made / "one_v21")]}
        path = tmp_path / "merge.yaml"
        path.write_text(yaml.safe_dump({"dataset": [{block: given}]}))
        with pytest.raises(UsageError, match="a dataset before has too: 3"):
            run_here(path, tmp_path / "out")
        path.write_text(yaml.safe_dump({"dataset": [{block: {**given, "on_duplicate": "skip"}}]}))
        assert run_here(path, tmp_path / "out").kept == 3


def actions(dataset: Path) -> list[list[list[float]]]:
    opened = open_dataset(dataset)
    return [
        np.concatenate([batch["action"] for batch in opened.rows(["action"], at)]).tolist() for at in opened.episodes()
    ]


class TestSkipped:
    @pytest.mark.parametrize("block", ["aggregator", "downgrader"])
    def test_the_first_is_taken(self, made: Path, tmp_path: Path, block: str) -> None:
        aggregate([made / "two", made / "one"], tmp_path / "both")
        inputs = [str(path) for path in (made / "two_v21", tmp_path / "both", made / "one", made / "one")]
        path = tmp_path / "merge.yaml"
        blocks = [
            {block: {"datasets": inputs, "on_duplicate": "skip"}},
            *(["dataset_stats"] if block == "aggregator" else []),
        ]
        path.write_text(yaml.safe_dump({"dataset": blocks}))
        report = run_here(path, tmp_path / "out")
        assert (report.listed, report.kept, report.frames) == (13, 5, 25)
        assert (report.rejected, report.errors, report.exit_code) == ({"duplicate_episode": 8}, 0, 0)
        assert actions(tmp_path / "out") == [*actions(made / "two"), *actions(made / "one")]
        assert [trace(tmp_path / "out", at).origin.source_name for at in range(5)] == ["two.hdf5"] * 2 + [
            "one.hdf5"
        ] * 3
        assert [trace(tmp_path / "out", at).origin.input_datasets[0] for at in (1, 2)] == [  # type: ignore[index]
            {"dataset": "two_v21", "episode": 1},
            {"dataset": "both", "episode": 2},
        ]
        assert [str(finding) for finding in verify(tmp_path / "out").findings if finding.severity == "error"] == []
        lines = [json.loads(line) for line in (tmp_path / "out.run/rejected.jsonl").read_text().splitlines()]
        assert len(lines) == 8
        assert lines[0] == {
            "source": str(tmp_path / "both"),
            "key": "episode 0",
            "reason": "duplicate_episode",
            "detail": f"the same as episode 0 of {made / 'two_v21'}",
            "error": False,
        }

    def test_statistics_are_those_of_the_rest(self, made: Path, tmp_path: Path) -> None:
        aggregate([made / "one", made / "two"], tmp_path / "right")
        aggregate([tmp_path / "right", made / "two"], tmp_path / "out", on_duplicate="skip")
        right, found = (json.loads((tmp_path / name / "meta/stats.json").read_text()) for name in ("right", "out"))
        assert found == right
        aggregate([made / "two", tmp_path / "right"], tmp_path / "part", on_duplicate="skip")
        part = json.loads((tmp_path / "part/meta/stats.json").read_text())
        for key in ("action", "observation.images.wrist"):
            for name in ("min", "max", "count"):
                assert part[key][name] == right[key][name]
            for name in ("mean", "std"):
                assert np.allclose(part[key][name], right[key][name], rtol=1e-9)
        assert part["action"]["q50"] == right["action"]["q50"]

    def test_tasks_of_skipped_episodes_alone_are_not_in_it(self, made: Path, tmp_path: Path) -> None:
        """Rows of one recording are the same episode, whatever the instruction."""
        other = tmp_path / "other"
        shutil.copytree(made / "one_v21", other)
        for name in (paths_v21.TASKS, paths_v21.EPISODES):
            (other / name).write_text((other / name).read_text().replace('"place"', '"put"'))
        aggregate([other, made / "two"], tmp_path / "both")
        report = aggregate([made / "one", tmp_path / "both"], tmp_path / "out", on_duplicate="skip")
        assert report.rejected == {"duplicate_episode": 3}
        assert open_dataset(tmp_path / "out").tasks == ["pick", "place", "push"]
        assert [str(finding) for finding in verify(tmp_path / "out").findings if finding.severity == "error"] == []

    def test_what_it_says_of_episodes_stays_with_them(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made / "one", tmp_path / "a")
        path = tmp_path / "a" / paths_v30.EPISODES
        pq.write_table(pq.read_table(path).append_column("scene", [["x", "y", "z"]]), path)
        aggregate([made / "two", tmp_path / "a"], tmp_path / "both")
        aggregate([made / "two", tmp_path / "both"], tmp_path / "out", on_duplicate="skip")
        found = pq.read_table(tmp_path / "out" / paths_v30.EPISODES, columns=["scene"])["scene"].to_pylist()
        assert found == [None, None, "x", "y", "z"]

    def test_the_plan_and_the_command_say_so(self, made: Path, tmp_path: Path) -> None:
        path = tmp_path / "merge.yaml"
        given = {"datasets": [str(made / "two"), str(made / "two_v21")], "on_duplicate": "skip"}
        path.write_text(yaml.safe_dump({"dataset": [{"aggregator": given}]}))
        text = run_robotrove("plan", path).stdout
        assert "4 episodes of 2 datasets, 2 kept, 2 duplicate_episode" in text
        assert f"    episode 1: the same as episode 1 of {made / 'two'}" in text
        facts = json.loads(run_robotrove("plan", path, "--json").stdout)
        assert (facts["listed"], facts["kept"], facts["rejected"]) == (4, 2, {"duplicate_episode": 2})
        assert facts["frames"] == 10
        done = run_robotrove("run", path, "--output", tmp_path / "out")
        assert done.returncode == 0
        assert "listed 4 = kept 2 + rejected 2" in done.stdout
        status = json.loads(run_robotrove("status", tmp_path / "out.run", "--json").stdout)
        assert (status["listed"], status["kept"], status["rejected"]) == (4, 2, {"duplicate_episode": 2})

    def test_the_same_command_resumes(self, made: Path, tmp_path: Path) -> None:
        inputs: Sequence[Path] = [made / "two", made / "two_v21"]
        aggregate(inputs, tmp_path / "out", on_duplicate="skip")
        assert aggregate(inputs, tmp_path / "out", on_duplicate="skip").was_finished
