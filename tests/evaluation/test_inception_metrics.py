"""FID and KID from images, against torch-fidelity's own run over the same images."""

import numpy as np
import pytest
import torch
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from morphpipe.encoders.inception import InceptionEncoder
from morphpipe.evaluation.distances.frechet import frechet_distance
from morphpipe.evaluation.distances.kernel import kernel_distance


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Kaiming-initialised weights: torch's default ones make all features alike."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    patch = pytest.MonkeyPatch()
    patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    torch.save({}, path)
    network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=path)
    patch.undo()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    return path


class Images(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def test_fid_and_kid_of_images_equal_torch_fidelity(weights):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (12, 3, 24, 24), generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise.float(), 3, 1, 1)
    sets = [noise.byte(), smooth.byte()]
    expected = calculate_metrics(
        input1=Images(sets[0]),
        input2=Images(sets[1]),
        fid=True,
        kid=True,
        kid_subset_size=10,
        kid_subsets=15,
        batch_size=6,
        cuda=False,
        verbose=False,
        feature_extractor_weights_path=str(weights),
        datasets_num_workers=0,
        save_cpu_ram=True,
    )
    encoder = InceptionEncoder(weights)
    x, y = (
        torch.cat([encoder.embed(batch, "rgb") for batch in images.split(6)]).numpy()
        for images in sets
    )
    assert x.std() > 0.01
    np.testing.assert_allclose(
        frechet_distance(x, y), expected["frechet_inception_distance"], rtol=1e-5, atol=1e-4
    )
    result = kernel_distance(x, y, subset_size=10, subsets=15)
    np.testing.assert_allclose(
        result,
        [
            expected["kernel_inception_distance_mean"],
            expected["kernel_inception_distance_std"],
        ],
        rtol=1e-5,
        atol=2e-7,
    )
