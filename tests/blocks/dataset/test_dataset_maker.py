"""Clips with frames that LeRobot could not fetch are re-encoded by all makers of datasets, and no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from robotrove.tests.support.command import Outcome, robotrove  # noqa: F401 - a fixture
from robotrove.tests.support.media.seeks import REACHABLE, lost_frames, played, write_clip
from robotrove.tests.verification.consumers.conftest import EPISODES, FPS, FRAMES, FRONT, WRIST, write_dataset

CLIP = "videos/chunk-000/{}/episode_{:06d}.mp4"
Robotrove = Callable[..., Outcome]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of v2.1 whose frames have numbers, all in closed GOPs of H.264."""
    root = write_dataset(tmp_path_factory.mktemp("plain"))
    for key in (FRONT, WRIST):
        for episode in range(EPISODES):
            write_clip(root / CLIP.format(key, episode), "h264 in order", numbers(episode), FPS)
    return root


def numbers(episode: int) -> range:
    return range(100 * episode, 100 * episode + FRAMES)


ALL = [*numbers(0), *numbers(1)]


@pytest.fixture
def dataset(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "dataset"))


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def the_video(root: Path, key: str) -> list[Path]:
    return sorted((root / "videos" / key).rglob("*.mp4"))


def report(root: Path) -> dict[str, Any]:
    return json.loads(root.with_name(f"{root.name}.run").joinpath("report.json").read_text())


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "kind",
    ["h264 open", *(pytest.param(kind, marks=slow) for kind in ("hevc open", "mpeg4 B-frames", "h264 intra refresh"))],
)
def test_convert_re_encodes_them(robotrove: Robotrove, dataset: Path, tmp_path: Path, kind: str) -> None:  # noqa: F811
    for episode in range(EPISODES):
        write_clip(dataset / CLIP.format(FRONT, episode), kind, numbers(episode), FPS)
    out = tmp_path / "v30"
    done = robotrove("convert", dataset, "--to", "v3.0", "-o", out)
    assert done.code == 0, done.err
    assert f"note: {EPISODES} clips of {FRONT} were re-encoded" in done.out
    lost = sum(len(lost_frames(dataset / CLIP.format(FRONT, episode), FPS)) for episode in range(EPISODES))
    number = 8 if kind == "h264 intra refresh" else lost
    assert f"LeRobot could not fetch {number} frames of {FRONT} by a seek" in done.out
    assert f"frames of {WRIST}" not in done.out
    assert [frame for path in the_video(out, FRONT) for frame in played(path)] == ALL
    assert [lost_frames(path, FPS) for path in the_video(out, FRONT)] == [[]]
    source = [packet for episode in range(EPISODES) for packet in packets(dataset / CLIP.format(WRIST, episode))]
    assert [packet for path in the_video(out, WRIST) for packet in packets(path)] == source
    assert robotrove("verify", out, "--for", "lerobot").code == 0


@pytest.mark.parametrize(
    "kind", [kind if kind == "fragments" else pytest.param(kind, marks=slow) for kind in REACHABLE]
)
def test_other_clips_are_copied(robotrove: Robotrove, dataset: Path, tmp_path: Path, kind: str) -> None:  # noqa: F811
    for episode in range(EPISODES):
        write_clip(dataset / CLIP.format(FRONT, episode), kind, numbers(episode), FPS)
    for version, root in (("v3.0", dataset), ("v2.1", tmp_path / "v3.0")):
        done = robotrove("convert", root, "--to", version, "-o", tmp_path / version)
        assert done.code == 0, done.err
        assert "re-encoded" not in done.out
    source = [packet for episode in range(EPISODES) for packet in packets(dataset / CLIP.format(FRONT, episode))]
    assert [packet for path in the_video(tmp_path / "v3.0", FRONT) for packet in packets(path)] == source
    back = [tmp_path / "v2.1" / CLIP.format(FRONT, episode) for episode in range(EPISODES)]
    assert [packet for path in back for packet in packets(path)] == source


@slow
@pytest.mark.parametrize("kind", ["h264 open", "mpeg4 B-frames"])
def test_a_file_of_v30_is_re_encoded_on_the_way_to_v21(
    robotrove: Robotrove,  # noqa: F811
    dataset: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    assert robotrove("convert", dataset, "--to", "v3.0", "-o", tmp_path / "v30").code == 0
    [path] = the_video(tmp_path / "v30", FRONT)
    write_clip(path, kind, ALL, FPS)
    assert lost_frames(path, FPS)
    done = robotrove("convert", tmp_path / "v30", "--to", "v2.1", "-o", tmp_path / "v21")
    assert done.code == 0, done.err
    assert f"clips of {FRONT} were re-encoded" in done.out
    for episode in range(EPISODES):
        clip = tmp_path / "v21" / CLIP.format(FRONT, episode)
        assert played(clip) == list(numbers(episode))
        assert lost_frames(clip, FPS) == []


@slow
def test_aggregate_re_encodes_them_without_an_option(
    robotrove: Robotrove,  # noqa: F811
    plain: Path,
    dataset: Path,
    tmp_path: Path,
) -> None:
    write_clip(dataset / CLIP.format(FRONT, 1), "h264 open", numbers(1), FPS)
    outs = {}
    for name, inputs in (("one", (plain, dataset)), ("two", (dataset, plain))):
        done = robotrove("aggregate", *inputs, "--on-duplicate", "keep", "-o", tmp_path / name)
        assert done.code == 0, done.err
        assert f"1 clips of {FRONT} were re-encoded" in "\n".join(report(tmp_path / name)["notes"])
        outs[name] = the_video(tmp_path / name, FRONT)
        assert [frame for path in outs[name] for frame in played(path)] == ALL + ALL
        assert not any(lost_frames(path, FPS) for path in outs[name])


@slow
def test_a_codec_that_cannot_be_written_is_copied_and_named(
    robotrove: Robotrove,  # noqa: F811
    dataset: Path,
    tmp_path: Path,
) -> None:
    for episode in range(EPISODES):
        write_clip(dataset / CLIP.format(FRONT, episode), "mpeg2 B-frames", numbers(episode), FPS)
    done = robotrove("convert", dataset, "--to", "v3.0", "-o", tmp_path / "v30")
    assert done.code == 0, done.err
    lost = sum(len(lost_frames(dataset / CLIP.format(FRONT, episode), FPS)) for episode in range(EPISODES))
    told = f"LeRobot could not fetch {lost} frames of {FRONT} by a seek (open GOP): clips of depth, or of their codec, "
    assert told in done.out
    source = [packet for episode in range(EPISODES) for packet in packets(dataset / CLIP.format(FRONT, episode))]
    assert [packet for path in the_video(tmp_path / "v30", FRONT) for packet in packets(path)] == source
