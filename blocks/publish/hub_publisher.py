"""hub_publisher: pushes a finished dataset to the Hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal

from ...core.errors import UsageError, naming_dataset
from ...formats.lerobot.datasets.open_dataset import check_is_dataset, open_dataset
from ...hub.card import card
from ...hub.client import Hub, check_logged_in
from ...hub.local_files import files_to_send
from ...hub.push import Published, Push
from ...hub.repository import MAIN
from ..binding import Bound
from ..dataset.verifier import check
from ..dataset_step import DatasetStep
from .dataset_card import card_facts

Progress = Callable[[str, int, int], None]


class HubPublisher(Bound, DatasetStep):
    """Pushes a finished dataset to the Hub: contents first, then one commit, and the tag that LeRobot looks for.

    Put it under `publish:`; it runs after the output is committed. The token is that of HF_TOKEN or of
    `hf auth login`. A rerun resumes the push, and skips files that the Hub has.

    Args:
        repo_id: OWNER/NAME.
        version: Dataset of the run, if it makes both versions; the first one by default.
        branch: Branch of the repository to push to.
        public: Make a new repository public.
        license: Licence by the Hub's name, such as apache-2.0 or cc-by-4.0; none by default.
        verify: Check the dataset first, and refuse one with errors.
        follow_links: Send files behind links that lead out of the dataset too.
        dataset: Folder of a dataset; that of the run by default.
    """

    name = "hub_publisher"
    role = "publish"

    def __init__(
        self,
        *,
        repo_id: str,
        version: Literal["v3.0", "v2.1"] | None = None,
        branch: str = MAIN,
        public: bool = False,
        license: str | None = None,
        verify: bool = True,
        follow_links: bool = False,
        dataset: str | None = None,
    ) -> None:
        self.repo_id = repo_id
        self.version = version
        self.branch = branch
        self.public = public
        self.license = license
        self.verify = verify
        self.follow_links = follow_links
        self.dataset = dataset
        self.progress: Progress = lambda what, done, total: None
        self.published: Published | None = None

    @property
    def _root(self) -> Path:
        if self.dataset is not None:
            return Path(self.dataset)
        formats = self.binding.run.formats
        version = self.version or formats[0]
        if version not in formats:
            raise UsageError(self.name, f"the run makes no dataset of version {version}", " or ".join(formats))
        return self.binding.finished_root(version)

    @cached_property
    def _push(self) -> Push:
        with naming_dataset(self._root):
            dataset = open_dataset(self._root)
            if self.version not in (None, dataset.version):
                raise UsageError(str(self._root), f"is of version {dataset.version}", self.version or "")
            facts = card_facts(
                dataset, repo_id=self.repo_id, branch=self.branch, license=self.license, is_verified=self.verify
            )
        return Push(
            Hub(on_pause=lambda why: self.progress(why, 0, 0)),
            self._root,
            repo_id=self.repo_id,
            branch=self.branch,
            version=dataset.version,
            card=card(facts),
            follow_links=self.follow_links,
            progress=lambda done, total: self.progress("sending", done, total),
        )

    def plan(self) -> None:
        """Check the dataset, and make the repository where there is none.

        Raises:
            RobotroveError: If the dataset is wrong, or the Hub says no.
        """
        check_logged_in()
        check_is_dataset(self._root)
        deque(files_to_send(self._root, follow_links=self.follow_links), maxlen=0)  # before any of them is read
        if self.verify:
            check(self._root, progress=lambda name, path: self.progress(f"checking {name}", 0, 0))
        self._push.prepare(public=self.public)

    def units(self) -> list[list[str]]:
        """Return the files of the dataset, some at a time."""
        return self._push.batches()

    def process(self, unit: list[str]) -> None:
        """Send what the Hub lacks of some files; they cannot be seen yet."""
        self._push.upload(unit)

    def finish(self) -> None:
        """Show all files at once, let the tag point to them, and compare what the Hub has with what is here."""
        self.progress("publishing", 0, 0)
        self.published = self._push.publish()
