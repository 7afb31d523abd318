"""Exports: build an artifact, reload it, and certify that it computes what the checkpoint computes."""
