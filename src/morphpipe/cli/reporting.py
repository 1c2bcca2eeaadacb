"""Verbs around evaluation: a distance between two sets of images, straight from archives."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import Threads, prepare


def distance(
    left: Annotated[Path, typer.Argument(help="Field table or archive, generated for instance.")],
    right: Annotated[Path, typer.Argument(help="Field table or archive, real for instance.")],
    encoder: Annotated[Path, typer.Option(help="The encoder's weights file.")],
    kind: Annotated[str, typer.Option(help="resnet18, inception or openphenom.")] = "resnet18",
    view: Annotated[str, typer.Option(help="all, rgb or a channel's name.")] = "all",
    threads: Threads = None,
) -> None:
    """Fréchet and kernel distance between the images of two archives."""
    prepare(threads, None)
    import tempfile

    from morphpipe.datasets.fields import read_fields
    from morphpipe.devices import best_device
    from morphpipe.encoders.extract import extract_features
    from morphpipe.encoders.feature_table import read_features
    from morphpipe.encoders.registry import build_encoder
    from morphpipe.evaluation.frechet import frechet_distance
    from morphpipe.evaluation.kernel import kernel_distance

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
    name = "FID" if kind == "inception" else "Frechet distance"
    print(f"images: {len(features[0])} against {len(features[1])}, {kind}, view {view}")
    print(f"{name}: {frechet_distance(features[0], features[1]):.4f}")
    print(f"kernel distance: {kernel.mean:.6f} (deviation {kernel.std:.6f}, subsets of {size})")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(distance)
