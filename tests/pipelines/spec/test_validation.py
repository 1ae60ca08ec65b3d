from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from robotrove.core.errors import ConfigError
from robotrove.core.yaml_source import read_yaml
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.blocks import sample_blocks

SAMPLES = sample_blocks.__name__
Mistakes = Callable[..., list[tuple[int, str]]]

ALL_WRONG = """\
# line 1
source:
  file: ["data/*.hdf5"]
  layout: robomimik
  layout: isaaclab
  fps: fast
steps:
  - sucess_filter
  - use: length_filter
    min_lenght: 20
    max_length: "30"
  - length_filter: {min_length: true}
  - length_filter: 3
  - length_filter:
    min_length: 3
  - [success_filter]
  - length_filter: {min_length: 9, max_length: 3}
  - hdf5_reader
  - aggregator
  - {min_length: 3}
writer:
  use: shard_writer
  video:
    codec: libx265
    crf: 18.5
    g: 2
formats: [v2.2]
onerror: stop
workers: 0
executor: slrum
"""


def test_all_mistakes_of_a_file_at_once_each_with_its_line(mistakes_in: Mistakes) -> None:
    blocks = "hdf5_reader, shard_writer, success_filter, length_filter, aggregator, dataset_stats, downgrader"
    step_form = "expected a name, {use: name, …} or name: {…}"
    assert mistakes_in(ALL_WRONG) == [
        (2, "source.files (hdf5_reader): missing, expected a list of texts"),
        (
            3,
            "source.file (hdf5_reader): no such argument (did you mean 'files'?); "
            "arguments: files, layout, columns, fps",
        ),
        (
            4,
            "source.layout (hdf5_reader): found the text 'robomimik', expected one of 'isaaclab', 'robomimic' "
            "(did you mean 'robomimic'?)",
        ),
        (5, "source.layout: given twice, first on line 4"),
        (6, "source.fps (hdf5_reader): found the text 'fast', expected a number"),
        (8, f"steps[0] (sucess_filter): no such block (did you mean 'success_filter'?); blocks: {blocks}"),
        (
            10,
            "steps[1].min_lenght (length_filter): no such argument (did you mean 'min_length'?); "
            "arguments: min_length, max_length",
        ),
        (
            11,
            "steps[1].max_length (length_filter): found the text '30', expected a whole number",
        ),
        (12, "steps[2].min_length (length_filter): found true, expected a whole number"),
        (13, "steps[3]: the arguments of 'length_filter' are the number 3, expected a mapping"),
        (
            14,
            f"steps[4]: found a mapping with the keys length_filter, min_length, {step_form}; "
            "indent the arguments under 'length_filter'",
        ),
        (16, "steps[5]: found a list of 1, expected a block: a name, {use: name, …} or name: {…}"),
        (17, "steps[6] (length_filter): max_length 3 is below min_length 9"),
        (18, "steps[7] (hdf5_reader): is a source and cannot be used as the step of a pipeline"),
        (
            19,
            "steps[8] (aggregator): is a dataset block and cannot be used as the step of a pipeline",
        ),
        (20, "steps[9]: the arguments of 'min_length' are the number 3, expected a mapping"),
        (21, "writer.robot_type (shard_writer): missing, expected text"),
        (
            24,
            "writer.video.codec (shard_writer): found the text 'libx265', expected one of 'libsvtav1', 'libx264' "
            "(did you mean 'libx264'?)",
        ),
        (25, "writer.video.crf (shard_writer): found the number 18.5, expected a whole number"),
        (26, "writer.video.g (shard_writer): no such key; keys: codec, crf"),
        (27, "formats[0]: found the text 'v2.2', expected one of 'v3.0', 'v2.1' (did you mean 'v2.1'?)"),
        (
            28,
            "onerror: no such key (did you mean 'on_error'?); "
            "keys: source, steps, writer, dataset, publish, append_to, formats, on_error, output, workers, executor, "
            "code",
        ),
        (29, "workers: found the number 0, expected at least 1"),
        (30, "executor: found the text 'slrum' (did you mean 'slurm'?), expected one of local, slurm, ray"),
    ]


def test_the_error_shows_file_and_line_of_every_mistake(sample_registry: object, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("source: {files: [a]}\nwriter: {robot_type: 3}\nworkers: four\n")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert str(caught.value) == (
        f"{path}: 2 errors found\n"
        f"  {path}:2: writer.robot_type (shard_writer): found the number 3, expected text\n"
        f"  {path}:3: workers: found the text 'four', expected a whole number\n"
        "  to do: fix the file and rerun the command"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty; a pipeline has at least source: "),
        ("# only this\n\n", 1, "the file is empty"),
        ("source:\n\tfiles: [a]\n", 2, "a tab where YAML wants spaces"),
        ("source: {files: [a]\nwriter:\n", 2, "not valid YAML: "),
        ("source: 'a\n", 2, "not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML: but found another document"),
        ("source: *x\n", 1, "not valid YAML: found undefined alias 'x'"),
        ("a: &a [*a]\n", 0, "nested too deeply, or a value that contains itself"),
        ("[" * 3000, 0, "nested too deeply"),
        ("a: " + "[" * 101 + "]" * 101, 0, "nested too deeply"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
            1,
            "its aliases repeat more than 1,000,000 characters; write the values without `*`",
        ),
        (f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 101)}]\n", 1, "its aliases repeat more than 1,000,000"),
        (f"a: &a {{{'x' * 1000}: 1}}\nb: [{', '.join(['*a'] * 1001)}]\n", 1, "its aliases repeat more than 1,000,000"),
        ("a: 1\nb: \x07\n", 2, "the character U+0007 is not allowed"),
    ],
)
def test_what_is_not_yaml_is_one_mistake_with_its_line(
    mistakes_in: Mistakes, text: str, line: int, message: str
) -> None:
    [(found_line, found)] = mistakes_in(text)
    assert found_line == line
    assert found.startswith(message)


def test_a_few_aliases_and_long_files_are_read() -> None:
    root, problems = read_yaml("a: &a [x, {y: 1}]\nb: [*a, *a]\n", "here")
    assert root is not None
    assert (root.plain(), problems) == ({"a": ["x", {"y": 1}], "b": [["x", {"y": 1}], ["x", {"y": 1}]]}, [])
    long, _ = read_yaml("- abcdefgh\n" * 120_000, "here")
    assert long is not None
    assert len(long.plain()) == 120_000
    deep, _ = read_yaml("[" * 100 + "]" * 100, "here")
    assert deep is not None


@pytest.mark.parametrize(("text", "found"), [("- a\n- b\n", "a list of 2"), ("hello\n", "the text 'hello'")])
def test_a_file_must_hold_a_mapping(mistakes_in: Mistakes, text: str, found: str) -> None:
    [(line, message)] = mistakes_in(text)
    assert line == 1
    assert message.startswith(
        f"found {found}, expected a mapping with keys among source, steps, writer, dataset, publish, append_to"
    )


def test_absent_parts_are_named(mistakes_in: Mistakes) -> None:
    assert mistakes_in("\nsteps: success_filter\n") == [
        (2, "steps: found the text 'success_filter', expected a list of blocks"),
        (
            2,
            "source: missing, expected a mapping such as {files: [data/*.hdf5], layout: isaaclab}; "
            "or, to take episodes from datasets, dataset[0].datasets",
        ),
    ]


def test_a_list_where_a_mapping_is_expected(mistakes_in: Mistakes) -> None:
    text = "source: [a.hdf5]\nsteps:\n  a: b\nwriter: {robot_type: [x], video: []}\n"
    assert mistakes_in(text) == [
        (1, "source: found a list of 1, expected a block: a name, {use: name, …} or name: {…}"),
        (2, "steps: found a mapping, expected a list of blocks"),
        (4, "writer.robot_type (shard_writer): found a list of 1, expected text"),
        (4, "writer.video (shard_writer): found a list of 0, expected a mapping with keys among codec, crf"),
    ]


def test_duplicate_keys_tags_and_odd_keys_anywhere(mistakes_in: Mistakes) -> None:
    text = """\
source: {files: [a]}
steps:
  - use: length_filter
    min_length: 1
    min_length: 2
writer: {robot_type: !!binary aGk=, [a]: b}
source: {files: [b]}
output: !!int x
"""
    assert mistakes_in(text) == [
        (5, "steps[0].min_length: given twice, first on line 4"),
        (6, "writer.robot_type: the tag !!binary is not understood; write plain text, numbers, lists and mappings"),
        (6, "writer: a key must be text, found a list or mapping (is a text with { or [ unquoted?)"),
        (6, "writer.robot_type (shard_writer): found nothing (null), expected text"),
        (7, "source: given twice, first on line 1"),
        (8, "output: 'x' does not match its tag"),
    ]


def steps(*lines: str) -> str:
    return "source: {files: [a]}\nwriter: {robot_type: x}\nsteps:\n" + "".join(f"  - {line}\n" for line in lines)


def test_values_inside_nested_models_say_where_they_are(mistakes_in: Mistakes) -> None:
    text = """\
source:
  files: [a, 7]
  columns:
    action: {from: actions, slice: [0, x]}
    state: {form: [a, b], scale: "2"}
    observation.images.front: 3
    good: {from: [a, b], slice: [0, 2], scale: 2}
writer: {robot_type: x, video: {crf: 99}}
"""
    assert mistakes_in(text) == [
        (2, "source.files[1] (hdf5_reader): found the number 7, expected text"),
        (4, "source.columns.action.slice[1] (hdf5_reader): found the text 'x', expected a whole number"),
        (5, "source.columns.state.from (hdf5_reader): missing, expected text or a list of texts"),
        (
            5,
            "source.columns.state.form (hdf5_reader): no such key (did you mean 'from'?); keys: from, slice, scale",
        ),
        (5, "source.columns.state.scale (hdf5_reader): found the text '2', expected a number"),
        (
            6,
            'source.columns["observation.images.front"] (hdf5_reader): '
            "found the number 3, expected a mapping with keys among from, slice, scale",
        ),
        (8, "writer.video (shard_writer): video crf: 99; expected: 0 to 63"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("flag: 1", "flag ({use}): found the number 1, expected true or false"),
        ("flag: yes", "flag ({use}): found the text 'yes', expected true or false"),
        ("ratio: true", "ratio ({use}): found true, expected a number"),
        ("order: a", "order ({use}): found the text 'a', expected a list of texts"),
        ("order: [a, 1]", "order[1] ({use}): found the number 1, expected text"),
        ("crop: [1]", "crop ({use}): found a list of 1, expected a list of 2: a whole number, a whole number"),
        ("speed: [1]", "speed ({use}): found a list of 1, expected a whole number or text"),
        ("speed: 1.5", "speed ({use}): found the number 1.5, expected a whole number or text"),
        ("place: 3", "place ({use}): found the number 3, expected a path"),
        ("gains: [1]", "gains ({use}): found a list of 1, expected a mapping of names to a number"),
        ("gains: {a: b}", "gains.a ({use}): found the text 'b', expected a number"),
    ],
)
def test_wrong_types_are_told_in_plain_words(mistakes_in: Mistakes, arguments: str, message: str) -> None:
    use = f"{SAMPLES}:Everything"
    found = mistakes_in(steps("success_filter", f'{{use: "{use}", {arguments}}}'))
    assert found == [(5, "steps[1]." + message.format(use=use))]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("no_such_lab.blocks:X", "cannot be imported: ModuleNotFoundError: No module named 'no_such_lab'; looked in "),
        (f"{SAMPLES}:LenghtFilter", f"{SAMPLES} has no 'LenghtFilter' (did you mean 'LengthFilter'?)"),
        (f"{SAMPLES}:Video", "is not a block: a block is a class derived from EpisodeFilter or EpisodeMap"),
        (f"{SAMPLES}:np", "is not a block: "),
        (f"{SAMPLES}:AnyArguments", "AnyArguments: its argument 'kwargs' cannot be checked; expected: named"),
        (f"{SAMPLES}:_Keep.reject", "is not a block: "),
        ("robotrove.blocks.episode_step:EpisodeFilter", "TypeError: Can't instantiate abstract class EpisodeFilter"),
        ("my_lab.DeburrFilter", "no such block (for outside code write my_lab:DeburrFilter); blocks: "),
        (f"{SAMPLES}:NoStep", "cannot be used as the step of a pipeline, that is a class derived from EpisodeFilter"),
        ("datatrove.pipeline.dedup:MinhashDedupSignature", "datatrove's MinhashDedupSignature compares documents with"),
        ("datatrove.pipeline.writers:JsonlWriter", "datatrove's JsonlWriter writes text documents, not episodes; of "),
        ("datatrove.pipeline.tokens:DocumentTokenizer", "datatrove's DocumentTokenizer turns text into tokens"),
        ("datatrove.pipeline.base:PipelineStep", "datatrove's PipelineStep is not known to take one document at a"),
        (f"{SAMPLES}:ReorderingFilter", "is a datatrove filter with a run() of its own, which may batch or reorder"),
    ],
)
def test_blocks_that_cannot_be_used_say_why(mistakes_in: Mistakes, use: str, message: str) -> None:
    [(line, found)] = mistakes_in(steps("success_filter", f"use: {use}"))
    assert line == 5
    assert found.startswith(f"steps[1] ({use}): {message}")


def test_stock_filters_are_allowed_one_document_at_a_time(
    mistakes_in: Mistakes, sample_registry: object, tmp_path: Path
) -> None:
    use = f"{SAMPLES}:StockFilter"
    path = tmp_path / "good.yaml"
    path.write_text(steps(use, f"{{use: '{use}', seed: 3}}"))
    spec = load_pipeline(path).spec
    assert [step.arguments for step in spec.steps] == [{"batch_size": 1, "seed": None}, {"batch_size": 1, "seed": 3}]
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    [(line, message)] = mistakes_in(steps(f"{{use: '{use}', batch_size: 8}}"))
    assert line == 4
    assert message.startswith(f"steps[0].batch_size ({use}): takes 8 documents at a time, but an episode is valid only")


def test_outside_code_that_fails_while_imported_is_a_mistake(mistakes_in: Mistakes, tmp_path: Path) -> None:
    (tmp_path / "broken_of_test_spec.py").write_text("x = 1\nx = = 2\n")
    (tmp_path / "failing_of_test_spec.py").write_text("raise RuntimeError('no licence')\n")
    found = mistakes_in(steps("broken_of_test_spec:X", "failing_of_test_spec:X"))
    assert [line for line, _ in found] == [4, 5]
    assert "SyntaxError: invalid syntax (broken_of_test_spec.py, line 2)" in found[0][1]
    assert "RuntimeError: no licence" in found[1][1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "'steps' on the command line: expected KEY=VALUE, such as steps[1].min_length=20"),
        ("=3", "'=3' on the command line: expected KEY=VALUE, such as steps[1].min_length=20"),
        (
            "steps[4].min_length=3",
            "'steps[4].min_length=3' on the command line: steps is a list and has no item 4; "
            "items are 0: success_filter; 1: length_filter",
        ),
        (
            "steps.length_filter.min_length=3",
            "'steps.length_filter.min_length=3' on the command line: steps is a list and has no item "
            "'length_filter'; items are 0: success_filter; 1: length_filter",
        ),
        ("writer.robot_type.x=3", "'writer.robot_type.x=3' on the command line: writer.robot_type has no x: it is 'x'"),
        ("writer[0]=3", "'writer[0]=3' on the command line: writer has no [0]: it is shard_writer"),
        (
            "workers=[1",
            "'workers=[1' on the command line: not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence, line 1)",
        ),
        (
            "steps[1].min_lenght=3",
            "steps[1].min_lenght (length_filter): no such argument (did you mean 'min_length'?); "
            "arguments: min_length, max_length (set by 'steps[1].min_lenght=3' on the command line)",
        ),
        (
            "wrter.video.crf=3",
            "wrter: no such key (did you mean 'writer'?); keys: source, steps, writer, dataset, publish, append_to, "
            "formats, on_error, output, workers, executor, code (set by 'wrter.video.crf=3' on the command line)",
        ),
        (
            "writer.video.cfr=3",
            "writer.video.cfr (shard_writer): no such key (did you mean 'crf'?); keys: codec, crf "
            "(set by 'writer.video.cfr=3' on the command line)",
        ),
        (
            "workers=many",
            "workers: found the text 'many', expected a whole number (set by 'workers=many' on the command line)",
        ),
    ],
)
def test_mistakes_in_overrides_have_no_line_but_their_text(mistakes_in: Mistakes, override: str, message: str) -> None:
    assert mistakes_in(steps("success_filter", "length_filter"), [override]) == [(0, message)]


def test_mistakes_of_file_and_command_line_come_together(mistakes_in: Mistakes) -> None:
    found = mistakes_in(steps("length_filter: {min_length: x}"), ["workers=0", "nonsense"])
    assert [line for line, _ in found] == [0, 0, 4]
    assert "expected at least 1 (set by 'workers=0' on the command line)" in found[1][1]
