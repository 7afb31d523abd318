"""A data set: its samples, and how their masks are read."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unetfast.data.decide import decide
from unetfast.data.encoding import LabelEncoding
from unetfast.data.groups import find_groups
from unetfast.data.known_encoding import suited, warn_if_inverted, with_classes_of
from unetfast.data.layers import with_readings
from unetfast.data.layouts import IN_ONE_FILE, LAYOUTS, Found, coco, labelstudio, paired, rle
from unetfast.data.layouts.foreign import REGIONS, foreign, of_panoptic
from unetfast.data.legend import legend
from unetfast.data.listing import Listing, list_files
from unetfast.data.patients import with_patients
from unetfast.data.polygons import class_names
from unetfast.data.survey import Survey, survey
from unetfast.data.threads import Progress
from unetfast.data.validation import draw
from unetfast.errors import ConfigError, DatasetError, ImageError
from unetfast.imaging import ENDINGS, narrow_range, read
from unetfast.spec import FileRef, Sample

__all__ = ["DataSet", "find_images", "open_dataset"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSet:
    """Images with their truth.

    Attributes
    ----------
    samples : list of Sample
    encoding : LabelEncoding
    classes : tuple of str
        Names by class id; id 0 is the background.
    channels : int
        1 where all images looked at are grey, 3 for RGB; more where they are stacks of channels.
    layout : str
        Key of ``unetfast.data.layouts.LAYOUTS``.
    root : Path
    decisions : tuple of (str, str)
        What was decided and why, for people: ("layout", "…"), ("masks", "…").
    no_mask, no_image : tuple of str
        Images without a mask and masks without an image.
    survey : Survey or None
        What the masks store, where they were all looked at.
    groups : dict of str to tuple of str
        Ids of samples of one patient, film or photo, as columns and names tell, by what it is called;
        :meth:`split` keeps them on one side.
    together : tuple of tuple of str
        Ids of samples that were found to show the same, which it keeps there as well.
    """

    samples: list[Sample]
    encoding: LabelEncoding
    classes: tuple[str, ...]
    channels: int
    layout: str
    root: Path
    decisions: tuple[tuple[str, str], ...] = ()
    no_mask: tuple[str, ...] = ()
    no_image: tuple[str, ...] = ()
    survey: Survey | None = field(default=None, repr=False, compare=False)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    together: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def keeping(self, together: Iterable[Sequence[str]]) -> DataSet:
        """Return the data set with more samples, by id, that :meth:`split` keeps on one side."""
        return replace(self, together=(*self.together, *(tuple(group) for group in together)))

    def only(self, split: str | None) -> DataSet:
        """Return the data set with the samples of "train", "val" or "test" alone; of None, as it is.

        Raises
        ------
        DatasetError
            When there are none.
        """
        if split is None:
            return self
        samples = [sample for sample in self.samples if sample.split == split]
        if not samples:
            raise DatasetError(f"{self.root}: no images of the split {split!r}")
        return replace(self, samples=samples)

    def split(self, val_fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
        """Return training and validation samples.

        Where the data names its splits, "val" is validation, and "test" is in neither; where it
        has no "val", `val_fraction` of the rest is drawn, samples that show the same on one side.

        Parameters
        ----------
        val_fraction : float
            Share of the samples, in [0, 1).
        seed : int
            Of the draw, which depends on nothing else than the ids and what is kept together.

        Raises
        ------
        DatasetError
            When either would be empty.
        """
        val = [sample for sample in self.samples if sample.split == "val"]
        train = [sample for sample in self.samples if sample.split not in ("val", "test")]
        if not val and len(train) > 1 and val_fraction > 0:
            drawn = self._drawn([sample.id for sample in train], val_fraction, seed)
            val = [sample for sample in train if sample.id in drawn]
            train = [sample for sample in train if sample.id not in drawn]
        if not train or (val_fraction > 0 and not val):
            raise DatasetError(
                f"{self.root}: too few samples ({len(self.samples)}) to split into training and validation"
                + (" (those of test are in neither)" if any(s.split == "test" for s in self.samples) else "")
                + ("; without validation: --val-fraction 0" if train else "")
            )
        return train, val

    def _drawn(self, ids: Sequence[str], fraction: float, seed: int) -> set[str]:
        told = list(self.groups.values())
        drawn, whole = draw(ids, [*told, *self.together], fraction, seed)
        if not whole or 2 * len(drawn) < fraction * len(ids):
            # Slices of different patients look alike: they are not to tie all patients into one.
            apart = draw(ids, told, fraction, seed) if told else (drawn, whole)
            if apart != (drawn, whole):
                drawn, whole = apart
                log.warning(
                    "%s: near twins tie nearly all images together: twins in different patients, films or "
                    "photos may come on both sides",
                    self.root,
                )
        if not whole:
            log.warning(
                "%s: nearly all images show the same; the last %d by name are kept for validation, "
                "and their scores will be too good",
                self.root,
                len(drawn),
            )
        return drawn


def open_dataset(
    root: Path | str,
    *,
    layout: str = "auto",
    mask_values: str | Sequence[str] = (),
    mask_name: str | None = None,
    ignore_label: int | None = None,
    encoding: LabelEncoding | None = None,
    skip_unmatched: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Find the samples of a data set, and how its masks are read.

    Parameters
    ----------
    root : Path or str
        A folder; a .zip, which is read in place; or a .csv, .json or .txt file that lists samples.
    layout : str
        "auto", or a key of ``unetfast.data.layouts.LAYOUTS``.
    mask_values : str or sequence of str
        What mask values mean, such as ``"255=crack"``; empty: found out from the masks.
    mask_name : str, optional
        Which masks to take, where images have several: a folder, or the end of the file names.
    ignore_label : int, optional
        Stored value of pixels that do not count.
    encoding : LabelEncoding, optional
        How the masks are read, say by the model to be evaluated. It is taken where it knows the
        values of the masks; otherwise one of two classes gives way to what is found, since masks of
        {0, 1} and of {0, 255} mean the same.
    skip_unmatched : bool
        Leave out images without a mask and masks without an image; otherwise they are an error.
    progress : callable, optional
        Called with the number of masks looked at and their total.

    Raises
    ------
    DatasetError
        When there are no samples, unmatched files, or masks that can be read in several ways; the
        message shows what was found and what was looked for.
    """
    mask_values = (mask_values,) if isinstance(mask_values, str) else mask_values
    listing = list_files(Path(root))
    name, found = _find(listing, layout, mask_name)
    if not skip_unmatched:
        _refuse_unmatched(listing.root, found)
    hints = {**legend(listing), **found.hints}
    chosen_how: list[str] = []
    if found.samples[0].reader == "classes":
        found, chosen_how = with_readings(found, listing.root, mask_values, ignore_label, progress)
        mask_values, ignore_label = (), None  # of single masks, which is settled
    chosen, reasons, survey = _encoding(
        listing.root, found.samples, hints, mask_values, ignore_label, encoding, progress
    )
    samples, told = with_patients(listing, found.samples)
    found = replace(found, samples=samples, notes=[*found.notes, *told])
    decisions = [("layout", f"{name}: {_looks_for(name)}"), *(("files", note) for note in found.notes)]
    decisions += [("masks", reason) for reason in (*chosen_how, *reasons)]
    channels, narrow = _pictures(found.samples)
    if narrow and encoding is not None:  # before training the doctor says so
        decisions += [("images", narrow)]
    groups, said = find_groups(found.samples)
    if not any(sample.split == "val" for sample in found.samples):
        decisions += [("split", text) for text in said]
    return DataSet(
        found.samples,
        chosen,
        chosen.classes,
        channels,
        name,
        Path(root),
        tuple(decisions),
        tuple(found.no_mask),
        tuple(found.no_image),
        survey,
        groups,
    )


def find_images(root: Path) -> list[FileRef]:
    """Find pictures to look at without a truth, where :func:`open_dataset` opens none.

    Returns
    -------
    list of FileRef
        The images of a data set whose masks cannot be read; where there are no pairs, every picture below
        the folder, or the picture itself.
    """
    try:
        return [sample.image for sample in _find(list_files(root), "auto", None)[1].samples]
    except DatasetError:
        every = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
        found = sorted(
            path for path in ([root] if root.is_file() else every) if path.suffix.lower() in ENDINGS
        )
        return [FileRef(path) for path in found]


def _find(listing: Listing, layout: str, mask_name: str | None) -> tuple[str, Found]:
    if not listing.names:
        raise DatasetError(f"{listing.root}: holds no files")
    if layout != "auto":
        found: Found | None = LAYOUTS[layout](replace(listing, layout=layout), mask_name)
        if found is None or not found.samples:
            raise DatasetError(
                f"{listing.root}: not laid out as {layout}: {_looks_for(layout)}. {_what(listing)}"
            )
        return layout, found
    named = IN_ONE_FILE[Path(listing.focus).suffix.lower()] if listing.focus else tuple(LAYOUTS)
    for name in named:
        found = LAYOUTS[name](listing, mask_name)
        if found is None or not found.samples:
            continue
        if mask_name or not of_panoptic(listing, found.samples):
            return name, found
    looked = "\nLooked for:" + "".join(f"\n  {name:11} {_looks_for(name)}" for name in named)
    mask = f" called {mask_name!r}" if mask_name else ""
    close = (
        rle.near_miss(listing)
        or labelstudio.near_miss(listing)
        or paired.near_miss(listing, mask_name)
        or coco.near_miss(listing)
        or foreign(listing)
    )
    raise DatasetError(
        f"{listing.root}: no images with masks{mask} found. {_what(listing)}{close or looked}\n"
        "If the masks are there under another name, say which with --mask NAME; otherwise list the "
        "pairs in a .csv with the columns image,mask and pass that file."
    )


def _looks_for(layout: str) -> str:
    """Return the first sentence of a layout's module docstring."""
    doc = sys.modules[LAYOUTS[layout].__module__].__doc__ or ""
    return " ".join(doc.split("\n\n")[0].split()).rstrip(".").replace("``", "")


def _what(listing: Listing) -> str:
    """Say what a folder holds, for the message that it was not understood."""
    kinds: dict[str, int] = {}
    for name in listing.names:
        folder, _, file = name.rpartition("/")
        ending = file.rpartition(".")[2].lower() if "." in file else "no ending"
        key = f"{folder or '.'}/*.{ending}"
        kinds[key] = kinds.get(key, 0) + 1
    most = sorted(kinds.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{key} ({count})" for key, count in most[:8])
    rest = f" and {len(most) - 8} more kinds" if len(most) > 8 else ""
    archives = [name for name in listing.names if name.lower().endswith(".zip")]
    archives = [name for name in archives if not name.lower().endswith(REGIONS)]
    hint = ""
    if archives and listing.zipped:
        hint = f" It holds another archive, {archives[0]}: unpack it and pass that one."
    elif archives[1:]:
        hint = f" It holds {len(archives)} archives: unpack them side by side in one folder."
    elif archives:
        hint = f" An archive is read in place: pass {listing.root / archives[0]} itself."
    return f"Found {len(listing.names)} files: {shown}{rest}.{hint}"


def _refuse_unmatched(root: Path, found: Found) -> None:
    if not found.no_mask and not found.no_image:
        return
    parts = [
        f"{len(names)} {what}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
        for names, what in ((found.no_mask, "images have no mask"), (found.no_image, "masks have no image"))
        if names
    ]
    empty = " (where there is nothing to find, a mask is black)" if found.no_mask else ""
    raise DatasetError(
        f"{root}: {'; '.join(parts)} ({len(found.samples)} pairs are complete). "
        f"Complete them{empty}, or leave them out with --skip-unmatched"
    )


def _encoding(
    root: Path,
    samples: Sequence[Sample],
    hints: dict[str, object],
    mask_values: Sequence[str],
    ignore_label: int | None,
    wanted: LabelEncoding | None,
    progress: Progress | None,
) -> tuple[LabelEncoding, list[str], Survey | None]:
    if samples[0].reader in ("polygons", "classes"):
        if mask_values or ignore_label is not None:
            raise ConfigError(
                f"{root}: --mask-values and --ignore-label are for masks stored as pictures; these are "
                "outlines of named classes, of which --mask A,B takes some"
            )
        names = class_names(str(name) for name in hints["classes"])  # type: ignore[attr-defined]
        what = "outline" if samples[0].reader == "polygons" else "mask"
        return *_encoding_of_named(root, names, wanted, what), None
    # The masks of a small test set may not show that the whole set is in colours; the model knows.
    known_domain = wanted and len(wanted.classes) > 2 and wanted.domain != "polygons"
    found = survey(samples, progress, domain=wanted.domain if wanted and known_domain else None)
    if wanted is not None and not mask_values and (known := suited(wanted, found)):
        warn_if_inverted(known, found, root)
        return known, ["read as the model was trained"], found
    decision = decide(found, root, mask_values=mask_values, ignore_label=ignore_label, hints=hints)
    if wanted is not None:
        fitted = with_classes_of(wanted, decision.encoding, told=bool(mask_values))
        if fitted is None:
            raise DatasetError(
                f"{root}: these masks do not use the values the model was trained with "
                f"({', '.join(wanted.classes)}): {'; '.join(decision.reasons)}. "
                "Say what they mean in the model's class names, with --mask-values VALUE=NAME"
            )
        return fitted, list(decision.reasons), found
    return decision.encoding, list(decision.reasons), found


def _encoding_of_named(
    root: Path, names: tuple[str, ...], wanted: LabelEncoding | None, what: str
) -> tuple[LabelEncoding, list[str]]:
    if wanted is not None and set(names) <= set(wanted.classes):
        return LabelEncoding("polygons", "exact", (), 0, wanted.classes), ["classes of the model"]
    if len(names) < 2:
        raise DatasetError(f"{root}: no {what} belongs to a class that counts")
    if wanted is not None and (len(names), len(wanted.classes)) != (2, 2):
        raise DatasetError(
            f"{root}: {what}s of {', '.join(names[1:])}, but the model's classes are "
            f"{', '.join(wanted.classes)}; take those that it knows with --mask A,B"
        )
    return LabelEncoding("polygons", "exact", (), 0, names), [f"{what}s of {', '.join(names[1:])}"]


def _pictures(samples: Sequence[Sample]) -> tuple[int, str]:
    """Look at a few images.

    Returns
    -------
    int
        1 where every one is grey, 3 for colour, or the channels of stacks.
    str
        What to know of the first one of which a network sees little; or "".
    """
    narrow = ""
    step = max(1, len(samples) // 8)
    for sample in samples[::step][:8]:
        try:
            picture = read(sample.image, pages=True)
        except ImageError:
            continue  # the doctor, or the reader of the sample, says so
        if not narrow and (found := narrow_range(picture.pixels)) is not None:
            narrow = (
                f"16-bit samples of {found[0]} to {found[1]} in {sample.image.name}: the network, which "
                "takes 8 bits, sees little of so few; stretch them as those that it was trained on"
            )
        if picture.stack or picture.pixels.shape[2] >= 3:
            return picture.pixels.shape[2] if picture.stack else 3, narrow
    return 1, narrow
