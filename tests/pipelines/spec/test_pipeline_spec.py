from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from robotrove.core.errors import UsageError
from robotrove.core.workspace import Workspace
from robotrove.core.yaml_source import dump_yaml, read_yaml
from robotrove.pipelines.spec.arguments import BlockSpec
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import code_digest, load_frozen, load_pipeline, spec_digest
from robotrove.tests.support.blocks import sample_blocks

pytestmark = pytest.mark.usefixtures("sample_registry")
SAMPLES = sample_blocks.__name__

TWELVE_LINES = """\
source: {files: ["data/*.hdf5"], layout: robomimic}
steps:
  - success_filter
  - {use: length_filter, min_length: 20}
  - length_filter: {max_length: 1_000}
  - length_filter:
writer: {robot_type: so101_follower}
output: out/my_dataset
workers: 4
executor: local
"""


def load(tmp_path: Path, text: str, *overrides: str) -> PipelineSpec:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    return load_pipeline(path, overrides).spec


def test_a_plain_file_gives_every_argument_in_full(tmp_path: Path) -> None:
    spec = load(tmp_path, TWELVE_LINES)
    assert spec == PipelineSpec(
        source=BlockSpec(
            "hdf5_reader", {"files": ["data/*.hdf5"], "layout": "robomimic", "columns": None, "fps": None}
        ),
        steps=(
            BlockSpec("success_filter", {}),
            BlockSpec("length_filter", {"min_length": 20, "max_length": None}),
            BlockSpec("length_filter", {"min_length": 1, "max_length": 1000}),
            BlockSpec("length_filter", {"min_length": 1, "max_length": None}),
        ),
        writer=BlockSpec("shard_writer", {"robot_type": "so101_follower", "video": {"codec": "libsvtav1", "crf": 30}}),
        dataset=(BlockSpec("aggregator", {"datasets": None}), BlockSpec("dataset_stats", {})),
        formats=("v3.0",),
        on_error="reject",
        output=str(tmp_path / "out/my_dataset"),
        workers=4,
        executor=BlockSpec("local"),
        code=(),
    )


def test_the_frozen_form_has_a_fixed_order_and_is_read_back_equal(tmp_path: Path) -> None:
    spec = load(tmp_path, TWELVE_LINES)
    text = spec.to_yaml()
    assert list(yaml.safe_load(text)) == [
        "source", "steps", "writer", "dataset", "formats", "on_error", "output", "workers", "executor", "code",
    ]  # fmt: skip
    assert text.startswith("source:\n  use: hdf5_reader\n  files:\n  - data/*.hdf5\n  layout: robomimic\n")
    again = PipelineSpec.from_yaml(text)
    assert again == spec
    assert again.to_yaml() == text


def test_full_forms_of_source_and_writer_mean_the_same_as_the_defaults(tmp_path: Path) -> None:
    short = load(tmp_path, "source: {files: [a]}\nwriter: {robot_type: x}\n")
    full = load(
        tmp_path, "source: {use: hdf5_reader, files: [a]}\nsteps:\nwriter: {use: shard_writer, robot_type: x}\n"
    )
    assert short == full
    assert short.steps == ()


def test_texts_that_look_like_something_else_survive_freezing() -> None:
    values = [
        "1e-3",
        "yes",
        "no",
        "null",
        "010",
        "1:30",
        "2024-01-01",
        "0x1F",
        "3",
        "~",
        "",
        "true",
        "a: b",
        "ä\n",
        ".5",
    ]
    text = dump_yaml({"values": values, "numbers": [1e-5, 0.001, 3.0, -2, float("inf")]})
    node, problems = read_yaml(text, "test")
    assert node is not None
    assert problems == []
    assert node.plain() == {"values": values, "numbers": [1e-5, 0.001, 3.0, -2, float("inf")]}
    assert yaml.safe_load(text)["values"] == values, "readers of YAML 1.1 must see the same texts"


def test_plain_scalars_are_those_of_yaml_1_2() -> None:
    node, _ = read_yaml("[no, on, 1e-3, 1:30, 2024-01-01, 010, true, 1_000, ~]", "test")
    assert node is not None
    assert node.plain() == ["no", "on", 0.001, "1:30", "2024-01-01", "010", True, 1000, None]


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("steps[1].min_length=30", (1, "min_length"), 30),
        ("steps.1.max_length=40", (1, "max_length"), 40),
        ("steps[2].max_length=50", (2, "max_length"), 50),
        ("steps[3].min_length=6", (3, "min_length"), 6),
    ],
)
def test_overrides_reach_steps_however_they_are_written(
    tmp_path: Path, override: str, place: tuple[int, str], value: int
) -> None:
    spec = load(tmp_path, TWELVE_LINES, override)
    assert spec.steps[place[0]].arguments[place[1]] == value


def test_overrides_reach_nested_keys_and_new_ones(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        TWELVE_LINES,
        "source.files[0]=other.hdf5",
        'source.columns["observation.state"].from=obs/joint_pos',
        "writer.video.crf=18",
        "steps[0]={use: length_filter, max_length: 9}",
        "on_error=stop",
        "output=a=b",
    )
    assert spec.source.arguments["files"] == ["other.hdf5"]
    assert spec.source.arguments["columns"] == {
        "observation.state": {"from": "obs/joint_pos", "slice": None, "scale": 1.0}
    }
    assert spec.writer.arguments["video"] == {"codec": "libsvtav1", "crf": 18}
    assert spec.steps[0] == BlockSpec("length_filter", {"min_length": 1, "max_length": 9})
    assert (spec.on_error, spec.output) == ("stop", str(Path("a=b").absolute()))


def test_differences_are_sentences(tmp_path: Path) -> None:
    old = load(tmp_path, TWELVE_LINES, "steps[1].min_length=10", "source.columns={a: x, b: y}", "workers=1")
    new = load(tmp_path, TWELVE_LINES, "source.files=[a, b]", "writer.video.crf=18", "on_error=stop")
    columns = '{"a": {"from": "x", "slice": null, "scale": 1.0}, "b": {"from": "y", "slice": null, "scale": 1.0}}'
    assert new.differences(old) == [
        'source.files[1]: "b" is new',
        'source.files[0]: "a" was "data/*.hdf5"',
        f"source.columns: null was {columns}",
        "steps[1].min_length: 20 was 10",
        "writer.video.crf: 18 was 30",
        'on_error: "stop" was "reject"',
    ]
    assert new.differences(new) == []


def test_differences_name_changed_added_and_removed_steps(tmp_path: Path) -> None:
    one = load(tmp_path, "source: {files: [a]}\nsteps: [success_filter, length_filter]\nwriter: {robot_type: x}\n")
    two = load(tmp_path, "source: {files: [a]}\nsteps: [length_filter]\nwriter: {robot_type: x}\n")
    assert two.differences(one) == ["steps[1]: length_filter is missing", "steps[0]: length_filter was success_filter"]
    assert one.differences(two) == ["steps[1]: length_filter is new", "steps[0]: success_filter was length_filter"]


def test_the_order_of_keys_is_content(tmp_path: Path) -> None:
    one = load(tmp_path, "source: {files: [a], columns: {a: x, b: x}}\nwriter: {robot_type: x}\n")
    two = load(tmp_path, "source: {columns: {b: x, a: x}, files: [a]}\nwriter: {robot_type: x}\n")
    assert one.differences(two) == ["source.columns: keys in the order a, b were b, a"]
    assert spec_digest(one, "1") != spec_digest(two, "1")


def test_the_digest_covers_what_makes_the_dataset_and_nothing_else(tmp_path: Path) -> None:
    spec = load(tmp_path, TWELVE_LINES)
    digest = spec_digest(spec, "0.1.0")
    assert spec_digest(replace(spec, workers=9, output="elsewhere", executor="other", code=("/x",)), "0.1.0") == digest
    assert spec_digest(spec, "0.2.0") != digest
    assert spec_digest(replace(spec, on_error="stop"), "0.1.0") != digest
    assert spec_digest(load(tmp_path, TWELVE_LINES, "steps[1].min_length=21"), "0.1.0") != digest
    explicit = load(tmp_path, TWELVE_LINES, "steps[3].min_length=1", "writer.video.crf=30")
    assert spec_digest(explicit, "0.1.0") == digest, "a default written out is no other pipeline"


OUTSIDE = """\
from robotrove.blocks.episode_step import EpisodeFilter

class DeburrFilter(EpisodeFilter):
    def __init__(self, *, depth: int = 3) -> None:
        super().__init__()
        self.depth = depth

    def reject(self, ep):
        return None
"""


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder with a pipeline and, beside it, a package of outside code."""
    package = tmp_path / "project" / "my_lab_of_test_spec"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "blocks.py").write_text(OUTSIDE)
    yield package.parent
    for name in [name for name in sys.modules if name.startswith("my_lab_of_test_spec")]:
        del sys.modules[name]


OUTSIDE_PIPELINE = """\
source: {files: [a]}
steps: ["my_lab_of_test_spec.blocks:DeburrFilter"]
writer: {robot_type: x}
"""


def test_outside_code_is_found_beside_the_file_and_later_through_the_frozen_form(outside: Path) -> None:
    spec = load(outside, OUTSIDE_PIPELINE)
    assert spec.steps == (BlockSpec("my_lab_of_test_spec.blocks:DeburrFilter", {"depth": 3}),)
    assert spec.code == (str(outside.resolve()),)
    for name in [name for name in sys.modules if name.startswith("my_lab_of_test_spec")]:
        del sys.modules[name]
    sys.path.remove(str(outside))
    workspace = Workspace.for_output(outside / "made")
    workspace.run_dir.mkdir()
    workspace.pipeline.write_text(spec.to_yaml(), encoding="utf-8")
    again = load_frozen(workspace)
    assert again.spec == spec
    assert again.steps[0].depth == 3


def test_outside_code_is_found_in_the_current_folder_and_in_code_folders(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UsageError, match="No module named 'my_lab_of_test_spec'; looked in what is installed, "):
        load(elsewhere, OUTSIDE_PIPELINE)
    assert load(elsewhere, OUTSIDE_PIPELINE + "code: [../project]\n").code == (str(outside.resolve()),)
    sys.path.remove(str(outside))
    for name in [name for name in sys.modules if name.startswith("my_lab_of_test_spec")]:
        del sys.modules[name]
    monkeypatch.chdir(outside)
    assert load(elsewhere, OUTSIDE_PIPELINE).code == (str(outside.resolve()),)


def test_the_source_of_outside_code_is_part_of_the_digest(outside: Path) -> None:
    spec = load(outside, OUTSIDE_PIPELINE)
    before = code_digest(spec), spec_digest(spec, "1")
    assert code_digest(spec) == before[0]
    with (outside / "my_lab_of_test_spec" / "blocks.py").open("a") as file:
        file.write("# another depth\n")
    assert code_digest(spec) != before[0]
    assert spec_digest(spec, "1") != before[1]


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").touch()
    with pytest.raises(UsageError) as caught:
        load_pipeline(tmp_path / "pipline.yaml")
    assert "cannot be read: No such file or directory" in str(caught.value)
    assert f"did you mean {tmp_path / 'pipeline.yaml'}?" in str(caught.value)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UsageError, match=r"is not text in UTF-8 \(byte 0\)"):
        load_pipeline(tmp_path / "a.hdf5")
