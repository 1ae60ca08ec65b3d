"""verifier: checks the datasets of a run before they are committed."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import RobotroveError
from ...verification.dataset.runner import Progress, verify
from ..binding import Bound
from ..dataset_step import DatasetStep

_SHOWN = 5


class Verifier(Bound, DatasetStep):
    """Checks every dataset of the run, as `robotrove verify` does; put it last.

    Args:
        deep: Also decode every frame and recompute every statistic.
    """

    name = "verifier"

    def __init__(self, *, deep: bool = False) -> None:
        self.deep = deep

    def units(self) -> list[str]:
        """Return the LeRobot versions of the output."""
        return list(self.binding.run.formats)

    def process(self, unit: str) -> None:
        """Check the dataset of one version.

        Raises:
            RobotroveError: If anything is wrong with it; warnings do not count.
        """
        check(self.binding.finished_root(unit), deep=self.deep)


def check(root: Path, *, deep: bool = False, progress: Progress | None = None) -> None:
    """Check a dataset; arguments as those of `verify`.

    Raises:
        RobotroveError: If anything is wrong with it; warnings do not count.
    """
    report = verify(root, deep=deep, progress=progress)
    if not report.ok:
        errors = [f"{one.check}: {one.where}: {one.message}" for one in report.findings if one.severity == "error"]
        raise RobotroveError(
            str(root),
            f"{report.counts['errors']} problems\n    " + "\n    ".join(errors[:_SHOWN]),
            "a dataset without errors in `robotrove verify`",
            f"robotrove verify {root} shows all of them",
        )
