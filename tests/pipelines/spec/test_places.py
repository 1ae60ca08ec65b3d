"""Paths of pipeline files: relative to the file, with variables, and of the current folder by the rule before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from pwd import getpwnam
from typing import Any

import pytest

from robotrove.core.errors import ConfigError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.manifests.run_info import RunInfo
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline, spec_digest
from robotrove.tests.support.command import Outcome, robotrove  # noqa: F401 - a fixture

ROBOT = "name: r\nrobot_type: r\njoints: [{name: a, range_deg: [-1, 1], motor_range: [0, 1]}]\n"
SOURCE = "source: {files: [data/a.hdf5], layout: aloha}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; pipeline files are in another one, `home`."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def written(folder: Path, text: str) -> Path:
    (folder / "p.yaml").write_text(text)
    return folder / "p.yaml"


def test_every_key_is_relative_to_the_file(home: Path) -> None:
    (home / "my.yaml").write_text(ROBOT)
    (home / "list.json").write_text("[1]")
    (home / "modality.json").write_text('{"state": {}, "action": {}, "video": {}}')
    (home / "lab.yaml").write_text("partition: gpu\n")
    text = """\
source: {files: [data/*.hdf5, ../b.h5, /abs/c.h5, "hf://datasets/a/b/x.h5"], layout: aloha, follow: [cameras]}
steps:
  - joint_remapper: {robot: my.yaml}
  - unit_converter: {robot: so101}
  - episode_selector: {keep: list.json, drop: [0, demo_1]}
dataset: [downgrader, gr00t_files: {modality: modality.json}]
append_to: base
output: out/cubes
code: [blocks]
executor: {profile: lab.yaml}
"""
    spec = load_pipeline(written(home, text)).spec
    assert spec.source is not None
    files, follow = spec.source.arguments["files"], spec.source.arguments["follow"]
    assert files == [f"{home}/data/*.hdf5", str(home.parent / "b.h5"), "/abs/c.h5", "hf://datasets/a/b/x.h5"]
    assert follow == [f"{home}/cameras"]
    assert [step.arguments.get("robot") for step in spec.steps] == [f"{home}/my.yaml", "so101", None]
    assert (spec.steps[2].arguments["keep"], spec.steps[2].arguments["drop"]) == (f"{home}/list.json", [0, "demo_1"])
    assert spec.dataset[1].arguments["modality"] == f"{home}/modality.json"
    assert (spec.append_to, spec.output) == (f"{home}/base", f"{home}/out/cubes")
    assert spec.executor.arguments["partition"] == "gpu"
    assert spec.given == {
        "source.files[0]": "data/*.hdf5",
        "source.files[1]": "../b.h5",
        "source.follow[0]": "cameras",
        "steps[0].robot": "my.yaml",
        "steps[2].keep": "list.json",
        "dataset[1].modality": "modality.json",
    }
    merge = load_pipeline(written(home, "dataset: [aggregator: {datasets: [one, /abs/two]}]\n"))
    assert (merge.spec.datasets, merge.warnings) == ((f"{home}/one", "/abs/two"), ())


def test_a_file_behind_a_symlink_is_where_its_name_is(home: Path, here: Path) -> None:
    (here / "linked.yaml").symlink_to(written(home, SOURCE + "output: out\n"))
    assert load_pipeline(Path("linked.yaml")).spec.output == f"{here}/out"


def test_a_folder_with_a_pattern_in_its_name_is_none(tmp_path: Path) -> None:
    home = tmp_path / "run[1]*"
    write_sample("aloha", home / "data", episodes=1, frames=2)
    for pattern in ("data/*.hdf5", "data", "data/episode_0.hdf5"):
        path = written(home, f"source: {{files: [{pattern!r}], layout: aloha}}\n")
        assert [file.path for file in load_pipeline(path).reader.find()] == [home / "data/episode_0.hdf5"]


def test_the_command_line_python_and_shipped_pipelines_are_relative_to_the_current_folder(
    home: Path, here: Path
) -> None:
    path = written(home, SOURCE + "output: out\n")
    spec = load_pipeline(path, ["source.files=[x.h5, /abs/$y.h5]", "output=o", "source.follow=[$z]"]).spec
    assert spec.source is not None
    assert spec.source.arguments["files"] == [f"{here}/x.h5", "/abs/$y.h5"]  # the shell's variables, not the file's
    assert (spec.output, spec.source.arguments["follow"]) == (f"{here}/o", [f"{here}/$z"])
    assert spec.given == {"source.files[0]": "../here/x.h5", "source.follow[0]": "../here/$z"}
    spec = load_pipeline(Path("aloha"), ["source.files=[x.h5]"]).spec
    assert spec.source is not None
    assert (spec.source.arguments["files"], spec.given) == ([f"{here}/x.h5"], {"source.files[0]": "x.h5"})


@pytest.mark.parametrize("text", ["$DAY/a.hdf5", "${DAY}/a.hdf5", "~/rec/a.hdf5", "~root/a.hdf5", "in[$]DAY/a.hdf5"])
def test_home_folders_and_variables(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DAY", "/rec")
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = {
        "~": f"{tmp_path}/rec/a.hdf5",
        "~root": f"{getpwnam('root').pw_dir}/a.hdf5",
        "in[$]DAY": f"{home}/in[$]DAY/a.hdf5",
    }
    spec = load_pipeline(written(home, f"source: {{files: ['{text}'], layout: aloha}}\n")).spec
    assert spec.source is not None
    assert spec.source.arguments["files"] == [expected.get(text.split("/")[0], "/rec/a.hdf5")]
    assert spec.given == {"source.files[0]": text}


def test_a_variable_that_is_not_set_is_an_error_with_its_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    text = "source:\n  files: [a.h5, $NO_SUCH/b.h5]\n  layout: aloha\noutput: ${NO_SUCH}\n"
    with pytest.raises(ConfigError) as caught:
        load_pipeline(written(home, text + "executor: {profile: $NO_SUCH.yaml}\n"))
    told = "the variable NO_SUCH is not set; expected export NO_SUCH=FOLDER before the command"
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (2, f"source.files[1] (hdf5_reader): {told}"),
        (4, f"output: {told}"),
        (5, f"executor.profile: {told}"),
    ]


class TestOfTheCurrentFolder:
    """The rule of 0.2.2, for one version."""

    def test_a_path_that_only_the_current_folder_has_is_taken_with_a_warning(
        self,
        home: Path,
        here: Path,
        robotrove: Callable[..., Outcome],  # noqa: F811
    ) -> None:
        write_sample("aloha", here / "data", episodes=1, frames=2)
        path = written(home, "source: {files: ['data/*.hdf5'], layout: aloha, task: t}\noutput: out\n")
        found = robotrove("plan", path)
        assert found.code == 0
        assert found.err.splitlines()[0] == (
            f"warning: source.files[0]: {here}/data/*.hdf5 exists, and {home}/data/*.hdf5 does not; paths in a "
            "pipeline file are relative to the file, and the next version takes only these: write ../here/data/*.hdf5"
        )
        with pytest.warns(FutureWarning, match=r"source\.files\[0\]: .* exists, and"):
            pipeline = Pipeline.from_yaml(path)
        assert pipeline.spec.given == {"source.files[0]": "data/*.hdf5"}
        shutil.copytree(here / "data", home / "data")
        found = robotrove("plan", path)
        assert (found.code, "warning" in found.err) == (0, False)

    @pytest.mark.parametrize(("name", "is_old"), [("here/out", 1), ("here/out.run", 1), ("home/out.run", 0)])
    def test_an_output_counts_with_its_run_directory(self, home: Path, here: Path, name: str, is_old: bool) -> None:
        (here / "out.run").mkdir()
        (home.parent / name).mkdir(exist_ok=True)
        resolved = load_pipeline(written(home, SOURCE + "output: out\n"))
        assert (resolved.spec.output, len(resolved.warnings)) == (f"{here if is_old else home}/out", int(is_old))


@pytest.mark.parametrize("overrides", [[], ["source.files=[rec]", "steps[0].robot=bots/my.yaml"]])
def test_the_digest_does_not_depend_on_where_the_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    (tmp_path / "home/bots").mkdir()
    (tmp_path / "home/bots/my.yaml").write_text(ROBOT)
    (tmp_path / "home/rec").mkdir()
    text = "source: {files: [rec/], layout: aloha, follow: [more]}\nsteps: [joint_remapper: {robot: bots/my.yaml}]\n"
    written(tmp_path / "home", text)
    found = []
    for folder in (tmp_path / "home", tmp_path / "moved" / "away"):
        if not folder.exists():
            folder.parent.mkdir()
            (tmp_path / "home").rename(folder)
        monkeypatch.chdir(folder)
        spec = load_pipeline(folder / "p.yaml", overrides).spec
        assert spec.steps[0].arguments["robot"] == f"{folder}/bots/my.yaml"
        found.append(spec_digest(spec, "1"))
    assert found[0] == found[1]
    (folder / "bots/my.yaml").write_text(ROBOT + "# changed\n")
    assert spec_digest(load_pipeline(folder / "p.yaml", overrides).spec, "1") != found[0]


def test_a_run_of_a_moved_folder_has_the_same_digest_and_the_frozen_file_resumes(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    robotrove: Callable[..., Outcome],  # noqa: F811
) -> None:
    write_sample("aloha", home / "data", episodes=2, frames=2, height=48, width=48, cameras=("front",))
    text = "source: {files: [$DAY], layout: aloha, task: t}\nwriter: {video: {codec: libx264}}\noutput: out/cubes\n"
    path = written(home, text)
    monkeypatch.setenv("DAY", "data")
    digests: list[Any] = []
    for place in (path, tmp_path / "moved" / "p.yaml"):
        if not place.exists():
            home.rename(place.parent)
            shutil.rmtree(place.parent / "out")
        assert robotrove("run", place, "--workers", 1).code == 0
        digests.append(RunInfo.read(place.parent / "out/cubes.run/run.json").digest)
    assert digests[0] == digests[1]
    monkeypatch.delenv("DAY")  # nothing of the frozen file is expanded again
    frozen = place.parent / "out/cubes.run/pipeline.yaml"
    again = robotrove("run", frozen, "--output", place.parent / "out/cubes", "--json")
    assert (again.code, again.json["was_finished"]) == (0, True)
    shutil.copy(frozen, tmp_path / "copy.yaml")  # a pipeline file as any other
    assert robotrove("plan", tmp_path / "copy.yaml", "--json").json["kept"] == 2
