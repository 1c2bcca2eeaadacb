"""Caching latent moments: every field and orientation through the encoder once."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from morphpipe.codecs.array_shards import write_shard
from morphpipe.codecs.autoencoder import Codec
from morphpipe.datasets.archive import FieldReader
from morphpipe.datasets.fields import FieldTable
from morphpipe.datasets.rxrx1 import MANIFEST as RXRX1
from morphpipe.imaging.dihedral import apply
from morphpipe.imaging.rgb import rxrx1_to_rgb


def codec_input(images: NDArray[np.uint8], codec: Codec) -> NDArray[np.uint8]:
    """What the codec sees of fields [N, C, H, W]: all planes, or their RGB rendering."""
    if codec.mode == "channels":
        return images
    return np.ascontiguousarray(np.moveaxis(rxrx1_to_rgb(images), -1, 1))


def cache_moments(
    fields: FieldTable,
    codec: Codec,
    path: str | Path,
    *,
    only: Collection[str] | None = None,
    transforms: Sequence[int] = (0,),
    batch_size: int = 8,
) -> None:
    """Write the latent moments of a shard of fields.

    Parameters
    ----------
    fields
        The shard's rows.
    codec
        See `morphpipe.codecs.autoencoder.Codec`.
    path
        Of the array shard, without suffix. Rows are float16 [2, C', h, w]: means and standard
        deviations; field by field, and within a field transform by transform.
    only
        Ids of the fields to cache, those that are trained on; none caches all of the shard.
    transforms
        Dihedral transforms to cache, see `morphpipe.imaging.dihedral`.
    batch_size
        Fields at once.

    Raises
    ------
    DataError
        When a field cannot be read or encoded, or an RGB codec is to see other channels than
        RxRx1's in RxRx1's order.
    """
    if codec.mode == "rgb":
        fields.manifest.require(RXRX1.names, "The RGB rendering")
    first = fields.table.slice(0, 1).to_pylist()[0]
    channels = len(fields.manifest.channels) if codec.mode == "channels" else 3
    shape = codec.latent_shape((channels, first["height"], first["width"]))
    if only is not None:
        fields = fields.select(set(only).intersection(fields.field_ids))
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
                planes = codec_input(images, codec)
                turned = [
                    codec.moments(torch.from_numpy(np.ascontiguousarray(apply(planes, transform))))
                    for transform in transforms
                ]
                # [n, transforms, 2, C', h, w] in the order of the keys
                yield torch.stack(turned, dim=1).flatten(0, 1).to(torch.float16).cpu().numpy()

    write_shard(path, keys, rows(), shape=(2, *shape), dtype=np.float16)
