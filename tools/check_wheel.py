"""Fail unless a wheel holds what a user needs: the extension, the types and the bundled model."""

from __future__ import annotations

import sys
import zipfile
from fnmatch import fnmatch

NEEDED = [
    "unetfast/_native.*",
    "unetfast/_native.pyi",
    "unetfast/py.typed",
    "unetfast/assets/crack.onnx",
    "unetfast/assets/crack.md",
    "unetfast/assets/photos/*.jpg",
    "unetfast-*.dist-info/licenses/LICENSE",
]
BUNDLED_LIMIT_BYTES = 1_500_000


def main(path: str) -> int:
    """Return 0 when the wheel at `path` is complete, 1 otherwise."""
    with zipfile.ZipFile(path) as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    missing = [
        pattern
        for pattern in NEEDED
        if not any(
            fnmatch(name, pattern) and not (name.endswith(".pyi") and pattern.endswith(".*"))
            for name in sizes
        )
    ]
    for pattern in missing:
        print(f"{path}: lacks {pattern}", file=sys.stderr)
    model = sizes.get("unetfast/assets/crack.onnx", 0)
    if model > BUNDLED_LIMIT_BYTES:
        print(f"{path}: the bundled model takes {model} bytes of {BUNDLED_LIMIT_BYTES}", file=sys.stderr)
        return 1
    print(f"{path}: {len(sizes)} files, bundled model {model / 1e6:.2f} MB")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
