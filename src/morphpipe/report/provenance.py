"""Tables of seeds, checksums and trained networks, for reproducing a run."""

from pathlib import Path

import pandas as pd

from morphpipe.core.checksums import check_recorded
from morphpipe.core.storage import sha256_of_file
from morphpipe.report import tables
from morphpipe.report.inputs import ReportInputs
from morphpipe.report.section import Section


def _history(folder: Path) -> str:
    """Last entry of the training history of an autoencoder or encoder."""
    path = folder / "history.csv"
    if not path.exists():
        return "no history.csv in its folder"
    check_recorded(path)
    history = pd.read_csv(path)
    if history.empty:
        return "an empty history"
    last = history.iloc[-1]
    return ", ".join(f"{name} {tables.number(float(value))}" for name, value in last.items()
                     if isinstance(value, int | float))  # fmt: skip


def trained_table(inputs: ReportInputs) -> tables.Table:
    """Autoencoders and encoders trained in this run, with final losses."""
    rows = [
        [kind, name, _history(folder)]
        for kind, folders in (("autoencoder", inputs.autoencoders), ("encoder", inputs.encoders))
        for name, folder in folders.items()
    ]
    caption = "Autoencoders and encoders trained in this run."
    return tables.table(caption, ["kind", "name", "last entry of the history"], rows)


def seed_table(inputs: ReportInputs) -> tables.Table:
    """Every seed of the configuration that is in use."""
    configuration = inputs.configuration
    rows: list[list[tables.Cell | str]] = []

    def add(what: str, name: str, seeds: object) -> None:
        rows.append([what, name, tables.Cell(str(seeds), "number")])

    splits = dict.fromkeys(e.split for e in configuration.experiments.values())
    for dataset in dict.fromkeys(configuration.splits[name].dataset for name in splits):
        seed = getattr(configuration.datasets[dataset], "seed", None)
        if seed is not None:
            add("simulated screen", dataset, seed)
    for name in splits:
        add("split", name, configuration.splits[name].seed)
    for kind, declared in (
        ("an autoencoder", configuration.autoencoders),
        ("an encoder", configuration.encoders),
    ):
        for name, network in declared.items():
            seed = getattr(network, "seed", None)
            if seed is not None:
                add(f"training of {kind}", name, seed)
    for name, experiment in configuration.experiments.items():
        add("training", name, ", ".join(map(str, experiment.training.seeds)))
        add("sampling", name, ", ".join(map(str, experiment.sampling.seeds)))
        add("evaluation: split halves, draws, bootstrap", name, experiment.evaluation.seed)
    caption = (
        "Seeds. The noise of a sample depends only on experiment, training seed, sampling seed, "
        "index and step."
    )
    return tables.table(caption, ["use", "name", "seeds"], rows, 1)


def checksum_table(inputs: ReportInputs, sections: list[Section]) -> tables.Table:
    """SHA-256 checksums of the tables and checkpoints behind the report."""
    rows: list[list[tables.Cell | str]] = []

    def add(what: str, name: str, value: str) -> None:
        rows.append([what, tables.Cell(name, "mono"), tables.Cell(value, "mono")])

    for files, section in zip(inputs.experiments, sections, strict=True):
        for path in (files.fields, files.split, *files.metrics):
            add(files.name, path.name, sha256_of_file(path))
        for training in section.evidence.trainings:
            for name, value in training.sha256.items():
                add(f"{files.name}, training seed {training.seed}", name, value)
    for comparison in inputs.comparisons:
        add(comparison.name, comparison.tests.name, sha256_of_file(comparison.tests))
    for folder in inputs.papers:
        add(folder.name, "item.json", sha256_of_file(folder / "item.json"))
    caption = (
        "SHA-256 checksums of the tables behind this report, and of the generators as recorded in "
        "their checkpoints. Checksums of downloads are listed with the licences."
    )
    return tables.table(caption, ["source", "file", "SHA-256"], rows)
