import re
from dataclasses import dataclass

import pytest

from morphpipe.datasets.simulated import CHANNELS
from morphpipe.datasets.sources import rxrx1
from morphpipe.imaging.rgb import RGB_CHANNELS

from .command_line import COMPARTMENTS, PIPELINES

CELL_PAINTING = ("DNA", "ER", "RNA", "AGP", "Mito")  # JUMP's and Rohban's
IMAGES = {
    "cellpainting_6ch": rxrx1.MANIFEST.names,
    "cellpainting_5ch": CELL_PAINTING,
    "bbbc021_rgb": RGB_CHANNELS,
    "morphodiff_bbbc021": RGB_CHANNELS,
    "simulated_6ch": CHANNELS,
}
INPUT_MODULES = ["Images", "Metadata", "NamesAndTypes", "Groups"]
# What MorphGen's appendix G.2 names, and what MorphoDiff's pipeline has besides.
PAPERS_MODULES = {
    "IdentifyPrimaryObjects",
    "IdentifySecondaryObjects",
    "IdentifyTertiaryObjects",
    "MeasureColocalization",
    "MeasureGranularity",
    "MeasureImageAreaOccupied",
    "MeasureImageIntensity",
    "MeasureObjectIntensity",
    "MeasureObjectIntensityDistribution",
    "MeasureObjectNeighbors",
    "MeasureObjectSizeShape",
    "MeasureTexture",
}

every_pipeline = pytest.mark.parametrize("name", IMAGES)
the_papers = pytest.mark.parametrize("name", [name for name in IMAGES if "simulated" not in name])


@dataclass(frozen=True)
class Module:
    name: str
    settings: list[tuple[str, str]]

    def values(self, text):
        """The values of all settings with this text."""
        return [value for key, value in self.settings if key == text]

    def names(self, text):
        """The comma-separated names of a setting, or one name per setting."""
        return [name.strip() for value in self.values(text) for name in value.split(",")]


def read_pipeline(name):
    """Header and modules of a pipeline's file, read as text."""
    header, modules = {}, []
    for line in (PIPELINES / f"{name}.cppipe").read_text().splitlines():
        module = re.match(r"(\w+):\[module_num:(\d+)\|", line)
        if module:
            modules.append(Module(module[1], []))
            assert int(module[2]) == len(modules)
        elif modules and line.startswith("    "):
            text, _, value = line.strip().partition(":")
            # A question in a setting's text may hold a colon of its own, but none of ours does.
            modules[-1].settings.append((text, value))
        elif not modules and ":" in line:
            header.setdefault(*line.split(":", 1))
    return header, modules


def only(modules, name):
    (module,) = [module for module in modules if module.name == name]
    return module


def test_every_file_is_tested():
    assert {path.stem for path in PIPELINES.glob("*.cppipe")} == set(IMAGES)


@every_pipeline
def test_a_pipeline_is_one_of_cellprofiler_4(name):
    header, modules = read_pipeline(name)
    assert header["Version"] == "5"
    assert int(header["ModuleCount"]) == len(modules)
    assert [module.name for module in modules[:4]] == INPUT_MODULES
    assert modules[-1].name == "ExportToSpreadsheet"


@every_pipeline
def test_image_names_are_the_channels_of_the_fields(name):
    _, modules = read_pipeline(name)
    names = only(modules, "NamesAndTypes").values("Name to assign these images")
    # The first belongs to another way of assigning names.
    assert tuple(names[1:]) == IMAGES[name]


@every_pipeline
def test_a_file_of_an_archive_is_one_image(name):
    _, modules = read_pipeline(name)
    rules = only(modules, "NamesAndTypes").values("Select the rule criteria")
    patterns = [re.search(r'containregexp "(.*)"\)', rule)[1] for rule in rules]
    assert len(patterns) == len(IMAGES[name])
    for place, channel in enumerate(IMAGES[name]):
        for file in (f"{channel}.png", f"G01_{channel}.tif", f"well_A01_s2_{channel}.png"):
            found = [bool(re.search(pattern, file)) for pattern in patterns]
            assert found == [place == other for other in range(len(patterns))], file
    assert not any(re.search(pattern, "fields.parquet") for pattern in patterns)


@every_pipeline
def test_a_field_is_told_by_its_folder_and_its_name(name):
    _, modules = read_pipeline(name)
    metadata = only(modules, "Metadata")
    stem = metadata.values("Regular expression to extract from file name")[0]
    folder = metadata.values("Regular expression to extract from folder name")[1]
    channel = IMAGES[name][0]
    assert re.search(stem, f"{channel}.png")["Stem"] == ""
    assert re.search(stem, f"B02_s1_{channel}.png")["Stem"] == "B02_s1"
    for path in ("/data/screen/field-7", r"C:\data\screen\field-7"):
        assert re.search(folder, path)["Folder"].endswith("field-7")


@the_papers
def test_the_papers_modules_are_there(name):
    _, modules = read_pipeline(name)
    assert {module.name for module in modules} >= PAPERS_MODULES


@the_papers
def test_all_images_and_compartments_are_measured(name):
    _, modules = read_pipeline(name)
    images, compartments = set(IMAGES[name]), set(COMPARTMENTS)
    for module in modules:
        for measured in filter(None, [module.names("Select images to measure")]):
            assert {image.removesuffix("_background") for image in measured} == images, module.name
    for kind, text in (
        ("MeasureObjectIntensity", "Select objects to measure"),
        ("MeasureTexture", "Select objects to measure"),
        ("MeasureColocalization", "Select objects to measure"),
        ("MeasureObjectIntensityDistribution", "Select objects to measure"),
        ("MeasureObjectSizeShape", "Select object sets to measure"),
        ("MeasureImageAreaOccupied", "Select object sets to measure"),
    ):
        assert set(only(modules, kind).names(text)) == compartments, kind


def test_rgb_pipelines_find_nuclei_in_blue_and_cells_in_green():
    for name in ("bbbc021_rgb", "morphodiff_bbbc021"):
        _, modules = read_pipeline(name)
        nuclei = only(modules, "IdentifyPrimaryObjects")
        settings = dict(nuclei.settings)
        assert settings["Select the input image"] == "blue"
        assert settings["Typical diameter of objects, in pixel units (Min,Max)"] == "12,120"
        assert nuclei.values("Thresholding method")[0] == "Minimum Cross-Entropy"
        for cells in (module for module in modules if module.name == "IdentifySecondaryObjects"):
            settings = dict(cells.settings)
            assert settings["Select the input image"] == "green"
            assert settings["Select the method to identify the secondary objects"] == "Propagation"
            assert cells.values("Thresholding method")[0] == "Otsu"
            assert settings["Two-class or three-class thresholding?"] == "Three classes"
        assert only(modules, "MeasureTexture").values("Texture scale to measure") == [
            "3",
            "5",
            "10",
        ]


BOUNDS = "Lower and upper bounds on threshold"
MIDDLE_CLASS = "Assign pixels in the middle intensity class to the foreground or the background?"


def test_morphodiff_has_the_settings_of_the_published_pipeline():
    _, modules = read_pipeline("morphodiff_bbbc021")
    nuclei = dict(only(modules, "IdentifyPrimaryObjects").settings)
    assert nuclei["Size of smoothing filter"] == "25"
    assert nuclei["Automatically calculate size of smoothing filter for declumping?"] == "No"
    distance = "Suppress local maxima that are closer than this minimum allowed distance"
    assert float(nuclei[distance]) == 20
    assert nuclei["Automatically calculate minimum allowed distance between local maxima?"] == "No"
    assert nuclei["Speed up by using lower-resolution image to find local maxima?"] == "No"
    assert nuclei["Fill holes in identified objects?"] == "After declumping only"
    assert nuclei["Discard objects touching the border of the image?"] == "No"
    assert float(nuclei["Threshold smoothing scale"]) == 3
    assert nuclei[BOUNDS] == "0.005,0.6"
    kept = dict(only(modules, "FilterObjects").settings)
    assert kept["Select the filtering mode"] == "Image or mask border"
    assert (
        kept["Select the objects to filter"] == nuclei["Name the primary objects to be identified"]
    )
    assert kept["Name the output objects"] == "Nuclei"
    for cells in (module for module in modules if module.name == "IdentifySecondaryObjects"):
        settings = dict(cells.settings)
        assert settings["Log transform before thresholding?"] == "Yes"
        assert settings[MIDDLE_CLASS] == "Background"
        assert settings[BOUNDS] == "0.005,0.06"
        assert float(settings["Threshold smoothing scale"]) == 2
    colocalization = dict(only(modules, "MeasureColocalization").settings)
    assert colocalization["Select where to measure correlation"] == "Within objects"
    # With all of them, the next setting would not count.
    assert colocalization["Run all metrics?"] == "No"
    costes = "Calculate the Manders coefficients using Costes auto threshold?"
    assert colocalization[costes] == "No"
    texture = dict(only(modules, "MeasureTexture").settings)
    assert texture["Measure whole images or objects?"] == "Objects"
    granularity = only(modules, "MeasureGranularity")
    settings = dict(granularity.settings)
    assert settings["Measure within objects?"] == "Yes"
    assert set(granularity.names("Select objects to measure")) == set(COMPARTMENTS)
    assert settings["Subsampling factor for granularity measurements"] == "0.5"
    assert settings["Subsampling factor for background reduction"] == "0.5"


def test_morphodiff_looks_for_neighbours_at_the_published_distances():
    _, modules = read_pipeline("morphodiff_bbbc021")
    found = set()
    for module in modules:
        if module.name == "MeasureObjectNeighbors":
            settings = dict(module.settings)
            method = settings["Method to determine neighbors"]
            distance = settings["Neighbor distance"] if method.startswith("Within") else method
            found.add((settings["Select objects to measure"], distance))
    assert found == {("Nuclei", "1"), ("Cells", "5"), ("Cells", "Adjacent")}


def test_morphodiff_measures_the_quality_of_images_and_the_background_outside_of_all_cells():
    _, modules = read_pipeline("morphodiff_bbbc021")
    quality = only(modules, "MeasureImageQuality").names("Select the images to measure")
    assert set(quality) == set(RGB_CHANNELS)
    masked = [dict(module.settings) for module in modules if module.name == "MaskImage"]
    assert {mask["Select object for mask"] for mask in masked} == {"AllCells"}
    assert {mask["Invert the mask?"] for mask in masked} == {"Yes"}
    assert {mask["Select the input image"] for mask in masked} == set(RGB_CHANNELS)
    backgrounds = {mask["Name the output image"] for mask in masked}
    intensity = only(modules, "MeasureImageIntensity")
    assert set(intensity.names("Select images to measure")) == backgrounds


LOAD_AND_WRITE = """
    import io, json, sys
    from morphpipe.morphology import adapters
    adapters.install()
    import cellprofiler_core.modules
    from cellprofiler_core.pipeline import Pipeline
    pipeline = Pipeline()
    pipeline.load(sys.argv[1])
    written = io.StringIO()
    pipeline.dump(written, save_image_plane_details=False)
    print(json.dumps(written.getvalue()))
"""


@every_pipeline
def test_cellprofiler_loads_and_writes_the_same(run_cellprofiler, name):
    path = PIPELINES / f"{name}.cppipe"
    assert run_cellprofiler(LOAD_AND_WRITE, path) == path.read_text()
