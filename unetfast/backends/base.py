"""What every inference backend must do."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unetfast.spec import ModelSpec

__all__ = ["Backend"]


@runtime_checkable
class Backend(Protocol):
    """A loaded model.

    Attributes
    ----------
    name : str
        The backend's registry key, such as ``"onnxruntime"``.
    spec : ModelSpec
        Read from the artifact.
    description : str
        One line for people: runtime, version, device, threads.
    """

    name: str
    spec: ModelSpec
    description: str

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Run the model; safe to call from several threads at once.

        Parameters
        ----------
        images : (N, H, W, C) uint8
            RGB order for three channels; any N, H, W >= 1.

        Returns
        -------
        (N, H, W) uint8 class ids, or (N, H, W, K) float32 probabilities in [0, 1]
            As ``spec.output`` says ("mask" or "prob"); K is 1 for binary models.

        Raises
        ------
        InputError
            For a wrong dtype, rank or channel count.
        BackendError
            When the runtime fails.
        """
        ...

    def close(self) -> None:
        """Release the runtime's memory; the backend cannot be used afterwards."""
        ...
