"""The verbs `features` and `distance`."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    Config,
    EncoderFolder,
    Fields,
    Log,
    Threads,
    configured,
    prepare,
)
from morphpipe.cli.outputs import new


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
    from morphpipe.encoders.configured import extract_shard, record_in
    from morphpipe.tables.archive import read_fields

    _, declared = configured(config, "encoders", name)
    settings = declared.model_dump(mode="json")
    record = record_in(encoder, settings)
    extract_shard(read_fields(fields), name, settings, record, view or ["all"], output)
    print(output)


def distance(
    left: Annotated[Path, typer.Argument(help="Field table or archive, for example generated.")],
    right: Annotated[Path, typer.Argument(help="Field table or archive, for example real.")],
    encoder: Annotated[Path, typer.Option(help="The encoder's weights file.")],
    kind: Annotated[str, typer.Option(help="resnet18, inception or openphenom.")] = "resnet18",
    view: Annotated[str, typer.Option(help="all, rgb or a channel's name.")] = "all",
    threads: Threads = None,
) -> None:
    r"""Fréchet and kernel distance between the images of two archives.

    There is no floor: compare with the distance between two sets of real images. Example:

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
    print(f"images: {len(features[0])} vs {len(features[1])}, {kind}, view {view}")
    print(f"{label}: {frechet_distance(features[0], features[1]):.4f}")
    print(f"kernel distance: {kernel.mean:.6f} (SD {kernel.std:.6f}, subsets of {size})")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (features, distance):
        app.command(rich_help_panel="Images and results")(verb)
