import copy

import pytest
import yaml

from morphpipe.config import parse_configuration
from morphpipe.plan.paths import Plan

CONTENT = yaml.safe_load(
    """
    licences: {accept: [MIT, CC BY-NC-SA 4.0]}
    weights:
      vae: {source: "https://x.y/vae", files: [config.json], licence: MIT}
      tokens: {source: "https://x.y/tokens", files: [model.safetensors], licence: MIT}
    datasets:
      screen: {source: simulated, plates: 2}
      rxrx1: {source: rxrx1}
    splits:
      screen: {dataset: screen}
      rxrx1: {dataset: rxrx1}
    autoencoders:
      own: {origin: trained, split: screen}
      vae: {origin: pretrained, weights: vae, scaling_factor: 0.5}
    encoders:
      resnet: {kind: resnet18, split: screen}
      tokens: {kind: openphenom, weights: tokens}
    morphology:
      cells: {split: screen, pipeline: none.cppipe, channels: {Nuclei: the DNA}}
    experiments:
      one: &one
        split: screen
        autoencoder: own
        generator: {kind: sit, architecture: SiT-Na/1}
        training: {seeds: [0, 3], steps: 40, slices: 4}
        sampling: {seeds: [1, 2], shards: 2, guidance: {scale: 2, guide: 1}}
        evaluation: {encoders: [resnet, tokens], views: [all, DNA], morphology: cells}
      two:
        <<: *one
        trained_by: one
        sampling: {seeds: [0], shards: 1}
        evaluation: {encoders: [tokens], views: [rgb, all], measures: [variance]}
      siRNAs:
        <<: *one
        split: rxrx1
        autoencoder: vae
        generator: {kind: sit, architecture: SiT-B/2, alignment: {encoder: tokens}}
        training: {steps: 8, slices: 1, augmentation: flip}
        sampling: {seeds: [0], cell_types: [RPE], shards: 1}
        evaluation: {encoders: [tokens], views: [ER], crops: {size: 48}}
    comparisons:
      pair: {model: one, baseline: two, ranking: {}}
    papers:
      morphgen: {model: one, crops: siRNAs}
      morphodiff: {bbbc021_14: pair}
    """
)


@pytest.fixture
def content():
    """Two experiments on a simulated screen, one trained by the other, and one on RxRx1."""
    return copy.deepcopy(CONTENT)


@pytest.fixture
def plan(content):
    return Plan(parse_configuration(content))
