"""NPO's loss (Zhang et al., Negative Preference Optimization, 2024, eq. 3). Pure algebra.

Shape letters: N texts.
"""

import torch


def preference_loss(log_p_N: torch.Tensor, before_N: torch.Tensor, beta: float) -> torch.Tensor:
    """(2/β) softplus(β (log p_θ − log p_0)) per text, (N,), which is −(2/β) log σ(−β log(p_θ / p_0)).

    log_p_N: Σ log p_θ of a text's answer, before_N: the same under the model as given; one dtype and device. At the
    start it is (2/β) log 2 with slope 1; as β → 0 it is gradient ascent on the NLL.
    """
    return 2 / beta * torch.nn.functional.softplus(beta * (log_p_N - before_N))
