"""The gallery: real and generated fields of every condition, in colour and by channel.

Nothing is hand-picked: it shows the first site of the first held-out wells, and the first samples
of the first seeds, up to the maximum size of the gallery.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from morphpipe.report.evidence import Evidence
from morphpipe.report.figures.composite import stretched
from morphpipe.report.figures.pictures import (
    display_windows,
    generated_choice,
    real_choice,
    to_colour,
)
from morphpipe.report.figures.thumbnails import jpeg, shrunk
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable

# Bytes of all images of the gallery. Mail servers accept about 30 MB; with a dozen experiments,
# figures, tables and pages need up to two thirds of that.
GALLERY_BYTES = 8_000_000
# A single file embeds images as text, which is a third larger.
GALLERY_BYTES_IN_ONE_FILE = 3_000_000
PER_CONDITION = 3
COLOUR = "colour"
_LONGEST_SIDE = 160
_QUALITY = 78


@dataclass(frozen=True)
class Taken:
    """Pictures (JPEG) of one field by channel, or its colour picture, by the key `COLOUR`."""

    condition: tuple[str, str]
    side: str
    field_id: str
    pictures: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of the pictures."""
        return sum(map(len, self.pictures.values()))


@dataclass(frozen=True)
class GalleryCondition:
    """The fields of one condition of one experiment: pictures by channel, by field and side."""

    experiment: str
    cell_type: str
    perturbation: str
    real: dict[str, dict[str, bytes]] = field(default_factory=dict)
    generated: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def channels(self) -> list[str]:
        """Channels with an image."""
        fields = (*self.real.values(), *self.generated.values())
        return list(dict.fromkeys(channel for pictures in fields for channel in pictures))


@dataclass(frozen=True)
class Gallery:
    """Conditions of the gallery, and the number of omitted ones."""

    conditions: list[GalleryCondition]
    left_out: int

    def choices(self, attribute: str) -> list[str]:
        """Values of a filter, in the order of the conditions."""
        return list(dict.fromkeys(getattr(c, attribute) for c in self.conditions))

    @property
    def channels(self) -> list[str]:
        """Values of the channel filter, colour first."""
        found = dict.fromkeys(c for condition in self.conditions for c in condition.channels)
        return [COLOUR, *(name for name in found if name != COLOUR)]


@dataclass(frozen=True)
class GalleryPart:
    """Images of one experiment, in order of priority."""

    experiment: str
    conditions: list[tuple[str, str]]
    taken: list[Taken]


def gallery_conditions(evidence: Evidence) -> list[tuple[str, str]]:
    """Generated conditions by perturbation, alternating between cell types."""
    keys = evidence.generated_keys
    made = set(zip(keys["cell_type"], keys["perturbation"], strict=True))
    pairs = [(c, p) for p in evidence.perturbations for c in evidence.cell_types]
    return [pair for pair in pairs if pair in made]


@dataclass(frozen=True)
class _Step:
    """A field to show in colour or by channel, with its number within the condition."""

    in_colour: bool
    number: int
    condition: tuple[str, str]
    side: str
    table: FieldTable
    row: int

    @property
    def is_first(self) -> bool:
        """Whether this is the first colour image of a condition."""
        return self.in_colour and self.number == 0


def _steps(evidence: Evidence) -> list[_Step]:
    """Colour images of all conditions, then their channels, then further fields."""
    test, made = evidence.test_fields, evidence.generated_keys
    keys = test.keys()
    # Single channels need the same window, so the same channels, on both sides.
    names = evidence.real.manifest.names
    with_channels = all(part.manifest.names == names for part in evidence.generated)
    found = []
    for condition in gallery_conditions(evidence):
        chosen = {
            "real": [(test, row) for row in real_choice(keys, condition, PER_CONDITION)],
            "generated": [
                (evidence.generated[archive], row)
                for archive, row in generated_choice(made, condition, PER_CONDITION)
            ],
        }
        found += [
            _Step(in_colour, number, condition, side, table, row)
            for side, places in chosen.items()
            for number, (table, row) in enumerate(places)
            for in_colour in (True, False)[: 1 + with_channels]
        ]
    return sorted(found, key=lambda step: (step.number, not step.in_colour))


def _pictures(
    step: _Step, reader: FieldReader, evidence: Evidence, windows: dict[str, float]
) -> dict[str, bytes]:
    image, manifest = reader.read(step.row), step.table.manifest
    if step.in_colour:
        made = {COLOUR: to_colour(image, manifest, windows, evidence)}
    else:
        planes = zip(manifest.names, image, strict=True)
        made = {name: stretched(plane, windows[name]) for name, plane in planes}
    return {name: jpeg(shrunk(pixels, _LONGEST_SIDE), _QUALITY) for name, pixels in made.items()}


def fill_gallery(evidence: Evidence, share: int) -> GalleryPart:
    """Collect images of an experiment up to its share of the gallery's size.

    The first colour images get at most half of it.

    Parameters
    ----------
    evidence
        Of the experiment.
    share
        Bytes.
    """
    windows = display_windows(evidence)
    taken: list[Taken] = []
    seen: set[tuple[str, str]] = set()
    used = 0
    first_full = False
    with ExitStack() as stack:
        opened: dict[int, tuple[FieldReader, list[str]]] = {}
        for step in _steps(evidence):
            if first_full if step.is_first else step.condition not in seen:
                continue
            if id(step.table) not in opened:
                reader = stack.enter_context(FieldReader(step.table))
                opened[id(step.table)] = reader, step.table.field_ids
            reader, field_ids = opened[id(step.table)]
            made = _pictures(step, reader, evidence, windows)
            picture = Taken(step.condition, step.side, field_ids[step.row], made)
            if used + picture.size > (share // 2 if step.is_first else share):
                # Stop here: later images must not be selected by their size.
                if not step.is_first:
                    break
                first_full = True
                continue
            taken.append(picture)
            seen.add(step.condition)
            used += picture.size
    return GalleryPart(evidence.name, gallery_conditions(evidence), taken)


def gallery(parts: Sequence[GalleryPart], most: int) -> Gallery:
    """Make the gallery, with an equal share for each experiment.

    Parameters
    ----------
    parts
        Of every experiment.
    most
        Bytes of all pictures.
    """
    shown: list[GalleryCondition] = []
    left_out = 0
    for part in parts:
        by = {c: GalleryCondition(part.experiment, *c) for c in part.conditions}
        used = 0
        for taken in part.taken:
            used += taken.size
            if used > most // len(parts):
                break
            side = getattr(by[taken.condition], taken.side)
            side.setdefault(taken.field_id, {}).update(taken.pictures)
        filled = [condition for condition in by.values() if condition.real or condition.generated]
        shown += filled
        left_out += len(by) - len(filled)
    return Gallery(shown, left_out)
