"""What a push leaves on the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import UsageError
from robotrove.hub import push as push_module
from robotrove.hub.client import Hub
from robotrove.hub.push import Push
from robotrove.tests.support.hub.pushing import CARD, NAME, check_published, expected, folder, push, shown, write
from robotrove.tests.support.hub.server import HubServer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path / "dataset")


def test_it_shows_the_dataset_in_one_commit(hub: HubServer, root: Path) -> None:
    published = push(root)
    check_published(hub, root)
    repository = hub.repository(NAME)
    assert published.commit == repository.resolve("main")
    assert len(repository.parents("main")) == 2  # the first one is the repository's own
    assert (published.files, published.tag, published.private) == (10, "v3.0", True)
    assert published.url == f"{hub.url}/datasets/{NAME}"
    assert repository.state["private"] is True


def test_public_only_where_asked(hub: HubServer, root: Path) -> None:
    assert push(root, public=True).private is False
    assert hub.repository(NAME).state["private"] is False


def test_the_same_again_sends_nothing(hub: HubServer, root: Path) -> None:
    first = push(root)
    sent = hub.transfers.received
    again = push(root)
    assert (again.commit, again.changed, hub.transfers.received) == (first.commit, 0, sent)


def test_what_changed_is_replaced_and_the_tag_moves(hub: HubServer, root: Path) -> None:
    first = push(root)
    write(root, "data/chunk-000/file-000.parquet", b"x" * 200)  # of the same size
    write(root, "meta/info.json", b'{"codebase_version": "v3.O"}')
    (root / "data/chunk-000/file-005.parquet").unlink()
    hub.transfers.sent.clear()
    again = push(root)
    assert again.changed == 3
    assert again.commit != first.commit
    assert sum(hub.transfers.sent.values()) == 1
    check_published(hub, root)


def test_equal_contents_are_sent_once(hub: HubServer, root: Path) -> None:
    write(root, "data/chunk-000/file-006.parquet", b"same")
    write(root, "data/chunk-000/file-007.parquet", b"same")
    push(root)
    check_published(hub, root)


def test_files_of_others_stay(hub: HubServer, root: Path) -> None:
    push(root)
    repository = hub.repository(NAME)
    tree = repository.tree("main") | {"LICENSE": repository.keep(b"mine"), "data/old.bin": repository.keep(b"old")}
    repository.move("main", repository.commit(repository.resolve("main"), tree, "by hand"))
    push(root)
    assert shown(hub) == expected(root) | {"LICENSE": b"mine"}


def test_a_card_of_somebodys_own_stays(hub: HubServer, root: Path) -> None:
    push(root)
    repository = hub.repository(NAME)
    tree = repository.tree("main") | {"README.md": repository.keep(b"# mine")}
    repository.move("main", repository.commit(repository.resolve("main"), tree, "by hand"))
    push(root, card=CARD + "other facts")
    assert shown(hub)["README.md"] == b"# mine"
    write(root, "README.md", b"# of the dataset")
    push(root)
    assert shown(hub)["README.md"] == b"# of the dataset"


def test_our_card_is_written_anew(hub: HubServer, root: Path) -> None:
    push(root)
    push(root, card=CARD + "other facts")
    assert shown(hub)["README.md"] == (CARD + "other facts").encode()


def test_both_versions_in_one_repository(hub: HubServer, root: Path, tmp_path: Path) -> None:
    old = folder(tmp_path / "old", count=2, seed=1)
    push(root)
    published = push(old, branch="v2.1", version="v2.1")
    assert shown(hub, "main") == shown(hub, "v3.0") == expected(root)
    assert shown(hub, "v2.1") == expected(old)
    assert (published.tag, list(hub.repository(NAME).state["tags"])) == ("", ["v3.0"])
    assert published.url.endswith("/tree/v2.1")


def test_a_branch_of_another_name_is_tagged(hub: HubServer, root: Path) -> None:
    push(root, branch="old", version="v2.1")
    assert shown(hub, "v2.1") == shown(hub, "old") == expected(root)
    assert shown(hub, "main") == {}


def test_more_than_a_commit_takes_goes_through_a_pull_request(
    hub: HubServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "MAX_OPERATIONS", 4)
    push(root)
    check_published(hub, root)
    repository = hub.repository(NAME)
    assert [pull["status"] for pull in repository.state["pulls"]] == ["merged"]
    assert len(repository.parents("main")) == 1 + 3
    # main went from nothing to everything in one step.
    assert sum("merge" in request for request in hub.requests) == 1


def test_ranks_send_and_one_commits(hub: HubServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "BATCH_FILES", 2)

    def rank() -> Push:
        return Push(Hub(), root, repo_id=NAME, branch="main", version="v3.0", card=CARD)

    rank().prepare(public=False)
    batches = rank().batches()
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 2]
    for batch in batches:
        rank().upload(batch)
        assert shown(hub) == {}
    sent = hub.transfers.received
    rank().publish()
    assert hub.transfers.received == sent
    check_published(hub, root)


@pytest.mark.parametrize("name", ["cubes", "lab/cubes/v3", "lab/", "lab/a b", "../x"])
def test_names_that_cannot_be(hub: HubServer, root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="OWNER/NAME"):
        push(root, name)
    assert hub.requests == []
