from typing import Any

import numpy as np

def inpaint_median(
    image: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any],
    out: np.ndarray[Any, Any],
    window_px: int,
    dilate_px: int,
    threads: int,
) -> None: ...
def isa() -> str: ...
def splice_jpeg(
    source: bytes,
    spare: bytes,
    blocks: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]],
) -> tuple[bytes, bytes]: ...
