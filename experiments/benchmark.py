"""How much faster the machinery is than the plain form, as ratios measured in one run on one machine.

    python experiments/benchmark.py                        # the embedded model, 50 facts
    python experiments/benchmark.py --work targets moments --facts 20

The plain forms: targets fact by fact with full forward passes and logits everywhere (kept with the tests); statistics
in two passes per layer, a document at a time; the direct d_out × d_out solve. Both sides of a ratio run the same facts,
hparams and threads, and the difference of their results is printed beside their times.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import dsets
from dsets.corpus import load_corpus
from experiments.running.arguments import add_flags
from experiments.running.reading import hparams_path
from experiments.running.settings import ModelSettings
from tests.util.editing.reference import find_target
from util import modeling
from util.editing.contexts import generate
from util.editing.keys import average_keys
from util.editing.layers import check_layers
from util.editing.statistics import CorpusMoments
from util.editing.targets import find_targets
from util.errors import UserError
from util.hooks import capture
from util.runs import Parser, cli, write_json
from util.tokens import encode
from util.weights import read_weight
from zerounlearn import HParams
from zerounlearn.solve import factor_utility, solve, solve_direct

MOMENT_DOCUMENTS = 300


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the chosen work and print one line each."""
    flags = parser().parse_args(argv)
    if flags.facts < 1:
        raise UserError(f"--facts {flags.facts}: give at least 1")
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    hparams = HParams.from_json(hparams_path("ZeroUnlearn", flags.model_name, flags.hparams_fname))
    records = dsets.load(flags.ds_name, flags.data_dir, world=flags.model_name == modeling.WORLD).records
    model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
    check_layers(model, hparams)
    bench = Bench(model, tokenizer, hparams, [record.request() for record in records], flags)
    print(f"{flags.model_name} on {model.device}, {flags.dtype}, {torch.get_num_threads()} threads", flush=True)
    rows = {name: WORK[name](bench) for name in flags.work}
    if flags.json:
        write_json(Path(flags.json), rows)


def parser() -> Parser:
    """Flags of benchmark.py."""
    made = Parser(prog="benchmark.py", description=__doc__)
    made.add_argument(
        "--work", nargs="+", choices=list(WORK), default=list(WORK), help="what to measure (default: all)"
    )
    made.add_argument("--facts", type=int, default=50, help="facts of the target search and the solve (default: 50)")
    add_flags(made, ModelSettings)
    made.add_argument("--hparams_fname", help="file in hparams/ZeroUnlearn/, or a path (default: <model_name>.json)")
    made.add_argument("--ds_name", default="mcf", help="where the facts come from (default: mcf)")
    made.add_argument("--data_dir", help="data sets and corpora (default: data/)")
    made.add_argument("--json", metavar="FILE", help="also write the measurements to this file")
    return made


class Bench:
    """The model, the settings and the facts that both sides of a ratio share."""

    def __init__(self, model, tokenizer, hparams: HParams, requests: list, flags: argparse.Namespace):
        self.model, self.tokenizer, self.hparams = model, tokenizer, hparams
        self.all_requests, self.requests = requests, requests[: flags.facts]
        self.layer, self.flags = hparams.layers[-1], flags
        self.templates = generate(model, tokenizer)
        self.batch_tokens = flags.batch_tokens or modeling.default_batch_tokens(model)

    def moments(self, names: list[str]) -> CorpusMoments:
        """Of some modules, over the first documents that statistics read; kept nowhere."""
        corpus = load_corpus(self.hparams.mom2_dataset, MOMENT_DOCUMENTS, data_dir=self.flags.data_dir)
        budget = self.flags.batch_tokens  # None: what statistics take by themselves
        return CorpusMoments(self.model, self.tokenizer, names, corpus, progress=False, batch_tokens=budget)

    def targets(self, requests: list):
        """The batched search for the neutral target."""
        return find_targets(
            self.model,
            self.tokenizer,
            requests,
            [request.target_new for request in requests],
            self.layer,
            "layer",
            self.hparams,
            self.templates,
            batch_tokens=self.batch_tokens,
        ).values_ON


def seconds(work: Callable):
    """(result, seconds), waiting for the GPU where there is one."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def report(what: str, fast: float, plain: float, difference: float) -> dict[str, float]:
    """Print and return one comparison."""
    print(
        f"{what}: {fast:.3g} s, plain {plain:.3g} s, {plain / fast:.1f} x faster; relative difference {difference:.1e}",
        flush=True,
    )
    return {"seconds": fast, "plain_seconds": plain, "ratio": plain / fast, "relative_difference": difference}


def relative(found: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest relative difference of a column."""
    return float(((found - reference).norm(dim=0) / reference.norm(dim=0)).max())


def bench_targets(bench: Bench) -> dict[str, float]:
    """Target search of all facts, batched against one by one."""
    bench.targets(bench.requests[:2])
    found, fast = seconds(lambda: bench.targets(bench.requests))

    def plain():
        shared = (bench.layer, "layer", bench.hparams, bench.templates)
        return [find_target(bench.model, bench.tokenizer, r, r.target_new, *shared)[0] for r in bench.requests]

    reference, slow = seconds(plain)
    return report(f"targets of {len(bench.requests)} facts", fast, slow, relative(found, torch.stack(reference, 1)))


def bench_growth(bench: Bench) -> dict[str, float]:
    """Seconds per fact of the batched search, for the facts asked for and four times as many."""
    many = bench.all_requests[: 4 * len(bench.requests)]
    _, few_seconds = seconds(lambda: bench.targets(bench.requests))
    _, many_seconds = seconds(lambda: bench.targets(many))
    per_few, per_many = few_seconds / len(bench.requests), many_seconds / len(many)
    print(
        f"seconds per fact: {per_few:.3g} for {len(bench.requests)} facts, {per_many:.3g} for {len(many)}", flush=True
    )
    return {"seconds_per_fact": per_few, "facts": len(many), "seconds_per_fact_of_many": per_many}


def bench_moments(bench: Bench) -> dict[str, float]:
    """Moments of all edited layers: one packed pass against two passes a layer, a document at a time."""
    names = bench.hparams.rewrite_modules()
    moments = bench.moments(names)
    documents = list(moments.corpus.documents)
    found, fast = seconds(lambda: dict(moments))

    def plain():
        return {name: [plain_moment(bench, name, documents, cross) for cross in (False, True)][0] for name in names}

    reference, slow = seconds(plain)
    difference = max(relative(found[name].double(), reference[name]) for name in names)
    return report(f"moments of {len(names)} layer(s), {len(documents)} documents", fast, slow, difference)


@torch.no_grad()
def plain_moment(bench: Bench, name: str, documents: list[str], cross: bool) -> torch.Tensor:
    """E[k kᵀ], or E[v kᵀ] with `cross`, by one forward pass of the whole model per document."""
    module, total, count = modeling.module(bench.model, name), 0.0, 0
    for text in documents:
        ids = torch.tensor([encode(bench.tokenizer, text)], device=bench.model.device)
        with capture({"at": module}, inputs=True) as keys, capture({"at": module}) as values:
            bench.model(input_ids=ids)
        left = values["at"][0].float() if cross else keys["at"][0].float()
        total, count = total + (left.T @ keys["at"][0].float()).double(), count + ids.shape[1]
    return total / count


def bench_solve(bench: Bench) -> dict[str, float]:
    """One layer's solve after the statistics: the N × N form, its factor kept, against the direct form."""
    hparams, name = bench.hparams, bench.hparams.rewrite_module(bench.layer)
    C = bench.moments([name])[name]
    W = read_weight(bench.model, name)
    K = average_keys(bench.model, bench.tokenizer, bench.requests, name, bench.templates, bench.batch_tokens)
    R = torch.randn(len(W), K.shape[1], generator=torch.Generator().manual_seed(0)).to(W.device)
    U = torch.randn(len(W), K.shape[1], generator=torch.Generator().manual_seed(1)).to(W.device)
    a, b, ridge = hparams.wiki_KKT_lam, hparams.forget_KKT_lam, hparams.regularization_lam
    shared = {"b": b, "epsilon": hparams.epsilon, "projector": hparams.projector}
    factor = factor_utility(W, C, a, ridge)
    found, fast = seconds(lambda: solve(W, K, R, U, factor, **shared))
    reference, slow = seconds(lambda: solve_direct(W, K, R, U, C, a=a, ridge=ridge, **shared))
    difference = float((found - reference).norm() / (reference - W).norm())
    return report(f"solve of one layer, {K.shape[1]} facts", fast, slow, difference)


WORK = {"targets": bench_targets, "growth": bench_growth, "moments": bench_moments, "solve": bench_solve}


if __name__ == "__main__":
    cli(main)
