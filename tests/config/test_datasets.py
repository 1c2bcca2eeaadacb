import numpy as np
import pandas as pd

from morphpipe.config.datasets import RXRX1_EXPERIMENTS, RxRx1Dataset


def test_shards_of_a_cell_type_are_those_of_its_plates():
    """Against the complete archive's plates, sorted as the field table sorts them."""
    plates = sorted(
        (f"{cell_type}-{experiment:02d}", str(plate), cell_type)
        for cell_type, number in RXRX1_EXPERIMENTS.items()
        for experiment in range(1, number + 1)
        for plate in range(1, 5)
    )
    of_shard = pd.Series([cell_type for *_, cell_type in plates])
    whole = RxRx1Dataset(source="rxrx1")
    assert whole.shards == len(plates)
    for wanted in (["U2OS"], ["HUVEC"], ["HEPG2", "RPE"]):
        expected = np.flatnonzero(of_shard.isin(wanted))
        assert whole.shards_with(wanted) == expected.tolist()
    assert whole.shards_with(None) == list(range(204))


def test_shards_of_a_part_of_the_archive_are_not_guessed():
    part = RxRx1Dataset(source="rxrx1", shards=5)
    assert part.shards_with(["U2OS"]) == list(range(5))
    batch = RxRx1Dataset(source="rxrx1", cell_types=["HUVEC"], batches=["HUVEC-01"])
    assert batch.shards_with(["HUVEC"]) == list(range(4))
