"""The list of all tables and figures of both papers, by the names that they can be asked for by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PaperName = Literal["morphgen", "morphodiff"]
# Metric tables by name, and what else an item can be made from: see `morphpipe.plan.paper_files`.
IMAGES, FEATURES, COMPARISON, RANKING = "images", "features", "comparison", "ranking"
CROPS, MORPHOLOGY, CODEC = "crop-distances", "morphology", "codec"


@dataclass(frozen=True)
class Need:
    """Files that an item is made from.

    Attributes
    ----------
    role
        Of an experiment of MorphGen's or of a comparison of MorphoDiff's
        (`morphpipe.config.papers`).
    what
        Name of a metric table, or `images`, `features`, `crop-distances`, `morphology`,
        `codec`, `comparison`, `ranking`, `settings` (the configuration alone).
    paper
        Whose role.
    """

    role: str
    what: str
    paper: PaperName = "morphgen"


@dataclass(frozen=True)
class Item:
    """A table or figure of a paper.

    Attributes
    ----------
    paper, kind, number
        Its place; the number is text, as some have names.
    title, caption, section
        What it shows, in our words, and where it stands.
    needs
        What it is made from; the first role is the one that it is about.
    numbers
        Which of `morphpipe.config.papers.PaperEncoders` its numbers come from; `cellprofiler`,
        `codec` and `configuration` are others.
    trained
        Whether it depends on a generator, and not on real images alone.
    """

    paper: PaperName
    kind: Literal["table", "figure"]
    number: str
    title: str
    caption: str
    section: str
    needs: tuple[Need, ...]
    numbers: str
    trained: bool = True

    @property
    def name(self) -> str:
        """The target's name: `morphgen_table4`."""
        word = "" if self.number == "instrument" else self.kind
        return f"{self.paper}_{word}{self.number}"

    @property
    def main_role(self) -> str:
        """The role that it is about."""
        return self.needs[0].role


def _table(number: int | str, title: str, section: str, caption: str, needs: tuple[Need, ...],
           numbers: str, trained: bool = True) -> Item:  # fmt: skip
    return Item("morphgen", "table", str(number), title, caption, section, needs, numbers, trained)


def _figure(number: int, title: str, section: str, caption: str, needs: tuple[Need, ...],
            numbers: str) -> Item:  # fmt: skip
    return Item("morphgen", "figure", str(number), title, caption, section, needs, numbers)


def _of(what: str, *roles: str) -> tuple[Need, ...]:
    return tuple(Need(role, what) for role in roles or ("model",))


def _compared(what: str, *roles: str) -> tuple[Need, ...]:
    return tuple(Need(role, what, "morphodiff") for role in roles)


_SIX = ("rxrx1_all", "rxrx1_single", "bbbc021_all", "bbbc021_14", "rohban_5", "rohban_12")
_FREQUENT = "the four most frequent perturbations"

_MORPHGEN_TABLES = (
    _table(1, "Distance to real images, by perturbation", "4.2",
           "FID and KID between generated and real images of one perturbation, averaged over "
           "perturbations: RxRx1 in HUVEC, and two sets of genes of Rohban et al.",
           (*_of("distances", "model", "rohban_5", "rohban_12"),
            *_compared(COMPARISON, "rxrx1_all", "rohban_5", "rohban_12"),
            *_of("memorisation")), "distances"),
    _table(2, "Distance channel by channel", "4.3",
           "FID, KID and FID as a multiple of the real-vs-real floor, averaged over perturbations "
           "in all cell types: of the RGB rendering and of every channel.",
           (*_of("distances"), *_compared(COMPARISON, "rxrx1_all")), "distances"),
    _table(3, "Distance by cell type", "4.3",
           "Images of a cell type, of its perturbations as often as they occur, without "
           "conditioning on one of them.", _of("distances", "cell_types"), "distances"),
    _table(4, "Treatment effects, real and generated", "4.4",
           "CATE: squared distance between the mean features of the control and of a "
           "perturbation, in HUVEC.", _of("effects"), "biology"),
    _table(5, "Reconstruction by the codec", "C",
           "Mean squared error of decoding what was encoded: the RGB rendering, each channel by "
           "itself, and channels that are rendered as RGB afterwards.",
           _of("reconstruction"), "codec", False),
    _table(6, "With and without the alignment loss", "C",
           "FID and KID in HUVEC, averaged over perturbations, of two trainings that differ in "
           "the alignment loss alone.", _of("distances", "model", "unaligned"), "distances"),
    _table(7, "Variance of features", "D",
           f"Variance of the features within a condition, averaged over features, in HUVEC for "
           f"{_FREQUENT}.", _of("variance"), "biology"),
    _table(8, "Relative FID of single-cell crops", "E.1",
           "Crops of 96x96 pixels around nuclei, U2OS: FID as a multiple of its floor, beside "
           "CellFlux as published.", _of(CROPS, "crops"), "distances"),
    _table(9, "Crops against images prepared as IMPA's", "E.2",
           "As table 8, against crops with IMPA's channels and illumination.",
           _of(CROPS, "impa_crops"), "distances"),
    _table(10, "Sixteen images a perturbation", "F",
           "FID of perturbations with 16 images on each side.", _of("distances"), "distances"),
    _table(11, "Linear probes: cell type and perturbation", "G.1",
           f"Logistic regression on features, {_FREQUENT}: trained and tested on real and on "
           "generated images.", _of("probes"), "biology"),
    _table(12, "Linear classification of CellProfiler features", "G.2",
           f"Accuracy and macro-F1 in HUVEC, {_FREQUENT}.", _of(MORPHOLOGY), "cellprofiler"),
    _table(13, "Synthetic images as augmentation", "H.1",
           "Accuracy of a linear probe by perturbation, ten perturbations; training images real, "
           "generated, or both.", _of("probes"), "biology"),
    _table(14, "Synthetic images as augmentation, an independent encoder", "H.2",
           "As table 13, on features of a network that had no part in training.",
           _of("probes"), "independent"),
    _table(15, "Real images of two perturbations", "I",
           "FID and KID between real images in HUVEC of one perturbation and of another, at the "
           "same number of images; of one and itself between disjoint halves.",
           _of("cross_perturbation"), "distances", False),
    _table(16, "Distance channel by channel, with intervals", "J",
           "The numbers of table 2 with 95 % intervals over seeds.", _of("distances"),
           "distances"),
    _table(17, "Distance by cell type, with intervals", "K",
           "The numbers of table 3 with 95 % intervals over seeds.",
           _of("distances", "cell_types"), "distances"),
    _table(18, "Treatment effects by cell type", "L", "As table 4, in every cell type.",
           _of("effects"), "biology"),
    _table(19, "Treatment effects by organelle", "M",
           "As table 4, on the features of each channel.", _of("effects"), "biology"),
    _table("instrument", "Virtual instrument: a pair held out of training", "4.5, I",
           "Perturbation 1137 in HUVEC, by the full model and by one that was trained without "
           "this pair: distance to the same real images, and effect.",
           (*_of("distances", "held_out", "model"), *_of("effects", "held_out", "model")),
           "distances"),
)  # fmt: skip

_MORPHGEN_FIGURES = (
    _figure(1, "Real and generated images", "1",
            "Pairs of cell type and perturbation: a real image above, a generated one below.",
            _of(IMAGES), "images"),
    _figure(2, "Channel by channel", "4.3",
            "A control in HEPG2: each channel of a real and of a generated image.",
            _of(IMAGES), "images"),
    _figure(3, "CellProfiler features, principal components", "4.4",
            f"HUVEC, {_FREQUENT}: real and generated images.", _of(MORPHOLOGY), "cellprofiler"),
    _figure(4, "Correlations of CellProfiler features", "4.4",
            "HUVEC: the ten features that principal components rest on most, in real and in "
            "generated images.", _of(MORPHOLOGY), "cellprofiler"),
    _figure(5, "Features, principal components", "4.4",
            f"Left HUVEC under {_FREQUENT}, right 1108 in all cell types.", _of(FEATURES),
            "biology"),
    _figure(6, "Features by origin and by cell type", "L",
            f"A row for each of {_FREQUENT}: coloured by origin, and by cell type.",
            _of(FEATURES), "biology"),
    *(
        _figure(7 + place, f"Perturbation effects in {cell_type}", "L.1",
                f"{cell_type}: {_FREQUENT} together, and each beside the control.",
                _of(FEATURES), "biology")
        for place, cell_type in enumerate(("HEPG2", "HUVEC", "RPE", "U2OS"))
    ),
    _figure(11, "Perturbation effects on nuclei", "M",
            f"HUVEC, features of the nuclear channel: {_FREQUENT} together, and each beside the "
            "control.", _of(FEATURES), "biology"),
    _figure(12, "CellProfiler features by perturbation", "N",
            "HUVEC: real and generated images of each perturbation.", _of(MORPHOLOGY),
            "cellprofiler"),
    *(
        _figure(13 + place, f"Generated images of {perturbation}", "O",
                f"Perturbation {perturbation}: a row for each cell type, four samples each.",
                _of(IMAGES), "images")
        for place, perturbation in enumerate(("1108", "1124", "1137", "1138"))
    ),
)  # fmt: skip

_MORPHODIFF = (
    Item("morphodiff", "table", "1", "Distance to real images, by experiment",
         "FID and KID between generated and real images of one perturbation, averaged over "
         "perturbations: the model beside Stable Diffusion with one prompt for all.",
         "3.3.1", _compared(COMPARISON, *_SIX), "distances"),
    Item("morphodiff", "table", "2", "Single-cell crops of five compounds",
         "FID and KID of crops of 96x96 pixels, BBBC021; IMPA as published.", "3.3.1",
         _compared(CROPS, "bbbc021_14"), "distances"),
    Item("morphodiff", "table", "4", "Experiment details",
         "How each experiment was set up in this run.", "A.3",
         _compared("settings", *_SIX), "configuration"),
    Item("morphodiff", "table", "5", "Rank of the own cohort",
         "Among the real images of all perturbations, the rank of those that images were "
         "generated for.", "3.3.1, A", _compared(RANKING, *_SIX), "distances"),
    Item("morphodiff", "figure", "2", "Compounds of six mechanisms",
         "BBBC021: real images, the model's, and the baseline's, one compound a mechanism.",
         "3.3.2", _compared(IMAGES, "bbbc021_14"), "images"),
    Item("morphodiff", "figure", "5", "What the codec keeps",
         "Real images before and after encoding and decoding.", "2.1, A",
         (*_compared(IMAGES, "bbbc021_14"), *_compared(CODEC, "bbbc021_14")), "images", False),
    Item("morphodiff", "figure", "6", "Cytochalasin B in whole fields",
         "BBBC021, cytochalasin B: real images, the model's, and the baseline's.", "3.3.1, A",
         _compared(IMAGES, "bbbc021_14"), "images"),
)  # fmt: skip

ITEMS: Mapping[str, Item] = {
    item.name: item for item in (*_MORPHGEN_TABLES, *_MORPHGEN_FIGURES, *_MORPHODIFF)
}
"""By name, in the order of the papers."""

NO_PUBLISHED: Mapping[str, str] = {
    "morphodiff_table4": "The text of MorphoDiff that the published values were taken from ends in "
    "section 3.3.2; its appendix, and table 4 with it, is not there.",
    "morphodiff_table5": "The text of MorphoDiff that the published values were taken from ends in "
    "section 3.3.2; its appendix, and table 5 with it, is not there.",
}
"""Tables without published values, and why."""
