"""Image archives of a simulated screen, one per plate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from morphpipe.config.datasets import SimulatedDataset
from morphpipe.datasets.simulated import (
    BIT_DEPTH,
    CHANNELS,
    PERTURBATIONS,
    PIXEL_SIZE,
    STAINS,
    ScreenDesign,
    Well,
    plate_layout,
    simulate_field,
)
from morphpipe.tables.archive import write_archive
from morphpipe.tables.manifest import Channel, ChannelManifest


def screen_design(dataset: SimulatedDataset) -> ScreenDesign:
    """Build the screen of a configuration."""
    return ScreenDesign(
        seed=dataset.seed,
        cell_types=tuple(dataset.cell_types),
        perturbations=tuple(dataset.perturbations),
        plates=dataset.plates,
        replicates=dataset.replicates,
        field_size=dataset.field_size,
        sites=dataset.sites,
        density=dataset.density,
    )


def manifest(design: ScreenDesign, rgb: tuple[str, str, str] | None = None) -> ChannelManifest:
    """Channel manifest of a simulated screen: RxRx1's stains in order, and its RGB channels."""
    return ChannelManifest(
        channels=tuple(Channel(name, stain) for name, stain in zip(CHANNELS, STAINS, strict=True)),
        pixel_size=(PIXEL_SIZE, PIXEL_SIZE),
        bit_depth=BIT_DEPTH,
        licence="none needed (simulated)",
        source=f"simulated screen of morphpipe, seed {design.seed}",
        rgb=rgb,
    )


def field_row(dataset: str, well: Well, site: int) -> dict[str, Any]:
    """Build the field-table row of a simulated field."""
    perturbation = PERTURBATIONS[well.perturbation]
    return {
        "field_id": f"{dataset}_{well.plate}_{well.well}_s{site}",
        "dataset": dataset,
        "origin": "real",
        "cell_type": well.cell_type,
        "batch": "simulated",
        "plate": well.plate,
        "well": well.well,
        "site": site,
        "perturbation": well.perturbation,
        "perturbation_kind": perturbation.kind,
        "control": "negative" if perturbation.kind == "none" else "none",
    }


def simulate_plate(
    design: ScreenDesign,
    plate: int,
    dataset: str,
    path: str | Path,
    rgb: tuple[str, str, str] | None = None,
) -> None:
    """Simulate one plate and write its image archive.

    Parameters
    ----------
    design
        The screen.
    plate
        From 1 to `design.plates`.
    dataset
        Name in the configuration; a part of every field_id.
    path
        The archive.
    rgb
        Channels shown as red, green and blue; None for no preference.
    """

    def sites() -> Iterator[tuple[Well, int]]:
        for well in plate_layout(design, plate):
            for site in range(1, design.sites + 1):
                yield well, site

    total = design.wells_per_plate * design.sites
    with write_archive(path, manifest(design, rgb)) as archive:
        for well, site in tqdm(
            sites(), total=total, desc=f"plate {plate}", unit="field", mininterval=5
        ):
            archive.add(field_row(dataset, well, site), simulate_field(design, well, site))
