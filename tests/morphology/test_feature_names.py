import pytest

from morphpipe.morphology.feature_names import (
    FeatureName,
    is_identifier,
    is_position,
    parse_feature,
)

CHANNELS = ["DNA", "ER", "Orig_ER", "AGP"]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("Nuclei_AreaShape_Area", ("Nuclei", "AreaShape", "")),
        ("Cells_Texture_Contrast_DNA_3_00_256", ("Cells", "Texture", "DNA")),
        ("Cells_Correlation_Manders_DNA_AGP", ("Cells", "Correlation", "DNA+AGP")),
        ("Cells_Correlation_Manders_AGP_DNA", ("Cells", "Correlation", "AGP+DNA")),
        ("Cytoplasm_RadialDistribution_FracAtD_ER_1of4", ("Cytoplasm", "RadialDistribution", "ER")),
        ("Cells_Intensity_MeanIntensity_Orig_ER", ("Cells", "Intensity", "Orig_ER")),
        ("Image_Granularity_16_ER", ("Image", "Granularity", "ER")),
        ("Image_Count_Nuclei", ("Image", "Count", "")),
        # An image that a pipeline made of a channel.
        ("Image_Intensity_MeanIntensity_ER_background", ("Image", "Intensity", "ER")),
        # No channel hides inside another word.
        ("Nuclei_AreaShape_ERosion", ("Nuclei", "AreaShape", "")),
    ],
)
def test_names_are_taken_apart(feature, expected):
    assert parse_feature(feature, CHANNELS) == FeatureName(*expected)


def test_numbers_of_objects_are_no_morphology():
    for name in (
        "Number_Object_Number",
        "Parent_Nuclei",
        "Neighbors_FirstClosestObjectNumber_Adjacent",
        "Neighbors_SecondClosestObjectNumber_5",
    ):
        assert is_identifier(name)
    for name in ("AreaShape_Area", "Neighbors_NumberOfNeighbors_5", "Children_Cytoplasm_Count"):
        assert not is_identifier(name)


def test_places_in_the_field_are_told_from_shapes():
    for name in (
        "Nuclei_Location_Center_X",
        "Cells_Location_MaxIntensity_Y_ER",
        "Cells_AreaShape_Center_Y",
        "Cells_AreaShape_BoundingBoxMinimum_X",
    ):
        assert is_position(name)
    for name in ("Cells_AreaShape_BoundingBoxArea", "Nuclei_AreaShape_Area", "Image_Count_Cells"):
        assert not is_position(name)
