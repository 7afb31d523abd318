"""Annotations of tools that are not read: the message that nothing was found says what to export instead."""

from __future__ import annotations

from typing import Any

from unetfast.data.listing import Listing, file_of
from unetfast.errors import DatasetError, ImageError

__all__ = ["REGIONS", "foreign"]

_LOOKED_AT = 5  # files of a kind
_MOST_BYTES = 16 * 2**20

_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")
REGIONS = (".roi", "roi.zip", "rois.zip", "roiset.zip")
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
        "pickled) and as many pictures each"
    ),
    (".h5", ".hdf5", ".pt", ".pkl", ".tfrecord"): (
        "arrays in a container: save one .npy, PNG or TIFF an image and a mask"
    ),
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


def _is_dicom(listing: Listing, name: str) -> bool:
    """Whether a file without an ending, as scanners write them, is DICOM."""
    try:
        return listing.content(name, _MOST_BYTES)[128:132] == b"DICM"
    except ImageError:
        return False


def _tool(content: Any) -> str | None:
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return None
    if first.get("type") in ("FeatureCollection", "Feature"):
        return (
            "outlines as GeoJSON: of QuPath, export labelled tiles (LabeledImageServer); of maps, as of "
            "SpaceNet, burn them into a mask for each image (gdal_rasterize, rasterio.features.rasterize)"
        )
    return None
