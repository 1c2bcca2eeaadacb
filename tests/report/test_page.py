import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from morphpipe.core.errors import ConfigError, DataError
from morphpipe.report.content import gather
from morphpipe.report.site import one_file

from .conftest import CELL_TYPES, QUARANTINED, SCRIPT


class _Elements(HTMLParser):
    """Every start tag with its attributes, what is never closed, and the page's text."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.elements, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    parser = _Elements()
    parser.feed(page)
    parser.close()
    parser.words = " ".join(" ".join(parser.text).split())
    return parser


@pytest.fixture(scope="module")
def page(content, drawn):
    return one_file(content, drawn)


@pytest.fixture(scope="module")
def hostile_page(hostile_inputs):
    return one_file(gather(hostile_inputs))


@pytest.fixture(scope="module")
def own_page(own_inputs):
    return one_file(gather(own_inputs))


@pytest.mark.parametrize("name", ["page", "own_page"])
def test_elements_are_closed_and_ids_unique(request, name):
    page = request.getfixturevalue(name)
    parser = parsed(page)
    assert parser.open == []
    ids = [attributes["id"] for _, attributes in parser.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for t, a in parser.elements if t == "a" and a["href"][0] == "#"}
    assert targets
    assert targets <= set(ids)


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in parsed(page).elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
            value = attributes.get(name) or "#"
            embedded = ("#", "data:image/", "data:text/csv;")
            assert value.startswith(embedded), (tag, name, value[:80])
    assert "@import" not in page
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", page)
    assert "@font-face" not in page
    assert not [tag for tag, _ in parsed(page).elements if tag in ("link", "iframe")]
    scripts = [attributes for tag, attributes in parsed(page).elements if tag == "script"]
    assert scripts == [{}]


def test_names_from_tables_are_escaped(hostile_page):
    parser = parsed(hostile_page)
    assert [attributes for tag, attributes in parser.elements if tag == "script"] == [{}]
    for _, attributes in parser.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not str(attributes.get("href", "")).startswith("javascript:")
    assert SCRIPT in parser.words
    assert QUARANTINED[1] in parser.words


def test_images_and_figures_have_alternatives(page):
    parser = parsed(page)
    images = [attributes for tag, attributes in parser.elements if tag == "img"]
    assert all(attributes["alt"].strip() for attributes in images)
    for cell_type in CELL_TYPES:
        for side in ("real", "generated"):
            assert any(f"{side} field, {cell_type}, control" in a["alt"] for a in images)
    hidden = [a for tag, a in parser.elements if tag == "svg" and "aria-hidden" in a]
    told = [a for tag, a in parser.elements if tag == "div" and a.get("role") == "img"]
    assert len(hidden) == len(told) > 0
    rulers = [a for tag, a in parser.elements if tag == "svg" and a.get("class") == "ruler"]
    assert all(a["aria-label"] for a in rulers)


def test_pictures_come_before_tables(page):
    assert 0 < page.index("<img") < page.index("<svg") < page.index("<table")


def test_quarantine_with_reasons(page):
    words = parsed(page).words
    assert QUARANTINED[0] in words
    assert QUARANTINED[1] in words
    assert "1 of 121 fields was excluded" in words


def test_alignment_encoder_is_marked_and_no_other(page):
    words = parsed(page).words
    assert "† aligner was also used for alignment" in words
    assert "aligner †" in words
    assert "judge †" not in words
    assert "Headline and claims use the encoder judge" in words


def test_missing_values_give_their_reason(page):
    words = parsed(page).words
    assert "halves of 1 images, fewer than the minimum of 6" in words
    assert "the controls come from fewer than four wells" in words
    assert not re.search(r"\bnan\b", words, re.IGNORECASE)


def test_failing_claims_are_shown(page, hostile_page):
    good, bad = parsed(page).words, parsed(hostile_page).words
    assert good.count("does not hold Generated") == 0
    # On the overview, and on the page of the experiment.
    assert good.count("holds Generated treatment effects") == 6
    assert bad.count("does not hold Generated treatment effects") == 6
    assert "does not hold A probe trained only on generated images" in bad


def test_provenance_is_on_the_page(page):
    words = parsed(page).words
    for text in (
        "hf://stabilityai/sd-vae-ft-mse", "31f26fd", "cd" * 32, "ab" * 32, "2.13.0",
        "trained by the workflow for 300 steps", "loss 0.0500", "none needed (simulated)",
        "architecture: SiT-S/2",
    ):  # fmt: skip
        assert text in words


def test_unknown_experiment_is_named(inputs):
    other = replace(inputs, experiments=(replace(inputs.experiments[0], name="other"),))
    with pytest.raises(ConfigError, match="'other'"):
        gather(other)
    with pytest.raises(DataError, match="needs at least one experiment"):
        gather(replace(inputs, experiments=()))


def test_own_plates_say_what_cannot_be_said(own_page):
    words = parsed(own_page).words
    for text in (
        "of the dataset plates (own plates)", "24 fields of view",
        "There is no negative control among the real held-out images",
        "Name the untreated perturbation in the dataset's `negative_controls`",
        "leaks 1 pair of identical images is on different sides",
        "6 of 54 fields were excluded", "tubulin 2, actin 1",
        "Fields were rescaled to 32 × 32 pixels", "a pixel is 0.65 µm wide and high",
        "actin red, tubulin green, Hoechst blue", "which the MorphGen paper does not use",
        "own data not needed",
    ):  # fmt: skip
        assert text in words
    for text in ("simulated", "six stains", "mean over cell types", "all cell types", "nan "):
        assert text not in words[: words.index("Everything needed to reproduce")]


def test_the_data_of_the_small_run(page):
    words = parsed(page).words
    for text in (
        "As simulated, without preprocessing", "No well, held-out condition or identical image",
        "Median number of nuclei", "No limits are configured", "a plane is damaged",
        "In 4 of 8 conditions the median number of nuclei",
    ):  # fmt: skip
        assert text in words


def test_nobody_looked_at_quality_or_leakage(inputs):
    files = replace(inputs.experiments[0], quality=None, leakage=None)
    words = parsed(one_file(gather(replace(inputs, experiments=(files,))))).words
    assert "not checked Leakage was not checked" in words
    assert "The quality of the fields was not checked" in words
