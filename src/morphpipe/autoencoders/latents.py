"""Cache latent moments: encode every field and orientation once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.autoencoders.base import Autoencoder
from morphpipe.config.base import ImageMode
from morphpipe.imaging.dihedral import apply
from morphpipe.imaging.rgb import to_rgb
from morphpipe.tables.array_shards import write_shard
from morphpipe.tables.field_reader import FieldReader
from morphpipe.tables.fields import FieldTable
from morphpipe.tables.manifest import ChannelManifest


def autoencoder_input(
    images: NDArray[np.uint8], manifest: ChannelManifest, mode: ImageMode
) -> NDArray[np.uint8]:
    """Prepare fields [N, C, H, W] for an autoencoder: all planes, or their RGB rendering."""
    if mode == "channels":
        return images
    return np.ascontiguousarray(np.moveaxis(to_rgb(images, manifest.names, manifest.rgb), -1, 1))


def cache_moments(
    fields: FieldTable,
    autoencoder: Autoencoder,
    path: str | Path,
    *,
    transforms: Sequence[int] = (0,),
    batch_size: int = 8,
) -> None:
    """Write the latent moments of a shard of fields.

    Parameters
    ----------
    fields
        The shard's rows.
    autoencoder
        See `morphpipe.autoencoders.base.Autoencoder`.
    path
        Of the array shard, without suffix. Rows are float16 [2, C', h, w]: means and standard
        deviations, or [1, C', h, w]: pixels; field by field, and within a field transform by
        transform.
    transforms
        Dihedral transforms to cache, see `morphpipe.imaging.dihedral`.
    batch_size
        Fields per batch.

    Raises
    ------
    DataError
        If a field cannot be read or encoded, or has no RGB rendering for an RGB autoencoder, see
        `morphpipe.imaging.rgb.to_rgb`.
    """
    first = fields.table.slice(0, 1).to_pylist()[0]
    channels = len(fields.manifest.channels) if autoencoder.mode == "channels" else 3
    shape = autoencoder.latent_shape((channels, first["height"], first["width"]))
    blank = np.zeros((1, channels, first["height"], first["width"]), np.uint8)
    kinds = autoencoder.moments(torch.from_numpy(blank)).shape[1]
    keys = [(field_id, transform) for field_id in fields.field_ids for transform in transforms]

    def rows() -> Iterator[NDArray[Any]]:
        with FieldReader(fields) as reader:
            for _, images in tqdm(
                reader.batches(batch_size),
                total=-(-len(fields) // batch_size),
                desc="latents",
                unit="batch",
                mininterval=5,
            ):
                planes = autoencoder_input(images, fields.manifest, autoencoder.mode)
                turned = [
                    autoencoder.moments(
                        torch.from_numpy(np.ascontiguousarray(apply(planes, transform)))
                    )
                    for transform in transforms
                ]
                # [n, transforms, 2, C', h, w] in the order of the keys
                yield torch.stack(turned, dim=1).flatten(0, 1).to(torch.float16).cpu().numpy()

    write_shard(
        path,
        keys,
        rows(),
        shape=(kinds, *shape),
        dtype=np.float16,
        made_by=autoencoder.fingerprint(),
    )
