"""Repositories of the Hub of the tests, on disk: refs, commits, trees, blobs."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .messages import Refused

Entry: TypeAlias = dict[str, Any]  # size, oid (git), and of a large file sha256
Tree: TypeAlias = dict[str, Entry]


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    """One repository; what changes it holds the server's lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "objects"
        self._state_file = root / "repository.json"

    @property
    def exists(self) -> bool:
        return self._state_file.exists()

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads(self._state_file.read_text()))

    def save(self, state: Mapping[str, Any]) -> None:
        self._state_file.write_text(json.dumps(state))

    def create(self, *, private: bool, owner: str) -> None:
        self.objects.mkdir(parents=True)
        (self.root / "commits").mkdir()
        self.save({"private": private, "owner": owner, "branches": {}, "tags": {}, "pulls": []})
        attributes = self.keep(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")
        first = self.commit(None, {".gitattributes": attributes}, "initial commit")
        self.save(self.state | {"branches": {"main": first}})

    def keep(self, content: bytes) -> Entry:
        """Store a small file."""
        oid = git_oid(content)
        (self.objects / oid).write_bytes(content)
        return {"size": len(content), "oid": oid}

    def large(self, sha256: str) -> Path:
        """Where a large file is, or will be."""
        return self.objects / sha256

    def large_entry(self, sha256: str) -> Entry:
        size = self.large(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return {"size": size, "oid": git_oid(pointer.encode()), "sha256": sha256}

    def path_of(self, entry: Entry) -> Path:
        return self.objects / entry.get("sha256", entry["oid"])

    def commit(self, parent: str | None, tree: Tree, title: str) -> str:
        """Store a commit; no ref points to it yet."""
        oid = secrets.token_hex(20)
        (self.root / "commits" / oid).write_text(json.dumps({"parent": parent, "title": title, "tree": tree}))
        return oid

    def _commit(self, oid: str) -> dict[str, Any]:
        return dict(json.loads((self.root / "commits" / oid).read_text()))

    def tree(self, revision: str) -> Tree:
        return dict(self._commit(self.resolve(revision))["tree"])

    def parents(self, revision: str) -> list[str]:
        """Return the commits of a revision, the newest first."""
        found = [self.resolve(revision)]
        while parent := self._commit(found[-1])["parent"]:
            found.append(parent)
        return found

    def resolve(self, revision: str) -> str:
        """Return the commit of a branch, tag, pull request or commit."""
        state = self.state
        refs = state["branches"] | state["tags"] | {f"refs/pr/{pull['num']}": pull["head"] for pull in state["pulls"]}
        if revision in refs:
            return str(refs[revision])
        if (self.root / "commits" / revision).is_file():
            return revision
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def move(self, ref: str, commit: str) -> None:
        """Let a branch or pull request point to a commit."""
        state = self.state
        if ref.startswith("refs/pr/"):
            self.pull(state, int(ref.removeprefix("refs/pr/")))["head"] = commit
        elif ref in state["branches"]:
            state["branches"][ref] = commit
        else:
            raise Refused(404, f"there is no branch {ref}", "RevisionNotFound")
        self.save(state)

    @staticmethod
    def pull(state: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return a pull request of a state that was read."""
        for pull in state["pulls"]:
            if pull["num"] == number:
                found: dict[str, Any] = pull
                return found
        raise Refused(404, f"there is no discussion {number}")


def folders(paths: Iterable[str]) -> set[str]:
    """Return every folder that some paths are in."""
    return {"/".join(parts[:count]) for path in paths for parts in [path.split("/")] for count in range(1, len(parts))}
