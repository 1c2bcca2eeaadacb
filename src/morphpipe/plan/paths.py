"""Paths of the results of a configuration, by shard, seed and view."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from morphpipe.config import Configuration
from morphpipe.config.experiments import Crops, Experiment
from morphpipe.config.sit_presets import token_stride
from morphpipe.datasets.sources.registry import source_of
from morphpipe.datasets.sources.source import Source


@dataclass(frozen=True)
class Plan:
    """Paths of the outputs of `workflow/rules` for a configuration.

    Optional files are returned as a list, which is empty if the configuration does not need them.

    Attributes
    ----------
    configuration
        Validated configuration, see `morphpipe.plan.checks.plan_run`.
    """

    configuration: Configuration

    @property
    def results(self) -> str:
        """The folder of all results."""
        return self.configuration.paths.results

    def _downloaded(self, dataset: str) -> str:
        return f"{self.configuration.paths.cache}/datasets/{dataset}"

    def _experiment(self, name: str) -> Experiment:
        return self.configuration.experiments[name]

    # Datasets and shards

    def datasets_from(self, *sources: str) -> list[str]:
        """Names of the datasets of these sources."""
        return [n for n, d in self.configuration.datasets.items() if d.source in sources]

    def raw_datasets(self) -> list[str]:
        """Names of the datasets whose planes are preprocessed."""
        return [n for n, d in self.configuration.datasets.items() if d.raw]

    def datasets_in_place(self) -> list[str]:
        """Names of the datasets whose planes are read in place."""
        return [n for n, d in self.configuration.datasets.items() if d.planes_in_place]

    def table_names(self) -> list[str]:
        """Names of the tables that are downloaded with datasets, sorted."""
        return sorted({t for d in self.configuration.datasets.values() for t in d.tables})

    def source(self, dataset: str) -> Source[Any]:
        """The source of a dataset."""
        return source_of(self.configuration.datasets[dataset])

    def dataset_of(self, experiment: str) -> str:
        """Name of the dataset of an experiment."""
        return self.configuration.splits[self._experiment(experiment).split].dataset

    def shards(self, dataset: str, cell_types: Sequence[str] | None = None) -> Sequence[int]:
        """Shards of a dataset that may contain fields of these cell types (None: any)."""
        return self.source(dataset).shards(cell_types)

    def sets_of(self, experiment: str) -> list[tuple[int, int, int]]:
        """Training seed, sampling seed and shard of each archive of generated images."""
        settings = self._experiment(experiment)
        return [
            (t, s, k)
            for t in settings.training.seeds
            for s in settings.sampling.seeds
            for k in range(settings.sampling.shards)
        ]

    def all_images(self) -> list[str]:
        """Sets of images: `datasets/<name>` and `experiments/<name>`."""
        return [
            f"{s}/{n}" for s in ("datasets", "experiments") for n in getattr(self.configuration, s)
        ]

    def dataset_of_images(self, images: str) -> str:
        """Name of the dataset of a set of images."""
        section, name = images.split("/")
        return name if section == "datasets" else self.dataset_of(name)

    def views(self, images: str, encoder: str) -> list[str]:
        """Views that an encoder takes of a set of images: of real ones for all experiments."""
        section, dataset = images.split("/")
        if section == "experiments":
            return list(self._experiment(dataset).evaluation.views)
        evaluations = [
            experiment.evaluation
            for name, experiment in self.configuration.experiments.items()
            if self.dataset_of(name) == dataset
        ]
        wanted = [view for e in evaluations if encoder in e.encoders for view in e.views]
        return list(dict.fromkeys(wanted))

    def with_crops(self, dataset: str | None = None) -> list[str]:
        """Experiments that are evaluated on single-cell crops (None: on any dataset)."""
        return [
            name
            for name, experiment in self.configuration.experiments.items()
            if experiment.evaluation.crops is not None and dataset in (None, self.dataset_of(name))
        ]

    def crop_cell_types(self, dataset: str) -> list[str] | None:
        """Cell types that need crops, sorted; None for all, as for crops that are a dataset."""
        found: set[str] = set()
        place = f"{self.results}/datasets/{dataset}/crops/"
        for settings in self.configuration.datasets.values():
            if any(p.startswith(place) for paths in settings.own_files.values() for p in paths):
                return None
        for name in self.with_crops(dataset):
            cell_types = self._experiment(name).sampling.cell_types
            if cell_types is None:
                return None
            found.update(cell_types)
        return sorted(found)

    # By shard

    def real(
        self, dataset: str, folder: str, suffix: str, cell_types: Sequence[str] | None = None
    ) -> list[str]:
        """Files in a folder of a dataset, one per shard, see `shards`."""
        place = f"{self.results}/datasets/{dataset}/{folder}"
        return [f"{place}/shard-{k}{suffix}" for k in self.shards(dataset, cell_types)]

    def generated(self, experiment: str, folder: str, suffix: str) -> list[str]:
        """Files in a folder of an experiment, one per archive of generated images."""
        place = f"{self.results}/experiments/{experiment}/{folder}"
        return [
            f"{place}/training-{t}_sampling-{s}/shard-{k}{suffix}"
            for t, s, k in self.sets_of(experiment)
        ]

    # Data

    def raw_archive(self, dataset: str, shard: int | str) -> list[str]:
        """The record of the downloaded planes of a plate; empty for sample sheets."""
        if not self.configuration.datasets[dataset].plate_archives:
            return []
        return [f"{self._downloaded(dataset)}/plates/shard-{shard}.zip.json"]

    def tables(self, dataset: str) -> list[str]:
        """Records of the downloaded annotation tables of a dataset."""
        names = self.configuration.datasets[dataset].tables
        return [f"{self._downloaded(dataset)}/{name}.csv.json" for name in names]

    def in_place(self, dataset: str) -> dict[str, list[str]]:
        """Records of the files that the catalogue of a dataset is made from, by name.

        Local files, which are not downloaded, are returned themselves.
        """
        settings = self.configuration.datasets[dataset]
        files = {
            name: [f"{self._downloaded(dataset)}/{file}.json"]
            for name, file in settings.downloaded.items()
        }
        tables = {
            name: [f"{self._downloaded(dataset)}/{name}.csv.json"] for name in settings.tables
        }
        return settings.own_files | files | tables

    def dataset_downloads(self) -> list[str]:
        """Records of all downloaded files of datasets in use."""
        from morphpipe.plan.downloads import list_downloads

        found = list_downloads(self.configuration)
        return [f"{d.path}.json" for d in found if d.what.startswith("datasets.")]

    def missing_fields(self, dataset: str) -> list[str]:
        """Tables of the fields of a dataset without any image."""
        settings = self.configuration.datasets[dataset]
        if settings.planes_in_place:
            return [f"{self.results}/datasets/{dataset}/catalogue-missing.parquet"]
        return self.real(dataset, "sheets", "-missing.parquet") if settings.raw else []

    def shard_fields(self, dataset: str, shard: int | str) -> str:
        """Fields of a plate: an archive of images, or a table if planes are read in place."""
        folder = f"{self.results}/datasets/{dataset}"
        if self.configuration.datasets[dataset].planes_in_place:
            return f"{folder}/shards/shard-{shard}.parquet"
        return f"{folder}/images/shard-{shard}.zip"

    def images(self, images: str, part: str, shard: int | str, kind: str = "features") -> str:
        """Field table or archive of a shard of real or generated images, or of their crops.

        Parameters
        ----------
        images, part
            One of `all_images`; `training-<seed>_sampling-<seed>/` for generated images.
        shard
            Number of the shard.
        kind
            `features` for whole fields, or `crop-features/<order>-<size>`.
        """
        section, name = images.split("/")
        if kind != "features":
            place = f"{self.results}/{images}/{kind.replace('crop-features', 'crops')}"
            return f"{place}/{part}shard-{shard}.zip"
        if section == "datasets":
            return self.shard_fields(name, shard)
        return f"{self.results}/{images}/samples/{part}shard-{shard}.zip"

    def measured_fields(self, place: str, morphology: str, part: str, shard: int | str) -> str:
        """Input fields of CellProfiler: real ones if `place` is empty, else generated."""
        if place:
            return self.images(place.rstrip("/"), part, shard)
        split = self.configuration.morphology[morphology].split
        return self.shard_fields(self.configuration.splits[split].dataset, shard)

    def shards_of(self, dataset: str) -> list[str]:
        """Fields of all plates, see `shard_fields`."""
        return [self.shard_fields(dataset, shard) for shard in self.shards(dataset)]

    def fields(self, split: str) -> str:
        """The field table of the dataset of a split."""
        return f"{self.results}/datasets/{self.configuration.splits[split].dataset}/fields.parquet"

    def split_table(self, split: str) -> str:
        """The table of the side of each field."""
        return f"{self.results}/splits/{split}.parquet"

    # Networks

    def weights_record(self, name: str) -> str:
        """The record of downloaded weights, in their folder."""
        return f"{self.configuration.paths.cache}/weights/{name}/weights.json"

    def weights_records(self) -> list[str]:
        """Records of all weights in use."""
        return [self.weights_record(name) for name in self.configuration.weights_in_use()]

    def autoencoder_record(self, name: str) -> str:
        """The last file of an autoencoder, in its folder."""
        autoencoder = self.configuration.autoencoders[name]
        if autoencoder.weights_name is not None:
            return self.weights_record(autoencoder.weights_name)
        return f"{self.results}/autoencoders/{name}/config.json"

    def encoder_record(self, name: str) -> str:
        """The last file of an encoder, in its folder."""
        encoder = self.configuration.encoders[name]
        if encoder.kind == "resnet18":
            return f"{self.results}/encoders/{name}/weights.safetensors"
        return self.weights_record(encoder.weights)

    def autoencoder_histories(self) -> list[str]:
        """Loss curves of the autoencoders that are trained and in use, by name."""
        used = sorted({e.autoencoder for e in self.configuration.experiments.values()})
        trained = [n for n in used if self.configuration.autoencoders[n].trained_on is not None]
        return [f"{self.results}/autoencoders/{name}/history.csv" for name in trained]

    def encoder_histories(self) -> list[str]:
        """Loss curves of the encoders that are trained and in use, by name."""
        used: set[str] = set()
        for experiment in self.configuration.experiments.values():
            used.update(experiment.evaluation.encoders)
            if experiment.generator.alignment is not None:
                used.add(experiment.generator.alignment.encoder)
        trained = [n for n in sorted(used) if self.configuration.encoders[n].kind == "resnet18"]
        return [f"{self.results}/encoders/{name}/history.csv" for name in trained]

    def condition_files(self, name: str) -> list[str]:
        """Additional input files of a condition."""
        settings = self.configuration.conditions[name]
        weights = getattr(settings, "weights", None)
        if weights is not None:
            return [self.weights_record(weights)]
        return [settings.file] if settings.kind == "table" else []

    # Training and sampling

    def _latents(self, experiment: str) -> str:
        settings = self._experiment(experiment)
        return f"{settings.autoencoder}-{settings.image_mode}-{settings.training.augmentation}"

    def moments(self, experiment: str) -> list[str]:
        """Indices of the cached latents that an experiment trains on."""
        folder = f"latents/{self._latents(experiment)}"
        return self.real(self.dataset_of(experiment), folder, ".parquet")

    def start_latents(self, experiment: str) -> list[str]:
        """Indices of the latents that sampling starts from; empty if it starts from noise."""
        starts = self._experiment(experiment).generator.starts_from_controls
        return self.moments(experiment) if starts else []

    def targets(self, experiment: str) -> list[str]:
        """Indices of the cached alignment targets; empty without alignment."""
        generator = self._experiment(experiment).generator
        if generator.alignment is None:
            return []
        tokens = f"{generator.alignment.encoder}-patch{token_stride(generator.architecture)}"
        folder = f"targets/{tokens}_{self._latents(experiment)}"
        return self.real(self.dataset_of(experiment), folder, ".parquet")

    def conditions(self, experiment: str) -> list[str]:
        """The table of perturbation embeddings; empty if the generator learns them."""
        name = self._experiment(experiment).generator.condition
        folder = f"{self.results}/datasets/{self.dataset_of(experiment)}/conditions"
        return [] if name is None else [f"{folder}/{name}.parquet"]

    def starting_weights(self, experiment: str) -> list[str]:
        """The record of pretrained starting weights; empty if trained from scratch."""
        name = self._experiment(experiment).generator.starts_from
        return [] if name is None else [self.weights_record(name)]

    def checkpoint(self, experiment: str, seed: int | str, number: int) -> str:
        """The checkpoint after a slice, of the experiment or its `trained_by`."""
        trained = self._experiment(experiment).trained_by or experiment
        return f"{self.results}/experiments/{trained}/training/seed-{seed}/slice-{number}"

    def slice_before(self, experiment: str, seed: int | str, number: int) -> list[str]:
        """The checkpoint that a slice continues; empty for the first slice."""
        return [self.checkpoint(experiment, seed, number - 1)] if number else []

    def last_checkpoint(self, experiment: str, seed: int | str) -> str:
        """The checkpoint that is sampled."""
        slices = self._experiment(experiment).training.slices
        return self.checkpoint(experiment, seed, slices - 1)

    def guide(self, experiment: str, seed: int | str) -> list[str]:
        """The earlier checkpoint that guides the sampling; empty without one."""
        number = self._experiment(experiment).sampling.guidance.guide
        return [] if number is None else [self.checkpoint(experiment, seed, number)]

    def samples(self, experiment: str) -> list[str]:
        """Archives of generated images."""
        return self.generated(experiment, "samples", ".zip")

    # Evaluation

    def crops(self, experiment: str) -> Crops:
        """Settings of single-cell crops.

        Raises
        ------
        ValueError
            If the experiment is only evaluated on whole fields.
        """
        crops = self._experiment(experiment).evaluation.crops
        if crops is None:
            raise ValueError(f"experiments.{experiment}.evaluation has no crops")
        return crops

    def _crop_folder(self, experiment: str, kind: str = "crops") -> str:
        crops = self.crops(experiment)
        return f"{kind}/{crops.order}-{crops.size}"

    def _feature_folder(self, experiment: str, encoder: str, crops: bool) -> str:
        kind = self._crop_folder(experiment, "crop-features") if crops else "features"
        return f"{kind}/{encoder}"

    def real_features(self, experiment: str, encoder: str, *, crops: bool = False) -> list[str]:
        """Folders of features of real fields, or of single-cell crops of them."""
        dataset = self.dataset_of(experiment)
        cell_types = self.crop_cell_types(dataset) if crops else None
        return self.real(dataset, self._feature_folder(experiment, encoder, crops), "", cell_types)

    def generated_features(
        self, experiment: str, encoder: str, *, crops: bool = False
    ) -> list[str]:
        """Folders of features of generated fields, or of single-cell crops of them."""
        return self.generated(experiment, self._feature_folder(experiment, encoder, crops), "")

    def features(self, experiment: str, *, crops: bool = False) -> list[str]:
        """Folders of features of real and generated fields, for all encoders."""
        return [
            path
            for encoder in self._experiment(experiment).evaluation.encoders
            for features in (self.real_features, self.generated_features)
            for path in features(experiment, encoder, crops=crops)
        ]

    def real_crops(self, experiment: str) -> list[str]:
        """Archives of single-cell crops of real fields."""
        dataset = self.dataset_of(experiment)
        cell_types = self.crop_cell_types(dataset)
        return self.real(dataset, self._crop_folder(experiment), ".zip", cell_types)

    def generated_crops(self, experiment: str) -> list[str]:
        """Archives of single-cell crops of generated fields."""
        return self.generated(experiment, self._crop_folder(experiment), ".zip")

    def cell_counts(self, experiment: str) -> list[str]:
        """Cell counts of all real fields of the dataset, and of the generated ones."""
        return [
            *self.real(self.dataset_of(experiment), "cell-counts", ".parquet"),
            *self.generated(experiment, "cell-counts", ".parquet"),
        ]

    def metrics(self, experiment: str, name: str) -> str:
        """A metric table by name."""
        return f"{self.results}/experiments/{experiment}/metrics/{name}.parquet"
