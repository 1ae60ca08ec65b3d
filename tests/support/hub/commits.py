"""Commits and pull requests of the Hub of the tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from .messages import Answer, Refused, Request
from .store import Repository, Tree


def preupload(repository: Repository, revision: str, request: Request) -> Answer:
    """Say which files are large, and the oid of those that are there."""
    tree = repository.tree(revision)
    found = []
    for file in request.json()["files"]:
        path = file["path"]
        is_large = path.endswith((".parquet", ".mp4")) or file["size"] > 10 << 20
        entry = tree.get(path, {})
        oid = entry.get("sha256", entry.get("oid"))
        found.append({"path": path, "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False, "oid": oid})
    return Answer.of({"files": found, "commitOid": repository.resolve(revision)})


def commit(url: str, name: str, repository: Repository, revision: str, request: Request) -> Answer:
    """Make a commit on a branch, on a pull request, or on a new pull request."""
    head = repository.resolve(revision)
    header, *operations = list(_lines(request))
    if header.get("parentCommit", head) != head:
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    tree = repository.tree(head)
    for key, value in operations:
        _apply(repository, tree, key, value)
    oid = repository.commit(head, tree, header["summary"])
    answer = {"success": True, "commitOid": oid, "commitUrl": f"{url}/datasets/{name}/commit/{oid}"}
    if request.parameters.get("create_pr"):
        number = _open_pull(repository, header["summary"], revision, head, oid, str(request.user))
        return Answer.of(answer | {"pullRequestUrl": f"{url}/datasets/{name}/discussions/{number}"})
    repository.move(revision, oid)
    return Answer.of(answer)


def _lines(request: Request) -> Iterator[Any]:
    for line in request.body().splitlines():
        found = json.loads(line)
        yield found["value"] if found["key"] == "header" else (found["key"], found["value"])


def _apply(repository: Repository, tree: Tree, key: str, value: dict[str, Any]) -> None:
    path = value["path"]
    if key == "file":
        tree[path] = repository.keep(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        if not repository.large(value["oid"]).exists():
            raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
        tree[path] = repository.large_entry(value["oid"])
    elif key == "deletedFile":
        if tree.pop(path, None) is None:
            raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
    elif key == "deletedFolder":
        for inner in [inner for inner in tree if inner.startswith(path.rstrip("/") + "/")]:
            del tree[inner]


def _open_pull(repository: Repository, title: str, branch: str, base: str, head: str, author: str) -> int:
    state = repository.state
    number = len(state["pulls"]) + 1
    pull = {"num": number, "title": title, "status": "open", "branch": branch, "base": base, "head": head}
    state["pulls"].append(pull | {"author": author})
    repository.save(state)
    return number


def discussions(name: str, repository: Repository, request: Request) -> Answer:
    """List pull requests; there are no other discussions."""
    status = request.parameters.get("status", "all")
    pulls = [pull for pull in repository.state["pulls"] if status in ("all", pull["status"])]
    found = [
        {
            "num": pull["num"],
            "title": pull["title"],
            "status": pull["status"],
            "author": {"name": pull["author"]},
            "createdAt": "2026-01-01T00:00:00.000Z",
            "isPullRequest": True,
            "repo": {"name": name, "type": "dataset"},
        }
        for pull in pulls
    ]
    return Answer.of({"discussions": found, "count": len(found), "start": 0})


def change_pull(repository: Repository, number: int, change: str, request: Request) -> Answer:
    """Merge or close a pull request."""
    state = repository.state
    pull = repository.pull(state, number)
    if change == "merge":
        if pull["status"] != "open":
            raise Refused(400, f"the pull request is {pull['status']}")
        if state["branches"][pull["branch"]] != pull["base"]:
            raise Refused(409, "the pull request has conflicts")
        state["branches"][pull["branch"]] = pull["head"]
        pull["status"] = "merged"
    else:
        pull["status"] = request.json()["status"]
    repository.save(state)
    event = {
        "id": "1", "type": "status-change", "createdAt": "2026-01-01T00:00:00.000Z", "author": {"name": "x"},
        "data": {"status": pull["status"]},
    }  # fmt: skip
    return Answer.of({"newStatus": event})
