"""The routes of the Hub of the tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from . import commits
from .lfs import Transfers
from .messages import Answer, Refused, Request
from .store import Entry, Repository, folders

PAGE = 1000
_NAME = r"(?P<name>[^/]+/[^/]+)"
_REVISION = r"(?P<revision>[^/]+)"


class Api:
    """Answers requests; one that changes something at a time.

    Args:
        root: Folder of everything.
        url: Address of the server.
        transfers: Large files.
    """

    def __init__(self, root: Path, url: str, transfers: Transfers) -> None:
        self._root = root
        self._url = url
        self._transfers = transfers
        lfs = rf"/datasets/{_NAME}\.git/info/lfs/objects"
        api = rf"/api/datasets/{_NAME}"
        routes: dict[str, Callable[..., Answer]] = {
            r"GET /api/whoami-v2": self._whoami,
            r"POST /api/validate-yaml": lambda request: Answer.of({"warnings": [], "errors": []}),
            r"POST /api/repos/create": self._create,
            rf"GET {api}": self._info,
            rf"GET {api}/revision/{_REVISION}": self._info,
            rf"PUT {api}/settings": self._settings,
            rf"POST {api}/preupload/{_REVISION}": lambda request, name, revision: commits.preupload(
                self._writable(request, name), revision, request
            ),
            rf"POST {lfs}/batch": lambda request, name: self._transfers.batch(
                name, self._writable(request, name), request
            ),
            rf"POST {lfs}/verify": lambda request, name: self._transfers.verify(self._writable(request, name), request),
            rf"PUT /storage/{_NAME}/(?P<oid>\w+)": lambda request, name, oid: self._transfers.whole(
                self._at(name), oid, request
            ),
            rf"PUT /storage/{_NAME}/(?P<oid>\w+)/(?P<number>\d+)": lambda request, name, oid, number: (
                self._transfers.part(self._at(name), oid, int(number), request)
            ),
            rf"POST /storage/{_NAME}/(?P<oid>\w+)/complete": lambda request, name, oid: self._transfers.complete(
                self._at(name), oid, request
            ),
            rf"POST {api}/commit/{_REVISION}": lambda request, name, revision: commits.commit(
                self._url, name, self._writable(request, name), revision, request
            ),
            rf"GET {api}/discussions": lambda request, name: commits.discussions(
                name, self._readable(request, name), request
            ),
            rf"POST {api}/discussions/(?P<number>\d+)/(?P<change>merge|status)": lambda request, name, number, change: (
                commits.change_pull(self._writable(request, name), int(number), change, request)
            ),
            rf"GET {api}/refs": self._refs,
            rf"POST {api}/branch/(?P<branch>[^/]+)": self._branch,
            rf"DELETE {api}/branch/(?P<branch>[^/]+)": self._delete_branch,
            rf"POST {api}/tag/{_REVISION}": self._tag,
            rf"DELETE {api}/tag/(?P<tag>[^/]+)": self._delete_tag,
            rf"GET {api}/tree/{_REVISION}(/(?P<folder>.+))?": self._tree,
            rf"POST {api}/paths-info/{_REVISION}": self._paths_info,
            rf"(GET|HEAD) /datasets/{_NAME}/resolve/{_REVISION}/(?P<path>.+)": self._resolve,
        }
        self._routes = {re.compile(pattern): handler for pattern, handler in routes.items()}

    def answer(self, request: Request) -> Answer:
        """Return what the Hub says to a request."""
        for pattern, handler in self._routes.items():
            if found := pattern.fullmatch(f"{request.method} {request.path}"):
                arguments = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
                return handler(request, **arguments)
        raise Refused(404, f"there is no {request.method} {request.path}")

    def _at(self, name: str) -> Repository:
        return Repository(self._root / name)

    def _readable(self, request: Request, name: str) -> Repository:
        repository = self._at(name)
        if not repository.exists or (repository.state["private"] and request.user is None):
            raise Refused(404 if request.user else 401, "Repository not found", "RepoNotFound")
        return repository

    def _writable(self, request: Request, name: str) -> Repository:
        if request.user is None:
            raise Refused(401, "Invalid username or password.")
        repository = self._readable(request, name)
        if repository.state["owner"] != request.user:
            raise Refused(403, "You don't have the rights to write to this repository")
        return repository

    def _whoami(self, request: Request) -> Answer:
        if request.user is None:
            raise Refused(401, "Invalid username or password.")
        return Answer.of({"type": "user", "name": request.user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def _create(self, request: Request) -> Answer:
        wish = request.json()
        owner = wish.get("organization") or request.user
        if request.user is None:
            raise Refused(401, "Invalid username or password.")
        if owner != request.user:
            raise Refused(403, f"You don't have the rights to create a dataset under the namespace {owner!r}")
        name = f"{owner}/{wish['name']}"
        if self._at(name).exists:
            raise Refused(409, "You already created this dataset repo", url=f"{self._url}/datasets/{name}")
        self._at(name).create(private=wish.get("private") or wish.get("visibility") == "private", owner=owner)
        return Answer.of({"url": f"{self._url}/datasets/{name}", "name": name})

    def _info(self, request: Request, name: str, revision: str = "main") -> Answer:
        repository = self._readable(request, name)
        head = repository.resolve(revision)
        siblings = [{"rfilename": path} for path in repository.tree(head)]
        private = repository.state["private"]
        return Answer.of({"id": name, "sha": head, "private": private, "tags": [], "downloads": 0, "likes": 0}
                         | {"siblings": siblings, "xetEnabled": False})  # fmt: skip

    def _settings(self, request: Request, name: str) -> Answer:
        repository = self._writable(request, name)
        wish = request.json()
        private = wish.get("private", wish.get("visibility") == "private")
        repository.save(repository.state | {"private": private})
        return Answer.of({"private": private})

    def _refs(self, request: Request, name: str) -> Answer:
        state = self._readable(request, name).state

        def named(refs: Mapping[str, str], kind: str) -> list[dict[str, str]]:
            return [{"name": ref, "ref": f"refs/{kind}/{ref}", "targetCommit": oid} for ref, oid in refs.items()]

        pulls = [
            {"name": str(pull["num"]), "ref": f"refs/pr/{pull['num']}", "targetCommit": pull["head"]}
            for pull in state["pulls"]
        ]
        branches, tags = named(state["branches"], "heads"), named(state["tags"], "tags")
        return Answer.of({"branches": branches, "tags": tags, "converts": [], "pullRequests": pulls})

    def _branch(self, request: Request, name: str, branch: str) -> Answer:
        repository = self._writable(request, name)
        state = repository.state
        if branch in state["branches"]:
            raise Refused(409, f"Reference already exists: {branch}")
        state["branches"][branch] = repository.resolve(request.json().get("startingPoint", "main"))
        repository.save(state)
        return Answer.of({})

    def _delete_branch(self, request: Request, name: str, branch: str) -> Answer:
        return self._delete_ref(request, name, "branches", branch)

    def _tag(self, request: Request, name: str, revision: str) -> Answer:
        repository = self._writable(request, name)
        state = repository.state
        tag = request.json()["tag"]
        if tag in state["tags"]:
            raise Refused(409, "Tag reference exists already.")
        state["tags"][tag] = repository.resolve(revision)
        repository.save(state)
        return Answer.of({})

    def _delete_tag(self, request: Request, name: str, tag: str) -> Answer:
        return self._delete_ref(request, name, "tags", tag)

    def _delete_ref(self, request: Request, name: str, kind: str, ref: str) -> Answer:
        repository = self._writable(request, name)
        state = repository.state
        if state[kind].pop(ref, None) is None:
            raise Refused(404, f"there is no {ref}", "RevisionNotFound")
        repository.save(state)
        return Answer.of({})

    def _tree(self, request: Request, name: str, revision: str, folder: str = "") -> Answer:
        tree = self._readable(request, name).tree(revision)
        inside = {path: tree[path] for path in sorted(tree) if not folder or path.startswith(folder + "/")}
        if folder and not inside:
            raise Refused(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
        found = _listed(inside)
        if request.parameters.get("recursive", "false").lower() not in ("true", "1"):
            depth = folder.count("/") + 1 if folder else 0
            found = [one for one in found if one["path"].count("/") == depth]
        first = int(request.parameters.get("cursor", "0"))
        headers = {}
        if first + PAGE < len(found):
            query = "&".join([part for part in request.query.split("&") if part and not part.startswith("cursor=")])
            headers["Link"] = f'<{self._url}{request.path}?{query}&cursor={first + PAGE}>; rel="next"'
        return Answer.of(found[first : first + PAGE], **headers)

    def _paths_info(self, request: Request, name: str, revision: str) -> Answer:
        tree = self._readable(request, name).tree(revision)
        paths = request.form()["paths"]
        return Answer.of([one for one in _listed(tree) if one["path"] in paths])

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        repository = self._readable(request, name)
        commit = repository.resolve(revision)
        entry = repository.tree(commit).get(path)
        if entry is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        etag = f'"{entry.get("sha256", entry["oid"])}"'
        headers = {"X-Repo-Commit": commit, "ETag": etag, "Accept-Ranges": "bytes"}
        if "sha256" in entry:
            headers |= {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": etag}
        return Answer(content=repository.path_of(entry), headers=headers)


def _listed(tree: Mapping[str, Entry]) -> list[dict[str, Any]]:
    files = [_file(path, entry) for path, entry in tree.items()]
    return [*_folders(tree), *files]


def _folders(paths: Iterable[str]) -> list[dict[str, Any]]:
    return [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders(paths))]


def _file(path: str, entry: Entry) -> dict[str, Any]:
    found = {"type": "file", "path": path, "oid": entry["oid"], "size": entry["size"]}
    if "sha256" in entry:
        found["lfs"] = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 130}
    return found
