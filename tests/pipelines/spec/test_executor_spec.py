"""`executor:` of a pipeline file: where ranks run, which leaves no trace in the dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from robotrove.core.errors import ConfigError
from robotrove.executors.local import LocalExecutor
from robotrove.executors.slurm.slurm_executor import SlurmExecutor
from robotrove.pipelines.spec.arguments import BlockSpec
from robotrove.pipelines.spec.executor_spec import build_executor, shipped_profiles
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline, spec_digest

pytestmark = pytest.mark.usefixtures("sample_registry")

REST = "source: {files: [a]}\nwriter: {robot_type: x}\n"
Mistakes = Callable[..., list[tuple[int, str]]]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., PipelineSpec]:
    """Load a pipeline with an executor."""

    def load(text: str, *overrides: str, executor: str | None = None) -> PipelineSpec:
        path = tmp_path / "pipeline.yaml"
        path.write_text(REST + text, encoding="utf-8")
        return load_pipeline(path, overrides, executor=executor).spec

    return load


Load = Callable[..., PipelineSpec]


def _slurm(**arguments: Any) -> BlockSpec:
    """Slurm with every argument explicit, these among them."""
    defaults = vars(SlurmExecutor())
    del defaults["workers"]
    return BlockSpec("slurm", {**defaults, **arguments})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", BlockSpec("local")),
        ("executor: local\n", BlockSpec("local")),
        ("executor: {use: local}\n", BlockSpec("local")),
        ("executor:\n  local:\n", BlockSpec("local")),
        ("executor: slurm\n", _slurm()),
        ("executor: {use: slurm, time: 60}\n", _slurm(time=60)),
        ("executor: {slurm: {time: 60}}\n", _slurm(time=60)),
        ("executor:\n  slurm:\n", _slurm()),
        ("executor: {time: 60, partition: gpu}\n", _slurm(time=60, partition="gpu")),
        ("executor: {partition: gpu}\n", _slurm(partition="gpu")),
        ("executor: {}\n", _slurm()),
        ("executor: {setup: [module load x], sbatch: {exclude: n1, exclusive: true, nice: 3}}\n",
         _slurm(setup=["module load x"], sbatch={"exclude": "n1", "exclusive": True, "nice": 3})),
    ],
)  # fmt: skip
def test_forms(load: Load, text: str, expected: BlockSpec) -> None:
    assert load(text).executor == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("", "slurm", _slurm()),
        ("executor: {time: 60}\n", "slurm", _slurm(time=60)),
        ("executor: {slurm: {time: 60}}\n", "slurm", _slurm(time=60)),
        ("executor: {time: 60}\n", "local", BlockSpec("local")),
        ("executor: local\n", "slurm", _slurm()),
    ],
)
def test_the_command_line_chooses_another(load: Load, text: str, asked: str, expected: BlockSpec) -> None:
    assert load(text, executor=asked).executor == expected


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        ("", "executor.partition=gpu", _slurm(partition="gpu")),
        ("executor: slurm\n", "executor.partition=gpu", _slurm(partition="gpu")),
        ("executor: {slurm: {time: 60}}\n", "executor.partition=gpu", _slurm(time=60, partition="gpu")),
        ("executor: {time: 60}\n", "executor.time=5", _slurm(time=5)),
        ("executor: {time: 60}\n", "executor=local", BlockSpec("local")),
        ("executor: {time: 60}\n", "executor={profile: few_jobs, cpus: 2}",
         _slurm(time=1440, mem="8GB", cpus=2, ranks_per_job=32)),
        ("executor: {sbatch: {nice: 3}}\n", "executor.sbatch.exclude=n1", _slurm(sbatch={"nice": 3, "exclude": "n1"})),
    ],
)  # fmt: skip
def test_overrides(load: Load, text: str, override: str, expected: BlockSpec) -> None:
    assert load(text, override).executor == expected


def test_an_override_is_for_the_executor_that_the_command_line_chooses(load: Load) -> None:
    assert load("", "executor.partition=gpu", executor="slurm").executor == _slurm(partition="gpu")


class TestProfiles:
    def test_every_shipped_one_loads(self, load: Load) -> None:
        assert shipped_profiles() == ["few_jobs", "preemptible", "small"]
        found = {name: load(f"executor: {{profile: {name}}}\n").executor for name in shipped_profiles()}
        assert found == {
            "few_jobs": _slurm(time=1440, mem="8GB", cpus=4, ranks_per_job=32),
            "preemptible": _slurm(time=120, mem="4GB", cpus=2, ranks_per_job=1, signal_before=60),
            "small": _slurm(time=240, mem="4GB", cpus=2),
        }

    def test_one_s_own_lies_beside_the_pipeline(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "our.yaml").write_text("partition: gpu\ntime: 30\n")
        monkeypatch.chdir("/")
        assert load("executor: {profile: our.yaml, time: 40}\n").executor == _slurm(partition="gpu", time=40)

    def test_an_empty_one_says_nothing(self, load: Load, tmp_path: Path) -> None:
        (tmp_path / "our.yaml").write_text("# later\n")
        assert load("executor: {profile: our.yaml}\n").executor == _slurm()

    def test_its_mistakes_have_its_lines(self, mistakes_in: Mistakes, tmp_path: Path) -> None:
        (tmp_path / "our.yaml").write_text("partitoin: gpu\nmem: 8 potatoes\ntime: soon\nworkers: 3\nuse: slurm\n")
        [(line, message)] = mistakes_in(REST + "executor: {profile: our.yaml}\n")
        assert line == 3
        assert message.startswith(f"executor.profile: {tmp_path}/our.yaml: 5 errors found\n")
        for text in (
            "our.yaml:1: partitoin: no such option (did you mean 'partition'?); options: cluster, partition, account,",
            "our.yaml:2: mem: found the text '8 potatoes', expected",
            "our.yaml:3: time: found the text 'soon', expected a whole number",
            "our.yaml:4: workers: no such option",
            "our.yaml:5: use: no such option",
        ):
            assert text in message

    @pytest.mark.parametrize(
        ("profile", "text"),
        [
            (
                "smal",
                "no such profile (did you mean 'small'?); expected one of few_jobs, preemptible, small, or a YAML",
            ),
            ("not/there.yaml", "no such profile; expected one of few_jobs, preemptible, small, or a YAML file"),
            ("3", "found the number 3, expected a name or a YAML file"),
        ],
    )
    def test_one_that_is_not_there(self, mistakes_in: Mistakes, profile: str, text: str) -> None:
        [(line, message)] = mistakes_in(REST + f"executor:\n  profile: {profile}\n")
        assert line == 4
        assert message.startswith(f"executor.profile: {text}")

    def test_one_that_is_no_mapping(self, mistakes_in: Mistakes, tmp_path: Path) -> None:
        (tmp_path / "our.yaml").write_text("- a\n")
        [(_, message)] = mistakes_in(REST + "executor: {profile: our.yaml}\n")
        assert "our.yaml:1: found a list of 1, expected options by name" in message

    def test_only_slurm_has_them(self, mistakes_in: Mistakes) -> None:
        [(_, message)] = mistakes_in(REST + "executor: {use: local, profile: small}\n")
        assert message.startswith("executor.profile: no such argument")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("executor: slrum",
         [(3, "executor: found the text 'slrum' (did you mean 'slurm'?), expected one of local, slurm")]),
        ("executor: 3", [(3, "executor: found the number 3, expected one of local, slurm")]),
        ("executor: [slurm]", [(3, "executor: found a list of 1, expected one of local, slurm")]),
        ("executor:", [(3, "executor: found nothing (null), expected one of local, slurm")]),
        ("executor:\n  use: slrum\n  time: 3",
         [(4, "executor.use: found the text 'slrum' (did you mean 'slurm'?), expected one of local, slurm")]),
        ("executor:\n  use: slurm\n  time: soon\n  mem: 8 potatoes\n  cpus: 0", [
            (5, "executor.time: found the text 'soon', expected a whole number"),
            (6, "executor.mem: found the text '8 potatoes', expected "),
            (7, "executor.cpus: found the number 0, expected at least 1"),
        ]),
        ("executor:\n  slurm:\n    partitoin: gpu",
         [(5, "executor.partitoin: no such argument (did you mean 'partition'?); arguments: ")]),
        ("executor:\n  partitoin: gpu", [(4, "executor.partitoin: no such argument (did you mean 'partition'?)")]),
        ("executor: {use: slurm, workers: 4}",
         [(3, "executor.workers: is a key of the pipeline itself; write workers: … there")]),
        ("executor: {use: local, workers: 4}",
         [(3, "executor.workers: is a key of the pipeline itself; write workers: … there")]),
        ("executor: {use: local, mem: 4GB}", [(3, "executor.mem: no such argument")]),
        ("executor: {cluster: lsf}", [(3, "executor.cluster: found the text 'lsf', expected one of 'slurm', 'local'")]),
        ("executor: {sbatch: {job-name: x, open_mode: truncate, mem: 4GB}}",
         [(3, "executor: sbatch: job_name, mem, open_mode cannot be given; expected: options that robotrove")]),
    ],
)  # fmt: skip
def test_mistakes(mistakes_in: Mistakes, text: str, found: Sequence[tuple[int, str]]) -> None:
    messages = mistakes_in(f"{REST}{text}\n")
    assert [line for line, _ in messages] == [line for line, _ in found]
    for (_, message), (_, expected) in zip(messages, found, strict=True):
        assert message.startswith(expected)


def test_a_mistake_of_the_command_line_says_so(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("", "executor.partitoin=gpu")
    [problem] = caught.value.problems
    assert problem.line == 0
    assert problem.message.endswith("(set by 'executor.partitoin=gpu' on the command line)")
    with pytest.raises(ConfigError, match="expected one of local, slurm"):
        load("", executor="slrum")


@pytest.mark.parametrize("text", ["", "executor: {profile: few_jobs, sbatch: {nice: 3}, setup: [a, b]}\nworkers: 7\n"])
def test_the_frozen_pipeline_gives_the_same_executor_back(load: Load, text: str) -> None:
    spec = load(text)
    again = PipelineSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert vars(build_executor(again.executor, again.workers)) == vars(build_executor(spec.executor, spec.workers))


def test_where_ranks_run_does_not_change_the_run(load: Load) -> None:
    here, there = load(""), load("executor: {profile: few_jobs}\nworkers: 30\n")
    assert spec_digest(here, "1") == spec_digest(there, "1")
    assert here.differences(there) == []


def test_building_it(load: Load) -> None:
    local = build_executor(load("").executor, 3)
    assert isinstance(local, LocalExecutor)
    assert local.workers == 3
    slurm = build_executor(load("executor: {time: 5, mem: 1GB}\n").executor, None)
    assert isinstance(slurm, SlurmExecutor)
    assert (slurm.workers, slurm.time, slurm.mem, slurm.is_detached) == (None, 5, "1GB", True)
    assert not build_executor(load("executor: {cluster: local}\n").executor, None).is_detached
