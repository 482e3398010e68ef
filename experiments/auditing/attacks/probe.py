"""A linear probe: logistic regression from the model's states to the answer, learnt on what it was to keep.

Shape letters: N examples, O hidden size, K answers, L decoder layers.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from experiments.auditing.context import Audited, NotPossible, Outcome
from experiments.auditing.states import states_after_layers
from util.tokens import encode

RIDGE = 0.01
"""Weight of ‖W‖² / 2 beside the mean loss, on standardised states."""


def linear_probe(audited: Audited) -> Outcome:
    """The probe names the fact's answer from the state of the prompt's last token, after some layer.

    It learns, layer by layer, from the states of the model after, on the file's neighbouring prompts (other subjects
    whose answer is the same); prompts that name a subject to be forgotten are left out. A fact whose answer none of
    them has is not tried. details: ``by_layer``, percent named, facts and controls.
    """
    subjects = [record.subject for record in audited.file]
    lessons = {
        record.frame.around(probe.prompt): probe.answer
        for record in audited.file
        for probe in record.neighborhood
        if not any(subject in probe.prompt for subject in subjects)
    }
    answers = sorted(set(lessons.values()))
    if len(answers) < 2:
        raise NotPossible("the file has no neighbouring prompts of two answers to learn from")
    index = {answer: i for i, answer in enumerate(answers)}
    wanted = [index.get(record.target_true) for record in audited.records]
    learnt_NLO = _last_states(audited, list(lessons))
    asked_NLO = _last_states(audited, [record.text for record in audited.records])
    labels = np.array([index[answer] for answer in lessons.values()])
    named = []
    for layer in range(learnt_NLO.shape[1]):
        audited.check_time()
        logits_NK = _fitted(learnt_NLO[:, layer], labels, len(answers), asked_NLO[:, layer])
        named.append([want is not None and bool(row.argmax() == want) for row, want in zip(logits_NK, wanted)])
    flags = [None if want is None else any(layer[i] for layer in named) for i, want in enumerate(wanted)]
    count = len(audited.facts)
    by_layer = {
        "facts": [100 * sum(layer[:count]) / count for layer in named],
        "controls": [100 * sum(layer[count:]) / len(audited.controls) for layer in named],
    }
    return audited.outcome(flags, by_layer=by_layer, learnt_from=len(lessons))


def _last_states(audited: Audited, texts: Sequence[str]) -> np.ndarray:
    """(N, L, O) float64."""
    rows = [tuple(encode(audited.tokenizer, text)) for text in texts]
    states = states_after_layers(audited.after, rows, [[len(row) - 1] for row in rows], audited.batch_tokens)
    return np.stack([state_L1O[:, 0].double().numpy() for state_L1O in states])


def _fitted(learnt_NO: np.ndarray, labels_N: np.ndarray, classes: int, asked_NO: np.ndarray) -> np.ndarray:
    """Logits (N, K) of the asked states, by the regression learnt on the others, both standardised by the latter."""
    mean_O, deviation_O = learnt_NO.mean(0), learnt_NO.std(0) + 1e-6
    W_KO, b_K = logistic_regression((learnt_NO - mean_O) / deviation_O, labels_N, classes)
    return (asked_NO - mean_O) / deviation_O @ W_KO.T + b_K


def logistic_regression(X_NO: np.ndarray, labels_N: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """W (K, O), b (K,) that minimise the mean of −log softmax(W x + b)[label] + RIDGE ‖W‖² / 2, by L-BFGS."""
    count, size = X_NO.shape
    onehot_NK = np.eye(classes)[labels_N]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W_KO, b_K = flat[: classes * size].reshape(classes, size), flat[classes * size :]
        log_p_NK = log_softmax(X_NO @ W_KO.T + b_K, axis=1)
        error_NK = (np.exp(log_p_NK) - onehot_NK) / count
        value = -(onehot_NK * log_p_NK).sum() / count + RIDGE * (W_KO**2).sum() / 2
        return value, np.concatenate([(error_NK.T @ X_NO + RIDGE * W_KO).ravel(), error_NK.sum(0)])

    found = minimize(loss, np.zeros(classes * (size + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x[: classes * size].reshape(classes, size), found.x[classes * size :]
