"""Finding the names of a dataset in the tables of others, who write them differently."""

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
        The normal form of a name, for instance
        `morphpipe.datasets.bbbc021.normalise_compound`, or `str.casefold` for genes: MorphoDiff's
        table for Rohban's screen writes "rac1".
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


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that resembles another best; none where none does."""
    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def listed(texts: Sequence[str]) -> str:
    """The first of many texts, for a message."""
    return ", ".join(texts[:LIMIT]) + (", ..." if len(texts) > LIMIT else "")
