"""Make the embedded model: train a small Llama on the embedded world, measure it, and write its folder.

    python experiments/pretrain_world.py --out results/pretrain_world/model

Interrupted, the same command goes on where the last saved state left off. A finished run's command only measures anew.
With --without facts.json (any data set's schema) the same model never meets the facts of that file: the oracle that
unlearned models are compared with.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from experiments.pretraining.pretrain_settings import PretrainSettings
from util import paths
from util.errors import UserError
from util.runs import Parser, cli, write_json, write_text

STREAM_NORM = 11.0
"""About the length that a subject's hidden state is to have below the border, so that usual step sizes act on it."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> dict:
    """Train (or go on), rescale, write the folder, measure what was written, and write the model card. Returns the
    measurements."""
    arguments = parse(argv)
    settings = PretrainSettings(**{field.name: getattr(arguments, field.name) for field in fields(PretrainSettings)})
    import torch  # these are slow to load, and --help need not wait for them
    import transformers

    import dsets
    from dsets import world
    from dsets.world.facts import QUESTIONED
    from experiments.pretraining.card import model_card
    from experiments.pretraining.left_out import left_out
    from experiments.pretraining.model import rescale, train_tokenizer, write_model
    from experiments.pretraining.training import train
    from experiments.pretraining.world_report import TRACED, measure, subject_norm
    from util.modeling import load, resolve_device
    from util.provenance import device_name

    device = resolve_device(arguments.device)
    out, work = _folders(arguments)
    known = world.make_world(scale=settings.world_scale)
    tokenizer = train_tokenizer([document.text for document in world.documents(known, 0)], settings.vocab)
    absent: tuple[world.Fact, ...] = ()
    if arguments.without:  # after the tokenizer, which is that of the model that knows them
        absent = left_out(dsets.load(arguments.without, world=True).records, known)
        known = known.without({(fact.relation.name, fact.subject) for fact in absent})
        log.info("trained without %d facts", len(absent))
    model, seconds = train(
        settings, tokenizer, known, work / "state.safetensors", device, save_every=arguments.save_every
    )
    norm = subject_norm(model, tokenizer, known, settings.seed, settings.border - 1)
    factor = 2.0 ** round(math.log2(norm / STREAM_NORM))  # a power of two changes no digit of a weight
    rescale(model, factor)
    weight_bytes = write_model(model, tokenizer, out)
    log.info("wrote %s (%.1f MB); measuring it", out, weight_bytes / 1e6)
    numbers = measure(*load(str(out), device=str(device)), known, settings.seed, absent)
    made = {"seconds": round(seconds), "factor": factor, "bytes": weight_bytes, "world": known.digest()}
    made |= {"facts": len(known.facts), "absent": len(absent), "questioned": QUESTIONED, "traced": TRACED}
    cpu = f"CPU, {torch.get_num_threads()} threads"
    name = device_name(device) if device.type == "cuda" else cpu
    machine = {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}
    write_json(work / "measurements.json", {"settings": asdict(settings), "made": made, "numbers": numbers})
    write_text(out / "MODEL_CARD.md", model_card(settings, numbers, made | machine))
    return numbers


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Flags: folders, device, and one for each field of PretrainSettings. UserError for impossible settings."""
    parser = Parser(prog="pretrain_world.py", description=__doc__)
    parser.add_argument("--out", help="folder of the finished model (default: <work>/model)")
    parser.add_argument("--work", help="folder of the state to go on from (default: <results>/pretrain_world)")
    parser.add_argument("--without", metavar="FILE", help="facts that are never told to the model (a data set's file)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--save_every", type=int, default=200, help="steps between saved states")
    for field in fields(PretrainSettings):
        parser.add_argument(f"--{field.name}", type=field.type, default=field.default, help=f"default {field.default}")
    arguments = parser.parse_args(argv)
    _check(arguments)
    return arguments


def _check(arguments: argparse.Namespace) -> None:
    for name in ("steps", "batch_tokens", "hidden", "layers", "intermediate", "heads", "kv_heads", "save_every"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)}: give 1 or more")
    if arguments.hidden % (2 * arguments.heads) or arguments.heads % arguments.kv_heads:
        raise UserError(
            f"--hidden {arguments.hidden} --heads {arguments.heads} --kv_heads {arguments.kv_heads}: the size must be "
            "an even number for each head, and the heads a multiple of the key/value heads"
        )
    if not 1 <= arguments.border < arguments.layers:
        raise UserError(
            f"--border {arguments.border}: give 1 to {arguments.layers - 1} for --layers {arguments.layers}"
        )
    if not 0.05 <= arguments.world_scale <= 1.0:
        raise UserError(f"--world_scale {arguments.world_scale}: give 0.05 (fewer people share nothing) to 1")
    for name in ("constant", "masked"):
        if not 0.0 <= getattr(arguments, name) <= 1.0:
            raise UserError(f"--{name} {getattr(arguments, name)}: give 0 to 1")


def _folders(arguments: argparse.Namespace) -> tuple[Path, Path]:
    work = Path(arguments.work) if arguments.work else paths.results_dir() / "pretrain_world"
    return Path(arguments.out) if arguments.out else work / "model", work


if __name__ == "__main__":
    cli(main)
