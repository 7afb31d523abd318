"""``python -m unetfast``."""

from __future__ import annotations

from unetfast.cli.main import main

main()
