from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from robotrove.media.image.overview import contact_sheet, curves, filmstrip


def picture(rows: list[list[tuple[int, int, int]]], times: int) -> np.ndarray:
    return np.array(rows, np.uint8).repeat(times, 0).repeat(times, 1)


RED, GREEN, GREY, WHITE = (255, 0, 0), (0, 255, 0), (118, 118, 118), (255, 255, 255)
# 2 columns of 2 pixels: red over green, grey over white; each pixel is 8x8 of the picture.
FOUR = picture([[RED, GREY], [GREEN, WHITE]], 8)


def test_half_blocks_in_24_bit() -> None:
    assert filmstrip([FOUR], 2, "24bit") == [
        "\x1b[38;2;255;0;0;48;2;0;255;0m▀\x1b[38;2;118;118;118;48;2;255;255;255m▀\x1b[0m"
    ]


def test_half_blocks_in_256_colours() -> None:
    # xterm: 196 is (255, 0, 0), 46 is (0, 255, 0), 243 is (118, 118, 118), 231 is (255, 255, 255).
    assert filmstrip([FOUR], 2, "256") == ["\x1b[38;5;196;48;5;46m▀\x1b[38;5;243;48;5;231m▀\x1b[0m"]


def test_equal_colours_are_selected_once() -> None:
    assert filmstrip([picture([[RED, RED], [RED, RED]], 4)], 2, "256") == ["\x1b[38;5;196;48;5;196m▀▀\x1b[0m"]


def test_a_ramp_without_colours() -> None:
    # Luma: 0.299 · 255 = 76 and 0.587 · 255 = 150, mean 113 of 256: the fifth of ten; (118 + 255) / 2: the eighth.
    assert filmstrip([FOUR], 2, "none") == ["=#"]


def test_pictures_beside_each_other() -> None:
    black = np.zeros((16, 16, 3), np.uint8)
    assert filmstrip([FOUR, black, FOUR], 8, "none") == ["=#    =#"]


def test_a_picture_smaller_than_its_columns() -> None:
    assert filmstrip([picture([[(0, 0, 0), WHITE]], 1)], 8, "none") == ["    @@@@"] * 2


def test_means_of_all_pixels() -> None:
    stripes = np.zeros((100, 100, 3), np.uint8)
    stripes[:, ::2] = 200
    assert filmstrip([stripes], 1, "24bit") == ["\x1b[38;2;100;100;100;48;2;100;100;100m▀\x1b[0m"]


def test_curves_without_colours() -> None:
    state, action = np.array([0.0, 1, 2, 3]), np.array([3.0, 1, 0, 3])
    assert curves([state, action], 4, 4, "none") == ["+  #", "  .", " #", ". +"]


def test_a_peak_is_never_lost() -> None:
    values = np.zeros(1000)
    values[501] = 10
    assert curves([values, None], 10, 3, "none") == ["     .", "     .", ".........."]


def test_values_that_are_not_finite() -> None:
    assert curves([np.array([0, np.nan, np.inf, 1.0]), None], 4, 2, "none") == ["   .", "."]
    assert curves([np.array([np.nan, np.nan])], 2, 2, "none") == ["", ""]


def test_curves_in_braille() -> None:
    # One character, 2x4 dots: the first curve from the lowest dot on the left to the highest on the right.
    assert curves([np.array([0.0, 1.0]), None], 1, 1, "24bit") == ["\x1b[36m⡈\x1b[0m"]
    # The second curve alone in the second character, both in the third.
    state, action = np.array([0.0, 0, np.nan, np.nan, 0, 0]), np.array([np.nan, np.nan, 0, 0, 0, 0.0])
    assert curves([state, action], 3, 1, "256") == ["\x1b[36m⣀\x1b[33m⣀\x1b[37m⣀\x1b[0m"]


def test_a_contact_sheet() -> None:
    sheet = Image.open(BytesIO(contact_sheet([("one", [FOUR, FOUR]), ("two", [picture([[RED]], 5)])])))
    assert (sheet.format, sheet.size) == ("PNG", (2 * 164 + 4, 2 * (14 + 8 + 160)))
    middles = [(4 + 40, 18 + 40), (4 + 120, 18 + 40), (4 + 40, 18 + 120), (168 + 40, 18 + 40), (4 + 80, 182 + 18 + 80)]
    assert [sheet.getpixel(at) for at in middles] == [RED, GREY, GREEN, RED, RED]
    assert sheet.getpixel((168 + 80, 182 + 18 + 80)) == (24, 24, 24)


def test_labels_in_any_letters() -> None:
    assert contact_sheet([("摄像头 \x1b[2J é", [FOUR])])


@pytest.mark.parametrize("colours", ["24bit", "256", "none"])
def test_eighty_columns(colours: str) -> None:
    frames = [np.zeros((48, 64, 3), np.uint8)] * 4
    lines = filmstrip(frames, 80, colours)  # type: ignore[arg-type]
    assert len(lines) == 7  # 19 columns of 64:48 are 14.25 pixels
    if colours != "none":
        assert {line.count("▀") for line in lines} == {76}
