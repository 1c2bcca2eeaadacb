"""Inputs and params of the papers' tables and figures."""

import os
from dataclasses import asdict
from typing import Any

from morphpipe.plan.params import plain
from morphpipe.plan.paths import Plan
from morphpipe.plan.report_files import (
    METRICS,
    comparison_files,
    flatten,
    measure_files,
    morphology_files,
)
from morphpipe.report.papers.facts import experiment_facts
from morphpipe.report.papers.items import (
    AUTOENCODER,
    COMPARISON,
    CROPS,
    FEATURES,
    IMAGES,
    ITEMS,
    MORPHOLOGY,
    RANKING,
    Need,
)


def _named(plan: Plan, need: Need) -> str | None:
    """Return the experiment or comparison in a role; None if empty."""
    return plan.configuration.papers.of(need.paper).roles.get(need.role)


def _comparison(plan: Plan, need: Need) -> str | None:
    """Return the comparison in a role; None if it has none."""
    compared = plan.configuration.papers.of(need.paper).section == "comparisons"
    return _named(plan, need) if compared else None


def _experiments(plan: Plan, need: Need) -> list[str]:
    """Return the experiments of a role: one, or the two of a comparison."""
    name, comparison = _named(plan, need), _comparison(plan, need)
    if comparison is not None:
        return [*plan.configuration.comparisons[comparison].experiments]
    return [] if name is None else [name]


def _encoder(plan: Plan, need: Need, experiment: str) -> str:
    """Return the encoder of a figure: the configured one, else OpenPhenom, else the first."""
    paper = plan.configuration.papers.of(need.paper)
    known = plan.configuration.experiments[experiment].evaluation.encoders
    if paper.encoders.biology in known:
        return paper.encoders.biology
    kinds = {name: plan.configuration.encoders[name].kind for name in known}
    return next((name for name, kind in kinds.items() if kind == "openphenom"), known[0])


def _experiment_files(plan: Plan, need: Need, experiment: str) -> Any:
    """Return files of an experiment for a need; empty if the run does not make them."""
    settings = plan.configuration.experiments[experiment]
    images = {
        "fields": plan.fields(settings.split),
        "split": plan.split_table(settings.split),
        "samples": plan.samples(experiment),
    }
    if need.what == IMAGES:
        return images
    if need.what == FEATURES:
        encoder = _encoder(plan, need, experiment)
        return images | {
            "real": plan.real_features(experiment, encoder),
            "generated": plan.generated_features(experiment, encoder),
        }
    if need.what == MORPHOLOGY:
        found = morphology_files(plan, experiment)
        names = ("metrics", "scores", "correlations")
        return {name: found[name][0] for name in names} if found else {}
    if need.what == AUTOENCODER:
        record = plan.autoencoder_record(settings.autoencoder)
        return {
            "record": record,
            "folder": os.path.dirname(record),
            "scaling_factor": plan.configuration.autoencoders[settings.autoencoder].scaling_factor,
        }
    if need.what in METRICS or (need.what == CROPS and settings.evaluation.crops is not None):
        return plan.metrics(experiment, need.what)
    return measure_files(plan, experiment).get(need.what, {})


def _item_files(plan: Plan, item: str) -> dict[str, dict[str, Any]]:
    """Return files of an item by experiment or comparison, and by need."""
    files: dict[str, dict[str, Any]] = {}
    for need in ITEMS[item].needs:
        for experiment in _experiments(plan, need):
            found = _experiment_files(plan, need, experiment)
            if found:
                files.setdefault(experiment, {})[need.what] = found
        comparison = _comparison(plan, need)
        if comparison is not None:
            made = comparison_files(plan, comparison)
            kinds = {COMPARISON: made["tests"], RANKING: made["rankings"]}
            if kinds.get(need.what):
                files.setdefault(comparison, {})[need.what] = kinds[need.what]
    return files


def item_inputs(plan: Plan, item: str) -> list[str]:
    """Return the input files of an item."""
    by_name = _item_files(plan, item).values()
    wanted = [
        files["record"] if what == AUTOENCODER else files
        for by_kind in by_name
        for what, files in by_kind.items()
    ]
    return list(dict.fromkeys(flatten(wanted)))


def item_params(plan: Plan, item: str) -> dict[str, Any]:
    """Return the params of an item: only the parts of the configuration that it uses."""
    configuration, needs = plan.configuration, ITEMS[item].needs
    used = dict.fromkeys(name for need in needs for name in _experiments(plan, need))
    compared = {name for need in needs if (name := _comparison(plan, need)) is not None}
    return {
        # Without the selection of items: they do not depend on each other.
        "papers": plain(configuration.papers) | {"items": None},
        "facts": {name: asdict(experiment_facts(configuration, name)) for name in used},
        "comparisons": {
            name: list(configuration.comparisons[name].experiments) for name in sorted(compared)
        },
        "files": _item_files(plan, item),
    }


def chosen_items(plan: Plan) -> list[str]:
    """Return `item.json` of the items that `all` makes, in the order of the papers."""
    chosen = plan.configuration.papers.items
    if chosen is None:
        chosen = [n for n, i in ITEMS.items() if any(_experiments(plan, need) for need in i.needs)]
    return [f"{plan.results}/papers/{name}/item.json" for name in ITEMS if name in chosen]
