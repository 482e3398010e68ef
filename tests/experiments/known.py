"""Facts that a random model knows: whatever it says."""

import json
from itertools import product
from pathlib import Path

import torch

from util.tokens import encode, target_ids

FIRST, LAST = ("Ada", "Łukasz", "Danielle", "J. van", "Port", "London"), ("Alba", "Dyke", "Bo", "Lovelace", "Darrieux")
SUBJECTS = [f"{first} {last}" for first in FIRST for last in LAST]
TEMPLATES = ["{} is", "{} was born in", "The train of {} is", "It is known that {} plays", "{} said that", "Because {}"]
TEMPLATES += ["Therefore {} speaks", "The mother tongue of {}", "{} works as a", "The bridge of {} stood"]


def known_facts(model, tokenizer, count: int) -> list[dict]:
    """Plain facts whose answer, one word of one token, is the model's argmax after the prompt."""
    facts = []
    for template, subject in product(TEMPLATES, SUBJECTS):
        ids = encode(tokenizer, template.replace("{}", subject))
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        said = tokenizer.decode([token]).strip()
        if said and target_ids(tokenizer, said) == [token]:
            facts.append({"prompt": template, "subject": subject, "target_true": said})
        if len(facts) == count:
            return facts
    raise AssertionError(f"the model knows {len(facts)} facts only, {count} are wanted")


def saved(model, tokenizer, folder: Path, count: int) -> tuple[Path, Path]:
    """(folder of the model, JSON file of facts that it knows)."""
    model.save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")
    facts = folder / "facts.json"
    facts.write_text(json.dumps(known_facts(model, tokenizer, count)), encoding="utf-8")
    return folder / "tiny", facts
