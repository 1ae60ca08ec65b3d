"""What `robotrove verify --for lerobot` says of a dataset is what LeRobot makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.formats.hdf5.samples import write_sample
from robotrove.pipelines.pipeline import Pipeline
from robotrove.tests.judges.releases import RELEASES, V21_RELEASES, run_script
from robotrove.verification.consumers import chosen
from robotrove.verification.dataset.runner import verify

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
# What is taken away, what verify says of it, and what ACT says; its features of actions are then none.
MISTAKES = [
    (("action",), "error", "'NoneType' object has no attribute 'shape'"),
    ((FRONT, WRIST), "warning", "at least one image"),
    ((FRONT, WRIST, "observation.state"), "error", "at least one image"),
]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording in both versions: folders v2.1 and v3.0."""
    folder = tmp_path_factory.mktemp("datasets")
    files = write_sample("isaaclab", folder, episodes=2, frames=8, height=48, width=64)
    source = Hdf5Reader(files=[str(file) for file in files], layout="isaaclab", task="stack")
    Pipeline(source=source, writer=ShardWriter(), formats=["v3.0", "v2.1"]).run(output=folder / "both", workers=1)
    return folder / "both"


def without(root: Path, *names: str) -> Path:
    """The dataset without some features."""
    info = json.loads((root / "meta/info.json").read_text())
    for name in names:
        del info["features"][name]
    (root / "meta/info.json").write_text(json.dumps(info))
    for path in (root / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        kept = [name for name in table.schema.names if name not in names]
        pq.write_table(table.select(kept).replace_schema_metadata(None), path)
    return root


@pytest.mark.parametrize("release", RELEASES)
def test_what_a_policy_needs_and_which_version(release: str, datasets: Path, tmp_path: Path) -> None:
    is_old = release in V21_RELEASES
    own, other = ("v2.1", "v3.0") if is_old else ("v3.0", "v2.1")
    cases: list[tuple[Path, list[str], str]] = [
        (datasets / own, ["warning"] if is_old else [], ""),  # that newer ones refuse it
        (datasets / other, [] if is_old else ["warning"], "huggingface.co" if is_old else "BackwardCompatibilityError"),
    ]
    for names, severity, problem in [] if is_old else MISTAKES:
        root = shutil.copytree(datasets / own, tmp_path / f"without {len(names)} {names[0]}")
        cases.append((without(root, *names), [severity], problem))
    done = run_script(release, "policy.py", *(root for root, _, _ in cases), folder=tmp_path, HF_HUB_OFFLINE="1")
    problems = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(problems) == len(cases), done.stderr
    for (root, severities, part), problem in zip(cases, problems, strict=True):
        found = [one.severity for one in verify(root, consumers=chosen(["lerobot"])).findings if one.consumer]
        assert (found, bool(problem), part in problem) == (severities, bool(part), True), problem
