"""The whole configuration, and checks across its sections."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from morphpipe.config.base import LocalPath, Model, Name
from morphpipe.config.comparisons import Comparison, check_comparisons
from morphpipe.config.conditions import Condition
from morphpipe.config.datasets import Dataset
from morphpipe.config.experiments import Experiment
from morphpipe.config.messages import faults
from morphpipe.config.morphology import Morphology, check_morphology
from morphpipe.config.networks import Autoencoder, Encoder
from morphpipe.config.papers import Papers, check_papers, without_left_out
from morphpipe.config.shared_trainings import check_shared_trainings
from morphpipe.config.splits import Split
from morphpipe.config.weights import Licences, Weights
from morphpipe.config.yaml_files import read_yaml
from morphpipe.core.errors import ConfigError


class Paths(Model):
    """Folders and files of a run."""

    results: LocalPath = Field("results", description="Folder of the results.")
    cache: LocalPath = Field(
        "cache", description="Folder of downloads and weights; not affected by `rm -r results`."
    )
    scratch: LocalPath = Field(
        "scratch", description="Folder of unfinished work; may be deleted at any time."
    )
    staging: str | None = Field(
        None,
        description="Local folder of the compute node, for example $TMPDIR (expanded in the job), "
        "to which trainings first copy their shards. Null: shards are read in place.",
    )
    environments: LocalPath = Field(
        "environments", description="Folder of virtual environments (CellProfiler's)."
    )
    lock: LocalPath = Field(
        "config/downloads.lock.json",
        description="File of the checksums of downloads, recorded at the first download.",
    )


class Configuration(Model):
    """A whole configuration file."""

    title: str = "morphpipe"
    only: list[Name] | None = Field(
        None,
        description="Experiments to run; null: all. Other experiments, and the comparisons that "
        "need them, are ignored.",
    )
    paths: Paths = Field(default_factory=Paths)
    licences: Licences = Field(default_factory=Licences)
    weights: dict[Name, Weights] = Field(default_factory=dict)
    datasets: dict[Name, Dataset]
    splits: dict[Name, Split]
    autoencoders: dict[Name, Autoencoder]
    encoders: dict[Name, Encoder]
    conditions: dict[Name, Condition] = Field(default_factory=dict)
    morphology: dict[Name, Morphology] = Field(default_factory=dict)
    experiments: dict[Name, Experiment]
    comparisons: dict[Name, Comparison] = Field(default_factory=dict)
    papers: Papers = Field(default_factory=Papers)

    @model_validator(mode="before")
    @classmethod
    def _only(cls, content: Any) -> Any:
        """Remove experiments that are not selected, so that their licences are not needed."""
        only = content.get("only") if isinstance(content, dict) else None
        experiments = content.get("experiments") if only else None
        if not isinstance(only, list) or not isinstance(experiments, dict):
            return content
        unknown = [name for name in only if name not in experiments]
        if unknown:
            raise ValueError(
                f"only names {unknown[0]!r}, which is not in `experiments` "
                f"(declared: {', '.join(map(str, experiments))})"
            )
        compared = content.get("comparisons") or {}
        kept = {
            name: comparison
            for name, comparison in compared.items()
            if {comparison.get("model"), comparison.get("baseline")} <= set(only)
        }
        return content | {
            "experiments": {n: e for n, e in experiments.items() if n in only},
            "comparisons": kept,
            "papers": without_left_out(
                content.get("papers") or {}, set(experiments) - set(only), set(compared) - set(kept)
            ),
        }

    @model_validator(mode="after")
    def _references(self) -> "Configuration":
        """Check that every name in use is declared."""
        uses: list[tuple[str, str, str]] = []
        for name, split in self.splits.items():
            uses.append((f"splits.{name}.dataset", "datasets", split.dataset))
        for name, autoencoder in self.autoencoders.items():
            if autoencoder.weights_name is not None:
                uses.append((f"autoencoders.{name}.weights", "weights", autoencoder.weights_name))
            if autoencoder.trained_on is not None:
                uses.append((f"autoencoders.{name}.split", "splits", autoencoder.trained_on))
        for name, encoder in self.encoders.items():
            if encoder.kind == "resnet18":
                uses.append((f"encoders.{name}.split", "splits", encoder.split))
            else:
                uses.append((f"encoders.{name}.weights", "weights", encoder.weights))
        for name, experiment in self.experiments.items():
            place = f"experiments.{name}"
            uses.append((f"{place}.split", "splits", experiment.split))
            uses.append((f"{place}.autoencoder", "autoencoders", experiment.autoencoder))
            generator = experiment.generator
            if generator.condition is not None:
                uses.append((f"{place}.generator.condition", "conditions", generator.condition))
            if generator.starts_from is not None:
                uses.append((f"{place}.generator.weights", "weights", generator.starts_from))
            if experiment.generator.alignment is not None:
                uses.append(
                    (
                        f"{place}.generator.alignment.encoder",
                        "encoders",
                        experiment.generator.alignment.encoder,
                    )
                )
            for encoder_name in experiment.evaluation.encoders:
                uses.append((f"{place}.evaluation.encoders", "encoders", encoder_name))
            if experiment.evaluation.morphology is not None:
                uses.append(
                    (
                        f"{place}.evaluation.morphology",
                        "morphology",
                        experiment.evaluation.morphology,
                    )
                )
        for name, morphology in self.morphology.items():
            uses.append((f"morphology.{name}.split", "splits", morphology.split))
        for name, condition in self.conditions.items():
            declared_weights = getattr(condition, "weights", None)
            if declared_weights is not None:
                uses.append((f"conditions.{name}.weights", "weights", declared_weights))
        for place, section, value in uses:
            declared = getattr(self, section)
            if value not in declared:
                raise ValueError(
                    f"{place} names {value!r}, which is not in `{section}` "
                    f"(declared: {', '.join(declared) or 'none'})"
                )
        return self

    @model_validator(mode="after")
    def _sides(self) -> "Configuration":
        """Check that every side in use has a fraction."""
        uses = [
            (f"autoencoders.{n}.split", c.trained_on, "train")
            for n, c in self.autoencoders.items()
            if c.trained_on is not None
        ]
        uses += [
            (f"encoders.{n}.side", e.split, e.side)
            for n, e in self.encoders.items()
            if e.kind == "resnet18"
        ]
        for name, experiment in self.experiments.items():
            uses += [(f"experiments.{name}.split", experiment.split, s) for s in ("train", "test")]
        uses += [(f"morphology.{n}.side", m.split, m.side) for n, m in self.morphology.items()]
        for place, split, side in uses:
            fractions = self.splits[split].fractions
            # Held-out fields are a test side as well.
            if side not in fractions and not (side == "test" and self.splits[split].hold_out):
                raise ValueError(
                    f"{place} needs the side {side!r}, but splits.{split}.fractions only has "
                    f"{', '.join(fractions)}"
                )
        return self

    @model_validator(mode="after")
    def _licences(self) -> "Configuration":
        """Check that the licences of all data and weights in use are accepted."""
        needed = {f"weights.{name}": self.weights[name].licence for name in self.weights_in_use()}
        for name in self.datasets_in_use():
            dataset = self.datasets[name]
            if dataset.needs_acceptance:
                needed[f"datasets.{name}"] = dataset.licence
        lacking = {
            place: licence
            for place, licence in sorted(needed.items())
            if licence not in self.licences.accept
        }
        if lacking:
            raise ValueError(
                "these licences are not in `licences.accept`; read them, and add those that you "
                "accept: "
                + "; ".join(f"{licence!r} of {place}" for place, licence in lacking.items())
            )
        return self

    @model_validator(mode="after")
    def _plans(self) -> "Configuration":
        """Check that sampled conditions are in the dataset, as far as it is known in advance."""
        for name, experiment in self.experiments.items():
            dataset = self.datasets[self.splits[experiment.split].dataset]
            known = {
                "cell_types": dataset.all_cell_types,
                "perturbations": dataset.all_perturbations,
            }
            for key, allowed in known.items():
                if allowed is None:
                    continue
                for value in getattr(experiment.sampling, key) or []:
                    if value not in allowed:
                        shown = ", ".join(list(allowed)[:12])
                        raise ValueError(
                            f"experiments.{name}.sampling.{key} names {value!r}, which the dataset "
                            f"does not have; allowed: {shown}{' ...' if len(allowed) > 12 else ''}"
                        )
        return self

    @model_validator(mode="after")
    def _experiments(self) -> "Configuration":
        for name, experiment in self.experiments.items():
            fault = experiment.generator.fault()
            if fault is not None:
                raise ValueError(f"experiments.{name}.generator.{fault}")
            autoencoder = self.autoencoders[experiment.autoencoder]
            if autoencoder.origin == "trained" and autoencoder.image_mode != experiment.image_mode:
                raise ValueError(
                    f"experiments.{name}.image_mode is {experiment.image_mode!r}, but "
                    f"autoencoders.{experiment.autoencoder} is trained on "
                    f"{autoencoder.image_mode!r} (its image_mode): use the same value"
                )
            source = self.datasets[self.splits[experiment.split].dataset]
            if (
                experiment.evaluation.crops is not None
                and experiment.image_mode == "rgb"
                and getattr(source, "rgb", None) is None
            ):
                raise ValueError(
                    f"experiments.{name}.evaluation.crops: crops are centred on nuclei, but RGB "
                    "images of this dataset mix the nuclear stain with others; remove this key"
                )
            condition = experiment.generator.condition
            if experiment.sampling.one_set and (
                condition is None or self.conditions[condition].kind != "constant"
            ):
                raise ValueError(
                    f"experiments.{name}.sampling.one_set is true, but its generator has no "
                    "condition of kind constant: each perturbation needs its own images"
                )
            alignment = experiment.generator.alignment
            if alignment is not None and self.encoders[alignment.encoder].kind == "inception":
                raise ValueError(
                    f"experiments.{name}.generator.alignment.encoder: Inception has no tokens; "
                    "use an encoder of kind openphenom or resnet18"
                )
            dataset = self.splits[experiment.split].dataset
            for encoder_name in experiment.evaluation.encoders:
                encoder = self.encoders[encoder_name]
                if encoder.kind == "resnet18" and self.splits[encoder.split].dataset != dataset:
                    raise ValueError(
                        f"experiments.{name}.evaluation.encoders: {encoder_name!r} is trained on "
                        f"{self.splits[encoder.split].dataset!r}, but the experiment uses "
                        f"{dataset!r}"
                    )
        return self

    @model_validator(mode="after")
    def _comparisons(self) -> "Configuration":
        check_shared_trainings(self.experiments)
        check_comparisons(self.comparisons, self.experiments)
        check_papers(self.papers, self.experiments, self.comparisons, self.encoders)
        check_morphology(self.morphology, self.experiments)
        return self

    def datasets_in_use(self) -> list[str]:
        """Return the names of datasets that experiments or their networks use, sorted."""
        splits = set()
        for experiment in self.experiments.values():
            splits.add(experiment.split)
            autoencoder = self.autoencoders[experiment.autoencoder]
            if autoencoder.trained_on is not None:
                splits.add(autoencoder.trained_on)
            encoders = list(experiment.evaluation.encoders)
            if experiment.generator.alignment is not None:
                encoders.append(experiment.generator.alignment.encoder)
            for name in encoders:
                encoder = self.encoders[name]
                if encoder.kind == "resnet18":
                    splits.add(encoder.split)
        return sorted({self.splits[name].dataset for name in splits})

    def morphology_in_use(self) -> list[str]:
        """Return the names of morphologies that experiments use, sorted."""
        used = {e.evaluation.morphology for e in self.experiments.values()}
        return sorted(name for name in used if name is not None)

    def weights_in_use(self) -> list[str]:
        """Return the names of pretrained weights that experiments need, sorted."""
        return sorted(
            {name for experiment in self.experiments for name in self.weights_of(experiment)}
        )

    def weights_of(self, experiment: str) -> set[str]:
        """Return the names of pretrained weights that an experiment needs."""
        settings = self.experiments[experiment]
        used = set()
        autoencoder = self.autoencoders[settings.autoencoder]
        if autoencoder.weights_name is not None:
            used.add(autoencoder.weights_name)
        generator = settings.generator
        encoders = list(settings.evaluation.encoders)
        if generator.alignment is not None:
            encoders.append(generator.alignment.encoder)
        for name in encoders:
            encoder = self.encoders[name]
            if encoder.kind != "resnet18":
                used.add(encoder.weights)
        if generator.starts_from is not None:
            used.add(generator.starts_from)
        if generator.condition is not None:
            weights = getattr(self.conditions[generator.condition], "weights", None)
            if weights is not None:
                used.add(weights)
        return used


def parse_configuration(content: dict[str, Any], place: str = "The configuration") -> Configuration:
    """Validate the content of a configuration file.

    Parameters
    ----------
    content
        Content of the YAML file.
    place
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        With every invalid key, its value and the allowed values.
    """
    try:
        return Configuration.model_validate(content)
    except ValidationError as error:
        lines = "".join(f"\n  {line}" for line in faults(error, Configuration))
        raise ConfigError(f"{place} cannot be used:{lines}") from None


def read_configuration(path: str | Path) -> Configuration:
    """Read and validate a configuration file (YAML)."""
    return parse_configuration(read_yaml(path), str(path))
