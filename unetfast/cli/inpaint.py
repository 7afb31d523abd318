"""``unetfast inpaint``: remove what a mask marks from a photo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import unetfast  # its `imaging`, and NumPy with it, is imported when it is used
from unetfast.errors import ConfigError, ImageError, InputError
from unetfast.inpainting import METHODS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unetfast.imaging import MaskFile, Picture

__all__ = ["inpaint"]

_MIDDLE = 127  # between black and white
_SHADES = 32  # more in most of a picture, and it is a photograph


@click.command(no_args_is_help=True)
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("mask", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Default: IMAGE with _clean in its name."
)
@click.option(
    "--window",
    "window_px",
    default=0,
    type=click.IntRange(0),
    show_default=True,
    help="Side of the window in px, odd; 0: 15 to 127, by the width of what is marked.",
)
@click.option(
    "--dilate",
    "dilate_px",
    default=0,
    type=click.IntRange(0, 100),
    show_default=True,
    help="Grow the mask by this many px first.",
)
@click.option(
    "--method",
    default="native",
    show_default=True,
    type=click.Choice(list(METHODS)),
    help="How the masked pixels are filled.",
)
@click.option(
    "--mask-above",
    type=click.IntRange(0, 255),
    help="Grey value above which the mask marks a pixel; files that hold only 0 and 1 need no such limit.  "
    f"[default: {_MIDDLE}]",
)
@click.option("--grain", is_flag=True, help="Give the filled pixels the noise of their surroundings.")
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the grain: the same seed gives the same pixels."
)
@click.option(
    "--threads", default=0, type=click.IntRange(0), show_default=True, help="CPU threads; 0: one per core."
)
def inpaint(
    image: Path,
    mask: Path,
    output: Path | None,
    window_px: int,
    dilate_px: int,
    method: str,
    mask_above: int | None,
    grain: bool,
    seed: int,
    threads: int,
) -> int:
    r"""Remove from IMAGE what MASK marks (white, or 1).

    Each marked pixel becomes the median of the unmarked ones in the window around it. Pixels
    that are not marked keep their bits in PNG, TIFF, BMP and lossless WebP; of a JPEG written as
    JPEG, only the 8x8 blocks that the mask touches are encoded again.

    \b
    Examples:
      unetfast inpaint wall.jpg wall_mask.png
      unetfast inpaint wall.tif wall_mask.png -o wall_clean.tif --window 21 --dilate 2
    """
    from unetfast.inpainting.around_blank import inpaint_around
    from unetfast.inpainting.mask import dilate

    target = output or image.with_name(f"{image.stem}_clean{image.suffix}")
    if target.suffix.lower() not in unetfast.imaging.ENDINGS:
        raise ImageError(
            f"{target}: unknown image ending {target.suffix!r}; name the output: -o {image.stem}_clean.png"
        )
    for source in (image, mask):
        if target.exists() and source.exists() and target.samefile(source):
            raise ConfigError(f"{target}: the output would replace an input; choose another --output")
    picture = unetfast.imaging.read(image)
    marked = _marked(unetfast.imaging.read_mask(mask), mask_above, mask)
    if marked.shape != picture.pixels.shape[:2]:
        raise ImageError(f"{mask}: {_size(marked)} px, but {image} has {_size(picture.pixels)} px")
    try:
        blank = picture.blank  # marked by hand it is filled; never is anything filled from it
        marked |= dilate(marked, dilate_px) if blank is None else dilate(marked, dilate_px) & ~blank
        # CMYK is filled as it is stored where it stays CMYK.
        samples = picture.samples if _same_format(target, picture) else picture.pixels
        cleaned = inpaint_around(
            samples,
            marked,
            None if blank is None else blank & ~marked,
            window_px,
            method=method,
            threads=threads,
            grain=grain,
            seed=seed,
        )
    except InputError as exc:
        raise ImageError(f"{mask}: {exc}") from exc
    how = _write(target, picture, cleaned, marked)
    click.echo(f"{target}: {int(marked.sum())} pixels replaced; {how}")
    return 0


def _marked(file: MaskFile, above: int | None, path: Path) -> NDArray[np.bool_]:
    """Turn a mask file's values into a mask; refuse one whose marks the limit would miss."""
    import numpy as np

    from unetfast.imaging.convert import without_alpha

    values = file.values
    if values.ndim == 3:
        _refuse_marks_in_alpha(values, path)
        values = without_alpha(values).max(axis=2)
    if file.mode == "P":
        palette = np.zeros((0, 3), np.uint8) if file.palette is None else file.palette
        colours = np.zeros((256, 3), np.uint8)
        colours[: len(palette)] = palette
        used = colours[np.unique(values)]
        if not np.isin(used, (0, 255)).all() or not (used == used[:, :1]).all():
            return np.asarray(values != 0)  # the colours of classes; 0 is the background
        values = colours[values][..., 0]
    if values.max() <= 1:
        return np.asarray(values != 0)
    unit = 1 if values.dtype == np.uint8 else 257
    if above is None:
        _refuse_photograph(values // unit, path)
    limit = (_MIDDLE if above is None else above) * unit
    marked = np.asarray(values > limit)
    if not marked.any():
        raise ImageError(
            f"{path}: no pixel is above {limit} (the largest value is {values.max()}); set --mask-above"
        )
    return marked


def _refuse_marks_in_alpha(values: NDArray[Any], path: Path) -> None:
    """Raise ImageError for marks of the colour that is there anyway, as on a transparent layer."""
    from unetfast.imaging.convert import without_alpha

    colours, alpha = without_alpha(values), values[:, :, -1]
    if colours.shape != values.shape and (colours == colours[0, 0]).all() and (alpha != alpha[0, 0]).any():
        raise ImageError(
            f"{path}: transparency alone tells its pixels apart, and marks none; save it white on black"
        )


def _refuse_photograph(values: NDArray[Any], path: Path) -> None:
    """Raise ImageError for a picture of shades: a photo, or an overlay, in the mask's place."""
    import numpy as np

    shades = values[(values > _MIDDLE // 4) & (values < 255 - _MIDDLE // 4)]
    if 2 * shades.size > values.size and np.unique(shades).size > _SHADES:
        raise ImageError(
            f"{path}: {shades.size / values.size:.0%} of it is neither dark nor bright, as in a photograph; "
            "the photo comes first, then its mask, white on black (soft ones: say --mask-above)"
        )


def _same_format(target: Path, picture: Picture) -> bool:
    return target.suffix.lower() in unetfast.imaging.EXTENSIONS.get(picture.format, ())


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _write(target: Path, picture: Picture, cleaned: NDArray[Any], marked: NDArray[np.bool_]) -> str:
    """Write the result in the format of the target's ending; return how, in words."""
    if _same_format(target, picture):
        made = unetfast.imaging.patched(picture, cleaned, marked)
        unetfast.imaging.atomic_write(target, made.data)
        return str(made.how)
    unetfast.imaging.write(target, dataclasses.replace(picture, pixels=cleaned))
    return f"encoded as {target.suffix[1:].upper()}; {_kept(picture, target)}"


def _kept(picture: Picture, target: Path) -> str:
    """Say what of the metadata goes into a file of another format."""
    bmp, tiff = (target.suffix.lower() in unetfast.imaging.EXTENSIONS[name] for name in ("bmp", "tiff"))
    kept = ["colour profile"] if picture.icc and picture.inks is None and not bmp else []
    kept += ["EXIF"] if picture.exif and not bmp and not tiff else []
    rendered = "CMYK rendered as RGB; " if picture.inks is not None else ""
    return f"{rendered}metadata kept: {', '.join(kept) or 'none'}"
