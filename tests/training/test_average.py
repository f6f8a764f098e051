"""Short runs ship what they have learned."""

import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from refinefuse.training.task import warmed_cosine
from refinefuse.training.train import ramped_average


def average_of(values, decay):
    average = ramped_average(decay)
    mean = torch.tensor(float(values[0]))
    for count, value in enumerate(values[1:], 1):
        mean = average(mean, torch.tensor(float(value)), torch.tensor(count))
    return mean.item()


def test_after_200_steps_the_average_has_forgotten_its_start():
    learned = [0.0] + [1.0] * 200
    assert average_of(learned, 0.999) > 0.999


def test_in_a_long_run_it_averages_over_as_many_steps_as_the_decay_says():
    values = [0.0] * 9000 + [1.0] * 500
    assert average_of(values, 0.998) == pytest.approx(1 - 0.998**500, abs=0.01)


@pytest.mark.parametrize(("steps", "rising"), [(5, 1), (200, 20), (4000, 200), (20000, 400)])
def test_the_rate_rises_over_a_tenth_of_a_short_run_at_most(steps, rising):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rate = warmed_cosine(optimizer, steps)["lr_scheduler"]["scheduler"].lr_lambdas[0]
    rates = [rate(step) for step in range(steps)]
    assert abs(rates.index(max(rates)) - (rising - 1)) <= 0.1 * rising + 1
