"""One image and several masks of it side by side: ``<id>_RAW.jpg``, ``<id>_CRACK.png``, ``<id>_LANE.png``.

Or, in a folder an image, files of fixed names: ``0001/image.jpg``, ``0001/label.png``. ``--mask``
says which mask to take.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.paths import split_in
from unetfast.data.layouts.words import folder_parts, rank, read_together, role_of, strip_word, tokens
from unetfast.data.listing import Listing, file_of
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find", "kinds"]

Groups = dict[tuple[str, str], dict[str, str]]  # (folder, common start) -> kind -> name


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with one of their masks; see :mod:`~unetfast.data.layouts`."""
    if (grouped := _grouped(listing)) is None:
        return None
    groups, image_kind, usual = grouped
    wanted = _wanted(listing, mask, usual)
    if not wanted:
        return None
    samples, bare, lone = [], [], []
    for (folder, start), group in groups.items():
        masks = [group[kind] for kind in wanted if kind in group]
        if image_kind not in group:
            lone += masks
        elif not masks:
            bare.append(group[image_kind])
        else:
            id_ = start or folder.replace("/", "-")
            refs = tuple(map(listing.ref, masks))
            samples.append(Sample(id_, listing.ref(group[image_kind]), refs, split_in(folder)))
    if len({sample.id for sample in samples}) < len(samples):
        return None
    others = sorted(set(usual) - set(wanted))
    notes = [
        f"masks are {', '.join(wanted)}" + (f"; also there: {', '.join(others)} (--mask)" if others else "")
    ]
    telling = len(wanted) == 1 and role_of(tokens(wanted[0])) is None
    return Found(samples, bare, lone, notes, {"name": wanted[0].lower()} if telling else {})


def kinds(listing: Listing) -> list[str]:
    """Return how the names of masks beside an image end, such as CRACK and LANE, where they lie so."""
    grouped = _grouped(listing)
    return grouped[2] if grouped else []


def _grouped(listing: Listing) -> tuple[Groups, str, list[str]] | None:
    """Return groups of an image and its masks, the kind that is the image, and those of masks."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    parts = read_together({part for name in listing.images for part in name.split("/")[:-1]})
    in_masks = [any(parts[p].role == "mask" for p in name.split("/")[:-1]) for name in listing.images]
    if any(in_masks) and not all(in_masks):
        return None  # folders tell images from masks: "wall_a" and "wall_b" are images of their own
    for name in listing.images:
        folder, _, file = name.rpartition("/")
        folders[folder][file.rpartition(".")[0]] = name
    groups = _fixed_names(folders) or _common_starts(folders)
    kinds = Counter(kind for group in groups.values() for kind in group)
    image_kind = _image_kind(groups, kinds)
    if image_kind is None:
        return None
    # In every image's group, or it is not one of the data set's masks.
    usual = [kind for kind, count in kinds.items() if kind != image_kind and 2 * count >= len(groups)]
    return groups, image_kind, usual


def _fixed_names(folders: dict[str, dict[str, str]]) -> Groups:
    """Return a group a folder where the same file names come back in most of them."""
    small = {
        folder: files
        for folder, files in folders.items()
        if 2 <= len(files) <= 16 and folder_parts(file_of(folder)).split is None
    }
    if len(small) < 2 or 2 * len(small) < len(folders):
        return {}
    counts = Counter(stem for files in small.values() for stem in files if not any(map(str.isdigit, stem)))
    fixed = {stem for stem, count in counts.items() if 2 * count > len(small)}
    if len(fixed) < 2 or not any(role_of(tokens(stem)) == "image" for stem in fixed):
        return {}
    return {(folder, ""): {s: n for s, n in files.items() if s in fixed} for folder, files in small.items()}


def _common_starts(folders: dict[str, dict[str, str]]) -> Groups:
    """Return groups of three and more files that differ in their last word only."""
    groups: Groups = defaultdict(dict)
    for folder, files in folders.items():
        for stem, name in files.items():
            cut = max(stem.rfind(separator) for separator in "_-. ")
            if cut > 0 and stem[cut + 1 :].isalpha():
                groups[folder, stem[:cut]][stem[cut + 1 :]] = name
        for stem, name in files.items():
            # Of x_label and x_label_colour, the first is no image: Segments.ai has x beside them.
            if (folder, stem) in groups and strip_word(stem, "mask") is None:
                groups[folder, stem][""] = name
    total = sum(map(len, folders.values()))
    large = {key: group for key, group in groups.items() if len(group) >= 3}
    return large if len(large) > 1 and 2 * sum(map(len, large.values())) > total else {}


def _image_kind(groups: Groups, kinds: Counter[str]) -> str | None:
    usual = [kind for kind, count in kinds.items() if 2 * count >= len(groups)]
    by_word = [kind for kind in usual if kind == "" or role_of(tokens(kind)) == "image"]
    if len(by_word) == 1:
        return by_word[0]
    jpeg = [
        kind
        for kind in usual
        if all(group[kind].lower().endswith((".jpg", ".jpeg")) for group in groups.values() if kind in group)
    ]
    return jpeg[0] if len(jpeg) == 1 else None


def _wanted(listing: Listing, mask: str | None, usual: list[str]) -> list[str]:
    if mask is not None:
        known = {kind.lower(): kind for kind in usual}
        asked = [word.strip().lower().lstrip("_-. ") for word in mask.split(",")]
        return [known[word] for word in asked] if all(word in known for word in asked) else []
    if len(usual) <= 1:
        return usual
    worded = sorted((kind for kind in usual if role_of(tokens(kind)) == "mask"), key=rank)
    if worded and (len(worded) == 1 or round(rank(worded[0]), 1) < round(rank(worded[1]), 1)):
        return worded[:1]
    raise DatasetError(
        f"{listing.root}: each image has {len(usual)} masks: {', '.join(sorted(usual))}; say which with "
        f"--mask, such as --mask {sorted(usual)[0]}; --mask {','.join(sorted(usual)[:2])} merges two, "
        "--layout classes takes each as a class"
    )
