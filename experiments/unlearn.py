"""From deletion requests to an unlearned model, with the evidence for it: no benchmark, no draws.

    python experiments/unlearn.py --requests requests.jsonl --model_name world --save_model out/

A request is a fact (prompt, subject, target_true), a subject alone (all that the model says of it), or a sentence with
the subject in [[double brackets]]; docs/requests.md shows the forms. report.html and report.json say what was known,
what is said now and what else changed. Exit code 0: all that was known is gone; 3: some is not; 2: bad input.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence

from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from util.runs import cli

NOT_ALL_GONE = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Check all that can be checked before the model is loaded; then ask, edit, save, ask again, report."""
    settings = UnlearnSettings.parse(argv, "unlearn.py", __doc__)
    from experiments.requests.asking.wanted import read_requests
    from experiments.requests.unlearning import opened, outputs, unlearning_job  # these load torch: not for --help
    from experiments.requests.unlearning.estimating import estimate
    from experiments.requests.unlearning.kept_requests import ledger_of

    wanted = read_requests(settings.requests) if settings.requests else []
    found = opened.read(settings)
    outputs.check_outputs(settings, found.source)
    model = opened.open_model(settings, found)
    if settings.dry_run:
        print(estimate(unlearning_job.begin(model, wanted)))
        return 0
    with ledger_of(model) as ledger:
        report = unlearning_job.begin(model, wanted, ledger).finish()
    folder = outputs.write_report(settings, report)
    if not settings.quiet:
        print(outputs.table(report))
    print(f"{outputs.headline(report)}: {folder / 'report.json'}, {folder / 'report.html'}")
    return 0 if report["all_gone"] else NOT_ALL_GONE


if __name__ == "__main__":
    cli(main)
