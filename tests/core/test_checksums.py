"""Checksums find every flipped bit and every zeroed page, also in files that contain their own."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import IO

import pytest

from robotrove.core import checksums
from robotrove.core.checksums import FileSum, copy_checked, file_sum, problem, sealed, sums_below, unsealed
from robotrove.core.commit import attempt_name
from robotrove.core.errors import Damaged
from robotrove.tests.support.pipelines.runs import run_here, sample, write_pipeline

PAGE = 4096
MUTATIONS = 1000  # in all, a half of them flipped bits


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shard")
    source = sample(folder, "demos.hdf5", episodes=2, frames=12)
    run_here(write_pipeline(folder, [source]), folder / "out")
    return folder / "out.run/shards/00000"


def damaged(data: bytes, chance: random.Random, *, is_flip: bool) -> bytes:
    """Return the bytes with one bit flipped, or one page of zeros; never the same bytes."""
    while True:
        changed = bytearray(data)
        if is_flip:
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            first = chance.randrange(0, len(data), PAGE)
            changed[first : first + PAGE] = bytes(len(changed[first : first + PAGE]))
        if changed != data:
            return bytes(changed)


def test_no_flipped_bit_and_no_zeroed_page_passes(shard: Path, tmp_path: Path) -> None:
    files = [path for path in shard.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".parquet", ".mp4", ".json"}
    chance = random.Random(19)
    bad, out = tmp_path / "bad", tmp_path / "out"
    for number in range(MUTATIONS):
        path = files[number // 2 % len(files)]
        data = path.read_bytes()
        expected = FileSum(len(data), hashlib.sha256(data).hexdigest())
        bad.write_bytes(damaged(data, chance, is_flip=number % 2 == 0))
        assert problem(bad, expected) == "has other bytes than were written"
        with pytest.raises(Damaged, match="has other bytes than were written"):
            copy_checked(bad, out, expected)
        assert problem(path, expected) == ""


def test_no_flipped_bit_and_no_zeroed_page_of_a_sealed_file_passes(shard: Path) -> None:
    data = (shard / "shard.json").read_bytes()
    chance = random.Random(19)
    for number in range(MUTATIONS):
        with pytest.raises(ValueError, match="checksum"):
            unsealed(damaged(data, chance, is_flip=number % 2 == 0))
    assert unsealed(data) == data[:-79].decode() + "}"


def test_every_bit_of_a_seal_counts() -> None:
    data = sealed('{"a": "é"}')
    assert data[:-66] == '{"a": "é", "sha256": "'.encode()
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises(ValueError, match="checksum"):
                unsealed(bytes(changed))
    for length in range(len(data)):
        with pytest.raises(ValueError, match="checksum"):
            unsealed(data[:length])


def test_a_sealed_text_is_json_with_the_digest_of_the_text() -> None:
    text = '{"a": [1, 2],  "b": "x\\u0079"}'  # white space and escapes count, though the values are equal
    assert json.loads(sealed(text)) == {"a": [1, 2], "b": "xy", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert unsealed(sealed(text)) == text


ROBOT = FileSum(5, "18d63be10ad544a04a22c944dee01d6d864ec69b797a58edae92e6a44ad8fdbf")  # printf robot | sha256sum


def test_differences_have_words(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"robot")
    assert file_sum(path) == ROBOT
    assert problem(path, ROBOT) == ""
    path.write_bytes(b"rob")
    assert problem(path, ROBOT) == "has 3 bytes instead of 5"
    with pytest.raises(Damaged, match="has 3 bytes instead of 5") as caught:
        copy_checked(path, tmp_path / "copy", ROBOT)
    assert caught.value.where == str(path)
    path.write_bytes(b"robots")
    assert problem(path, ROBOT) == "has 6 bytes instead of 5"
    path.unlink()
    assert problem(path, ROBOT) == "is missing"
    assert problem(path / "file", ROBOT) == "is missing"
    path.mkdir()
    assert problem(path, ROBOT) == "is missing"
    assert problem(path / "file", ROBOT) == "is missing"


def test_an_old_copy_at_the_first_look_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, old, out = (tmp_path / name for name in ("file", "old", "copy"))
    path.write_bytes(b"robot")
    old.write_bytes(b"tobor")
    looks: list[Path] = []

    def cached(opened: Path, mode: str) -> IO[bytes]:
        """Give a client's old copy of the file at the first look."""
        looks.extend([opened] * (opened == path))
        return open(old if opened == path and len(looks) == 1 else opened, mode)

    monkeypatch.setattr(checksums, "open", cached, raising=False)
    assert problem(path, ROBOT) == ""
    assert len(looks) == 2
    looks.clear()
    copy_checked(path, out, ROBOT)
    assert len(looks) == 2
    assert out.read_bytes() == b"robot"


def test_sums_below_a_folder_are_sorted_by_path(tmp_path: Path) -> None:
    root = tmp_path / attempt_name("shard")  # as each folder that is being written
    (root / "b/c").mkdir(parents=True)
    for name in ("b/c/é", "b.txt", "a"):
        (root / name).write_bytes(b"robot")
    assert list(sums_below(root).items()) == [("a", ROBOT), ("b.txt", ROBOT), ("b/c/é", ROBOT)]
