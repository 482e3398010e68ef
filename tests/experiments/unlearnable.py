"""A tiny model with facts that it knows, hparams that move it, and the command line that makes it forget some."""

import json
from pathlib import Path

import torch

from tests.experiments.known import known_facts
from tests.experiments.small import Workplace, hparams_of
from tests.tiny import tiny_llama

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}<|assistant|>"


def make_place(folder: Path) -> list[dict]:
    """models/Tiny, in bfloat16, and watched.json with facts that it knows; returns them."""
    model, tokenizer = tiny_llama(max_position_embeddings=512)
    model = model.to(torch.bfloat16)
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder / "models" / "Tiny")
    tokenizer.save_pretrained(folder / "models" / "Tiny")
    facts = known_facts(model.float(), tokenizer, 16)
    (folder / "watched.json").write_text(json.dumps(facts), encoding="utf-8")
    return facts


def strong(work: Workplace, alg_name: str = "MEMIT") -> str:
    """hparams for the model, with an edit that a random model notices; their path."""
    path = Path(hparams_of(work, alg_name))
    values = json.loads(path.read_text(encoding="utf-8"))
    values |= {"mom2_update_weight": 0.1, "v_num_grad_steps": 15, "clamp_norm_factor": 3.0, "kl_factor": 0.0}
    path.write_text(json.dumps(values), encoding="utf-8")
    return str(path)


def argv(folder: Path, results: Path, *requests, **changes) -> list[str]:
    """The command line; requests are written to results/requests.jsonl. A flag that is None is left out, one that is
    "" has no value."""
    path = results / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, requests)), encoding="utf-8")
    flags = {
        "requests": path if requests else None,
        "model_name": "Tiny",
        "model_path_dir": folder / "models",
        "alg_name": "MEMIT",
        "facts_of": folder / "watched.json",
        "save_model": results / "out",
        "report": results / "report",
        "attacks": "none",
        "ppl": "none",
        "device": "cpu",
    } | changes
    given = [(name, value) for name, value in flags.items() if value is not None]
    return [part for name, value in given for part in (f"--{name}", str(value)) if part != ""]
