from __future__ import annotations

import av
import pytest

FRONT = "videos/observation.images.front/chunk-000/file-000.mp4"
WRIST = "videos/observation.images.wrist/chunk-000/file-001.mp4"
STARTS = [0, 4, 7, 12, 14]  # first frames of the episodes in FRONT
FRAMES = list(range(20))


def test_a_frame_too_few(tiny) -> None:
    tiny.video(FRONT, FRAMES[:-1], STARTS)
    assert (FRONT, "has 19 frames, but its episodes have 20") in tiny.found("videos")


def test_a_file_of_several_episodes_is_counted_with_its_own_episodes(tiny) -> None:
    tiny.video(WRIST, [*FRAMES[7:], 20], [0, 5, 7])
    assert tiny.found("videos") == [(WRIST, "has 14 frames, but its episodes have 13")]


def test_an_episode_that_does_not_begin_with_a_keyframe(tiny) -> None:
    tiny.video(FRONT, FRAMES, [0, 4, 12, 14])
    assert tiny.found("videos") == [(FRONT, "frame 7, the first of episode 2, is no keyframe")]


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
    assert message.startswith("frame 0 is shown at")


def test_a_long_file_may_hold_one_episode_only(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    from robotrove.formats.lerobot import paths

    monkeypatch.setattr(paths, "MAX_VIDEO_S", 1.25)  # the files last 2.0, 0.7 and 1.3 s
    found = tiny.found("videos")
    assert [where for where, _ in found] == [FRONT, WRIST]
    assert found[0][1].startswith("lasts 2 s; with more than one episode in it, LeRobot loses frames")


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
