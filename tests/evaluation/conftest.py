import numpy as np
import pandas as pd
import pytest

# Imported first, so that torchvision loads beside a CPU torch: torch-fidelity needs it.
import morphpipe  # noqa: F401
from morphpipe.evaluation.core.feature_set import FeatureSet


@pytest.fixture(scope="session")
def make_features():
    """Make a feature set of Gaussian features.

    `means` maps (cell type, perturbation) to a mean; every well shares a deviation of its own.
    The perturbation "control" is the negative control; `mechanisms` maps perturbations to one.
    """

    def make(
        means,
        *,
        seed,
        origin="real",
        wells=8,
        fields_per_well=4,
        width=8,
        well_deviation=0.0,
        batch="b0",
        seeds=(0, 0),
        extractor="test",
        view="rgb",
        mechanisms=None,
    ):
        generator = np.random.default_rng(seed)
        rows, features = [], []
        real = origin == "real"
        for (cell_type, perturbation), mean in means.items():
            for well in range(wells):
                shared = well_deviation * generator.standard_normal(width)
                for site in range(fields_per_well):
                    rows.append(
                        {
                            "field_id": f"{origin}-{batch}-{cell_type}-{perturbation}-{well}-{site}"
                            + ("" if real else f"-{seeds}"),
                            "cell_type": cell_type,
                            "perturbation": perturbation,
                            "control": "negative" if perturbation == "control" else "none",
                            "moa": (mechanisms or {}).get(perturbation),
                            "batch": f"{batch}-{cell_type}" if real else None,
                            "plate": "1" if real else None,
                            "well": f"{perturbation}-{well}" if real else None,
                            "origin": origin,
                            "training_seed": None if real else seeds[0],
                            "sampling_seed": None if real else seeds[1],
                        }
                    )
                    features.append(mean + shared + generator.standard_normal(width))
        return FeatureSet(pd.DataFrame(rows), np.array(features, dtype=np.float32), extractor, view)

    return make
