"""Whatever image-and-mask data a person has, as samples with class ids.

listing.py     the files of a folder or of a .zip read in place
layouts/       who belongs to whom: one file and one registry line each; legend.py names the classes
collection.py  open_dataset: a listing, a layout, an encoding -> DataSet; validation.py draws its split,
               groups.py says which patients, films and volumes it must not tear
masks.py       what mask files store: rasters, .mat; polygons.py: outlines, and how they are drawn
survey.py      every mask looked at once: which values, how many, where; threads.py
levels.py      which of the values are meant; objects.py tells numbers of objects
decide.py      values -> LabelEncoding, or an error (refusals.py) that names the flag which settles it
               user_values.py: what the user said; known_encoding.py: a model's; layers.py: a mask per class
encoding.py    LabelEncoding: mask values -> class ids
labels.py      read_pair: a sample -> image and class ids
dataset.py     what a training loop draws its batches from; augment.py
doctor.py      what is wrong with a data set; looks.py and lookalikes.py look at its images
class_shares.py  how much of it each class takes
"""

from __future__ import annotations

from unetfast.data.collection import DataSet, open_dataset

__all__ = ["DataSet", "open_dataset"]
