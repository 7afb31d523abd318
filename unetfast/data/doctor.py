"""What is wrong with a data set, found before time is spent on training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unetfast.data.class_shares import shares
from unetfast.data.collection import DataSet
from unetfast.data.labels import size_relation
from unetfast.data.lookalikes import lookalikes
from unetfast.data.looks import Look, look_at_all
from unetfast.data.masks import code_text, flag_text
from unetfast.data.threads import Progress
from unetfast.errors import DatasetError
from unetfast.spec import IGNORE, Sample

__all__ = ["Finding", "inspect", "refuse_errors"]

_SHOWN = 5
_RARE = 0.001  # of the pixels
_FEW = 8  # samples
_INVERTED = 0.8  # of a mask's pixels; where most masks have less than a fifth


Seen = tuple[Sample, Look]  # of what could be read


@dataclass(frozen=True)
class Finding:
    """One thing found in a data set.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        An error keeps training from starting.
    topic : str
        A word or two: "sizes", "copies".
    text : str
        What it is and what to do.
    files : tuple of str
        Ids or names of the samples concerned.
    together : tuple of tuple of str
        Ids of samples that show the same: what :meth:`DataSet.keeping` takes.
    """

    severity: str
    topic: str
    text: str
    files: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(self.files[:_SHOWN]) + (
            f" and {len(self.files) - _SHOWN} more" if len(self.files) > _SHOWN else ""
        )
        return f"{self.text}{f': {shown}' if shown else ''}"


def inspect(
    dataset: DataSet,
    *,
    skip_unmatched: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Look at every image and mask of a data set.

    Parameters
    ----------
    dataset : DataSet
    skip_unmatched : bool
        Files without a partner are left out on purpose: a warning, not an error.
    progress : callable, optional
        Called with the number of images looked at and their total.

    Returns
    -------
    list of Finding
        Errors first, then warnings, then notes.
    """
    looks = look_at_all(dataset, progress)
    good = [(s, look) for s, look in zip(dataset.samples, looks, strict=True) if look.error is None]
    findings = [
        *_unmatched(dataset, skip_unmatched),
        *_unreadable(dataset, looks),
        *_unknown_values(dataset),
        *_sizes(good),
        *_lost_outlines(dataset, good),
        *_unfilled(dataset),
        *_torn(dataset),
        *_copies(good),
        *_lookalikes(dataset, looks),
        *_empty(dataset, good),
        *_balance(dataset, good),
        *_images(dataset, good),
    ]
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def refuse_errors(dataset: DataSet, findings: Iterable[Finding]) -> None:
    """Raise one DatasetError that lists all findings that are errors, if there are any."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = "\n".join(f"  {finding.topic}: {finding}" for finding in errors)
        raise DatasetError(f"{dataset.root}: not fit for training:\n{lines}")


def _unmatched(dataset: DataSet, skipped: bool) -> Iterable[Finding]:
    severity, end = (
        ("warning", "left out") if skipped else ("error", "complete them, or use --skip-unmatched")
    )
    if dataset.no_mask:
        empty = "" if skipped else "where there is nothing to find, a mask is black; "
        text = f"{len(dataset.no_mask)} images have no mask ({empty}{end})"
        yield Finding(severity, "unmatched", text, dataset.no_mask)
    if dataset.no_image:
        text = f"{len(dataset.no_image)} masks have no image ({end})"
        yield Finding(severity, "unmatched", text, dataset.no_image)


def _unreadable(dataset: DataSet, looks: Sequence[Look]) -> Iterable[Finding]:
    stats = dataset.survey.stats if dataset.survey else []
    errors = [look.error for look in looks] + [stat.error for stat in stats]
    reasons = [error for error in errors if error is not None]
    for reason in reasons[:_SHOWN]:
        yield Finding("error", "unreadable", reason)
    if len(reasons) > _SHOWN:
        yield Finding("error", "unreadable", f"{len(reasons)} files in all cannot be read")


def _unknown_values(dataset: DataSet) -> Iterable[Finding]:
    if dataset.survey is None or dataset.encoding.rule != "exact" or dataset.encoding.other is not None:
        return
    strange: dict[int, list[str]] = defaultdict(list)
    for sample, stat in zip(dataset.samples, dataset.survey.stats, strict=True):
        codes = np.array(list(stat.counts), np.int32)
        for code in codes[dataset.encoding.ids_of(codes) < 0].tolist():
            strange[code].append(sample.id)
    for code, ids in strange.items():
        value = code_text(dataset.encoding.domain, code)
        told = flag_text(f"{value}=ignore")
        text = f"mask value {value} has no class; say what it means, such as --mask-values {told}"
        yield Finding("error", "mask values", text, tuple(ids))


_SIZES = {
    "turned": (
        "note",
        "masks are drawn on the photo as stored, not as shown (EXIF); they are turned with it",
    ),
    "larger": ("note", "masks are smaller than their images by a whole factor; they are enlarged"),
    "smaller": ("note", "masks are larger than their images by a whole factor; they are shrunk"),
    "cut": (
        "warning",
        "masks are a pixel or two larger or smaller than their images; both are cropped to what they share",
    ),
    "transposed": (
        "error",
        "masks are as wide as their images are high, and the other way round: they are turned by a quarter, "
        "or stored as (W, H); save them as their images lie, of arrays mask.T",
    ),
    "unrelated": (
        "error",
        "masks and their images differ in size and neither is a multiple of the other; if they show the "
        "same, resize the masks to the size of their images, by nearest neighbour",
    ),
}


def _sizes(good: Sequence[Seen]) -> Iterable[Finding]:
    kinds: dict[str, list[str]] = defaultdict(list)
    unsure = []
    for sample, look in good:
        if look.mask_shape == (0, 0):
            continue
        kind = size_relation(look.mask_shape, look.shape, look.orientation)
        if kind == "unrelated" and look.mask_shape == look.shape[::-1]:
            kind = "transposed"
        sizes = "{1}x{0} on {3}x{2}".format(*look.mask_shape, *look.shape)
        kinds[kind].append(sample.id if kind == "same" else f"{sample.id} ({sizes})")
        if (
            kind == "same"
            and look.orientation > 1
            and (look.orientation < 5 or look.shape[0] == look.shape[1])
        ):
            unsure.append(sample.id)
    for kind, (severity, text) in _SIZES.items():
        if kinds[kind]:
            yield Finding(severity, "sizes", f"{len(kinds[kind])} {text}", tuple(kinds[kind]))
    if unsure:
        text = (
            f"{len(unsure)} photos carry an EXIF orientation and their masks would fit either way; the masks "
            "are taken to be upright; look at the contact sheet"
        )
        yield Finding("warning", "orientation", text, tuple(unsure))


def _lost_outlines(dataset: DataSet, good: Sequence[Seen]) -> Iterable[Finding]:
    lost = [(sample, look.lost) for sample, look in good if look.lost]
    if lost:
        total = sum(len(sample.polygons) for sample in dataset.samples)
        text = (
            f"{sum(count for _, count in lost)} of {total} outlines mark no pixel: they are thinner than a "
            "pixel, or lie outside the image"
        )
        yield Finding("warning", "outlines", text, tuple(f"{sample.id} ({count})" for sample, count in lost))


def _unfilled(dataset: DataSet) -> Iterable[Finding]:
    """Find masks that draw a line around what is meant, as HC18 has them: the inside would be background."""
    stats = dataset.survey.stats if dataset.survey and len(dataset.classes) == 2 else []
    marked = [stat for stat in stats if len(stat.counts) == 2]
    rings = [s.id for s, stat in zip(dataset.samples, stats, strict=False) if stat.ring]
    if len(rings) >= 3 and len(rings) >= 0.8 * len(marked):
        text = (
            f"{len(rings)} of {len(marked)} masks draw a closed line and leave its inside as background; if "
            "the inside is meant, fill them first (scipy.ndimage.binary_fill_holes)"
        )
        yield Finding("warning", "unfilled", text, tuple(rings))


def _torn(dataset: DataSet) -> Iterable[Finding]:
    """Find patients, films and photos of which a given split has images on both sides."""
    by_id = {sample.id: sample for sample in dataset.samples}
    torn = []
    for name, ids in dataset.groups.items():
        group = [by_id[id_] for id_ in ids if id_ in by_id]
        if _crosses(group):
            sides = {sample.split: sample.id for sample in reversed(group)}
            both = " and ".join(f"{split or 'train'}/{id_}" for split, id_ in sides.items())
            torn.append(f"{name} ({both})")
    if torn:
        told = any(sample.group in dataset.groups for sample in dataset.samples)
        who = "the table says" if told else "their names say"
        unless = "" if told else ", unless numbers begin anew in each"
        text = (
            f"{len(torn)} patients, films or photos, as {who}, have images in training and also in "
            f"validation or test: scores will be too good{unless}"
        )
        yield Finding("warning", "leakage", text, tuple(torn))


def _copies(good: Sequence[Seen]) -> Iterable[Finding]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    flat = {look.digest for _, look in good if look.print and look.print[1] is None}
    for sample, look in good:
        groups[look.digest].append(sample)
    copies = [group for digest, group in groups.items() if len(group) > 1 and digest not in flat]
    across = [group for group in copies if _crosses(group)]
    within = [group for group in copies if not _crosses(group)]
    # Slices in which nothing is seen give nothing away, and do not tie their patients together.
    blank = [group for digest, group in groups.items() if len(group) > 1 and digest in flat]
    if across:
        text = f"{len(across)} images are in training and also in validation or test: scores will be too good"
        yield Finding("warning", "leakage", text, _named(across))
    if within or blank:
        text = f"{len(within) + len(blank)} images occur more than once"
        yield Finding("warning", "copies", text, _named([*within, *blank]), _ids(within))


def _crosses(group: Sequence[Sample]) -> bool:
    splits = {sample.split for sample in group}
    return len(splits) > 1 and bool(splits & {"val", "test"})


def _named(groups: Iterable[Sequence[Sample]]) -> tuple[str, ...]:
    return tuple(
        " = ".join(f"{sample.split}/{sample.id}" if sample.split else sample.id for sample in group[:4])
        for group in groups
    )


def _lookalikes(dataset: DataSet, looks: Sequence[Look]) -> Iterable[Finding]:
    samples = dataset.samples
    pairs = [
        (samples[a], samples[b])
        for a, b in lookalikes([look.print for look in looks])
        if looks[a].digest != looks[b].digest
    ]
    across = [pair for pair in pairs if _crosses(pair)]
    within = [pair for pair in pairs if not _crosses(pair)]
    if across:
        text = f"{len(across)} pairs of nearly the same image in training and in validation or test"
        yield Finding("warning", "leakage", text + ": scores will be too good", _named(across))
    if within:
        text = f"{len(within)} pairs of images are nearly the same"
        if not any(sample.split == "val" for sample in samples):
            text += "; where validation images are drawn they stay together"
        yield Finding("note", "lookalikes", text, _named(within), _ids(within))


def _ids(groups: Iterable[Sequence[Sample]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sample.id for sample in group) for group in groups)


def _empty(dataset: DataSet, good: Sequence[Seen]) -> Iterable[Finding]:
    empty = [sample.id for sample, look in good if look.counts and not set(look.counts) - {0, IGNORE}]
    if empty:
        severity = "warning" if 2 * len(empty) > len(good) else "note"
        text = f"{len(empty)} of {len(good)} masks hold nothing but background"
        yield Finding(severity, "empty masks", text, tuple(empty))
    yield from _unlike_the_others(dataset, good)
    void = [sample.id for sample, look in good if set(look.counts) == {IGNORE}]
    if void:
        yield Finding("warning", "empty masks", f"{len(void)} masks hold no pixel that counts", tuple(void))
    full = [sample.id for sample, look in good if len(dataset.classes) == 2 and set(look.counts) == {1}]
    if full:
        text = f"{len(full)} masks are all {dataset.classes[1]}; look at them in the contact sheet"
        yield Finding("warning", "full masks", text, tuple(full))


def _unlike_the_others(dataset: DataSet, good: Sequence[Seen]) -> Iterable[Finding]:
    """Find masks that are nearly all foreground in a set where most are not: inverted ones."""
    if len(dataset.classes) != 2:
        return
    pairs = [(look.counts.get(0, 0), look.counts.get(1, 0)) for _, look in good]
    shares = [foreground / max(1, background + foreground) for background, foreground in pairs]
    if not shares or np.median(shares) > 1 - _INVERTED:
        return
    odd = [
        f"{sample.id} ({share:.0%})"
        for (sample, look), share in zip(good, shares, strict=True)
        if share > _INVERTED and 0 in look.counts  # those that are all foreground are named anyway
    ]
    if odd:
        text = f"{len(odd)} masks are nearly all {dataset.classes[1]}, unlike the others; are they inverted?"
        yield Finding("warning", "inverted masks", text, tuple(odd))


def _balance(dataset: DataSet, good: Sequence[Seen]) -> Iterable[Finding]:
    train = [look.counts for sample, look in good if sample.split not in ("val", "test")]
    if not good:
        return  # none could be read, which is said
    if not train:
        text = (
            f"all {len(good)} images with masks belong to validation or test by their names, so none is "
            "left to train on; a .csv with the columns image,mask,split can say otherwise"
        )
        yield Finding("error", "split", text)
        return
    found = shares(train, dataset.classes)
    if not any(share.images for share in found[1:]):
        yield Finding("error", "classes", "no training mask holds anything but background")
        return
    absent = [share.name for share in found[1:] if not share.images]
    if absent:
        yield Finding("warning", "classes", "classes that no training mask holds", tuple(absent))
    rare = [f"{share.name} ({share.share:.3%})" for share in found if share.images and share.share < _RARE]
    if rare:
        weights = "--loss bce+dice or focal" if len(dataset.classes) == 2 else "--class-weights auto"
        text = f"classes with less than {_RARE:.1%} of the pixels; consider {weights}"
        yield Finding("warning", "imbalance", text, tuple(rare))
    if len(train) < _FEW:
        yield Finding("warning", "few images", f"only {len(train)} images to train on")


def _images(dataset: DataSet, good: Sequence[Seen]) -> Iterable[Finding]:
    wanted = dataset.channels
    convertible = wanted in (1, 3)  # grey, RGB and alpha are; channels of their own are not
    other = [
        f"{sample.id} ({look.channels})"
        for sample, look in good
        if look.channels != wanted and (look.stack or not convertible)
    ]
    if other:
        text = f"images that do not have the {wanted} channels that the first ones have"
        yield Finding("error", "channels", text, tuple(other))
    partly = [sample.id for sample, look in good if look.partly]
    if 2 * len(partly) > len(good):
        most = max(look.channels for _, look in good if look.partly)
        text = (
            f"the last channel of {len(partly)} images is called alpha, but varies as one that was measured "
            f"does; it is left out, unless training is told --channels {most}"
        )
        yield Finding("warning", "channels", text, tuple(partly))
    turned = [sample.id for sample, look in good if look.orientation > 1]
    if turned:
        yield Finding("note", "orientation", f"{len(turned)} photos are turned upright (EXIF)", tuple(turned))
    yield from _narrow(good)
    tiny = [f"{sample.id} ({look.shape[1]}x{look.shape[0]})" for sample, look in good if min(look.shape) < 32]
    if tiny:
        yield Finding("warning", "sizes", f"{len(tiny)} images are smaller than 32 px", tuple(tiny))
    colour = sum(look.channels >= 3 for _, look in good)
    if 0 < colour < len(good) and dataset.channels == 1:
        text = (
            f"{colour} of {len(good)} images are in colour, the others grey: use --channels 3 to see colour"
        )
        yield Finding("warning", "channels", text)


def _narrow(good: Sequence[Seen]) -> Iterable[Finding]:
    narrow = [(sample.id, look.narrow) for sample, look in good if look.narrow is not None]
    if 2 * len(narrow) <= len(good):  # single dark images are that
        return
    lows, highs = zip(*(range_ for _, range_ in narrow), strict=True)
    text = (
        f"{len(narrow)} of {len(good)} images hold 16-bit samples of {min(lows)} to {max(highs)}, each of "
        "less than a sixteenth of the range: the network, which takes 8 bits, would see 16 levels or fewer; "
        "stretch them to 0 .. 65535, all in one way, and later those that the model is used on"
    )
    yield Finding("warning", "16 bit", text, tuple(f"{id_} ({low} .. {high})" for id_, (low, high) in narrow))
