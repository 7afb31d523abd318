"""The only place that reads or writes an image file.

formats.py   what a file is and how many pixels it claims, before anything is decoded
metadata.py  PNG chunks, JPEG segments, EXIF orientation: bytes in, bytes out
convert.py   arrays: orientation, network input, resizing
read.py      a file -> Picture, MaskFile
write.py     Picture -> bytes -> a file under its final name, whole or not at all
patch.py     a cleaned picture -> bytes, in the way that changes least; proves that it did
jpeg.py      JPEG coefficients: only the blocks that changed are encoded again
png.py       PNG pixels, in the kind they were stored in
bmp.py       BMP pixels: only those that changed get new bits
pillow.py    files that Pillow decodes
low_bits.py  samples of 1, 2 and 4 bits
palette.py   colours to indices of a palette
tiff.py      TIFF pages as pixels
series.py    many pictures in one array: .npy, a member of .npz
stack.py     pictures of any number of channels: .npy, TIFF files whose pages are channels
tiff_rows.py   a few rows of a TIFF page, without reading the others
tiff_patch.py  TIFF strips and tiles: only those that changed are encoded again
"""

from __future__ import annotations

from unetfast.imaging.convert import network_input, orient, preview, resize, unorient
from unetfast.imaging.formats import EXTENSIONS, MAX_PIXELS, Header, header
from unetfast.imaging.patch import Patched, patched
from unetfast.imaging.read import MaskFile, Picture, read, read_mask
from unetfast.imaging.series import array_shape
from unetfast.imaging.source import read_bytes
from unetfast.imaging.write import atomic_open, atomic_write, encode, encode_mask, write, write_mask

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "Header",
    "MaskFile",
    "Patched",
    "Picture",
    "array_shape",
    "atomic_open",
    "atomic_write",
    "encode",
    "encode_mask",
    "header",
    "network_input",
    "orient",
    "patched",
    "preview",
    "read",
    "read_bytes",
    "read_mask",
    "resize",
    "unorient",
    "write",
    "write_mask",
]
