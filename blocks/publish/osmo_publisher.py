"""osmo_publisher: uploads a finished dataset to OSMO, with OSMO's own command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.errors import UsageError
from ..binding import Bound
from ..dataset.verifier import check
from ..dataset_step import DatasetStep
from .osmo import FOLDER, OsmoAddress


class OsmoPublisher(Bound, DatasetStep):
    """Uploads a finished dataset to OSMO, as <recording>/lerobot/…, for OSMO's workflows.

    Put it under `publish:`. The output must be a folder named lerobot, in a folder named after the recording. Other
    files in that folder, such as the run directory, are not sent. A dataset of OSMO up to 6.3 (`osmo dataset upload`)
    gets a new version, with only new content sent. A URI is for every OSMO (`osmo data upload`). The login is that of
    `osmo login`.

    Args:
        dataset: OSMO's dataset, [BUCKET/]NAME[:TAG] of letters, digits, - and _; or a URI such as s3://BUCKET/PATH.
        verify: Check the dataset first, and refuse one with errors.
    """

    name = "osmo_publisher"
    role = "publish"
    has_one_unit = True

    def __init__(self, *, dataset: str, verify: bool = True) -> None:
        self.dataset = dataset
        self.verify = verify
        self._address = OsmoAddress(dataset, self.name)

    def check_ready(self, output: Path, formats: Sequence[str]) -> None:
        """Refuse an output that has not the shape, and a machine without the command.

        Raises:
            UsageError: Saying which.
        """
        if len(formats) > 1:
            raise UsageError(self.name, f"the run makes {' and '.join(formats)}", "one dataset", "formats: [v2.1]")
        if output.name != FOLDER or not output.parent.name:
            raise UsageError(
                f"{self.name}: {output}",
                f"is not <recording>/{FOLDER}, which OSMO's workflows read",
                f"a folder {FOLDER} in one that is named after the recording",
                f"--output {output / FOLDER}",
            )
        self._address.check_known()

    def plan(self) -> None:
        """Check the dataset.

        Raises:
            RobotroveError: If it is wrong.
        """
        if self.verify:
            check(self._root)

    def units(self) -> list[str]:
        """Return the dataset of OSMO."""
        return [self.dataset]

    def process(self, unit: str) -> None:
        """Upload; OSMO shows a version when it is complete.

        Raises:
            RobotroveError: If the dataset is not of plain files, or the command fails.
        """
        self._address.upload(self._root)

    @property
    def _root(self) -> Path:
        return self.binding.finished_root(self.binding.run.formats[0])
