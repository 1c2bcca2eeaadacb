"""Student's, Welch's and the paired t-test, with the smallest difference they could have shown.

The smallest difference is the true one that the paired test finds with a probability of 80 %,
given how many pairs there are and how much their differences vary. It is no "observed power",
which only repeats the p-value.
"""

import numpy as np
import numpy.typing as npt
import scipy  # its parts load when used

ALPHA, POWER = 0.05, 0.8
"""Level of the tests, two-sided, and the probability of finding the smallest difference."""


def power_of_paired_test(pairs: int, effect: float, *, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t-test finds an effect.

    Parameters
    ----------
    pairs
        Number of pairs, at least 2.
    effect
        True mean of the differences in units of their standard deviation.
    alpha
        Level of the test.
    """
    freedom, shift = pairs - 1, abs(effect) * pairs**0.5
    critical = scipy.stats.t.ppf(1 - alpha / 2, freedom)
    # The lower tail as the upper one of the mirrored distribution: far out, where it is 0, scipy's
    # cumulative function of the noncentral t gives NaN.
    return float(sum(scipy.stats.nct.sf(critical, freedom, [shift, -shift])))


def smallest_effect(pairs: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that a two-sided paired t-test finds with the given probability.

    Returns
    -------
    float
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
        Level of the tests; the interval has the level 1 - alpha.
    power
        Of the smallest difference.
    minimum
        Fewest perturbations.

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
