"""Fixed positional embeddings of grids, in the published orders of columns."""

import torch
from torch import Tensor


def grid_positions(grid: tuple[int, int], width: int, *, rows_first: bool) -> Tensor:
    """Compute sine-cosine embeddings of grid positions, with frequencies from 1 to nearly 1e-4.

    Parameters
    ----------
    grid
        Rows and columns.
    width
        A multiple of four; a quarter each for sines and cosines of the row and of the column.
    rows_first
        Order of the quarters. True: sine and cosine of the row, then of the column, as in
        OpenPhenom (Recursion's maes_microscopy, vit.py). False: of the column, then of the row, as
        in MAE, DiT, SiT and REPA (`get_2d_sincos_pos_embed`, where "w goes first").

    Returns
    -------
    Tensor
        float32 [rows * columns, width], row by row.
    """
    bands = width // 4
    frequencies = 1 / 10_000 ** (torch.arange(bands) / bands)
    rows, columns = (torch.arange(size, dtype=torch.float32) for size in grid)
    row, column = torch.cartesian_prod(rows, columns)[:, :, None].unbind(1)
    places = (row, column) if rows_first else (column, row)
    angles = (place * frequencies for place in places)
    return torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], dim=1)
