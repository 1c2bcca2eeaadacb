"""Student's, Welch's and the paired t-test, with the smallest detectable difference.

That is the true difference that the paired test detects with a probability of 80 %, given the
number of pairs and the scatter of their differences; not an "observed power", which only restates
the p-value.
"""

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used

ALPHA, POWER = 0.05, 0.8
"""Two-sided level of the tests, and the power for the smallest difference."""


def power_of_paired_test(pairs: int, effect: float, *, alpha: float = ALPHA) -> float:
    """Compute the power of a two-sided paired t-test.

    Parameters
    ----------
    pairs
        Number of pairs, at least 2.
    effect
        True mean of the differences in units of their standard deviation.
    """
    freedom, shift = pairs - 1, abs(effect) * pairs**0.5
    critical = scipy.stats.t.ppf(1 - alpha / 2, freedom)
    # The lower tail is computed as the upper tail of the mirrored distribution: scipy's noncentral
    # t CDF gives NaN far out.
    return float(sum(scipy.stats.nct.sf(critical, freedom, [shift, -shift])))


def smallest_effect(pairs: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that a two-sided paired t-test detects with the given power.

    In units of the standard deviation of the differences.
    """
    upper = 1 / pairs**0.5
    while power_of_paired_test(pairs, upper, alpha=alpha) < power:
        upper *= 2
    return float(
        scipy.optimize.brentq(
            lambda effect: power_of_paired_test(pairs, effect, alpha=alpha) - power, 0.0, upper
        )
    )


def paired_tests(
    model: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    alpha: float = ALPHA,
    power: float = POWER,
    minimum: int = 3,
) -> dict[str, float | str]:
    """Test the difference of two experiments over the same perturbations.

    Parameters
    ----------
    model, baseline
        [n], the value of each perturbation.
    alpha
        Level of the tests; the interval has level 1 - alpha.
    power
        Power for the smallest difference.
    minimum
        Minimum number of perturbations.

    Returns
    -------
    dict
        ``ci_low`` and ``ci_high`` of the mean difference, ``smallest_difference``, and for the
        tests ``paired``, ``welch`` and ``student`` their ``_t``, ``_df`` and ``_p``; or the
        ``reason`` why there is no test.
    """
    left, right = np.asarray(model, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    number = len(left)
    if number < minimum:
        noun = "perturbation" if number == 1 else "perturbations"
        return {"reason": f"{number} {noun}, fewer than {minimum}"}
    deviation = float((left - right).std(ddof=1))
    if deviation <= 1e-12 * float(np.abs([left, right]).max()):
        return {"reason": "the difference is the same for every perturbation"}
    paired = scipy.stats.ttest_rel(left, right)
    interval = paired.confidence_interval(1 - alpha)
    found: dict[str, float | str] = {
        "ci_low": float(interval.low),
        "ci_high": float(interval.high),
        "smallest_difference": deviation * smallest_effect(number, alpha=alpha, power=power),
    }
    for name, test in (
        ("paired", paired),
        ("welch", scipy.stats.ttest_ind(left, right, equal_var=False)),
        ("student", scipy.stats.ttest_ind(left, right)),
    ):
        found[f"{name}_t"] = float(test.statistic)
        found[f"{name}_df"] = float(test.df)
        found[f"{name}_p"] = float(test.pvalue)
    return found
