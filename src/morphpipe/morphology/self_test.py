"""Self-test of CellProfiler's environment on discs of known number and size.

Run in that environment as `python -m morphpipe.morphology.self_test`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morphpipe.core.errors import DataError
from morphpipe.morphology import adapters
from morphpipe.morphology.batch import FieldImages, measure_batch
from morphpipe.morphology.measure import leave
from morphpipe.morphology.pipeline import load_pipeline
from morphpipe.morphology.tables import FieldMeasurements
from morphpipe.tables.archive import read_fields, write_archive
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.manifest import Channel, ChannelManifest

adapters.install()

from cellprofiler.modules.identifyprimaryobjects import (  # type: ignore[import-not-found] # noqa: E402
    IdentifyPrimaryObjects,
)
from cellprofiler.modules.measuregranularity import (  # type: ignore[import-not-found] # noqa: E402
    MeasureGranularity,
)
from cellprofiler.modules.measureobjectintensity import (  # type: ignore[import-not-found] # noqa: E402
    MeasureObjectIntensity,
)
from cellprofiler.modules.measureobjectsizeshape import (  # type: ignore[import-not-found] # noqa: E402
    MeasureObjectSizeShape,
)
from cellprofiler_core.pipeline import Pipeline  # type: ignore[import-not-found] # noqa: E402

SIDE = 192
# Centre (y, x) and radius of each disc, in pixels.
DISCS = ((40, 50, 12), (60, 130, 16), (140, 70, 20))
FOREGROUND, BACKGROUND = 180, 10


def draw() -> NDArray[np.uint8]:
    """Draw the discs as an image, uint8 [SIDE, SIDE]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((SIDE, SIDE), BACKGROUND, np.uint8)
    for row, column, radius in DISCS:
        image[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = FOREGROUND
    return image


def write_pipeline(path: Path) -> None:
    """Write a pipeline that finds the discs in the image DNA and measures them."""
    identify = IdentifyPrimaryObjects()
    identify.x_name.value = "DNA"
    identify.y_name.value = "Nuclei"
    identify.size_range.value = (10, 60)
    # Neither smoothed nor split, so that objects are exactly the discs.
    identify.use_advanced.value = True
    identify.unclump_method.value = "None"
    identify.threshold.threshold_smoothing_scale.value = 0.0
    # Minimum cross-entropy, the default, has no solution for two grey values.
    identify.threshold.global_operation.value = "Otsu"
    shape = MeasureObjectSizeShape()
    shape.objects_list.value = "Nuclei"
    intensity = MeasureObjectIntensity()
    intensity.images_list.value = "DNA"
    intensity.objects_list.value = "Nuclei"
    granularity = MeasureGranularity()
    granularity.images_list.value = "DNA"
    pipeline = Pipeline()
    for number, module in enumerate((identify, shape, intensity, granularity), start=1):
        module.set_module_num(number)
        pipeline.add_module(module)
    with open(path, "w", encoding="utf-8") as stream:
        pipeline.dump(stream, save_image_plane_details=False)


def measure(folder: Path) -> FieldMeasurements:
    """Measure the discs in process, through an image archive in `folder`."""
    manifest = ChannelManifest((Channel("DNA", "drawn"),), None, 8, "none needed", "drawn discs")
    row = {
        "field_id": "discs",
        "dataset": "self-test",
        "origin": "real",
        "cell_type": "none",
        "perturbation": "none",
        "perturbation_kind": "none",
        "control": "none",
    }
    with write_archive(folder / "discs.zip", manifest) as archive:
        archive.add(row, draw()[None])
    write_pipeline(folder / "discs.cppipe")
    loaded = load_pipeline(folder / "discs.cppipe")
    fields = read_fields(folder / "discs.zip")
    with FieldReader(fields) as reader:
        images = FieldImages(fields, reader, {"DNA": 0}, rgb=False)
        return measure_batch(loaded, images, {0: "discs"}).fields[0]


def check(found: FieldMeasurements) -> None:
    """Compare the measurements with the discs.

    Raises
    ------
    DataError
        If they differ.
    """
    if found.reason is not None:
        raise DataError(f"the self-test failed: {found.reason}")
    count = found.image["Count_Nuclei"]
    if count != len(DISCS):
        raise DataError(f"the self-test drew {len(DISCS)} discs, and {count:.0f} were found")
    nuclei = found.objects["Nuclei"]
    y, x = np.mgrid[:SIDE, :SIDE]
    drawn = sorted(
        int(np.sum((y - row) ** 2 + (x - column) ** 2 <= radius**2))
        for row, column, radius in DISCS
    )
    areas = sorted(nuclei["AreaShape_Area"].tolist())
    if areas != drawn:
        raise DataError(f"the self-test drew areas of {drawn} pixels, but {areas} were found")
    bright = nuclei["Intensity_MeanIntensity_DNA"]
    if not np.allclose(bright, FOREGROUND / 255, rtol=1e-6):
        raise DataError(
            f"the self-test drew intensities of {FOREGROUND / 255:.4f}, and {bright} were found"
        )
    spectrum = [found.image[f"Granularity_{scale}_DNA"] for scale in range(1, 17)]
    if not np.all(np.isfinite(spectrum)):
        raise DataError(f"the self-test's granularity is {spectrum}")


def main() -> int:
    """Measure and compare; return 0 on success."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check(measure(Path(folder)))
        except DataError as error:
            print(error, file=sys.stderr)
            return 1
    print("passed")
    return 0


if __name__ == "__main__":
    leave(main())
