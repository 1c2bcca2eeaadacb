"""Which columns of MorphoDiff's published table of RDKit descriptors are ours, and why not others.

    python benchmarks/rdkit_table.py perturbation_embedding_bbbc021.csv.gz [--columns]

`compounds.csv` beside this script holds the structures of compounds of BBBC021 as they are commonly
drawn, each with its molecular formula; where the published table can only be explained by another
drawing, that one too. A published column is ours if an affine function of our descriptor, fitted by
least squares over the compounds, meets it to 1e-4 in every compound.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import __version__ as rdkit_version
from rdkit.Chem import Descriptors
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from morphpipe.perturbations.rdkit_descriptors import DESCRIPTORS, descriptors
from morphpipe.perturbations.smiles import read_smiles
from morphpipe.perturbations.vector_table import read_vectors

COMPOUNDS = Path(__file__).with_name("compounds.csv")
TOLERANCE = 1e-4


def read_compounds() -> pd.DataFrame:
    """The compounds by name; stops where a structure does not have its molecular formula."""
    compounds = pd.read_csv(COMPOUNDS, keep_default_na=False).set_index("compound")
    for name, row in compounds.iterrows():
        found = CalcMolFormula(read_smiles(row["smiles"]))
        if found != row["formula"]:
            raise SystemExit(f"{name}: the structure is {found}, not {row['formula']}")
    return compounds


def read_published(path: str | Path) -> pd.DataFrame:
    """The published numbers, by compound and by the name of the descriptor."""
    table = read_vectors(path)
    places = [int(column.removeprefix("latent_")) - 1 for column in table.columns or ()]
    names = [DESCRIPTORS[place] for place in places]
    return pd.DataFrame(table.vectors, index=list(table.names), columns=names)


def computed(smiles: pd.Series) -> pd.DataFrame:
    """Our descriptors, by compound and name."""
    values = np.stack([descriptors(text) for text in smiles])
    return pd.DataFrame(values, index=smiles.index, columns=list(DESCRIPTORS))


@dataclass(frozen=True)
class Lines:
    """A published column as a line in each of our descriptors; NaN where one does not vary."""

    slopes: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray) -> "Lines":
        """Least squares of y [n] by each column of x [n, d], where that is defined."""
        defined = np.isfinite(x)
        number = defined.sum(axis=0)
        means = np.where(defined, x, 0).sum(axis=0) / number
        centred = np.where(defined, x - means, 0)
        squares = (centred**2).sum(axis=0)
        squares[squares <= 1e-18 * (1 + means**2)] = np.nan
        level = (defined * y[:, None]).sum(axis=0) / number
        slopes = (centred * (y[:, None] - level)).sum(axis=0) / squares
        return cls(slopes, level - slopes * means)

    def misses(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distances [n, d] of y from the lines; where x is not defined, of y from 0."""
        missed = np.abs(self.slopes * x + self.intercepts - y[:, None])
        return np.where(np.isfinite(x), missed, np.abs(y[:, None]))


def study(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Of every published column: whether it is ours, and how much that says.

    Returns
    -------
    pandas.DataFrame
        By descriptor: `worst`, the largest distance from the line (NaN where ours does not vary);
        `affine`; `varies`, in how many compounds the published number is not the most frequent
        one; `twins`, other descriptors of which the column is an affine function as well.
    """
    published = published.loc[ours.index]
    x = ours.to_numpy()
    rows = []
    for name in published:
        y = published[name].to_numpy()
        worst = pd.Series(Lines.fit(x, y).misses(x, y).max(axis=0), index=ours.columns)
        # A column that is the same in all these compounds is a function of anything.
        told = worst if worst[name] < TOLERANCE else worst[:0]
        twins = [other for other in told.index[told < TOLERANCE] if other != name]
        varies = len(y) - published[name].round(6).value_counts().iloc[0]
        rows.append((name, worst[name], worst[name] < TOLERANCE, varies, " ".join(twins)))
    columns = ["descriptor", "worst", "affine", "varies", "twins"]
    return pd.DataFrame(rows, columns=columns).set_index("descriptor")


def deviating(
    others: pd.DataFrame, ours: pd.DataFrame, published: pd.DataFrame
) -> dict[str, list[str]]:
    """The columns in which further compounds miss the lines of ours, by compound."""
    wrong: dict[str, list[str]] = {name: [] for name in others.index}
    for name in published:
        lines = Lines.fit(ours[[name]].to_numpy(), published.loc[ours.index, name].to_numpy())
        y = published.loc[others.index, name].to_numpy()
        for compound in others.index[lines.misses(others[[name]].to_numpy(), y)[:, 0] > TOLERANCE]:
            wrong[compound].append(name)
    return wrong


def of_today(smiles: pd.Series, published: pd.DataFrame) -> pd.Series:
    """How far the descriptors that RDKit has changed miss the table by its new definitions."""
    functions = dict(Descriptors.descList)
    worst = {}
    for name in ("NumHAcceptors", "fr_unbrch_alkane"):
        x = np.array([[float(functions[name](read_smiles(text)))] for text in smiles])
        y = published.loc[smiles.index, name].to_numpy()
        worst[name] = Lines.fit(x, y).misses(x, y).max()
    return pd.Series(worst)


def report(result: pd.DataFrame, title: str) -> None:
    print(f"\n{title}: {result['affine'].sum()} columns are ours")
    for name, row in result[~result["affine"]].iterrows():
        reason = "no variation" if np.isnan(row["worst"]) else f"misses by {row['worst']:.2g}"
        print(f"  not {name}: {reason}")
    ours = result[result["affine"]]
    print(f"  largest distance {ours['worst'].max():.2g}")
    print(f"  {(ours['varies'] < 4).sum()} of them vary in fewer than 4 compounds")
    print(f"  {(ours['twins'] != '').sum()} of them are ours by another descriptor as well")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="perturbation_embedding_bbbc021.csv, also .gz")
    parser.add_argument("--columns", action="store_true", help="print a line per column")
    arguments = parser.parse_args()
    compounds, published = read_compounds(), read_published(arguments.table)
    drawn_otherwise = compounds["as_published"] != ""
    usual = computed(compounds.loc[~drawn_otherwise, "smiles"])
    others = compounds[drawn_otherwise]
    print(f"RDKit {rdkit_version}; {len(published)} compounds and {published.shape[1]} columns")
    left_out = [name for name in DESCRIPTORS if name not in published]
    print(f"{len(left_out)} of {len(DESCRIPTORS)} descriptors are not in it: {' '.join(left_out)}")
    report(study(usual, published), f"Usual drawings of {len(usual)} compounds")

    print(f"\nUsual drawings of {len(others)} further compounds, by the lines of those:")
    as_published = computed(others["as_published"])
    missed = deviating(computed(others["smiles"]), usual, published)
    explained = deviating(as_published, usual, published)
    for name, row in others.iterrows():
        still = f"; {', '.join(explained[name])} still" if explained[name] else ""
        print(f"  {name}: {len(missed[name])} columns miss. {row['difference']}{still}")

    result = study(pd.concat([usual, as_published]), published)
    report(result, f"All {len(compounds)} compounds as published")
    drawings = compounds["as_published"].where(drawn_otherwise, compounds["smiles"])
    print(f"\nBy the definitions of RDKit {rdkit_version} instead of those of the table:")
    for name, worst in of_today(drawings, published).items():
        print(f"  {name} misses by {worst:.2g}")
    if arguments.columns:
        print("\ndescriptor           distance  varies in  twins")
        for name, row in result.iterrows():
            print(f"{name:24s} {row['worst']:.0e}  {row['varies']:9d}  {row['twins']}")


if __name__ == "__main__":
    main()
