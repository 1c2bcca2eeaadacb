"""BBBC021 (Caie et al. 2010; Broad Bioimage Benchmark Collection): its tables and archives."""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from morphpipe.core.errors import DataError
from morphpipe.datasets.sources.sheet import KEY_COLUMNS, SampleSheet
from morphpipe.perturbations.names import normalise_compound
from morphpipe.tables.manifest import Channel
from morphpipe.tables.user_tables import read_table_bytes
from morphpipe.tables.zip_directory import relative_to

# In the order of acquisition: w1, w2, w4, with their names in the image table.
CHANNELS = (
    Channel("DNA", "DAPI (nuclei)"),
    Channel("tubulin", "anti-tubulin antibody (microtubules)"),
    Channel("actin", "phalloidin (actin cytoskeleton)"),
)
_TABLE_NAMES = {"DNA": ("DAPI", 1), "tubulin": ("Tubulin", 2), "actin": ("Actin", 4)}
# Neither the collection's page nor the image table gives the pixel size.
PIXEL_SIZE = None
LICENCE = "AstraZeneca / Broad Bioimage Benchmark Collection terms"
SOURCE = (
    "image set BBBC021v1 (Caie et al., Molecular Cancer Therapeutics, 2010), Broad Bioimage "
    "Benchmark Collection (Ljosa et al., Nature Methods, 2012)"
)
CELL_TYPE = "MCF7"
NEGATIVE_CONTROL = "dmso"


def _plates(weeks: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(f"Week{week}_{number}" for week in weeks for number in weeks[week].split())


# The 55 plates of the official image table, by week.
PLATES = _plates(
    {
        1: "22123 22141 22161 22361 22381 22401",
        2: "24121 24141 24161 24361 24381 24401",
        3: "25421 25441 25461 25681 25701 25721",
        4: "27481 27521 27542 27801 27821 27861",
        5: "28901 28921 28961 29301 29321 29341",
        6: "31641 31661 31681 32061 32121 32161",
        7: "34341 34381 34641 34661 34681",
        8: "38203 38221 38241 38341 38342",
        9: "39206 39221 39222 39282 39283 39301",
        10: "40111 40115 40119",
    }
)

# MorphoDiff's 14-compound experiment: the in-distribution rows of its released
# BBBC021_14_compounds_pert_ood_info.csv, with the mechanisms of BBBC021_v1_moa.csv.
COMPOUNDS_14 = {
    "az138": "Eg5 inhibitors",
    "az258": "Aurora kinase inhibitors",
    "az841": "Aurora kinase inhibitors",
    "cytochalasin-b": "Actin disruptors",
    "cytochalasin-d": "Actin disruptors",
    "latrunculin-b": "Actin disruptors",
    "pp-2": "Epithelial",
    "colchicine": "Microtubule destabilizers",
    "demecolcine": "Microtubule destabilizers",
    "nocodazole": "Microtubule destabilizers",
    "vincristine": "Microtubule destabilizers",
    "docetaxel": "Microtubule stabilizers",
    "epothilone-b": "Microtubule stabilizers",
    "taxol": "Microtubule stabilizers",
}
# The names in MorphoDiff's released BBBC021_all_pert_ood_info.csv. It leaves out DMSO and 14 of
# the 113 names in the image table: az-a, az-b, az-c, az-h to az-o, az-u, tkk and unknown.
_COMPOUND_NAMES = """
    33-diaminobenzidine 5-fluorouracil acyclovir ag-1478 alln aloisine-a alsterpaullone anisomycin
    aphidicolin arabinofuranosylcytosine atropine az138 az235 az258 az701 az841 bleomycin bohemine
    brefeldin-a bryostatin calpain-inhibitor-2-allm- calpeptin camptothecin carboplatin
    caspase-inhibitor-1-zvad- cathepsin-inhibitor-i cdk1-2-inhibitor-nu6102- cdk1-inhibitor-iii
    chlorambucil chloramphenicol cisplatin colchicine cyclohexamide cyclophosphamide cytochalasin-b
    cytochalasin-d demecolcine deoxymannojirimycin deoxynojirimycin docetaxel doxorubicin emetine
    epothilone-b etoposide filipin floxuridine forskolin genistein h-7 herbimycin-a hydroxyurea
    ici-182780 indirubin-monoxime jasplakinolide lactacystin latrunculin-b leupeptin ly-294002
    methotrexate methoxylamine mevinolin-lovastatin mg-132 mitomycin-c mitoxantrone monastrol
    neomycin nocodazole nystatin okadaic-acid olomoucine pd-150606 pd-169316 pd-98059
    podophyllotoxin pp-2 proteasome-inhibitor-i puromycin quercetin raloxifene rapamycin roscovitine
    sb-202190 sb-203580 simvastatin sodium-butyrate sodium-fluoride sp-600125 staurosporine
    taurocholate taxol temozolomide trichostatin tunicamycin uo-126 valproic-acid vinblastine
    vincristine y-27632
"""
COMPOUNDS_98 = tuple(_COMPOUND_NAMES.split())

_FILES = [f"Image_FileName_{table_name}" for table_name, _ in _TABLE_NAMES.values()]
_FOLDERS = [f"Image_PathName_{table_name}" for table_name, _ in _TABLE_NAMES.values()]
_PLATE, _WELL = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"
_COMPOUND, _DOSE = "Image_Metadata_Compound", "Image_Metadata_Concentration"
_MEMBER_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError)


def archive_name(plate: str) -> str:
    """Name the official archive of a plate, such as `BBBC021_v1_images_Week1_22123.zip`.

    Raises
    ------
    DataError
        If BBBC021 has no such plate.
    """
    if plate not in PLATES:
        raise DataError(
            f"BBBC021 has no plate {plate!r}; it has 55, such as {PLATES[0]} and {PLATES[-1]}."
        )
    return f"BBBC021_v1_images_{plate}.zip"


def _read(path: str | Path, columns: Sequence[str], numbers: Sequence[str] = ()) -> pd.DataFrame:
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist: download it again.")
    types = {column: float if column in numbers else str for column in columns}
    try:
        content = io.BytesIO(read_table_bytes(path, "table of BBBC021"))
        table = pd.read_csv(content, dtype=types, usecols=lambda column: column in types)
    except ValueError as error:  # includes parser and encoding errors
        raise DataError(f"{path} cannot be read as a table of BBBC021 ({error}).") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}.")
    return table


def _read_images(path: str | Path) -> pd.DataFrame:
    columns = [*_FILES, *_FOLDERS, _PLATE, _WELL, _COMPOUND, _DOSE]
    table = _read(path, columns, [_DOSE])
    wrong = table.isna().any(axis=1)
    for column, (_, number) in zip(_FILES, _TABLE_NAMES.values(), strict=True):
        parts = table[column].str.extract(r"(?:^|_)([A-P]\d{2})_s(\d+)_w(\d)[0-9A-F-]*\.tif$")
        site = pd.to_numeric(parts[1])
        wrong |= (parts[0] != table[_WELL]) | (parts[2] != str(number))
        table["site"] = site if "site" not in table else table["site"].where(site == table["site"])
    for column in _FOLDERS:
        wrong |= table[column].str.rsplit("/", n=1).str[-1] != table[_PLATE]
    wrong |= table["site"].isna()
    if wrong.any():
        raise DataError(
            f"{path}: {wrong.sum()} rows have empty cells, or file names that contradict their "
            f"channel, plate or well, the first in row {wrong.idxmax() + 1}: is it the official "
            "table?"
        )
    return table


def compounds_on_plate(image_table: str | Path, plate: str) -> set[str]:
    """List the normalised names of all compounds on a plate, including DMSO.

    Parameters
    ----------
    image_table
        BBBC021_v1_image.csv.
    plate
        For example `Week1_22123`.
    """
    table = _read_images(image_table)
    names = table.loc[table[_PLATE] == plate, _COMPOUND].unique()
    return {normalise_compound(name) for name in names}


def _choose_rows(
    table: pd.DataFrame, path: str | Path, column: str, wanted: Sequence[str], what: str
) -> pd.DataFrame:
    present = set(table[column])
    unknown = [value for value in wanted if value not in present]
    if unknown:
        raise DataError(
            f"{path} has no {what} {', '.join(unknown[:12])}{' ...' if len(unknown) > 12 else ''}"
            f" among the chosen rows; it has {', '.join(sorted(present)[:12])}"
            f"{' ...' if len(present) > 12 else ''}."
        )
    return table[table[column].isin(list(wanted))]


def _smiles(path: str | Path) -> dict[str, str]:
    table = _read(path, ["compound", "smiles"]).dropna()
    table["compound"] = table["compound"].map(normalise_compound)
    table = table.drop_duplicates()
    repeated = table["compound"][table["compound"].duplicated()]
    if len(repeated):
        raise DataError(f"{path} gives {repeated.iloc[0]} more than one structure.")
    return dict(zip(table["compound"], table["smiles"], strict=True))


def _mechanisms(path: str | Path) -> pd.DataFrame:
    table = _read(path, ["compound", "concentration", "moa"], ["concentration"]).dropna()
    table["compound"] = table["compound"].map(normalise_compound)
    table = table[table["compound"] != NEGATIVE_CONTROL].drop_duplicates()
    repeated = table.duplicated(["compound", "concentration"])
    if repeated.any():
        row = table[repeated].iloc[0]
        raise DataError(
            f"{path} gives {row['compound']} at {row['concentration']} micromolar more than one "
            "mechanism."
        )
    return table


def _absent_members(path: Path, names: pd.Series) -> dict[str, str]:
    """Reasons why members are missing or misplaced in an archive."""
    reasons = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                try:
                    # Reads the member's header and compares it with the directory.
                    archive.open(name).close()
                except KeyError:
                    reasons[name] = f"{name} is not in {path.name}"
                except _MEMBER_ERRORS as error:
                    reasons[name] = f"{name} is damaged in {path.name} ({error})"
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path} cannot be read as a zip archive ({error}): it may be truncated. Download it "
            "again."
        ) from None
    return reasons


def bbbc021_sheet(
    image_table: str | Path,
    moa_table: str | Path | None,
    compound_table: str | Path | None,
    archives: Mapping[str, Path],
    folder: str | Path,
    *,
    plates: Sequence[str] | None = None,
    compounds: Sequence[str] | None = None,
) -> tuple[SampleSheet, pd.DataFrame]:
    """Build the sample sheet of BBBC021's plates; images stay in their archives.

    Perturbations are normalised names without the dose (see `normalise_compound`); DMSO is the
    negative control, of kind "none", without concentration and mechanism. A mechanism is given only
    at doses listed in BBBC021_v1_moa.csv, since compounds may be inactive at others. The batch is
    the week. Sites (1 to 4) come from the file names. `unknown` and `tkk` count as compounds.

    Parameters
    ----------
    image_table
        BBBC021_v1_image.csv, also gzipped.
    moa_table
        BBBC021_v1_moa.csv; None leaves mechanisms missing.
    compound_table
        BBBC021_v1_compound.csv; None leaves SMILES missing.
    archives
        The official zip of each plate.
    folder
        Base of the sheet's locations.
    plates
        Plates to use; None for all plates of `archives`.
    compounds
        Names, normalised or not; None for all. Include DMSO for controls.

    Returns
    -------
    sheet : SampleSheet
        One row per field with all three images in its archive, in the table's order.
    left_out : pandas.DataFrame
        `field_id` and `reason` of selected fields with an image that is missing from the archive or
        not where its directory says.

    Raises
    ------
    DataError
        If a table is not BBBC021's, a plate or compound is unknown or has no archive, an archive is
        not a zip, or no field is left.
    """
    folder = Path(folder)
    chosen = list(archives if plates is None else plates)
    without = [plate for plate in chosen if plate not in archives]
    if without:
        raise DataError(f"There is no archive of the plate {', '.join(without)}.")
    table = _read_images(image_table)
    table = _choose_rows(table, image_table, _PLATE, chosen, "plate")
    # Cached per name: there are 113.
    names = {name: normalise_compound(name) for name in table[_COMPOUND].unique()}
    table = table.assign(perturbation=table[_COMPOUND].map(names))
    if compounds is not None:
        wanted = [normalise_compound(name) for name in compounds]
        table = _choose_rows(table, image_table, "perturbation", wanted, "compound")
    table = table.reset_index(drop=True)

    control = table["perturbation"] == NEGATIVE_CONTROL
    frame = pd.DataFrame(
        {
            "field_id": table[_PLATE] + "_" + table[_WELL] + "_s" + table["site"].astype(str),
            "plate": table[_PLATE],
            "well": table[_WELL],
            "site": table["site"].astype("int64"),
            "cell_type": CELL_TYPE,
            "batch": table[_PLATE].str.split("_").str[0],
            "perturbation": table["perturbation"],
            "perturbation_kind": control.map({True: "none", False: "compound"}),
            "control": control.map({True: "negative", False: "none"}),
            "concentration": table[_DOSE].mask(control),
            "gene": pd.NA,
            "smiles": pd.NA,
            "moa": pd.NA,
        }
    )
    repeated = frame["field_id"].duplicated()
    if repeated.any():
        raise DataError(f"{image_table} has {frame['field_id'][repeated].iloc[0]} twice.")
    if compound_table is not None:
        frame["smiles"] = table["perturbation"].map(_smiles(compound_table))
    if moa_table is not None:
        keys = {"compound": "perturbation"}
        known = _mechanisms(moa_table).rename(columns=keys)
        on = ["perturbation", "concentration"]
        frame["moa"] = frame[on].merge(known, on=on, how="left")["moa"]
    reasons = pd.Series(pd.NA, index=frame.index, dtype="string")
    where = table[_PLATE].map(
        {plate: relative_to(Path(archives[plate]), folder) for plate in chosen}
    )
    for column, name in zip(_FILES, _TABLE_NAMES, strict=True):
        members = table[_PLATE] + "/" + table[column]
        frame[name] = where + "!" + members
        absent: dict[str, str] = {}
        for plate, rows in members.groupby(table[_PLATE], sort=False):
            absent |= _absent_members(Path(archives[str(plate)]), rows)
        reasons = reasons.fillna(members.map(absent).astype("string"))

    types = {"site": "int64", "concentration": "float64"}
    frame = frame.astype({column: types.get(column, "string") for column in frame.columns})
    frame = frame[[*KEY_COLUMNS, *_TABLE_NAMES]]
    lost = reasons.notna()
    if lost.all():
        raise DataError(
            f"None of the {len(frame)} chosen fields of {image_table} has its images in the "
            f"archives{f': {reasons.iloc[0]}' if len(frame) else ''}."
        )
    left_out = pd.DataFrame({"field_id": frame["field_id"], "reason": reasons})[lost]
    kept = frame[~lost].reset_index(drop=True)
    sheet = SampleSheet(kept, CHANNELS, PIXEL_SIZE, LICENCE, SOURCE, folder)
    return sheet, left_out.reset_index(drop=True)
