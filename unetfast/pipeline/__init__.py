"""A folder of photos through the model and the inpainting, nothing lost.

settings.py      what can be chosen
sources.py       which files, in which order, under which names
journal.py       what has been done: results.jsonl, append-only
earlier.py       what earlier runs left of a photo: out of date, or another photo's
stages.py        what happens to one photo: load, segment, clean, store
output.py        where results go: temporary names, one writer, dead runs cleaned up
local.py         the stages in threads, overlapping
banded.py        TIFF files larger than memory or of several pages, band by band
banded_page.py   one of their pages: the labels, mask and cleaned pixels of some rows
page_layer.py    a byte for each pixel of one of them, packed
page_results.py  their results, written page by page
remote.py        photos and results at URLs
ray_.py          the same stages on a Ray cluster
run.py           all of it together
plan.py          what it would do
"""

from __future__ import annotations
