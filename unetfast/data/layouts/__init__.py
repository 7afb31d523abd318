"""How data sets lie on disk: one file each, one line here each.

A layout is a function ``find(listing, mask) -> Found | None``: None where the files do not lie so.
``auto`` asks them in this order, from the most particular to the most general.
"""

from __future__ import annotations

from unetfast.data.layouts.found import Found
from unetfast.registry import Registry

__all__ = ["LAYOUTS", "Found"]

LAYOUTS = Registry(
    "layout",
    {
        "paired": "unetfast.data.layouts.paired:find",
    },
)
