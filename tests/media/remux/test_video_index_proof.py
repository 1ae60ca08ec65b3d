"""What was written is proven by its tables, or packet by packet."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.media.mp4.sample_table import read_table
from robotrove.media.remux import video_index
from robotrove.media.remux.video_index import prove, survey
from robotrove.media.video.probe import probe
from robotrove.tests.support.media.odd_videos import make_odd
from robotrove.tests.support.media.recorded_videos import FPS, KINDS, record


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_all_frames(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 9)
    prove(path, 9, FPS)
    prove(make_odd(path), 9, FPS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_survey_says_what_the_packets_say(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(tmp_path / "a.mp4", kind, 25)
    odd = make_odd(record(tmp_path / "b.mp4", kind, 25))
    said = probe(path, fps=FPS, in_order=False)
    assert (said.frames, said.keyframes[0], len(said.keyframes) > 1) == (25, 0, True)
    assert survey(odd, FPS) == probe(odd, fps=FPS, in_order=False)
    monkeypatch.setattr(video_index, "probe", None)
    assert survey(path, FPS) == said, "packets of an ordinary file are not looked at"


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_others(kind: str, tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", kind, 9)
    for frames, fps in ((8, FPS), (10, FPS), (9, 2 * FPS)):
        with pytest.raises(RobotroveError, match=r"a\.mp4"):
            prove(path, frames, fps)
    assert survey(path, FPS).frames == 9
    for fps in (FPS // 2, 2 * FPS, FPS - 1):
        with pytest.raises(RobotroveError, match=r"a\.mp4"):
            survey(path, fps)
    late = record(tmp_path / "late.mp4", kind, 9, first=2)
    with pytest.raises(RobotroveError, match=r"late\.mp4"):
        prove(late, 9, FPS)
    with pytest.raises(RobotroveError, match=r"late\.mp4"):
        survey(late, FPS)
    rounded = record(tmp_path / "ms.mp4", kind, 9, time_base=Fraction(1, 1000), first=1)
    with pytest.raises(RobotroveError, match=r"ms\.mp4"):
        prove(rounded, 9, FPS)
    with pytest.raises(RobotroveError, match=r"ms\.mp4"):
        survey(rounded, FPS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(RobotroveError, match=r"a\.mp4"):
        prove(path, 9, FPS)
    with pytest.raises(RobotroveError, match=r"a\.mp4"):
        survey(path, FPS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("h264")])
def test_frames_at_the_wrong_place(kind: str, tmp_path: Path) -> None:
    """Tables that are right of themselves, but not about what is in the file."""
    path = record(tmp_path / "a.mp4", kind, 9)
    table = read_table(path)
    whole = bytearray(path.read_bytes())
    begin = int(table.offsets[0])
    whole[begin : begin + 60] = bytes(60)
    path.write_bytes(whole)
    with pytest.raises(RobotroveError, match=r"a\.mp4"):
        prove(path, 9, FPS)
