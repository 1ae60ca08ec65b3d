"""Addresses of OSMO, and its output without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.blocks.publish.osmo import OsmoAddress, recording_of, redacted
from robotrove.core.errors import UsageError


@pytest.mark.parametrize(
    "name",
    [
        *("", "a.b", "a/b/c", "-x", "isaac/-x", "a:b:c", "a:", "/a", "a b", "isaac/a:--desc", "ä", "a\n"),
        *("swift://host/account", "s3://", "tos://host", "azure://account", "https://host/x", "s3://a b", "s3://x/a,b"),
        *("s3://user:secret@host/x", "s3://x\n"),
    ],
)
def test_addresses_that_osmo_does_not_take(name: str) -> None:
    with pytest.raises(UsageError, match=r"letters, digits, - and _, or swift://…") as caught:
        OsmoAddress(name, "osmo:")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "entry", "path"),
    [
        ("cubes", {"dataset": {"name": "cubes"}}, "{{input:0}}/cubes/pick/lerobot"),
        ("isaac/cubes", {"dataset": {"name": "isaac/cubes"}}, "{{input:0}}/cubes/pick/lerobot"),
        ("cubes:latest", {"dataset": {"name": "cubes:latest"}}, "{{input:0}}/cubes/pick/lerobot"),
        ("isaac/gr1_b-2:v2", {"dataset": {"name": "isaac/gr1_b-2:v2"}}, "{{input:0}}/gr1_b-2/pick/lerobot"),
        ("_x", {"dataset": {"name": "_x"}}, "{{input:0}}/_x/pick/lerobot"),
        *(
            (uri, {"url": uri}, "{{input:0}}/pick/lerobot")
            for uri in ("swift://h/AUTH_a/c/d", "s3://b", "s3://b/a.b/c/", "gs://b/c", "tos://h/c", "azure://a/c")
        ),
    ],
)
def test_addresses_that_it_takes(address: str, entry: dict[str, object], path: str) -> None:
    """An input of a workflow is downloaded as {{input:0}}/NAME/…, of a URI as {{input:0}}/…"""
    taken = OsmoAddress(address, "osmo:")
    assert taken.workflow_input == entry
    assert taken.workflow_path("pick") == path


@pytest.mark.parametrize(
    ("root", "recording"),
    [("/x/pick/lerobot", "pick"), ("/x/cubes", "cubes"), ("/lerobot", "lerobot"), ("/x/pick/more/../lerobot", "pick")],
)
def test_the_name_of_the_folder_that_osmo_gets(root: str, recording: str) -> None:
    assert recording_of(Path(root)) == recording


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("password: hunter22, next", "password: ***, next"),
        ('{"access_key_id": "abc", "n": 1}', '{"access_key_id": "***", "n": 1}'),
        ("GET https://s3/x?X-Amz-Signature=0a1b2c&n=1", "GET https://s3/x?X-Amz-Signature=***&n=1"),
        ("swift://user:pass@host/x", "swift://***@host/x"),
        ("jwt eyJhbGciOi.eyJzdWIi.sig left", "jwt *** left"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("key hf_abcdefghijklmnopqrst", "key ***"),
        ("Uploaded 3 files to isaac/cubes:v2", "Uploaded 3 files to isaac/cubes:v2"),
    ],
)
def test_redacted(text: str, without: str) -> None:
    assert redacted(text) == without
