"""Match names of a dataset with differently spelled names in other tables."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

LIMIT = 20


class NameIndex:
    """Positions of names in a list, by exact match or else by normal form.

    Names that share a normal form are only found by exact match.

    Parameters
    ----------
    names
        Unique names.
    normalise
        Normal form of a name, e.g. `normalise_compound`, or `str.casefold` for genes: MorphoDiff's
        table for Rohban's screen has "rac1".
    """

    def __init__(self, names: Sequence[str], normalise: Callable[[str], str]) -> None:
        self._normalise = normalise
        self._written = {name: place for place, name in enumerate(names)}
        forms = [normalise(name) for name in names]
        counts = Counter(forms)
        self._formed = {form: i for i, form in enumerate(forms) if counts[form] == 1}

    def find(self, name: str) -> int | None:
        """Return the position of a name in the list, or None."""
        if name in self._written:
            return self._written[name]
        return self._formed.get(self._normalise(name))


def normalise_compound(name: str) -> str:
    """Normalise a compound's name as in MorphoDiff's released lists.

    Lower case, without apostrophes and commas; runs of blanks, slashes and parentheses become one
    hyphen, also at the end: "Cdk1/2 inhibitor (NU6102)" is "cdk1-2-inhibitor-nu6102-",
    "3,3'-diaminobenzidine" is "33-diaminobenzidine".
    """
    return re.sub(r"[ /()]+", "-", re.sub(r"[',]", "", name.strip().lower()))


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar known name, or None."""
    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def listed(texts: Sequence[str]) -> str:
    """List the first of many texts, for a message."""
    return ", ".join(texts[:LIMIT]) + (", ..." if len(texts) > LIMIT else "")
