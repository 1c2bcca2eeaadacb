"""Ranking of an experiment block by block, from stored feature and field tables."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from morphpipe.config.comparisons import Ranking
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.datasets.splits.table import fields_on, read_split
from morphpipe.evaluation.core.load import load_feature_set
from morphpipe.evaluation.distances.ranking import blocks, rank_rows, ranking_table
from morphpipe.evaluation.stage import WHOLE_IMAGES, EvaluationInputs
from morphpipe.tables.archive import read_fields


def rank_block(inputs: EvaluationInputs, ranking: Ranking, block: int) -> pa.Table:
    """Rank the perturbations of one block among the cohorts of held-out real images.

    Only the block's generated images and the held-out real images are in memory.

    Parameters
    ----------
    inputs
        As for the metric tables.
    ranking
        Numbers of cohorts and blocks, and seed.
    block
        Index of the block, from 0.

    Returns
    -------
    pyarrow.Table
        Rows of `morphpipe.evaluation.distances.ranking.RANKING_SCHEMA` for every encoder and
        whole-image view (`all`, `rgb`); the result does not depend on the number of blocks.

    Raises
    ------
    ConfigError
        If there is no such block.
    DataError
        If no encoder has features of whole images.
    """
    if not 0 <= block < ranking.blocks:
        raise ConfigError(f"There is no block {block}: choose one from 0 to {ranking.blocks - 1}.")
    keys = pd.concat(
        [read_fields(path).keys()[["field_id", "perturbation"]] for path in inputs.samples]
    )
    names = blocks(keys["perturbation"].unique().tolist(), ranking.blocks)[block]
    generated_ids = frozenset(keys.loc[keys["perturbation"].isin(names), "field_id"])
    held_out = frozenset(fields_on(read_split(inputs.split), "test"))
    tables = [
        (encoder, view)
        for encoder, folders in inputs.real.items()
        # Each single channel would take as long again.
        for view in WHOLE_IMAGES
        if (Path(folders[0]) / f"{view}.parquet").exists()
    ]
    if not tables:
        raise DataError(
            "Ranking needs whole images, but no encoder has features of the views "
            f"{' or '.join(WHOLE_IMAGES)}: add one of them to the evaluation's `views`."
        )
    rows = []
    # With more blocks than perturbations, some are empty.
    for encoder, view in tables if names else []:
        real = [f"{folder}/{view}.parquet" for folder in inputs.real[encoder]]
        made = [f"{folder}/{view}.parquet" for folder in inputs.generated[encoder]]
        rows += rank_rows(
            load_feature_set(made, inputs.samples, generated_ids),
            load_feature_set(real, [inputs.fields], held_out),
            context=inputs.context,
            cohorts=ranking.cohorts,
            minimum_images=inputs.settings.minimum_images,
            seed=ranking.seed,
        )
    return ranking_table(rows)
