"""hub_publisher: pushes a finished dataset to the Hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from ...core.checksums import read_list, update_list
from ...core.errors import Damaged, RobotroveError, UsageError, naming_dataset, printable
from ...core.source_file import PathText
from ...core.workspace import dataset_homes
from ...formats.lerobot.dataset_files import read_object
from ...formats.lerobot.datasets.open_dataset import check_is_dataset, open_dataset
from ...formats.lerobot.datasets.provenance import known_digests
from ...formats.lerobot.paths_v30 import INFO
from ...hub import cache
from ...hub.card import card
from ...hub.client import Hub, check_logged_in, is_logged_in
from ...hub.licences import check_licence, stated_licence
from ...hub.local_files import files_to_send
from ...hub.push import Published, Push, check_replaced
from ...hub.repository import MAIN, Repository
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
        license: Licence by the Hub's name, such as apache-2.0 or cc-by-4.0; that of the card on the Hub by default.
        replace: Replace what the branch shows, even a dataset of another version or of other episodes.
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
        replace: bool = False,
        verify: bool = True,
        follow_links: bool = False,
        dataset: PathText | None = None,
    ) -> None:
        if license is not None:
            check_licence(license, self.name)
        self.repo_id = repo_id
        self.version = version
        self.branch = branch
        self.public = public
        self.license = license
        self.replace = replace
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
        hub = Hub(on_pause=lambda why: self.progress(why, 0, 0))
        license: Mapping[str, Any] = {"license": self.license}
        if self.license is None:
            license = stated_licence(Repository(hub, self.repo_id), self.branch)
        with naming_dataset(self._root):
            dataset = open_dataset(self._root)
            if self.version not in (None, dataset.version):
                raise UsageError(str(self._root), f"is of version {dataset.version}", self.version or "")
            facts = card_facts(
                dataset, repo_id=self.repo_id, branch=self.branch, license=license, is_verified=self.verify
            )
        return Push(
            hub,
            self._root,
            repo_id=self.repo_id,
            branch=self.branch,
            version=dataset.version,
            card=card(facts),
            follow_links=self.follow_links,
            differs=None if self.replace else partial(_difference, dataset.version, frozenset(known_digests(dataset))),
            progress=lambda done, total: self.progress("sending", done, total),
        )

    def check_replaced(self, formats: Sequence[str], digests: Set[str]) -> None:
        """Refuse a run that would replace another dataset; where the Hub does not answer, `plan` does it.

        Raises:
            UsageError: Naming both.
        """
        if self.replace or self.dataset is not None or not is_logged_in():
            return
        repository = Repository(Hub(tries=1), self.repo_id)
        try:
            differs = partial(_difference, self.version or formats[0], digests or None)
            check_replaced(repository, self.branch, differs, lambda remote: False)
        except UsageError:
            raise
        except RobotroveError:
            return

    def plan(self) -> None:
        """Check the dataset, and make the repository where there is none.

        Raises:
            UsageError: If the branch shows another dataset, or links lead out of this one.
            RobotroveError: If the dataset is wrong, or the Hub says no.
        """
        check_logged_in()
        check_is_dataset(self._root)
        deque(files_to_send(self._root, follow_links=self.follow_links), maxlen=0)  # before any of them is read
        if self.verify:
            check(self._root, progress=lambda name, path: self.progress(f"checking {name}", 0, 0))
            _accept_metadata(self._root)
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


def _difference(version: str, ours: Set[str] | None, folder: Path) -> str:
    """Say which other dataset it is that a folder has the metadata of; "" for one with an episode of ours.

    Args:
        version: Version of ours.
        ours: Digests of its recordings; None if they are not known yet.
        folder: The folder.
    """
    told = f"this one is of version {version}"
    try:
        info = read_object(folder, INFO)
    except Damaged:
        return f"has files of another dataset, and no {INFO} that says which; {told}"
    episodes = f"{printable(str(info.get('total_episodes')))} episodes"
    if (found := info.get("codebase_version")) != version:
        return f"has a dataset of version {printable(str(found))} with {episodes}; {told}"
    if ours is None or not ours.isdisjoint(known_digests(open_dataset(folder))):
        return ""
    return f"has another dataset: none of its {episodes} comes from a recording of this one, as far as is known"


def _accept_metadata(root: Path) -> None:
    """Renew the checksums of metadata that were edited and found right; what was fetched stays as it is."""
    is_fetched = len(dataset_homes(root)) > 1 or root.resolve().is_relative_to(cache.folder())
    with suppress(Damaged, OSError):
        if not is_fetched:
            update_list(
                root, [name for name in read_list(root) if name.startswith("meta/") and (root / name).is_file()]
            )
