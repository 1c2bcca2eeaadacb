"""Finding the names of a dataset in the tables of others, who write them differently."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

LIMIT = 20


class NameIndex:
    """Where names stand in a list: as they are written, or else by a normal form.

    Of names that share a normal form, each is found only as it is written.

    Parameters
    ----------
    names
        Unique.
    normalise
        The normal form of a name, for instance `normalise_compound`, or `str.casefold` for genes:
        MorphoDiff's table for Rohban's screen writes "rac1".
    """

    def __init__(self, names: Sequence[str], normalise: Callable[[str], str]) -> None:
        self._normalise = normalise
        self._written = {name: place for place, name in enumerate(names)}
        forms = [normalise(name) for name in names]
        counts = Counter(forms)
        self._formed = {form: i for i, form in enumerate(forms) if counts[form] == 1}

    def find(self, name: str) -> int | None:
        """The place of a name in the list, from 0; none where it is not there."""
        if name in self._written:
            return self._written[name]
        return self._formed.get(self._normalise(name))


def normalise_compound(name: str) -> str:
    """A compound's name as MorphoDiff's released lists write it.

    Lower-case; apostrophes and commas are dropped; every run of blanks, slashes and parentheses
    becomes one hyphen, also at the end: "Cdk1/2 inhibitor (NU6102)" is
    "cdk1-2-inhibitor-nu6102-", "3,3'-diaminobenzidine" is "33-diaminobenzidine".
    """
    return re.sub(r"[ /()]+", "-", re.sub(r"[',]", "", name.strip().lower()))


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that resembles another best; none where none does."""
    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def listed(texts: Sequence[str]) -> str:
    """The first of many texts, for a message."""
    return ", ".join(texts[:LIMIT]) + (", ..." if len(texts) > LIMIT else "")
