# What the papers' tables and figures are made from.
from dataclasses import asdict

from morphpipe.report.papers.facts import experiment_facts
from morphpipe.report.papers.items import ITEMS

PAPER_TABLES = [name for name, item in ITEMS.items() if item.kind == "table"]
PAPER_FIGURES = [name for name, item in ITEMS.items() if item.kind == "figure"]

_unknown = [n for n in CONFIGURATION.papers.items or [] if n not in ITEMS]
if _unknown:
    sys.exit(
        f"\npapers.items: the papers have no {', '.join(_unknown)}; there are "
        f"{', '.join(ITEMS)}.\n"
    )


def role_experiments(need):
    """The experiments behind a need: one of MorphGen's, two of a comparison of MorphoDiff's."""
    name = getattr(CONFIGURATION.papers, need.paper).roles.get(need.role)
    if name is None:
        return []
    if need.paper == "morphgen":
        return [name]
    return list(CONFIGURATION.comparisons[name].experiments)


def paper_encoders(need, experiment):
    """Encoders whose features a figure may need: all of the evaluation but Inception's."""
    wanted = getattr(CONFIGURATION.papers, need.paper).encoders.biology
    known = CONFIGURATION.experiments[experiment].evaluation.encoders
    if wanted in known:
        return [wanted]
    kinds = {name: CONFIGURATION.encoders[name].kind for name in known}
    return ([n for n, kind in kinds.items() if kind == "openphenom"] or known)[:1]


def experiment_files(need, experiment):
    """Files of an experiment for a need; none where the run does not make them."""
    dataset, settings = (
        dataset_of(experiment),
        CONFIGURATION.experiments[experiment],
    )
    images = {
        "fields": f"{RESULTS}/datasets/{dataset}/fields.parquet",
        "split": f"{RESULTS}/splits/{settings.split}.parquet",
        "samples": samples(experiment),
    }
    if need.what == "images":
        return images
    if need.what == "features":
        encoder = paper_encoders(need, experiment)[0]
        return images | {
            "real": real_features(dataset, encoder),
            "generated": generated_features(experiment, encoder),
        }
    if need.what == "morphology":
        found = morphology_files(experiment).get("morphology", {})
        names = ("metrics", "scores", "correlations")
        return {name: found[name][0] for name in names} if found else {}
    if need.what == "codec":
        return {
            "record": codec_record(settings.codec),
            "folder": os.path.dirname(codec_record(settings.codec)),
            "scaling_factor": scaling_factor(settings.codec),
        }
    if need.what == "crop-distances":
        crops = expand(rules.evaluate_crops.output.metrics, experiment=experiment)
        return crops[0] if settings.evaluation.crops is not None else {}
    if need.what in METRICS:
        return f"{RESULTS}/experiments/{experiment}/metrics/{need.what}.parquet"
    return measure_files(experiment).get(need.what, {})


def paper_files(item):
    """All files of an item: by experiment or comparison, and by what they are."""
    files = {}
    for need in ITEMS[item].needs:
        for experiment in role_experiments(need):
            found = experiment_files(need, experiment)
            if found:
                files.setdefault(experiment, {})[need.what] = found
        comparison = CONFIGURATION.papers.morphodiff.roles.get(need.role)
        if need.paper == "morphodiff" and comparison is not None:
            made = comparison_files(comparison)
            kinds = {"comparison": made["tests"], "ranking": made["rankings"]}
            if kinds.get(need.what):
                files.setdefault(comparison, {})[need.what] = kinds[need.what]
    return files


def paper_inputs(wildcards):
    """The files of an item that other jobs make."""
    found = []
    for by_kind in paper_files(wildcards.item).values():
        for kind, files in by_kind.items():
            found += [files["record"]] if kind == "codec" else flatten(files)
    return list(dict.fromkeys(found))


def paper_run(wildcards):
    """What an item is made from, as plain values: its own part of the configuration alone."""
    needs = ITEMS[wildcards.item].needs
    used = [name for need in needs for name in role_experiments(need)]
    roles = CONFIGURATION.papers.morphodiff.roles
    compared = {
        roles[n.role]
        for n in needs
        if n.paper == "morphodiff" and roles.get(n.role) is not None
    }
    return {
        # Without the choice of items, of which none depends on the others.
        "papers": plain(CONFIGURATION.papers) | {"items": None},
        "facts": {
            name: asdict(experiment_facts(CONFIGURATION, name))
            for name in dict.fromkeys(used)
        },
        "comparisons": {
            name: list(CONFIGURATION.comparisons[name].experiments)
            for name in sorted(compared)
        },
        "files": paper_files(wildcards.item),
    }


def paper_items():
    """`item.json` of the items that `all` makes, in the papers' order."""
    chosen = CONFIGURATION.papers.items
    return [
        f"{RESULTS}/papers/{name}/item.json"
        for name, item in ITEMS.items()
        if (
            any(role_experiments(need) for need in item.needs)
            if chosen is None
            else name in chosen
        )
    ]
