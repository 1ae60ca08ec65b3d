"""Depth of LeRobot 0.6: codes and pictures are copied as they are, and only where they mean the same."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.features import VISUAL_NAMES, Feature, difference
from robotrove.formats.lerobot.features import KINDS
from robotrove.formats.lerobot.features.feature_kind import kind_of
from robotrove.formats.lerobot.recompute.dataset_recompute import recompute
from robotrove.formats.lerobot.stats.feature_stats import KNOTS, pooled_quantiles
from robotrove.media.image.images import encode_jpeg, encode_png, stored_header
from robotrove.tests.support.datasets.lerobot06 import (
    QUANTIZER,
    SIZE,
    codes,
    decoded,
    deepen,
    depth_stats,
    edit,
    measured,
    picture_rows,
    tiff,
    tiny,
    write_codes,
)
from robotrove.tests.support.datasets.numbered import aggregate, convert
from robotrove.tests.support.datasets.tiny_v30 import LENGTHS, TOP, WRIST, png
from robotrove.verification.consumers import CONSUMERS
from robotrove.verification.dataset.runner import verify

FRAMES = sum(LENGTHS)
NAMES = list(VISUAL_NAMES)
WRIST_0 = f"videos/{WRIST}/chunk-000/file-000.mp4"


def errors(root: Path, *, deep: bool = False) -> list[tuple[str, str]]:
    return [(f.where, f.message) for f in verify(root, deep=deep).findings if f.severity == "error"]


def features(root: Path) -> Any:
    return json.loads((root / "meta/info.json").read_text())["features"]


@pytest.mark.parametrize(
    "place", [("info", "is_depth_map"), ("info", "video.is_depth_map"), ("video_info", "video.is_depth_map")]
)
@pytest.mark.parametrize("dtype", ["video", "image"])
def test_the_mark_of_depth_at_all_of_its_places(place: tuple[str, str], dtype: str) -> None:
    block, key = place
    entry = {"dtype": dtype, "shape": [*SIZE, 1], "names": NAMES, block: {key: True}}
    feature = Feature.from_json(entry)
    assert type(kind_of(feature)) is KINDS[f"depth {dtype}"]
    assert Feature.from_json(feature.to_json()) == feature
    assert kind_of(feature).stored_info(entry, "here")["is_depth_map"] is True
    colour = Feature.from_json(entry | {block: {key: False}})
    assert type(kind_of(colour)) is KINDS[dtype]
    assert difference({"a": colour}, {"a": feature}) == f"a is depth {dtype}[64x80x1] instead of {dtype}[64x80x1]"


@pytest.mark.parametrize(("keyint", "lost"), [(2, False), (3, True)])
def test_which_frames_lerobot_can_fetch(tmp_path: Path, keyint: int, lost: bool) -> None:
    """It seeks to just before a frame of depth, so that it reaches all of its own recordings."""
    root = tiny(tmp_path / "one")
    deepen(root)
    for path, lengths in zip(sorted((root / "videos" / WRIST).rglob("*.mp4")), ([4, 3], [5, 2, 6]), strict=True):
        write_codes(path, lengths, 0, g=str(keyint))
    report = verify(root, consumers={"lerobot": CONSUMERS["lerobot"]})
    found = [f.message for f in report.findings if "cannot fetch" in f.message]
    notes = [note for note in aggregate([root], tmp_path / "out").notes if "by a seek" in note]
    assert (bool(found), bool(notes)) == (lost, lost)
    assert all("record depth with `g` 2" in message for message in found)


@pytest.mark.parametrize("order", [1, -1])
def test_videos_of_depth_are_merged_code_for_code(tmp_path: Path, order: int) -> None:
    deepen(tiny(tmp_path / "one"))
    deepen(tiny(tmp_path / "two"), **{"video.g": 4})
    with_defaults = {key: None for key in QUANTIZER}
    edit(tmp_path / "two", lambda info: info["features"][WRIST]["info"].update(with_defaults))
    assert errors(tmp_path / "one", deep=True) == errors(tmp_path / "two") == []
    aggregate([tmp_path / name for name in ("one", "two")[::order]], tmp_path / "merged", on_duplicate="keep")
    expected = np.stack([codes(frame) for frame in range(FRAMES)] * 2)
    np.testing.assert_array_equal(decoded(tmp_path / "merged", WRIST), expected)
    info = features(tmp_path / "merged")[WRIST]["info"]
    assert {key: info.get(key) for key in QUANTIZER} == QUANTIZER
    assert (info["is_depth_map"], info["depth_unit"], info["video.pix_fmt"]) == (True, "mm", "gray12le")
    assert info["video.g"] is None
    assert errors(tmp_path / "merged", deep=True) == []


def test_statistics_of_depth_stay_in_its_unit(tmp_path: Path) -> None:
    deepen(tiny(tmp_path / "one"))
    aggregate([tmp_path / "one", tmp_path / "one"], tmp_path / "merged", on_duplicate="keep")
    table = pq.read_table(tmp_path / "merged/meta/episodes/chunk-000/file-000.parquet")
    for name in (*KNOTS, "mean", "std"):
        expected = [[[[depth_stats(number)[name]]]] for number in range(len(LENGTHS))] * 2
        assert table[f"stats/{WRIST}/{name}"].to_pylist() == expected
    whole = json.loads((tmp_path / "merged/meta/stats.json").read_text())[WRIST]
    means = [depth_stats(number)["mean"] for number in range(len(LENGTHS))]
    assert np.ravel(whole["mean"]) == pytest.approx([np.average(means, weights=LENGTHS)], rel=1e-12)
    assert (whole["min"], whole["max"]) == ([[[0.0]]], [[[3000.0]]])
    middle = [np.ravel(whole[name]).item() for name in KNOTS]
    assert middle == sorted(middle)


def test_stats_keeps_depth(tmp_path: Path) -> None:
    deepen(tiny(tmp_path / "one"))
    before = json.loads((tmp_path / "one/meta/stats.json").read_text())[WRIST]
    report = recompute(tmp_path / "one", cameras=True)
    assert report.kept == (WRIST,)
    assert WRIST not in report.cameras
    assert json.loads((tmp_path / "one/meta/stats.json").read_text())[WRIST] == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("video.depth_max", 5.0), ("video.depth_min", 0.2), ("video.shift", 1.0), ("video.use_log", False),
     ("depth_unit", "m")],
)  # fmt: skip
def test_other_settings_are_refused_while_planning(tmp_path: Path, name: str, value: Any) -> None:
    deepen(tiny(tmp_path / "one"))
    deepen(tiny(tmp_path / "two"), **{name: value})
    with pytest.raises(UsageError) as error:
        aggregate([tmp_path / "one", tmp_path / "two"], tmp_path / "merged")
    usual = QUANTIZER.get(name, "mm")
    assert f"{WRIST} has {name} {value!r} instead of {usual!r}" in error.value.found
    assert not (tmp_path / "merged").exists()


def test_a_clip_of_depth_is_never_re_encoded(tmp_path: Path) -> None:
    deepen(tiny(tmp_path / "one"))
    edit(tmp_path / "one", lambda info: info["features"][WRIST].update(info={"is_depth_map": True}))
    # One stream of two episodes: there is no closed GOP where the second begins.
    write_codes(tmp_path / "one" / WRIST_0, [LENGTHS[0] + LENGTHS[1]], 0)
    with pytest.raises(
        RobotroveError, match=r"episode 0.*does not begin at a keyframe.*re-encoding would change depth"
    ):
        aggregate([tmp_path / "one"], tmp_path / "merged", on_mismatch="reencode")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("deep", [deepen, lambda root: picture_rows(root, [DEPTHS[0]], DEPTH)])
def test_no_dataset_of_v21(tmp_path: Path, deep: Any) -> None:
    deep(tiny(tmp_path / "one"))
    with pytest.raises(UsageError, match="cannot be in a dataset of"):
        convert(tmp_path / "one", "v2.1", tmp_path / "older")
    assert not (tmp_path / "older").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"video.pix_fmt": "gray10le"}, "is hevc in gray12le, but info.json has video.pix_fmt 'gray10le'"),
        ({"video.codec": "av1"}, "is hevc in gray12le, but info.json has video.codec 'av1'"),
        ({"video.depth_min": 12.0}, "video.depth_min is 12.0, which is not below video.depth_max, 10.0"),
        ({"video.shift": -0.01}, "video.depth_min + video.shift is 0.0, which has no logarithm"),
        ({"video.use_log": "yes"}, "video.use_log is 'yes' instead of true or false"),
        ({"depth_unit": "cm"}, "depth_unit is 'cm' instead of m or mm"),
        ({"video.channels": 3}, "video.channels is 3 instead of 1"),
    ],
)
def test_what_contradicts_the_video_is_found(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    deepen(tiny(tmp_path / "one"), **settings)
    assert {message for _, message in errors(tmp_path / "one")} == {said}


def test_a_video_of_8_bits_is_no_depth(tmp_path: Path) -> None:
    deepen(tiny(tmp_path / "one"))
    edit(tmp_path / "one", lambda info: info["features"][WRIST].update(info={"is_depth_map": True}))
    write_codes(tmp_path / "one" / WRIST_0, LENGTHS[:2], 0, "libx264", "yuv420p")
    assert errors(tmp_path / "one") == [(WRIST_0, "is h264 in yuv420p, but depth has codes of 12 bits, as in gray12le")]


def test_which_pixel_formats_have_12_bits() -> None:
    kind = kind_of(Feature("video", (*SIZE, 1), VISUAL_NAMES, is_depth=True))
    for pix_fmt in ("gray12le", "gray12be", "yuv420p12le", "gbrp12le", "p012le"):
        assert list(kind.file_problems("hevc", pix_fmt, {})) == []
    for pix_fmt in ("nv12", "gray", "gray10le", "gray16le", "yuv420p"):
        assert len(list(kind.file_problems("hevc", pix_fmt, {}))) == 1


DEPTH = {"dtype": "image", "shape": [6, 8, 1], "names": NAMES, "info": {"is_depth_map": True, "depth_unit": "mm"}}
MILLIMETRES = (np.arange(48, dtype=np.uint16) * 250).reshape(6, 8)
DEPTHS = [tiff(MILLIMETRES), tiff(MILLIMETRES.astype(np.float32) / 1000), tiff(MILLIMETRES, ">")]
COLOUR = {"dtype": "image", "shape": [6, 8, 3], "names": NAMES}


def webp(kind: bytes, payload: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


WEBPS = [
    webp(b"VP8 ", b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", 8, 6) + bytes(20)),
    webp(b"VP8L", b"\x2f" + struct.pack("<I", (8 - 1) | (6 - 1) << 14) + bytes(20)),
    webp(b"VP8X", bytes(4) + (8 - 1).to_bytes(3, "little") + (6 - 1).to_bytes(3, "little") + bytes(20)),
]
COLOURS = [png(np.zeros((6, 8, 3), np.uint8)), encode_jpeg(np.full((6, 8, 3), 90, np.uint8)), *WEBPS]


@pytest.mark.parametrize(("contents", "feature"), [(DEPTHS, DEPTH), (COLOURS, COLOUR)], ids=["depth", "colour"])
def test_pictures_are_verified_and_merged_byte_for_byte(tmp_path: Path, contents: list[bytes], feature: Any) -> None:
    picture_rows(tiny(tmp_path / "one"), contents, feature)
    if feature is DEPTH:
        measured(tmp_path / "one", TOP)
    assert errors(tmp_path / "one") == []
    aggregate([tmp_path / "one", tmp_path / "one"], tmp_path / "merged", on_duplicate="keep")
    tables = [pq.read_table(path) for path in sorted((tmp_path / "merged").glob("data/*/*.parquet"))]
    rows = [row for table in tables for row in table[TOP].to_pylist()]
    expected = [contents[row % len(contents)] for row in range(FRAMES)] * 2
    assert [row["bytes"] for row in rows] == expected
    assert rows[0]["path"] == "frame-000000.tiff"
    assert features(tmp_path / "merged")[TOP] == feature
    assert errors(tmp_path / "merged") == []


@pytest.mark.parametrize(
    ("content", "feature", "said"),
    [
        (tiff(MILLIMETRES.T), DEPTH, "the picture is 8x6 instead of 6x8"),
        (COLOURS[0], DEPTH, "the picture has 3 channels of 8 bits; expected 1 of 16 or 32, for depth"),
        (tiff(MILLIMETRES.astype(np.uint8)), DEPTH, "the picture has 1 channels of 8 bits"),
        (DEPTHS[0][:60], DEPTH, "the picture cannot be read: a picture of 60 bytes ends early"),
        (WEBPS[0][:-3], COLOUR, "the picture cannot be read: a WebP of 47 bytes ends early: its header says 50"),
        (COLOURS[1][:-2], COLOUR, "the picture cannot be read: a JPEG of"),
        (b"GIF89a", COLOUR, "the picture cannot be read: 6 bytes are"),
    ],
)
def test_pictures_that_are_wrong(tmp_path: Path, content: bytes, feature: Any, said: str) -> None:
    picture_rows(tiny(tmp_path / "one"), [content], feature)
    messages = [f.message for f in verify(tmp_path / "one").findings if f.check == "images"]
    assert len(messages) == FRAMES
    assert messages[0].startswith(said)


def test_headers_of_stored_pictures() -> None:
    colour = np.zeros((6, 8, 3), np.uint8)
    for content in (encode_png(colour), *COLOURS):
        header = stored_header(content)
        assert (header.height, header.width, header.channels, header.bits) == (6, 8, 3, 8)
    found = [stored_header(content) for content in DEPTHS]
    assert [(h.codec, h.height, h.width, h.channels, h.bits) for h in found] == [
        ("tiff", 6, 8, 1, 16), ("tiff", 6, 8, 1, 32), ("tiff", 6, 8, 1, 16)
    ]  # fmt: skip


def test_pooled_quantiles() -> None:
    dice = np.random.default_rng(1)
    parts = [dice.normal(at, 1 + at, (2000 * (at + 1), 2)) for at in range(4)]
    levels = [0, 0.01, 0.1, 0.5, 0.9, 0.99, 1]
    knots = np.stack([np.quantile(part, levels, axis=0) for part in parts])
    found = pooled_quantiles(knots, np.array([len(part) for part in parts]))
    exact = np.quantile(np.concatenate(parts), levels[1:-1], axis=0)
    averages = np.average(knots[:, 1:-1], axis=0, weights=[len(part) for part in parts])  # as LeRobot has them
    assert np.abs(found - exact).sum() < np.abs(averages - exact).sum()
    # Alike parts, parts of one value each, and parts that do not overlap.
    np.testing.assert_allclose(
        pooled_quantiles(knots[:1].repeat(3, 0), np.array([5, 9, 1])), knots[0, 1:-1], rtol=1e-12
    )
    flat = np.array([[[2.0]] * 7, [[5.0]] * 7])
    assert pooled_quantiles(flat, np.array([30, 70])).ravel() == pytest.approx([2, 2, 5, 5, 5], rel=1e-12)
