"""From the values that masks store to a label encoding, or an error that names what settles it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unetfast.data.labels import IGNORE, NEAR, LabelEncoding
from unetfast.data.levels import MOST_CLASSES, Levels, distances
from unetfast.data.masks import colour_text
from unetfast.data.survey import Survey
from unetfast.data.user_values import UserValues, encode_as_told, is_void
from unetfast.errors import DatasetError

__all__ = ["Decision", "decide", "suited", "warn_if_inverted"]

log = logging.getLogger(__name__)

_INVERTED = 0.8  # a foreground larger than this share is more likely the background
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
        values = UserValues.parse(told, root)
        # Without clear levels, as in a probability map, the ranges of greys mean what they say.
        smeared = levels.smeared and (levels.clear or found.domain == "colour")
        encoding = encode_as_told(values, found, levels.centres, smeared=smeared, root=root)
        reasons.append(
            f"{'as --mask-values says' if mask_values else 'known of this layout'}: {', '.join(told)}"
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


def suited(encoding: LabelEncoding, found: Survey) -> LabelEncoding | None:
    """Fit an encoding, say a model's, to masks that store the values it knows.

    Parameters
    ----------
    encoding : LabelEncoding
    found : Survey

    Returns
    -------
    LabelEncoding or None
        The encoding itself; or with its values split in between, where these masks have smeared
        edges; None where they hold other values.
    """
    if encoding.domain != found.domain or not found.counts:
        return None
    known = sorted(code for code, _ in encoding.table)
    if set(found.counts) <= set(known):
        return encoding
    levels = Levels(found.domain, found.counts, found.flat, found.between, lossy=found.lossy)
    if levels.smeared and levels.centres:
        apart = distances(found.domain, levels.centres, known)
        hit = {known[i] for i in apart.argmin(axis=1)}
        if (apart.min(axis=1) <= NEAR).all() and len(hit) == len(levels.centres):
            table = tuple((code, id_) for code, id_ in encoding.table if code in hit)
            rule = "threshold" if len(table) == 2 and found.domain != "colour" else "nearest"
            return replace(encoding, rule=rule, table=table, other=None)
    foreground = {code for code, id_ in encoding.table if 0 < id_ < IGNORE}
    return encoding if encoding.other is not None and foreground & set(found.counts) else None


def warn_if_inverted(encoding: LabelEncoding, found: Survey, root: Path) -> None:
    """Say so where masks that are read as a model's were may be inverted against them."""
    if len(encoding.classes) != 2:
        return
    codes = np.array(list(found.counts), np.int32)
    ids, numbers = encoding.ids_of(codes), np.array(list(found.counts.values()))
    share = numbers[ids == 1].sum() / max(1, numbers[(ids == 0) | (ids == 1)].sum())
    background = next((code for code, id_ in encoding.table if id_ == 0), None)
    if share > _INVERTED and background is not None:
        name = encoding.classes[1]
        value = colour_text(background) if encoding.domain == "colour" else str(background)
        log.warning(
            "%s: %.0f %% of all pixels are %s; if these masks are inverted: --mask-values %s=%s",
            root,
            100 * share,
            name,
            value,
            name,
        )


class _Decider:
    """The rules by which values that nobody explained are read."""

    def __init__(self, found: Survey, root: Path, levels: Levels, hints: Mapping[str, Any]) -> None:
        self.found, self.root, self.levels, self.hints = found, root, levels, hints
        self.domain = found.domain
        self.reasons: list[str] = []

    def decide(self) -> tuple[LabelEncoding, list[str]]:
        values = self.levels.centres
        if len(self.levels.counts) == 1:
            self._refuse_constant()
        if self.domain == "alpha":
            self._check_all_alpha()
        if self.levels.doubtful:
            self._refuse_doubtful()
        if self.levels.smeared:
            self._check_smear()
        if self.domain == "colour":
            encoding = self._colours(values)
        elif self.hints.get("classes") and self._ids_fit_names(values):
            encoding = self._named_ids(values)
        elif len(values) == 2:
            encoding = self._binary(values)
        else:
            encoding = self._several(values)
        if len(encoding.classes) > 254:
            self._refuse("more than 254 classes", "1-65535=object")
        return encoding, self.reasons

    # two values

    def _binary(self, values: list[int]) -> LabelEncoding:
        low, high = values
        share = self.levels.counts[high] / self.levels.total
        if self.levels.smeared:
            middle = (low + high) // 2
            share = sum(n for v, n in self.levels.counts.items() if v > middle) / self.levels.total
        if share > _INVERTED:
            name = self.hints.get("name", "foreground")
            self._refuse(
                f"{share:.0%} of all pixels are {high}, so the masks may be inverted",
                f"{high}={name}",
                f"{low}={name} if {high} is the background",
            )
        smear = ", edges in between split at the middle (anti-aliased or JPEG masks)"
        self.reasons.append(
            f"two values: {low} is background, {high} is foreground ({share:.2%} of pixels)"
            + (smear if self.levels.smeared else "")
        )
        names = ("background", str(self.hints.get("name", "foreground")))
        return LabelEncoding(self.domain, "threshold", ((low, 0), (high, 1)), None, names)

    # three and more grey values or palette indices

    def _several(self, values: list[int]) -> LabelEncoding:
        self._check_depths(values)
        ids = [value for value in values if value != 255]
        is_ids = max(ids) < MOST_CLASSES and not self.levels.smeared
        self._check_instances(values)
        if is_ids and 255 in values:
            voc = any(stat.palette.get(255) == _VOC_VOID for stat in self.found.stats)
            if len(ids) == 2 and not voc:
                self._refuse_one_and_255(ids)
            self.reasons.append(
                f"class ids {_listed(ids)}; 255 does not count, as is usual beside ids"
                " (otherwise: --mask-values 255=NAME and the others)"
            )
            values = ids
            ignored: tuple[tuple[int, int], ...] = ((255, IGNORE),)
        else:
            ignored = ()
            what = "class ids" if is_ids else "grey codes" if self.domain == "grey" else "codes"
            self.reasons.append(f"{what} {_listed(values)}, one class each, in this order")
        if values[0] != 0:
            self.reasons.append(
                f"{values[0]} takes the place of the background, as no mask holds 0; otherwise say which "
                f"does, such as --mask-values {values[1]}=background"
                + "".join(f",{value}=class_{value}" for value in values if value != values[1])
                + (",255=ignore" if ignored else "")
            )
        if self.levels.smeared:
            self.reasons.append(
                "their edges are smeared; such pixels take the class of the nearest clear pixel"
            )
        table = tuple((value, i) for i, value in enumerate(values)) + ignored
        names = tuple(
            "background" if i == 0 and value == 0 else f"class_{value}" for i, value in enumerate(values)
        )
        if len(values) == 2:  # ids 0 and 1 beside VOC's void
            names = ("background", str(self.hints.get("name", "foreground")))
        return LabelEncoding(self.domain, "nearest" if self.levels.smeared else "exact", table, None, names)

    def _named_ids(self, values: list[int]) -> LabelEncoding:
        names: list[str] = list(self.hints["classes"])
        kept = [i for i, name in enumerate(names) if not is_void(name)]
        table = [(value, kept.index(value) if value in kept else IGNORE) for value in range(len(names))]
        if 255 in values and len(names) <= 255:
            table.append((255, IGNORE))
        void = [names[i] for i in range(len(names)) if i not in kept]
        self.reasons.append(
            f"class ids 0 .. {len(names) - 1}, named by {self.hints.get('legend', 'the data set')}"
            + (f"; {', '.join(void)} does not count" if void else "")
        )
        return LabelEncoding(self.domain, "exact", tuple(table), None, tuple(names[i] for i in kept))

    def _ids_fit_names(self, values: list[int]) -> bool:
        count = len(self.hints["classes"])
        ids = [value for value in values if value < count]
        # {0, 255} is a foreground mask whatever the legend says.
        return not self.levels.smeared and len(ids) > 1 and set(values) <= {*ids, 255}

    # colours

    def _colours(self, values: list[int]) -> LabelEncoding:
        legend: Mapping[int, str] = self.hints.get("colours", {})
        if legend and all(value in legend for value in values):
            kept = [code for code, name in legend.items() if not is_void(name)]
            table = tuple((code, kept.index(code) if code in kept else IGNORE) for code in legend)
            self.reasons.append(f"colours as in {self.hints.get('legend', 'the legend')}")
            names = tuple(legend[code] for code in kept)
            return LabelEncoding("colour", self._colour_rule(), table, None, names)
        if len(values) > MOST_CLASSES:
            self._refuse(f"{len(values)} colours", "#ff0000=NAME", "and so on for each colour")
        if len(values) == 2 and 0 not in values:
            a, b = (colour_text(value) for value in values)
            self._refuse(
                f"two colours, {a} and {b}, and neither is black", f"{a}=foreground", f"{b}=foreground"
            )
        if {0x000001, 0x000100, 0x010000} >= set(values):
            raise DatasetError(
                f"{self.root}: each channel of the masks is 0 or 1, one for each class; save class ids "
                "instead (the number of the channel that is 1)"
            )
        self._check_one_code()
        values = sorted(values)  # black, 0x000000, comes first
        names = tuple(
            "background" if value == 0 else _COLOUR_NAMES.get(value, colour_text(value)) for value in values
        )
        if len(values) == 2:
            names = ("background", str(self.hints.get("name", "foreground")))
        self.reasons.append(
            "colours "
            + ", ".join(f"{colour_text(value)} = {name}" for value, name in zip(values, names, strict=True))
            + (", edges smeared" if self.levels.smeared else "")
        )
        table = tuple((value, i) for i, value in enumerate(values))
        return LabelEncoding("colour", self._colour_rule(), table, None, names)

    def _check_one_code(self) -> None:
        """Refuse a set of which some masks are colour-coded and others use grey codes of their own."""
        coloured = [stat for stat in self.found.stats if stat.kind != "grey"]
        known = {code for stat in coloured for code in stat.counts}
        strange = [stat for stat in self.found.stats if stat.kind == "grey" and not set(stat.counts) <= known]
        if strange and not self.levels.smeared:
            self._refuse(
                f"{len(coloured)} masks are coded in colours, {len(strange)} in greys that those do not hold",
                "#ff0000=NAME,#1d1d1d=NAME and so on for each colour and grey",
                "leave one kind out",
            )

    def _colour_rule(self) -> str:
        return "nearest" if self.levels.smeared else "exact"

    # refusals

    def _check_smear(self) -> None:
        if not self.levels.clear:
            told = self._upper_half()
            if self.domain == "colour":
                told = f"{colour_text(self._far_colour())}=foreground"
            self._refuse(
                f"{len(self.levels.counts)} different values without clear levels; are these masks, or "
                "photographs or probability maps?",
                told,
            )

    def _upper_half(self) -> str:
        highest = max(self.levels.counts)
        top = next((full for full in (255, 65535) if full // 2 < highest <= full), highest)
        return f"{(top + 1) // 2}-{top}=foreground"

    def _far_colour(self) -> int:
        """Return the most frequent colour that is not the smear of the first."""
        codes, most = list(self.levels.counts), self.levels.counts.most_common(2)
        first = most[0][0]
        if 20 * most[1][1] < most[0][1] < 0.5 * self.levels.total:
            return first  # marks drawn on photographs
        far = distances("colour", codes, [first])[:, 0] > 127
        others = Counter({code: self.levels.counts[code] for code in np.array(codes)[far].tolist()})
        found = others.most_common(1)[0][0] if others else first
        near = distances("colour", list(others), [found])[:, 0] <= NEAR if others else np.array([True])
        if sum(np.array(list(others.values()))[near]) < 0.1 * sum(others.values()):
            raise DatasetError(
                f"{self.root}: {len(codes)} colours, none of which stands out: these are photographs, not "
                "masks. (Another folder: --mask NAME; of cut-out photos, save the alpha channel as the mask)"
            )
        return found

    def _check_instances(self, values: list[int]) -> None:
        """Refuse ids that count objects: 1..n in each file, with n different from file to file."""
        numbers = [{v for v in stat.counts if v} for stat in self.found.stats if stat.error is None]
        numbers = [ids for ids in numbers if ids]
        counting = sum(ids == set(range(1, len(ids) + 1)) for ids in numbers)
        sizes = {len(ids) for ids in numbers}
        few = len(numbers) < 4  # of few masks, 1, 2 and 1 .. 4 may well be classes
        enough = min(3, len(numbers)) if len(numbers) < 10 else max(3, len(numbers) // 10)
        counts_up = (
            counting >= 0.9 * len(numbers) > 1 and len(sizes) >= enough and max(sizes) > (8 if few else 3)
        )
        many = len(values) > MOST_CLASSES and not self.levels.smeared
        if self.domain == "colour" or not (counts_up or many or self._are_scattered(numbers)):
            return
        why = "each mask counts up from 1" if counts_up else "few masks share one"
        self._refuse(
            f"{len(values)} values, and {why}: they look like numbers of objects, not classes",
            # 255 beside lower ones alone: what does not count, rather than object 255
            "1-254=object,255=ignore" if max(values) == 255 and 254 not in values else "1-65535=object",
            "name each value that is a class, such as 1=NAME,2=NAME",
        )

    def _are_scattered(self, numbers: list[set[int]]) -> bool:
        """Whether most values are in one mask alone, far apart, and each is one connected piece.

        Classes recur, and their ids are dense: parts, fields and organs are one piece each, too.
        """
        pieces = [stat.objects for stat in self.found.stats if stat.objects is not None]
        shared = Counter(id_ for ids in numbers for id_ in ids)
        usual = float(np.median(list(shared.values()))) if shared else 0.0
        return (
            len(shared) > 8
            and len(pieces) >= 3
            and sum(pieces) >= 0.8 * len(pieces)
            and usual <= max(1.0, 0.05 * len(numbers))
            and max(shared) > 3 * len(shared)
        )

    def _check_depths(self, values: list[int]) -> None:
        """Refuse foreground that is 255 in some files and 65535, or 1, in others."""
        if len(values) != 3 or values[0] != 0 or values[1] not in (1, 255) or values[2] != 65535:
            return
        _, low, high = values
        if not any({low, high} <= set(stat.counts) for stat in self.found.stats):
            name = self.hints.get("name", "foreground")
            self._refuse(
                f"some masks hold 0 and {low}, others 0 and {high}",
                f"{low}={name},{high}={name}",
                f"{low}=one,{high}=other",
            )

    def _check_all_alpha(self) -> None:
        """Refuse a set of which some masks are drawn in the alpha channel and others in their colours."""
        alpha = sum(stat.kind == "alpha" for stat in self.found.stats)
        opaque = sum(stat.kind != "alpha" and set(stat.counts) == {255} for stat in self.found.stats)
        if opaque:
            raise DatasetError(
                f"{self.root}: {alpha} masks are drawn in the alpha channel alone, {opaque} are opaque all "
                "over and drawn in their colours; save them all in one way, or leave one kind out"
            )

    def _refuse_doubtful(self) -> None:
        low, high = self.levels.doubtful[0], max(self.levels.counts)
        thin = ", ".join(map(str, self.levels.doubtful))
        name = self.hints.get("name", "foreground")
        named = ",".join(
            f"{code}={'thin' if code in self.levels.doubtful else name}"
            for code in sorted(self.levels.counts)[1:]
        )
        self._refuse(
            f"{thin} fills no area and mostly does not lie between two others: a class of thin lines, or "
            "thin lines of which all is edge",
            named,
            f"{low}-{high}={name}",
        )

    def _refuse_one_and_255(self, ids: list[int]) -> None:
        low, high = ids
        together = any({high, 255} <= set(stat.counts) for stat in self.found.stats)
        name = self.hints.get("name", "foreground")
        what = (
            f"masks hold {low}, {high} and 255: 255 may mean 'does not count', or foreground"
            if together
            else f"some masks hold {low} and {high}, others {low} and 255"
        )
        flags = f"{high}={name},255=ignore", f"{high}={name},255={name}"
        self._refuse(what, *(flags if together else flags[::-1]))

    def _refuse_constant(self) -> None:
        (value,) = self.levels.counts
        raise DatasetError(
            f"{self.root}: every pixel of all {len(self.found.stats)} masks is {self._text(value)}: "
            "there is nothing to learn. Are these the right masks? (another folder: --mask NAME)"
        )

    def _refuse(self, what: str, *flags: str) -> None:
        first, *others = flags
        alternatives = "".join(f", or {flag}" for flag in others)
        raise DatasetError(
            f"{self.root}: the masks can be read in more than one way: {what}. Found {self._found()}. "
            f"Say what the values mean: --mask-values {first}{alternatives}"
        )

    def _found(self) -> str:
        most = self.levels.counts.most_common(8)
        shares = ", ".join(f"{self._text(code)} ({n / self.levels.total:.2%})" for code, n in most)
        rest = len(self.levels.counts) - len(most)
        return shares + (f" and {rest} more" if rest > 0 else "")

    def _text(self, code: int) -> str:
        return colour_text(code) if self.domain == "colour" else str(code)


def _listed(values: list[int]) -> str:
    if len(values) > 3 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} .. {values[-1]}"
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
