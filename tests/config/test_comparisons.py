import pytest
from pydantic import ValidationError

from morphpipe.config.comparisons import Comparison, Ranking, check_comparisons, ranking_of
from morphpipe.config.experiments import Experiment


def experiment(split="s", encoders=("inception", "judge")):
    return Experiment.model_validate(
        {"split": split, "autoencoder": "c", "evaluation": {"encoders": list(encoders)}}
    )


EXPERIMENTS = {
    "new": experiment(),
    "old": experiment(encoders=("judge",)),
    "elsewhere": experiment(split="t"),
    "alone": experiment(encoders=("other",)),
}


def comparison(**columns):
    return Comparison.model_validate({"model": "new", "baseline": "old"} | columns)


def test_defaults():
    made = comparison()
    assert made.experiments == ("new", "old")
    assert made.comparison == "generated-real@floor-n"
    assert made.ranking is None
    assert Ranking() == Ranking(cohorts=None, seed=2020, blocks=1)
    check_comparisons({"c": made, "d": comparison(encoders=["judge"])}, EXPERIMENTS)
    check_comparisons({}, EXPERIMENTS)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"baseline": "new"}, "both 'new': use two experiments"),
        ({"metrics": ["FIDD"]}, "'FID', 'KID'"),
        ({"metrics": []}, "at least 1 item"),
        ({"comparison": "copy-real"}, "generated-real@floor-n"),
        ({"ranking": {"cohorts": 1}}, "greater than or equal to 2"),
        ({"ranking": {"blocks": 0}}, "greater than 0"),
        ({"models": "x"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(columns, message):
    with pytest.raises(ValidationError, match=message):
        comparison(**columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"model": "x"}, r"comparisons\.c\.model names 'x'.*declared: new, old"),
        ({"baseline": "x"}, r"comparisons\.c\.baseline names 'x'"),
        ({"baseline": "elsewhere"}, r"comparisons\.c compares .* splits 's' and 't'"),
        ({"encoders": ["inception"]}, r"c\.encoders names 'inception'.*shared: judge"),
        ({"baseline": "alone"}, "without a common encoder"),
    ],
)
def test_experiments_that_do_not_fit_are_named(columns, message):
    with pytest.raises(ValueError, match=message):
        check_comparisons({"c": comparison(**columns)}, EXPERIMENTS)


def test_an_experiment_is_ranked_in_one_way():
    one, other = {"cohorts": 50, "blocks": 4}, {"cohorts": 60}
    both = {"a": comparison(), "b": comparison(ranking=one)}
    assert ranking_of(both, "new") == ranking_of(both, "old") == Ranking(cohorts=50, blocks=4)
    assert ranking_of(both, "alone") is None
    assert ranking_of({"a": comparison()}, "new") is None
    check_comparisons(both, EXPERIMENTS)
    with pytest.raises(ValueError, match=r"comparisons\.c\.ranking differs .* 'new'"):
        check_comparisons(both | {"c": comparison(ranking=other)}, EXPERIMENTS)
