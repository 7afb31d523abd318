"""The only place that reads or writes an image file.

source.py       the bytes of a file, of a member of a zip archive, of one picture of a series
series.py       many pictures in one array: .npy, a member of .npz, the pages of a TIFF
formats.py      what a file is and how many pixels it claims, before anything is decoded
metadata.py     PNG chunks, JPEG segments, EXIF orientation: bytes in, bytes out
convert.py      arrays: orientation, network input, resizing, CMYK as RGB
picture.py      Picture, which is read and written
read.py         a file -> Picture
mask_file.py    a file -> MaskFile, its stored label values
decoding.py     what decoders raise -> ImageError
jpeg_pixels.py  JPEG files as pixels
pillow.py       files that Pillow decodes
pnm.py          portable pixmaps
stack.py        pictures of any number of channels: .npy, TIFF files whose pages are channels
tiff.py         TIFF pages as pixels
place.py        where on earth a GeoTIFF lies
tiff_rows.py    a few rows of a TIFF page, without reading the others
write.py        Picture -> bytes -> a file
mask_encode.py  masks -> PNG and TIFF
atomic.py       a file under its final name, whole or not at all
patch.py        a cleaned picture -> bytes, in the way that changes least; proves that it did
jpeg.py         JPEG coefficients: only the blocks that changed are encoded again
png.py          PNG pixels, in the kind they were stored in
bmp.py          BMP pixels: only those that changed get new bits
tiff_patch.py   TIFF strips and tiles: only those that changed are encoded again
tiff_jpeg.py    TIFF strips and tiles of JPEG: only the blocks that changed
low_bits.py     samples of 1, 2 and 4 bits
class_colours.py  the colours that classes are drawn in
palette.py      colours to indices of a palette
"""

from __future__ import annotations

from unetfast.imaging.atomic import atomic_open, atomic_write
from unetfast.imaging.convert import middle, narrow_range, network_input, orient, preview, resize, unorient
from unetfast.imaging.formats import ENDINGS, EXTENSIONS, Header, header
from unetfast.imaging.mask_encode import encode_mask, write_mask
from unetfast.imaging.mask_file import MaskFile, read_mask
from unetfast.imaging.patch import Patched, patched
from unetfast.imaging.picture import Picture
from unetfast.imaging.read import decode, read
from unetfast.imaging.series import array_shape
from unetfast.imaging.source import read_bytes
from unetfast.imaging.write import encode, write

__all__ = [
    "ENDINGS",
    "EXTENSIONS",
    "Header",
    "MaskFile",
    "Patched",
    "Picture",
    "array_shape",
    "atomic_open",
    "atomic_write",
    "decode",
    "encode",
    "encode_mask",
    "header",
    "middle",
    "narrow_range",
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
