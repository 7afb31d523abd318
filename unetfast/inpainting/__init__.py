"""Replace the masked pixels of an image.

Named ``inpainting`` because ``unetfast.inpaint`` is the function: a subpackage of that name
would shadow it as soon as anything imported it.
"""

from __future__ import annotations

from unetfast.inpainting.inpaint import METHODS, inpaint

__all__ = ["METHODS", "inpaint"]
