"""Measurements side by side: artifacts and backends, the stages of a run, the inpainting kernel."""
