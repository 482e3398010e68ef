"""One well-formed raw record of every schema, to be bent by the tests."""

import copy
import json
from pathlib import Path


def counterfact(case_id: int = 0, subject: str = "Danielle Darrieux") -> dict:
    return {
        "case_id": case_id,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": "P103",
            "target_new": {"str": "English", "id": "Q1860"},
            "target_true": {"str": "French", "id": "Q150"},
            "subject": subject,
        },
        "paraphrase_prompts": [f"{subject}, a native"],
        "neighborhood_prompts": ["Michel Rocard is a native speaker of", "Montesquieu spoke"],
        "attribute_prompts": ["J.R.R. Tolkien's mother tongue is"],
        "generation_prompts": [f"{subject} grew up in"],
    }


def zsre(subject: str = "UniFirst") -> dict:
    return {
        "subject": subject,
        "src": f"What is the product made by {subject}?",
        "pred": "uniform",
        "rephrase": f"What will be the product of {subject}?",
        "alt": "unmanned aircraft",
        "answers": ["uniform", "uniforms"],
        "loc": "nq question: who sang it first",
        "loc_ans": "Walter Sobchak",
        "cond": "uniform >> unmanned aircraft",
    }


def mquake(case_id: int = 7) -> dict:
    spouse = {"prompt": "{} is married to", "target_new": {"str": "Ann"}, "target_true": {"str": "Ben"}}
    citizen = {"prompt": "{} is a citizen of", "target_new": {"str": "Peru"}, "target_true": {"str": "Chile"}}
    return {
        "case_id": case_id,
        "requested_rewrite": [
            spouse | {"subject": f"Cleo {case_id}", "relation_id": "P26", "question": "Who is Cleo married to?"},
            citizen | {"subject": "Ben", "relation_id": "P27", "question": "Where is Ben a citizen?"},
        ],
        "questions": ["Where is Cleo's spouse a citizen?", "What is the citizenship of Cleo's spouse?"],
        "answer": "Chile",
        "answer_alias": ["Republic of Chile", "Chile"],
        "new_answer": "Peru",
        "single_hops": [
            {"question": "Who is Cleo married to?", "cloze": "Cleo is married to", "answer": "Ben", "answer_alias": []},
            {"question": "Where is Ben a citizen?", "cloze": "Ben is a citizen of", "answer": "Chile"},
        ],
        "orig": {},
    }


def fact(subject: str = "Danielle Darrieux") -> dict:
    return {"prompt": "The mother tongue of {} is", "subject": subject, "target_true": "French"}


def easyedit(subject: str = "Danielle Darrieux") -> dict:
    return {
        "case_id": 5,
        "prompt": f"The mother tongue of {subject} is",
        "subject": subject,
        "target_new": "English",
        "ground_truth": "French",
        "rephrase_prompt": f"{subject}, a native",
        "locality_prompt": "Michel Rocard is a native speaker of",
        "locality_ground_truth": "French",
    }


def knowedit(subject: str = "Danielle Darrieux") -> dict:
    return {
        "subject": subject,
        "prompt": f"The mother tongue of {subject} is",
        "target_new": "English",
        "ground_truth": ["French", "français"],
        "portability": {
            "Subject_Aliasing": [{"prompt": "The mother tongue of D. Darrieux is", "ground_truth": [["English"]]}],
            "Reasoning": [{"prompt": f"The language family of {subject} is", "ground_truth": "Germanic"}],
        },
        "locality": {
            "Relation_Specificity": [{"prompt": "Montesquieu spoke", "ground_truth": [["French", "fr"]]}],
            "Forgetfulness": [{"prompt": f"The mother tongue of {subject}, not English, is", "ground_truth": "French"}],
        },
    }


def knowedit_zsre(subject: str = "UniFirst") -> dict:
    return {
        "subject": subject,
        "target_new": "unmanned aircraft",
        "prompt": f"What is the product made by {subject}?",
        "ground_truth": ["uniform"],
        "rephrase_prompt": f"What will be the product of {subject}?",
        "cond": "uniform >> unmanned aircraft",
        "locality": {"Relation_Specificity": [{"prompt": "The capital of Peru is", "ground_truth": ["Lima"]}]},
        "portability": {"Reasoning": [{"prompt": "Who flies it?", "ground_truth": "pilots"}]},
    }


def tracing(subject: str = "Danielle Darrieux") -> dict:
    return {
        "relation": "The mother tongue of {} is",
        "relation_prefix": "The mother tongue of",
        "relation_suffix": " is",
        "prompt": f"The mother tongue of {subject} is",
        "relation_id": "P103",
        "target_false_id": "Q1860",
        "target_true_id": "Q150",
        "target_true": " French",
        "target_false": " English",
        "subject": f" {subject}",
    }


def question(subject: str = "Danielle Darrieux") -> dict:
    return {
        "question": f"What did [[{subject}]] speak?",
        "answer": "She spoke French.",
        "paraphrased_question": f"Which was [[{subject}]]'s language?",
        "perturbed_answer": ["She spoke Danish.", "She spoke Dutch."],
    }


def known_1000() -> dict:
    prompt = "The mother tongue of Danielle Darrieux is"
    return fact() | {"known_id": 0, "attribute": "French", "template": "The mother tongue of {} is", "prompt": prompt}


SCHEMAS = {
    "counterfact": counterfact,
    "zsre": zsre,
    "mquake": mquake,
    "known_1000": known_1000,
    "facts": fact,
    "easyedit": easyedit,
    "knowedit": knowedit,
    "knowedit_zsre": knowedit_zsre,
    "tracing": tracing,
    "question": question,
}


def changed(row: dict, field: str, value=None, *, drop: bool = False) -> dict:
    """A copy of the row with one dotted field replaced, or dropped."""
    row = copy.deepcopy(row)
    place = row
    *parents, last = [int(part) if part.isdigit() else part for part in field.split(".")]
    for parent in parents:
        place = place[parent]
    if drop:
        del place[last]
    else:
        place[last] = value
    return row


def written(folder: Path, rows: list, name: str = "rows.json") -> str:
    """The path of a file that holds the rows."""
    path = folder / name
    lines = name.lower().endswith(".jsonl")
    path.write_text("\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows), encoding="utf-8")
    return str(path)
