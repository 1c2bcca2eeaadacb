"""All that the page shows of one experiment."""

from dataclasses import dataclass, field

from morphpipe.config import Configuration
from morphpipe.report import pictures, statements
from morphpipe.report.captions import Plot, experiment_plots, marker
from morphpipe.report.claims import Claim, check_claims
from morphpipe.report.evidence import Evidence
from morphpipe.report.results import over_seeds, primary_encoder, select
from morphpipe.report.tables import (
    Table,
    agreement_table,
    distance_table,
    effect_table,
    probe_table,
    quarantine_table,
    split_table,
)


@dataclass
class Section:
    """What `template.html.j2` is filled with; tables that few will open are `details`."""

    evidence: Evidence
    encoder: str
    view: str
    aligned: list[str]
    made: str
    numbers: list[statements.KeyNumber]
    reading: list[str]
    claims: list[Claim]
    samples: list[pictures.SampleRow]
    channels: list[pictures.ChannelRow]
    colours: str
    plots: dict[str, list[Plot]] = field(default_factory=dict)
    tables: dict[str, list[Table]] = field(default_factory=dict)
    details: dict[str, list[tuple[str, Table]]] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def _colour_note(evidence: Evidence) -> str:
    if pictures.uses_recursion_table(evidence):
        return "Colours follow Recursion's table for RxRx1's six stains."
    return (
        "Colours are for display only: DNA blue, actin red, ER green, each channel scaled so that "
        f"the {pictures.WINDOW_PERCENTILE} percentile of the real held-out images is white."
    )


def _codec_origin(configuration: Configuration, name: str) -> str:
    codec = configuration.codecs[name]
    if codec.origin == "trained":
        return (
            f"{name}: trained by the workflow for {codec.steps:,} steps on the train fields of "
            f"split {codec.split}"
        )
    return f"{name}: {_weights_origin(configuration, codec.weights)}"


def _weights_origin(configuration: Configuration, name: str) -> str:
    weights = configuration.weights[name]
    if weights.source.startswith("file:"):
        place = weights.source.removeprefix("file:")
        came = "a file put there by hand" if place.startswith("/") else "came with the repository"
    else:
        came = "pretrained"
    note = f"; {weights.note}" if weights.note else ""
    return f"{came}, weights {name} from {weights.source}{note}"


def _facts(configuration: Configuration, evidence: Evidence) -> list[tuple[str, str]]:
    """What was trained on what, as pairs of name and text."""
    experiment = evidence.experiment
    training, sampling, alignment = (
        experiment.training,
        experiment.sampling,
        experiment.generator.alignment,
    )
    found = [
        ("Data", f"{evidence.dataset_name} ({evidence.dataset.source}): "
                 f"{len(evidence.real):,} fields; {evidence.real.manifest.source}"),
        ("Channels", ", ".join(f"{c.name} ({c.stain})" for c in evidence.real.manifest.channels)),
        ("Network", f"{experiment.generator.architecture}, image mode {experiment.image_mode}"),
        ("Training", f"{training.steps:,} steps of {training.batch_size} images, learning rate "
                     f"{training.learning_rate:g}, averaged weights with decay "
                     f"{training.ema_decay:g}, precision {training.precision}"),
        ("Training seeds", ", ".join(map(str, training.seeds))),
        ("Sampling", f"{sampling.sampler}, {sampling.steps} steps, guidance "
                     f"{sampling.guidance.scale:g}{' (off)' * (sampling.guidance.scale == 1)}, "
                     f"{sampling.per_condition} images per condition and seed"),
        ("Sampling seeds", ", ".join(map(str, sampling.seeds))),
        ("Alignment", "none" if alignment is None else
            f"with {alignment.encoder} after block {alignment.block}, weight {alignment.weight:g}; "
            f"metrics by this encoder are marked †"),
        ("Codec", _codec_origin(configuration, experiment.codec)),
    ]  # fmt: skip
    names = list(experiment.evaluation.encoders)
    if alignment is not None and alignment.encoder not in names:
        names.append(alignment.encoder)
    for name in names:
        encoder = configuration.encoders[name]
        text = (
            f"ResNet-18 trained by the workflow for {encoder.epochs} epochs on the {encoder.side} "
            f"fields of split {encoder.split}"
            if encoder.kind == "resnet18"
            else f"{encoder.kind}, {_weights_origin(configuration, encoder.weights)}"
        )
        found.append((f"Encoder {name}", text))
    held = evidence.split_settings.hold_out
    found.append(
        (
            "Held out entirely",
            "; ".join(", ".join(f"{k} {v}" for k, v in h.items()) for h in held) or "no condition",
        )
    )
    return found


def build_section(configuration: Configuration, evidence: Evidence) -> Section:
    """Put together pictures, plots, tables and sentences of one experiment."""
    summary = over_seeds(evidence.metrics)
    mark = marker(configuration, evidence.name)
    encoder, view = primary_encoder(configuration, evidence.name, evidence.metrics) or ("", "")
    windows = pictures.display_windows(evidence)
    section = Section(
        evidence=evidence,
        encoder=encoder,
        view=view,
        aligned=[n for n in evidence.experiment.evaluation.encoders if mark(n) != n],
        made=statements.what_was_made(evidence),
        numbers=statements.key_numbers(evidence, summary, extractor=encoder, view=view),
        reading=statements.reading(evidence, summary, extractor=encoder, view=view),
        claims=check_claims(evidence, extractor=encoder, view=view),
        samples=pictures.sample_rows(evidence, windows),
        channels=pictures.channel_rows(evidence, windows),
        colours=_colour_note(evidence),
        plots=experiment_plots(configuration, evidence),
        facts=_facts(configuration, evidence),
        caveats=statements.caveats(configuration, evidence, summary),
    )
    for relative in (True, False):
        what = "Fréchet" if relative else "Kernel"
        for single_ones, target in ((False, "tables"), (True, "details")):
            made = distance_table(
                summary, relative=relative, by_perturbation=single_ones, mark=mark
            )
            if not made.rows:
                continue
            if target == "tables" and relative:
                section.tables.setdefault("distances", []).append(made)
            else:
                scope = "by perturbation" if single_ones else "overall and by cell type"
                title = f"{what} distances {scope} ({len(made.rows)} rows)"
                section.details.setdefault("distances", []).append((title, made))
    for row in select(summary, metric="cate")[["extractor", "view"]].drop_duplicates().itertuples():
        made = effect_table(summary, evidence, extractor=row.extractor, view=row.view)
        if (row.extractor, row.view) == (encoder, view):
            section.tables.setdefault("effects", []).append(made)
        else:
            title = f"Effects by {mark(row.extractor)}, view “{row.view}”"
            section.details.setdefault("effects", []).append((title, made))
    agreement = agreement_table(summary, mark)
    if agreement.rows:
        title = "Do the orders of the effects agree? All encoders and views"
        section.details.setdefault("effects", []).insert(0, (title, agreement))
    probes = probe_table(select(summary, extractor=encoder, view=view), mark)
    if probes.rows:
        section.tables["probes"] = [probes]
    others = summary[(summary["extractor"] != encoder) | (summary["view"] != view)]
    elsewhere = probe_table(others, mark)
    if elsewhere.rows:
        title = f"Probes on other encoders and views ({len(elsewhere.rows)} rows)"
        section.details["probes"] = [(title, elsewhere)]
    section.tables["split"] = [split_table(evidence)]
    if len(evidence.quarantine):
        section.tables["quarantine"] = [quarantine_table(evidence)]
    return section
