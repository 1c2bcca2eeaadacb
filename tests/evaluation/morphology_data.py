"""Profiles of a small screen whose effects are known."""

import numpy as np
import pandas as pd

from morphpipe.morphology.profiles import Profiles
from morphpipe.morphology.tables import MeasurementSource

CHANNELS = {name: name for name in ("DNA", "ER")}
SOURCE = MeasurementSource("simple.cppipe", "0" * 64, "4.2.8.1", CHANNELS, "channels")
MECHANISMS = {"a": "m1", "b": "m1", "c": "m2", "d": "m2"}
WIDTH = 30
_FAMILIES = ("AreaShape_Shape", "Texture_Contrast_DNA", "Intensity_Mean_ER")


def effects(strength):
    """Mean of each perturbation: those of a mechanism are alike, the control is at zero."""
    generator = np.random.default_rng(7)
    of_mechanism = {name: generator.normal(size=WIDTH) for name in ("m1", "m2")}
    own = {name: 0.3 * generator.normal(size=WIDTH) for name in "abcd"}
    means = {name: strength * (of_mechanism[MECHANISMS[name]] + own[name]) for name in "abcd"}
    return {"control": np.zeros(WIDTH)} | means


def screen(
    origin,
    *,
    seed,
    strength=2.0,
    offset=0.0,
    wells=8,
    fields=3,
    cells=60,
    crowding=0.0,
    noise=1.0,
    cell_types=("U2OS",),
    mechanisms=MECHANISMS,
    seeds=(0, 0),
    batch="b0",
):
    """Profiles in which 4 hidden factors and the number of cells move the features."""
    generator = np.random.default_rng(seed)
    loadings = np.random.default_rng(8).normal(size=(4, WIDTH))
    real = origin == "real"
    rows, values = [], []
    for cell_type in cell_types:
        for perturbation, mean in effects(strength).items():
            for well in range(wells):
                for field in range(fields):
                    name = f"{origin}-{batch}-{cell_type}-{perturbation}-{well}-{field}"
                    count = int(generator.poisson(cells))
                    rows.append(
                        {
                            "field_id": name if real else f"{name}-{seeds[0]}-{seeds[1]}",
                            "origin": origin,
                            "cell_type": cell_type,
                            "batch": batch if real else None,
                            "plate": "1" if real else None,
                            "well": f"{cell_type}-{perturbation}-{well}" if real else None,
                            "perturbation": perturbation,
                            "concentration": np.nan,
                            "moa": (mechanisms or {}).get(perturbation) if real else None,
                            "control": "negative" if perturbation == "control" else "none",
                            "training_seed": np.nan if real else seeds[0],
                            "sampling_seed": np.nan if real else seeds[1],
                            "Count": float(count),
                        }
                    )
                    factors = 0.5 * generator.normal(size=4) @ loadings
                    values.append(
                        10
                        + mean
                        + offset
                        + factors
                        + crowding * (count - 60)
                        + noise * generator.normal(size=WIDTH)
                    )
    table = pd.DataFrame(rows)
    counts = table.pop("Count")
    names = [f"Cells_{_FAMILIES[i % 3]}_{i}" for i in range(WIDTH)]
    features = pd.DataFrame(np.array(values), columns=names).assign(Image_Count_Nuclei=counts)
    return Profiles(pd.concat([table.add_prefix("Metadata_"), features], axis=1), SOURCE)
