"""A randomly initialised model of a published shape, to try the whole flow (memory, speed) without anybody's weights.

    python experiments/random_model.py --shape Llama-3.2-1B --out models/random-1B

It knows nothing, so its Base efficacy is near 0; the embedded model's tokenizer comes with it.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.running.arguments import seed_number
from util import paths
from util.choices import WORLD
from util.errors import UserError
from util.runs import Parser, cli

LLAMA = {
    "vocab_size": 128256,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"},
}

SHAPES: dict[str, tuple[str, dict]] = {
    "Llama-3.2-1B": (
        "llama",
        LLAMA
        | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
        | {"head_dim": 64, "tie_word_embeddings": True},
    ),
    "Llama-3.2-3B": (
        "llama",
        LLAMA
        | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
        | {"head_dim": 128, "tie_word_embeddings": True},
    ),
    "Llama-3.1-8B": (
        "llama",
        LLAMA
        | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
        | {"head_dim": 128, "tie_word_embeddings": False},
    ),
    "Qwen3-4B": (
        "qwen3",
        {"vocab_size": 151936, "num_key_value_heads": 8, "max_position_embeddings": 40960}
        | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32}
        | {"head_dim": 128, "tie_word_embeddings": True},
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Make the model and write its folder, which appears when it is complete."""
    arguments = parse(argv)
    out = Path(arguments.out)
    if out.exists():
        raise UserError(f"--out {out} exists; name a new folder")
    from transformers import AutoTokenizer  # these load torch: not for --help

    from util.tensor_files import tensors_atomically

    tokenizer = AutoTokenizer.from_pretrained(paths.model_dir(WORLD))
    model = make(arguments.shape, tokenizer, arguments.seed, layers=arguments.layers)
    with tensors_atomically(out) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    print(f"{out}: {sum(p.numel() for p in model.parameters()) / 1e9:.2f} billion parameters, bfloat16")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="random_model.py", description=__doc__)
    parser.add_argument("--shape", required=True, choices=list(SHAPES), help="whose shape")
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--layers", type=int, help="fewer decoder layers than the shape has")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the weights (default: 0)")
    return parser.parse_args(argv)


def make(shape: str, tokenizer, seed: int, layers: int | None = None):
    """The model in bfloat16, weights drawn from the family's own initialisation."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    family, settings = SHAPES[shape]
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(family, **settings | ({"num_hidden_layers": layers} if layers else {}), **special)
    torch.manual_seed(seed)
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        return AutoModelForCausalLM.from_config(config).eval()
    finally:
        torch.set_default_dtype(default)


if __name__ == "__main__":
    cli(main)
