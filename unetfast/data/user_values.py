"""What a user says mask values mean: ``255=crack``, ``#ff0000=grain``, ``1-255=nucleus``, ``*=other``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetfast.data.encoding import NEAR, LabelEncoding
from unetfast.data.masks import code_text, colour_text, distances
from unetfast.data.survey import Survey
from unetfast.errors import ConfigError, DatasetError
from unetfast.spec import IGNORE

__all__ = ["UserValues", "encode_as_told", "in_domain", "is_background", "is_void"]

_VOID = frozenset(["ignore", "ignored", "void", "unlabelled", "unlabeled", "dontcare", "unknown"])
_BACKGROUND = frozenset(["background", "bg"])


def is_void(name: str) -> bool:
    """Whether a class of this name means "does not count"."""
    return _letters(name) in _VOID


def is_background(name: str) -> bool:
    """Whether a class of this name is the background."""
    return _letters(name) in _BACKGROUND


def _letters(name: str) -> str:
    """LabelMe writes ``__ignore__`` and ``_background_``, others "don't care"; "bg2" is something else."""
    return re.sub(r"[\W_]", "", name.lower())


@dataclass(frozen=True)
class UserValues:
    """Parsed ``--mask-values``.

    Attributes
    ----------
    ranges : list of (int, int, str)
        First and last code, and class name, in the order of mention.
    colours : bool
        The codes are packed colours.
    rest : str or None
        The class of all other values (``*=NAME``).
    """

    ranges: list[tuple[int, int, str]]
    colours: bool
    rest: str | None

    @classmethod
    def parse(cls, words: Sequence[str], source: Path | str) -> UserValues:
        """Read the words; several may stand in one, separated by commas.

        Raises
        ------
        ConfigError
            When one is not ``VALUE=NAME``.
        """
        ranges: list[tuple[int, int, str]] = []
        rest, kinds = None, set()
        for word in (part.strip() for item in words for part in item.split(",") if part.strip()):
            said = re.fullmatch(r"(\*|#[0-9a-fA-F]{6}|(\d+)(?:-(\d+))?)\s*=\s*(.+)", word)
            if not said:
                raise ConfigError(
                    f"{source}: mask_values must be VALUE=NAME, such as 255=crack, #ff0000=grain, "
                    f"1-255=nucleus or 3=ignore; got {word!r}"
                )
            value, first, last, name = said.groups()
            if value == "*":
                rest = name
            elif value.startswith("#"):
                kinds.add("colour")
                ranges.append((int(value[1:], 16), int(value[1:], 16), name))
            else:
                kinds.add("number")
                ranges.append((int(first), int(last or first), name))
        if len(kinds) > 1:
            raise ConfigError(f"{source}: mask_values mixes colours and numbers: {', '.join(words)}")
        if not ranges:
            raise ConfigError(f"{source}: mask_values names no value, only *")
        return cls(ranges, kinds == {"colour"}, rest)

    def name_of(self, code: int) -> str | None:
        """Return the class name of a code, the first that was said, or None."""
        return next((name for low, high, name in self.ranges if low <= code <= high), None)


def encode_as_told(
    said: UserValues, found: Survey, centres: list[int], *, smeared: bool, root: Path
) -> LabelEncoding:
    """Build the encoding that the user described, checked against what the masks hold.

    Values that nobody named are background, unless every class got a value of its own. `said` is as
    :func:`in_domain` returns it.

    Raises
    ------
    DatasetError
        When no mask holds a value that was named.
    """
    if any(low < high for low, high, _ in said.ranges) and not found.lossy:
        smeared = (
            False  # a range means what it says: between objects 1 .. 300 there is no smear, nor is 0 near 1
        )
    present = sorted(found.counts)
    for low, high, name in said.ranges:
        near = smeared and _near(found.domain, present, low, high)
        if not near and not any(low <= code <= high for code in present):
            text = (
                colour_text(low) if found.domain == "colour" else f"{low}" if low == high else f"{low}-{high}"
            )
            shown = ", ".join(code_text(found.domain, code) for code in present[:12])
            raise DatasetError(f"{root}: --mask-values {text}={name}: no mask holds that; found {shown}")
    if smeared and found.domain == "colour":  # thin lines of a JPEG may fill no area with their colour
        named = [low for low, high, _ in said.ranges if not _near("colour", centres, low, high)]
        centres = sorted({*centres, *named})
    ids = _ids(said, centres)
    other = ids[said.rest] if said.rest is not None else ids.get("background")
    if smeared and len(centres) <= 64:
        table = _centre_table(said, found.domain, centres, ids, other)
        by_middle = found.domain != "colour" and len(centres) == 2 and len({id_ for _, id_ in table}) == 2
        rule = "threshold" if by_middle else "nearest"
    else:
        # Values that mean background are written down too: so the model knows that it has seen them.
        known = ((code, said.name_of(code)) for code in present[:4096])
        read = ((code, other if named is None else ids[named]) for code, named in known)
        table = tuple((code, id_) for code, id_ in read if id_ is not None)
        table += _unseen(said, found.domain, {code for code, _ in table}, ids)
        rule = "exact"
    classes = [""] * (max(id_ for id_ in ids.values() if id_ != IGNORE) + 1)
    for name, id_ in ids.items():
        if id_ != IGNORE:
            classes[id_] = name
    return LabelEncoding(found.domain, rule, table, other, tuple(classes))


def in_domain(said: UserValues, found: Survey, root: Path) -> UserValues:
    """Translate colours to greys or palette indices where that is what the masks store.

    Raises
    ------
    DatasetError
        When no mask holds such a colour.
    """
    if said.colours == (found.domain == "colour"):
        return said
    if not said.colours:  # a grey value in a set whose masks have colours
        if any(low < high or high > 255 for low, high, _ in said.ranges):
            raise DatasetError(f"{root}: --mask-values: these masks are in colours; say #rrggbb=NAME")
        return UserValues([(a * 0x010101, a * 0x010101, n) for a, _, n in said.ranges], True, said.rest)
    index = {colour: i for stat in found.stats for i, colour in stat.palette.items()}
    ranges = []
    for code, _, name in said.ranges:
        if found.domain == "index" and code in index:
            ranges.append((index[code], index[code], name))
        elif code % 0x010101 == 0 and found.domain != "index":
            ranges.append((code // 0x010101, code // 0x010101, name))
        else:
            raise DatasetError(f"{root}: --mask-values {colour_text(code)}={name}: no mask holds that colour")
    return UserValues(ranges, False, said.rest)


def _ids(said: UserValues, centres: list[int]) -> dict[str, int]:
    names = [name for _, _, name in said.ranges] + ([said.rest] if said.rest else [])
    names = ["background" if is_background(name) else name for name in names]
    classes = list(dict.fromkeys(name for name in names if not is_void(name)))
    all_named = all(said.name_of(code) is not None for code in centres)
    if "background" in classes:
        classes.remove("background")
        classes.insert(0, "background")
    elif len(classes) < 2 or not all_named:
        classes.insert(0, "background")
    ids = {name: i for i, name in enumerate(classes)}
    for name in [name for _, _, name in said.ranges] + ([said.rest] if said.rest else []):
        if is_void(name):
            ids[name] = IGNORE
        elif is_background(name):
            ids[name] = 0
    return ids


def _near(domain: str, codes: list[int], low: int, high: int) -> bool:
    """Whether a code is one of a range or, as smear leaves it, a little beside it."""
    if domain != "colour":
        return any(low - NEAR <= code <= high + NEAR for code in codes)
    return bool(codes) and bool((distances(domain, codes, [low]) <= NEAR).any())


def _centre_table(
    said: UserValues, domain: str, centres: list[int], ids: dict[str, int], other: int | None
) -> tuple[tuple[int, int], ...]:
    # Only a range that holds no centre itself takes the one beside it: 1-255 does not mean 0.
    bare = [r for r in said.ranges if not any(r[0] <= code <= r[1] for code in centres)]
    table = []
    for code in centres:
        near = [name for low, high, name in bare if _near(domain, [code], low, high)]
        name = said.name_of(code) or (near[0] if near else None)
        id_ = ids[name] if name is not None else other
        if id_ is not None:
            table.append((code, id_))
    return tuple(table)


def _unseen(
    said: UserValues, domain: str, seen: set[int], ids: dict[str, int]
) -> tuple[tuple[int, int], ...]:
    """Return codes of ranges that no mask holds yet; others may."""
    if domain == "colour":
        return ()
    codes = {c for low, high, _ in said.ranges for c in range(low, min(high, 65535) + 1)} - seen
    return tuple((code, ids[said.name_of(code) or ""]) for code in sorted(codes)) if len(codes) <= 256 else ()
