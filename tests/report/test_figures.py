from dataclasses import replace

import numpy as np
from PIL import Image

from morphpipe.report.figures import write_figures

TOPICS = ("samples", "training", "distances", "effects", "probes", "pca")


def test_every_topic_is_written(inputs, tmp_path):
    # Without features there are no principal components: the file says so.
    files = replace(inputs.experiments[0], features=())
    paths = {topic: tmp_path / f"{topic}.png" for topic in TOPICS}
    write_figures(inputs, files, paths)
    sizes = {}
    for topic, path in paths.items():
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
        sizes[topic] = pixels.shape
        assert pixels.max() == 255
        assert pixels.min() < 128
    assert sizes["pca"][0] < sizes["effects"][0]
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in paths.values()}
