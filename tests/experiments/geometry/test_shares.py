"""Cosines and shares against their definitions, and at values that have everything or nothing in common."""

import pytest
import torch

from experiments.geometry.shares import alike, common_length, removed
from util.linalg import mean_cosine


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_value_for_all_and_values_at_right_angles():
    same, apart = random(5, 1).expand(5, 3), 2 * torch.eye(5, 4)
    assert alike(same, same) == {name: pytest.approx(1) for name in alike(same, same)}
    assert mean_cosine(apart) == pytest.approx(0) and common_length(apart) == pytest.approx(0.5)


def test_removing_more_directions_takes_more_and_centring_spares_the_mean():
    common = 5 * random(9, 1)
    U, V, nobody = (common + random(9, 6, seed=seed) for seed in (1, 2, 3))
    found = removed(U, V, nobody, [1, 3, 6])
    assert [one["rank"] for one in found.values()] == [1, 3, 6]
    assert found[3]["chance"] == pytest.approx(1 / 3)
    assert found[1]["others"] < found[3]["others"] < found[6]["others"] <= 1
    for one in found.values():
        assert one["mean"] > one["others"] > one["chance"] + 0.2
        assert one["centred"] < one["others"] - 0.2 and one["invented"] == pytest.approx(one["others"], abs=0.1)


def test_dependent_directions_add_nothing():
    U, V = random(9, 2), random(9, 6, seed=1)
    doubled = torch.cat([U, U.sum(1, keepdim=True)], 1)
    found = removed(doubled, V, V, [2, 3])
    assert found[2] == {name: pytest.approx(value) for name, value in found[3].items()}
