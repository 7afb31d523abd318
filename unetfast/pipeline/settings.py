"""What can be chosen about a run. Standard library only, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass

from unetfast.backends import BACKENDS, DEVICES
from unetfast.inpainting import METHODS
from unetfast.machine import available_memory
from unetfast.settings import Settings, parse_bytes, setting
from unetfast.spec import MAX_PIXELS

__all__ = ["RunSettings"]

_USUAL_BYTES, _MOST_BYTES = 2 * 10**9, 16 * 10**9  # of --max-memory auto


@dataclass(frozen=True)
class RunSettings(Settings):
    """Settings of ``unetfast run``; each is an option and a key of the configuration file."""

    inpaint: bool = setting(
        False, "Write cleaned photos: what was found is replaced by the median around it."
    )
    save_masks: bool = setting(False, "Write masks too (always on without --inpaint).")
    overlay: bool = setting(False, "Write photos with the mask drawn on them, as JPEG.")
    window_px: int = setting(
        0,
        "Side of the inpainting window in px, odd; 0: 15 to 127, by each crack's width.",
        low=0,
        flag="--window",
    )
    dilate_px: int = setting(
        2, "Grow the found regions by this many px before cleaning.", low=0, high=100, flag="--dilate"
    )
    method: str = setting("native", "Inpainting method.", choices=tuple(METHODS))
    grain: bool = setting(False, "Give the filled pixels the noise of their surroundings.")
    jpeg: str = setting(
        "auto",
        "Cleaned JPEGs: re-encode only the blocks that the mask touches, or the whole photo. "
        "auto: blocks; the whole of a progressive one where the jpeglib package is missing.",
        choices=("auto", "lossless-blocks", "re-encode"),
    )
    verify: bool = setting(
        True, "Decode each lossless output and compare it outside the mask before it gets its name."
    )
    recursive: bool = setting(False, "Also look into sub-folders.", flag="-r/--recursive")
    include: tuple[str, ...] = setting(
        (), "Only files matching this glob (name, or path with a slash); repeatable."
    )
    exclude: tuple[str, ...] = setting((), "Leave out files matching this glob; repeatable.")
    follow_links: bool = setting(False, "Read through links that lead out of the input folder.")
    limit: int = setting(0, "Stop after this many photos; 0: all.", low=0)
    shard: str = setting(
        "", "i/n: only the i-th of n parts, split by path; for n machines on one output folder."
    )
    max_pixels: int = setting(MAX_PIXELS, "Refuse larger pictures before decoding them.", low=1)
    max_memory: str = setting(
        "auto",
        "Half of it holds the tiles in the network; larger TIFF files are read and written in windows that "
        "need at most this, beside 0.3 GB for the program and its libraries. auto: a quarter of the memory "
        "that the process may use, at least 2GB or half of it, at most 16GB (docs/scale.md).",
    )
    scale: float = setting(
        1.0,
        "Look at a picture of this fraction of the size, and at full resolution around the edges of what it "
        "shows: for photos mostly clean, or closer than the model's (docs/scale.md).",
        low=0.05,
        high=1.0,
    )
    tile: int = setting(
        0,
        "Photos are segmented in tiles of about this many px a side plus a halo; 0: as large as half of "
        "--max-memory holds.",
        low=0,
    )
    batch: int = setting(16, "How many small photos of one size go through the network together.", low=1)
    workers: int = setting(
        0, "Threads for reading and for writing; 0: one per core. More need more memory.", low=0
    )
    threads: int = setting(0, "Threads of the network and of the inpainting; 0: one per core.", low=0)
    backend: str = setting("auto", "What runs the model.", choices=("auto", *BACKENDS))
    device: str = setting("auto", DEVICES)
    rebuild: bool = setting(
        False, "Rebuild a TensorRT plan from the ONNX beside it if it is for another GPU or TensorRT."
    )
    engine: str = setting(
        "local", "Run the stages in this process, or on a Ray cluster.", choices=("local", "ray")
    )
    address: str = setting("", "Ray cluster, such as auto or ray://head:10001; empty: start one here.")
    gpus: float = setting(0.0, "GPUs of each Ray actor that holds the model, such as 0.25.", low=0.0)
    fail_fast: bool = setting(False, "Stop at the first photo that fails.", flag="--fail-fast")

    def memory_bytes(self) -> int:
        """Return what ``--max-memory`` comes to on this machine.

        Raises
        ------
        ConfigError
            When it is no size.
        """
        if self.max_memory != "auto":
            return parse_bytes(self.max_memory, "max_memory")
        memory = available_memory()
        if memory is None or self.engine == "ray":  # how many processes share a node, none of them knows
            return _USUAL_BYTES
        return min(max(memory // 4, _USUAL_BYTES), memory // 2, _MOST_BYTES)
