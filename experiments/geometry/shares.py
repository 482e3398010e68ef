"""Cosines of keys and values, and shares of values inside the directions that a projector removes. Pure algebra.

Shape letters: O out, I in, N facts, M other subjects, U sensitive directions.
"""

from collections.abc import Sequence

import torch

from util.linalg import basis_beside, energy_inside, mean_cosine, orthonormal_basis


def common_length(V_OM: torch.Tensor) -> float:
    """‖mean v‖ / mean ‖v‖: 1 where all values are one, about 1/√M where they have nothing in common."""
    return (V_OM.double().mean(1).norm() / V_OM.double().norm(dim=0).mean()).item()


def alike(K_IM: torch.Tensor, V_OM: torch.Tensor) -> dict[str, float]:
    """What other subjects' keys and values share."""
    return {
        "cosine_of_keys": mean_cosine(K_IM),
        "cosine_of_values": mean_cosine(V_OM),
        "common_length": common_length(V_OM),
    }


def removed(
    U_OU: torch.Tensor, V_OM: torch.Tensor, invented_OM: torch.Tensor, counts: Sequence[int]
) -> dict[int, dict[str, float]]:
    """What the projector of the first n sensitive directions takes away, for each n.

    rank: of U. mean: share of the energy of the other facts' mean value inside span(U). others, invented: mean over
    other facts (subjects that do not exist) of the share of their value's energy. centred: the same as `others` once U
    is made orthogonal to the invented subjects' mean value. chance: rank / O, the share of a direction drawn at random.
    """
    found = {}
    for count in counts:
        Q_Or = orthonormal_basis(U_OU[:, :count])
        beside_Or = basis_beside(U_OU[:, :count], invented_OM.double().mean(1))
        found[count] = {
            "rank": Q_Or.shape[1],
            "chance": Q_Or.shape[1] / len(U_OU),
            "mean": energy_inside(V_OM.double().mean(1, keepdim=True), Q_Or).item(),
            "others": energy_inside(V_OM, Q_Or).mean().item(),
            "invented": energy_inside(invented_OM, Q_Or).mean().item(),
            "centred": energy_inside(V_OM, beside_Or).mean().item(),
        }
    return found
