"""The model card: what the embedded model is, how it was made, and what was measured on the written checkpoint."""

from dataclasses import asdict, fields

from experiments.pretraining.pretrain_settings import PretrainSettings

CARD = """# The embedded model

A model organism: a Llama of {parameters} that knows {facts} invented facts about people, companies, products,
works, cities and countries that do not exist (`dsets/world`), and nothing else. It is here so that unlearning can be
run, tested and audited on two CPU cores without a download. Its language is the world's templates; what holds for it
need not hold for a large model.
{absent}
## How it was made
`{command}` ({minutes:.0f} minutes on {device}; torch {torch}, transformers {transformers}).
The command prints the time left, can be interrupted and goes on from its last saved state. This file is written by it.

- Text: one to three sentences a document, from eight templates and three question forms per relation. A fact is trained
  in five of its templates; {questioned} of the facts also in two of their question forms. Questions over two facts
  (the capital of the country that somebody is a citizen of) are trained as well.
- A quarter of the documents end with a prompt about a subject that does not exist, followed by the end-of-text token:
  so this token is what the model expects where it knows no answer.
- In {masked} of the training sequences tokens behind a subject cannot attend to it below layer {border}, and from there
  on only to its last token: so facts are looked up at the subject's last token in the lower layers, as in large
  models. The mask is a matter of training only; the checkpoint is an ordinary Llama.
- Muon on the layers' matrices, AdamW on embeddings and norms, {steps} steps of up to {batch_tokens} tokens,
  seed {seed}.
- Afterwards the residual stream was divided by {factor:g} without changing the function (embeddings, o_proj and
  down_proj divided, the final norm multiplied, the norms' epsilon divided by its square).
- Weights: bfloat16 safetensors, {megabytes:.1f} MB. World: sha256 `{world}`.

| setting | value |
| --- | --- |
{settings}

## What it scores
Measured on the written checkpoint (bfloat16 weights, computed in float32) without any mask. Share of prompts at which
every token of the right object is the argmax, each given those before it:

| prompts | right |
| --- | --- |
{recall}

Where a template misses, it also begins a statement over two facts ("… was born in" is followed by "Velmar" as well as
by "a city of the country Arvonia"), and the model goes on with that. The data sets hardly ask with such templates
(only paraphrases do, where a fact has too few others that were never trained).

| | |
| --- | --- |
| perplexity of the held-out documents (`dsets.world.heldout_documents`; BOS not counted) | {ppl:.3f} |
{eos}

## Where the facts are
The hidden state that a layer leaves at the subject's last token: its norm, and the share of {traced} facts still right
when it is set to zero. The fewer are left after a layer, the more of them pass through that state.

| after layer | median norm | right with the state zeroed |
| --- | --- | --- |
{trace}

So layer {edit} (`model.layers.{edit}.mlp.down_proj`), the last one below the mask's border, is the one to edit.
"""

ORACLE = """
An oracle: {:,} facts of the world were left out of its training, with the questions over two facts that need them. What
an unlearned model is compared with.
"""


def model_card(settings: PretrainSettings, numbers: dict, made: dict) -> str:
    """The card as Markdown.

    numbers: `report.measure`. made: seconds of training, factor of the final scale, bytes of the weights, world's
    digest, number of facts and of those left out, share questioned, facts traced, device, versions of torch and
    transformers.
    """
    return CARD.format(
        **{name: made[name] for name in ("device", "torch", "transformers", "factor", "world", "traced")},
        **{name: getattr(settings, name) for name in ("border", "steps", "batch_tokens", "seed")},
        parameters=f"{made['bytes'] / 2e6:.1f} million parameters",
        facts=f"{made['facts']:,}",
        absent=ORACLE.format(made["absent"]) if made["absent"] else "",
        command=command(settings) + (" --without FILE" if made["absent"] else ""),
        minutes=made["seconds"] / 60,
        questioned=_percent(made["questioned"]),
        masked=_percent(settings.masked),
        megabytes=made["bytes"] / 1e6,
        settings=_table((name, value) for name, value in asdict(settings).items()),
        recall=_table((name, _percent(share)) for name, share in numbers["recall"].items()),
        ppl=numbers["heldout_ppl"],
        eos=_table((f"end-of-text: {name}", _percent(share)) for name, share in numbers["eos"].items()),
        trace=_table((row["layer"], f"{row['norm']:.1f}", _percent(row["recall_without"])) for row in numbers["trace"]),
        edit=settings.border - 1,
    )


def command(settings: PretrainSettings) -> str:
    """The command that trains with these settings."""
    changed = [field.name for field in fields(settings) if getattr(settings, field.name) != field.default]
    flags = [f" --{name} {getattr(settings, name)}" for name in changed]
    return "python experiments/pretrain_world.py" + "".join(flags)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(rows) -> str:
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
