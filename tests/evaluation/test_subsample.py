import numpy as np
from scipy import stats

from morphpipe.evaluation.core.subsample import priorities, thinned

IDS = [f"field-{i}" for i in range(3000)]


def test_priorities_are_uniform_and_belong_to_the_id():
    found = priorities(IDS, 1)
    assert stats.kstest(found / 2.0**64, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(priorities(IDS[::-1], 1), found[::-1])
    assert abs(stats.spearmanr(found, priorities(IDS, 2)).statistic) < 0.1
    assert len(set(found)) == len(IDS)


def test_groups_are_thinned_each_for_itself():
    groups = np.array(["a", "b", "c"])[np.minimum(np.arange(3000) // 2, 2)]
    chosen = thinned(IDS, groups, 5, 0)
    assert [int(chosen[groups == name].sum()) for name in "abc"] == [2, 2, 5]
    # Another group's members or another order of the rows change nothing.
    alone = thinned(IDS[4:], groups[4:], 5, 0)
    np.testing.assert_array_equal(alone, chosen[4:])
    np.testing.assert_array_equal(thinned(IDS[::-1], groups[::-1], 5, 0), chosen[::-1])
    assert (thinned(IDS, groups, 5, 1) != chosen).any()
    assert thinned([], [], 5, 0).tolist() == []


def test_thinning_in_parts_is_thinning_at_once():
    groups = np.arange(3000) % 7
    at_once = {i for i, keep in zip(IDS, thinned(IDS, groups, 40, 3), strict=True) if keep}
    kept, of = [], []
    for part in (slice(0, 900), slice(900, 3000)):
        mask = thinned(IDS[part], groups[part], 40, 3)
        kept += [i for i, keep in zip(IDS[part], mask, strict=True) if keep]
        of += groups[part][mask].tolist()
    again = thinned(kept, of, 40, 3)
    assert {i for i, keep in zip(kept, again, strict=True) if keep} == at_once
