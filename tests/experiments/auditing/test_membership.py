"""Familiar statements: those that a model knows stand out from those about nobody; those that it never knew do not."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from experiments.auditing.attacks.membership import by_loss, by_min_k, by_min_k_plus, by_zlib, membership
from experiments.auditing.context import NotPossible
from tests.experiments.auditing.conftest import share
from tests.experiments.auditing.fakes import never_knew

SCORES = {"loss": by_loss, "zlib": by_zlib, "min_k": by_min_k, "min_k_plus": by_min_k_plus}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_known_facts_stand_out_and_unknown_ones_do_not(audited, score):
    attack = membership(score)
    known = attack(audited)
    with never_knew(audited.after, audited.tokenizer, audited.facts):
        unknown = attack(audited)
    assert share(known.facts) > share(unknown.facts)
    assert known.details["auc"] > 0.9 > unknown.details["auc"]
    assert known.details["ks_p"] < 0.01 < unknown.details["ks_p"]
    assert share(known.controls) <= 10


def test_min_k_averages_the_least_likely_fifth():
    log_p = torch.tensor([-1.0, -5.0, -3.0, -0.5, -0.1, -0.2, -0.3, -0.4, -0.6, -0.7])
    assert by_min_k("", log_p, log_p) == -4
    assert by_min_k_plus("", torch.zeros(10), log_p) == -4
    assert by_loss("", log_p, log_p) == pytest.approx(log_p.mean().item())
    assert math.isfinite(by_zlib("a text", log_p, log_p))


def test_where_there_is_an_oracle_its_scores_are_what_the_test_is_against(audited):
    oracle = copy.deepcopy(audited.before)
    compared, attack = replace(audited, oracle=oracle), membership(by_loss)
    with never_knew(oracle, audited.tokenizer, audited.facts):
        known = attack(compared)
        with never_knew(audited.after, audited.tokenizer, audited.facts):
            same = attack(compared)
    assert known.details["against"] == same.details["against"] == "oracle"
    assert known.details["ks_p"] < 0.01 and (same.details["ks"], same.details["ks_p"]) == (0, 1)
    assert attack(audited).details["against"] == "controls"


def test_a_quantile_takes_controls(audited):
    with pytest.raises(NotPossible, match="takes 20"):
        membership(by_loss)(replace(audited, controls=audited.controls[:6]))
