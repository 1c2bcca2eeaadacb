"""Looking at every plane once before anything is made of it."""

import pandas as pd
from tqdm import tqdm

from morphpipe.datasets.archive import FieldReader
from morphpipe.datasets.fields import FieldTable
from morphpipe.errors import DataError

QUARANTINE_COLUMNS = ["field_id", "reason"]


def unreadable_fields(fields: FieldTable, *, quarantine: bool) -> pd.DataFrame:
    """Decode all planes of a shard and list the fields that cannot be read.

    Parameters
    ----------
    fields
        The shard's rows.
    quarantine
        False: the first such field stops. True: it is listed.

    Returns
    -------
    pandas.DataFrame
        `field_id` and `reason`.

    Raises
    ------
    DataError
        When a field cannot be read and `quarantine` is false; or when the archive itself is not
        the one that the table was made from.
    """
    found = []
    with FieldReader(fields) as reader:
        # A wrong archive is no fault of single fields.
        reader.open_archives()
        for row, field_id in enumerate(tqdm(fields.field_ids, desc="check", unit="field")):
            try:
                reader.read(row)
            except DataError as error:
                if not quarantine:
                    raise DataError(
                        f"{error} Fetch it again, or set the dataset's `quarantine: true` to leave "
                        "such fields out and have them listed in the report."
                    ) from None
                found.append({"field_id": field_id, "reason": str(error)})
    return pd.DataFrame(found, columns=QUARANTINE_COLUMNS)


def join_quarantine(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One quarantine table of several, as strings, also when all are empty."""
    frame = pd.concat([pd.DataFrame(columns=QUARANTINE_COLUMNS), *parts], ignore_index=True)
    return frame[QUARANTINE_COLUMNS].astype("string")
