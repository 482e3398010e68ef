"""Which layers and tokens carry the facts a model knows: indirect effects, a heat map, and the layers to edit.

    python experiments/causal_trace.py                                   # the embedded model
    python experiments/causal_trace.py --model_name Qwen3-4B --model_path_dir models --ds_name mcf --facts 200

Causal tracing as in ROME (Meng et al. 2022, section 2.1): blur the subject's embeddings, put one piece of the clean run
back, read what the probability of the answer gains. Averaged over facts that the model knows, by the token's place.
Tokens before the subject cannot matter (attention is causal) and are left out.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import dsets
from experiments.running.arguments import add_model_flags, seed_number
from experiments.tracing.effects import mean_effects, suggested_layers
from experiments.tracing.heatmap import draw
from experiments.tracing.restoring import KINDS, Traced, TraceSettings, default_window, trace
from experiments.tracing.traced_facts import PLACES, SUBJECT_LAST, known_facts
from util import modeling, paths
from util.errors import UserError
from util.runs import Parser, check_writable, cli, write_json
from util.weights import weights_hash


def main(argv: Sequence[str] | None = None) -> None:
    """Trace, write the numbers and the picture, print the table and the suggested layers."""
    flags = parser().parse_args(argv)
    _check(flags)
    start = time.perf_counter()
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    dataset = dsets.load(flags.ds_name, flags.data_dir, world=flags.model_name == modeling.WORLD)
    model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
    settings = TraceSettings(
        noise=flags.noise,
        samples=flags.samples,
        window=flags.window or default_window(model),
        seed=flags.seed,
        batch_tokens=flags.batch_tokens or modeling.default_batch_tokens(model),
    )
    records = random.Random(flags.seed).sample(dataset.records, len(dataset.records))
    whole, budget = flags.answer == "whole", settings.batch_tokens
    options = {"whole_answer": whole, "batch_tokens": budget, "progress": not flags.quiet}
    facts, tried = known_facts(model, tokenizer, records, flags.facts, **options)
    if not facts:
        raise UserError(
            f"{flags.model_name} knows none of the {tried} facts of {flags.ds_name}; name another --ds_name"
        )
    found = trace(model, facts, flags.kinds, settings, progress=not flags.quiet)
    report = {
        "model_name": flags.model_name,
        "weights": weights_hash(model),
        "ds_name": flags.ds_name,
        "data": dataset.digest,
        "settings": vars(settings) | {"answer": flags.answer, "dtype": flags.dtype},
        "tried": tried,
        **_summary(found, flags.kinds),
        "seconds": time.perf_counter() - start,
        "case_ids": [fact.case_id for fact in facts],
    }
    _write(flags, report)


def parser() -> Parser:
    """Flags of causal_trace.py."""
    made = Parser(prog="causal_trace.py", description=__doc__)
    add_model_flags(made)
    made.add_argument("--ds_name", default="mcf", help="facts: a data set's name, or a JSON/JSONL file (default: mcf)")
    made.add_argument("--data_dir", help="data sets (default: data/)")
    made.add_argument("--facts", type=int, default=100, help="known facts to trace (default: 100)")
    made.add_argument("--samples", type=int, default=10, help="draws of the noise for each fact (default: 10)")
    made.add_argument(
        "--noise", type=float, default=3.0, help="in standard deviations of the subjects' embeddings (default: 3)"
    )
    made.add_argument(
        "--window", type=int, help="layers whose MLP or attention is put back together (default: a fifth of the depth)"
    )
    made.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is put back (default: all three)"
    )
    made.add_argument(
        "--answer", choices=["first", "whole"], default="first", help="tokens of the answer to read (default: first)"
    )
    made.add_argument("--seed", type=seed_number, default=0, help="draws the facts and the noise (default: 0)")
    made.add_argument("--output", metavar="DIR", help="folder of the JSON and the PNG (default: results/causal_trace/)")
    made.add_argument("--skip_plot", action="store_true", help="write no heat map (it needs matplotlib)")
    made.add_argument("--quiet", action="store_true", help="no progress bar, no table")
    return made


def _check(flags: argparse.Namespace) -> None:
    for name, least in {"facts": 1, "samples": 1, "noise": 0, "window": 1}.items():
        value = getattr(flags, name)
        if value is not None and not value >= least:
            raise UserError(f"--{name} {value}: give at least {least}")
    if math.isinf(flags.noise):
        raise UserError(f"--noise {flags.noise}: give a number, such as 3")
    check_writable(_folder(flags), "--output")
    if not flags.skip_plot and find_spec("matplotlib") is None:
        raise UserError(
            "the heat map needs matplotlib, which is not installed; "
            "pip install -r requirements-extra.txt, or give --skip_plot"
        )


def _summary(found: Sequence[Traced], kinds: Sequence[str]) -> dict[str, object]:
    """Means over the facts, ready for JSON; a place that no fact has is null."""
    clean = torch.tensor([one.clean for one in found]).double()
    blurred = torch.tensor([one.corrupted for one in found]).double()
    effects = {kind: mean_effects(found, kind) for kind in kinds}
    layers, read_from = suggested_layers(effects)
    return {
        "facts": len(found),
        "clean": clean.mean().item(),
        "blurred": blurred.mean().item(),
        "total_effect": (clean - blurred).mean().item(),
        "effects": effects,
        "suggested_layers": layers,
        "suggested_by": read_from,
    }


def _folder(flags: argparse.Namespace) -> Path:
    return Path(flags.output) if flags.output else paths.results_dir() / "causal_trace"


def _write(flags: argparse.Namespace, report: dict) -> None:
    folder = _folder(flags)
    stem = f"{Path(flags.model_name).name}_{Path(flags.ds_name).stem}_seed{flags.seed}"
    write_json(folder / f"{stem}.json", report)
    if not flags.skip_plot:
        draw(report, folder / f"{stem}.png")
    if not flags.quiet:
        print(table(report))
    print(f"suggested layers: {', '.join(map(str, report['suggested_layers']))}")
    print(f"numbers: {folder / stem}.json" + ("" if flags.skip_plot else f"; heat map: {folder / stem}.png"))


def table(report: dict) -> str:
    """The indirect effects in percent, one block per kind: a line per place, a column per layer."""
    lines = [
        f"{report['facts']} known facts of {report['tried']} tried, {report['seconds']:.1f} s; probability of the "
        f"answer {report['clean']:.3f}, blurred {report['blurred']:.3f}"
    ]
    for kind, effects in report["effects"].items():
        lines.append(f"{kind}: indirect effect in percent, layer 0 to {len(effects[SUBJECT_LAST]['effect']) - 1}")
        for place in PLACES:
            values = effects[place]
            shown = (
                " ".join(f"{round(100 * value, 1) + 0.0:6.1f}" for value in values["effect"])
                if values
                else "(no such token)"
            )
            lines.append(f"  {place:24}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli(main)
