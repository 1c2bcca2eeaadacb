"""Verbs that set experiments beside each other, and cohorts, and crops."""

from pathlib import Path
from typing import Annotated

import typer

from morphpipe.cli.options import (
    CONFIG,
    Config,
    Fields,
    Log,
    Split,
    Threads,
    configured,
    prepare,
)
from morphpipe.cli.outputs import new

Samples = Annotated[
    list[Path], typer.Option(help="Archive (.zip) of generated images; repeat for several.")
]
Real = Annotated[
    list[Path], typer.Option(help="Folder of real images' features; repeat per encoder and shard.")
]
Generated = Annotated[
    list[Path],
    typer.Option(help="Folder of generated images' features; repeat per encoder and archive."),
]


def compare(
    name: Annotated[str, typer.Argument(help="One of the configuration's `comparisons`.")],
    model: Annotated[
        list[Path],
        typer.Option(help="Metric table with the model's distances; repeat for several."),
    ],
    baseline: Annotated[
        list[Path],
        typer.Option(help="Metric table with the baseline's distances; repeat for several."),
    ],
    output: Annotated[Path, new("Table of tests (.parquet) to write.")],
    config: Config = CONFIG,
    log: Log = None,
) -> None:
    r"""Test whether a model is closer to the real images than a baseline, over perturbations.

    Example:

    ```
    morphpipe compare morphodiff-against-baseline --config config/morphodiff.yaml \
        --model morphodiff/distances.parquet --baseline baseline/distances.parquet \
        --output tests.parquet
    ```
    """
    prepare(None, log)
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.distances.comparison_stage import compare_experiments

    _, comparison = configured(config, "comparisons", name)
    tests = compare_experiments(comparison, model, baseline)
    write_parquet(tests, output)
    for row in tests.to_pylist():
        if row["group"] != "all":
            continue
        said = row["reason"] or (
            f"difference {row['difference']:.4g} ({row['ci_low']:.4g} to {row['ci_high']:.4g}), "
            f"paired t-test p = {row['paired_p']:.2g}, smallest difference that could have been "
            f"shown {row['smallest_difference']:.4g}"
        )
        scope = f"{row['metric']}, {row['extractor']}, view {row['view']}, {row['cell_type']}"
        print(f"{scope}, {row['perturbations']} perturbations: {said}")
    print(f"{len(tests)} rows in {output}")


def rank(
    name: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    fields: Fields,
    split: Split,
    samples: Samples,
    real: Real,
    generated: Generated,
    output: Annotated[Path, new("Table of ranks (.parquet) to write.")],
    block: Annotated[
        int | None, typer.Option(help="Only this block, from 0; default: all of them.")
    ] = None,
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Rank each perturbation's own real images among those of all, by distance.

    How many cohorts, and how many blocks, is said by a comparison that names the experiment.
    Example:

    ```
    morphpipe rank morphodiff --config config/morphodiff.yaml \
        --fields fields.parquet --split split.parquet \
        --samples samples.zip --real features \
        --generated generated-features --output ranking.parquet
    ```
    """
    prepare(threads, log)
    import pyarrow as pa

    from morphpipe.config.comparisons import Ranking, ranking_of
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.distances.ranking_blocks import rank_block
    from morphpipe.evaluation.stage import EvaluationInputs, by_encoder

    configuration, experiment = configured(config, "experiments", name)
    dataset = configuration.splits[experiment.split].dataset
    encoders = experiment.evaluation.encoders
    ranking = ranking_of(configuration.comparisons, name) or Ranking()
    inputs = EvaluationInputs(
        fields=str(fields),
        split=str(split),
        samples=[str(path) for path in samples],
        experiment=name,
        dataset=dataset,
        source=configuration.datasets[dataset].source,
        generator=experiment.generator.architecture,
        evaluation=experiment.evaluation.model_dump(mode="json"),
        real=by_encoder(real, encoders),
        generated=by_encoder(generated, encoders),
    )
    chosen = range(ranking.blocks) if block is None else [block]
    table = pa.concat_tables([rank_block(inputs, ranking, number) for number in chosen])
    write_parquet(table, output)
    print(f"{len(table)} rows in {output}")


def evaluate_crops(
    name: Annotated[str, typer.Argument(help="One of the configuration's `experiments`.")],
    split: Split,
    real_crops: Annotated[
        list[Path], typer.Option(help="Archive of crops of real fields; repeat for several.")
    ],
    generated_crops: Annotated[
        list[Path], typer.Option(help="Archive of crops of generated fields; repeat for several.")
    ],
    real: Real,
    generated: Generated,
    output: Annotated[Path, new("Metric table (.parquet) to write.")],
    config: Config = CONFIG,
    threads: Threads = None,
    log: Log = None,
) -> None:
    r"""Measure distances of single-cell crops, beside the floor of the real ones.

    `--real` and `--generated` are features of the crops, as `features` makes them of the archives
    that `datasets crops` writes. Example:

    ```
    morphpipe evaluate-crops morphodiff --config config/morphodiff.yaml \
        --split split.parquet --real-crops crops.zip --generated-crops generated-crops.zip \
        --real crop-features --generated generated-crop-features \
        --output crop-distances.parquet
    ```
    """
    prepare(threads, log)
    from morphpipe.core.errors import ConfigError
    from morphpipe.core.storage import write_parquet
    from morphpipe.evaluation.distances.crops import CropInputs, measure_crop_distances
    from morphpipe.evaluation.stage import by_encoder
    from morphpipe.tables.metric_table import metric_table

    configuration, experiment = configured(config, "experiments", name)
    evaluation = experiment.evaluation
    if evaluation.crops is None:
        raise ConfigError(
            f"experiments.{name}.evaluation.crops is null: say there how crops are cut."
        )
    rows = measure_crop_distances(
        CropInputs(
            split=str(split),
            real_crops=[str(path) for path in real_crops],
            generated_crops=[str(path) for path in generated_crops],
            experiment=name,
            dataset=configuration.splits[experiment.split].dataset,
            generator=experiment.generator.architecture,
            evaluation=evaluation.model_dump(mode="json"),
            order=evaluation.crops.order,
            size=evaluation.crops.size,
            real=by_encoder(real, evaluation.encoders),
            generated=by_encoder(generated, evaluation.encoders),
        )
    )
    write_parquet(metric_table(rows), output)
    print(f"{len(rows)} rows in {output}")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (compare, rank, evaluate_crops):
        app.command(rich_help_panel="Evaluate and report")(verb)
