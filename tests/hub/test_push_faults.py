"""A push through everything that can go wrong: it goes on by itself, or the same push again finishes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.hub import client
from robotrove.hub import push as push_module
from robotrove.hub.client import Hub
from robotrove.hub.push import Push
from robotrove.tests.support.hub.pushing import CARD, NAME, check_published, expected, folder, push, shown
from robotrove.tests.support.hub.server import TOKEN, HubServer

# What a push asks for, each with every way in which it may fail for a while.
REQUESTS = [
    "POST /api/repos/create",
    "POST .*/paths-info/",
    "POST .*/preupload/",
    "POST .*/objects/batch",
    "PUT /storage/.*/1$",
    r"PUT /storage/lab/cubes/\w+$",
    "POST /storage/.*/complete",
    "POST .*/objects/verify",
    r"GET /api/datasets/lab/cubes(/revision/main)?$",
    "GET .*/tree/",
    "POST /api/validate-yaml",
    "POST .*/commit/",
    "GET .*/refs",
    "POST .*/tag/",
]
FAULTS = {
    "busy": {"status": 429, "headers": {"Retry-After": "0"}},
    "down": {"status": 503},
    "late": {"status": 504, "kind": "after the work"},
    "cut going": {"kind": "cut the request"},
    "cut coming": {"kind": "cut the answer"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path / "dataset", count=3)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_push_outlasts_a_fault_of_every_request(hub: HubServer, root: Path, fault: str) -> None:
    met = [hub.fail(match, **FAULTS[fault]) for match in REQUESTS]
    push(root)
    assert [one.match for one in met if not one.met] == []
    # Of a file that came and whose answer was lost huggingface_hub does not know that it came.
    twice = 1 if fault in ("late", "cut coming") else 0
    check_published(hub, root, twice=twice)


@pytest.mark.parametrize("match", ["POST .*/commit/main", "POST .*/merge", r"POST .*/commit/refs%2Fpr"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_request_outlasts_faults(
    hub: HubServer, root: Path, match: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "MAX_OPERATIONS", 3)
    met = hub.fail(match, **FAULTS[fault])
    push(root)
    assert met.met == 1
    check_published(hub, root)
    assert [pull["status"] for pull in hub.repository(NAME).state["pulls"]] == ["merged"]


def test_the_wish_of_the_server_is_honoured(hub: HubServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[str] = []
    monkeypatch.setattr(client.Hub, "pause", lambda self, why, seconds: pauses.append(f"{seconds:g} s, {why}"))
    hub.fail("POST /api/repos/create", status=429, headers={"Retry-After": "7"}, message="slow down")
    hub.fail("POST /api/repos/create", status=429, headers={"RateLimit": '"api";r=0;t=41'}, message="enough")
    push(root)
    assert pauses == ["7 s, the Hub answered 429: slow down", "41 s, the Hub answered 429: enough"]


@pytest.mark.parametrize("match", ["POST .*/objects/batch", "POST .*/commit/", "POST .*/tag/", "GET .*/tree/"])
def test_what_lasts_is_told_and_the_same_push_finishes(
    hub: HubServer, root: Path, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    monkeypatch.setattr(push_module, "_ATTEMPTS", 2)
    fault = hub.fail(match, status=500, times=1000, skip=1 if "tree" in match else 0, message="out of order")
    with pytest.raises(RobotroveError, match=r"lab/cubes on the Hub[\s\S]*out of order[\s\S]*rerun the command"):
        push(root)
    assert fault.met > 1
    if match not in ("POST .*/tag/", "GET .*/tree/"):
        assert shown(hub) == {}
    hub.faults.clear()
    push(root)
    check_published(hub, root)


@pytest.mark.parametrize("when", ["POST .*/objects/batch", "POST .*/commit/"])
def test_a_token_that_expires(hub: HubServer, root: Path, when: str) -> None:
    hub.fail(when, status=401, message="Invalid credentials in Authorization header")
    with pytest.raises(RobotroveError, match=r"answered 401[\s\S]*hf auth login") as caught:
        push(root)
    assert TOKEN not in str(caught.value)
    assert shown(hub) == {}
    push(root)
    check_published(hub, root)


def test_a_token_that_is_none(hub: HubServer, root: Path) -> None:
    hub.tokens.clear()
    with pytest.raises(RobotroveError, match=r"answered 401[\s\S]*a valid token"):
        push(root)


def test_a_full_quota(hub: HubServer, root: Path) -> None:
    hub.transfers.quota = 1000
    with pytest.raises(RobotroveError, match=r"storage limit reached[\s\S]*free storage"):
        push(root)
    assert shown(hub) == {}
    hub.transfers.quota = None
    push(root)
    check_published(hub, root)


def test_too_large_a_body(hub: HubServer, root: Path) -> None:
    hub.fail("POST .*/commit/", status=413, message="Payload too large")
    with pytest.raises(RobotroveError, match=r"answered 413: Payload too large[\s\S]*free storage"):
        push(root)


def test_a_file_that_goes_away(hub: HubServer, root: Path) -> None:
    one = Push(Hub(), root, repo_id=NAME, branch="main", version="v3.0", card=CARD)
    one.prepare(public=False)
    (root / "meta/info.json").unlink()
    with pytest.raises(RobotroveError, match=r"meta/info\.json: cannot be read: [\s\S]*does not change"):
        one.publish()
    assert shown(hub) == {}


def test_somebody_else_commits_at_the_same_time(hub: HubServer, root: Path) -> None:
    push(root)
    repository = hub.repository(NAME)
    (root / "meta/info.json").write_text("{}")
    asked = hub.fail("POST .*/commit/", status=412, message="A commit has happened since")
    tree = repository.tree("main") | {"NOTES": repository.keep(b"by hand")}
    repository.move("main", repository.commit(repository.resolve("main"), tree, "by hand"))
    push(root)
    assert asked.met == 1
    assert shown(hub) == expected(root) | {"NOTES": b"by hand"}
    assert repository.resolve("v3.0") == repository.resolve("main")


def test_a_push_that_died_goes_on_with_its_pull_request(
    hub: HubServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "MAX_OPERATIONS", 3)
    hub.fail(r"POST .*/commit/refs%2Fpr", status=403, message="not now")
    with pytest.raises(RobotroveError, match="not now"):
        push(root)
    assert shown(hub) == {}
    assert len(shown(hub, "refs/pr/1")) == 3
    push(root)
    assert [pull["status"] for pull in hub.repository(NAME).state["pulls"]] == ["merged"]
    check_published(hub, root)


def test_a_pull_request_that_cannot_be_merged_is_closed(
    hub: HubServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "MAX_OPERATIONS", 3)
    hub.fail("POST .*/merge", status=409, message="conflicts")
    push(root)
    assert [pull["status"] for pull in hub.repository(NAME).state["pulls"]] == ["closed", "merged"]
    check_published(hub, root)
