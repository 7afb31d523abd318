"""Whatever image-and-mask data a person has, as samples with class ids.

listing.py     the files of a folder or of a .zip read in place
layouts/       who belongs to whom: one file and one registry line each
collection.py  open_dataset: a listing, a layout, an encoding -> DataSet
masks.py       what mask files store: rasters, .mat, polygons
survey.py      every mask looked at once: which values, how many, where; threads.py
decide.py      values -> LabelEncoding, or an error that names the flag which settles it
labels.py      LabelEncoding, read_pair
dataset.py     what a training loop draws its batches from; augment.py
doctor.py      what is wrong with a data set, before time is spent on it
"""

from __future__ import annotations

from unetfast.data.collection import DataSet, open_dataset

__all__ = ["DataSet", "open_dataset"]
