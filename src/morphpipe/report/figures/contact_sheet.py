"""A contact sheet: some fields of every condition, for a first look at any field table."""

from matplotlib.figure import Figure

from morphpipe.report.figures.composite import composite, white_levels
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable


def contact_sheet(fields: FieldTable, columns: int) -> Figure:
    """Draw the first fields of every cell type and perturbation, a row for each.

    Parameters
    ----------
    fields
        Real or generated fields.
    columns
        Fields per row.

    Returns
    -------
    matplotlib.figure.Figure
        In the colours of `morphpipe.report.figures.composite`; each channel scaled to its 99.5th
        percentile over the fields that are shown.
    """
    keys = fields.keys()
    groups = {
        condition: rows[:columns]
        for condition, rows in keys.groupby(["cell_type", "perturbation"]).indices.items()
    }
    with FieldReader(fields) as reader:
        images = {int(row): reader.read(int(row)) for rows in groups.values() for row in rows}
    white = white_levels(images.values(), fields.manifest)
    figure = Figure(figsize=(columns * 1.3, len(groups) * 1.5), layout="constrained")
    grid = figure.subplots(len(groups), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, ((cell_type, perturbation), rows) in zip(grid, groups.items(), strict=True):
        line[0].set_title(f"{cell_type}, {perturbation}", loc="left", fontsize=8)
        for axes, row in zip(line, rows, strict=False):
            axes.imshow(composite(images[int(row)], fields.manifest, white))
    return figure
