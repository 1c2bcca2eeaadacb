"""The folder of pages: links, files, the gallery's filters, what is left of a former run."""

import csv
import gzip
import io
import re
import shutil
import subprocess
import urllib.parse
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from morphpipe.report import site as site_module
from morphpipe.report.site import one_file, write_report

from .test_page import parsed

PAGES = {
    "index.html", "morphgen.html", "morphodiff.html", "experiment-small.html", "gallery.html",
    "provenance.html",
}  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def words_of(site, name):
    return parsed((site / name).read_text("utf-8")).words


def test_there_is_a_page_for_everything(site):
    assert {path.name for path in site.glob("*.html")} == PAGES
    for name in PAGES:
        parser = parsed((site / name).read_text("utf-8"))
        assert parser.open == []
        ids = [a["id"] for _, a in parser.elements if "id" in a]
        assert len(ids) == len(set(ids))


def test_every_link_leads_somewhere_and_every_file_is_linked(site):
    linked = set()
    for name in PAGES:
        for tag, attributes in parsed((site / name).read_text("utf-8")).elements:
            for key in ("href", "src"):
                address, _, anchor = urllib.parse.unquote(attributes.get(key) or "").partition("#")
                if not attributes.get(key) or (tag == "image" and not address):
                    continue
                assert not re.match(r"[a-z]+:|/", address) or address.startswith("data:image/")
                target = site / (address or name)
                if address.startswith("data:") or address == "../report.html":
                    continue
                assert target.is_file(), (name, address)
                linked.add(target)
                if anchor and target.suffix == ".html":
                    assert f'id="{anchor}"' in target.read_text("utf-8"), (name, address, anchor)
    assert linked == {path for path in site.rglob("*") if path.is_file()}


def test_every_table_is_a_csv_file_and_every_figure_png_and_pdf(site):
    tables = list((site / "tables").glob("*.csv"))
    pages = [parsed((site / name).read_text("utf-8")) for name in PAGES]
    shown = sum(tag == "table" for page in pages for tag, _ in page.elements)
    assert len(tables) == shown > 15
    for path in tables:
        lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
        assert len(lines) > 1
        assert len({len(line) for line in lines}) == 1
    drawn = sum(a.get("role") == "img" and t == "div" for page in pages for t, a in page.elements)
    # And the pictures side by side, and the paper's figure.
    assert len(list((site / "figures").glob("*.png"))) == drawn + 2
    for path in (site / "figures").glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 50
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_all_metrics_are_there_uncut(site, content):
    with gzip.open(site / "tables/small-all-metrics.csv.gz", "rt") as stream:
        frame = pd.read_csv(stream)
    section = content.sections[0].evidence
    rows = len(section.metrics) + sum(map(len, section.measures.values()))
    assert len(frame) == rows
    assert {"FID", "frechet_distance", "precision"} & set(frame["metric"])


def test_the_navigation_is_the_same_on_all_pages(site):
    found = []
    for name in sorted(PAGES):
        page = parsed((site / name).read_text("utf-8"))
        links = [a["href"] for t, a in page.elements if t == "a" and a["href"] in PAGES]
        found.append(list(dict.fromkeys(links))[: len(PAGES)])
        assert [a["href"] for t, a in page.elements if a.get("aria-current")] == [name]
    assert set(found[0]) == PAGES


def test_overview_says_what_was_run_and_what_can_be_trusted(site):
    words = words_of(site, "index.html")
    for text in (
        "Experiments A generator SiT-S/2", "Key figures",
        "Do generated images lie where real ones do? 60 %", "real vs real 80 %",
        "replayed training images 100 %", "expected for new images 1.00 %",
        "2 of the ten key figures have no value",
        "no The cells are real.", "yes The encoder was not used in training.",
        "yes Copies of training images are detected.", "no The generated images are not copies.",
        "not checked Distances are sensitive to the perturbation", "no Training was repeated.",
        "Limitations", "2 tables and figures: 1 partly comparable, 1 not comparable",
    ):  # fmt: skip
        assert text in words, text
    assert words.index("generated control") < words.rindex("Key figures")


def test_paper_page_has_items_in_order_with_published_values(site):
    words = words_of(site, "morphgen.html")
    assert words.index("Table 4") < words.index("Figure 3")
    for text in (
        "partly comparable Other data.", "52.2 50.0 to 55.0 paper 50.2 ± 0.6 (+2.05) n = 500",
        "61 quoted", "not measured", "1 check of these values holds", "snakemake morphgen_table4",
    ):  # fmt: skip
        assert text in words, text
    assert "the role is not filled" in words_of(site, "morphodiff.html")


def test_experiment_page_shows_further_metrics_and_the_closest_pairs(site):
    text = (site / "experiment-small.html").read_text("utf-8")
    words = parsed(text).words
    for title in (
        "Do generated images cover the distribution of real ones?", "Are generated images copies",
        "Do generated profiles retrieve real ones?", "Do results generalise to other batches?",
        "Do generated images vary as much as real ones?", "How far apart are real perturbations?",
    ):  # fmt: skip
        assert title in words
    assert "real + real" not in words
    assert "real + generated → real, across batches" in words
    assert "other perturbation" in words
    pairs = re.findall(r'<div class="pair (\w+)">', text)
    assert pairs == ["generated"] * 6 + ["real"] * 3
    assert words.count("counts as memorised") == 2 + 1
    assert "0.100 of the distance to the next neighbours: counts as memorised epithelial" in words


def test_provenance_has_times_seeds_and_checksums(site, inputs):
    words = words_of(site, "provenance.html")
    for text in (
        "train 2 of 2 2.02 min 90.5 s 2.67 min 2.00 GiB",
        "split 1 of 1 0.400 s 0.400 s not measured not measured",
        "sample 0 of 1 not measured", "sampling small 0, 1", "ab" * 32,
        "manifold.parquet", "morphgen_table4", "hf://stabilityai/sd-vae-ft-mse",
    ):  # fmt: skip
        assert text in words, text
    assert "report 1 of 1" not in words


@pytest.fixture
def gathered(bare, monkeypatch):
    """Nothing is read again."""
    monkeypatch.setattr(site_module, "gather", lambda inputs: bare)
    return bare


def test_same_inputs_same_files_and_nothing_of_a_former_run_is_left(gathered, tmp_path):
    written = []
    for name in ("one", "two"):
        folder, page = tmp_path / name / "report", tmp_path / name / "report.html"
        (folder / "tables").mkdir(parents=True)
        (folder / "experiment-former.html").touch()
        (folder / "tables" / "former.csv").touch()
        write_report(gathered.inputs, page=page, folder=folder)
        assert {path.name for path in folder.parent.iterdir()} == {"report", "report.html"}
        files = [path for path in folder.parent.rglob("*") if path.is_file()]
        written.append({path.relative_to(folder.parent): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert not [path for path in written[0] if "former" in path.name]


def test_failure_leaves_the_former_report(gathered, tmp_path, monkeypatch):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "index.html").write_text("former")

    def fails(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr(site_module, "write_site", fails)
    with pytest.raises(RuntimeError):
        write_report(gathered.inputs, folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (folder / "index.html").read_text() == "former"


def test_several_experiments_stand_beside_each_other(bare):
    section = bare.sections[0]
    other = replace(section, evidence=replace(section.evidence, name="other"))
    first = bare.inputs.experiments[0]
    inputs = replace(bare.inputs, experiments=(first, replace(first, name="other")))
    page = parsed(one_file(replace(bare, inputs=inputs, sections=[section, other])))
    assert "Key figures of all experiments" in page.words
    assert "Validity checks of all experiments" in page.words
    overview = page.words[: page.words.index("The paper's tables and figures, with")]
    assert overview.count("The images are simulated.") == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


# What a reader does: choose in the filters. Run after the page's own script.
CHOOSE = """
<script>
const form = document.getElementById("filters");
for (const [key, value] of Object.entries(CHOICE)) form.elements.namedItem(key).value = value;
form.dispatchEvent(new Event("change", { bubbles: true }));
</script>
"""


def visible(page):
    """Conditions that are shown, with the channels and sides of their pictures."""
    found, condition, side = {}, None, None
    for tag, attributes in parsed(page).elements:
        classes = (attributes.get("class") or "").split()
        if tag == "article" and "condition" in classes:
            condition = (attributes["data-cell-type"], attributes["data-perturbation"])
            if "hidden" in attributes:
                condition = None
        elif tag == "div" and "strip" in classes:
            side = classes[-1]
        elif tag == "img" and condition and "hidden" not in attributes:
            found.setdefault(condition, []).append((side, attributes["data-channel"]))
    return found


def in_browser(folder, address, script=""):
    """The gallery's elements after its scripts have run."""
    page = (folder / "gallery.html").read_text("utf-8")
    copy = folder / "gallery-tried.html"
    copy.write_text(page.replace("</body>", f"{script}</body>"), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    try:
        done = subprocess.run(
            [*command, f"{copy.as_uri()}{address}"], capture_output=True, timeout=120, check=True
        )
    finally:
        copy.unlink()
    return done.stdout.decode()


def test_gallery_without_filters_shows_all_conditions_in_colour(site):
    shown = visible((site / "gallery.html").read_text("utf-8"))
    assert len(shown) == 10
    assert all(set(of) == {("real", "colour"), ("generated", "colour")} for of in shown.values())


@pytest.mark.skipif(CHROMIUM is None, reason="the filters are tried in Chromium: not installed")
@pytest.mark.parametrize(
    ("by", "choice", "conditions", "channel"),
    [
        ("hand", {"cellType": "fibroblast"}, 5, "colour"),
        ("hand", {"perturbation": "inert", "channel": "mito"}, 2, "mito"),
        (
            "address",
            {"cellType": "epithelial", "perturbation": "inert", "channel": "DNA"},
            1,
            "DNA",
        ),
    ],
)
def test_gallery_filters_by_cell_type_perturbation_and_channel(
    site, by, choice, conditions, channel
):
    if by == "hand":
        page = in_browser(site, "", CHOOSE.replace("CHOICE", repr(choice)))
    else:
        page = in_browser(site, "#" + urllib.parse.urlencode(choice))
    shown = visible(page)
    assert len(shown) == conditions
    for (cell_type, perturbation), pictures in shown.items():
        assert cell_type == choice.get("cellType", cell_type)
        assert perturbation == choice.get("perturbation", perturbation)
        assert set(pictures) == {("real", channel), ("generated", channel)}
    assert f"{conditions} of 10 conditions" in parsed(page).words
