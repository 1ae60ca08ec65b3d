from __future__ import annotations

import shutil
import struct
import subprocess
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media.encode.encoder import make_encoder
from robotrove.media.encode.settings import VideoSettings
from robotrove.media.remux.clip import Clip, Encoding
from robotrove.media.remux.concat import NotCopyable, join
from robotrove.media.remux.video_index import read_index
from robotrove.media.video.probe import iter_frames, keyframes
from robotrove.tests.support.datasets import tiny_v30
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, concatenate, record
from robotrove.tests.support.media.seeks import REACHABLE, UNREACHABLE, lost_frames, played, write_clip, write_depth


def copyable(path: Path) -> dict[int, list[int]]:
    """Return the ends of all copyable runs by their first frame."""
    index = read_index(path, FPS)
    pairs = [(a, b) for a in range(index.frames + 1) for b in range(a + 1, index.frames + 2)]
    found: dict[int, list[int]] = {}
    for first, end in pairs:
        if index.is_copyable(first, end - first):
            found.setdefault(first, []).append(end)
    return found


@pytest.mark.parametrize("kind", ["av1", "h264 in order", "h264 of LeRobot"])
def test_every_run_from_a_keyframe_on_is_copyable_without_b_frames(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 24)
    assert keyframes(path, FPS) == list(range(0, 24, 2))
    assert copyable(path) == {first: list(range(first + 1, 25)) for first in range(0, 24, 2)}


def test_with_b_frames_a_run_ends_where_no_frame_is_stored_ahead(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "h264 B-frames", 24)
    # 12 frames are an I, two times three B and a P, and what is left over.
    assert keyframes(path, FPS) == [0, 12]
    found = copyable(path)
    assert list(found) == [0, 12]
    assert {1, 5, 9, 12, 24} <= set(found[0])
    assert not {2, 3, 4, 6, 7, 8} & set(found[0])
    assert found[12] == [end for end in found[0] if end > 12]


@pytest.mark.parametrize("kind", ["h264 open GOPs", "hevc open GOPs"])
def test_nothing_is_copyable_from_the_keyframe_of_an_open_gop(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 30)
    assert keyframes(path, FPS)[1] == 12
    found = copyable(path)
    assert list(found) == [0]
    assert 12 not in found[0]  # the frame shown at 12 is stored before some that are shown earlier
    assert 30 in found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_put_together(kind: str, tmp_path: Path) -> None:
    lengths = (7, 5, 8)
    starts = [0, *accumulate(lengths)]
    parts = [record(tmp_path / f"{start}.mp4", kind, n) for start, n in zip(starts, lengths, strict=False)]
    path = concatenate(parts, tmp_path / "all.mp4")
    index = read_index(path, FPS)
    assert (index.frames, index.start) == (20, 0)
    assert index.encoding == read_index(parts[0], FPS).encoding
    assert all(index.is_copyable(start, n) for start, n in zip(starts, lengths, strict=False))
    assert index.is_copyable(0, 20)
    assert index.is_copyable(7, 13)
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert [index.size(start, n) for start, n in zip(starts, lengths, strict=False)] == [
        sum(sizes[start : start + n]) for start, n in zip(starts, lengths, strict=False)
    ]
    assert index.size(0, 20) == sum(sizes)
    assert not index.is_copyable(-1, 2)
    assert not index.is_copyable(0, 21)
    assert not index.is_copyable(0, 0)


@pytest.mark.parametrize("kind", ["av1", "h264 B-frames"])
@pytest.mark.parametrize("time_base", [Fraction(1, FPS), Fraction(1, 1000)])
@pytest.mark.parametrize("first", [0, 4])
def test_frames_are_counted_from_the_first_one(kind: str, time_base: Fraction, first: int, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 24, first=first, time_base=time_base)
    index = read_index(path, FPS)
    assert (index.frames, index.start) == (24, first)
    assert index.is_copyable(12, 12)
    assert not index.is_copyable(11, 1)
    assert keyframes(path, FPS) == (list(range(0, 24, 2)) if kind == "av1" else [0, 12])


def test_index_of_the_container_says_the_same_as_the_packets(tmp_path: Path) -> None:
    mp4 = record(tmp_path / "a.mp4", "av1", 9)
    mkv = record(tmp_path / "a.mkv", "av1", 9)  # has no index of all frames
    assert copyable(mkv) == copyable(mp4)
    left, right = read_index(mp4, FPS), read_index(mkv, FPS)
    assert [left.size(k, 1) for k in range(9)] == [right.size(k, 1) for k in range(9)]
    assert len({left.size(k, 1) for k in range(9)}) > 2


def test_sizes_are_those_of_frames_as_shown(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", "h264 B-frames", 12)
    with av.open(str(path)) as container:
        stored = [packet for packet in container.demux(video=0) if packet.size]
    shown = sorted(stored, key=lambda packet: packet.pts)
    assert stored != shown
    index = read_index(path, FPS)
    assert [index.size(k, 1) for k in range(12)] == [packet.size for packet in shown]


def test_files_without_times_of_storing_are_not_copied(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mkv", "h264 B-frames", 24)
    assert read_index(path, FPS).frames == 24
    assert copyable(path) == {}
    with pytest.raises(NotCopyable, match="has no decoding times"):
        join([Clip(path, 0, 12)], tmp_path / "out.mp4", FPS)


def test_encodings(tmp_path: Path) -> None:
    one = read_index(record(tmp_path / "a.mp4", "h264 in order", 2), FPS).encoding
    two = read_index(record(tmp_path / "b.mp4", "h264 B-frames", 2), FPS).encoding
    av1 = read_index(record(tmp_path / "c.mp4", "av1", 2), FPS).encoding
    assert one == Encoding("h264", 64, 64, "yuv420p", one.extradata)
    assert one != two
    assert one.is_like(two)
    assert not one.is_like(av1)
    assert [len(e.extradata) for e in (one, two, av1)] == [16, 16, 16]


def test_keyframes_with_parameters_of_their_own_are_not_copied(tmp_path: Path) -> None:
    parts = [
        record(tmp_path / f"{name}.mp4", "h264 of LeRobot", 6, preset=name) for name in ("medium", "ultrafast", "fast")
    ]
    path = concatenate([parts[0], parts[1]], tmp_path / "all.mp4")
    found = copyable(path)
    assert list(found) == [0, 2, 4]
    assert max(found[0]) == 6


@pytest.mark.parametrize(
    ("pts", "problem"),
    [
        ([0, 30, 60, 120, 150], "frame 3 is missing"),
        ([0, 30, 60, 100, 120, 150], "a frame is shown at .* between the times of frames 3 and 4"),
        ([0, 30, 60, 65, 90, 120], "frame 2 exists more than once"),
    ],
)
def test_frames_off_the_grid(pts: list[int], problem: str, tmp_path: Path) -> None:
    path, tick = tmp_path / "odd.mp4", Fraction(1, 900)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", FPS, options={"bf": "0"})
        stream.width, stream.height, stream.codec_context.time_base = 64, 64, tick
        for time in pts:
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = time, tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(RobotroveError, match=rf"odd\.mp4: {problem}"):
        read_index(path, FPS)
    with pytest.raises(RobotroveError, match=r"odd\.mp4: "):
        join([Clip(path, 0, len(pts))], tmp_path / "out.mp4", FPS)


@pytest.mark.parametrize("kind", ["av1", "h264 of LeRobot"])
def test_other_rate_is_told(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 6)
    assert [(index.frames, index.rate) for index in (read_index(path, fps) for fps in (15, 30, 60))] == [
        (6, Fraction(30)),
        (6, None),
        (6, Fraction(30)),
    ]


@pytest.mark.parametrize("times", [[0, 1, 2, 4, 5, 6], [0, 1, 2, 3, 4, 6], [0, 2, 3, 4, 5, 6], [0, 1, 3, 6, 10, 15]])
def test_a_rate_that_is_not_constant_is_refused(times: list[int], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * time, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for fps in (15, 30, 60):
        with pytest.raises(RobotroveError, match=r"a\.mp4: (frame \d+ is missing|a frame is shown at)"):
            read_index(path, fps)


def with_edit(path: Path, duration: int, ticks: int) -> Path:
    """Let the edit list of a file begin later and last so long, in units of its track and in 1/1000 s."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    (begin,) = struct.unpack(">i", content[at + 4 : at + 8])
    content[at : at + 8] = struct.pack(">Ii", duration, begin + ticks)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(("first", "frames"), [(0, 30), (7, 30), (12, 48), (12, 20), (24, 36), (59, 1)])
def test_edit_lists_that_hide_frames(first: int, frames: int, b_frames: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    pictures = [tiny_v30.picture(number % 25, 48, 64) for number in range(60)]
    tiny_v30.write_video(path, pictures, range(0, 60, 12), fps=30, bf=b_frames)
    index = read_index(with_edit(path, frames * 1000 // 30, 512 * first), 30)
    assert (index.frames, index.start, index.rate, index.is_shortened) == (frames, 0, None, True)
    shown = [frame[:8, :, 0].mean() / 10 for frame in iter_frames(path, 0, frames)]
    assert np.rint(shown).astype(int).tolist() == [number % 25 for number in range(first, first + frames)]
    assert index.unreachable(0, frames) == 0
    if index.is_copyable(0, frames):  # nothing that is hidden comes with the packets
        join([Clip(path, 0, frames)], tmp_path / "out.mp4", 30)
        assert len(list(iter_frames(tmp_path / "out.mp4"))) == frames


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
@pytest.mark.parametrize(("b_frames", "found"), [(0, 30), (2, 31)])
def test_clips_that_ffmpeg_cut_without_encoding(b_frames: int, found: int, tmp_path: Path) -> None:
    whole, clip = tmp_path / "whole.mp4", tmp_path / "clip.mp4"
    pictures = [tiny_v30.picture(number % 25, 48, 64) for number in range(60)]
    tiny_v30.write_video(whole, pictures, range(0, 60, 12), fps=30, bf=b_frames)
    command = ["ffmpeg", "-v", "error", "-ss", "0.5", "-i", str(whole), "-t", "1", "-c", "copy", str(clip)]
    subprocess.run(command, check=True)
    index = read_index(clip, 30)
    assert (index.frames, index.is_shortened, index.is_copyable(0, 30)) == (found, True, False)
    shown = [frame[:8, :, 0].mean() / 10 for frame in iter_frames(clip, 0, 30)]
    assert np.rint(shown).astype(int).tolist() == [number % 25 for number in range(15, 45)]


@pytest.mark.parametrize("codec", ["libsvtav1", "libx264"])
def test_damaged_files_are_named(codec: str, tmp_path: Path) -> None:
    whole, front = tmp_path / "whole.mp4", tmp_path / "front.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (10, 64, 64, 3), np.uint8)
    make_encoder(VideoSettings(codec=codec)).encode(whole, iter([frames]), width=64, height=64, fps=FPS)
    join([Clip(whole, 0, 10)], front, FPS, faststart=True)
    assert read_index(front, FPS).frames == 10
    content = front.read_bytes()
    titled = tmp_path / "titled.mp4"
    titled.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))  # Latin-1: no damage
    assert read_index(titled, FPS).frames == 10
    contents = {"tail": content[:-20], "half": content[: len(content) // 2], "none": b"", "text": b"no video"}
    for name, data in contents.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(data)
        with pytest.raises(RobotroveError, match=rf"{name}\.mp4: "):
            read_index(path, FPS)
        with pytest.raises(RobotroveError, match=rf"{name}\.mp4: "):
            join([Clip(path, 0, 10)], tmp_path / "out.mp4", FPS)
    with pytest.raises(RobotroveError, match=r"gone\.mp4: cannot be read as video"):
        read_index(tmp_path / "gone.mp4", FPS)


@pytest.mark.parametrize("kind", [*REACHABLE, *UNREACHABLE])
def test_frames_that_a_seek_does_not_reach(kind: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", kind, range(40), 20)
    assert played(path) == list(range(40))
    index, lost = read_index(path, 20), lost_frames(path, 20)
    told = [frame for frame in range(40) if index.unreachable(frame, 1)]
    assert bool(lost) == (kind in UNREACHABLE)
    if kind == "h264 intra refresh":  # after its recovery point, x264's pictures are near enough, not equal
        assert told == [8, 9, 16, 17, 24, 25, 32, 33]
        assert set(told) <= set(lost)
    else:
        assert told == lost
    assert index.unreachable(0, 40) == len(told)
    assert index.unreachable(3, 20) == len([frame for frame in told if 3 <= frame < 23])
    assert (index.unreachable(-5, 5), index.unreachable(40, 3)) == (0, 0)


@pytest.mark.parametrize("keyint", [2, 3, 5, 12, 50])
def test_frames_of_depth_that_a_seek_does_not_reach(keyint: int, tmp_path: Path) -> None:
    """LeRobot records it with a keyframe every two frames, and reads all of those."""
    path = write_depth(tmp_path / "a.mp4", keyint, 40, 20)
    index = read_index(path, 20)
    for is_depth in (False, True):
        told = [frame for frame in range(40) if index.unreachable(frame, 1, is_depth=is_depth)]
        assert told == lost_frames(path, 20, is_depth=is_depth)
        assert bool(told) == (keyint < 50 and (keyint > 2 or not is_depth))
        assert index.unreachable(0, 40, is_depth=is_depth) == len(told)


@pytest.mark.parametrize("kind", UNREACHABLE)
def test_other_containers_tell_the_same_of_seeks(kind: str, tmp_path: Path) -> None:
    mp4 = write_clip(tmp_path / "a.mp4", kind, range(40), 20)
    mkv, mov = tmp_path / "a.mkv", tmp_path / "a.mov"
    for path in (mkv, mov):
        with av.open(str(mp4)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    expected = [read_index(mp4, 20).unreachable(frame, 1) for frame in range(40)]
    assert sum(expected) > 0
    assert [read_index(mov, 20).unreachable(frame, 1) for frame in range(40)] == expected
    if kind.startswith(("h264", "hevc")):  # MPEG's keyframes are marked alike in few containers
        assert [read_index(mkv, 20).unreachable(frame, 1) for frame in range(40)] == expected
