"""Pipelines as they are read: what they ask for, and what cannot be used."""

import re

import pytest

from morphpipe.datasets.simulated import CHANNELS

from .conftest import PIPELINES

_LOAD = """
    import json, sys
    from pathlib import Path
    from morphpipe.core.errors import DataError
    from morphpipe.morphology.pipeline import load_pipeline
    found = {}
    for path in map(Path, sys.argv[1:]):
        try:
            loaded = load_pipeline(path)
        except DataError as error:
            found[path.name] = str(error)
            continue
        found[path.name] = {
            "images": loaded.images,
            "modules": [module.module_name for module in loaded.modules],
            "compartments": {name: list(f) for name, f in loaded.compartments.items()},
            "image": list(loaded.features["Image"]),
            "aggregates": loaded.aggregates,
        }
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def original():
    return (PIPELINES / "simulated_6ch.cppipe").read_text()


def test_a_pipeline_says_what_it_asks_for_and_measures(run_cellprofiler):
    path = PIPELINES / "simulated_6ch.cppipe"
    loaded = run_cellprofiler(_LOAD, path)[path.name]
    assert tuple(loaded["images"]) == CHANNELS
    assert not loaded["aggregates"]
    names = re.findall(r"^([A-Za-z]+):\[", path.read_text(), re.MULTILINE)
    skipped = {"Images", "Metadata", "NamesAndTypes", "Groups", "ExportToSpreadsheet"}
    assert loaded["modules"] == [name for name in names if name not in skipped]
    assert set(loaded["compartments"]) == {"Nuclei", "Cells", "Cytoplasm"}
    assert "AreaShape_Area" in loaded["compartments"]["Cells"]
    assert "Count_Nuclei" in loaded["image"]
    everything = [*loaded["image"], *loaded["compartments"]["Nuclei"]]
    assert not [name for name in everything if name.startswith(("FileName", "Metadata", "URL"))]


def test_images_that_modules_make_themselves_are_not_asked_for(run_cellprofiler, tmp_path):
    script = """
        import json, sys
        from pathlib import Path
        from morphpipe.morphology.pipeline import load_pipeline
        from cellprofiler.modules.measureimageintensity import MeasureImageIntensity
        from cellprofiler.modules.smooth import Smooth
        from cellprofiler_core.pipeline import Pipeline
        smooth = Smooth()
        smooth.image_name.value, smooth.filtered_image_name.value = "DNA", "Smoothed"
        intensity = MeasureImageIntensity()
        intensity.images_list.value = "Smoothed, ER"
        pipeline = Pipeline()
        for number, module in enumerate((smooth, intensity), start=1):
            module.set_module_num(number)
            pipeline.add_module(module)
        with open(sys.argv[1], "w") as stream:
            pipeline.dump(stream, save_image_plane_details=False)
        print(json.dumps(load_pipeline(Path(sys.argv[1])).images))
    """
    assert run_cellprofiler(script, tmp_path / "smooth.cppipe") == ["DNA", "ER"]


def test_what_cannot_be_used_is_said(run_cellprofiler, original, tmp_path):
    loaded_as = "    Select the image type:Grayscale image"
    scaled = "    Set intensity range from:Image metadata"
    assert original.count(loaded_as) == original.count(scaled) == 7

    def second(text, old, new):
        """Replace what belongs to the first assigned image; the first of all is not in use."""
        before, _, after = text.partition(old)
        return before + old + after.replace(old, new, 1)

    last = original.rindex("\nMeasureImageIntensity:")
    damaged = {
        "text.cppipe": ("some text", "is not a CellProfiler pipeline: a .cppipe file starts with"),
        "empty.cppipe": ("", "is not a CellProfiler pipeline"),
        "cut.cppipe": (original[:last], "is truncated: it declares 16 modules but has"),
        "unknown.cppipe": (
            original.replace("\nMeasureTexture:", "\nMeasureHappiness:"),
            "cannot be loaded by this CellProfiler",
        ),
        "setting.cppipe": (
            original.replace("Assignments count:6", "Assignments count:six"),
            "cannot be loaded by this CellProfiler",
        ),
        "colour.cppipe": (
            second(original, loaded_as, loaded_as.replace("Grayscale", "Color")),
            "loads DNA as 'color image'",
        ),
        "mask.cppipe": (
            second(original, loaded_as, loaded_as.replace("Grayscale image", "Binary mask")),
            "loads DNA as 'binary mask'",
        ),
        "manual.cppipe": (
            second(original, scaled, scaled.replace("Image metadata", "Manual")),
            "scales DNA by 'manual'",
        ),
        "volume.cppipe": (
            original.replace("Process as 3D?:No", "Process as 3D?:Yes"),
            "processes volumes",
        ),
        "off.cppipe": (
            re.sub(r"(\n(?:Identify|Measure).*)enabled:True", r"\1enabled:False", original),
            "has no module that measures anything",
        ),
    }
    for name, (text, _) in damaged.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes.cppipe").write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    names = [*damaged, "bytes.cppipe", "missing.cppipe"]
    said = run_cellprofiler(_LOAD, *(tmp_path / name for name in names))
    for name, (_, expected) in damaged.items():
        assert expected in said[name], (name, said[name])
    assert "cannot be read as a text" in said["bytes.cppipe"]
    assert "does not exist" in said["missing.cppipe"]


# Divides every image by the mean of all: a module that has to see all of them first.
_ILLUMINATION = """
    import sys
    from morphpipe.morphology import adapters
    adapters.install()
    from cellprofiler.modules.correctilluminationapply import CorrectIlluminationApply
    from cellprofiler.modules.correctilluminationcalculate import CorrectIlluminationCalculate
    from cellprofiler.modules.measureimageintensity import MeasureImageIntensity
    from cellprofiler_core.modules.groups import Groups
    from cellprofiler_core.modules.namesandtypes import NamesAndTypes
    from cellprofiler_core.pipeline import Pipeline
    names = NamesAndTypes()
    names.assignment_method.value = "All images"
    names.single_image_provider.value = "DNA"
    groups = Groups()
    groups.wants_groups.value = sys.argv[2] == "grouped"
    calculate = CorrectIlluminationCalculate()
    calculate.image_name.value = "DNA"
    calculate.illumination_image_name.value = "Illumination"
    calculate.intensity_choice.value = "Regular"
    calculate.rescale_option.value = "No"
    calculate.smoothing_method.value = "No smoothing"
    calculate.each_or_all.value = "All: First cycle"
    apply = CorrectIlluminationApply()
    apply.images[0].image_name.value = "DNA"
    apply.images[0].corrected_image_name.value = "Corrected"
    apply.images[0].illum_correct_function_image_name.value = "Illumination"
    apply.images[0].divide_or_subtract.value = "Divide"
    apply.truncate_low.value = apply.truncate_high.value = False
    intensity = MeasureImageIntensity()
    intensity.images_list.value = "Corrected"
    pipeline = Pipeline()
    modules = (names, groups, calculate, apply, intensity)
    for number, module in enumerate(modules, start=1):
        module.set_module_num(number)
        pipeline.add_module(module)
    with open(sys.argv[1], "w") as stream:
        pipeline.dump(stream, save_image_plane_details=False)
"""


def test_a_module_that_needs_all_images_gets_all_whatever_the_batch(
    run_cellprofiler, make_fields, measure, tmp_path
):
    from morphpipe.morphology.tables import read_image_measurements

    fields, images = make_fields(tmp_path / "noise.zip", 5, names=("DNA",), size=(20, 30))
    run_cellprofiler(_ILLUMINATION, tmp_path / "illumination.cppipe", "whole")
    result = measure(
        tmp_path / "noise.zip", tmp_path / "illumination.cppipe", tmp_path, "--batch-size", 2
    )
    assert result.code == 0, result.said
    assert "one batch of 5 fields" in result.said
    found = read_image_measurements([result.image])["Intensity_MeanIntensity_Corrected"]
    pixels = images[:, 0] / 255.0
    expected = (pixels / pixels.mean(axis=0)).mean(axis=(1, 2))
    assert found.to_numpy() == pytest.approx(expected, rel=1e-5)
    assert len(fields) == 5


def test_groups_of_a_module_that_needs_all_images_stop(run_cellprofiler, tmp_path):
    path = tmp_path / "grouped.cppipe"
    run_cellprofiler(_ILLUMINATION, path, "grouped")
    assert (
        "groups images and has a module that works on groups"
        in (run_cellprofiler(_LOAD, path)[path.name])
    )


def test_a_module_that_throws_costs_its_field_only(
    run_cellprofiler, make_screen, pipeline, tmp_path
):
    from morphpipe.morphology.tables import read_image_measurements

    make_screen(tmp_path / "screen.zip", (2, 2, 2))
    script = """
        import sys
        from pathlib import Path
        from morphpipe.tables.archive import read_fields
        from morphpipe.morphology.measure import measure_fields
        from cellprofiler.modules.measureobjectsizeshape import MeasureObjectSizeShape
        original, calls = MeasureObjectSizeShape.run, []
        def run(self, workspace):
            calls.append(1)
            if len(calls) == 2:
                raise ZeroDivisionError("nothing\\nto divide by")
            original(self, workspace)
        MeasureObjectSizeShape.run = run
        folder = Path(sys.argv[1])
        measure_fields(
            read_fields(folder / "screen.zip"), Path(sys.argv[2]), channels={},
            maximum_failed=0.5, scratch=folder / "scratch", image_path=folder / "image.parquet",
            objects_path=folder / "objects.parquet", labels_path=folder / "labels.npz",
        )
        print("null")
    """
    run_cellprofiler(script, tmp_path, pipeline)
    images = read_image_measurements([tmp_path / "image.parquet"])
    assert images["status"].tolist() == ["measured", "failed", "measured"]
    reason = images["reason"][1]
    assert reason.startswith("MeasureObjectSizeShape (module 4): ZeroDivisionError: nothing to")
    assert images["Count_Nuclei"].isna().tolist() == [False, True, False]
