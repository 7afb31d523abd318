"""Names of devices: "cpu", "cuda", "cuda:1"."""

from __future__ import annotations

from unetfast.errors import ConfigError

__all__ = ["parse_device"]

_NUMBERED = ("cuda", "tensorrt")


def parse_device(device: str, *kinds: str) -> tuple[str, int | None]:
    """Return the kind of device that a name means, and its number where the name gives one.

    Parameters
    ----------
    device : str
        Such as "auto", "cpu" or "cuda:1".
    *kinds : str
        Those that are known.

    Raises
    ------
    ConfigError
        For another kind, or a number that is not one.
    """
    kind, _, index = str(device).partition(":")
    if kind not in kinds or (index and not index.isdigit()):
        names = [name for kind in kinds for name in ((kind, f"{kind}:N") if kind in _NUMBERED else (kind,))]
        raise ConfigError(f"device must be {', '.join(names[:-1])} or {names[-1]}; got {device!r}")
    return kind, int(index) if index else None
