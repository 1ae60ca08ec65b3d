"""Joining by tables must give what joining by packets gives."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from fractions import Fraction
from pathlib import Path
from shutil import copyfile, which

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media.mp4.muxer import Video, wrap
from robotrove.media.mp4.sample_table import read_table
from robotrove.media.remux.clip import Clip
from robotrove.media.remux.concat import NotCopyable, join, split
from robotrove.media.remux.concat_mp4 import join_tables, split_tables
from robotrove.media.remux.video_index import prove, read_index
from robotrove.tests.support.media.odd_videos import make_odd
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, numbers, record


def packets(path: Path) -> list[tuple[object, ...]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found: list[tuple[object, ...]] = [
            (packet.pts, packet.dts, packet.duration, packet.is_keyframe, packet.is_disposable, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]
        context = stream.codec_context
        facts = (context.extradata, context.width, context.height, context.pix_fmt, context.has_b_frames)
        return [(stream.time_base, stream.start_time, stream.average_rate, stream.frames, *facts), *found]


def odd(clips: list[Clip], folder: Path) -> list[Clip]:
    """Return the same clips of copies of their files that are not ordinary."""
    folder.mkdir(exist_ok=True)
    for path in {clip.path for clip in clips}:
        if not (folder / path.name).exists():
            make_odd(Path(copyfile(path, folder / path.name)))
    return [Clip(folder / clip.path.name, clip.first, clip.frames) for clip in clips]


@pytest.mark.parametrize("kind", KINDS)
def test_same_as_by_packets(kind: str, tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, n, number=n) for n in (7, 5, 13, 1, 2)]
    late = record(tmp_path / "late.mp4", kind, 14, first=4, number=50)
    sources = [*parts, late, concatenate(parts[:3], tmp_path / "all.mp4")]
    copyable = [
        Clip(path, first, frames)
        for path in sources
        for index in [read_index(path, FPS)]
        for first in range(index.frames)
        for frames in range(1, index.frames - first + 1)
        if index.is_copyable(first, frames)
    ]
    choose = random.Random(kind)
    fast, slow = tmp_path / "fast.mp4", tmp_path / "slow.mp4"
    for faststart in (False, True, False, True, False, True):
        clips = choose.choices(copyable, k=choose.randint(1, 6))
        assert join_tables(clips, fast, FPS, faststart)
        others = odd(clips, tmp_path / "odd")
        assert not join_tables(others, slow, FPS, faststart)
        join(others, slow, FPS, faststart)
        assert packets(fast) == packets(slow)
        assert numbers(fast) == numbers(slow)


@pytest.mark.parametrize("kind", KINDS)
def test_split_as_by_packets(kind: str, tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{n}.mp4", kind, count, number=n) for n, count in ((0, 7), (7, 5), (12, 1))]
    clips = [Clip(concatenate(parts, tmp_path / "all.mp4"), first, count) for first, count in ((7, 5), (12, 1), (0, 7))]
    clips.append(Clip(parts[1], 0, 5))
    fast, slow = ([tmp_path / f"{name}{number}.mp4" for number in range(4)] for name in ("fast", "slow"))
    assert split_tables(list(zip(clips, fast, strict=True)), FPS, False)
    others = list(zip(odd(clips, tmp_path / "odd"), slow, strict=True))
    assert not split_tables(others, FPS, False)
    split(others, FPS)
    for clip, left, right in zip(clips, fast, slow, strict=True):
        prove(left, clip.frames, FPS)
        assert packets(left) == packets(right)
        assert numbers(left) == numbers(right)


def test_neighbours_are_copied_as_one(tmp_path: Path) -> None:
    source = record(tmp_path / "a.mp4", "h264 of LeRobot", 12)
    apart, one = tmp_path / "apart.mp4", tmp_path / "one.mp4"
    assert join_tables([Clip(source, first, 4) for first in (0, 4, 8)], apart, FPS, True)
    assert join_tables([Clip(source, 0, 12)], one, FPS, True)
    assert apart.read_bytes() == one.read_bytes()


def test_times_that_are_rounded(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "h264 B-frames", 24, first=3, time_base=Fraction(1, 1000))
    fast, slow = tmp_path / "fast.mp4", tmp_path / "slow.mp4"
    clips = [Clip(path, 12, 12), Clip(path, 0, 24)]
    assert join_tables(clips, fast, FPS, True)
    join(odd(clips, tmp_path / "odd"), slow, FPS, True)
    assert packets(fast) == packets(slow)


@pytest.mark.parametrize("kind", ["av1", "h264 B-frames"])
def test_ffmpeg_has_nothing_to_complain_about(kind: str, tmp_path: Path) -> None:
    if which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg")
    path, out = record(tmp_path / "a.mp4", kind, 24), tmp_path / "out.mp4"
    assert join_tables([Clip(path, 12, 12), Clip(path, 0, 24)], out, FPS, True)
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", out, "-f", "null", "-"], capture_output=True, check=True)
    assert done.stderr == b""


def test_many_chunks(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "h264 in order", 2, qp="0")
    out = tmp_path / "out.mp4"
    size = sum(read_table(path).sizes)
    clips = [Clip(path, 0, 2)] * (9 * 2**19 // size)
    assert join_tables(clips, out, FPS, False)
    content = out.read_bytes()
    place = content.index(b"stco")
    assert int.from_bytes(content[place + 8 : place + 12], "big") == 5
    assert [row[5] for row in packets(out)[1:]] == [row[5] for row in packets(path)[1:]] * len(clips)
    assert len(read_table(out).sizes) == 2 * len(clips)


@pytest.mark.parametrize("faststart", [False, True])
def test_more_than_4_gb(faststart: bool, tmp_path: Path) -> None:
    first = read_table(record(tmp_path / "a.mp4", "h264 B-frames", 12))
    count, none = 4998, np.zeros(4998, np.uint8)
    sizes = np.arange(1_000_000, 1_000_000 + count)
    leads = np.tile([1, 2, 0], count // 3)
    video = Video(first.entry, first.geometry, FPS, sizes, leads, none == 0, none)
    before, after = wrap(video, faststart)
    path = tmp_path / "long.mp4"
    with path.open("wb") as file:  # with a hole
        file.write(before)
        file.truncate(len(before) + int(sizes.sum()))
        file.seek(0, os.SEEK_END)
        file.write(after)
    assert path.stat().st_size > 4.9 * 10**9
    table = read_table(path)
    np.testing.assert_array_equal(table.sizes, sizes)
    np.testing.assert_array_equal(table.offsets, len(before) + np.cumsum(sizes) - sizes)
    np.testing.assert_array_equal(table.leads, leads * 512)
    assert (table.entry, table.start_time) == (first.entry, 0)


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "av1", 4)
    links = [tmp_path / f"link{number}.mp4" for number in range(60)]
    for link in links:
        link.symlink_to(path)
    read_index(path, FPS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
    try:
        assert join_tables([Clip(link, 0, 4) for link in links], tmp_path / "out.mp4", FPS, False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert numbers(tmp_path / "out.mp4") == [0, 1, 2, 3] * 60


def test_nothing_is_written_before_all_is_known(tmp_path: Path) -> None:
    path, out = record(tmp_path / "a.mp4", "h264 of LeRobot", 6), tmp_path / "out.mp4"
    av1 = record(tmp_path / "b.mp4", "av1", 6)
    refused = (Clip(path, 1, 4), Clip(path, 4, 3), Clip(path, -1, 2), Clip(path, 6, 1), Clip(av1, 0, 6))
    for clip in (*refused, Clip(tmp_path / "gone.mp4", 0, 1)):
        assert not join_tables([Clip(path, 0, 6), clip], out, FPS, False)
        assert not out.exists()
        with pytest.raises(RobotroveError, match=clip.path.name):
            join([Clip(path, 0, 6), clip], out, FPS)
        out.unlink()


def test_parameters_of_a_keyframes_own_are_refused(tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{name}.mp4", "h264 of LeRobot", 6, preset=name) for name in ("medium", "ultrafast")]
    source, out = concatenate(parts, tmp_path / "all.mp4"), tmp_path / "out.mp4"
    assert join_tables([Clip(source, 0, 6)], out, FPS, False)
    assert not join_tables([Clip(source, 4, 8)], out, FPS, False)
    with pytest.raises(NotCopyable, match="frame 6 has parameters"):
        join([Clip(source, 4, 8)], out, FPS)


def test_frames_that_the_table_calls_keyframes_are_looked_at(tmp_path: Path) -> None:
    path, out = record(tmp_path / "a.mp4", "av1", 6), tmp_path / "out.mp4"
    content = path.read_bytes()
    keyframes = content.rindex(b"stss") + 12
    assert content[keyframes : keyframes + 12] == bytes([0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 5])
    path.write_bytes(content[: keyframes + 7] + b"\2" + content[keyframes + 8 :])
    assert join_tables([Clip(path, 0, 6)], out, FPS, False)
    assert not join_tables([Clip(path, 1, 5)], out, FPS, False)
    with pytest.raises(NotCopyable, match="frame 1 is not a keyframe"):
        join([Clip(path, 1, 5)], out, FPS)


@pytest.mark.parametrize("kind", KINDS)
def test_clips_that_follow_each_other_must_each_begin_at_a_keyframe(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 16)
    keyframes = np.flatnonzero(read_table(path).keyframes)
    inside = next((frame for frame in range(1, 15) if frame not in keyframes), None)
    if inside is None:
        pytest.skip("every frame is a keyframe")
    assert not join_tables([Clip(path, 0, inside), Clip(path, inside, 16 - inside)], tmp_path / "b.mp4", FPS, True)
