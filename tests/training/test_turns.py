"""Turns of a training step, on a generator of two numbers that pull against each other."""

import pytest
import torch
from torch import nn

from morphpipe.config.experiments import Training
from morphpipe.generators.base import Generator, Losses
from morphpipe.training.turns import joined, joint_norm, turns_of


class Rivals(Generator):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def turns(self):
        return {"first": [self.first], "second": [self.second]}

    def turn_losses(self, batch, turn):
        product = (self.first * self.second).sum()
        total = product if turn == "first" else -product
        return Losses(total, parts={turn: total.detach()})


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_a_turn_trains_its_own_parameters_alone(optimizer):
    rivals = Rivals()
    turns = turns_of(rivals, Training(slices=1, steps=1, learning_rate=0.5, optimizer=optimizer))
    for turn, expected in zip(turns, ((0.5, 1.0), (0.5, 1.5)), strict=True):
        turn.begin()
        turn.optimizer.zero_grad()
        rivals(None, turn.name).total.backward()
        assert all(parameter.grad is None for parameter in turn.others if turn is turns[0])
        turn.optimizer.step()
        assert (rivals.first.item(), rivals.second.item()) == pytest.approx(expected)


def test_weight_decay_of_adam_is_a_part_of_the_gradient():
    """Adam's first step is the sign of the gradient, AdamW's decay shrinks the weight beside it."""
    steps = {}
    for optimizer in ("adam", "adamw"):
        rivals = Rivals()
        training = Training(
            slices=1, steps=1, learning_rate=0.1, optimizer=optimizer, weight_decay=0.5
        )
        turn = turns_of(rivals, training)[0]
        turn.begin()
        rivals(None, turn.name).total.backward()
        turn.optimizer.step()
        steps[optimizer] = rivals.first.item()
    assert steps == pytest.approx({"adam": 1 - 0.1, "adamw": 1 * (1 - 0.1 * 0.5) - 0.1})


def test_what_a_single_turn_has_frozen_stays_frozen():
    layer = Generator()
    layer.weight = nn.Parameter(torch.ones(1), requires_grad=False)
    (turn,) = turns_of(layer, Training(slices=1, steps=1))
    turn.begin()
    assert not layer.weight.requires_grad


def test_losses_and_norms_of_a_step_are_those_of_its_turns():
    rivals = Rivals()
    one, two = (rivals(None, turn) for turn in rivals.turns())
    assert joined([one]) is one
    both = joined([one, two])
    assert float(both.total) == 0
    assert set(both.parts) == {"first", "second"}
    norm = torch.tensor(0.1)
    assert joint_norm([norm]) is norm
    assert float(joint_norm([torch.tensor(3.0), torch.tensor(4.0)])) == 5
