"""Files that Pillow decodes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, PngImagePlugin, WebPImagePlugin

__all__ = ["opened"]

_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


@contextlib.contextmanager
def opened(data: bytes, format: str) -> Iterator[Image.Image]:
    """Open a file; its pixels are decoded when they are first asked for, its size is to be checked before.

    Not by ``Image.open``, which has a limit of its own, 179 megapixels, that no option raises; the
    reader of WebP has it too.
    """
    with _READERS[format](io.BytesIO(data)) as image:
        yield image
