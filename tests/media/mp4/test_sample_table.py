from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from shutil import copyfile

import av
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media.mp4.boxes import Unusual, box
from robotrove.media.mp4.sample_table import fragment_frames, read_table
from robotrove.media.remux.clip import Clip
from robotrove.media.remux.concat import join
from robotrove.media.remux.video_index import VideoIndex, read_index
from robotrove.media.video.probe import probe
from robotrove.tests.support.media.odd_videos import make_odd
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, record
from robotrove.tests.support.media.seeks import write_clip


def values(index: VideoIndex) -> tuple[object, ...]:
    spans = [(first, end - first) for first in range(index.frames) for end in range(first + 1, index.frames + 1)]
    runs = [(index.is_copyable(*span), index.size(*span)) for span in spans]
    return index.frames, index.start, index.encoding, runs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time_base", [Fraction(1, FPS), Fraction(1, 1000)])
def test_same_as_by_packets(kind: str, time_base: Fraction, tmp_path: Path) -> None:
    one = record(tmp_path / "one.mp4", kind, 15, time_base=time_base)
    late = record(tmp_path / "late.mp4", kind, 9, first=4, time_base=time_base)
    for path in (one, late, concatenate([one, one], tmp_path / "two.mp4")):
        table, content = read_table(path), path.read_bytes()
        spans = zip(table.offsets.tolist(), table.sizes.tolist(), strict=True)
        stored = [content[offset : offset + size] for offset, size in spans]
        found = zip(table.pts, table.pts - table.leads, table.keyframes, stored, strict=True)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            assert (table.time_base, table.start_time) == (stream.time_base, stream.start_time)
            assert list(found) == [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in packets]
        odd = make_odd(Path(copyfile(path, tmp_path / "odd.mp4")))
        with pytest.raises(Unusual):
            read_table(odd)
        assert values(read_index(path, FPS)) == values(read_index(odd, FPS))


def patched(content: bytes, name: bytes, offset: int, data: bytes) -> bytes:
    """Write into a box, counted from after its name."""
    place = content.rindex(name) + len(name) + offset
    return content[:place] + data + content[place + len(data) :]


def is_ordinary(path: Path) -> bool:
    try:
        read_table(path)
    except Unusual:
        return False
    return True


# What is changed in which box, and where.
CHANGES = {
    "encrypted": (b"av01", -4, b"encv"),
    "in fragments": (b"udta", -4, b"mvex"),
    "two tracks": (b"udta", -4, b"trak"),
    "sound": (b"vide", -4, b"soun"),
    "frames in another file": (b"url ", 3, b"\0"),
    "QuickTime": (b"ftyp", 0, b"qt  "),
    "an edit list that cuts": (b"elst", 12, b"\0\0\2\0"),
    "an edit list that ends before": (b"elst", 8, b"\0\0\0\xff"),
    "half speed": (b"elst", 16, b"\0\0\x80\0"),
    "no time base": (b"mdhd", 12, bytes(4)),
    "no frames": (b"stsz", 8, bytes(4)),
    "4 billion frames": (b"stsz", 8, b"\xff" * 4),
    "4 billion frames of 1 byte": (b"stsz", 4, b"\0\0\0\1\xff\xff\xff\xff"),
    "an empty frame": (b"stsz", 12, bytes(4)),
    "a frame of 4 GB": (b"stsz", 12, b"\xff" * 4),
    "other number of times": (b"stts", 8, b"\0\0\0\1"),
    "4 billion times": (b"stts", 8, b"\xff" * 4),
    "no duration": (b"stts", 12, bytes(4)),
    "4 billion chunks": (b"stco", 4, b"\xff" * 4),
    "a chunk behind the end": (b"stco", 8, b"\x7f\xff\xff\xff"),
    "too many frames in a chunk": (b"stsc", 12, b"\xff" * 4),
    "chunks from the second one on": (b"stsc", 8, b"\0\0\0\2"),
    "a keyframe twice": (b"stss", 12, b"\0\0\0\1"),
    "a keyframe behind the end": (b"stss", 8, b"\0\1\0\0"),
    "a box larger than its box": (b"stbl", -8, b"\x7f\xff\xff\xff"),
    "a box smaller than its head": (b"stbl", -8, b"\0\0\0\7"),
    "two sample entries": (b"stsd", 4, b"\0\0\0\2"),
}


def test_files_that_are_not_ordinary(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "av1", 9)
    content = path.read_bytes()
    assert is_ordinary(path)
    for name, change in CHANGES.items():
        path.write_bytes(patched(content, *change))
        assert path.read_bytes() != content, name
        assert not is_ordinary(path), name
    for changed in (content + box(b"moof"), content + content[content.index(b"moov") - 4 :], content[:-1], b""):
        path.write_bytes(changed)
        assert not is_ordinary(path)
    assert not is_ordinary(tmp_path)


@pytest.mark.parametrize("kind", ["av1", "h264 B-frames", "hevc closed GOPs"])
def test_damage_is_no_worse_than_an_error(kind: str, tmp_path: Path) -> None:
    path, out = record(tmp_path / "a.mp4", kind, 12, first=2), tmp_path / "out.mp4"
    content = path.read_bytes()
    tables = content.index(b"moov")
    choose = random.Random(kind)
    failed = 0
    for number in range(150):
        damaged = bytearray(content)
        if number % 5 == 0:
            del damaged[choose.randrange(len(damaged)) :]
        for _ in range(number % 4):
            place = choose.randrange(tables, len(content))
            damaged[place : place + 4] = choose.choice(
                [b"\xff" * 4, bytes(4), choose.randbytes(1), choose.randbytes(4)]
            )
        path.write_bytes(damaged)
        message = "a.mp4"
        try:
            frames = read_index(path, FPS).frames
            assert frames <= 12
            join([Clip(path, 0, frames)], out, FPS)
        except RobotroveError as exc:
            message = str(exc)
            failed += 1
        assert "a.mp4" in message
    assert 30 < failed < 150


# How recorders cut a file into fragments.
FRAGMENTS = {
    "by keyframe": {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    "the first in moov": {"movflags": "frag_keyframe"},
    "one per frame": {"movflags": "frag_every_frame+empty_moov"},
    "by time": {"movflags": "empty_moov", "frag_duration": "200000"},
    "with an index": {"movflags": "frag_keyframe+empty_moov+dash+global_sidx"},
    "offsets from the file": {"movflags": "frag_keyframe+empty_moov+omit_tfhd_offset"},
}


def fragmented(path: Path, out: Path, options: dict[str, str]) -> Path:
    with av.open(str(path)) as source, av.open(str(out), "w", format="mp4", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return out


def timed(path: Path) -> list[tuple[object, ...]]:
    """Return time, duration and bytes of every packet."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return [(p.pts, p.dts, p.duration, p.time_base, p.is_keyframe, bytes(p)) for p in packets]


@pytest.mark.parametrize("kind", ["av1", "h264 in order", "h264 B-frames", "hevc closed GOPs"])
@pytest.mark.parametrize("how", FRAGMENTS)
def test_fragments_are_read_as_by_packets(kind: str, how: str, tmp_path: Path) -> None:
    plain = record(tmp_path / "plain.mp4", kind, 30)
    path = fragmented(plain, tmp_path / "a.mp4", FRAGMENTS[how])
    assert b"moof" in path.read_bytes()
    table, content = read_table(path), path.read_bytes()
    spans = zip(table.offsets.tolist(), table.sizes.tolist(), strict=True)
    found = zip(
        table.pts.tolist(),
        (table.pts - table.leads).tolist(),
        table.keyframes.tolist(),
        [content[offset : offset + size] for offset, size in spans],
        strict=True,
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (table.time_base, table.start_time) == (stream.time_base, stream.start_time)
        assert list(found) == [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in packets]
    out, expected = tmp_path / "out.mp4", tmp_path / "expected.mp4"
    clips = [(0, 30)] if kind == "hevc closed GOPs" else [(0, 12), (12, 18)]  # it has a keyframe at 7 and 14, not at 12
    join([Clip(path, *clip) for clip in clips], out, FPS)
    join([Clip(plain, *clip) for clip in clips], expected, FPS)
    assert timed(out) == timed(expected)
    assert len(timed(out)) == 30


def test_fragments_that_are_damaged_are_not_ordinary(tmp_path: Path) -> None:
    path = fragmented(record(tmp_path / "plain.mp4", "h264 in order", 30), tmp_path / "a.mp4", FRAGMENTS["by keyframe"])
    content = path.read_bytes()
    assert is_ordinary(path)
    second = content.index(b"moof", content.index(b"moof") + 4) - 4
    changes = {
        "the end is cut off": content[:-10],
        "a fragment is missing": content[:second] + content[content.index(b"moof", second + 8) - 4 :],
        "another track": patched(content, b"tfhd", 4, b"\0\0\0\7"),
        "4 billion frames": patched(content, b"trun", 4, b"\xff" * 4),
        "frames beyond the file": patched(content, b"trun", 8, b"\x7f\xff\xff\xff"),
        "a frame before": patched(content, b"trun", 8, b"\xff\xff\0\0"),
        "another time": patched(content, b"tfdt", 4, b"\0\0\0\1\0\0\0\1"),
        "no defaults": content.replace(b"mvex", b"udta", 1),
    }
    for name, changed in changes.items():
        path.write_bytes(changed)
        assert not is_ordinary(path), name


@pytest.mark.parametrize("how", ["by keyframe", "the first in moov"])
def test_frames_in_fragments_of_any_codec_are_counted(how: str, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mp4", "mpeg4 in order", range(40), FPS)
    path = fragmented(plain, tmp_path / "a.mp4", FRAGMENTS[how])
    assert not is_ordinary(path)
    in_moov = 12 if how == "the first in moov" else 0
    assert (fragment_frames(path, 1), fragment_frames(path, 2), fragment_frames(plain, 1)) == (40 - in_moov, 0, 0)
    assert probe(path, fps=FPS).frames == 40
    content = path.read_bytes()
    last = content.rindex(b"moof") - 4
    path.write_bytes(content[: last + 400])  # after the tables of the last fragment, which has four frames
    with pytest.raises(RobotroveError):
        probe(path, expected_frames=40, fps=FPS)
