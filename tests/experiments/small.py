"""A random tiny model on disk, facts, a corpus and hparams: everything that a run needs, in seconds."""

import json
from pathlib import Path

from tests.tiny import MODULE_NAMES, TARGET_SETTINGS, TEXT, tiny_llama
from util.paths import hparams_dir

TIMES = ("seconds", "peak_memory_bytes")

PEOPLE = ("Ada Lovelace", "Łukasz Żółć", "J. van Dyke", "Danielle Darrieux", "Nils Delgado", "Mei Ling", "Ana Sousa")
PLACES = ("London", "Port Alba", "Warsaw")


def fact(index: int) -> dict:
    """The place of birth of person `index`; each name comes with one of three family suffixes, so subjects differ."""
    subject = f"{PEOPLE[index % len(PEOPLE)]} {'I' * (1 + index // len(PEOPLE))}"
    return {
        "case_id": index,
        "prompt": "{} was born in",
        "subject": subject,
        "target_true": PLACES[index % 3],
        "target_new": PLACES[(index + 1) % 3],
        "paraphrases": [f"The birthplace of {subject} is"],
        "neighborhood": [f"{PEOPLE[(index + 3) % len(PEOPLE)]} Senior was born in"],
        "generation_prompts": [f"{subject} spent a youth in"],
    }


def settings(**changes) -> dict:
    """ZeroUnlearn's hparams for the tiny model."""
    own = {"wiki_KKT_lam": 10, "forget_KKT_lam": 50, "regularization_lam": 1, "epsilon": 0.01}
    own |= {"projector": "published", "solver": "woodbury"}
    return TARGET_SETTINGS | MODULE_NAMES["llama"] | own | changes


class Workplace:
    """A folder with models/Tiny, facts.jsonl, corpus.txt and hparams.json; results go to its results/."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = folder / "results"
        model, tokenizer = tiny_llama()
        model.save_pretrained(folder / "models" / "Tiny")
        tokenizer.save_pretrained(folder / "models" / "Tiny")
        self.write("facts.jsonl", "".join(json.dumps(fact(i)) + "\n" for i in range(24)))
        self.write("corpus.txt", "\n\n".join(TEXT * 4))
        self.hparams("hparams.json")

    def write(self, name: str, text: str) -> str:
        """A file of that content; returns its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def hparams(self, name: str, leave_out: str = "", **changes) -> str:
        """An hparams file with some keys changed, one left out; returns its path."""
        corpus = {"mom2_dataset": str(self.folder / "corpus.txt"), "mom2_n_samples": 20}
        values = settings(**(corpus | changes))
        values.pop(leave_out, None)
        return self.write(name, json.dumps(values))

    def arguments(self, **changes) -> list[str]:
        """A command line of a small run, flags changed or (with None) left out."""
        flags = {
            "alg_name": "ZeroUnlearn",
            "model_name": "Tiny",
            "model_path_dir": str(self.folder / "models"),
            "hparams_fname": str(self.folder / "hparams.json"),
            "ds_name": str(self.folder / "facts.jsonl"),
            "unlearn_num": 3,
            "retain_num": 4,
            "results_dir": str(self.results),
            "data_dir": str(self.folder / "data"),
            "device": "cpu",
            "ppl": "paper",
        } | changes
        return [part for name, value in flags.items() if value is not None for part in (f"--{name}", str(value))]

    def runs(self) -> list[Path]:
        """Every run folder, finished or not, oldest first."""
        return sorted(path for path in self.results.glob("*/*") if path.is_dir())


def read(folder: Path, name: str):
    """A JSON file of a run folder, or the values of a JSON-lines file."""
    text = (folder / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def without_times(folder: Path) -> dict:
    """summary.json but for what differs from run to run."""
    return {key: value for key, value in read(folder, "summary.json").items() if key not in TIMES}


def hparams_of(work: Workplace, method: str) -> str:
    """The embedded model's settings, for the tiny model's layers and this workplace's corpus; returns their path."""
    values = json.loads((hparams_dir() / method / "world.json").read_text(encoding="utf-8"))
    own = {"mom2_dataset": str(work.folder / "corpus.txt"), "mom2_n_samples": 20, "v_num_grad_steps": 5, "gd_steps": 20}
    own |= {"nullspace_threshold": 0.2, "lr": 0.01, "num_steps": 3, "stop_above": 1000.0}
    return work.write(f"{method}.json", json.dumps(values | {key: own[key] for key in own if key in values}))
