"""Annotations of tools that are not read: the message that nothing was found says what to export instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unetfast.data.listing import Listing, file_of
from unetfast.errors import DatasetError, ImageError
from unetfast.spec import Sample

__all__ = ["PANOPTIC", "REGIONS", "foreign", "is_panoptic", "of_panoptic"]

_LOOKED_AT = 5  # files of a kind
_MOST_BYTES = 16 * 2**20

PANOPTIC = (
    "panoptic segments, whose PNGs hold the numbers of segments in their colours: write class ids in grey "
    "instead (panopticapi's converters/panoptic2semantic_segmentation.py), or take the outlines of an "
    "instances_*.json"
)
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")
_BURNT = "burn them into a mask for each image (gdal_rasterize, rasterio.features.rasterize)"
REGIONS = (".roi", "roi.zip", "rois.zip", "roiset.zip")
_CONTAINER = "arrays in a container: save one .npy, PNG or TIFF an image and a mask"
_ENDINGS = {
    REGIONS: (
        "regions of ImageJ: open each image in Fiji, its regions in the ROI Manager, and save a mask (More > "
        "OR (Combine), then Edit > Selection > Create Mask)"
    ),
    _VOLUMES: (
        "volumes: save their slices as PNG or TIFF (with SimpleITK or nibabel), those of images and of masks "
        "under the same names, and the values of a CT within a window such as -100 .. 400 HU"
    ),
    (".heic", ".heif", ".avif", ".dng", ".cr2", ".nef", ".arw"): (
        "photos in a format that is not read: save them as JPEG, PNG or TIFF"
    ),
    (".czi", ".lif", ".nd2", ".oib", ".vsi", ".svs", ".ndpi", ".mrxs"): "microscope files: save them as TIFF",
    (".npz", ".npy"): (
        "arrays that are not understood: call them images and masks, or x and y, of numbers (nothing "
        "pickled) and as many pictures each; an .npz may also hold one sample as image and label, while a "
        "mask alone is a .npy"
    ),
    (".shp", ".gpkg", ".kml", ".kmz"): f"maps' outlines: {_BURNT}",
    (".mat",): "MATLAB files without a picture of the same name: save the images so, x.png of x.mat",
    (".h5", ".hdf5", ".pt", ".pkl", ".tfrecord"): _CONTAINER,
    (".parquet", ".arrow"): (
        "tables of Hugging Face: write out their pictures, for i, row in enumerate(load_dataset(...)): "
        'row["image"].save(f"images/{i}.png"), and the same of the masks into masks/'
    ),
    (".rar", ".7z", ".tar", ".tar.gz", ".tgz"): "archives that are not read: unpack them, or pack a .zip",
}


def foreign(listing: Listing) -> str:
    """Say what files are there that another tool reads, and what to export from it; or nothing.

    Returns
    -------
    str
        A sentence that begins with a space, or "".
    """
    for name in listing.ending(".xml")[:_LOOKED_AT]:
        text = listing.text_or_none(name, _MOST_BYTES) or ""
        if "<bndbox" in text:
            return f" {name} holds boxes, as for detection; masks or outlines are needed."
    for name in listing.ending(".json", ".geojson")[:_LOOKED_AT]:
        try:
            content = listing.json_or_none(name, _MOST_BYTES)
        except DatasetError:
            continue
        if said := _tool(content):
            return f" {name} holds {said}."
    if stored := [name for name in listing.names if ".zarr/" in f"/{listing.root.name}/{name}".lower()]:
        return f" {stored[0]} is a part of {_CONTAINER}."
    bare = [name for name in listing.names if "." not in file_of(name)][:_LOOKED_AT]
    if scan := next((name for name in bare if _is_dicom(listing, name)), None):
        return f" {scan} is one of {_ENDINGS[_VOLUMES]}."
    for endings, what in _ENDINGS.items():
        if found := [name for name in listing.names if name.lower().endswith(endings)]:
            return (
                f" {found[0]} and {len(found) - 1} more are {what}."
                if found[1:]
                else f" {found[0]} is one of {what}."
            )
    return ""


def of_panoptic(listing: Listing, samples: Sequence[Sample]) -> bool:
    """Whether masks are COCO's panoptic PNGs, which lie in a folder called so beside a JSON called so."""
    folders = [Path(mask.member or mask.path).parent.name for mask in samples[0].masks]
    if not any("panoptic" in folder.lower() for folder in folders):
        return False
    return any("panoptic" in file_of(name).lower() for name in listing.names if name.endswith(".json"))


def is_panoptic(content: Mapping[str, Any]) -> bool:
    """Whether a COCO file lists segments instead of outlines."""
    entries = content.get("annotations")
    return isinstance(entries, list) and any("segments_info" in entry for entry in entries[:1])


def _is_dicom(listing: Listing, name: str) -> bool:
    """Whether a file without an ending, as scanners write them, is DICOM."""
    try:
        return listing.content(name, _MOST_BYTES)[128:132] == b"DICM"
    except ImageError:
        return False


def _tool(content: Any) -> str | None:
    if isinstance(content, dict) and is_panoptic(content):
        return PANOPTIC
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return None
    if first.get("type") in ("FeatureCollection", "Feature"):
        return (
            "outlines as GeoJSON: of QuPath, export labelled tiles (LabeledImageServer); of maps, as of "
            f"SpaceNet, {_BURNT}"
        )
    return None
