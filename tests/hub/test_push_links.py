"""Links in a dataset: no file from outside of it is sent, unless that is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robotrove.core.errors import UsageError
from robotrove.hub.client import Hub
from robotrove.hub.push import Push
from robotrove.tests.support.hub.pushing import CARD, NAME, check_published, expected, folder, push, shown
from robotrove.tests.support.hub.server import HubServer

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"
VIDEO = "videos/front/chunk-000/file-000.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path / "dataset", large=1000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder beside the dataset, with a secret."""
    (tmp_path / "dataset-of-mine/.ssh").mkdir(parents=True)
    (tmp_path / "dataset-of-mine/.ssh/key").write_bytes(SECRET)
    return tmp_path / "dataset-of-mine"


def test_files_and_folders_outside_are_named_and_not_sent(hub: HubServer, root: Path, home: Path) -> None:
    (root / "data/notes.txt").symlink_to(home / ".ssh/key")
    (root / "annotations").symlink_to(home / ".ssh")
    (root / "meta/up").symlink_to("../../dataset-of-mine/.ssh/key")
    with pytest.raises(UsageError) as caught:
        push(root)
    assert str(caught.value) == (
        f"{root}: would send files from outside of the dataset:\n"
        f"    annotations -> {home}/.ssh\n"
        f"    data/notes.txt -> {home}/.ssh/key\n"
        f"    meta/up -> {home}/.ssh/key\n"
        "  expected: files that are in the dataset\n"
        "  to do: copy them into it, or send them on purpose: --follow-links (follow_links: true in a pipeline)"
    )
    assert hub.requests == []


def test_only_the_first_are_listed(hub: HubServer, root: Path, home: Path) -> None:
    for number in range(8):
        (root / f"{number}\x1b[31m").symlink_to(home / ".ssh/key")
    with pytest.raises(UsageError, match=r"4\\x1b\[31m -> .*\n    and 3 more\n"):
        push(root)


def test_they_are_sent_on_purpose(hub: HubServer, root: Path, home: Path) -> None:
    (root / "data/notes.txt").symlink_to(home / ".ssh/key")
    (root / "annotations").symlink_to(home / ".ssh")
    push(root, follow_links=True)
    added = {"data/notes.txt": SECRET, "annotations/key": SECRET}
    assert shown(hub) == expected(root) | added


def test_links_inside_and_to_the_dataset(hub: HubServer, root: Path, tmp_path: Path) -> None:
    (root / VIDEO).rename(root / "meta/video")
    (root / VIDEO).symlink_to("../../../meta/video")
    (root / "images").symlink_to("videos")
    (tmp_path / "named").symlink_to(root)
    push(tmp_path / "named")
    assert shown(hub) == expected(root) | {
        VIDEO: (root / "meta/video").read_bytes(),
        "images/front/chunk-000/file-000.mp4": (root / "meta/video").read_bytes(),
    }


def test_the_cache_of_the_hub(hub: HubServer, root: Path, home: Path, tmp_path: Path) -> None:
    """There, all files of a snapshot are links to blobs beside it."""
    blobs, snapshot = tmp_path / "datasets--lab--cubes/blobs", tmp_path / "datasets--lab--cubes/snapshots/0123abcd"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(root.rglob("*.*"))):
        if path.is_file() and ".cache" not in path.parts:
            link = snapshot / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            path.rename(blobs / str(number))
            link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    push(snapshot)
    check_published(hub, snapshot)
    (snapshot / "more").symlink_to(home / ".ssh/key")
    with pytest.raises(UsageError, match=r"\n    more -> .*/dataset-of-mine/.ssh/key\n"):
        push(snapshot)


@pytest.mark.parametrize("follow_links", [False, True])
@pytest.mark.parametrize("kind", ["circle", "two", "nowhere", "pipe"])
def test_what_is_neither_a_file_nor_a_folder(hub: HubServer, root: Path, kind: str, *, follow_links: bool) -> None:
    """A pipe would be waited for without end."""
    told = {
        "circle": f"data/again -> {root}",
        "two": f"meta/b/a -> {root}/meta\n    videos/a/b -> {root}/videos",
        "nowhere": f"data/gone -> {root}/data/nothing",
        "pipe": "data/pipe",
    }[kind]
    if kind == "circle":
        (root / "data/again").symlink_to("..")
    elif kind == "two":
        (root / "meta/b").symlink_to("../videos")
        (root / "videos/a").symlink_to("../meta")
    elif kind == "nowhere":
        (root / "data/gone").symlink_to("nothing")
    else:
        os.mkfifo(root / "data/pipe")
    with pytest.raises(UsageError) as caught:
        push(root, follow_links=follow_links)
    assert (
        f"contains what is neither a file nor a folder, or links that lead nowhere or in a circle:\n    {told}\n"
        in (str(caught.value))
    )
    assert hub.requests == []


def test_devices_are_not_read_even_on_purpose(hub: HubServer, root: Path) -> None:
    (root / "data/zero").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=r"in a circle:\n    data/zero -> /dev/zero\n"):
        push(root, follow_links=True)


def test_a_link_that_changes_after_the_check(hub: HubServer, root: Path, home: Path) -> None:
    """What is sent is the file that was checked."""
    (root / VIDEO).rename(root / "meta/video")
    (root / VIDEO).symlink_to("../../../meta/video")
    one = Push(Hub(), root, repo_id=NAME, branch="main", version="v3.0", card=CARD)
    (root / VIDEO).unlink()
    (root / VIDEO).symlink_to(home / ".ssh/key")
    one.prepare(public=False)
    for paths in one.batches():
        one.upload(paths)
    one.publish()
    assert shown(hub)[VIDEO] == (root / "meta/video").read_bytes()
