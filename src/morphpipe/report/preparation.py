"""Description of the preprocessing of raw planes."""

from morphpipe.config.preprocessing import Preprocessing
from morphpipe.imaging.rgb import RGB_CHANNELS, RXRX1_CHANNELS
from morphpipe.report import tables
from morphpipe.report.evidence import Evidence
from morphpipe.report.tables import number
from morphpipe.tables.manifest import ChannelManifest

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def _ordinal(percentile: float) -> str:
    whole = int(percentile)
    if percentile != whole:
        return f"{percentile:g}th"
    teen = 10 < whole % 100 < 20
    return f"{whole}{'th' if teen else _ORDINALS.get(whole % 10, 'th')}"


def _illumination(settings: Preprocessing) -> str:
    if settings.illumination == "none":
        return "Illumination was not corrected."
    if settings.illumination == "given":
        return "Each plane was divided by the illumination function that came with the data."
    over = "its plate" if settings.illumination == "plate" else "the same site of its plate"
    return (
        "Each plane was divided by an illumination function: the mean image of its channel over "
        f"{over}, smoothed ({settings.smoothing}, sigma {settings.sigma:g} pixels), raised to its "
        f"quantile {settings.floor:g} where it is lower, and divided by that value."
    )


def _scaling(settings: Preprocessing) -> str:
    low, high = (_ordinal(value) for value in settings.percentiles)
    if settings.scaling == "minmax":
        return (
            "Intensities were scaled from minimum and maximum of each plane to 0 and 255, so "
            "brightness cannot be compared between fields."
        )
    if settings.scaling == "fixed":
        return "Intensities were scaled to 0 to 255 with one window per channel for all plates."
    if settings.scale_over == "field":
        return (
            f"Intensities were scaled from the {low} and {high} percentile of each plane to 0 and "
            "255, so brightness cannot be compared between fields."
        )
    return (
        f"Intensities were scaled from the {low} and {high} percentile of the channel over the "
        "plate to 0 and 255, and clipped."
    )


def _resize(settings: Preprocessing) -> str:
    size = f"{settings.size} × {settings.size} pixels"
    return {
        "none": "Fields were not resized.",
        "centre-crop": f"Fields were cropped to the central {size}.",
        "squash": f"Fields were rescaled to {size}.",
        "tiles": f"Fields were cut into tiles of {size}, each a separate field.",
    }[settings.resize]


def preparation(manifest: ChannelManifest, *, simulated: bool = False) -> str:
    """Describe the preprocessing of raw planes."""
    if manifest.preprocessing is None:
        return f"As {'simulated' if simulated else 'published'}, without preprocessing."
    settings = Preprocessing.model_validate(manifest.preprocessing)
    background = (
        []
        if settings.background is None
        else [f"The {_ordinal(settings.background)} percentile of each plane was subtracted from "
              "it."]
    )  # fmt: skip
    if settings.order == "scaling-first":
        middle = [
            _scaling(settings),
            _illumination(settings) + " This followed the scaling to 8 bits, which is wrong, to "
            "reproduce MorphoDiff's released notebook.",
        ]
    else:
        middle = [_illumination(settings), _scaling(settings)]
    return " ".join([*background, *middle, _resize(settings)])


def rgb_rule(manifest: ChannelManifest) -> str:
    """Describe how RGB images are rendered."""
    if manifest.names == RGB_CHANNELS:
        return "The images are RGB already."
    if manifest.rgb is not None:
        red, green, blue = manifest.rgb
        return f"Red is the plane {red}, green {green}, blue {blue}, as configured in the dataset."
    if manifest.names == RXRX1_CHANNELS:
        return (
            "By Recursion's published table: each of the six stains is clipped at its limit, "
            "multiplied with its colour, and the six are added."
        )
    return "There are no RGB renderings: the dataset does not name three channels for them."


def pixel_size(evidence: Evidence) -> str:
    """Describe sizes of fields and pixels after preprocessing."""
    keys = evidence.real.keys()
    sizes = sorted(set(zip(keys["height"], keys["width"], strict=True)))
    shown = ", ".join(f"{height} × {width}" for height, width in sizes[:4])
    more = f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
    size = evidence.real.manifest.pixel_size
    if size is None:
        scale = "the pixel size is unknown"
    elif abs(size[0] - size[1]) < 1e-6 * size[0]:
        scale = f"a pixel is {size[0]:.4g} µm wide and high"
    else:
        scale = f"a pixel is {size[0]:.4g} µm high and {size[1]:.4g} µm wide"
    return f"Fields of {shown} pixels (height × width){more}; {scale}."


def window_table(manifest: ChannelManifest) -> tables.Table | None:
    """Raw intensities of black and white, by plate; None if there are none."""
    windows = manifest.intensity_windows
    whole = {plate: of for plate, of in windows.items() if len(of) == len(manifest.names)}
    if not whole:
        return None
    rows: list[list[tables.Cell | str]] = [
        [plate, *(tables.Cell(f"{number(low)} to {number(high)}", "number") for low, high in of)]
        for plate, of in whole.items()
    ]
    caption = (
        "Raw intensities, after the corrections above, that map to 0 and 255, by plate and channel."
    )
    return tables.table(caption, ["plate", *manifest.names], rows, len(manifest.names))
