"""Replace the masked pixels of an image.

Named ``inpainting`` because ``unetfast.inpaint`` is the function: a subpackage of that name
would shadow it as soon as anything imported it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unetfast.inpainting.methods import METHODS

if TYPE_CHECKING:
    from unetfast.inpainting.fill import inpaint

__all__ = ["METHODS", "inpaint"]


def __getattr__(name: str) -> Any:
    if name == "inpaint":  # at first use: the table alone must not pay for NumPy
        from unetfast.inpainting.fill import inpaint

        return inpaint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
