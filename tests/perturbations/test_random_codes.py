import json

import numpy as np
from scipy import stats

from morphpipe.perturbations.random_codes import random_code


def test_a_code_depends_on_seed_and_name_alone(run_python):
    code = random_code("nuclear-swelling", 16, 3)
    process = run_python(
        """
        import json
        from morphpipe.perturbations.random_codes import random_code

        random_code("another", 4, 3)
        print(json.dumps(random_code("nuclear-swelling", 16, 3).tolist()))
        """
    )
    said, _ = process.communicate(timeout=300)
    np.testing.assert_array_equal(code, np.array(json.loads(said), np.float32))
    assert code.dtype == np.float32


def test_width_only_adds_numbers():
    np.testing.assert_array_equal(random_code("a", 64, 0)[:8], random_code("a", 8, 0))


def test_codes_are_standard_normal_and_unrelated():
    one, other = random_code("a", 20_000, 0), random_code("b", 20_000, 0)
    assert stats.kstest(one, "norm").pvalue > 1e-3
    # Correlations of independent numbers have a standard deviation of 1/sqrt(n) = 0.007.
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.04
    assert abs(np.corrcoef(one, random_code("a", 20_000, 1))[0, 1]) < 0.04
