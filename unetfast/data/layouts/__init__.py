"""How data sets lie on disk: one file each, one line here each.

A layout is a function ``find(listing, mask) -> Found | None``: None where the files do not lie so.
``auto`` asks them in this order, from the most particular to the most general.
"""

from __future__ import annotations

from unetfast.data.layouts.found import Found
from unetfast.registry import Registry

__all__ = ["IN_ONE_FILE", "LAYOUTS", "Found"]

LAYOUTS = Registry(
    "layout",
    {
        "arrays": "unetfast.data.layouts.arrays:find",
        "npz": "unetfast.data.layouts.npz:find",
        "dsb2018": "unetfast.data.layouts.dsb2018:find",
        "tracking": "unetfast.data.layouts.tracking:find",
        "isic": "unetfast.data.layouts.isic:find",
        "csv": "unetfast.data.layouts.table:find",
        "list": "unetfast.data.layouts.listed:find",
        "anomaly": "unetfast.data.layouts.anomaly:find",
        "variants": "unetfast.data.layouts.variants:find",
        "classes": "unetfast.data.layouts.class_folders:find",
        "paired": "unetfast.data.layouts.paired:find",
        "bands": "unetfast.data.layouts.bands:find",
        "mat": "unetfast.data.layouts.mat:find",
        "rle": "unetfast.data.layouts.rle:find",
        "coco": "unetfast.data.layouts.coco:find",
        "yolo": "unetfast.data.layouts.yolo:find",
        "labelme": "unetfast.data.layouts.labelme:find",
        "supervisely": "unetfast.data.layouts.supervisely:find",
        "cvat": "unetfast.data.layouts.cvat:find",
        "via": "unetfast.data.layouts.via:find",
        "labelstudio": "unetfast.data.layouts.labelstudio:find",
        "imagescope": "unetfast.data.layouts.imagescope:find",
    },
)

# A file that stands for its data set, by its ending: the layouts that may be written so, asked in this order.
IN_ONE_FILE = {
    ".csv": ("rle", "via", "csv"),
    ".tsv": ("csv",),
    ".jsonl": ("csv",),
    ".json": ("coco", "labelme", "via", "labelstudio"),
    ".xml": ("cvat", "imagescope"),
    ".txt": ("list",),
    ".lst": ("list",),
}
