"""Content of the page of one experiment."""

from dataclasses import dataclass, field, replace

from morphpipe.config import Configuration
from morphpipe.config.experiments import Experiment
from morphpipe.evaluation.core.summary import over_seeds
from morphpipe.report.closest_pairs import ClosePair, close_pairs
from morphpipe.report.evidence import Evidence
from morphpipe.report.figures import pictures
from morphpipe.report.figures.captions import Plot, experiment_plots, marker
from morphpipe.report.findings import statements
from morphpipe.report.findings.checks import Check, trust
from morphpipe.report.findings.claims import Claim, check_claims
from morphpipe.report.findings.key_figures import KeyFigure, key_figures
from morphpipe.report.findings.leakage import Leakage, leakage
from morphpipe.report.inputs import MorphologyFiles
from morphpipe.report.measures import MeasureSection, build_measures
from morphpipe.report.morphology import MorphologySection, build_morphology
from morphpipe.report.preparation import pixel_size, preparation, rgb_rule, window_table
from morphpipe.report.quality import excluded_table, nuclei_table, quality_checked
from morphpipe.report.results import named_cell_type, primary_encoder, select
from morphpipe.report.tables import (
    Table,
    agreement_table,
    distance_table,
    effect_table,
    probe_table,
    quarantine_table,
    split_table,
)
from morphpipe.transport.times import evaluations

# Longer tables of nuclei are collapsed.
_SHORT = 12


@dataclass
class Section:
    """Content of an experiment's page; `details` are collapsed tables."""

    evidence: Evidence
    encoder: str
    view: str
    aligned: list[str]
    made: str
    numbers: list[statements.KeyNumber]
    reading: list[str]
    key_figures: list[KeyFigure]
    checks: list[Check]
    claims: list[Claim]
    samples: list[pictures.SampleRow]
    channels: list[pictures.ChannelRow]
    colours: str
    leakage: Leakage
    quality_checked: int
    no_effects: list[str]
    held_out: bool
    pairs: dict[str, list[ClosePair]]
    measures: list[MeasureSection]
    morphology: MorphologySection | None = None
    plots: dict[str, list[Plot]] = field(default_factory=dict)
    tables: dict[str, list[Table]] = field(default_factory=dict)
    details: dict[str, list[tuple[str, Table]]] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    data: list[tuple[str, str]] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def _autoencoder_origin(configuration: Configuration, name: str) -> str:
    autoencoder = configuration.autoencoders[name]
    if autoencoder.origin == "trained":
        return (
            f"{name}: trained by the workflow for {autoencoder.steps:,} steps on the train fields "
            f"of split {autoencoder.split}"
        )
    if autoencoder.weights_name is None:
        return f"{name}: none, the generator works on pixels"
    return f"{name}: {_weights_origin(configuration, autoencoder.weights_name)}"


def _weights_origin(configuration: Configuration, name: str) -> str:
    weights = configuration.weights[name]
    if weights.source.startswith("file:"):
        place = weights.source.removeprefix("file:")
        came = "local file" if place.startswith("/") else "part of the repository"
    else:
        came = "pretrained"
    note = f"; {weights.note}" if weights.note else ""
    return f"{came}, weights {name} from {weights.source}{note}"


def condition_of(configuration: Configuration, experiment: Experiment) -> str:
    """Describe how the generator is conditioned on perturbations."""
    name = experiment.generator.condition
    if name is None:
        return "a learned vector per perturbation"
    settings = configuration.conditions[name]
    text = f"{name} ({settings.kind})"
    if settings.kind == "constant":
        text += ": the same for all perturbations, so images cannot depend on them"
    if settings.concentration == "ignored":
        return f"{text}; the concentration is ignored"
    return f"{text}, with the concentration"


def sampling_of(experiment: Experiment) -> str:
    """Describe the sampling, and its cost per image."""
    sampling, guidance = experiment.sampling, experiment.sampling.guidance
    number = evaluations(sampling, experiment.generator.path)
    parts = [experiment.sampler]
    if not experiment.generator.path.one_pass:
        parts.append(f"{experiment.sampling_steps} steps")
    if sampling.grid != "uniform":
        parts.append(f"grid {sampling.grid}")
    if sampling.last_correction:
        parts.append("last step corrected")
    parts.append(f"{number:,} network evaluation{'' if number == 1 else 's'} per image")
    if guidance.scale == 1:
        parts.append("guidance 1 (off)")
    else:
        by = "" if guidance.guide is None else f" by the checkpoint of slice {guidance.guide}"
        limits = f" from time {guidance.low:g} to {guidance.high:g}" if guidance.limited else ""
        parts.append(f"guidance {guidance.scale:g}{by}{limits}")
    parts.append(f"{sampling.per_condition} images per condition and seed")
    return ", ".join(parts)


def _facts(configuration: Configuration, evidence: Evidence) -> list[tuple[str, str]]:
    """Facts about models and training, as pairs of name and text."""
    experiment = evidence.experiment
    training, sampling, alignment = (
        experiment.training,
        experiment.sampling,
        experiment.generator.alignment,
    )
    found = [
        ("Network", f"{experiment.generator.architecture}, image mode {experiment.image_mode}"),
        ("Training", f"{training.steps:,} steps of {training.batch_size} images, learning rate "
                     f"{training.learning_rate:g}, averaged weights with "
                     + (f"decay {training.ema_decay:g}" if training.ema_deviation is None
                        else f"relative standard deviation {training.ema_deviation:g}")
                     + f", precision {training.precision}"),
        ("Training seeds", ", ".join(map(str, training.seeds))),
        ("Sampling", sampling_of(experiment)),
        ("Sampling seeds", ", ".join(map(str, sampling.seeds))),
        ("Condition", condition_of(configuration, experiment)),
        ("Alignment", "none" if alignment is None else
            f"with {alignment.encoder} {alignment.place}, weight {alignment.weight:g}; "
            f"its metrics are marked †"),
        ("Autoencoder", _autoencoder_origin(configuration, experiment.autoencoder)),
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
    return found


def _data_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Facts about the images and their preprocessing, as pairs of name and text."""
    manifest, keys = evidence.real.manifest, evidence.real.keys()
    plates = len(keys[["batch", "plate"]].drop_duplicates())
    controls = sorted(evidence.negative_controls)
    held = evidence.split_settings.hold_out
    return [
        ("Data", f"{evidence.dataset_name}: {len(keys):,} fields of {plates:,} "
                 f"{'plate' if plates == 1 else 'plates'}; {manifest.source}"),
        ("Channels", ", ".join(f"{c.name} ({c.stain})" for c in manifest.channels)),
        ("Raw planes", preparation(manifest, simulated=evidence.is_simulated)),
        ("RGB", rgb_rule(manifest)),
        ("Pixels", pixel_size(evidence)),
        ("Negative control", ", ".join(controls) or "none: no treatment effects can be "
                                                    "computed"),
        (
            "Held out entirely",
            "; ".join(", ".join(f"{k} {v}" for k, v in h.items()) for h in held) or "no condition",
        ),
    ]  # fmt: skip


def _show_data(section: Section) -> None:
    """Add the tables of the data; long tables are collapsed."""
    evidence = section.evidence
    section.tables["split"] = [split_table(evidence)]
    details = section.details.setdefault("data", [])
    counts = nuclei_table(evidence)
    if counts is not None and len(counts.rows) <= _SHORT:
        section.tables["nuclei"] = [counts]
    elif counts is not None:
        details.append((f"Nuclei per field, by condition ({len(counts.rows)} rows)", counts))
    windows = window_table(evidence.real.manifest)
    if windows is not None:
        details.append(("Raw intensities of black and white, by plate", windows))
    if section.leakage.table is not None:
        title = f"List of leakage ({section.leakage.found:,})"
        section.details["leakage"] = [(title, section.leakage.table)]
    if len(evidence.quarantine):
        section.tables["quarantine"] = [excluded_table(evidence)]
        title = f"List of excluded fields ({len(evidence.quarantine):,})"
        section.details["quarantine"] = [(title, quarantine_table(evidence))]


def _morphology(
    configuration: Configuration, evidence: Evidence, files: MorphologyFiles | None
) -> MorphologySection | None:
    name = evidence.experiment.evaluation.morphology
    if files is None or name is None:
        return None
    return build_morphology(evidence, files, configuration.morphology[name].recipe)


def _named(section: Section) -> None:
    """Name the file of every table by its topic and number."""
    name = section.evidence.name

    def named(made: Table, topic: str, number: int) -> Table:
        return replace(made, name=f"{name}-{topic}{f'-{number}' if number else ''}")

    for topic, found in section.tables.items():
        section.tables[topic] = [named(made, topic, i) for i, made in enumerate(found)]
    for topic, pairs in section.details.items():
        start = len(section.tables.get(topic, []))
        section.details[topic] = [
            (title, named(made, topic, start + i)) for i, (title, made) in enumerate(pairs)
        ]
    parts: list[tuple[str, MeasureSection | MorphologySection]] = [
        (part.measure.name, part) for part in section.measures
    ]
    if section.morphology is not None:
        parts.append(("morphology", section.morphology))
    for topic, part in parts:
        start = len(part.tables)
        part.tables[:] = [named(made, topic, i) for i, made in enumerate(part.tables)]
        part.details[:] = [
            (title, named(made, topic, start + i)) for i, (title, made) in enumerate(part.details)
        ]


def build_section(
    configuration: Configuration,
    evidence: Evidence,
    morphology: MorphologyFiles | None = None,
    per_condition: int = pictures.PER_CONDITION,
) -> Section:
    """Collect images, figures, tables and statements of one experiment.

    Parameters
    ----------
    configuration
        Configuration of the run.
    evidence
        Evidence of the experiment.
    morphology
        Files of CellProfiler measurements; None if not measured.
    per_condition
        Number of real and of generated fields to show per condition.
    """
    summary = over_seeds(evidence.metrics)
    shown = named_cell_type(summary, evidence.cell_types)
    mark = marker(configuration, evidence.name)
    encoder, view = primary_encoder(configuration, evidence.name, evidence.metrics) or ("", "")
    windows = pictures.display_windows(evidence)
    measured = _morphology(configuration, evidence, morphology)
    section = Section(
        evidence=evidence,
        encoder=encoder,
        view=view,
        aligned=[n for n in evidence.experiment.evaluation.encoders if mark(n) != n],
        made=statements.what_was_made(evidence),
        numbers=statements.key_numbers(evidence, summary, extractor=encoder, view=view),
        reading=statements.reading(evidence, summary, extractor=encoder, view=view),
        key_figures=key_figures(evidence, summary, measured, extractor=encoder, view=view),
        checks=trust(configuration, evidence, summary, extractor=encoder, view=view),
        claims=check_claims(evidence, extractor=encoder, view=view),
        samples=pictures.sample_rows(evidence, windows, per_condition),
        channels=pictures.channel_rows(evidence, windows),
        colours=pictures.colour_note(evidence),
        leakage=leakage(evidence),
        quality_checked=quality_checked(evidence),
        no_effects=statements.missing_controls(evidence),
        held_out=not statements.not_held_out(evidence),
        pairs=close_pairs(evidence, windows, encoder, view),
        measures=build_measures(evidence, mark, encoder),
        morphology=measured,
        plots=experiment_plots(configuration, evidence),
        facts=_facts(configuration, evidence),
        data=_data_facts(evidence),
        caveats=statements.caveats(configuration, evidence, summary),
    )
    for relative in (True, False):
        what = "Fréchet" if relative else "Kernel"
        for single_ones, target in ((False, "tables"), (True, "details")):
            made = distance_table(shown, relative=relative, by_perturbation=single_ones, mark=mark)
            if not made.rows:
                continue
            if target == "tables" and relative:
                section.tables.setdefault("distances", []).append(made)
            else:
                scope = "by perturbation" if single_ones else "overall and by cell type"
                title = f"{what} distances {scope} ({len(made.rows)} rows)"
                section.details.setdefault("distances", []).append((title, made))
    for row in select(shown, metric="cate")[["extractor", "view"]].drop_duplicates().itertuples():
        effects = select(shown, metric="cate", extractor=row.extractor, view=row.view)
        if effects["value"].isna().all():  # explained by `no_effects`
            continue
        made = effect_table(shown, evidence, extractor=row.extractor, view=row.view)
        if (row.extractor, row.view) == (encoder, view):
            section.tables.setdefault("effects", []).append(made)
        else:
            title = f"Effects by {mark(row.extractor)}, view “{row.view}”"
            section.details.setdefault("effects", []).append((title, made))
    agreement = agreement_table(shown, mark)
    if agreement.rows:
        title = "Agreement of effect orders, all encoders and views"
        section.details.setdefault("effects", []).insert(0, (title, agreement))
    probes = probe_table(select(shown, extractor=encoder, view=view), mark)
    if probes.rows:
        section.tables["probes"] = [probes]
    others = shown[(shown["extractor"] != encoder) | (shown["view"] != view)]
    elsewhere = probe_table(others, mark)
    if elsewhere.rows:
        title = f"Probes on other encoders and views ({len(elsewhere.rows)} rows)"
        section.details["probes"] = [(title, elsewhere)]
    _show_data(section)
    _named(section)
    return section
