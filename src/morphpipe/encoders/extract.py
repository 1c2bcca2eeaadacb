"""Extract features and alignment targets of shards: each image is encoded once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.core.errors import ConfigError
from morphpipe.encoders.base import Encoder, TokenEncoder
from morphpipe.imaging.dihedral import apply
from morphpipe.imaging.rgb import to_rgb
from morphpipe.tables.array_shards import write_shard
from morphpipe.tables.feature_table import Extraction, FeatureTable, write_features
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest


def expand_views(views: Sequence[str], encoder: Encoder, channels: Sequence[str]) -> list[str]:
    """Resolve requested views to those that an encoder supports; `channels` means each channel."""
    wanted: list[str] = []
    for view in views:
        wanted.extend(channels if view == "channels" else [view])
    return [view for view in wanted if view in encoder.views]


def rgb_planes(images: NDArray[np.uint8], manifest: ChannelManifest) -> torch.Tensor:
    """Render fields [n, C, H, W] as red, green and blue [n, 3, H, W], see `imaging.rgb.to_rgb`."""
    rgb = to_rgb(images, manifest.names, manifest.rgb)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(rgb, -1, 1)))


def _progress(fields: FieldTable, batch_size: int, name: str) -> Any:
    return tqdm(total=-(-len(fields) // batch_size), desc=name, unit="batch", mininterval=5)


def extract_features(
    fields: FieldTable,
    encoder: Encoder,
    outputs: dict[str, str | Path],
    *,
    kind: str,
    weights_sha256: str,
    batch_size: int,
) -> None:
    """Write the feature tables of a shard of fields, one file per view.

    Parameters
    ----------
    fields
        The rows.
    encoder
        An encoder that supports the views.
    outputs
        File by view.
    kind, weights_sha256
        See `morphpipe.tables.feature_table.Extraction`.
    batch_size
        Fields per batch.

    Raises
    ------
    ConfigError
        If the encoder does not support a view.
    """
    for view in outputs:
        if view not in encoder.views:
            raise ConfigError(
                f"The encoder {encoder.name} does not support the view {view!r}; choose from "
                f"{', '.join(encoder.views)}."
            )
    # An archive of crops may be empty: then the table has no rows, but a width.
    nothing = np.zeros((0, encoder.width), np.float32)
    collected: dict[str, list[NDArray[np.float32]]] = {view: [nothing] for view in outputs}
    with FieldReader(fields) as reader, _progress(fields, batch_size, encoder.name) as progress:
        for _, images in reader.batches(batch_size):
            stacks = torch.from_numpy(images)
            plain = [view for view in outputs if view != "rgb"]
            if plain:
                for view, features in encoder.embed_views(stacks, plain).items():
                    collected[view].append(features.float().cpu().numpy())
            if "rgb" in outputs:
                features = encoder.embed(rgb_planes(images, fields.manifest), "rgb")
                collected["rgb"].append(features.float().cpu().numpy())
            progress.update()
    for view, path in outputs.items():
        write_features(
            FeatureTable(
                tuple(fields.field_ids),
                np.zeros(len(fields), np.int8),
                np.concatenate(collected[view]),
                Extraction(encoder.name, kind, weights_sha256, view, fields.manifest.names),
            ),
            path,
        )


def cache_targets(
    fields: FieldTable,
    encoder: TokenEncoder,
    path: str | Path,
    *,
    grid: tuple[int, int],
    transforms: Sequence[int] = (0,),
    batch_size: int = 16,
) -> None:
    """Write alignment targets of a shard of fields as an array shard.

    Parameters
    ----------
    fields
        The shard's rows.
    encoder
        Encoder of the tokens.
    path
        Path of the array shard, without suffix. Rows are float16 [tokens, d].
    grid
        Rows and columns of the generator's tokens. If the encoder has another grid, its tokens are
        interpolated bilinearly (averaged if its grid is finer).
    transforms
        Dihedral transforms to cache.
    batch_size
        Fields at once.
    """
    keys = [(field_id, transform) for field_id in fields.field_ids for transform in transforms]

    def blocks() -> Iterator[NDArray[Any]]:
        with FieldReader(fields) as reader, _progress(fields, batch_size, "targets") as progress:
            for _, images in reader.batches(batch_size):
                turned = []
                for transform in transforms:
                    stack = torch.from_numpy(np.ascontiguousarray(apply(images, transform)))
                    tokens = encoder.tokens(stack).float().cpu()
                    own = encoder.token_grid(*stack.shape[2:])
                    turned.append(regrid(tokens, own, grid))
                progress.update()
                yield torch.stack(turned, dim=1).flatten(0, 1).to(torch.float16).numpy()

    shape = (grid[0] * grid[1], encoder.token_width)
    write_shard(path, keys, blocks(), shape=shape, dtype=np.float16)


def regrid(tokens: torch.Tensor, own: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor:
    """Resample tokens [n, own rows * own columns, d] to another grid: [n, rows * columns, d]."""
    if own == grid:
        return tokens
    maps = tokens.transpose(1, 2).unflatten(2, own)
    maps = torch.nn.functional.interpolate(maps, size=grid, mode="bilinear", antialias=True)
    return maps.flatten(2).transpose(1, 2)
