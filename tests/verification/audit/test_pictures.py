from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from robotrove.core.errors import RobotroveError
from robotrove.formats.hdf5.samples.pictures import pictures
from robotrove.media.image.images import ImageDecoder, encode_jpeg
from robotrove.tests.support.places import SHARED_DATA, needs
from robotrove.verification.audit.pictures import Picture, decoded, raw

FRAME, NEXT = pictures(2, 96, 128, camera=0)


def encoded(frame: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, kind, **options)
    return stream.getvalue()


def test_png_is_exact() -> None:
    picture = decoded(encoded(FRAME, "PNG") + b"\0\0\0", "rgb", "none")
    assert picture.exact
    assert np.array_equal(picture.pixels, FRAME)
    assert picture.difference(FRAME) == ""
    changed = FRAME.copy()
    changed[5, 7, 1] ^= 1
    assert picture.difference(changed) == "another frame than the recording (levels differ by up to 1)"


def test_colour_order_and_orientation() -> None:
    content = encoded(FRAME, "PNG")
    assert np.array_equal(decoded(content, "bgr", "none").pixels, FRAME[..., ::-1])
    assert np.array_equal(decoded(content, "rgb", "vertical").pixels, FRAME[::-1])
    assert np.array_equal(decoded(content, "rgb", "rotate180").pixels, FRAME[::-1, ::-1])
    assert np.array_equal(decoded(content, "rgb", "horizontal").pixels, FRAME[:, ::-1])
    picture = decoded(content, "rgb", "none")
    assert ", it is red and blue exchanged (" in picture.difference(FRAME[..., ::-1])
    assert ", it is upside down (" in picture.difference(FRAME[::-1])
    assert ", it is turned (" in picture.difference(FRAME[::-1, ::-1])
    assert picture.difference(FRAME[:50]) == "a frame of shape (50, 128, 3), the recording has (96, 128, 3)"


def test_grey_and_alpha() -> None:
    grey = FRAME[..., 1]
    expected = np.stack([grey] * 3, axis=2)
    alpha = np.random.default_rng(0).integers(0, 256, grey.shape, np.uint8)
    assert np.array_equal(decoded(encoded(grey, "PNG"), "rgb", "none").pixels, expected)
    for frame in (grey, grey[..., None], expected):
        assert np.array_equal(raw(frame, "rgb", "none").pixels, expected)
    with_alpha = np.dstack([FRAME, alpha])  # dropped, not blended
    assert np.array_equal(decoded(encoded(with_alpha, "PNG"), "rgb", "none").pixels, FRAME)
    assert np.array_equal(raw(with_alpha, "rgb", "none").pixels, FRAME)
    assert np.array_equal(decoded(encoded(np.dstack([grey, alpha]), "PNG"), "rgb", "none").pixels, expected)
    assert np.array_equal(raw(np.moveaxis(FRAME, 2, 0), "bgr", "none").pixels, FRAME[..., ::-1])


def test_numbers_that_are_not_uint8() -> None:
    assert np.array_equal(raw(FRAME.astype(np.int32), "rgb", "none").pixels, FRAME)
    levels = np.array([[[0, 0.49 / 255, 0.51 / 255], [1, 254.4 / 255, 254.6 / 255]]], "f4")
    assert raw(levels, "rgb", "none").pixels.tolist() == [[[0, 0, 1], [255, 254, 255]]]
    for bad in (FRAME.astype("i2") + 1, levels + 0.01, np.full((2, 2, 3), np.nan)):
        with pytest.raises(RobotroveError, match="with values outside 0 and"):
            raw(bad, "rgb", "none")


def test_what_is_no_picture_of_8_bits() -> None:
    with pytest.raises(RobotroveError, match="Pillow cannot decode it"):
        decoded(b"no picture", "rgb", "none")
    with pytest.raises(RobotroveError, match="Pillow's mode I;16, not of 8 bits"):
        decoded(encoded(FRAME[..., 0].astype(np.uint16) * 256, "PNG"), "rgb", "none")


def checkerboard(size: int) -> np.ndarray:
    colours = np.random.default_rng(3).integers(0, 2, (96 // size, 128 // size, 3)) * 255
    return np.kron(colours, np.ones((size, size, 1))).astype(np.uint8)


SOURCES = {"pictures": FRAME, "checkerboard": checkerboard(4), "noise": checkerboard(1)}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("colours", ["grey", "4:4:4", "4:2:2", "4:2:0"])
def test_the_decoder_of_the_conversion_is_within_the_tolerance(
    source: np.ndarray, progressive: bool, quality: int, colours: str
) -> None:
    frame = source[..., 0] if colours == "grey" else source
    more = {} if colours == "grey" else {"subsampling": colours}
    content = encoded(frame, "JPEG", quality=quality, progressive=progressive, **more)
    picture = decoded(content, "rgb", "none")
    assert (picture.exact, picture.full_colour) == (False, colours in ("grey", "4:4:4"))
    found = ImageDecoder().decode(content)
    assert picture.difference(found) == ""
    assert picture.difference(found[::-1]) != ""
    assert picture.difference(found[:, ::-1]) != ""
    if colours != "grey":
        assert picture.difference(found[..., ::-1]) != ""


@needs(SHARED_DATA / "sims/minari/fetchpix-v0")
def test_jpegs_of_a_simulator() -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(SHARED_DATA / "sims/minari/fetchpix-v0/data/main_data.hdf5") as file:
        contents = [bytes(row) for episode in file.values() for row in episode["observations/pixels"]]
    held = [decoded(content, "rgb", "none") for content in contents]
    found = [ImageDecoder().decode(content) for content in contents]
    assert len(held) > 100
    assert [picture.difference(frame) for picture, frame in zip(held, found, strict=True)] == [""] * len(held)
    nearer = [one.is_rather(frame, own) for one, own, frame in zip(held, held[1:], found[1:], strict=False)]
    assert not any(nearer)  # no frame is taken for the one before


@pytest.mark.parametrize(
    "end",
    [b"\r\n", b"\xff\xff", b" ", b"\0" * 9, encoded(NEXT, "JPEG")],
    ids=["line", "fill", "space", "zeros", "thumbnail"],
)
def test_bytes_behind_a_jpeg(end: bytes) -> None:
    content = encoded(FRAME, "JPEG", quality=95)
    found = ImageDecoder().decode(content)
    assert decoded(content + end, "rgb", "none").difference(found) == ""


def test_a_jpeg_of_two_pictures() -> None:
    stream = io.BytesIO()
    Image.fromarray(FRAME).save(stream, "MPO", save_all=True, append_images=[Image.fromarray(NEXT)], quality=90)
    picture = decoded(stream.getvalue(), "rgb", "none")
    assert not picture.exact
    assert picture.difference(ImageDecoder().decode(encoded(FRAME, "JPEG", quality=90))) == ""


def test_a_jpeg_of_the_row_before() -> None:
    before, own = (decoded(encode_jpeg(frame), "rgb", "none") for frame in (FRAME, slightly(FRAME)))
    found = [ImageDecoder().decode(encode_jpeg(frame)) for frame in (FRAME, slightly(FRAME))]
    assert own.difference(found[0]) == ""  # a step that the tolerance lets pass
    assert before.is_rather(found[0], own)
    assert not before.is_rather(found[1], own)
    assert not own.is_rather(found[0], before)
    assert not Picture(FRAME).is_rather(FRAME, Picture(NEXT))  # exact ones are judged by `difference` alone


def slightly(frame: np.ndarray) -> np.ndarray:
    """Brighten the frame a little, as a slow camera does."""
    return np.clip(frame.astype(np.int16) + 2, 0, 255).astype(np.uint8)
