"""MorphoDiff's figure 5: what the codec keeps of real images. Apart, since it needs torch."""

import numpy as np
import torch
from matplotlib.figure import Figure

from morphpipe.autoencoders.latents import codec_input
from morphpipe.autoencoders.load import load_codec
from morphpipe.report.papers.image_figures import SAMPLES, Notes, experiment_in, grid, image_source
from morphpipe.report.papers.run import PaperRun


def morphodiff_5(run: PaperRun, notes: Notes) -> Figure:
    """Real images before and after the codec, as the generator sees them."""
    facts = experiment_in(run, "morphodiff", "bbbc021_14")
    source, files = image_source(run, facts), run.paths(facts.name, "codec")
    conditions = source.real.keys().drop_duplicates("perturbation").head(SAMPLES)
    pairs = list(zip(conditions["cell_type"], conditions["perturbation"], strict=True))
    images = np.stack([source.real_images(*pair, 1)[0] for pair in pairs])
    planes = codec_input(images, source.real.manifest, "rgb")
    codec = load_codec(files["folder"], "rgb", scaling_factor=files["scaling_factor"])
    # The means of the latents: without the noise that training draws around them.
    means = codec.moments(torch.from_numpy(planes))[:, 0]
    decoded = codec.decode(means, 3).numpy()
    error = np.mean((planes / 255.0 - decoded / 255.0) ** 2)
    notes.append(f"Mean squared error of these {len(pairs)} images (0 to 1): {error:.2e}.")
    lines = [list(np.moveaxis(side, 1, -1)) for side in (planes, decoded)]
    return grid(lines, ["real", "decoded"], [perturbation for _, perturbation in pairs])
