"""Verbs around features and metrics."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    CodecFolder,
    Config,
    EncoderFolder,
    Fields,
    Log,
    Split,
    Threads,
    configured,
    prepare,
)
from morphpipe.cli.outputs import new
from morphpipe.evaluation.registry import MODULES


def features(
    name: Annotated[str, typer.Argument(help="One of the configuration's `encoders`.")],
    fields: Fields,
    encoder: EncoderFolder,
    output: Annotated[Path, new("Folder for `<view>.parquet`.")],
    view: Annotated[
        list[str] | None,
        typer.Option(
            help="all, rgb, a channel's name, or channels for each of them; repeat for several. "
            "Default: all."
        ),
    ] = None,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Compute an encoder's features of real or generated images.

    Example:

    ```
    morphpipe features resnet18 --config config/demo.yaml \
        --fields samples.zip --encoder encoder --view all --view channels \
        --output generated-features
    ```
    """
    prepare(threads, log)
    from morphpipe.encoders.stage import extract_shard, record_in
    from morphpipe.tables.archive import read_fields

    _, declared = configured(config, "encoders", name)
    settings = declared.model_dump(mode="json")
    record = record_in(encoder, settings)
    extract_shard(read_fields(fields), name, settings, record, view or ["all"], output)
    print(output)


def evaluate(
    metrics: Annotated[str, typer.Argument(help=f"One of {', '.join(MODULES)}.")],
    name: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    fields: Fields,
    split: Split,
    samples: Annotated[
        list[Path], typer.Option(help="Archive (.zip) of generated images; repeat for several.")
    ],
    real: Annotated[
        list[Path],
        typer.Option(help="Folder of real images' features; repeat per encoder and shard."),
    ],
    generated: Annotated[
        list[Path],
        typer.Option(help="Folder of generated images' features; repeat per encoder and archive."),
    ],
    output: Annotated[Path, new("Metric table (.parquet) to write.")],
    counts: Annotated[
        list[Path] | None,
        typer.Option(
            help="Cell counts, as `count-cells` writes them, of real and generated fields; repeat "
            "for several. Of matched alone."
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        new("Table of the closest pairs (.parquet) to write. Of memorisation alone."),
    ] = None,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Measure an experiment's generated images, beside the floor of the real ones.

    Example:

    ```
    morphpipe evaluate distances demo --config config/demo.yaml \
        --fields fields.parquet --split split.parquet \
        --samples samples.zip --real features \
        --generated generated-features --output distances.parquet
    ```
    """
    prepare(threads, log)
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.registry import load_measure
    from morphpipe.evaluation.stage import EvaluationInputs, by_encoder, measured

    load_measure(metrics)  # before anything is read, so that a wrong name is told at once
    configuration, experiment = configured(config, "experiments", name)
    dataset = configuration.splits[experiment.split].dataset
    encoders = experiment.evaluation.encoders
    inputs = EvaluationInputs(
        fields=str(fields),
        split=str(split),
        samples=[str(path) for path in samples],
        experiment=name,
        dataset=dataset,
        source=configuration.datasets[dataset].source,
        generator=experiment.generator.architecture,
        evaluation=experiment.evaluation.read_by(metrics),
        real=by_encoder(real, encoders),
        generated=by_encoder(generated, encoders),
        counts=[str(path) for path in counts or []],
    )
    tables = measured(metrics, inputs)
    for table, path in (("metrics", output), ("pairs", pairs)):
        if path is not None and table in tables:
            write_parquet(tables[table], path)
    print(f"{len(tables['metrics'])} rows in {output}")


def count_cells(
    fields: Fields,
    output: Annotated[Path, new("Table of cell counts (.parquet) to write.")],
    nuclear: Annotated[str, typer.Option(help="The channel that nuclei are found in.")] = "DNA",
    log: Log = None,
) -> None:
    r"""Count the cells of real or generated fields by their nuclei.

    Example:

    ```
    morphpipe count-cells --fields samples.zip --output counts.parquet
    ```
    """
    prepare(None, log)
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.core import cell_counts
    from morphpipe.tables.archive import read_fields

    counts = cell_counts.count_cells(read_fields(fields), nuclear)
    write_parquet(counts, output)
    print(f"{sum(counts['cells'].to_pylist())} cells in {len(counts)} fields: {output}")


def reconstruct(
    name: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    fields: Fields,
    split: Split,
    codec: CodecFolder,
    output: Annotated[Path, new("Metric table (.parquet) to write.")],
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Measure what an experiment's codec loses of held-out fields.

    Example:

    ```
    morphpipe reconstruct demo --config config/demo.yaml \
        --fields fields.parquet --split split.parquet \
        --codec weights/simulated-codec --output reconstruction.parquet
    ```
    """
    prepare(threads, log)
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.reconstruction import measure_reconstruction
    from morphpipe.tables.metric_table import metric_table

    configuration, experiment = configured(config, "experiments", name)
    settings = configuration.codecs[experiment.codec]
    rows = measure_reconstruction(
        fields,
        split,
        codec,
        experiment=name,
        dataset=configuration.splits[experiment.split].dataset,
        generator=experiment.generator.architecture,
        codec=experiment.codec,
        image_mode=experiment.image_mode,
        scaling_factor=settings.scaling_factor,
        fields_at_most=experiment.evaluation.reconstruction_fields,
        batch_size=settings.batch_size,
        seed=experiment.evaluation.seed,
    )
    write_parquet(metric_table(rows), output)
    print(f"{len(rows)} rows in {output}")


def distance(
    left: Annotated[Path, typer.Argument(help="Field table or archive, generated for instance.")],
    right: Annotated[Path, typer.Argument(help="Field table or archive, real for instance.")],
    encoder: Annotated[Path, typer.Option(help="The encoder's weights file.")],
    kind: Annotated[str, typer.Option(help="resnet18, inception or openphenom.")] = "resnet18",
    view: Annotated[str, typer.Option(help="all, rgb or a channel's name.")] = "all",
    threads: Threads = None,
) -> None:
    r"""Fréchet and kernel distance between the images of two archives.

    Without a floor: to be compared with the distance between two sets of real images. Example:

    ```
    morphpipe distance generated.zip screen.zip \
        --encoder encoder/weights.safetensors
    ```
    """
    prepare(threads, None)
    import tempfile

    from morphpipe.core.devices import best_device
    from morphpipe.encoders.extract import extract_features
    from morphpipe.encoders.registry import build_encoder
    from morphpipe.evaluation.distances.frechet import frechet_distance
    from morphpipe.evaluation.distances.kernel import kernel_distance
    from morphpipe.tables.archive import read_fields
    from morphpipe.tables.feature_table import read_features

    features = []
    for path in (left, right):
        fields = read_fields(path)
        network = build_encoder(kind, encoder, channels=fields.manifest.names, device=best_device())
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "features.parquet"
            extract_features(
                fields, network, {view: output}, kind=kind, weights_sha256="", batch_size=32
            )
            features.append(read_features([output]).features)
    size = min(100, len(features[0]), len(features[1]))
    kernel = kernel_distance(features[0], features[1], subset_size=size)
    label = "FID" if kind == "inception" else "Fréchet distance"
    print(f"images: {len(features[0])} against {len(features[1])}, {kind}, view {view}")
    print(f"{label}: {frechet_distance(features[0], features[1]):.4f}")
    print(f"kernel distance: {kernel.mean:.6f} (deviation {kernel.std:.6f}, subsets of {size})")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (features, evaluate, count_cells, reconstruct, distance):
        app.command(rich_help_panel="Evaluate and report")(verb)
