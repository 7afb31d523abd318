"""Pictures of cracks with exact masks, drawn: surfaces, cracks, things that are not cracks, a camera."""

from unetfast.data.synth.scene import Subject, draw, scenes

__all__ = ["Subject", "draw", "scenes"]
