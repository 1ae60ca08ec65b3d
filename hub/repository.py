"""One dataset repository of the Hub: what is in it, and the acts that change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HFValidationError, RevisionNotFoundError
from huggingface_hub.hf_api import DatasetInfo, RepoFile
from huggingface_hub.utils import validate_repo_id

from ..core.errors import RobotroveError, UsageError
from .client import Conflict, Hub, Interrupted

T = TypeVar("T")

MAIN = "main"
Operation: TypeAlias = CommitOperationAdd | CommitOperationDelete


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
            raise UsageError(f"repository {repo_id!r}", f"cannot be one of the Hub: {exc}", expected) from exc
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
            raise Interrupted("somebody else made the same commit", 0.0)
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
