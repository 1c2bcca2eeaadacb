"""Licences of all datasets and weights in use."""

from collections.abc import Mapping
from typing import Any

from morphpipe.config import Configuration
from morphpipe.config.datasets import Dataset
from morphpipe.report import tables
from morphpipe.report.inputs import ReportInputs
from morphpipe.report.section import Section

# More files than this are counted, not listed.
_MOST_FILES = 6


def datasets_in_use(configuration: Configuration) -> dict[str, list[str]]:
    """Return the users of each dataset: experiments, and their autoencoders and encoders."""
    used: dict[str, list[str]] = {}

    def add(split: str, user: str) -> None:
        users = used.setdefault(configuration.splits[split].dataset, [])
        if user not in users:
            users.append(user)

    for name, experiment in configuration.experiments.items():
        add(experiment.split, f"experiment {name}")
    for name in configuration.experiments:
        experiment = configuration.experiments[name]
        autoencoder = configuration.autoencoders[experiment.autoencoder]
        if autoencoder.trained_on is not None:
            add(autoencoder.trained_on, f"autoencoder {experiment.autoencoder}")
        alignment = experiment.generator.alignment
        for encoder_name in [
            *experiment.evaluation.encoders,
            *([] if alignment is None else [alignment.encoder]),
        ]:
            encoder = configuration.encoders[encoder_name]
            if encoder.kind == "resnet18":
                add(encoder.split, f"encoder {encoder_name}")
    return used


def _checksums(dataset: Dataset, recorded: Mapping[str, str]) -> str:
    """Checksums of a dataset's files: as configured, or as recorded at the first download."""
    known = {
        address: value for address, value in recorded.items()
        if address.startswith(dataset.addresses)
    } | dataset.checksums  # fmt: skip
    if not known:
        return "simulated" if dataset.has_true_effects else "none recorded"
    if len(known) > _MOST_FILES:
        return f"of {len(known):,} files, in the lock file of downloads"
    return "; ".join(f"{address.rpartition('/')[2]}: {value}" for address, value in known.items())


def _accepting(needed: bool, licence: str, accepted: list[str]) -> tables.Cell:
    if not needed:
        return tables.Cell("not needed")
    if licence in accepted:
        return tables.Cell("accepted in licences.accept")
    return tables.Cell("NOT in licences.accept", "fault")


def _dataset_rows(inputs: ReportInputs, sections: list[Section]) -> list[list[tables.Cell | str]]:
    configuration = inputs.configuration
    manifests = {s.evidence.dataset_name: s.evidence.real.manifest for s in sections}
    rows: list[list[tables.Cell | str]] = []
    for name, users in datasets_in_use(configuration).items():
        dataset = configuration.datasets[name]
        manifest = manifests.get(name)
        licence = dataset.licence
        published = "" if manifest is None or manifest.licence == licence else manifest.licence
        rows.append(
            [
                "data",
                tables.Cell(name, "long", f"for {', '.join(users)}"),
                tables.Cell(licence, "long", published),
                _accepting(dataset.needs_acceptance, licence, configuration.licences.accept),
                tables.Cell(dataset.origin if manifest is None else manifest.source, "long"),
                tables.Cell(_checksums(dataset, inputs.checksums), "mono"),
            ]
        )
    return rows


def _weights_rows(inputs: ReportInputs) -> list[list[tables.Cell | str]]:
    configuration = inputs.configuration
    users: dict[str, list[str]] = {}
    for experiment in configuration.experiments:
        for name in configuration.weights_of(experiment):
            users.setdefault(name, []).append(f"experiment {experiment}")
    rows: list[list[tables.Cell | str]] = []
    for name in sorted({*users, *inputs.weights}):
        declared = configuration.weights.get(name)
        record: Mapping[str, Any] = inputs.weights.get(name) or (
            {} if declared is None else declared.model_dump(mode="json")
        )
        sums = record.get("sha256") or {}
        licence = str(record.get("licence") or "–")
        revision, made = record.get("revision"), record.get("note")
        notes = [f"revision {revision}" if revision else "", str(made or "")]
        rows.append(
            [
                "weights",
                tables.Cell(name, "long", f"for {', '.join(users[name])}" if name in users else ""),
                tables.Cell(licence, "long"),
                _accepting(True, licence, configuration.licences.accept),
                tables.Cell(
                    str(record.get("source") or "–"), "long", "; ".join(n for n in notes if n)
                ),
                tables.Cell(
                    "; ".join(f"{file}: {value}" for file, value in sums.items())
                    or "none recorded",
                    "mono",
                ),
            ]
        )
    return rows


def licence_table(inputs: ReportInputs, sections: list[Section]) -> tables.Table:
    """Every dataset and every weight in use: licence, whether it was accepted, source, checksum.

    Parameters
    ----------
    inputs
        Configuration, records of weights and checksums of downloads.
    sections
        Sections of the experiments, with the sources of their data.
    """
    caption = (
        "Data and weights in use. Generated images, and weights trained in this run, inherit their "
        "terms. Checksums are those of the first download."
    )
    headers = ["what", "name", "licence", "acceptance", "source", "SHA-256"]
    return tables.table(caption, headers, [*_dataset_rows(inputs, sections),
                                           *_weights_rows(inputs)])  # fmt: skip
