"""Statements of the report: headline and limitations, computed from the results."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from morphpipe.config import Configuration
from morphpipe.report.evidence import Evidence
from morphpipe.report.findings.claims import effect_order
from morphpipe.report.findings.key_figures import conditions_followed
from morphpipe.report.findings.leakage import leakage
from morphpipe.report.papers.setups import PAPERS
from morphpipe.report.quality import COUNT_CHANGE, count_changes, quality_checked
from morphpipe.report.results import (
    FRECHET,
    GENERATED,
    select,
    served_alignment,
    single,
)
from morphpipe.report.tables import count, interval, number

# torch-fidelity's default, commonly used for KID.
USUAL_SUBSET = 1000


@dataclass(frozen=True)
class KeyNumber:
    """One number of the headline: its label, value and reference."""

    label: str
    value: str
    note: str


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def dataset_name(evidence: Evidence) -> str:
    """Name and origin of the dataset as text."""
    return f"the dataset {evidence.dataset_name} ({evidence.dataset.title})"


def missing_controls(evidence: Evidence) -> list[str]:
    """Explain missing treatment effects where negative controls are missing."""
    sentences: list[str] = []
    for what, keys in (
        ("real held-out", evidence.test_fields.keys()),
        ("generated", evidence.generated_keys),
    ):
        types = set(keys["cell_type"])
        without = sorted(types - set(keys.loc[keys["control"] == "negative", "cell_type"]))
        if not without:
            continue
        if len(without) == len(types):
            if sentences:
                # Without real controls, generated ones do not matter.
                continue
            sentences.append(
                f"There is no negative control among the {what} images, so treatment effects "
                "(CATE) cannot be computed. "
                + (
                    "Name the untreated perturbation in the dataset's `negative_controls`."
                    if evidence.dataset.names_controls and what == "real held-out"
                    else "Include the untreated wells in the "
                    f"{'perturbations of the dataset' if what == 'real held-out' else 'sampled'}"
                    f"{'' if what == 'real held-out' else ' perturbations'}."
                )
            )
        else:
            sentences.append(
                f"There is no negative control among the {what} images of {', '.join(without)}: "
                "treatment effects (CATE) cannot be computed there."
            )
    return sentences


def what_was_made(evidence: Evidence) -> str:
    """Describe generator, training and images in one or two sentences."""
    experiment, keys = evidence.experiment, evidence.generated_keys
    conditions = keys[["cell_type", "perturbation"]].drop_duplicates()
    # Distances, effects and probes leave out real fields of conditions that were not generated.
    compared = evidence.test_fields.keys().merge(conditions)
    trained = evidence.split[evidence.split["split"] == "train"]["field_id"].nunique()
    steps = sorted({training.step for training in evidence.trainings})
    name = dataset_name(evidence)
    mode = (
        f"{len(evidence.real.manifest.names)}-channel images"
        if experiment.image_mode == "channels"
        else "RGB images"
    )
    return (
        f"A generator {experiment.generator.architecture}, trained for "
        f"{' and '.join(f'{step:,}' for step in steps) or 'an unknown number of'} steps on "
        f"{_plural(trained, 'field')} of view of {name}, generated {_plural(len(keys), 'image')} "
        f"({mode}) of {_plural(len(conditions), 'condition')}. "
        f"They are compared with {_plural(len(compared), 'real field')} of the same"
        f"{' condition' if len(conditions) == 1 else ' conditions'}"
        + (", which were also used in training." if not_held_out(evidence) else ", held out.")
    )


def not_held_out(evidence: Evidence) -> bool:
    """Whether test images were also used in training."""
    train = set(evidence.split.loc[evidence.split["split"] == "train", "field_id"])
    return bool(train & evidence.test_ids)


def _distance_number(summary: pd.DataFrame, view: str, extractor: str) -> KeyNumber:
    label = "Distance to real images, relative to real vs real"
    row = single(
        summary, metric=tuple(f"relative_{m}" for m in FRECHET), extractor=extractor, view=view,
        cell_type="all", perturbation="all",
    )  # fmt: skip
    if row is None or not np.isfinite(row["value"]):
        reason = "not measured" if row is None else row["reason"]
        return KeyNumber(label, "no value", reason)
    near = interval(row)
    return KeyNumber(
        label,
        f"{number(row['value'])}×",
        f"{f'95 % interval {near}; ' if near else 'no interval; '}1× is as close as two halves of "
        "the real images",
    )


def _effect_number(
    evidence: Evidence, summary: pd.DataFrame, view: str, extractor: str
) -> KeyNumber:
    label = "Order of treatment effects, generated vs real"
    row = single(
        summary, metric="cate_rank_correlation", comparison="generated-real",
        extractor=extractor, view=view, cell_type="all",
    )  # fmt: skip
    if row is None or not np.isfinite(row["value"]):
        reason = "no negative control" if missing_controls(evidence) else "not measured"
        return KeyNumber(label, "no value", reason if row is None else row["reason"])
    return KeyNumber(
        label,
        number(row["value"]),
        f"rank correlation over {count(row['n_left'])} perturbations; 1 is the same order",
    )


def _probe_number(summary: pd.DataFrame, view: str, extractor: str) -> KeyNumber:
    label = "Perturbation classification accuracy on real images, trained on generated ones"
    made, real = (
        single(
            summary, metric="accuracy", task="perturbation", regime=regime, extractor=extractor,
            view=view,
        )
        for regime in ("generated-real", "real-real")
    )  # fmt: skip
    if made is None or not np.isfinite(made["value"]):
        return KeyNumber(label, "no value", "not measured" if made is None else made["reason"])
    beside = "not measured" if real is None else number(real["value"])
    return KeyNumber(
        label,
        f"{made['value']:.0%}",
        f"chance {made['chance']:.0%}; trained on real images "
        + (beside if real is None else f"{real['value']:.0%}"),
    )


def key_numbers(
    evidence: Evidence, summary: pd.DataFrame, *, extractor: str, view: str
) -> list[KeyNumber]:
    """Return the numbers of the headline with their references."""
    keys = evidence.generated_keys
    seeds = keys[["training_seed", "sampling_seed"]].drop_duplicates()
    return [
        _distance_number(summary, view, extractor),
        _effect_number(evidence, summary, view, extractor),
        _probe_number(summary, view, extractor),
        KeyNumber(
            "Images generated",
            f"{len(keys):,}",
            f"{_plural(seeds['training_seed'].nunique(), 'training seed')}, "
            f"{_plural(seeds['sampling_seed'].nunique(), 'sampling seed')}",
        ),
    ]


def reading(evidence: Evidence, summary: pd.DataFrame, *, extractor: str, view: str) -> list[str]:
    """Interpret the main results in sentences."""
    rows = select(summary, extractor=extractor, view=view)
    sentences = []
    relative = single(rows, metric=tuple(f"relative_{m}" for m in FRECHET), cell_type="all",
                      perturbation="all")  # fmt: skip
    if relative is not None and np.isfinite(relative["value"]):
        low, high = relative["ci_low"], relative["ci_high"]
        if np.isfinite(low) and low > 1:
            text = "further from real images than real images are from each other"
        elif np.isfinite(high) and high < 1:
            text = "closer to the held-out images than these are to each other, which suggests "
            text += "copies or too little variation"
        else:
            text = "not significantly further from real images than real images are from each other"
            text += " at this number of images"
        sentences.append(f"With {extractor}, view “{view}”, the generated images are {text}.")
    better, conditions = conditions_followed(rows)
    if conditions:
        sentences.append(
            f"In {better} of {_plural(conditions, 'condition')}, images generated for the "
            "condition are closer to its real images than images generated for other conditions."
        )
    order = effect_order(rows, "all", "real"), effect_order(rows, "all", "generated")
    both = [p for p in sorted(order[0], key=lambda p: order[0][p]) if p in order[1]]
    if len(both) > 1:
        made = sorted(both, key=lambda p: order[1][p])
        types = evidence.cell_types
        where = f"In {types[0]}" if len(types) == 1 else "Averaged over cell types"
        sentences.append(
            f"{where}, generated treatment effects are "
            + ("" if made == both else "not ")
            + "in the same order as real ones"
            + f" (real: {_shortened(both)}"
            + (")." if made == both else f"; generated: {_shortened(made)}).")
        )
    return sentences


def _shortened(names: list[str], most: int = 8) -> str:
    if len(names) <= most:
        return " < ".join(names)
    half = most // 2
    return " < ".join([*names[:half], "…", *names[-half:]])


def caveats(configuration: Configuration, evidence: Evidence, summary: pd.DataFrame) -> list[str]:
    """Return the limitations that follow from the configuration and the tables."""
    experiment, sentences = evidence.experiment, []
    paper = PAPERS[experiment.generator.paper]
    network_there, images_there = paper.run.network, int(paper.run.per_condition or 0)
    quoted, autoencoder_there = paper.quoted, str(paper.run.autoencoder).removeprefix("hf://")
    encoders = {name: configuration.encoders[name] for name in experiment.evaluation.encoders}
    if not_held_out(evidence):
        sentences.append(
            f"Test fields were also used in training (splits.{experiment.split}"
            f".single_well is {evidence.split_settings.single_well}): "
            f"{_plural(evidence.real.table.num_rows, 'field')} can only be overfitted. This run "
            "tests the pipeline and supports no claims about the generator."
        )
    if evidence.is_simulated:
        sentences.append(
            "The images are simulated. The results show whether the method finds known effects; "
            "they say nothing about real cells and cannot be compared with the papers."
        )
    elif evidence.dataset.source not in quoted.datasets:
        sentences.append(
            f"The images are from {dataset_name(evidence)}, which the {paper.name} paper does not "
            "use, so metrics cannot be compared with the paper's, even if they share a name."
        )
    if evidence.leakage is not None and len(evidence.leakage):
        sentences.append(leakage(evidence).verdict)
    changed, counted = count_changes(evidence)
    if changed:
        sentences.append(
            f"In {changed} of {_plural(counted, 'condition')} the median number of nuclei differs "
            f"by more than {COUNT_CHANGE:.0%} from the negative controls: effects and probe "
            "accuracy may partly reflect cell count alone."
        )
    if experiment.evaluation.units == "site":
        sentences.append(
            "Floors and intervals are over sites of the same wells (evaluation.units) and ignore "
            "the variation between wells: the floor is too low and the intervals are too narrow. "
            "The copy control, from other wells, is more informative."
        )
    others = [name for name, encoder in encoders.items() if encoder.kind != "inception"]
    if others:
        sentences.append(
            f"Fréchet and kernel distances on features of {', '.join(others)} are not FID or KID. "
            "Scales differ between encoders; only multiples of the floor can be compared, roughly."
        )
    resnets = [name for name, encoder in encoders.items() if encoder.kind == "resnet18"]
    if resnets:
        sentences.append(
            f"{', '.join(resnets)}: trained by this workflow to classify these conditions. Such "
            "an encoder may be insensitive to other defects of an image."
        )
    aligned = [n for n in encoders if served_alignment(configuration, evidence.name, n)]
    if aligned:
        sentences.append(
            f"{', '.join(aligned)} {'was' if len(aligned) == 1 else 'were'} also used for "
            "alignment in training (marked †), so these metrics favour the generator."
        )
    made = select(summary, metric=FRECHET, comparison=GENERATED)
    pairs = made[(made["perturbation"] != "all") & (made["cell_type"] != "all")]
    counts = pd.concat([pairs["n_left"], pairs["n_right"]]).dropna()
    if (len(counts) and counts.max() != counts.min()) or (
        len(counts) and counts.max() < images_there
    ):
        least, most = int(counts.min()), int(counts.max())
        sentences.append(
            f"Conditions are compared with {f'{least} to {most}' if least < most else least} "
            f"images per set; {paper.name} uses {images_there} ({quoted.images_place}). A Fréchet "
            "distance decreases with the number of images, so it is only comparable at the same "
            "number, as for the floor."
        )
    autoencoder = configuration.autoencoders[experiment.autoencoder]
    name = autoencoder.weights_name
    source = "" if name is None else configuration.weights[name].source
    if autoencoder.trained_on is None and name is None:
        sentences.append(
            f"The generator works on pixels, not on latents of {autoencoder_there} as in "
            f"{paper.name}."
        )
    elif autoencoder_there not in source:
        origin = f"from {source}" if source else "trained by the workflow"
        sentences.append(
            f"The autoencoder {experiment.autoencoder} is {origin}, not {autoencoder_there} as in "
            f"{paper.name}. The generator cannot produce what the autoencoder cannot decode."
        )
    training = experiment.training
    if training.steps < quoted.steps:
        share = training.steps / quoted.steps
        sentences.append(
            f"Training took {training.steps:,} steps of {training.batch_size} images; {paper.name} "
            f"took up to {quoted.steps:,} ({quoted.steps_place}), so the ratio is {share:.2g}"
            + (
                f", and the network is {experiment.generator.architecture}, not {network_there}."
                if experiment.generator.architecture != network_there
                else "."
            )
        )
    if len(evidence.trainings) < max(paper.run.repetitions, 2):
        number_of = _plural(len(evidence.trainings), "training seed")
        sentences.append(
            f"There is {number_of}: the intervals include the variation between wells and samples, "
            "not between trainings. Another training may give different results."
            if len(evidence.trainings) == 1
            else f"There are {number_of}; {paper.name} repeats with {paper.run.repetitions}."
        )
    if not select(summary, metric="cate").empty:
        sentences.append(
            "CATE, as defined in the papers, is inflated by the sampling noise of both means: even "
            "a perturbation without effect has a positive value, larger with fewer images. Compare "
            "it with its floor, or use the unbiased value."
        )
    subset = experiment.evaluation.subset_size
    if subset != USUAL_SUBSET:
        sentences.append(
            f"Kernel distances use subsets of {subset} images (or all images, without a standard "
            f"deviation, if there are fewer); published values often use {USUAL_SUBSET:,}."
        )
    if experiment.evaluation.minimum_images < 64 or (len(counts) and counts.min() < 64):
        sentences.append(
            "With few images a Fréchet distance in many dimensions is mostly bias: below some "
            "hundred images only its ratio to the floor is informative."
        )
    guidance = experiment.sampling.guidance
    if guidance.scale != 1:
        by = "" if guidance.guide is None else f" by the checkpoint of slice {guidance.guide}"
        sentences.append(
            f"Sampling used guidance{by} of scale {guidance.scale:g}; "
            f"{quoted.guidance}. Guidance makes effects stronger and images less diverse."
        )
    if len(evidence.quarantine):
        sentences.append(
            f"{len(evidence.quarantine):,} of {_plural(quality_checked(evidence), 'field')} "
            f"{'was' if len(evidence.quarantine) == 1 else 'were'} excluded before the split, "
            "see Data for the reasons. All results are for the remaining fields."
        )
    return sentences
