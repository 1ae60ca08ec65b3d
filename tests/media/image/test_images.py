from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from robotrove.core.errors import EpisodeRejected
from robotrove.media.image.images import ImageDecoder, encode_jpeg, encode_png, read_header
from robotrove.tests.support.media.pictures16 import chunk, png16

Image = pytest.importorskip("PIL.Image", reason="pillow, the other decoder to compare with, is in the dev extra")


def picture(height: int = 120, width: int = 200) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    wave = 127 + 120 * np.sin(columns / 17 + rows / 29)
    return np.stack([columns / width * 255, rows / height * 255, wave], axis=-1).astype(np.uint8)


def pillow_bytes(image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(**options) -> bytes:
    return pillow_bytes(Image.fromarray(picture()), "JPEG", **{"quality": 92, **options})


def pillow_pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def image_size(data: bytes | np.ndarray) -> tuple[int, int]:
    header = read_header(bytes(data))
    return header.height, header.width


def mean_error(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right).mean())


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(120, 200), (101, 67)])
def test_jpeg_is_what_pillow_sees(subsampling: str, progressive: bool, size: tuple[int, int]) -> None:
    data = pillow_bytes(
        Image.fromarray(picture(*size)), "JPEG", quality=90, subsampling=subsampling, progressive=progressive
    )
    decoded = ImageDecoder().decode(data)
    assert decoded.dtype == np.uint8
    assert mean_error(decoded, pillow_pixels(data)) <= 2
    assert image_size(data) == size


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_becomes_rgb(kind: str) -> None:
    grey = picture()[..., 0]
    decoded = ImageDecoder().decode(
        pillow_bytes(Image.fromarray(grey), kind, **({"quality": 95} if kind == "JPEG" else {}))
    )
    assert mean_error(decoded, np.repeat(grey[..., None], 3, axis=2)) <= 1
    assert decoded.min() <= 3
    assert decoded.max() >= 250


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_is_exact(mode: str) -> None:
    alpha = np.dstack([picture(), np.tile(np.arange(200, dtype=np.uint8), (120, 1))])
    image = Image.fromarray(alpha).convert(mode)
    data = pillow_bytes(image, "PNG")
    np.testing.assert_array_equal(ImageDecoder().decode(data), np.array(image.convert("RGB")))
    assert image_size(data) == (120, 200)


def test_flat_colours_and_channel_order() -> None:
    for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (10, 200, 90)]:
        flat = np.full((64, 64, 3), colour, np.uint8)
        for data in (encode_jpeg(flat), encode_png(flat), pillow_bytes(Image.fromarray(flat), "JPEG")):
            assert np.abs(ImageDecoder().decode(data).astype(int) - flat).max() <= 3
            assert np.abs(ImageDecoder().decode(data, bgr=True).astype(int) - flat[..., ::-1]).max() <= 3


def test_padding_of_zeros_after_the_end_is_ignored() -> None:
    data = jpeg()
    row = np.zeros(len(data) + 5000, np.uint8)
    row[: len(data)] = np.frombuffer(data, np.uint8)
    np.testing.assert_array_equal(ImageDecoder().decode(row), ImageDecoder().decode(data))
    assert image_size(row) == (120, 200)
    np.testing.assert_array_equal(ImageDecoder().decode(encode_png(picture()) + bytes(99)), picture())


@pytest.mark.parametrize("make", [jpeg, lambda: encode_png(picture())], ids=["jpeg", "png"])
def test_damaged_data_are_rejected_and_do_not_spoil_the_next(make) -> None:
    data = make()
    half = len(data) // 2
    end = data[-12:] if data.startswith(b"\x89PNG") else data[-2:]
    decoder = ImageDecoder()
    good = decoder.decode(data)
    damaged = {
        "cut at half": data[:half],
        "cut at half and padded": data[:half] + bytes(half),
        "without its end": data[: -len(end)],
        "cut at half, with an end": data[:half] + end,
        "cut at nine tenths, with an end": data[: len(data) * 9 // 10] + end,
        "with a hole": data[:half] + bytes(200) + data[half + 200 :],
        "only the first bytes": data[:10],
    }
    for name, content in damaged.items():
        with pytest.raises(EpisodeRejected) as caught:
            pytest.fail(f"{name} was decoded: {decoder.decode(content).shape}")
        assert caught.value.reason == "bad_image"
        np.testing.assert_array_equal(decoder.decode(data), good)


@pytest.mark.parametrize(
    "data", [b"", bytes(100), b"no image at all", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\nIEND\xaeB`\x82"]
)
def test_what_is_no_image_is_rejected(data: bytes) -> None:
    for function in (ImageDecoder().decode, image_size):
        with pytest.raises(EpisodeRejected, match="bad_image"):
            function(data)


THUMBNAIL = pillow_bytes(Image.new("RGB", (16, 16), "white"), "JPEG")


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Put a segment behind the start of a JPEG."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """Put a chunk behind the IHDR of a PNG."""
    return data[:33] + chunk(kind, content) + data[33:]


def tiff(orientation: int, order: str = "<", kind: str = "H") -> bytes:
    """Return EXIF data with a maker note before the orientation."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    entries = [struct.pack(f"{order}HHI4s", 0x010F, 2, 4, b"cam\0")]
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    entries.append(struct.pack(f"{order}HHI4s", 0x0112, {"H": 3, "I": 4}[kind], 1, value))
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize(
    "tail",
    [
        b"\r\n",
        b"\xff" * 7,
        b"   ",
        b"\xff\xd9",
        THUMBNAIL,
        encode_png(picture(16, 16)),
        bytes(9) + b"\x01\x02",
        b"\xff\xc4",
    ],
    ids=["line end", "fill", "spaces", "second end", "jpeg", "png", "zeros and more", "half a marker"],
)
@pytest.mark.parametrize("make", [jpeg, lambda: jpeg(progressive=True), lambda: encode_png(picture())])
def test_bytes_after_the_end_are_ignored(make, tail: bytes) -> None:
    data = make()
    assert read_header(data).end == read_header(data + tail).end == len(data)
    np.testing.assert_array_equal(ImageDecoder().decode(data + tail), ImageDecoder().decode(data))


def test_of_pictures_one_after_the_other_the_first_counts() -> None:
    wide = Image.fromarray(picture())
    data = pillow_bytes(wide, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))], quality=92)
    assert image_size(data) == (120, 200)
    assert mean_error(ImageDecoder().decode(data), pillow_pixels(data)) <= 2


@pytest.mark.parametrize("progressive", [False, True])
def test_the_end_marker_of_a_thumbnail_is_not_the_end(progressive: bool) -> None:
    whole = jpeg(progressive=progressive)
    data = with_segment(whole, 0xE1, b"Exif\0\0" + tiff(1) + THUMBNAIL)
    np.testing.assert_array_equal(ImageDecoder().decode(data), ImageDecoder().decode(whole))
    in_thumbnail = data.index(THUMBNAIL) + len(THUMBNAIL)
    for short in (data[:-2], data[:-40], data[: len(data) // 2], data[:in_thumbnail], data[:-40] + THUMBNAIL):
        with pytest.raises(EpisodeRejected, match=rf"bad_image: a JPEG of {len(short)} bytes ends early"):
            ImageDecoder().decode(short)


def test_what_stands_between_the_segments_of_a_jpeg_is_no_damage() -> None:
    whole = jpeg()
    scan = whole.index(b"\xff\xda")
    for filled in (
        whole[:2] + b"\xff\xff\xff" + whole[2:],  # fill bytes (T.81, B.1.1.2)
        whole[:scan] + b"\xff\xff" + whole[scan:],
        with_segment(whole, 0xFE, b"a comment with \xff\xd9 in it"),
    ):
        assert read_header(filled).end == len(filled)
        np.testing.assert_array_equal(ImageDecoder().decode(filled), ImageDecoder().decode(whole))


def test_the_end_of_a_png_inside_a_text_is_not_the_end() -> None:
    data = with_chunk(encode_png(picture()), b"tEXt", b"Comment\0" + chunk(b"IEND", b""))
    np.testing.assert_array_equal(ImageDecoder().decode(data), picture())
    for short in (data[:-1], data[:-12], data[: len(data) // 2], data[:90]):
        with pytest.raises(EpisodeRejected, match=rf"bad_image: a PNG of {len(short)} bytes ends early"):
            ImageDecoder().decode(short)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_and_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for data, plain in (
        (jpeg(exif=exif), jpeg()),
        (with_segment(jpeg(), 0xE1, b"Exif\0\0" + tiff(orientation, ">")), jpeg()),
        (with_segment(jpeg(), 0xE1, b"Exif\0\0" + tiff(orientation, "<", "I")), jpeg()),
        (with_chunk(encode_png(picture()), b"eXIf", tiff(orientation, ">")), encode_png(picture())),
        (with_chunk(encode_png(picture()), b"eXIf", tiff(orientation, "<")), encode_png(picture())),
    ):
        assert read_header(data).orientation == orientation
        np.testing.assert_array_equal(ImageDecoder().decode(data), ImageDecoder().decode(plain))


@pytest.mark.parametrize(
    "exif", [b"", b"II", b"MM\0*", tiff(6)[:20], tiff(9), tiff(0), b"II*\0" + struct.pack("<I", 10**9), b"none of it"]
)
def test_exif_without_an_orientation_is_upright(exif: bytes) -> None:
    assert read_header(with_segment(jpeg(), 0xE1, b"Exif\0\0" + exif)).orientation == 1
    assert read_header(with_chunk(encode_png(picture()), b"eXIf", exif)).orientation == 1
    assert read_header(with_segment(jpeg(), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + tiff(6))).orientation == 1
    assert read_header(with_segment(jpeg(), 0xE2, b"Exif\0\0" + tiff(6))).orientation == 1


@pytest.mark.parametrize(
    ("channels", "found"),
    [(1, "grey pixel"), (2, "grey pixel"), (3, "colour of a pixel"), (4, "colour of a pixel")],
)
def test_more_than_8_bits_are_refused(channels: int, found: str) -> None:
    data = png16(np.arange(64 * 48 * channels, dtype=np.uint16).reshape(48, 64, channels) * 5)
    header = read_header(data)
    assert (header.bits, header.channels) == (16, 1 if "grey" in found else 3)
    with pytest.raises(EpisodeRejected, match=f"image_dtype: a PNG with 16 bits for each {found}; pictures have 8"):
        ImageDecoder().decode(data)


def test_a_jpeg_of_12_bits_is_refused() -> None:
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(EpisodeRejected, match="image_dtype: a JPEG with 12 bits"):
        ImageDecoder().decode(bytes(data))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_alpha_is_dropped_and_changes_no_colour(mode: str) -> None:
    colours = Image.fromarray(picture()).convert({"RGBA": "RGB", "LA": "L"}.get(mode, mode))
    expected = np.array(colours.convert("RGB"))
    if mode in ("RGBA", "LA"):
        colours.putalpha(Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (120, 1))))
        data = pillow_bytes(colours, "PNG")
    else:  # the tRNS chunk makes one colour transparent
        data = pillow_bytes(colours, "PNG", transparency={"P": 0, "L": 9, "RGB": tuple(expected[7, 7].tolist())}[mode])
    np.testing.assert_array_equal(ImageDecoder().decode(data), expected)
    np.testing.assert_array_equal(ImageDecoder().decode(data, bgr=True), expected[..., ::-1])


def test_cmyk_is_rejected_instead_of_decoded_wrongly() -> None:
    with pytest.raises(EpisodeRejected, match="4 colour components"):
        ImageDecoder().decode(pillow_bytes(Image.new("CMYK", (32, 32)), "JPEG"))


def test_one_decoder_takes_sizes_and_kinds_in_turn() -> None:
    decoder = ImageDecoder()
    for size in [(48, 64), (48, 64), (120, 200), (33, 57), (120, 200)]:
        image = picture(*size)
        assert mean_error(decoder.decode(encode_jpeg(image, 100)), image) <= 4
        np.testing.assert_array_equal(decoder.decode(encode_png(image)), image)


def test_encoding_is_deterministic_and_read_by_others() -> None:
    image = picture(101, 67)
    assert encode_png(image) == encode_png(image)
    assert encode_jpeg(image) == encode_jpeg(image)
    np.testing.assert_array_equal(pillow_pixels(encode_png(image)), image)
    errors = [mean_error(pillow_pixels(encode_jpeg(image, quality)), image) for quality in (100, 50, 1)]
    assert errors[0] <= 2.5
    assert errors == sorted(errors)
    assert errors[2] > errors[0]
