"""Make the repository's own record anew: what the plain form gives on the tiny seeded model.

    python -m tests.golden.record

Only for a change that is meant to change numbers; the commit says which and why.
"""

from pathlib import Path

from safetensors.torch import save_file

from tests.golden.plain import fingerprint, methods, run

RECORD = Path(__file__).with_name("plain_run.safetensors")


def main() -> None:
    """Run every recorded method in the plain form and write the file."""
    recorded = fingerprint()
    for name in methods():
        recorded |= run(name)
    save_file({key: value.contiguous() for key, value in recorded.items()}, RECORD)
    print(f"{RECORD}: {len(recorded)} tensors, {RECORD.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
