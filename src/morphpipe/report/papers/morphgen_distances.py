"""MorphGen's tables of distances: 1 to 3, 6, 8 to 10, 15 to 17 and the virtual instrument."""

from collections.abc import Callable

from morphpipe.report.papers.cells import PaperTable
from morphpipe.report.papers.comparison_cells import add_comparison
from morphpipe.report.papers.distance_cells import (
    add_distances,
    column_of,
    drawn_perturbations,
    metric_of,
    over,
)
from morphpipe.report.papers.facts import ExperimentFacts
from morphpipe.report.papers.labels import CELL_TYPES, LOW_SAMPLE, channel, no_stand_in
from morphpipe.report.papers.measured import Estimate, absent
from morphpipe.report.papers.run import PaperRun

MODEL = "MorphGen"
_CELL_TYPE, _PAIR = "HUVEC", ("HUVEC", "1137")
_CHANNELS = ("Nucleus", "ER", "Actin", "Cyto", "Nucleolus", "Mito")
# Table 1's rows: the role of the model, and of MorphoDiff's comparison on the same data.
_SUBSETS = {
    "RxRx1 (HUVEC), 50 perturbations": ("model", "rxrx1_all"),
    "Rohban et al., 5 genes": ("rohban_5", "rohban_5"),
    "Rohban et al., 12 genes": ("rohban_12", "rohban_12"),
}


def _drawn_pairs(
    run: PaperRun, facts: ExperimentFacts, cell_type: str | None
) -> list[tuple[str, str]]:
    """The randomly drawn perturbations in a cell type; in all of them where None."""
    names = drawn_perturbations(run.metrics(facts), facts, "distances")
    return [("all" if cell_type is None else cell_type, name) for name in names]


def _huvec(run: PaperRun) -> str | None:
    return run.papers.morphgen.names.cell_type(_CELL_TYPE)


def _add_drawn(
    table: PaperTable,
    run: PaperRun,
    role: str,
    row: str,
    cell_type: str | None,
    **options: object,
) -> None:
    """Distances averaged over the drawn perturbations; nothing where the role is empty."""
    facts = run.experiment(role)
    if facts is None:
        return
    encoder = run.encoder(facts, "distances")
    pairs = _drawn_pairs(run, facts, cell_type)
    add_distances(
        table, run, facts, pairs, row=row, columns=("FID", "KID"), system=MODEL, role=role,
        view=facts.encoders[encoder]["view"], **options,  # type: ignore[arg-type]
    )  # fmt: skip
    drawn = "drawn at random" if facts.drawn else "all that were generated"
    table.notes.append(f"{row}: means over {len(pairs)} perturbations, {drawn}.")


def table_1(table: PaperTable, run: PaperRun) -> None:
    """Distances by perturbation, beside MorphoDiff and Stable Diffusion as this run has them."""
    for row, (role, comparison) in _SUBSETS.items():
        _add_drawn(table, run, role, row, _huvec(run) if role == "model" else None)
        add_comparison(table, run, comparison, row)


def _views(run: PaperRun, facts: ExperimentFacts, encoder: str) -> dict[str, str]:
    """Views by the paper's columns; without Inception the whole image is all channels."""
    whole = facts.encoders[encoder]["view"]
    names = run.papers.morphgen.names
    return {
        ("RGB" if whole == "rgb" else "All channels"): whole,
        **{label: channel(names, label) for label in _CHANNELS},
    }


def _by_channel(row_is_channel: bool) -> Callable[[PaperTable, PaperRun], None]:
    def build(table: PaperTable, run: PaperRun) -> None:
        facts = run.experiment("model")
        if facts is None:
            return
        encoder = run.encoder(facts, "distances")
        pairs = _drawn_pairs(run, facts, None)
        for label, view in _views(run, facts, encoder).items():
            add_distances(
                table, run, facts, pairs, system=MODEL, role="model", view=view,
                row=label if row_is_channel else str,
                column=None if row_is_channel else label,
            )  # fmt: skip
        table.notes.append(
            f"Means over {len(pairs)} perturbations, each in all cell types together."
        )
        if not row_is_channel:
            add_comparison(table, run, "rxrx1_all", "RGB", measures_are_rows=True)

    return build


table_2, table_16 = _by_channel(row_is_channel=False), _by_channel(row_is_channel=True)


def table_3(table: PaperTable, run: PaperRun) -> None:
    """Distances by cell type, the perturbations mixed as they occur; also table 17."""
    facts = run.experiment("cell_types")
    if facts is None:
        return
    encoder = run.encoder(facts, "distances")
    for label in CELL_TYPES:
        cell_type = run.papers.morphgen.names.cell_type(label)
        if cell_type is None:
            for column in ("FID", "KID", "Relative FID"):
                table.add(label, column, MODEL, absent(no_stand_in("cell type", label)))
            continue
        add_distances(
            table, run, facts, [(cell_type, "all")], row=label, system=MODEL, role="cell_types",
            view=facts.encoders[encoder]["view"], comparison="generated-real@real-mix",
        )  # fmt: skip


def table_6(table: PaperTable, run: PaperRun) -> None:
    """With and without the alignment loss."""
    for role, row in (("unaligned", "MorphGen without alignment"), ("model", MODEL)):
        _add_drawn(table, run, role, row, _huvec(run))


def _crops(role: str) -> Callable[[PaperTable, PaperRun], None]:
    def build(table: PaperTable, run: PaperRun) -> None:
        facts = run.experiment(role)
        if facts is None:
            return
        encoder = run.encoder(facts, "distances")
        if facts.crops is None:
            table.notes.append(f"{facts.name} cuts no crops.")
            return
        metrics, names = run.metrics(facts), run.papers.morphgen.names
        cell_type = names.cell_type("U2OS") or "all"
        view = f"crop{facts.crops['size']} {facts.encoders[encoder]['view']}"
        for shown, measure, comparison in (
            ("FID generated-real", "FID", "generated-real@floor-n"),
            ("FID real-real", "FID", "real-real"),
            ("FID copy-real", "FID", "copy-real"),
            ("Relative FID", "Relative FID", "generated-real@floor-n"),
        ):
            column = shown.replace(measure, column_of(facts, encoder, measure))
            estimate = metrics.number(
                "crop-distances", metric=metric_of(facts, encoder, measure), extractor=encoder,
                view=view, comparison=comparison, cell_type=cell_type, perturbation="all",
            )  # fmt: skip
            table.add(MODEL, column, MODEL, estimate, role=role, encoder=encoder)
        if role == "impa_crops":
            table.notes.append(
                "IMPA's own preprocessed images are no part of this project: real crops are cut "
                "from the same fields, in IMPA's order of channels."
            )

    return build


table_8, table_9 = _crops("crops"), _crops("impa_crops")


def table_10(table: PaperTable, run: PaperRun) -> None:
    """Perturbations with sixteen images on each side."""
    facts = run.experiment("model")
    if facts is None:
        return
    encoder = run.encoder(facts, "distances")
    metrics, names = run.metrics(facts), run.papers.morphgen.names
    column = column_of(facts, encoder, "FID")
    for label in LOW_SAMPLE:
        perturbation = names.perturbation(label)
        if perturbation is None:
            reason = no_stand_in("perturbation", label)
            for shown in ("FID real-real", "FID generated-real"):
                table.add(label, shown, MODEL, absent(reason))
            continue
        of = {
            "metric": metric_of(facts, encoder, "FID"),
            "extractor": encoder,
            "view": facts.encoders[encoder]["view"],
            "cell_type": "all",
            "perturbation": perturbation,
        }
        for shown in ("generated-real", "real-real", "copy-real"):
            estimate = metrics.number("distances", comparison=f"{shown}@low-n", **of)
            table.add(label, f"{column} {shown}", MODEL, estimate, role="model", encoder=encoder)
            if shown == "generated-real" and estimate.n_left is not None:
                images = Estimate(float(estimate.n_left))
                table.add(label, "Images", MODEL, images, role="model", encoder=encoder)


def table_15(table: PaperTable, run: PaperRun) -> None:
    """Real images of two perturbations against each other."""
    facts, names = run.experiment("model"), run.papers.morphgen.names
    if facts is None:
        return
    encoder = run.encoder(facts, "distances")
    metrics, cell_type = run.metrics(facts), _huvec(run) or "all"
    for left, right in (("1137", "1138"), ("1137", "1137"), ("1137", "1108"), ("1137", "1124")):
        one, other = names.perturbation(left), names.perturbation(right)
        for shown, measure in (("FID", "FID"), ("KID mean", "KID")):
            column = shown.replace(measure, column_of(facts, encoder, measure))
            row = f"{left} vs {right}"
            if one is None or other is None:
                table.add(row, column, "real", absent(no_stand_in("perturbations", row)))
                continue
            columns = {
                "metric": metric_of(facts, encoder, measure),
                "extractor": encoder,
                "view": facts.encoders[encoder]["view"],
                "comparison": "real-real",
                "cell_type": cell_type,
            }
            # The distance is symmetric, and the table holds each pair once.
            found = [
                metrics.number("cross_perturbation", perturbation=a, variant=b, **columns)
                for a, b in ((one, other), (other, one))
            ]
            estimate = found[0] if found[0].value is not None else found[1]
            table.add(row, column, "real", estimate, role="model", encoder=encoder)
            deviation = estimate.settings.get("subset_standard_deviation")
            if measure == "KID" and deviation is not None:
                told = Estimate(value=deviation, n_left=estimate.n_left)
                place = column.replace("mean", "standard deviation")
                table.add(row, place, "real", told, role="model", encoder=encoder)


def instrument(table: PaperTable, run: PaperRun) -> None:
    """A pair that one of two models was not trained on."""
    names = run.papers.morphgen.names
    cell_type, perturbation = names.cell_type(_PAIR[0]), names.perturbation(_PAIR[1])
    if cell_type is None or perturbation is None:
        table.notes.append(no_stand_in("pair", " x ".join(_PAIR)))
        return
    for role, row in (("model", "full model"), ("held_out", "without HUVEC x 1137")):
        facts = run.experiment(role)
        if facts is None:
            continue
        encoder = run.encoder(facts, "distances")
        add_distances(
            table, run, facts, [(cell_type, perturbation)], row=row, system=MODEL, role=role,
            view=facts.encoders[encoder]["view"],
        )  # fmt: skip
        of_effects = run.encoder(facts, "biology")
        for column, metric, comparison in (
            ("CATE real", "cate", "real"),
            ("CATE generated", "cate", "generated"),
            ("Delta CATE", "delta_cate", "generated-real"),
        ):
            estimate = over(
                [(cell_type, perturbation)], run.metrics(facts), "effects", metric=metric,
                comparison=comparison, extractor=of_effects,
                view=facts.encoders[of_effects]["view"],
            )  # fmt: skip
            table.add(row, column, MODEL, estimate, role=role, encoder=of_effects)
        distance = column_of(facts, encoder, "FID")
        real = {
            cell.row: cell.estimate.n_right
            for cell in table.cells
            if (cell.column, cell.system) == (distance, MODEL)
        }
        if real[row] is not None:
            table.notes.append(f"{row}: against {real[row]} held-out real images of the pair.")
