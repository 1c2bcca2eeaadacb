"""Profiles of fields that nobody measured, with known effects."""

import numpy as np
import pandas as pd

from morphpipe.morphology.profiles import Profiles
from morphpipe.morphology.tables import MeasurementSource

CHANNELS = {name: name for name in ("DNA", "ER", "RNA")}
SOURCE = MeasurementSource("simple.cppipe", "0" * 64, "4.2.8.1", CHANNELS, "channels")
_NAMES = [
    "Nuclei_AreaShape_Area",
    "Cells_Texture_Contrast_DNA_3_00_256",
    "Cytoplasm_Intensity_MeanIntensity_ER",
    "Cells_RadialDistribution_FracAtD_RNA_1of4",
    "Image_Granularity_1_DNA",
]


def feature_names(number):
    return [f"{_NAMES[place % len(_NAMES)]}_{place}" for place in range(number)]


def make_profiles(
    values,
    *,
    origin="real",
    perturbation="control",
    counts=50,
    wells_of=2,
    plate="1",
    cell_type="HUVEC",
    mechanism=None,
    seeds=(0, 0),
    start=0,
):
    """Profiles of fields with these values [n, d], `wells_of` fields a well."""
    values = np.asarray(values, dtype=float)
    number = len(values)
    real = origin == "real"
    place = np.arange(start, start + number)
    perturbations = np.broadcast_to(np.asarray(perturbation, dtype=object), number)
    table = pd.DataFrame(
        {
            "field_id": [
                f"{origin}-{plate}-{p}-{i}" for p, i in zip(perturbations, place, strict=True)
            ],
            "origin": origin,
            "cell_type": cell_type,
            "batch": "b0" if real else None,
            "plate": plate if real else None,
            "well": [f"{p}-{i // wells_of}" for p, i in zip(perturbations, place, strict=True)]
            if real
            else None,
            "perturbation": perturbations,
            "concentration": np.nan,
            "moa": np.broadcast_to(np.asarray(mechanism, dtype=object), number),
            "control": np.where(perturbations == "control", "negative", "none"),
            "training_seed": np.nan if real else seeds[0],
            "sampling_seed": np.nan if real else seeds[1],
        }
    ).add_prefix("Metadata_")
    features = pd.DataFrame(values, columns=feature_names(values.shape[1]))
    features["Image_Count_Nuclei"] = np.broadcast_to(np.asarray(counts, dtype=float), number)
    return pd.concat([table, features], axis=1)


def profiles(*tables):
    return Profiles(pd.concat(tables, ignore_index=True), SOURCE)
