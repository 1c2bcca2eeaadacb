"""From raw planes to an image archive, checked against arithmetic done by hand."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from morphpipe.config.preprocessing import Preprocessing, Quality
from morphpipe.core.errors import DataError
from morphpipe.core.storage import read_parquet
from morphpipe.datasets.preparation.preprocess import preprocess_plate
from morphpipe.datasets.sources.sheet import ILLUMINATION, KEY_COLUMNS, SampleSheet
from morphpipe.imaging.illumination import illumination_function
from morphpipe.tables.archive import read_fields
from morphpipe.tables.field_reader import read_images
from morphpipe.tables.manifest import Channel

NAMES = ("DNA", "actin")
PLAIN = Preprocessing(scaling="fixed", windows={"DNA": (0, 4095), "actin": (100, 1120)})


@pytest.fixture
def plate(tmp_path):
    """Four wells with two sites each, uint16 40x48, brighter towards the right."""
    random = np.random.default_rng(0)
    shade = np.linspace(0.5, 1.0, 48)[None]
    rows, images = [], {}
    for well in ("A01", "A02", "B01", "B02"):
        for site in (1, 2):
            field_id = f"p1_{well}_s{site}"
            stack = (random.integers(200, 4000, (2, 40, 48)) * shade).astype(np.uint16)
            images[field_id] = stack
            row = dict.fromkeys(KEY_COLUMNS) | {
                "field_id": field_id,
                "plate": "p1",
                "well": well,
                "site": site,
                "cell_type": "MCF7",
                "batch": "1",
                "perturbation": "DMSO" if well == "A01" else "taxol",
                "perturbation_kind": "none" if well == "A01" else "compound",
                "control": "negative" if well == "A01" else "none",
                "concentration": None if well == "A01" else 0.3,
            }
            for name, plane in zip(NAMES, stack, strict=True):
                row[name] = f"{field_id}_{name}.tif"
                tifffile.imwrite(tmp_path / row[name], plane)
            rows.append(row)
    sheet = SampleSheet(
        pd.DataFrame(rows),
        tuple(Channel(name, f"stain of {name}") for name in NAMES),
        (0.5, 0.5),
        "MIT",
        "random numbers",
        tmp_path,
    )
    return sheet, images


@pytest.fixture
def run(tmp_path):
    def preprocess(sheet, settings, quality=None, **options):
        preprocess_plate(
            sheet, "mine", settings, quality or Quality(),
            tmp_path / "images.zip", tmp_path / "quality.parquet", **options,
        )  # fmt: skip
        fields = read_fields(tmp_path / "images.zip")
        found = read_parquet(tmp_path / "quality.parquet").to_pandas()
        return fields, dict(zip(fields.field_ids, read_images(fields), strict=True)), found

    return preprocess


def scaled(plane, low, high):
    return np.rint(np.clip((plane.astype(float) - low) / (high - low), 0, 1) * 255)


def test_fixed_windows(run, plate):
    sheet, raw = plate
    fields, images, found = run(sheet, PLAIN, rgb=("actin", "DNA", "DNA"))
    for field_id, image in images.items():
        np.testing.assert_array_equal(image[0], scaled(raw[field_id][0], 0, 4095))
        np.testing.assert_array_equal(image[1], scaled(raw[field_id][1], 100, 1120))
    manifest = fields.manifest
    assert manifest.names == NAMES
    assert manifest.pixel_size == (0.5, 0.5)
    assert manifest.intensity_windows == {"p1": ((0, 4095), (100, 1120))}
    assert manifest.rgb == ("actin", "DNA", "DNA")
    assert manifest.preprocessing["scaling"] == "fixed"
    row = fields.rows()[-1]
    assert (row["dataset"], row["well"], row["site"], row["perturbation"]) == (
        "mine", "B02", 2, "taxol",
    )  # fmt: skip
    assert row["concentration"] == 0.3
    assert fields.rows()[0]["concentration"] is None
    assert len(found) == 8
    assert found["reason"].isna().all()


@pytest.mark.parametrize("per_site", [False, True])
def test_illumination_and_percentiles_of_the_plate(run, plate, per_site):
    sheet, raw = plate
    settings = Preprocessing(
        illumination="plate-site" if per_site else "plate", sigma=5, percentiles=(1, 99)
    )
    fields, images, _ = run(sheet, settings)
    for channel in range(2):
        groups = (
            [[k for k in raw if k.endswith(s)] for s in ("s1", "s2")] if per_site else [list(raw)]
        )
        corrected = {}
        for group in groups:
            mean = np.mean([raw[k][channel] for k in group], axis=0)
            function = illumination_function(mean, sigma=5)
            corrected |= {k: raw[k][channel] / function for k in group}
        low, high = np.percentile(np.stack(list(corrected.values())), (1, 99))
        window = fields.manifest.intensity_windows["p1"][channel]
        np.testing.assert_allclose(window, (low, high), atol=1)
        for field_id, image in images.items():
            expected = scaled(corrected[field_id], *window)
            np.testing.assert_allclose(image[channel], expected, atol=1)


def test_percentiles_of_each_field_leave_no_window_of_the_plate(run, plate):
    sheet, raw = plate
    fields, images, _ = run(sheet, Preprocessing(scale_over="field", percentiles=(1, 99)))
    assert fields.manifest.intensity_windows == {}
    for field_id, image in images.items():
        for channel in range(2):
            low, high = np.percentile(raw[field_id][channel], (1, 99))
            np.testing.assert_array_equal(image[channel], scaled(raw[field_id][channel], low, high))


def test_released_order_scales_before_it_corrects(run, plate, tmp_path):
    sheet, raw = plate
    function = np.linspace(1, 2, 48, dtype=np.float32)[None].repeat(40, 0)
    np.save(tmp_path / "illum.npy", function)
    frame = sheet.frame.assign(**{ILLUMINATION + name: "illum.npy" for name in NAMES})
    sheet = SampleSheet(frame, sheet.channels, None, sheet.licence, sheet.source, sheet.folder)
    settings = Preprocessing(illumination="given", scaling="minmax", order="scaling-first")
    _, images, _ = run(sheet, settings)
    plane = raw["p1_A01_s1"][0].astype(float)
    first = np.rint((plane - plane.min()) / (plane.max() - plane.min()) * 255)
    # float32 turns single halves of a grey value the other way.
    np.testing.assert_allclose(images["p1_A01_s1"][0], np.rint(first / function), atol=1)
    assert np.mean(images["p1_A01_s1"][0] != np.rint(first / function)) < 0.01
    _, fixed, _ = run(sheet, settings.model_copy(update={"order": "illumination-first"}))
    plane = raw["p1_A01_s1"][0] / function
    expected = np.rint((plane - plane.min()) / (plane.max() - plane.min()) * 255)
    np.testing.assert_allclose(fixed["p1_A01_s1"][0], expected, atol=1)


def test_background_is_subtracted_first(run, plate):
    sheet, raw = plate
    _, images, _ = run(sheet, PLAIN.model_copy(update={"background": 10.0}))
    plane = raw["p1_A01_s1"][0]
    expected = scaled(np.maximum(plane - np.percentile(plane, 10), 0), 0, 4095)
    np.testing.assert_allclose(images["p1_A01_s1"][0], expected, atol=1)


@pytest.mark.parametrize("resize", ["centre-crop", "squash", "tiles"])
def test_sizes(run, plate, resize):
    sheet, raw = plate
    settings = PLAIN.model_copy(update={"resize": resize, "size": 20})
    fields, images, found = run(sheet, settings)
    assert {image.shape for image in images.values()} == {(2, 20, 20)}
    whole = scaled(raw["p1_A01_s1"][0], 0, 4095)
    if resize == "centre-crop":
        np.testing.assert_array_equal(images["p1_A01_s1"][0], whole[10:30, 14:34])
        assert fields.manifest.pixel_size == (0.5, 0.5)
    elif resize == "squash":
        assert fields.manifest.pixel_size == (1.0, 1.2)
        assert abs(images["p1_A01_s1"][0].mean() - whole.mean()) < 1
    else:
        assert len(fields) == 8 * 4
        np.testing.assert_array_equal(images["p1_A01_s1_r0c1"][0], whole[:20, 24:44])
        assert len(found) == 8


def test_unreadable_field_stops_or_is_put_aside_and_takes_part_in_nothing(run, plate, tmp_path):
    sheet, _ = plate
    settings = Preprocessing(illumination="plate", sigma=5)
    _, before, _ = run(sheet.of_plate("p1"), settings)
    path = tmp_path / "p1_B02_s2_actin.tif"
    path.write_bytes(path.read_bytes()[:-500])
    (tmp_path / "images.zip").unlink()
    with pytest.raises(DataError, match=r"p1_B02_s2, channel actin.*unreadable: quarantine"):
        run(sheet, settings)
    assert not (tmp_path / "images.zip").exists()
    fields, images, found = run(sheet, settings, Quality(unreadable="quarantine"))
    assert "p1_B02_s2" not in images
    assert len(fields) == 7
    reasons = found.set_index("field_id")["reason"]
    assert "actin" in reasons["p1_B02_s2"]
    assert reasons.drop("p1_B02_s2").isna().all()
    without = SampleSheet(
        sheet.frame[sheet.frame["field_id"] != "p1_B02_s2"].reset_index(drop=True),
        sheet.channels, sheet.pixel_size, sheet.licence, sheet.source, sheet.folder,
    )  # fmt: skip
    _, alone, _ = run(without, settings)
    for field_id, image in alone.items():
        np.testing.assert_array_equal(images[field_id], image)
    assert any((before[k] != alone[k]).any() for k in alone), "the field had been averaged in"


def test_fields_beyond_a_limit_are_put_aside(run, plate, tmp_path):
    sheet, raw = plate
    plane = raw["p1_A02_s1"][0].copy()
    plane[:10] = 65535
    tifffile.imwrite(tmp_path / "p1_A02_s1_DNA.tif", plane)
    fields, _, found = run(sheet, PLAIN, Quality(max_saturation=0.2))
    assert "p1_A02_s1" not in fields.field_ids
    row = found.set_index("field_id").loc["p1_A02_s1"]
    assert "DNA" in row["reason"]
    assert row["saturation_DNA"] == 0.25


def test_dark_fields_and_plates_of_nothing(run, plate, tmp_path):
    sheet, _ = plate
    tifffile.imwrite(tmp_path / "p1_A01_s1_DNA.tif", np.full((40, 48), 200, np.uint16))
    tifffile.imwrite(tmp_path / "p1_A01_s1_actin.tif", np.full((40, 48), 150, np.uint16))
    fields, _, found = run(sheet, PLAIN, Quality(min_maximum=60))
    assert "p1_A01_s1" not in fields.field_ids
    assert "maximum after scaling is 12 " in found.set_index("field_id")["reason"]["p1_A01_s1"]
    (tmp_path / "images.zip").unlink()
    dark = Preprocessing(scaling="fixed", windows={"DNA": (0, 60000), "actin": (0, 60000)})
    with pytest.raises(DataError, match=r"All 8 fields of plate p1 were excluded"):
        run(sheet, dark, Quality(min_maximum=60))
    assert not (tmp_path / "images.zip").exists()


@pytest.mark.parametrize("odd", ["p1_A01_s1", "p1_B01_s1"], ids=["the first", "another"])
@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ((40, 40), np.uint16, "is uint16 40x40, most of its plate are uint16 40x48"),
        ((40, 48), np.uint8, "is uint8 40x48, most of its plate are uint16 40x48"),
    ],
)
def test_a_field_unlike_its_plate_is_named_or_quarantined(
    run, plate, tmp_path, odd, shape, kind, said
):
    sheet, _ = plate
    for name in NAMES:
        tifffile.imwrite(tmp_path / f"{odd}_{name}.tif", np.ones(shape, kind))
    with pytest.raises(DataError, match=f"{odd} {said}"):
        run(sheet, PLAIN)
    fields, _, found = run(sheet, PLAIN, Quality(unreadable="quarantine"))
    assert len(fields) == 7
    assert said in found.set_index("field_id")["reason"][odd]


def test_one_plane_under_two_channels_is_named_or_quarantined(run, plate, tmp_path):
    sheet, raw = plate
    tifffile.imwrite(tmp_path / "p1_A01_s1_actin.tif", raw["p1_A01_s1"][0])
    # A constant plane says nothing, such as that of an empty well.
    for name in NAMES:
        tifffile.imwrite(tmp_path / f"p1_A01_s2_{name}.tif", np.full((40, 48), 7, np.uint16))
    said = "p1_A01_s1: the channels DNA and actin have the same pixels"
    with pytest.raises(DataError, match=said):
        run(sheet, PLAIN)
    fields, _, found = run(sheet, PLAIN, Quality(unreadable="quarantine"))
    assert "p1_A01_s1" not in fields.field_ids
    reasons = found.set_index("field_id")["reason"]
    assert said in reasons["p1_A01_s1"]
    assert reasons.drop("p1_A01_s1").isna().all()


def test_channels_that_settings_name_have_to_be_there(run, plate):
    sheet, _ = plate
    with pytest.raises(DataError, match="`rgb` names the channel 'tubulin'"):
        run(sheet, PLAIN, rgb=("actin", "tubulin", "DNA"))
    with pytest.raises(DataError, match="windows` has no pair for 'actin'"):
        run(sheet, Preprocessing(scaling="fixed", windows={"DNA": (0, 1)}))
    with pytest.raises(DataError, match="no column illumination:DNA"):
        run(sheet, Preprocessing(illumination="given"))


def test_the_same_plate_gives_the_same_bytes(run, plate, tmp_path):
    sheet, _ = plate
    settings = Preprocessing(illumination="plate", sigma=5)
    run(sheet, settings)
    first = (tmp_path / "images.zip").read_bytes()
    run(sheet, settings)
    assert (tmp_path / "images.zip").read_bytes() == first
