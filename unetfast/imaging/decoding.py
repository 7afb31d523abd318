"""What decoders raise becomes an ImageError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from unetfast.errors import ImageError, one_line

__all__ = ["decoding"]

# What the decoders say of a kind that they do not know (Pillow: of a grey 4-bit BMP in runs, of
# a WebP file beyond its limit; libjpeg-turbo of 4:2:2 written as 4x1 and 2x1).
_UNKNOWN_KIND = ("nsupported", "codec configuration", "exceeds limit", "subsampling level")


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Say of whatever a decoder raises which file it is, and whether the file is damaged or memory short.

    Parameters
    ----------
    name : str
        The file's path.

    Raises
    ------
    ImageError
        Instead of any other exception; an ImageError passes as it is.
    """
    try:
        yield
    except ImageError:
        raise
    except MemoryError as exc:
        raise ImageError(f"{name}: not enough memory to decode it: {one_line(exc)}") from exc
    except Exception as exc:  # decoders raise anything: OSError, KeyError, struct.error, IndexError...
        damaged = "" if any(word in str(exc) for word in _UNKNOWN_KIND) else "damaged, "
        raise ImageError(f"{name}: {damaged}cannot be decoded: {one_line(exc)}") from exc
