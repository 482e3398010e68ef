"""What a deletion request changed in a model, as a file of its own: put it on, take it off, add two, hand it on.

    python experiments/patch.py apply --patch gone.safetensors --model_name world --save_model results/forgotten
    python experiments/patch.py revert --patch gone.safetensors --model_name results/forgotten --save_model results/base
    python experiments/patch.py verify --patch gone.safetensors --model_name world
    python experiments/patch.py compose one.safetensors other.safetensors --output both.safetensors
    python experiments/patch.py export --peft results/adapter --patch gone.safetensors --model_name world

Applying and reverting are exact to the bit and checked by hash; a model that the patch was not made from is refused.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

from util.errors import UserError
from util.runs import Parser, cli

NEEDED = {
    "apply": ("patch", "model_name", "save_model"),
    "revert": ("patch", "model_name", "save_model"),
    "verify": ("patch", "model_name"),
    "compose": ("output",),
    "export": ("patch", "model_name", "peft"),
}
"""Command → flags that it needs."""

OPTIONAL = {"compose": ("model_name",), "export": ("rank",)}
EVERYWHERE = ("command", "patches", "model_path_dir", "verbose")


def main(argv: Sequence[str] | None = None) -> None:
    """Do one of the five."""
    flags = parse(argv)
    from experiments.requests import patch_commands  # torch and transformers: not for --help

    commands = {
        "apply": patch_commands.apply,
        "revert": patch_commands.revert,
        "verify": patch_commands.verify,
        "compose": patch_commands.compose,
        "export": patch_commands.export,
    }
    for line in commands[flags.command](flags):
        print(line)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line. UserError for a flag that the command needs and has not, or has and does not read."""
    flags = parser().parse_args(argv)
    command, given = flags.command, {name for name, value in vars(flags).items() if value is not None}
    lacking = [name for name in NEEDED[command] if name not in given]
    if lacking:
        raise UserError(f"patch.py {command}: --{lacking[0]} is missing (--help lists the flags)")
    unread = given - {*NEEDED[command], *OPTIONAL.get(command, ()), *EVERYWHERE}
    if unread:
        raise UserError(f"patch.py {command} does not read --{min(unread)}; leave it out")
    wanted = 2 if command == "compose" else 0
    if len(flags.patches) != wanted:
        raise UserError(f"patch.py {command}: {len(flags.patches)} patches without a flag; give {wanted or 'none'}")
    return flags


def parser() -> Parser:
    """Flags of patch.py."""
    made = Parser(prog="patch.py", description=__doc__)
    made.add_argument("command", choices=list(NEEDED), help="what is to be done")
    made.add_argument("patches", nargs="*", type=Path, metavar="PATCH", help="of compose: the two to add")
    made.add_argument("--patch", type=Path, metavar="FILE", help="what unlearn.py --save_patch has written")
    made.add_argument(
        "--model_name",
        metavar="MODEL",
        help="the patch's base, for revert what the patch made of it; compose needs it where the base goes by another "
        "name now",
    )
    made.add_argument("--model_path_dir", metavar="DIR", help="folder that holds the model's folder")
    made.add_argument("--save_model", type=Path, metavar="DIR", help="of apply and revert: a new folder for the result")
    made.add_argument("--output", type=Path, metavar="FILE", help="of compose: the sum, a new file")
    made.add_argument("--peft", type=Path, metavar="DIR", help="of export: a new folder for the LoRA adapter")
    made.add_argument(
        "--rank",
        type=int,
        metavar="R",
        help="of export: directions a module at most (default: all of a low-rank change, 64 of any other)",
    )
    return made


if __name__ == "__main__":
    cli(main)
