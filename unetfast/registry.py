"""Tables of named things, imported only when one is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from unetfast.errors import ConfigError

__all__ = ["Registry", "did_you_mean"]


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


class Registry(Mapping[str, Any]):
    """Names to objects, each given as ``"module:attribute"`` and imported at first use.

    Parameters
    ----------
    noun : str
        What the entries are, for messages: ``"loss"``, ``"layout"``.
    entries : dict of str to str
        Name to ``"module:attribute"``. The order is kept.

    Examples
    --------
    >>> tables = Registry("codec", {"json": "json:dumps"})
    >>> tables["json"]([1])
    '[1]'
    """

    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self.noun = noun
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        if name not in self._entries:
            known = list(self._entries)
            raise ConfigError(
                f"unknown {self.noun} {name!r}{did_you_mean(str(name), known)} (known: {', '.join(known)})"
            )
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        # Mapping's own version would import the entry to answer, and raise ConfigError for an unknown one.
        return name in self._entries
