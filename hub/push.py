"""Pushing a dataset: contents first, then one commit, and a tag that says which version it is.

What was sent is known to the Hub alone: whatever it lacks is what is left to do. So the same push again goes on after
any interruption, and a push ends when the Hub shows exactly the files that are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.hf_api import DatasetInfo, RepoFile

from ..core.errors import RobotroveError, UsageError
from ..core.version import CARD, MARK
from .client import Hub, Interrupted
from .local_files import LocalFiles
from .repository import MAIN, Operation, Repository, download, read

T = TypeVar("T")
Progress = Callable[[int, int], None]
Differs: TypeAlias = Callable[[Path], str]

# What the Hub takes in one commit within its time limit; more goes to a pull request, which is merged at once.
MAX_OPERATIONS = 1000
BATCH_FILES = 64
BATCH_BYTES = 1 << 30
_ATTEMPTS = 12
# Files that say which dataset it is: its version, and where its episodes come from in each version.
_IDENTITY = ("meta/info.json", "meta/robotrove/episodes.parquet", "meta/robotrove/episodes.jsonl")
_OURS = ("data/", "meta/", "videos/", "images/")  # folders of a dataset: what is not here is removed there


@dataclass(frozen=True, slots=True)
class Published:
    """Dataset as it is on the Hub after a push.

    Attributes:
        repo_id: OWNER/NAME.
        url: Its page.
        branch: The branch that shows the dataset.
        commit: The commit.
        tag: The tag that points to it, "" where the branch itself has that name.
        private: Whether only its owner sees it.
        files: Number of files of the dataset, the card among them.
        size: Bytes of them.
        changed: How many files this push added, replaced or removed.
    """

    repo_id: str
    url: str
    branch: str
    commit: str
    tag: str
    private: bool
    files: int
    size: int
    changed: int


class Push:
    """Brings one dataset to the Hub.

    Args:
        hub: The Hub.
        root: Folder of the dataset.
        repo_id: OWNER/NAME.
        branch: Branch that is to show the dataset.
        version: Its codebase version, which becomes the tag that LeRobot looks for.
        card: README.md, unless the dataset or the repository has one of somebody's own.
        follow_links: Whether files behind links that lead out of the dataset are sent.
        differs: Says, of a folder with the metadata of what the branch shows, which other dataset that is; "" if it is
            this one, in whatever state. Without it, every dataset is replaced.
        progress: Told how many bytes of how many are there.
    """

    def __init__(
        self, hub: Hub, root: Path, *, repo_id: str, branch: str, version: str, card: str, follow_links: bool = False,
        differs: Differs | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:  # fmt: skip
        self._repository = Repository(hub, repo_id)
        self._branch = branch
        self._version = version
        self._progress = progress
        self._files = LocalFiles(root, {CARD: card.encode()}, follow_links=follow_links)
        self._operations: dict[str, CommitOperationAdd] = {}
        self._there = 0
        self._differs = differs
        self._checked = ""

    def prepare(self, *, public: bool) -> None:
        """Make repository and branch where there are none.

        Raises:
            UsageError: If the branch shows another dataset.
        """
        self._check_replaced()
        self._repository.make(self._branch, private=not public)

    def batches(self) -> list[list[str]]:
        """Return all files in lists that are sent at a time; always the same for the same dataset."""
        found: list[list[str]] = []
        size = 0
        for path, more in self._files.sizes.items():
            if not found or len(found[-1]) == BATCH_FILES or size + more > BATCH_BYTES:
                found.append([])
                size = 0
            found[-1].append(path)
            size += more
        return found

    def upload(self, paths: Sequence[str]) -> None:
        """Send the contents of files that the Hub lacks; nothing of them is visible yet."""
        remote = self._repository.some_files(paths, self._branch)
        self._send([path for path in paths if not self._files.is_same(path, remote.get(path))])
        self._there += sum(self._files.sizes[path] for path in paths)
        self._progress(self._there, sum(self._files.sizes.values()))

    def publish(self) -> Published:
        """Let the branch show the dataset, all at once, and the tag point to it.

        Raises:
            RobotroveError: If the Hub says no, or others change the branch all the time.
        """
        changed = 0
        why = ""
        for attempt in range(_ATTEMPTS):
            info = self._repository.info(self._branch)
            head = str(info.sha)
            if head != self._checked:  # since this push began, or in another process
                self._check_replaced()
            changes = self._changes(head)
            if not changes:
                if self._branch != self._version:
                    self._repository.tag(self._version, head)
                return self._published(info, changed)
            changed = max(changed, len(changes))
            try:
                self._commit(changes, head)
            except Interrupted as exc:
                why = exc.why
                self._repository.hub.pause(why, exc.pause_s or min(2.0**attempt, 60.0))
        raise RobotroveError(
            f"{self._repository.where}, branch {self._branch}",
            f"differs from the local dataset after {_ATTEMPTS} attempts, first in {changes[0].path_in_repo}; {why}",
            "no other process that changes it at the same time",
            "rerun the command to resume",
        )

    def _check_replaced(self) -> None:
        if self._differs is not None:
            self._checked = check_replaced(self._repository, self._branch, self._differs, self._is_shown)

    def _is_shown(self, remote: Mapping[str, RepoFile]) -> bool:
        paths = (path for path in self._files.sizes if path != CARD)
        return not self._superfluous(remote) and all(self._files.is_same(path, remote.get(path)) for path in paths)

    def _superfluous(self, remote: Iterable[str]) -> list[str]:
        return [path for path in remote if path.startswith(_OURS) and path not in self._files.sizes]

    def _changes(self, revision: str) -> list[Operation]:
        """Return what a commit has to do so that a revision shows what is here: sizes and contents are compared."""
        remote = self._repository.files(revision)
        lacking = [path for path in self._files.sizes if not self._files.is_same(path, remote.get(path))]
        if CARD in lacking and CARD in remote and not self._may_replace(remote[CARD], revision):
            self._files.leave_out(CARD)
            lacking.remove(CARD)
        self._send(lacking)
        return [*map(self._operation, lacking), *map(CommitOperationDelete, self._superfluous(remote))]

    def _may_replace(self, card: RepoFile, revision: str) -> bool:
        """False for a card that somebody wrote on the Hub, where there is none in the dataset."""
        return not self._files.is_made(CARD) or MARK.encode() in read(self._repository, card, revision)

    def _send(self, paths: Iterable[str]) -> None:
        for some in _batched(paths, BATCH_FILES):
            operations = [self._operation(path) for path in some]
            for part in _one_of_each(operations):
                self._repository.upload(part, self._branch)
            for operation in operations:
                self._files.remember(operation)

    def _operation(self, path: str) -> CommitOperationAdd:
        if path not in self._operations:
            self._operations[path] = self._files.operation(path)
        return self._operations[path]

    def _commit(self, changes: Sequence[Operation], head: str) -> None:
        title = f"Dataset {self._version} by robotrove ({self._files.digest()[:12]})"
        if len(changes) <= MAX_OPERATIONS:
            self._repository.commit(changes, title, self._branch, head)
            self._forget(changes)
            return
        pull = self._repository.find_pull(title)  # of an earlier push of the same files
        if pull is not None:
            changes = self._changes(f"refs/pr/{pull}")
        for part in _batched(changes, MAX_OPERATIONS):
            if pull is None:
                pull = self._repository.open_pull(part, title, self._branch, head)
            else:
                self._repository.commit(part, title, f"refs/pr/{pull}")
            self._forget(part)
        if pull is not None:
            self._repository.merge(pull)

    def _forget(self, operations: Iterable[Operation]) -> None:
        """Let go of operations that were committed: huggingface_hub takes each once."""
        for operation in operations:
            self._operations.pop(operation.path_in_repo, None)

    def _published(self, info: DatasetInfo, changed: int) -> Published:
        page = f"{self._repository.hub.api.endpoint}/datasets/{self._repository.repo_id}"
        return Published(
            repo_id=self._repository.repo_id,
            url=page if self._branch == MAIN else f"{page}/tree/{self._branch}",
            branch=self._branch,
            commit=str(info.sha),
            tag="" if self._branch == self._version else self._version,
            private=bool(info.private),
            files=len(self._files.sizes),
            size=sum(self._files.sizes.values()),
            changed=changed,
        )


def check_replaced(
    repository: Repository, branch: str, differs: Differs, is_shown: Callable[[Mapping[str, RepoFile]], bool]
) -> str:
    """Return the commit of a branch with files that may be replaced, "" if there is no such branch.

    Args:
        repository: The repository, which need not exist.
        branch: The branch.
        differs: As that of `Push`.
        is_shown: Says of the files of the branch whether they are those to be pushed.

    Raises:
        UsageError: If the branch shows another dataset.
    """
    heads = repository.heads()
    head = heads.get(branch, "")
    if branch != MAIN and head == heads.get(MAIN):  # a new branch begins as a copy of main, which stays
        return head
    remote = repository.files(head) if head else {}
    if any(path.startswith(_OURS) for path in remote):
        with TemporaryDirectory(prefix="robotrove-push-") as folder:
            for path in remote.keys() & set(_IDENTITY):
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                download(repository, remote[path], head, place)
            difference = differs(Path(folder))
        if difference and not is_shown(remote):
            raise UsageError(
                f"{repository.where}, branch {branch}",
                difference,
                "this dataset as it was before, or a branch without a dataset",
                "--replace (replace: true in a pipeline) to replace it, --branch NAME, or another repository",
            )
    return head


def _one_of_each(operations: Sequence[CommitOperationAdd]) -> list[list[CommitOperationAdd]]:
    """Return operations in two lists, the first without equal contents: the Hub knows those of the second by then."""
    sizes = Counter(operation.upload_info.size for operation in operations)
    first: dict[bytes | str, CommitOperationAdd] = {}
    second = []
    for operation in operations:
        info = operation.upload_info
        key = info.sha256 if sizes[info.size] > 1 else operation.path_in_repo  # a digest costs reading the file
        if first.setdefault(key, operation) is not operation:
            second.append(operation)
    return [[*first.values()], *([second] if second else [])]


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
