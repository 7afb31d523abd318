"""The colours that classes are drawn in, on every picture and page."""

from __future__ import annotations

import colorsys

__all__ = ["class_colour"]

# A red that no road, wall or brick has, then Okabe and Ito's colours, which people with
# colour-blindness can tell apart; then, one after another, the colour that is farthest from all before.
_FIRST = (
    (255, 24, 84),
    (0, 158, 115),
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
    (128, 0, 255),
    (102, 51, 0),
    (42, 255, 0),
    (0, 0, 102),
    (255, 38, 255),
    (115, 255, 138),
    (0, 255, 255),
    (95, 166, 25),
    (0, 0, 217),
    (0, 102, 17),
    (166, 0, 138),
    (105, 75, 166),
    (0, 255, 128),
)


def class_colour(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour that a class is drawn in; 0 is the background and never drawn."""
    if class_id <= len(_FIRST):
        return _FIRST[class_id - 1]
    # The golden ratio never repeats a hue, so that any number of classes differ.
    red, green, blue = colorsys.hsv_to_rgb(class_id * 0.618034 % 1, 0.85, 0.95 if class_id % 2 else 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)
