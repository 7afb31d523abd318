"""Files that name classes: class_dict.csv, codes.txt, label_colors.txt, labelmap.txt."""

from __future__ import annotations

import csv
import re
from typing import Any

from unetfast.data.listing import Listing

__all__ = ["legend"]

_NAME_LISTS = ("codes.txt", "classes.txt", "class_names.txt", "labels.txt")
_COLOUR_TABLES = ("class_dict.csv", "label_colors.txt", "label_colours.txt", "labelmap.txt")
_FEW = 256 * 2**10  # bytes; a legend is short


def legend(listing: Listing) -> dict[str, Any]:
    """Return the class names that a data set's own legend gives.

    Returns
    -------
    dict
        "classes" (names by id) or "colours" (name by packed colour), and "legend", the file;
        empty where there is none.
    """
    by_name = {name.rpartition("/")[2].lower(): name for name in reversed(listing.names)}
    for known in _COLOUR_TABLES:
        if known in by_name:
            colours = _colours(listing.text_or_none(by_name[known], _FEW) or "")
            if len(colours) >= 2:
                return {"colours": colours, "legend": by_name[known]}
    for known in _NAME_LISTS:
        if known in by_name:
            names = [
                line.strip()
                for line in (listing.text_or_none(by_name[known], _FEW) or "").splitlines()
                if line.strip()
            ]
            if 2 <= len(names) <= 255 and all(
                re.fullmatch(r"[^\s/\\.]+( [^\s/\\.]+){0,3}", n) for n in names
            ):
                return {"classes": names, "legend": by_name[known]}
    return {}


def _colours(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for row in csv.reader(re.sub(r"[\t:;]+|(?<=\d) +", ",", line) for line in text.splitlines()):
        cells = [cell.strip() for cell in row if cell.strip()]
        for at in (0, 1):  # "64 128 64 Animal" and "animal,64,128,64"
            numbers = cells[at : at + 3]
            names = cells[:at] or cells[3:]
            if len(numbers) == 3 and all(n.isdigit() and int(n) < 256 for n in numbers) and names:
                red, green, blue = map(int, numbers)
                found.setdefault(red << 16 | green << 8 | blue, names[0])
                break
    return found
