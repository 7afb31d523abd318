"""An encoding that is known already, a model's, on masks that it has not seen."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from unetfast.data.encoding import NEAR, LabelEncoding
from unetfast.data.levels import INVERTED, Levels
from unetfast.data.masks import code_text, distances, flag_text
from unetfast.data.survey import Survey
from unetfast.spec import IGNORE

__all__ = ["suited", "warn_if_inverted", "with_classes_of"]

log = logging.getLogger(__name__)


def suited(encoding: LabelEncoding, found: Survey) -> LabelEncoding | None:
    """Fit an encoding, say a model's, to masks that store the values it knows.

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
    pixels = encoding.counts_of(found.counts)
    share = pixels.get(1, 0) / max(1, pixels.get(0, 0) + pixels.get(1, 0))
    background = next((code for code, id_ in encoding.table if id_ == 0), None)
    if share > INVERTED and background is not None:
        name = encoding.classes[1]
        value = code_text(encoding.domain, background)
        log.warning(
            "%s: %.0f %% of all pixels are %s; if these masks are inverted: --mask-values %s",
            root,
            100 * share,
            name,
            flag_text(f"{value}={name}"),
        )


def with_classes_of(wanted: LabelEncoding, found: LabelEncoding, *, told: bool) -> LabelEncoding | None:
    """Give an encoding the classes of a model: by name where the user `told` them, or two for two."""
    if len(found.classes) == len(wanted.classes) == 2:
        return replace(found, classes=wanted.classes)
    ids = {"background": 0, **{name: i for i, name in enumerate(wanted.classes)}}
    if not told or not set(found.classes) <= set(ids):
        return None
    # "Does not count" stays what it is: it is no class.
    of = dict(enumerate(ids[name] for name in found.classes))
    table = tuple((code, of.get(id_, id_)) for code, id_ in found.table)
    other = None if found.other is None else of.get(found.other, found.other)
    return replace(found, table=table, other=other, classes=wanted.classes)
