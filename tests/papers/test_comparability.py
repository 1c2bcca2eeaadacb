from dataclasses import replace

import pytest

from morphpipe.report.papers.comparability import item_verdict, role_verdict
from morphpipe.report.papers.items import ITEMS

TABLE, REAL_ONLY = ITEMS["morphgen_table6"], ITEMS["morphgen_table15"]


def verdict(run, facts, item=TABLE):
    return role_verdict(run, item, "morphgen", "model", facts)


def test_the_papers_own_setup_is_as_comparable_as_it_gets(make_run, paper_facts):
    run = make_run({"model": paper_facts}, {})
    found = verdict(run, paper_facts)
    # What the paper leaves out keeps it from being the same.
    assert found.status == "partly"
    assert found.allows_differences
    text = " ".join(found.sentences)
    assert "400,000 training steps (appendix B, at most)" in text
    assert "Other than in the paper" not in text
    assert "50% of the wells, held out" in text
    assert verdict(run, paper_facts, REAL_ONLY).status == "yes"


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"source": "bbbc021"}, "no", "Data: BBBC021; the paper uses RxRx1."),
        ({"network": "SiT-B/2"}, "no", "network SiT-B/2 (paper: SiT-XL/2"),
        (
            {"autoencoder": "trained here"},
            "no",
            "autoencoder trained here (paper: hf://stab",
        ),
        (
            {"encoders": {"r": {"kind": "resnet18", "weights": "trained here"}}},
            "no",
            "Features: resnet18 (r), trained here; the paper uses inception.",
        ),
        ({"steps": 1000}, "partly", "1,000 training steps (paper: 400,000"),
        ({"per_condition": 16}, "partly", "16 generated images per condition (paper"),
        ({"sampling_seeds": [0]}, "partly", "1 repetitions with different seeds (paper: 3"),
    ],
)
def test_what_differs_is_told_and_decides(make_run, paper_facts, changes, status, sentence):
    facts = replace(paper_facts, **changes)
    found = verdict(make_run({"model": facts}, {}), facts)
    assert found.status == status
    assert any(sentence in told for told in found.sentences), found.sentences


def test_roles_are_judged_together(make_run, paper_facts, simulated_facts):
    other = replace(simulated_facts, name="unaligned")
    mixed = item_verdict(make_run({"model": paper_facts, "unaligned": other}, {}), TABLE)
    assert mixed.status == "partly"
    assert any(sentence.startswith("unaligned: ") for sentence in mixed.sentences)
    none = item_verdict(make_run({"model": simulated_facts, "unaligned": other}, {}), TABLE)
    assert none.status == "no"
    half = item_verdict(make_run({"model": paper_facts}, {}), TABLE)
    assert half.sentences[-1] == "This run has no experiment in the role unaligned."
    assert item_verdict(make_run({}, {}), TABLE).status == "published only"
