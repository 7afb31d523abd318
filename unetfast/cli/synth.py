"""``unetfast synth``: draw synthetic photos of cracks with their masks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from unetfast.machine import available_cores

__all__ = ["synth"]


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("-n", "--n", "count", type=click.IntRange(1), default=1000, show_default=True, help="Pictures.")
@click.option(
    "--size", type=click.IntRange(64, 4096), default=320, show_default=True, help="Side of a picture, px."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same pictures."
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    help="Folder of crack-free photos; half of the surfaces are cut from them.",
)
@click.option(
    "--cracked",
    type=click.FloatRange(0, 1),
    default=0.75,
    show_default=True,
    help="Part of the pictures that show a crack.",
)
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0 takes all cores."
)
def synth(
    out: Path, count: int, size: int, seed: int, photos: Path | None, cracked: float, workers: int
) -> None:
    r"""Draw synthetic photos of cracks into OUT/images and their masks into OUT/masks.

    Cracks, hairlines and alligator networks on asphalt, concrete, plaster, brick, tile and wood,
    among joints, cables, shadows, paint, writing, stains and leaves, as a phone would see them.
    OUT is then a data set: unetfast train OUT.

    \b
    Examples:
      unetfast synth cracks/                                1000 pictures of 320x320
      unetfast synth cracks/ --n 5000 --size 512 --seed 1
      unetfast synth mine/ --photos walls_without_cracks/   on your own surfaces
    """
    from rich.console import Console
    from rich.progress import track

    from unetfast.data.synth.folder import read_photos, write_scenes

    written = write_scenes(
        out,
        count,
        size_px=size,
        seed=seed,
        photos=read_photos(photos) if photos else (),
        cracked_share=cracked,
        workers=workers or available_cores(),
    )
    console, silent = Console(stderr=True), not sys.stderr.isatty()
    for _ in track(written, "drawing", total=count, console=console, disable=silent):
        pass
    click.echo(out)
