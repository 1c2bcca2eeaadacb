"""What the papers' labels are in a run, and how both are shown."""

from collections.abc import Mapping, Sequence

from morphpipe.config.papers import PaperNames

# The papers' names of RxRx1's stains; "Cyto" is read as w6, "Nucleolus" as w4.
STAINS: Mapping[str, str] = {
    "Nucleus": "DNA", "Nuclei": "DNA", "ER": "ER", "Actin": "actin", "Cyto": "Golgi",
    "Golgi": "Golgi", "Nucleolus": "RNA", "Nucleoli": "RNA", "Mito": "mito",
    "Mitochondria": "mito",
}  # fmt: skip
CELL_TYPES = ("HEPG2", "HUVEC", "RPE", "U2OS")
CONTROL = "1138"
FREQUENT: Sequence[str] = ("1108", "1124", "1137", CONTROL)
FREQUENT_10: Sequence[str] = (
    "1108", "1109", "1110", "1111", "1112", "1113", "1114", "1115", "1119", CONTROL,
)  # fmt: skip
LOW_SAMPLE: Sequence[str] = ("789", "862", "83", "531", "1048")


def channel(names: PaperNames, label: str) -> str:
    """The run's channel of a paper's."""
    return names.channels.get(label, STAINS[label])


def stand_ins(names: PaperNames) -> list[str]:
    """Sentences on what stands for what; empty where all names are the paper's own."""
    told = []
    for what, mapping in (("cell types", names.cell_types), ("perturbations", names.perturbations)):
        other = {k: v for k, v in mapping.items() if k != v}
        if other:
            pairs = ", ".join(f"{here} for {there}" for there, here in other.items())
            told.append(f"Stand-ins for the paper's {what}: {pairs}.")
    return told


def no_stand_in(kind: str, label: str) -> str:
    """Why there is no number for a label of the paper."""
    return f"this run has nothing that stands for the {kind} {label}"
