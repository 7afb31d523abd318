"""Masks that can be read in more than one way: an error that names what settles it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NoReturn

import numpy as np

from unetfast.data.encoding import NEAR
from unetfast.data.levels import Levels, void_of
from unetfast.data.masks import code_text, colour_text, distances, flag_text
from unetfast.data.objects import number_objects
from unetfast.data.survey import Survey
from unetfast.errors import DatasetError

__all__ = ["Refusals"]


class Refusals:
    """The cases in which a guess could be wrong. Each method raises DatasetError where its case is met.

    Parameters
    ----------
    found : Survey
    root : Path
        Messages start with it.
    levels : Levels
        Of the survey.
    name : str
        What a single foreground is called.
    """

    def __init__(self, found: Survey, root: Path, levels: Levels, name: str) -> None:
        self.found, self.root, self.levels, self.name = found, root, levels, name
        self.domain = found.domain

    def constant(self) -> None:
        """Refuse masks that all hold one value."""
        if len(self.levels.counts) > 1:
            return
        (value,) = self.levels.counts
        raise DatasetError(
            f"{self.root}: every pixel of all {len(self.found.stats)} masks is {self._text(value)}: "
            "there is nothing to learn. Are these the right masks? (another folder: --mask NAME)"
        )

    def unclear(self) -> None:
        """Refuse values without clear levels: photographs and probability maps."""
        if self.levels.clear:
            return
        told = self._far_colour() if self.domain == "colour" else self._upper_half()
        self.several_readings(
            f"{len(self.levels.counts)} different values without clear levels, as of photographs or "
            "probability maps",
            told,
        )

    def _upper_half(self) -> str:
        highest = max(self.levels.counts)
        top = next((full for full in (255, 65535) if full // 2 < highest <= full), highest)
        return f"{(top + 1) // 2}-{top}=foreground"

    def _far_colour(self) -> str:
        """Name as foreground the most frequent colour that is not the smear of the first."""
        codes, most = list(self.levels.counts), self.levels.counts.most_common(2)
        first = most[0][0]
        if 20 * most[1][1] < most[0][1] < 0.5 * self.levels.total:
            return f"{colour_text(first)}=foreground"  # marks drawn on photographs
        far = distances("colour", codes, [first])[:, 0] > 127
        others = Counter({code: self.levels.counts[code] for code in np.array(codes)[far].tolist()})
        if not others:
            raise DatasetError(
                f"{self.root}: {len(codes)} colours that are all much the same: photographs, or numbers "
                "in several channels; save class ids as grey values"
            )
        found = others.most_common(1)[0][0]
        near = distances("colour", list(others), [found])[:, 0] <= NEAR
        if sum(np.array(list(others.values()))[near]) < 0.1 * sum(others.values()):
            raise DatasetError(
                f"{self.root}: {len(codes)} colours, none of which stands out: these are photographs, not "
                "masks. (Another folder: --mask NAME)"
            )
        return f"{colour_text(found)}=foreground"

    def objects(self, values: list[int]) -> None:
        """Refuse numbers of objects."""
        why = number_objects(self.found.stats, values, self.levels)
        if why is None:
            return
        what = f"{len(values)} values, and {why}: they look like numbers of objects, not classes"
        if self.domain == "colour":
            ground = self._text(self.levels.counts.most_common(1)[0][0])
            self.several_readings(what, f"{ground}=background,*=object")
        void = void_of(values)
        # Beside lower ones alone it is what does not count, rather than object 255 or 65535.
        alone = max(values) == void and void - 1 not in values
        self.several_readings(
            what,
            f"1-{void - 1}=object,{void}=ignore" if alone else "1-65535=object",
            "name each value that is a class, such as 1=NAME,2=NAME",
        )

    def mixed_depths(self, values: list[int]) -> None:
        """Refuse foreground that is 255 in some files and 65535, or 1, in others."""
        if len(values) != 3 or values[0] != 0 or values[1] not in (1, 255) or values[2] != 65535:
            return
        _, low, high = values
        if not any({low, high} <= set(stat.counts) for stat in self.found.stats):
            self.several_readings(
                f"some masks hold 0 and {low}, others 0 and {high}",
                f"{low}={self.name},{high}={self.name}",
                f"{low}=one,{high}=other",
            )

    def mixed_alpha(self) -> None:
        """Refuse a set of which some masks are drawn in the alpha channel and others in their colours."""
        drawn = [stat for stat in self.found.stats if stat.kind == "alpha"]
        # One that is opaque all over in the colour of the others is foreground all over.
        paints = {stat.plain for stat in drawn}
        opaque = sum(
            stat.kind != "alpha" and set(stat.counts) == {255} and stat.plain not in paints
            for stat in self.found.stats
        )
        if opaque:
            raise DatasetError(
                f"{self.root}: {len(drawn)} masks are drawn in the alpha channel alone, {opaque} are opaque "
                "all over and drawn in their colours; save them all in one way, or leave one kind out"
            )

    def mixed_codes(self) -> None:
        """Refuse a set of which some masks are colour-coded and others use grey codes of their own."""
        coloured = [stat for stat in self.found.stats if stat.kind != "grey"]
        known = {code for stat in coloured for code in stat.counts}
        strange = [stat for stat in self.found.stats if stat.kind == "grey" and not set(stat.counts) <= known]
        if strange and not self.levels.smeared:
            self.several_readings(
                f"{len(coloured)} masks are coded in colours, {len(strange)} in greys that those do not hold",
                "#ff0000=NAME,#1d1d1d=NAME and so on for each colour and grey",
                "leave one kind out",
            )

    def thin_or_edge(self) -> None:
        """Refuse values between two others that are neither areas nor the smear of edges."""
        if not self.levels.doubtful:
            return
        low, high = self.levels.doubtful[0], max(self.levels.counts)
        thin = ", ".join(map(str, self.levels.doubtful))
        named = ",".join(
            f"{code}={'thin' if code in self.levels.doubtful else self.name}"
            for code in sorted(self.levels.counts)[1:]
        )
        self.several_readings(
            f"{thin} fills no area and mostly does not lie between two others: a class of thin lines, or "
            "thin lines of which all is edge",
            named,
            f"{low}-{high}={self.name}",
        )

    def one_and_void(self, ids: list[int], void: int) -> None:
        """Refuse 255, or 65535, beside two ids."""
        low, high = ids
        together = any({high, void} <= set(stat.counts) for stat in self.found.stats)
        what = (
            f"masks hold {low}, {high} and {void}: {void} may mean 'does not count', or foreground"
            if together
            else f"some masks hold {low} and {high}, others {low} and {void}"
        )
        flags = f"{high}={self.name},{void}=ignore", f"{high}={self.name},{void}={self.name}"
        self.several_readings(what, *(flags if together else flags[::-1]))

    def several_readings(self, what: str, *flags: str) -> NoReturn:
        """Raise; `what` is the doubt, `flags` the words after --mask-values that settle it."""
        first, *others = flags
        alternatives = "".join(f", or {flag_text(flag)}" for flag in others)
        raise DatasetError(
            f"{self.root}: the masks can be read in more than one way: {what}. Found {self._found()}. "
            f"Say what the values mean: --mask-values {flag_text(first)}{alternatives}"
        )

    def _found(self) -> str:
        most = self.levels.counts.most_common(8)
        shares = ", ".join(f"{self._text(code)} ({n / self.levels.total:.2%})" for code, n in most)
        rest = len(self.levels.counts) - len(most)
        return shares + (f" and {rest} more" if rest > 0 else "")

    def _text(self, code: int) -> str:
        return code_text(self.domain, code)
