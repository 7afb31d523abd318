"""Batches of training images, the same for the same seed however many processes read them."""
