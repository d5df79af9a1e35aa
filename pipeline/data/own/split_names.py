"""Names that people give to splits, in any case: those that Hugging Face's imagefolder knows."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"
NAMES = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation", "dev"),
    TEST: ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}


def split_of(name: str) -> str | None:
    """The split that a name stands for; None if it is no such name."""
    return _SPLIT_OF.get(name.casefold())


def is_division(splits: set[str]) -> bool:
    """Whether these are splits enough: train, and test or validation beside it."""
    return TRAIN in splits and len(splits) > 1
