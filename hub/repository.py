"""Dataset repository on the Hub: its files, and the operations that change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, get_token, hf_hub_url
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import DatasetInfo, RepoFile
from huggingface_hub.utils import build_hf_headers, validate_repo_id

from ..core.commit import sync_file
from ..core.errors import RobotroveError, UsageError
from .client import Conflict, Hub, Interrupted
from .local_files import digest_of, git_digest, pieces

T = TypeVar("T")

MAIN = "main"
Operation: TypeAlias = CommitOperationAdd | CommitOperationDelete

_ATTEMPTS = 2  # what came over a line that lies is removed and fetched once more


class Repository:
    """A dataset repository, there or not.

    Args:
        hub: The Hub.
        repo_id: OWNER/NAME.

    Raises:
        UsageError: If it cannot be the name of one.
    """

    def __init__(self, hub: Hub, repo_id: str) -> None:
        try:
            validate_repo_id(repo_id)
            if repo_id.count("/") != 1:
                raise HFValidationError("it has no owner")
        except HFValidationError as exc:
            expected = "OWNER/NAME, such as lab/cubes"
            raise UsageError(f"repository {repo_id!r}", f"is not a valid name on the Hub: {exc}", expected) from exc
        self.hub = hub
        self.repo_id = repo_id
        self.where = f"dataset {repo_id} on the Hub"
        self._api = hub.api
        self._named: dict[str, Any] = {"repo_id": repo_id, "repo_type": "dataset"}

    def make(self, branch: str, *, private: bool) -> None:
        """Make the repository and a branch of it where there are none."""
        self._call(lambda: self._api.create_repo(**self._named, private=private, exist_ok=True))
        if branch != MAIN:
            self._call(lambda: self._api.create_branch(**self._named, branch=branch, exist_ok=True))

    def heads(self) -> dict[str, str]:
        """Return branch to commit; nothing for a repository that does not exist, or that the token may not read."""

        def branches() -> dict[str, str]:
            with suppress(RepositoryNotFoundError):
                return {ref.name: ref.target_commit for ref in self._api.list_repo_refs(**self._named).branches}
            return {}

        return self._call(branches)

    def info(self, revision: str) -> DatasetInfo:
        """Return the commit of a revision and who sees the repository."""
        return self._call(lambda: self._api.dataset_info(self.repo_id, revision=revision))

    def files(self, revision: str) -> dict[str, RepoFile]:
        """Return every file of a revision by path."""
        # A list, so that its pages are asked for inside of the call.
        found = self._call(lambda: [*self._api.list_repo_tree(**self._named, revision=revision, recursive=True)])
        return {file.path: file for file in found if isinstance(file, RepoFile)}

    def some_files(self, paths: Iterable[str], revision: str) -> dict[str, RepoFile]:
        """Return those of some files that a revision has."""
        found = self._call(lambda: self._api.get_paths_info(**self._named, paths=list(paths), revision=revision))
        return {file.path: file for file in found if isinstance(file, RepoFile)}

    def upload(self, operations: Sequence[CommitOperationAdd], branch: str) -> None:
        """Send the contents of large files that the Hub lacks; small ones are sent with the commit."""
        self._call(lambda: self._api.preupload_lfs_files(**self._named, additions=operations, revision=branch))

    def commit(self, operations: Sequence[Operation], title: str, revision: str, parent: str | None = None) -> None:
        """Make a commit.

        Raises:
            Interrupted: If it may have been made; a Conflict if the revision is not at `parent` any more.
        """
        self._create_commit(operations=operations, commit_message=title, revision=revision, parent_commit=parent)

    def open_pull(self, operations: Sequence[Operation], title: str, branch: str, parent: str) -> int:
        """Make a commit on a new pull request and return its number; raises as `commit` does."""
        made = self._create_commit(
            operations=operations, commit_message=title, revision=branch, parent_commit=parent, create_pr=True
        )
        if made.pr_num is None:
            raise Interrupted("another process made the same commit", 0.0)
        return int(made.pr_num)

    def _create_commit(self, **given: Any) -> CommitInfo:
        made: CommitInfo = self.hub.once(self.where, lambda: self._api.create_commit(**self._named, **given))
        return made

    def find_pull(self, title: str) -> int | None:
        """Return the number of the open pull request with a title."""
        found = self._call(
            lambda: [
                *self._api.get_repo_discussions(**self._named, discussion_type="pull_request", discussion_status="open")
            ]
        )
        return next((one.num for one in found if one.title == title), None)

    def merge(self, pull: int) -> None:
        """Merge a pull request, or close it where that is refused.

        Raises:
            Interrupted: If it may have been merged, or was closed.
        """
        given = {**self._named, "discussion_num": pull}
        try:
            self.hub.once(self.where, lambda: self._api.merge_pull_request(**given))
        except (Conflict, RobotroveError) as exc:
            self._call(lambda: self._api.change_discussion_status(**given, new_status="closed"))
            raise Interrupted(f"pull request {pull} could not be merged and was closed", 0.0) from exc

    def tag(self, name: str, commit: str) -> None:
        """Let a tag point to a commit; while it moves there is none for a moment."""
        refs = self._call(lambda: self._api.list_repo_refs(**self._named))
        found = next((ref.target_commit for ref in refs.tags if ref.name == name), None)
        if found == commit:
            return
        if found is not None:
            self._call(lambda: self._remove_tag(name))
        self._call(lambda: self._api.create_tag(**self._named, tag=name, revision=commit, exist_ok=True))

    def _remove_tag(self, name: str) -> None:
        with suppress(RevisionNotFoundError):  # an earlier try had removed it, though its answer was lost
            self._api.delete_tag(**self._named, tag=name)

    def _call(self, act: Callable[[], T]) -> T:
        return self.hub.call(self.where, act)


def read(repository: Repository, file: RepoFile, revision: str) -> bytes:
    """Return a small file."""

    def fetch() -> bytes:
        stream = BytesIO()
        _get(repository, file, revision, stream, 0)
        return stream.getvalue()

    return repository.hub.call(repository.where, fetch)


def download(repository: Repository, file: RepoFile, commit: str, incomplete: Path) -> None:
    """Complete what is there of a file, and check it.

    Raises:
        RobotroveError: If its content is not what the Hub says of it.
    """
    for _ in range(_ATTEMPTS):
        repository.hub.call(repository.where, partial(_append, repository, file, commit, incomplete))
        if is_right(file, pieces(incomplete)):
            sync_file(incomplete)
            return
        incomplete.unlink()
    raise RobotroveError(
        f"{repository.where}, {file.path}",
        f"arrived {_ATTEMPTS} times with other content than the Hub states",
        f"{file.size:,} bytes with the digest of its commit",
        "rerun the command; if it fails too, ask the owner of the network or the repository",
    )


def is_right(file: RepoFile, content: Iterator[bytes]) -> bool:
    """True if some content is that of a file on the Hub."""
    if file.lfs is not None:
        return digest_of("sha256", content) == file.lfs.sha256
    return git_digest(file.size, content) == file.blob_id


def _append(repository: Repository, file: RepoFile, commit: str, incomplete: Path) -> None:
    with open(incomplete, "ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        if stream.tell() < file.size:
            _get(repository, file, commit, stream, stream.tell())


def _get(repository: Repository, file: RepoFile, revision: str, stream: BinaryIO, first: int) -> None:
    api = repository.hub.api
    url = hf_hub_url(repository.repo_id, file.path, repo_type="dataset", revision=revision, endpoint=api.endpoint)
    http_get(url, stream, resume_size=first, headers=build_hf_headers(token=get_token()), expected_size=file.size)
