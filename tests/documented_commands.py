"""How the documented commands are made small, and what some of them lack here."""

RUN = {"--unlearn_num": "2", "--retain_num": "4", "--device": "cpu", "--ppl": "none", "--skip_generation_tests": None}

SMALLER: dict[str, dict[str, str | None]] = {
    "evaluate": RUN,
    "sweep": RUN | {"--seeds": "0", "--datasets": "mcf", "--known": "any"},
    "causal_trace": {"--facts": "2", "--samples": "2", "--device": "cpu"},
    "value_geometry": {
        "--device": "cpu",
        "--model_name": "world",
        "--ds_name": "mcf",
        "--counts": "2",
        "--others": "4",
    },
    "suggest_hparams": {"--device": "cpu"},
    "collect_stats": {"--device": "cpu"},
    "summarize": {},
    "tune": RUN | {"--model_name": "world", "--alg_name": "GA", "--ds_name": "mcf", "--known": "any"},
    "known_facts": {"--device": "cpu", "--model_name": "world", "--ds_name": "mcf", "--dataset_size_limit": "20"},
    "audit": {"--device": "cpu", "--after": "world", "--limit": "2", "--attacks": "prompt"},
    "unlearn": {"--device": "cpu", "--attacks": "none", "--ppl": "none"},
    "get_model": {},
    "patch": {},
    "arrivals": {"--device": "cpu", "--steps": "2", "--size": "2", "--watched": "3", "--ppl": "none"},
    "random_model": {"--layers": "1"},
    "benchmark": {"--facts": "2", "--documents": "20", "--device": "cpu"},
}
"""Script → flags put in place of the documented ones, or added; None: a flag without a value."""

FETCHED = "SmolLM2-135M-Instruct"
"""Documented as fetched by name: a random model stands in its place, so that nothing is."""

KNOWING = ("audit", "causal_trace", "known_facts", "patch", "tune", "unlearn")
"""Scripts that ask for facts which a model knows: they get the embedded model, the others a random one of four layers
in its place.
"""

ONLY_READ = {
    "pretrain_world": "its command runs, small, in tests/experiments/pretraining, for half a minute",
    "compare_audits": "its command runs in tests/experiments/test_compare_audits.py, on audits that are made up",
}
"""Script → why the command line is read here and not run."""

MISSING = {
    "Llama-3.1-8B-Instruct": "weights",
    "MODEL_DIR": "weights",
    "--downstream_eval_steps 1": "HF_HUB_OFFLINE|--downstream_data",
    "--watched 70 --known strict": "knows none of the 2037 facts",
}
"""What a command ends with → the words of its one line and exit code 2: weights, data, knowledge that are not here."""
