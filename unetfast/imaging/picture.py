"""Picture: what a file becomes, and what becomes a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.imaging.convert import check_channels, network_input
from unetfast.imaging.place import Place

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright.

    Attributes
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
        C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Float (TIFF and npy) is in [0, 1].
    format : {"jpeg", "png", "tiff", "bmp", "webp", "npy", "pnm"}
        What the file really is.
    icc, exif : bytes or None
        Colour profile; EXIF block (without the ``Exif`` prefix).
    orientation : int
        The stored EXIF orientation 1..8, already applied to `pixels`.
    name : str
        The path, for messages.
    source : bytes or None
        The file itself: what `encode` takes the metadata, tables and untouched blocks from.
    notes : tuple of str
        What a reader of the results should know ("decoder warning: ...").
    inks : (H, W, 4) uint8 or uint16, or None
        What a CMYK file stores, upright; `pixels` is its RGB rendering.
    stack : bool
        The channels are measurements of their own, neither grey, colour nor alpha; C is 1 .. 64.
    blank : (H, W) bool or None
        Which pixels hold no data: transparent ones, and those of GDAL's no-data value; None: all hold some.
    place : Place or None
        Where on earth a GeoTIFF says that it lies.
    """

    pixels: NDArray[Any]
    format: str
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int = 1
    name: str = "<bytes>"
    source: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    inks: NDArray[Any] | None = field(default=None, repr=False)
    stack: bool = False
    blank: NDArray[np.bool_] | None = field(default=None, repr=False)
    place: Place | None = None

    @property
    def samples(self) -> NDArray[Any]:
        """What is filled and written back: the inks of a CMYK file, else the pixels."""
        return self.pixels if self.inks is None else self.inks

    def input_of(self, channels: int) -> NDArray[np.uint8]:
        """Return (H, W, channels): what :func:`network_input` makes of the pixels.

        Raises
        ------
        ImageError
            As :func:`~unetfast.imaging.convert.check_channels`.
        """
        check_channels(self.name, self.pixels.shape[2], channels, stack=self.stack)
        return network_input(self.pixels, channels)
