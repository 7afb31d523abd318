"""One candidate in a process of its own: its memory is its own, and its crash is one row."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import BackendError, UnetfastError

__all__ = ["Worker"]

_START_S = 180.0  # importing torch and building a session
_CALL_S = 900.0
_LEAST = 3  # calls that are timed, however slow


class Worker:
    """A backend in another process; every method raises BackendError when that process fails."""

    def __init__(self, path: Path, backend: str, device: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.about: dict[str, Any] = self._ask(_START_S, "load", path, backend, device, threads)

    def time(self, images: NDArray[np.uint8], seconds: float) -> list[float]:
        """Return milliseconds of calls on (N, H, W, C) uint8, after one that is not counted."""
        result: list[float] = self._ask(_CALL_S, "time", images, seconds)
        return result

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return class ids (H, W) uint8 of an image (H, W, C) uint8."""
        result: NDArray[np.uint8] = self._ask(_CALL_S, "predict", image)
        return result

    def peak_mb(self) -> float:
        """Return the largest resident size of the process so far."""
        result: float = self._ask(_CALL_S, "peak")
        return result

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def _ask(self, patience_s: float, *request: Any) -> Any:
        try:
            self._pipe.send(request)
            if not self._pipe.poll(patience_s):
                self._process.kill()
                raise BackendError(f"no answer within {patience_s:.0f} s")
            ok, answer = self._pipe.recv()
        except (EOFError, OSError) as exc:
            self._process.join(5)
            raise BackendError(f"its process ended (exit code {self._process.exitcode})") from exc
        if not ok:
            self.close()
            raise BackendError(answer)
        return answer


def _serve(pipe: multiprocessing.connection.Connection) -> None:
    from unetfast import backends
    from unetfast.backends.whole import label_predictor

    backend: Any = None
    while True:
        try:
            name, *arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: Any
            if name == "load":
                path, kind, device, threads = arguments
                begun = time.perf_counter()
                backend = backends.load(path, backend=kind, device=device, threads=threads)
                load_ms = 1e3 * (time.perf_counter() - begun)
                answer = {"description": backend.description, "load_ms": load_ms, "spec": backend.spec}
            elif name == "time":
                answer = _time(backend, *arguments)
            elif name == "predict":
                answer = label_predictor(backend)(*arguments)
            else:
                answer = _peak_mb()
        except UnetfastError as exc:
            pipe.send((False, str(exc)))
        except Exception as exc:  # whatever a backend raises is its row's reason
            pipe.send((False, f"{type(exc).__name__}: {exc}"))
        else:
            pipe.send((True, answer))


def _time(backend: Any, images: NDArray[np.uint8], seconds: float) -> list[float]:
    backend.infer(images)
    spent: list[float] = []
    end = time.perf_counter() + seconds
    while len(spent) < _LEAST or time.perf_counter() < end:
        begun = time.perf_counter()
        backend.infer(images)
        spent.append(1e3 * (time.perf_counter() - begun))
    return spent


def _peak_mb() -> float:
    # Not getrusage: its maximum is inherited from the parent across fork and exec.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
