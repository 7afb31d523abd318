"""From the values that masks store to a label encoding, or an error that names what settles it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unetfast.data.encoding import LabelEncoding
from unetfast.data.levels import INVERTED, MOST_CLASSES, Levels, void_of
from unetfast.data.masks import code_text, colour_text, flag_text
from unetfast.data.objects import are_pieces, seldom_recur
from unetfast.data.refusals import Refusals
from unetfast.data.survey import Survey
from unetfast.data.user_values import UserValues, encode_as_told, in_domain, is_background, is_void
from unetfast.errors import DatasetError
from unetfast.spec import IGNORE

__all__ = ["Decision", "decide"]

_DOUBTFUL = 0.5  # a foreground larger than this share, and no less so along the sides, may be the background
_SOME = 0.15  # one larger than this may be, where it lies along the sides above all
_VOC_VOID = 0xE0E0C0  # Pascal VOC draws index 255, "does not count", in this colour


@dataclass(frozen=True)
class Decision:
    """A label encoding with its reasons."""

    encoding: LabelEncoding
    reasons: tuple[str, ...]


def decide(
    found: Survey,
    root: Path,
    *,
    mask_values: Sequence[str] = (),
    ignore_label: int | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Decision:
    """Decide how the masks of a data set are read.

    Parameters
    ----------
    found : Survey
        Of all masks.
    root : Path
        Of the data set; messages start with it.
    mask_values : sequence of str
        What the user said: ``"255=crack"``, ``"#ff0000=grain"``, ``"1-255=nucleus"``,
        ``"3=ignore"``, ``"*=background"``.
    ignore_label : int, optional
        The stored value of pixels that do not count.
    hints : mapping, optional
        What the layout knows: "values" (as `mask_values`), "classes" (names by stored value),
        "colours" (name by packed colour), "name" (of a single foreground).

    Raises
    ------
    DatasetError
        When the values can be read in more than one way; the message shows them and the option
        that settles it.
    """
    hints = hints or {}
    counts, flat, between = found.counts, found.flat, found.between
    if not counts:
        first = next((stat.error for stat in found.stats if stat.error), "there are none")
        raise DatasetError(f"{root}: no mask can be read: {first}")
    reasons: list[str] = []
    if any(stat.one_hot for stat in found.stats):
        reasons.append(
            "one-hot, a channel for each class: the number of the channel that is not 0 is the class id"
        )
    if ignore_label is not None:
        if ignore_label not in counts:
            reasons.append(f"no mask holds the value {ignore_label} that --ignore-label names")
        counts = Counter({code: n for code, n in counts.items() if code != ignore_label})
        flat = Counter({code: n for code, n in flat.items() if code != ignore_label})
        if not counts:
            raise DatasetError(f"{root}: masks hold nothing but the value {ignore_label} to ignore")
    levels = Levels(found.domain, counts, flat, between, lossy=found.lossy)
    told = tuple(mask_values) or tuple(hints.get("values", ()))
    if told:
        values = in_domain(UserValues.parse(told, root), found, root)
        # Without clear levels, as in a probability map, the ranges of greys mean what they say.
        smeared = levels.smeared and (levels.clear or found.domain == "colour")
        encoding = encode_as_told(values, found, levels.centres, smeared=smeared, root=root)
        reasons.append(
            f"{'as --mask-values says' if mask_values else 'known of this layout'}: {', '.join(told)}"
            f"{_not_named(values, levels, encoding)}"
        )
    else:
        encoding, more = _Decider(found, root, levels, hints).decide()
        reasons += more
    if ignore_label is not None:
        rule = "exact" if encoding.rule == "threshold" and not levels.smeared else encoding.rule
        rule = "nearest" if rule == "threshold" else rule
        table = tuple(row for row in encoding.table if row[0] != ignore_label)
        encoding = replace(encoding, rule=rule, table=(*table, (ignore_label, IGNORE)))
        reasons.append(f"value {ignore_label} does not count (--ignore-label)")
    return Decision(encoding, tuple(reasons))


def _not_named(values: UserValues, levels: Levels, encoding: LabelEncoding) -> str:
    """Say which of several values are background because nobody named them, or nothing."""
    ids = encoding.ids_of(np.array(levels.centres, np.int32))
    taken = [c for c, id_ in zip(levels.centres, ids, strict=True) if id_ == 0 and values.name_of(c) is None]
    one_is_meant = not any(is_background(name) for _, _, name in values.ranges)
    if len(taken) <= one_is_meant or values.rest is not None:
        return ""
    taken.sort(key=levels.counts.__getitem__, reverse=True)
    shares = [f"{code_text(levels.domain, c)} ({levels.counts[c] / levels.total:.2%})" for c in taken[:8]]
    more = f" and {len(taken) - 8} more" if len(taken) > 8 else ""
    return f"; not named, and so background: {', '.join(shares)}{more}"


class _Decider:
    """The rules by which values that nobody explained are read."""

    def __init__(self, found: Survey, root: Path, levels: Levels, hints: Mapping[str, Any]) -> None:
        self.found, self.root, self.levels, self.hints = found, root, levels, hints
        self.domain, self.name = found.domain, str(hints.get("name", "foreground"))
        self.refuse = Refusals(found, root, levels, self.name)
        self.reasons: list[str] = []

    def decide(self) -> tuple[LabelEncoding, list[str]]:
        values = self.levels.centres
        self.refuse.constant()
        if self.domain == "alpha":
            self.refuse.mixed_alpha()
        self.refuse.thin_or_edge()
        if self.levels.smeared:
            if self.domain in ("grey", "colour") and not self.levels.clear and not self.found.lossy:
                self.refuse.objects(sorted(self.levels.counts))  # hundreds of them
            self.refuse.unclear()
        if self.domain == "colour":
            encoding = self._colours(values)
        elif (names := self._names_of(values)) is not None:
            encoding = self._named_ids(values, names)
        elif len(values) == 2:
            encoding = self._binary(values)
        else:
            encoding = self._several(values)
        if len(encoding.classes) > 254:
            self.refuse.several_readings("more than 254 classes", "1-65535=object")
        return encoding, self.reasons

    # two values

    def _binary(self, values: list[int]) -> LabelEncoding:
        low, high = values
        counted = {code: n for code, n in self.found.frame.items() if code in self.levels.counts}
        share, frame = (_share_above((low + high) // 2, of) for of in (self.levels.counts, counted))
        inverted = _may_be_inverted(share, frame)
        if inverted:
            surrounds = f", and {frame:.0%} of those along the sides" if inverted == "surrounds" else ""
            self.refuse.several_readings(
                f"{share:.0%} of all pixels are {high}{surrounds}, so the masks may be inverted",
                f"{high}={self.name}",
                f"{low}={self.name} if {high} is the background",
            )
        smear = ", edges in between split at the middle (anti-aliased or JPEG masks)"
        odd = share > _DOUBTFUL or (share > _SOME and _odds(frame) > 1.1 * _odds(share))
        told = f"; if the masks are inverted: --mask-values {low}={self.name}" if odd else ""
        where = " of the alpha channel" if self.domain == "alpha" else ""
        self.reasons.append(
            f"two values{where}: {low} is background, {high} is foreground ({share:.2%} of pixels{told})"
            + (smear if self.levels.smeared else "")
        )
        names = ("background", self.name)
        return LabelEncoding(self.domain, "threshold", ((low, 0), (high, 1)), None, names)

    # three and more grey values or palette indices

    def _several(self, values: list[int]) -> LabelEncoding:
        self.refuse.mixed_depths(values)
        void = void_of(values)
        ids = [value for value in values if value != void]
        is_ids = (max(ids) < MOST_CLASSES or len(ids) > MOST_CLASSES) and not self.levels.smeared
        self.refuse.objects(values)
        if is_ids and void in values:
            voc = any(stat.palette.get(255) == _VOC_VOID for stat in self.found.stats)
            if len(ids) == 2 and not voc:
                self.refuse.one_and_void(ids, void)
            told = f"; if they are numbers of objects: --mask-values 1-{void - 1}=object,{void}=ignore"
            self.reasons.append(
                f"class ids {_listed(ids)}; {void} does not count, as is usual beside ids"
                f" (otherwise: --mask-values {void}=NAME and the others)"
                + (told if len(ids) > MOST_CLASSES else "")
            )
            values = ids
            ignored: tuple[tuple[int, int], ...] = ((void, IGNORE),)
        else:
            ignored = ()
            what = "class ids" if is_ids else "grey codes" if self.domain == "grey" else "codes"
            told = "; if they are numbers of objects: --mask-values 1-65535=object"
            self.reasons.append(
                f"{what} {_listed(values)}, one class each, in this order"
                + (told if self._may_be_objects(values) else "")
            )
        if values[0] != 0:
            flags = {str(value): f"class_{value}" for value in values} | (
                {str(void): "ignore"} if ignored else {}
            )
            self._say_what_is_0("0", flags)
        self._say_what_surrounds(values)
        if self.levels.smeared:
            self.reasons.append(
                "their edges are smeared; such pixels take the class of the nearest clear pixel"
            )
        table = tuple((value, i) for i, value in enumerate(values)) + ignored
        names = tuple(
            "background" if i == 0 and value == 0 else f"class_{value}" for i, value in enumerate(values)
        )
        if len(values) == 2:  # ids 0 and 1 beside VOC's void
            names = ("background", self.name)
        return LabelEncoding(self.domain, self._rule(), table, None, names)

    def _say_what_surrounds(self, values: list[int]) -> None:
        """Say so where another value than 0 looks like the background: REFUGE stores 255 around 128 and 0."""
        frame = self.found.frame
        total = sum(frame.values())
        around = max(frame, key=frame.__getitem__, default=0)
        if values[0] == 0 and around in values[1:] and frame[around] > total / 2 and frame[0] < total / 10:
            told = ",".join(f"{v}={'background' if v == around else f'class_{v}'}" for v in values)
            self.reasons.append(
                f"0 is called background, but {frame[around] / total:.0%} of the masks' sides are {around}: "
                f"if that is the background: --mask-values {told}"
            )

    def _may_be_objects(self, values: list[int]) -> bool:
        many = len(values) > MOST_CLASSES
        return values[0] == 0 and (many or (len(values) > 8 and are_pieces(self.found.stats)))

    def _say_what_is_0(self, usual: str, names: dict[str, str]) -> None:
        """Name the value that becomes class 0 where no mask holds the usual one, and how to take another."""
        first, other, *_ = names
        told = ",".join(
            f"{value}={'background' if value == other else name}" for value, name in names.items()
        )
        self.reasons.append(
            f"{first} takes the place of the background, as no mask holds {usual}; otherwise say which does, "
            f"such as --mask-values {flag_text(told)}"
        )

    def _named_ids(self, values: list[int], names: list[str]) -> LabelEncoding:
        kept = [i for i, name in enumerate(names) if not is_void(name)]
        table = [(value, kept.index(value) if value in kept else IGNORE) for value in range(len(names))]
        if (outside := void_of(values)) in values and len(names) <= outside:
            table.append((outside, IGNORE))
        void = [names[i] for i in range(len(names)) if i not in kept]
        legend, last = self.hints.get("legend", "the data set"), len(names) - 1
        # CamVid as SegNet has it names 0 .. 10, and 11 is what does not count.
        unnamed = (
            f"; it names {last} classes, so 0 is taken for the background; if {last} is what has no name: "
            f"--ignore-label {last}"
        )
        self.reasons.append(
            f"class ids 0 .. {last}, named by {legend}"
            + (unnamed if len(names) > len(self.hints["classes"]) else "")
            + (f"; {', '.join(void)} does not count" if void else "")
        )
        return LabelEncoding(self.domain, "exact", tuple(table), None, tuple(names[i] for i in kept))

    def _names_of(self, values: list[int]) -> list[str] | None:
        """Return the legend's names by id, with a background if it lacks one; None where they do not fit."""
        names = list(self.hints.get("classes", ()))
        outside = void_of(values)
        highest = max((value for value in values if value != outside), default=0)
        unnamed = highest == len(names) and values[0] == 0
        if names and unnamed and not any(map(is_background, names)):
            names = ["background", *names]
        ids = [value for value in values if value < len(names)]
        # {0, 255} is a foreground mask whatever the legend says.
        fit = not self.levels.smeared and len(ids) > 1 and set(values) <= {*ids, outside}
        return names if fit else None

    # colours

    def _colours(self, values: list[int]) -> LabelEncoding:
        legend: Mapping[int, str] = self.hints.get("colours", {})
        if legend and all(value in legend for value in values):
            kept = [code for code, name in legend.items() if not is_void(name)]
            table = tuple((code, kept.index(code) if code in kept else IGNORE) for code in legend)
            self.reasons.append(f"colours as in {self.hints.get('legend', 'the legend')}")
            names = tuple(legend[code] for code in kept)
            return LabelEncoding("colour", self._rule(), table, None, names)
        if seldom_recur(self.found.stats, values):
            first = colour_text(self.levels.counts.most_common(1)[0][0])
            self.refuse.several_readings(
                f"{len(values)} colours, most of them in one mask alone: they look like objects, not classes",
                f"{first}=background,*=object",
                "#ff0000=NAME and so on for each colour that is a class",
            )
        if len(values) > MOST_CLASSES:
            self.refuse.several_readings(
                f"{len(values)} colours", "#ff0000=NAME", "and so on for each colour"
            )
        if len(values) == 2 and 0 not in values:
            a, b = (colour_text(value) for value in values)
            self.refuse.several_readings(
                f"two colours, {a} and {b}, and neither is black", f"{a}=foreground", f"{b}=foreground"
            )
        if {0x000001, 0x000100, 0x010000} >= set(values):
            raise DatasetError(
                f"{self.root}: each channel of the masks is 0 or 1, one for each class; save class ids "
                "instead (the number of the channel that is 1)"
            )
        self.refuse.mixed_codes()
        values = sorted(values)  # black, 0x000000, comes first
        ground = max(values, key=self.levels.counts.__getitem__)
        if values[0] != 0 and 2 * self.levels.counts[ground] > self.levels.total:
            values = [ground, *(value for value in values if value != ground)]  # such as white paper
        names = tuple(
            "background" if value == 0 else _COLOUR_NAMES.get(value, colour_text(value)) for value in values
        )
        if len(values) == 2:
            names = ("background", self.name)
        self.reasons.append(
            "colours "
            + ", ".join(f"{colour_text(value)} = {name}" for value, name in zip(values, names, strict=True))
            + (", edges smeared" if self.levels.smeared else "")
        )
        if values[0] != 0:
            self._say_what_is_0("black", dict(zip(map(colour_text, values), names, strict=True)))
        table = tuple((value, i) for i, value in enumerate(values))
        return LabelEncoding("colour", self._rule(), table, None, names)

    def _rule(self) -> str:
        return "nearest" if self.levels.smeared else "exact"


def _may_be_inverted(share: float, frame: float) -> str | None:
    """Return why what is marked may be the background: it is "large", or it "surrounds" the rest.

    Objects lie inside the picture, mostly. Found on lesions, nuclei, cracks, roads, skies and fields of view,
    as they are and inverted; tests/test_data_inverted.py draws the like.

    Parameters
    ----------
    share, frame : float
        Of all pixels, and of those along the four sides, that are marked.
    """
    odds = _odds(frame) / _odds(share)
    if odds > 0.95 and share > _DOUBTFUL:
        return "surrounds"
    if odds > 4 and share > _SOME:
        return "surrounds"
    inside = odds < 0.2 and share < 0.9  # a field of view, a lesion seen from near
    return "large" if share > INVERTED and not inside else None


def _odds(share: float) -> float:
    return (share + 1e-6) / (1 - share + 1e-6)


def _share_above(middle: int, counts: Mapping[int, int]) -> float:
    return sum(n for code, n in counts.items() if code > middle) / max(1, sum(counts.values()))


def _listed(values: list[int]) -> str:
    if len(values) > 3 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} .. {values[-1]}"
    if len(values) > 20:
        return f"{', '.join(map(str, values[:3]))} .. {values[-1]} ({len(values)} of them)"
    return ", ".join(map(str, values))


_COLOUR_NAMES = {
    0x000000: "black",
    0xFFFFFF: "white",
    0xFF0000: "red",
    0x00FF00: "green",
    0x0000FF: "blue",
    0xFFFF00: "yellow",
    0x00FFFF: "cyan",
    0xFF00FF: "magenta",
    0x808080: "grey",
}
