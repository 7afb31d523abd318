"""The words by which people name folders and files of images and masks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "FEWEST_GROUPS",
    "NameParts",
    "folder_parts",
    "is_secondary",
    "names_group",
    "other_words",
    "rank",
    "read_together",
    "role_of",
    "shorter_stems",
    "split_of",
    "strip_word",
    "tokens",
    "without_inner_words",
]

# Mask words in order of preference, where an image has several masks and nobody said which.
_MASK_RANKS = (
    # DRIVE has 1st_manual beside what the camera saw, CHASE_DB1 1stHO, STARE its two observers' initials
    "manual manuals ho ah vk",
    "mask masks msk msks matte mattes maske masken masque masques mascara mascaras",
    "groundtruth groundtruths gt gts truth target targets lesion",
    "label labels lbl lbls lab labs labelled labeled",
    "annotation annotations annot annots anno annos ann annotated trimap trimaps",
    "segmentation segmentations segmented seg segs segm semantic semantics bw binary fuse",
)
_RANK = {word: i for i, words in enumerate(_MASK_RANKS) for word in words.split()}
_IMAGE_NAMES = (
    "image images img imgs input inputs raw raws photo photos picture pictures pic pics rgb original "
    "originals orig source src scan scans frame frames sat satellite cxr dermoscopic bild bilder imagenes "
    "imagens"
)
# A set so named is a picture of the masks, or something else than classes.
_SECONDARY_NAMES = (
    "color colour colors colours colored coloured vis viz visual visibility visualization visualisation "
    "visualized visualised overlay overlays preview instance instances object objects polygon polygons "
    "boundary boundaries edge "
    "edges contour contours derived depth superpixels superpixel heatmap skeleton human rgb colormap "
    "colormaps cutout pseudo blend"
)
_FILLER_NAMES = "data set dataset crop crops part split all fold volume volumes stack stacks"
_FILLERS = frozenset(_FILLER_NAMES.split())
_IMAGE_WORDS, _SECONDARY = frozenset(_IMAGE_NAMES.split()), frozenset(_SECONDARY_NAMES.split())
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_SHORT_SPLITS = {"tr": "train", "ts": "test"}
# Heads of columns that say whom an image shows, who has most images first; "group" may be an arm.
# Others say it only as numbers: "animal" may be a species, "sequence" one of MRI, "lesion" a flag.
_WHOM = (
    "patient subject participant proband donor case specimen biopsy wsi slide volume video film movie clip"
)
_WHOM_BY_NUMBER = "person individual animal mouse rat lesion study exam series stack vol sequence seq"
_GROUPS = f"{_WHOM} {_WHOM_BY_NUMBER} group".split()
_GROUP = re.compile(
    rf"(?P<whom>{_WHOM.replace(' ', '|')}|group)(?:s|name)?|"
    rf"(?P<numbered>{'|'.join(_GROUPS)})(?:ids?|no|nr|num|number|key|code|(?:instance)?uid)"
)
FEWEST_GROUPS = 3  # to draw validation images by: then the smallest has at most a third of the images
_LETTERS = {"x": "image", "y": "mask"}  # as code names them; said only where both are there
# A folder with one of these names the whole data set, not its masks: "crack_segmentation_dataset".
_WHOLE = frozenset(["dataset", "datasets", "project", "database"])


@dataclass(frozen=True)
class NameParts:
    """What a folder's name says.

    Attributes
    ----------
    split : {"train", "val", "test"} or None
    role : {"image", "mask"} or None
    rest : str or None
        The name itself where it says neither, and so tells samples apart; or what it says besides.
    """

    split: str | None
    role: str | None
    rest: str | None


def tokens(text: str) -> list[str]:
    """Split a name into lower-case words: ``"ISIC_Training_GroundTruth"``, ``"trainannot"``, ``"img12"``."""
    text = re.sub(r"(?i)ground[\s_.-]*truth", " Groundtruth ", text).replace("leftImg8bit", " Img ")
    text = re.sub(r"([123])(?:st|nd|rd)(?![a-z])", r"\1 ", text)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+", text)
    found: list[str] = []
    for word in (word.lower() for word in words):
        glued = re.match(r"(training|train|validation|valid|val|testing|test)([a-z]+)$", word)
        if glued and split_of(word) is None and (_known(glued[2]) or glued[2] in _LETTERS):
            found += [glued[1], glued[2]]
        else:
            found.append(word)
    return found


def split_of(word: str) -> str | None:
    """Return "train", "val" or "test" for any usual word, else None."""
    return _SPLITS.get(word.lower())


def _known(word: str) -> bool:
    return word in _RANK or word in _IMAGE_WORDS or word in _FILLERS


def role_of(words: list[str]) -> str | None:
    """Return "mask", "image" or None; "mask images" are masks."""
    if _WHOLE.intersection(words):
        return None
    if any(word in _RANK for word in words):
        return "mask"
    return "image" if _IMAGE_WORDS.intersection(words) else None


def folder_parts(name: str) -> NameParts:
    """Read a folder's name."""
    words = tokens(re.sub(r"^\s*\w[.)]\s+", "", name))  # "a. Training Set"
    role = role_of(words)
    splits = {split for word in words if (split := split_of(word))}
    split = splits.pop() if len(splits) == 1 else None  # LIP's TrainVal_images holds both
    if role and split is None:  # nnU-Net's imagesTr and labelsTs
        split = next((_SHORT_SPLITS[word] for word in words if word in _SHORT_SPLITS), None)
    if (
        role is None
        and split
        and any(split_of(word) is None and word not in _FILLERS and not word.isdigit() for word in words)
    ):
        split = None  # "train station" is a place
    return NameParts(split, role, None if role or split else name.casefold())


def read_together(names: Iterable[str]) -> dict[str, NameParts]:
    """Read the names of folders that lie in one data set: some say something only beside others.

    ``X_train`` is a folder of images where there is ``y_train``, and ``uavid_train`` is a split where there
    is ``uavid_val``. What else they say tells samples apart where it differs: ``north_train`` and
    ``south_train``.
    """
    parts = {name: folder_parts(name) for name in names}
    words = {
        name: _lettered(tokens(name))
        for name, says in parts.items()
        if says.role is None and says.split is None
    }
    # Where others are called images and masks, x and y are places.
    told = {"image", "mask"} <= {says.role for says in parts.values()}
    letters = {} if told else {name: said for name, said in words.items() if _says_letter(said)}
    splits = {name: said for name, said in words.items() if name not in letters}
    return parts | _by_letters(letters) | _by_splits(splits) | _glued(parts)


def _glued(parts: dict[str, NameParts]) -> dict[str, NameParts]:
    """Read ``defaultannot`` beside ``default``, as CVAT exports CamVid: what the other says, and masks."""
    by_name = {name.casefold(): says for name, says in parts.items() if says.role is None}
    found = {}
    for name in by_name:
        for cut in range(1, len(name)):
            if name[cut:] in _RANK and name[:cut] in by_name:
                found[name] = replace(by_name[name[:cut]], role="mask")
    return {name: found[name.casefold()] for name in parts if name.casefold() in found}


def _says_letter(words: list[str]) -> bool:
    others = [word for word in words if word not in _LETTERS and not split_of(word)]
    return len(_LETTERS.keys() & words) == 1 and all(word in _FILLERS or word.isdigit() for word in others)


def _by_letters(words: dict[str, list[str]]) -> dict[str, NameParts]:
    pairs: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name, said in words.items():
        letter = next(word for word in said if word in _LETTERS)
        pairs[tuple("*" if word == letter else word for word in said)][letter] = name
    return _told_apart(
        {
            name: NameParts(
                next((split for word in words[name] if (split := split_of(word))), None),
                _LETTERS[letter],
                " ".join(word for word in words[name] if word != letter and not split_of(word)),
            )
            for pair in pairs.values()
            if len(pair) == len(_LETTERS)
            for letter, name in pair.items()
        }
    )


def _by_splits(words: dict[str, list[str]]) -> dict[str, NameParts]:
    together: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name, said in words.items():
        splits = [split for word in said if (split := split_of(word))]
        if len(splits) == 1 and len(said) > 1:
            together[tuple("*" if split_of(word) else word for word in said)][splits[0]] = name
    return _told_apart(
        {
            name: NameParts(split, None, " ".join(word for word in key if word != "*"))
            for key, beside in together.items()
            if "train" in beside and len(beside) > 1
            for split, name in beside.items()
        }
    )


def _told_apart(parts: dict[str, NameParts]) -> dict[str, NameParts]:
    """Leave out what all names have besides roles and splits."""
    same = len({says.rest for says in parts.values()}) == 1
    return {name: replace(says, rest=None if same else says.rest or None) for name, says in parts.items()}


def _lettered(words: list[str]) -> list[str]:
    """Take ``xtrain`` apart, as :func:`tokens` takes ``trainx``."""
    return [
        part
        for word in words
        for part in ((word[0], word[1:]) if word[0] in _LETTERS and split_of(word[1:]) else (word,))
    ]


def other_words(name: str) -> list[str]:
    """Return the words of a name that speak neither of a role nor of a split."""
    silent = {*_RANK, *_IMAGE_WORDS, *_FILLERS, *_LETTERS}
    return [word for word in _lettered(tokens(name)) if word not in silent and not split_of(word)]


# DRIVE, CHASE_DB1 and STARE are scored against the 1st observer
_ORDINAL = re.compile(r"[23](?:nd|rd)(?![a-z])")


def is_secondary(name: str) -> bool:
    """Whether a name means a picture of the masks (colours, overlays), or something else than classes."""
    return not _SECONDARY.isdisjoint(tokens(name))


def rank(set_name: str) -> float:
    """Return how much a set of masks looks like the one that is meant; the lowest is taken."""
    words = tokens(set_name)
    best = min((_RANK[word] for word in words if word in _RANK), default=len(_MASK_RANKS))
    second = "vk" in words or ({"2", "3"}.intersection(words) and _ORDINAL.search(set_name))
    later = 0.2 if second else 0.0
    return best + 0.001 * len(words) + later + (10 if _SECONDARY.intersection(words) else 0)


_AFFIXES = {"mask": frozenset(_RANK), "image": _IMAGE_WORDS | {"training", "test"}}


_HOLDS = {role: re.compile("|".join([*words, "ground"])) for role, words in _AFFIXES.items()}


def strip_word(stem: str, role: str) -> str | None:
    """Take a role's word off the end or the start of a stem.

    ``"001_mask"``, ``"21_manual1"``, ``"x_mask_2"`` and ``"mask-001"`` give ``"001"``, ``"21"``,
    ``"x"`` and ``"001"``; None where there is no such word.
    """
    if not _HOLDS[role].search(stem.lower()):  # most names hold none, and there may be a million
        return None
    words = _AFFIXES[role]
    pieces = re.split(r"([\s_.-]+)", stem)
    for count in (1, 3):  # the last word, or the one before a last number
        if len(pieces) > count and (count == 1 or pieces[-1].isdigit()):
            inner = tokens(pieces[-count])
            if words.intersection(inner) and all(word in words or word.isdigit() for word in inner):
                return "".join(pieces[: -count - 1])
    first = tokens(pieces[0])
    if len(pieces) > 2 and first and all(word in words for word in first):
        named = pieces[4:] if pieces[2].lower() == "of" else pieces[2:]  # ImageJ's "Mask of x"
        return "".join(named) or None
    glued = re.match(r"([A-Za-z]+)(\d+)$", stem)
    if glued and glued[1].lower() in words:
        return glued[2]
    return None


def shorter_stems(stem: str) -> list[str]:
    """Return the stem without its last word, its last two words and so on."""
    cuts = [match.start() for match in re.finditer(r"[\s_.-]+", stem)]
    return [stem[:cut] for cut in reversed(cuts) if cut]


def without_inner_words(stem: str) -> list[tuple[str, str]]:
    """Return the stem without each word inside it, and that word in lower case: ``um_road_000000``."""
    pieces = re.split(r"([\s_.-]+)", stem)
    return [
        ("".join(pieces[:i] + pieces[i + 2 :]), pieces[i].lower())
        for i in range(2, len(pieces) - 2, 2)
        if pieces[i].isalpha()
    ]


def names_group(heads: Sequence[str]) -> list[int]:
    """Return which columns say whom an image shows (``patient_id``, ``Slide``), the likeliest first."""
    called = {i: _GROUP.fullmatch(re.sub(r"[\s_.-]", "", head.lower())) for i, head in enumerate(heads)}
    ranks = {i: _GROUPS.index(match["whom"] or match["numbered"]) for i, match in called.items() if match}
    return sorted(ranks, key=lambda i: ranks[i])
