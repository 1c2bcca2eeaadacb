"""What was fetched once is demanded from then on."""

import pytest

from morphpipe.core.errors import DataError
from morphpipe.datasets.fetch.lock import demand_first, recorded_checksum


def test_a_replaced_selection_is_refused(tmp_path):
    lock, path, name = tmp_path / "lock.json", tmp_path / "a.zip", "https://x/images.zip#HUVEC-01"
    path.write_bytes(b"first")
    demand_first(path, name, lock)
    first = recorded_checksum(lock, name)
    demand_first(path, name, lock)
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=r"HUVEC-01 gives a file .* remove the entry in .*lock"):
        demand_first(path, name, lock)
    assert not path.exists()
    assert recorded_checksum(lock, name) == first
