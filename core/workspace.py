"""Every path of a run, in one place. No name taken from an input file ever becomes a path here."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from .commit import TEMPORARY_SUFFIX, is_abandoned
from .errors import COMMAND_LINE, UsageError, check_utf8, option


@dataclass(frozen=True, slots=True)
class Workspace:
    """The run directory and the output it leads to.

    Attributes:
        run_dir: Folder with everything about the run.
        output: Folder that the finished dataset gets.
    """

    run_dir: Path
    output: Path

    @classmethod
    def for_output(cls, output: Path, run_dir: Path | None = None) -> Workspace:
        """Return the workspace of an output; its run directory is `<output>.run` unless given."""
        output = _absolute(output)
        chosen = _absolute(run_dir) if run_dir else output.with_name(output.name + ".run")
        if chosen.is_relative_to(output):
            raise UsageError(
                str(chosen),
                "the run directory is inside the output",
                "a folder outside the output",
                option("run-dir", "DIR"),
            )
        return cls(chosen, output)

    @property
    def resume(self) -> str:
        """Command that resumes the run, or the same in Python."""
        pipeline, run_dir, output = map(str, (self.pipeline, self.run_dir, self.output))
        if COMMAND_LINE in os.environ:
            return shlex.join(["robotrove", "run", pipeline, "--run-dir", run_dir, "--output", output])
        return f"Pipeline.from_yaml({pipeline!r}).run(output={output!r}, run_dir={run_dir!r})"

    @property
    def pipeline(self) -> Path:
        """The frozen pipeline."""
        return self.run_dir / "pipeline.yaml"

    @property
    def run(self) -> Path:
        """Identity of the run: digests, versions, output, features."""
        return self.run_dir / "run.json"

    @property
    def manifest(self) -> Path:
        """The episodes of the run, in order."""
        return self.run_dir / "manifest.parquet"

    @property
    def lock(self) -> Path:
        """The lease of the command that works on the run."""
        return self.run_dir / "run.lock"

    @property
    def command(self) -> Path:
        """File about the command that last worked on the run: user, machine and time."""
        return self.run_dir / "command.json"

    @property
    def jobs(self) -> Path:
        """Folder of what was submitted to a cluster: who has which ranks, and what the jobs printed."""
        return self.run_dir / "jobs"

    @property
    def rejected(self) -> Path:
        """One line per episode that is not in the dataset."""
        return self.run_dir / "rejected.jsonl"

    @property
    def report(self) -> Path:
        """Totals of a finished run, written last."""
        return self.run_dir / "report.json"

    @property
    def is_finished(self) -> bool:
        """True if there is nothing left to do, and the output is still there."""
        return self.report.exists() and self.output.exists()

    def plan(self, name: str) -> Path:
        """Folder of what a dataset block decided before it began."""
        return self._plans / name

    def sums(self, block: str, kind: int, number: int) -> Path:
        """Checksums of the files of one unit of a dataset block."""
        return self.plan(block) / f"sums-{kind}-{number:06d}.json"

    def all_sums(self) -> Iterator[Path]:
        """Checksums of all units that are written."""
        return self._plans.glob("*/sums-*.json")

    @property
    def _plans(self) -> Path:
        return self.run_dir / "plans"

    @property
    def events(self) -> Path:
        """Append-only journals, one per process."""
        return self.run_dir / "events"

    @property
    def shards(self) -> Path:
        """Folder of the shards."""
        return self.run_dir / "shards"

    def logs(self, stage: str) -> Path:
        """Datatrove's logging folder of a stage."""
        return self.run_dir / "logs" / stage

    def shard(self, rank: int) -> Path:
        """A committed shard."""
        return self.shards / f"{rank:05d}"

    def partial(self, rank: int) -> Path:
        """The committed episodes of a shard in progress."""
        return self.shards / f"{rank:05d}.partial"

    def partials(self) -> Iterator[Path]:
        """All shards in progress."""
        return self.shards.glob("*.partial")

    def sweep(self) -> None:
        """Remove what killed commands left half-written; needs the lease. Jobs of the run may be at work elsewhere."""
        for leftover in [*self.run_dir.glob(f"*{TEMPORARY_SUFFIX}"), *self._plans.rglob(f"*{TEMPORARY_SUFFIX}")]:
            if not leftover.name.startswith(self.lock.name):  # may be of a command that is starting now
                leftover.unlink(missing_ok=True)
        patterns = (self.output.parent, f"{escape(self.output.name)}."), (self.shards, ""), (self.logs(""), "**/")
        for folder, begin in patterns:
            for leftover in folder.glob(f"{begin}*{TEMPORARY_SUFFIX}"):
                if is_abandoned(leftover.name) and leftover.is_file():
                    leftover.unlink(missing_ok=True)

    def output_partial(self, run_id: str) -> Path:
        """Folder in which the output is built, beside its final place.

        Two run directories may lead to one output; neither must touch what the other builds.
        """
        place = hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:6]
        return self.output.with_name(f"{self.output.name}.partial-{run_id}-{place}")

    def output_replaced(self, run_id: str) -> Path:
        """The dataset before rejected episodes were retried, until its successor is complete."""
        return self.output.with_name(f"{self.output.name}.replaced-{run_id}")

    def output_before(self, run_id: str) -> Path:
        """The dataset that was appended to, where its successor has taken its name."""
        return self.output.with_name(f"{self.output.name}.before-{run_id}")


def _absolute(folder: Path) -> Path:
    try:
        absolute = Path(os.path.abspath(folder.expanduser()))
    except (RuntimeError, OSError) as exc:
        raise UsageError(str(folder), f"cannot be resolved: {exc}", "a folder that can be reached") from exc
    check_utf8(str(absolute), "choose another folder")
    if not absolute.name:
        raise UsageError(str(folder), "is the root of the file system", "a folder that does not exist yet")
    return absolute


def episode_uid(index: int) -> str:
    """Return the folder name of an episode: its row in the manifest, never its name in the source."""
    return f"e{index:07d}"


def dataset_homes(root: Path) -> list[str]:
    """Return the real folders with the files of a dataset: its own, and in the Hub's cache also that of the blobs."""
    home = os.path.realpath(root)
    parent = os.path.dirname(home)
    if os.path.basename(parent) != "snapshots":
        return [home]
    return [home, os.path.join(os.path.dirname(parent), "blobs")]  # snapshots/<commit>/ holds links to ../../blobs
