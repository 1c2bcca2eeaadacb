import io

import numpy as np
from PIL import Image

from morphpipe.report.page_files import SiteFiles
from morphpipe.report.paper_items import read_item

from . import extras


def shown(tmp_path, image):
    """What stands in the site for a paper's figure, and the figure's file."""
    _, folder, _ = extras.write_items(tmp_path)
    image.save(folder / "figure.png")
    item = read_item(folder)
    site = tmp_path / "site"
    address = SiteFiles(site, 1).paper_figure(item)
    return (site / address).read_bytes(), item.figure.read_bytes()


def test_a_papers_figure_is_shown_as_it_was_drawn(tmp_path):
    made, drawn = shown(tmp_path, Image.new("RGB", (90, 60), "white"))
    assert made == drawn


def test_a_papers_figure_that_is_too_much_for_a_page_becomes_smaller(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    made, drawn = shown(tmp_path, Image.fromarray(noise))
    assert len(drawn) > 3_000_000
    assert len(made) <= 400_000
    with Image.open(io.BytesIO(made)) as image:
        assert image.width > 400
        assert abs(image.width / image.height - 4 / 3) < 0.01
