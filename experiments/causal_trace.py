"""Which layers and tokens carry the facts a model knows: indirect effects, a heat map, and the layers to edit.

    python experiments/causal_trace.py                                   # the embedded model
    python experiments/causal_trace.py --model_name Qwen3-4B --model_path_dir models --ds_name mcf --facts 200

Causal tracing as in ROME (Meng et al. 2022, section 2.1): blur the subject's embeddings, put one piece of the clean run
back, read what the probability of the answer gains. Averaged over facts that the model knows, by the token's place.
Tokens before the subject cannot matter (attention is causal) and are left out.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import random
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.running.script_settings import CausalTraceSettings
from util import paths
from util.errors import UserError
from util.runs import check_matplotlib, check_writable, cli


def main(argv: Sequence[str] | None = None) -> None:
    """Trace, write the numbers and the picture, print the table and the suggested layers."""
    settings = CausalTraceSettings.parse(argv, "causal_trace.py", __doc__)
    folder = Path(settings.output) if settings.output else paths.results_dir() / "causal_trace"
    _check(settings, folder)
    import dsets  # these load torch, which --help need not wait for
    from dsets.record import in_frame
    from experiments.running.knowing import known_by
    from experiments.tracing.report import summary, write
    from experiments.tracing.restoring import TraceSettings, default_window, trace
    from experiments.tracing.traced_facts import TOKENS
    from util import modeling
    from util.chat import chat_frame
    from util.request import Frame
    from util.weights import weights_hash

    start, name, place = time.perf_counter(), settings.model_name, settings.model_path_dir
    modeling.resolve_device(settings.device)
    modeling.find_source(name, place)
    dataset = dsets.load(settings.ds_name, settings.data_dir, world=settings.world)
    model, tokenizer = modeling.load(name, place, settings.device, settings.dtype)
    frame = Frame() if settings.chat_template == "none" else chat_frame(tokenizer, settings.chat_template)
    framed = [in_frame(record, frame) for record in dataset.records]
    tracing = TraceSettings(
        noise=settings.noise,
        samples=settings.samples,
        window=settings.window or default_window(model),
        seed=settings.seed,
        batch_tokens=settings.batch_tokens or modeling.default_batch_tokens(model),
    )
    records = random.Random(settings.seed).sample(framed, len(framed))
    facts, tried = known_by(model, tokenizer, settings, frame).to_trace(
        dataset,
        records,
        settings.facts,
        settings.data_dir,
        whole_answer=settings.answer == "whole",
        progress=settings.progress,
    )
    if not facts:
        raise UserError(f"{name} knows none of the {tried} facts of {settings.ds_name}; name another --ds_name")
    positions = TOKENS[settings.tokens]
    found = trace(model, facts, settings.kinds, tracing, positions=positions, progress=settings.progress)
    report = {
        "model_name": name,
        "weights": weights_hash(model),
        "ds_name": settings.ds_name,
        "data": dataset.digest,
        "settings": vars(tracing) | settings.model_dump(include={"tokens", "answer", "dtype", "chat_template"}),
        "tried": tried,
        **summary(found, settings.kinds),
        "seconds": time.perf_counter() - start,
        "case_ids": [fact.case_id for fact in facts],
    }
    stem = f"{Path(name).name}_{Path(settings.ds_name).stem}_seed{settings.seed}"
    write(report, folder, stem, plot=not settings.skip_plot, shown=not settings.quiet)


def _check(settings: CausalTraceSettings, folder: Path) -> None:
    """UserError, before any work is done, for what cannot be written or drawn."""
    check_writable(folder, "--output")
    if not settings.skip_plot:
        check_matplotlib("the heat map", "give --skip_plot")


if __name__ == "__main__":
    cli(main)
