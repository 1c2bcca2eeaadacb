"""MorphGen's tables of effects, variances, reconstruction and probes: 4, 5, 7, 11 to 14, 18, 19."""

from collections.abc import Callable, Sequence

from morphpipe.report.papers.cells import COPY, FLOOR, PaperTable
from morphpipe.report.papers.labels import (
    CELL_TYPES,
    CONTROL,
    FREQUENT,
    FREQUENT_10,
    channel,
    no_stand_in,
)
from morphpipe.report.papers.measured import Estimate, absent
from morphpipe.report.papers.run import PaperRun

MODEL = "MorphGen"
_HUVEC = "HUVEC"
_ORGANELLES = ("Nuclei", "ER", "Actin", "Nucleoli", "Mitochondria", "Golgi")
# Column, metric and comparison of an effect.
_EFFECTS = (
    ("CATE real", "cate", "real"),
    ("CATE generated", "cate", "generated"),
    ("Delta CATE", "delta_cate", "generated-real"),
)
_UNBIASED = (
    ("Unbiased CATE real", "cate_unbiased", "real"),
    ("Unbiased CATE generated", "cate_unbiased", "generated"),
    ("Unbiased difference", "cate_difference", "generated-real"),
)
REGIMES = {
    "Real → Real": "real-real",
    "Generated → Generated": "generated-generated",
    "Generated → Real": "generated-real",
    "Real+Generated → Real": "real+generated-real",
}


def add_effects(
    table: PaperTable, run: PaperRun, lines: Sequence[tuple[str, str, str]], view: str | None
) -> None:
    """Add effects with the floor: control against control.

    Parameters
    ----------
    table, run
        Where to, and what of.
    lines
        Row, and the paper's labels of cell type and perturbation.
    view
        Of the encoder; None takes whole images.
    """
    facts, names = run.experiment("model"), run.papers.morphgen.names
    if facts is None:
        return
    encoder = run.encoder(facts, "biology")
    metrics = run.metrics(facts)
    view = view or facts.encoders[encoder]["view"]
    of = {"extractor": encoder, "view": view}
    for row, cell_label, label in lines:
        cell_type, perturbation = names.cell_type(cell_label), names.perturbation(label)
        if cell_type is None or perturbation is None:
            missing = ("cell type", cell_label) if cell_type is None else ("perturbation", label)
            for column, _, _ in _EFFECTS:
                table.add(row, column, MODEL, absent(no_stand_in(*missing)))
            continue
        for column, metric, comparison in (*_EFFECTS, *_UNBIASED):
            estimate = metrics.number(
                "effects", metric=metric, comparison=comparison, cell_type=cell_type,
                perturbation=perturbation, **of,
            )  # fmt: skip
            table.add(row, column, MODEL, estimate, role="model", encoder=encoder)
        control = names.perturbation(CONTROL) or CONTROL
        for column, metric in (("CATE real", "cate"), ("Unbiased CATE real", "cate_unbiased")):
            floor = metrics.number(
                "effects", metric=metric, comparison="real-control-floor", cell_type=cell_type,
                perturbation=control, **of,
            )  # fmt: skip
            table.add(row, column, FLOOR, floor, role="model", encoder=encoder)


def table_4(table: PaperTable, run: PaperRun) -> None:
    """Effects in HUVEC."""
    add_effects(table, run, [(f"1138 vs {p}", _HUVEC, p) for p in ("1137", "1124", "1108")], None)


def table_18(table: PaperTable, run: PaperRun) -> None:
    """Effects in every cell type."""
    lines = [
        (f"{cell_type}, 1138 vs {p}", cell_type, p)
        for cell_type in CELL_TYPES
        for p in ("1137", "1108", "1124")
    ]
    add_effects(table, run, lines, None)


def table_19(table: PaperTable, run: PaperRun) -> None:
    """Effects on the features of each channel."""
    for organelle in _ORGANELLES:
        lines = [(f"{organelle}, 1138 vs {p}", _HUVEC, p) for p in ("1137", "1108", "1124")]
        add_effects(table, run, lines, channel(run.papers.morphgen.names, organelle))
    table.notes.append(
        "An organelle's effect is that on the features of its channel alone, so that the values of "
        "the six channels are apart from each other; the paper's are nearly the same for all six."
    )


def table_5(table: PaperTable, run: PaperRun) -> None:
    """What the codec loses."""
    facts = run.experiment("model")
    if facts is None:
        return
    for row, view in (
        ("RGB", "rgb"),
        ("Organelle-aware", "channels"),
        ("Organelle-aware + RGB", "channels-to-rgb"),
    ):
        estimate = _any_scope(run, "reconstruction", metric="mse", view=view,
                              extractor=facts.codec_name, comparison="reconstruction")  # fmt: skip
        table.add(row, "MSE", MODEL, estimate, role="model", encoder=facts.codec_name)
    for label in _ORGANELLES:
        view = channel(run.papers.morphgen.names, label)
        estimate = _any_scope(run, "reconstruction", metric="mse", view=view,
                              extractor=facts.codec_name, comparison="reconstruction")  # fmt: skip
        table.add(f"Channel of {label}", "MSE", MODEL, estimate, role="model",
                  encoder=facts.codec_name)  # fmt: skip


def _any_scope(run: PaperRun, source: str, **columns: str) -> Estimate:
    """A number over everything, whether its scope is called `all` or left empty."""
    facts = run.experiment("model")
    assert facts is not None
    metrics = run.metrics(facts)
    everything = metrics.number(source, cell_type="all", perturbation="all", **columns)
    if everything.value is not None:
        return everything
    unnamed = metrics.number(source, **columns)
    return unnamed if unnamed.value is not None else everything


def table_7(table: PaperTable, run: PaperRun) -> None:
    """Variance of features within conditions."""
    facts, names = run.experiment("model"), run.papers.morphgen.names
    if facts is None:
        return
    encoder = run.encoder(facts, "biology")
    metrics, cell_type = run.metrics(facts), names.cell_type(_HUVEC) or "all"
    for label in FREQUENT:
        perturbation = names.perturbation(label)
        for column, metric, comparison, system in (
            ("Real variance", "feature_variance", "real", MODEL),
            ("Generated variance", "feature_variance", "generated", MODEL),
            ("Real variance", "feature_variance", "training", COPY),
            ("Difference", "variance_difference", "generated-real", MODEL),
            ("Difference", "variance_difference", "real-real", FLOOR),
            ("Difference", "variance_difference", "copy-real", COPY),
        ):
            estimate = absent(no_stand_in("perturbation", label))
            if perturbation is not None:
                estimate = metrics.number(
                    "variance", metric=metric, comparison=comparison, cell_type=cell_type,
                    perturbation=perturbation, extractor=encoder,
                    view=facts.encoders[encoder]["view"],
                )  # fmt: skip
            table.add(label, column, system, estimate, role="model", encoder=encoder)


def _of_set(
    run: PaperRun, encoder: str, set_name: str, metric: str, regime: str, task: str, **columns: str
) -> Estimate:
    facts = run.experiment("model")
    assert facts is not None
    group = f"set: {set_name}"
    found = {"cell_type": "all", "perturbation": group, "group": group} | columns
    return run.metrics(facts).number(
        "probes", metric=metric, regime=regime, task=task, extractor=encoder,
        view=facts.encoders[encoder]["view"], **found,
    )  # fmt: skip


def table_11(table: PaperTable, run: PaperRun) -> None:
    """Probes for cell type and perturbation."""
    facts = run.experiment("model")
    if facts is None:
        return
    encoder = run.encoder(facts, "biology")
    of = run.papers.morphgen.frequent_4
    for shown in ("Real → Real", "Generated → Generated", "Generated → Real"):
        for task in ("cell_type", "perturbation"):
            row = f"{shown}, {task.replace('_', ' ')}"
            accuracy = _of_set(run, encoder, of, "accuracy", REGIMES[shown], task)
            folds = _of_set(run, encoder, of, "cross_validated_accuracy", REGIMES[shown], task)
            deviation = folds.settings.get("standard_deviation_over_folds")
            for column, estimate in (
                ("Test accuracy", accuracy),
                ("CV mean", folds),
                ("CV standard deviation", _plain(deviation, folds.reason)),
                ("Training images", _plain(accuracy.n_left, accuracy.reason)),
                ("Test images", _plain(accuracy.n_right, accuracy.reason)),
                ("Chance", _plain(accuracy.settings.get("chance"), accuracy.reason)),
            ):
                table.add(row, column, MODEL, estimate, role="model", encoder=encoder)


def _plain(value: float | None, reason: str) -> Estimate:
    """A number that stands beside another one and has no interval."""
    return absent(reason) if value is None else Estimate(float(value))


def table_12(table: PaperTable, run: PaperRun) -> None:
    """Classification of CellProfiler features."""
    facts, names = run.experiment("model"), run.papers.morphgen.names
    if facts is None or facts.morphology is None:
        return
    metrics = run.metrics(facts)
    recipe = facts.morphology["recipe"]
    scopes = list(dict.fromkeys((names.cell_type(_HUVEC) or "all", "all")))
    for shown in ("Real → Real", "Generated → Generated", "Generated → Real"):
        for column, metric in (("Accuracy", "accuracy"), ("Macro-F1", "macro_f1")):
            found = [
                metrics.number(
                    "morphology", metric=metric, regime=REGIMES[shown], task="perturbation",
                    cell_type=scope, perturbation="all", extractor="cellprofiler", view=recipe,
                )
                for scope in scopes
            ]  # fmt: skip
            estimate = next((e for e in found if e.value is not None), found[0])
            table.add(shown, column, MODEL, estimate, role="model", encoder="cellprofiler")
    table.notes.append(f"Profiles by the recipe {recipe!r} (docs/morphology.md).")


def _augmentation(kind: str) -> Callable[[PaperTable, PaperRun], None]:
    def build(table: PaperTable, run: PaperRun) -> None:
        facts, names = run.experiment("model"), run.papers.morphgen.names
        if facts is None:
            return
        encoder = run.encoder(facts, kind)
        of = run.papers.morphgen.frequent_10
        for label in (*FREQUENT_10, "Average"):
            perturbation = label if label == "Average" else names.perturbation(label)
            for shown, regime in REGIMES.items():
                if perturbation is None:
                    estimate = absent(no_stand_in("perturbation", label))
                elif label == "Average":
                    estimate = _of_set(run, encoder, of, "accuracy", regime, "perturbation")
                else:
                    estimate = _of_set(run, encoder, of, "class_accuracy", regime,
                                       "perturbation", perturbation=perturbation)  # fmt: skip
                table.add(label, shown, MODEL, estimate, role="model", encoder=encoder)
        table.notes.append("The average is the accuracy over all test images.")

    return build


table_13, table_14 = _augmentation("biology"), _augmentation("independent")
