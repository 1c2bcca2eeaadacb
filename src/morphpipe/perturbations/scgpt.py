"""scGPT's gene embeddings (Cui et al. 2024), from its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import layer_norm

from morphpipe.core.checksums import check_recorded
from morphpipe.core.errors import WeightsError
from morphpipe.core.json_files import read_json
from morphpipe.core.state_dict import read_state_dict

_TOKENS = "encoder.embedding.weight"
_SCALE, _SHIFT = "encoder.enc_norm.weight", "encoder.enc_norm.bias"


@dataclass(frozen=True)
class GeneEncoder:
    """The first layer of scGPT: a token per gene, followed by a layer norm.

    Attributes
    ----------
    names
        Gene symbols, without special tokens such as `<pad>`.
    places
        Row of each gene in `tokens`.
    tokens
        float32 [tokens, d].
    scale, shift
        float32 [d], parameters of the layer norm.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    tokens: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return int(self.tokens.shape[1])

    def take(self, rows: list[int]) -> NDArray[np.float32]:
        """Return the embeddings of genes by position in `names`, float32 [n, d].

        These are the "data-independent gene embeddings" of scGPT's tutorial on gene regulatory
        networks (examples/Tutorial_GRN.ipynb: `model.encoder(gene_ids)`): the token through the
        layer norm (`GeneEncoder` in scgpt/model/model.py, with torch's epsilon of 1e-5).
        """
        tokens = self.tokens[[self.places[row] for row in rows]]
        return layer_norm(tokens, (self.width,), self.scale, self.shift).numpy()


def read_gene_encoder(folder: str | Path) -> GeneEncoder:
    """Read the gene encoder of a scGPT checkpoint.

    Parameters
    ----------
    folder
        Folder with `best_model.pt` (read without running code), `vocab.json` (row by token) and
        `args.json`, as published by scGPT's authors.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, or the three do not match.
    """
    folder = Path(folder)
    vocabulary = _read_object(folder / "vocab.json")
    width = _read_object(folder / "args.json").get("embsize")
    state = read_state_dict(folder / "best_model.pt")
    missing = [name for name in (_TOKENS, _SCALE, _SHIFT) if name not in state]
    if missing:
        raise WeightsError(
            f"{folder / 'best_model.pt'} has no {', '.join(missing)}: it is not a checkpoint of "
            "scGPT."
        )
    tokens, scale, shift = (state[name].float() for name in (_TOKENS, _SCALE, _SHIFT))
    if tokens.ndim != 2 or not tokens.shape[1] == len(scale) == len(shift) == width:
        raise WeightsError(
            f"{folder}: the gene tokens are {list(tokens.shape)}, the layer norm "
            f"{list(scale.shape)} and args.json says embsize {width}: the files belong to "
            "different checkpoints."
        )
    genes: dict[str, int] = {}
    gene_at: dict[int, str] = {}
    for gene, row in vocabulary.items():
        if type(row) is not int or not 0 <= row < len(tokens):
            raise WeightsError(
                f"{folder / 'vocab.json'} places {gene!r} at {row!r}, but there are {len(tokens)} "
                "gene tokens: the files belong to different checkpoints."
            )
        if row in gene_at:
            raise WeightsError(
                f"{folder / 'vocab.json'} places {gene_at[row]!r} and {gene!r} both at {row}: it "
                "is damaged, or not from scGPT. Download it again."
            )
        gene_at[row] = gene
        if not gene.startswith("<"):
            genes[gene] = row
    return GeneEncoder(tuple(genes), tuple(genes.values()), tokens, scale, shift)


def _read_object(path: Path) -> dict[str, object]:
    check_recorded(path)
    try:
        content = read_json(path, unique=True)
    except FileNotFoundError:
        raise WeightsError(
            f"{path} does not exist: a scGPT checkpoint is best_model.pt, vocab.json and args.json "
            "in one folder."
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON ({error}): download it again.") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object and thus not from a scGPT checkpoint.")
    return content
