"""Schemas of evaluation tables other than metric tables.

Separate from the code that fills them, so that readers need not import it.
"""

import pyarrow as pa

# Suffix of a recipe's name in the column `view`, for fields matched for cell count.
MATCHED = ", cell count matched"

SCORES = ("pc1", "pc2", "pc3", "pc4")
SCORES_KEY = b"morphpipe.scores"

# The closest pairs of the memorisation measure.
PAIR_SCHEMA = pa.schema(
    [
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("extractor", pa.string(), nullable=False),
        pa.field("view", pa.string(), nullable=False),
        # generated-training; real-training: held-out real images, for comparison.
        pa.field("comparison", pa.string(), nullable=False),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        # 1 is the most suspicious pair, see nearness.
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("cell_type", pa.string()),
        pa.field("perturbation", pa.string()),
        pa.field("training_field_id", pa.string(), nullable=False),
        pa.field("training_cell_type", pa.string()),
        pa.field("training_perturbation", pa.string()),
        pa.field("distance", pa.float64(), nullable=False),
        # The distance divided by the mean distance to the next training images; pairs are ranked
        # by it.
        pa.field("nearness", pa.float64(), nullable=False),
        # Below this distance the image would count as memorised.
        pa.field("threshold", pa.float64()),
    ]
)

# Per-feature differences of real and generated fields.
DIFFERENCE_SCHEMA = pa.schema(
    [
        # generated-real, or real-real: two halves of the real fields, the floor.
        pa.field("comparison", pa.string(), nullable=False),
        # "condition" or "cell count": the property whose mix is matched.
        pa.field("matched", pa.string(), nullable=False),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        pa.field("feature", pa.string(), nullable=False),
        pa.field("compartment", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        # Fields with a value of the feature.
        pa.field("n_real", pa.int64(), nullable=False),
        pa.field("n_generated", pa.int64(), nullable=False),
        pa.field("mean_real", pa.float64()),
        pa.field("mean_generated", pa.float64()),
        pa.field("median_real", pa.float64()),
        pa.field("median_generated", pa.float64()),
        # Positive where generated values are larger.
        pa.field("cliffs_delta", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("p_corrected", pa.float64()),
    ]
)

CORRELATION_SCHEMA = pa.schema(
    [
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        # From 1: the feature with the most variance explained by principal components.
        pa.field("rank_a", pa.int32(), nullable=False),
        pa.field("rank_b", pa.int32(), nullable=False),
        pa.field("feature_a", pa.string(), nullable=False),
        pa.field("feature_b", pa.string(), nullable=False),
        # Null if a feature does not vary.
        pa.field("real", pa.float64()),
        pa.field("generated", pa.float64()),
    ]
)

# Explained variance is in the metadata under SCORES_KEY: a list of {recipe, training_seed,
# sampling_seed, explained_variance}.
SCORE_SCHEMA = pa.schema(
    [
        pa.field("recipe", pa.string(), nullable=False),
        # Seeds of the generated images, also in the rows of the real images shown with them.
        pa.field("training_seed", pa.int64()),
        pa.field("sampling_seed", pa.int64()),
        pa.field("field_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("cell_type", pa.string()),
        pa.field("perturbation", pa.string()),
        pa.field("moa", pa.string()),
        pa.field("control", pa.string()),
        *(pa.field(name, pa.float64()) for name in SCORES),
    ]
)
