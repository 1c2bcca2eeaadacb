import torch
from torchvision.models import resnet18

from morphpipe.encoders.residual_network import ResidualNetwork


def both(seed=3, classes=7):
    networks = []
    for build in (ResidualNetwork, lambda number: resnet18(num_classes=number)):
        torch.manual_seed(seed)
        networks.append(build(classes))
    return networks


def test_a_seed_gives_torchvisions_initial_weights():
    own, theirs = (network.state_dict() for network in both())
    assert list(own) == list(theirs)
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)


def test_outputs_gradients_and_statistics_are_torchvisions():
    own, theirs = both()
    images = torch.randn(3, 3, 70, 61)
    for training in (True, False):
        outputs = [network.train(training)(images) for network in (own, theirs)]
        assert torch.equal(*outputs)
        for output in outputs:
            output.square().sum().backward()
    for (name, a), (_, b) in zip(own.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), (_, b) in zip(own.named_buffers(), theirs.named_buffers(), strict=True):
        assert torch.equal(a, b), name
