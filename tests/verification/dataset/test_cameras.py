from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from robotrove.formats.lerobot import time_limits
from robotrove.verification.dataset import cameras

FRONT = "videos/observation.images.front/chunk-000/file-000.mp4"
WRIST = "videos/observation.images.wrist/chunk-000/file-001.mp4"
STARTS = [0, 4, 7, 12, 14]  # first frames of the episodes in FRONT
FRAMES = list(range(20))


def test_a_frame_too_few(tiny) -> None:
    tiny.video(FRONT, FRAMES[:-1], STARTS)
    assert (FRONT, "has 19 frames, but episode 4 has its frames at 14 to 19") in tiny.found("videos")
    assert "videos" in tiny.errors()


def test_a_file_of_several_episodes_is_counted_with_its_own_episodes(tiny) -> None:
    tiny.video(WRIST, [*FRAMES[7:], 20], [0, 5, 7])
    assert tiny.found("videos") == [(WRIST, "has 14 frames, but its episodes have 13")]
    assert tiny.errors() == []  # LeRobot finds those that it looks for


def test_an_episode_that_does_not_begin_with_a_keyframe(tiny) -> None:
    tiny.video(FRONT, FRAMES, [0, 4, 12, 14])
    assert tiny.found("videos") == [
        (FRONT, "frame 7, the first of episode 2, is not a keyframe: it cannot be cut there")
    ]
    assert tiny.errors() == []


def test_another_resolution(tiny) -> None:
    tiny.video(FRONT, FRAMES, STARTS, size=(48, 32))
    assert tiny.found("videos") == [(FRONT, "frames are 48x32 instead of 32x48")]


def test_another_frame_rate(tiny) -> None:
    tiny.video(FRONT, FRAMES, STARTS, fps=12)
    assert [where for where, _ in tiny.found("videos")] == [FRONT]


def test_a_file_that_does_not_begin_at_zero(tiny) -> None:
    tiny.video(FRONT, FRAMES, STARTS, first_pts=3)
    [(where, message)] = tiny.found("videos")
    assert where == FRONT
    assert message.endswith("expected: frame k at exactly k/10 s")


def test_times_are_coarse_past_1024_s(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "SAFE_S", 1)  # the files last 2.0, 0.7 and 1.3 s
    told = "end past 1 s, and LeRobot has times in float32: it just finds the short ones"
    assert tiny.found("videos") == [(FRONT, f"3 episodes {told}"), (WRIST, f"1 episodes {told}")]
    assert tiny.errors() == []
    monkeypatch.setattr(cameras, "_COARSE_S", 0.5)  # episode 4 lasts 0.6 s
    assert [text.rpartition(": ")[2] for _, text in tiny.found("videos")] == ["it loses frames of the long ones"] * 2


def test_frames_stored_out_of_order(tiny) -> None:
    tiny.video(FRONT, FRAMES, STARTS, bf=2)
    with av.open(str(tiny.root / FRONT)) as container:
        assert any(packet.pts != packet.dts for packet in container.demux(video=0) if packet.size)
    assert tiny.found("videos", deep=True) == []
    tiny.video(FRONT, FRAMES[:-1], STARTS, bf=2)
    assert [text for _, text in tiny.found("videos")] == ["has 19 frames, but episode 4 has its frames at 14 to 19"]


def test_the_pictures_of_another_episode(tiny) -> None:
    tiny.video(FRONT, [*FRAMES[:12], *FRAMES[18:], *FRAMES[14:]], STARTS)  # episode 3 shows the end of episode 4
    assert tiny.found("videos") == []
    # Red is 10 times the frame index in the upper half: 12.5 instead of 18.5 on average.
    assert tiny.found("videos", deep=True) == [
        (FRONT, "the mean colour of episode 3 is (0.36, 0.39, 0.08), but (0.25, 0.39, 0.08) in its statistics")
    ]


def test_a_frame_that_cannot_be_decoded(tiny) -> None:
    path = tiny.root / FRONT
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    first, size = packets[5]  # neither the first nor the last frame of an episode
    content[first : first + size] = bytes(byte ^ 0x5A for byte in content[first : first + size])
    path.write_bytes(content)
    [(where, message)] = tiny.found("videos", deep=True)
    assert where == FRONT
    assert "cannot be read as video" in message


@pytest.mark.parametrize("content", [b"", b"not a video"])
def test_no_video_at_all(tiny, content: bytes) -> None:
    (tiny.root / FRONT).write_bytes(content)
    [(where, message)] = tiny.found("videos")
    assert where == FRONT
    assert "cannot be read as video" in message
    assert str(tiny.root) not in message


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_rotation_in_the_container_is_named(tiny, degrees: int) -> None:
    path = tiny.root / WRIST
    content = bytearray(path.read_bytes())
    cos, sin = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    matrix = struct.pack(">9i", cos << 16, -sin << 16, 0, sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    place = content.index(b"tkhd") + 4 + 40  # times and durations of 32 bits (ISO/IEC 14496-12, 8.3.2)
    content[place : place + 36] = matrix
    path.write_bytes(content)
    [(where, message)] = tiny.found("videos")
    assert where == WRIST
    assert f"its container turns frames by {-180 if degrees == 180 else degrees} degrees" in message
    assert tiny.errors() == []


def test_a_deep_check_finds_what_a_plain_one_does(tiny) -> None:
    """Damage in the list of keyframes (stss; ISO/IEC 14496-12, 8.6.2) shows in what only the plain part looks at."""
    path = tiny.root / FRONT
    whole = path.read_bytes()
    begin = whole.index(b"stss")
    plain_only = {}
    told = set()
    for place in range(begin, begin - 4 + int.from_bytes(whole[begin - 4 : begin], "big")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        plain, deep = tiny.found("videos"), tiny.found("videos", deep=True)
        plain_only[place - begin] = [finding for finding in plain if finding not in deep]
        told.update(message for _, message in plain)
        assert len(deep) == len(set(deep))
    assert (len(plain_only), [found for found in plain_only.values() if found]) == (32, [])
    assert "frame 4, the first of episode 1, is not a keyframe: it cannot be cut there" in told
    assert "frame 3 is missing" in told  # it cannot be fetched by a seek
