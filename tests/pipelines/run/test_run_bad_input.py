"""Bad input: each case has a reason and a sentence, and costs nothing but itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.formats.hdf5.samples.pictures import read_marker
from robotrove.formats.hdf5.samples.sample_spec import action, state
from robotrove.media.image.images import encode_jpeg
from robotrove.media.video.probe import iter_frames
from robotrove.tests.support.pipelines.runs import (
    quick_disk,  # noqa: F401 - autouse
    run_cli,
    run_here,
    sample,
    write_pipeline,
)

pytestmark = pytest.mark.slow


FRAMES = 12
JOINTS = 7


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    report: dict[str, Any]
    output: Path

    @property
    def rejected(self) -> dict[tuple[str, str], dict[str, Any]]:
        lines = (self.output.with_name(f"{self.output.name}.run") / "rejected.jsonl").read_text().splitlines()
        return {(line["source"], line["key"]): line for line in map(json.loads, lines)}

    def column(self, name: str) -> np.ndarray:
        table = pq.read_table(self.output / "data/chunk-000/file-000.parquet")
        return np.array(table.column(name).to_pylist())

    def origins(self) -> list[tuple[str, str]]:
        rows = pq.read_table(self.output / "meta/robotrove/episodes.parquet").to_pylist()
        return [(row["source_name"], row["source_key"]) for row in rows]

    def check_balance(self) -> None:
        report = self.report
        assert report["listed"] == report["kept"] + sum(report["rejected"].values())
        assert report["kept"] == len(self.origins())
        assert len(self.rejected) == sum(report["rejected"].values())

    def check_frames(self, camera: str, numbers: list[int], camera_number: int = 0) -> None:
        path = self.output / f"videos/{camera}/chunk-000/file-000.mp4"
        assert [read_marker(frame) for frame in iter_frames(path)] == [(number, camera_number) for number in numbers]


def _run(pipeline: Path, output: Path) -> Outcome:
    run_here(pipeline, output)
    return Outcome(json.loads((output.with_name(f"{output.name}.run") / "report.json").read_text()), output)


def _demo(path: Path, **changes: Any) -> Path:
    """Change the first demo of a file: path of a dataset to its new rows, or None to leave it out."""
    with h5py.File(path, "r+") as file:
        for name, rows in changes.items():
            del file["data/demo_0"][name]
            if rows is not None:
                file["data/demo_0"][name] = rows
    return path


# File of two demos, of which the first is bad → (reason, words of the sentence).
BROKEN_DEMOS = {
    "no_actions.hdf5": ("missing_dataset", ["actions"]),
    "no_state.hdf5": ("missing_dataset", ["joint_pos"]),
    "unequal.hdf5": ("unequal_lengths", ["action 11", "observation.state 12"]),
    "no_rows.hdf5": ("empty_episode", ["0 rows"]),
    "nan.hdf5": ("non_finite", ["observation.state", "nan", "row 5", "joint_pos_3"]),
    "inf.hdf5": ("non_finite", ["action", "-inf", "row 11", "actions_0"]),
    "too_large.hdf5": ("non_finite", ["action", "inf", "row 2", "actions_6"]),
    "joints.hdf5": ("feature_mismatch", ["observation.state", "float32[5]", "float32[7]"]),
    "other_size.hdf5": ("feature_mismatch", ["observation.images.front", "64x48", "48x48"]),
    "dangling.hdf5": ("missing_dataset", ["data/demo_0"]),
}

# File without a usable episode → (reason, words of the sentence).
BROKEN_FILES = {
    "text.hdf5": ("not_hdf5", ["text.hdf5"]),
    "lfs.hdf5": ("not_hdf5", ["git lfs pull"]),
    "truncated.hdf5": ("truncated_file", ["bytes"]),
    "empty.hdf5": ("empty_file", ["0 bytes"]),
    "busy.hdf5": ("being_written", ["rerun when the recording is closed"]),
    "absent.hdf5": ("missing_file", ["does not exist"]),
    "bare.hdf5": ("no_episodes", ["data"]),
}

ODD_NAMES = ["demo_0", "..", "a b", "dému_é", "日本", "x'; rm -rf", "CON", "-rf", "demo_10", "demo_2"]


def _write_broken_demos(folder: Path) -> None:
    for number, name in enumerate(BROKEN_DEMOS):
        sample(folder, name, 2, FRAMES, seed=10 + number)
    rows = state(0, FRAMES, JOINTS)
    bad = {value: rows.astype(np.float64) for value in ("nan", "inf", "large")}
    bad["nan"][5, 3] = bad["nan"][7, 1] = np.nan
    bad["inf"][11, 0] = -np.inf
    bad["large"][2, 6] = 1e39  # finite as float64, not as float32
    _demo(folder / "no_actions.hdf5", actions=None)
    _demo(folder / "no_state.hdf5", **{"obs/joint_pos": None})
    _demo(folder / "unequal.hdf5", actions=rows[:-1])
    _demo(
        folder / "no_rows.hdf5",
        **{"actions": rows[:0], "obs/joint_pos": rows[:0], "obs/front": np.zeros((0, 48, 48, 3), np.uint8)},
    )
    _demo(folder / "nan.hdf5", **{"obs/joint_pos": bad["nan"]})
    _demo(folder / "inf.hdf5", actions=bad["inf"])
    _demo(folder / "too_large.hdf5", actions=bad["large"])
    _demo(folder / "joints.hdf5", **{"obs/joint_pos": rows[:, :5]})
    _demo(folder / "other_size.hdf5", **{"obs/front": np.zeros((FRAMES, 64, 48, 3), np.uint8)})
    with h5py.File(folder / "dangling.hdf5", "r+") as file:
        del file["data/demo_0"]
        file["data/demo_0"] = h5py.SoftLink("/nowhere")


def _write_broken_files(folder: Path) -> None:
    (folder / "text.hdf5").write_text("frame,joint\n")
    (folder / "lfs.hdf5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    whole = sample(folder, "truncated.hdf5", 2, FRAMES, seed=40)
    os.truncate(whole, whole.stat().st_size // 2)
    (folder / "empty.hdf5").touch()
    with h5py.File(folder / "bare.hdf5", "w") as file:
        file["other"] = 1


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One run over one healthy file and every kind of bad one."""
    folder = tmp_path_factory.mktemp("bad")
    data = folder / "data"
    healthy = sample(data, "healthy.hdf5", 3, FRAMES, seed=3)
    shutil.copy(healthy, data / "zz_copy.hdf5")
    with h5py.File(sample(data, "names.hdf5", 1, FRAMES, seed=4), "r+") as file:
        for name in ODD_NAMES[1:]:
            file.copy("data/demo_0", file["data"], name)
    _write_broken_demos(data)
    _write_broken_files(data)
    busy = sample(data, "busy.hdf5", 1, FRAMES, seed=50)
    code = f"import h5py, sys; f = h5py.File({str(busy)!r}, 'r+'); print(1, flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    pipeline = write_pipeline(folder, [data / "*.hdf5", data / "absent.hdf5"])
    try:
        yield _run(pipeline, folder / "out")
    finally:
        holder.communicate(b"")


class TestOneRunWithEverything:
    def test_the_books_balance(self, outcome: Outcome) -> None:
        outcome.check_balance()
        n_bad = len(BROKEN_DEMOS) + len(BROKEN_FILES)
        assert outcome.report["kept"] == 3 + len(ODD_NAMES) + len(BROKEN_DEMOS)
        assert sum(outcome.report["rejected"].values()) == n_bad + 3
        assert outcome.report["errors"] == n_bad + 3

    @pytest.mark.parametrize("name", BROKEN_DEMOS)
    def test_a_bad_demo_costs_only_itself(self, outcome: Outcome, name: str) -> None:
        reason, words = BROKEN_DEMOS[name]
        line = outcome.rejected[name, "data/demo_0"]
        assert line["reason"] == reason
        assert line["error"] is True
        for word in words:
            assert word in line["detail"]
        assert (name, "data/demo_1") in outcome.origins()

    @pytest.mark.parametrize("name", BROKEN_FILES)
    def test_a_bad_file_is_one_line(self, outcome: Outcome, name: str) -> None:
        reason, words = BROKEN_FILES[name]
        line = outcome.rejected[name, ""]
        assert (line["reason"], line["error"]) == (reason, True)
        for word in words:
            assert word in line["detail"]

    def test_a_copy_of_a_file_is_told_with_its_original(self, outcome: Outcome) -> None:
        for number in range(3):
            line = outcome.rejected["zz_copy.hdf5", f"data/demo_{number}"]
            assert line["reason"] == "duplicate_episode"
            assert f"healthy.hdf5:data/demo_{number}" in line["detail"]

    def test_names_of_groups_are_names_and_never_paths(self, outcome: Outcome) -> None:
        found = [key for source, key in outcome.origins() if source == "names.hdf5"]
        assert sorted(found) == sorted(f"data/{name}" for name in ODD_NAMES)
        places = [found.index(f"data/demo_{number}") for number in (0, 2, 10)]
        assert places == sorted(places), "natural order"
        paths = [path.relative_to(outcome.output).as_posix() for path in outcome.output.rglob("*")]
        assert all(path.isascii() and ".." not in path for path in paths)

    def test_the_values_of_the_healthy_are_those_of_the_files(self, outcome: Outcome) -> None:
        episodes = outcome.column("episode_index")
        for number, (source, key) in enumerate(outcome.origins()):
            with h5py.File(outcome.output.parent / "data" / source) as file:
                rows = episodes == number
                np.testing.assert_array_equal(
                    outcome.column("observation.state")[rows].astype(np.float32), file[key]["obs/joint_pos"][:]
                )
                np.testing.assert_array_equal(
                    outcome.column("action")[rows].astype(np.float32), file[key]["actions"][:]
                )
        first = [index for index, (source, _) in enumerate(outcome.origins()) if source == "healthy.hdf5"]
        np.testing.assert_array_equal(
            outcome.column("action")[episodes == first[0]].astype(np.float32), action(0, FRAMES, JOINTS, seed=3)
        )

    def test_the_frames_of_the_healthy_are_in_order(self, outcome: Outcome) -> None:
        outcome.check_frames("observation.images.front", list(range(FRAMES)) * outcome.report["kept"])


def test_a_folder_with_the_name_of_a_file_is_searched(tmp_path: Path) -> None:
    (tmp_path / "folder.hdf5").mkdir()
    inner = sample(tmp_path, "inner.hdf5", 1, 3)
    inner.rename(tmp_path / "folder.hdf5" / "inner.hdf5")
    found = _run(write_pipeline(tmp_path, [tmp_path / "folder.hdf5"]), tmp_path / "out")
    assert found.origins() == [("inner.hdf5", "data/demo_0")]


class TestImages:
    """JPEG rows, which only encoding looks at."""

    @pytest.fixture(scope="class")
    @classmethod
    def jpegs(cls, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
        folder = tmp_path_factory.mktemp("jpeg")
        [path] = write_sample("piper", folder, episodes=7, frames=8, height=48, width=64, cameras=("top", "side"))
        with h5py.File(path, "r+") as file:
            whole = bytes(file["episode_1/image_top"][4])
            file["episode_1/image_top"][4] = np.frombuffer(whole[: len(whole) // 2], np.uint8)
            file["episode_2/image_side"][3] = np.frombuffer(b"GIF89a, no JPEG", np.uint8)
            file["episode_3/image_top"][6] = np.frombuffer(encode_jpeg(np.zeros((64, 64, 3), np.uint8)), np.uint8)
            file["episode_4/image_top"][0] = np.zeros(0, np.uint8)
            file["episode_5/image_top"][0] = np.frombuffer(b"not an image at all", np.uint8)
        return _run(write_pipeline(folder, [path], "piper"), folder / "out")

    @pytest.mark.parametrize(
        ("episode", "reason", "words"),
        [
            (1, "bad_image", ["image_top", "row 4", "ff d8"]),
            (2, "bad_image", ["image_side", "row 3", "47 49 46"]),
            (3, "image_size_changed", ["row 6", "64x64", "48x64"]),
            (4, "bad_image", ["row 0", "nothing"]),
            (5, "bad_image", ["row 0"]),
        ],
    )
    def test_the_row_is_named(self, jpegs: Outcome, episode: int, reason: str, words: list[str]) -> None:
        line = jpegs.rejected["piper.hdf5", f"episode_{episode}"]
        assert (line["reason"], line["error"]) == (reason, True)
        for word in words:
            assert word in line["detail"]

    def test_the_others_are_whole(self, jpegs: Outcome) -> None:
        jpegs.check_balance()
        assert jpegs.origins() == [("piper.hdf5", "episode_0"), ("piper.hdf5", "episode_6")]
        for number, camera in enumerate(("top", "side")):
            jpegs.check_frames(f"observation.images.{camera}", [*range(8), *range(8)], number)
        np.testing.assert_array_equal(
            jpegs.column("observation.state").astype(np.float32),
            np.concatenate([state(0, 8, 14), state(6, 8, 14)]),
        )

    @pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
    def test_odd_sizes_are_refused_by_h264_and_kept_by_av1(self, tmp_path: Path, codec: str) -> None:
        odd = sample(tmp_path, "odd.hdf5", 1, 4, height=49, width=51)
        pipeline = write_pipeline(tmp_path, [odd], writer={"video": {"codec": codec}})
        if codec == "libsvtav1":
            found = _run(pipeline, tmp_path / "out")
            [frame, *_] = iter_frames(tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4")
            assert frame.shape == (49, 51, 3)
            found.check_frames("observation.images.front", [0, 1, 2, 3])
            return
        with pytest.raises(UsageError) as caught:
            run_here(pipeline, tmp_path / "out")
        assert "odd_image_size" in str(caught.value)
        assert "51x49" in str(caught.value)
        assert "image_resizer: {pad: even}" in str(caught.value)
        padded = write_pipeline(tmp_path, [odd], steps=[{"image_resizer": {"pad": "even"}}])
        _run(padded, tmp_path / "padded").check_frames("observation.images.front", [0, 1, 2, 3])


class TestNames:
    def test_a_camera_that_cannot_be_a_folder_is_refused_with_the_way_on(self, tmp_path: Path) -> None:
        for number, name in enumerate(("front cam", "a..b", "front;x")):
            path = sample(tmp_path, f"odd{number}.hdf5", 1, 3, seed=number)
            with h5py.File(path, "r+") as file:
                file.move("data/demo_0/obs/front", f"data/demo_0/obs/{name}")
        files = [tmp_path / f"odd{number}.hdf5" for number in range(3)]
        good = sample(tmp_path, "good.hdf5", 1, 3, seed=9)
        found = _run(write_pipeline(tmp_path, [*files, good]), tmp_path / "out")
        found.check_balance()
        for file in files:
            line = found.rejected[file.name, "data/demo_0"]
            assert line["reason"] == "bad_feature_name"
            assert "columns:" in line["detail"]
        assert found.origins() == [("good.hdf5", "data/demo_0")]

    @pytest.mark.parametrize("name", ["timestamp", "index", "task_index", "task"])
    def test_a_step_cannot_add_what_lerobot_has_itself(self, tmp_path: Path, name: str) -> None:
        files = [sample(tmp_path, "good.hdf5", 1, 3)]
        for number, step in enumerate(
            ({"annotator": {"columns": [name]}}, {"column_adder": {"columns": {name: {"value": 1}}}})
        ):
            (tmp_path / str(number)).mkdir()
            with pytest.raises(UsageError, match=f"bad_feature_name: '{name}' is what LeRobot itself has"):
                run_here(write_pipeline(tmp_path / str(number), files, steps=[step]), tmp_path / "out")

    def test_joints(self, tmp_path: Path) -> None:
        good = sample(tmp_path, "good.hdf5", 1, 3)
        short = _demo(
            sample(tmp_path, "short.hdf5", 1, 3, seed=1),
            **{"obs/joint_pos": state(0, 3, 6, seed=1), "actions": action(0, 3, 6, seed=1)},
        )
        names = [f"j{number}" for number in range(7)]
        remap = {"joint_remapper": {"source_names": names, "order": [*names[::-1]]}}
        found = _run(write_pipeline(tmp_path, [good, short], steps=[remap]), tmp_path / "out")
        line = found.rejected["short.hdf5", "data/demo_0"]
        assert line["reason"] == "wrong_joint_count"
        assert "6 entries, expected 7" in line["detail"]
        np.testing.assert_array_equal(found.column("observation.state").astype(np.float32), state(0, 3, 7)[:, ::-1])

    def test_an_unknown_joint_is_told_with_the_nearest(self, tmp_path: Path) -> None:
        good = sample(tmp_path, "good.hdf5", 1, 3)
        remap = {"joint_remapper": {"source_names": [*"abcdef", "gripper"], "order": ["griper"]}}
        with pytest.raises(UsageError) as caught:
            run_here(write_pipeline(tmp_path, [good], steps=[remap]), tmp_path / "out")
        assert "unknown_joint" in str(caught.value)
        assert "did you mean 'gripper'?" in str(caught.value)

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        """HDF5 and Linux take any bytes for a name."""
        path = sample(tmp_path, "good.hdf5", 2, 3)
        with h5py.File(path, "r+") as file:
            file["data"].move("demo_0", b"demo_\xff\xfe")
            file["data"].attrs["env_args"] = b'{"env_name": "caf\xe9"}'
        odd = os.fsencode(tmp_path) + b"/\xe9.hdf5"
        os.rename(sample(tmp_path, "odd.hdf5", 1, 3, seed=1), odd)
        found = _run(write_pipeline(tmp_path, [tmp_path / "*.hdf5"]), tmp_path / "out")
        found.check_balance()
        assert found.origins() == [("good.hdf5", "data/demo_1")]
        assert {(*key, line["reason"]) for key, line in found.rejected.items()} == {
            ("good.hdf5", "data/demo_\\xff\\xfe", "missing_dataset"),
            ("\\udce9.hdf5", "data/demo_0", "bad_name"),
        }
        assert found.output.joinpath("meta/tasks.parquet").exists()


class TestExitCodes:
    """As a user meets them: exit code, one clear text, no traceback."""

    def test_0_when_filters_alone_rejected(self, tmp_path: Path) -> None:
        path = sample(tmp_path, "a.hdf5", 3, 4)  # the last one failed
        done = run_cli(write_pipeline(tmp_path, [path], steps=["success_filter"]), tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert "listed 3 = kept 2 + rejected 1" in done.stdout
        assert "1 not_successful" in done.stdout

    def test_1_when_episodes_were_bad_and_the_rest_is_complete(self, tmp_path: Path) -> None:
        good = sample(tmp_path, "good.hdf5", 2, 4)
        (tmp_path / "bad.hdf5").write_bytes(b"x")
        pipeline = write_pipeline(tmp_path, [good, tmp_path / "bad.hdf5"])
        done = run_cli(pipeline, tmp_path / "out", "--json")
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert (report["listed"], report["kept"], report["errors"]) == (3, 2, 1)
        assert run_cli(pipeline, tmp_path / "out").returncode == 1, "it is as incomplete as before"

    def test_2_when_nothing_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "bad.hdf5").write_bytes(b"x")
        done = run_cli(write_pipeline(tmp_path, [tmp_path / "bad.hdf5"]), tmp_path / "out")
        assert done.returncode == 2
        assert "none of 1 episodes can be kept" in done.stderr
        assert "not_hdf5" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()

    def test_2_when_a_pattern_matches_nothing(self, tmp_path: Path) -> None:
        done = run_cli(write_pipeline(tmp_path, [tmp_path / "*.hdf5"]), tmp_path / "out")
        assert done.returncode == 2
        assert "matches no file" in done.stderr

    def test_2_for_mistakes_in_the_file_all_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            "source: {files: [a.hdf5], layout: isaaclabb}\n"
            "stepps: []\n"
            "steps:\n"
            "- length_filter: {min_length: many}\n"
            "- success_filtre\n"
            "writer: {video: {codec: libx264, crf: 99}}\n"
        )
        done = run_cli(path, tmp_path / "out")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        for text in (":2: ", "'steps'", ":4: ", "min_length", ":5: ", "did you mean 'success_filter'", "crf"):
            assert text in done.stderr
        assert list(tmp_path.iterdir()) == [path], "nothing is touched"

    def test_2_for_an_output_that_exists(self, tmp_path: Path) -> None:
        path = sample(tmp_path, "a.hdf5", 1, 4)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes").write_text("mine")
        done = run_cli(write_pipeline(tmp_path, [path]), tmp_path / "out")
        assert done.returncode == 2
        assert "already exists and is not the output of this run" in done.stderr
        assert (tmp_path / "out" / "notes").read_text() == "mine"

    def test_2_for_a_disk_that_is_read_only(self, tmp_path: Path) -> None:
        path = sample(tmp_path, "a.hdf5", 1, 4)
        mount = tmp_path / "disk"
        mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(mount)], capture_output=True, text=True)
        if done.returncode:
            if os.environ.get("CI"):
                pytest.fail(f"a tmpfs must be mountable in CI: {done.stderr}")
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        try:
            run = run_cli(write_pipeline(tmp_path, [path]), mount / "out")
        finally:
            subprocess.run(["umount", str(mount)], check=True)
        assert run.returncode == 2
        assert "Traceback" not in run.stderr
        assert str(mount) in run.stderr


def test_damage_anywhere_in_a_file_is_never_a_crash(tmp_path: Path) -> None:
    """Bytes overwritten at random places: planning and running go on, and the books balance."""
    dice = np.random.default_rng(11)
    good = sample(tmp_path, "good.hdf5", 1, 6, seed=99)
    whole = sample(tmp_path, "whole", 2, 6, compression="gzip")
    content = whole.read_bytes()
    files = [good]
    for number in range(40):
        damaged = bytearray(content)
        for _ in range(dice.integers(1, 6)):
            start = int(dice.integers(8, len(content)))
            size = int(dice.choice([1, 4, 64, 512]))
            damaged[start : start + size] = dice.bytes(len(damaged[start : start + size]))
        files.append(tmp_path / f"damaged{number}.hdf5")
        files[-1].write_bytes(damaged)
    found = _run(write_pipeline(tmp_path, files), tmp_path / "out")
    found.check_balance()
    assert ("good.hdf5", "data/demo_0") in found.origins()
    assert sum(found.report["rejected"].values()) > 10
    assert "dropped_by_step" not in found.report["rejected"]
