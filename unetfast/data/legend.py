"""Files that name classes: class_dict.csv, codes.txt, label_colors.txt, labelmap.txt, _classes.csv."""

from __future__ import annotations

import csv
import re
from typing import Any

from unetfast.data.listing import Listing, file_of

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
    by_name = {file_of(name).lower(): name for name in reversed(listing.names)}
    for known in _COLOUR_TABLES:
        if known in by_name:
            colours = _colours(listing.text_or_none(by_name[known], _FEW) or "")
            if len(colours) >= 2:
                return {"colours": colours, "legend": by_name[known]}
    for known in _NAME_LISTS:
        if known in by_name:
            text = listing.text_or_none(by_name[known], _FEW) or ""
            names = [line.strip() for line in text.splitlines() if line.strip()]
            if names[:1] == ["__ignore__"]:
                names = names[1:]  # LabelMe counts from -1, which masks store as 255
            if 2 <= len(names) <= 255 and all(
                re.fullmatch(r"[^\s/\\.]+( [^\s/\\.]+){0,3}", n) for n in names
            ):
                return {"classes": names, "legend": by_name[known]}
    for name in listing.names:
        if file_of(name).lower() == "_classes.csv" and (
            names := _roboflow(listing.text_or_none(name, _FEW) or "")
        ):
            return {"classes": names, "legend": name}
    return {}


def _roboflow(text: str) -> list[str]:
    """Read Roboflow's table of ``Pixel Value, Class``, where its values count up from 0."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    values = [row[0] for row in rows[1:]] if all(len(row) == 2 for row in rows) else []
    return [row[1] for row in rows[1:]] if values == [str(i) for i in range(len(values))] else []


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
