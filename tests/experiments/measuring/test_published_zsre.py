"""zsRE as the published release scores it: its items, and numbers against a loop over them."""

import json
import statistics

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from dsets import Probe, Record
from experiments import evaluate
from experiments.measuring.metrics import accuracy
from experiments.measuring.published_zsre import answer_items, locality_items, published_zsre
from experiments.measuring.scoring import score
from tests.experiments.small import Workplace
from tests.tiny import TEXT, tiny_gpt2, tiny_llama, tokenizer

RECORDS = [
    Record(
        case_id=0,
        prompt="What is the mother tongue of {}?",
        subject="Danielle Darrieux",
        target_true="the French language",
        paraphrases=("Which is the language of Danielle Darrieux?",),
        neighborhood=(Probe(prompt="nq question: who was born in London?", answer="Ada Lovelace"),),
    ),
    Record(case_id=1, prompt="Where was {} born?", subject="Ada Lovelace", target_true="London"),
]


def test_later_tokens_of_an_answer_come_after_two_spaces_with_bos():
    with_bos = tokenizer(bos=True, pad=True)
    items = list(answer_items(with_bos, "Where?", "Port Alba"))
    ids = with_bos(" Port Alba", add_special_tokens=False)["input_ids"]
    assert len(items) == len(ids) > 1
    assert items[0][0] == "Where?"
    assert items[1][0] == "Where?  " + with_bos.decode(ids[:1]).lstrip()
    assert "".join(right for _, right in items) == " Port Alba"


def test_the_unrelated_answer_begins_with_bos():
    with_bos = tokenizer(bos=True, pad=True)
    items = list(locality_items(with_bos, "Who?", "Ada"))
    assert items[0] == ("Who?", "<s>")
    assert all(text.startswith("Who?<s>") for text, _ in items[1:]) and len(items) > 1


def test_without_bos_the_release_scores_what_we_score():
    model, plain = tiny_gpt2()
    found = published_zsre(model, plain, RECORDS, batch_tokens=200)
    questions = [(record.text, record.target_true) for record in RECORDS]
    scores = score(model, plain, questions, batch_tokens=200)
    assert found["published_efficacy"] == accuracy((scores[question].correct for question in questions), "zsre")
    items = list(locality_items(plain, "Who?", "Ada"))
    assert items[0][0] == "Who?" and "".join(right for _, right in items) == " Ada"


def share(model, tokenizer, items):
    right = []
    for text, answer in items:
        with torch.no_grad():
            said = int(model(**tokenizer(text, return_tensors="pt")).logits[0, -1].argmax())
        right.append(said == tokenizer(answer, add_special_tokens=False)["input_ids"][0])
    return 100 * statistics.fmean(right)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_numbers_are_those_of_a_loop_over_the_items(make):
    model, own = make()
    record = RECORDS[0]
    # answers that these random models do give, at least in part
    with torch.no_grad():
        said = own.decode(model(**own(record.text, return_tensors="pt")).logits[0, -1].argmax())
    answer = f"{said.strip() or 'French'} language"
    probe = Probe(prompt=record.text, answer=answer)
    known = Record(
        case_id=2,
        prompt=record.prompt,
        subject=record.subject,
        target_true=answer,
        paraphrases=record.paraphrases,
        neighborhood=(probe,),
    )
    found = published_zsre(model, own, [known], batch_tokens=200)
    assert found == pytest.approx(
        {
            "published_efficacy": share(model, own, answer_items(own, known.text, answer)),
            "published_generalization": share(model, own, answer_items(own, known.paraphrases[0], answer)),
            "published_specificity": share(model, own, locality_items(own, probe.prompt, answer)),
        }
    )


def sentence_piece():
    """A tokenizer that puts a mark before every text and drops it again when it decodes (Llama 2, Mistral, Phi-3)."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<s>", "</s>", "<unk>"]
    raw.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


def test_a_token_without_a_text_of_its_own_is_never_right():
    own = sentence_piece()
    assert [right for _, right in answer_items(own, "Where?", "London")][:2] == ["", ""]
    found = published_zsre(tiny_llama()[0], own, RECORDS, batch_tokens=200)
    assert all(0 <= value < 100 for value in found.values())


def test_facts_without_paraphrase_or_neighbour_have_no_part_in_those_means():
    found = published_zsre(*tiny_llama(), RECORDS[1:], batch_tokens=200)
    assert found["published_efficacy"] is not None
    assert found["published_generalization"] is found["published_specificity"] is None


ROW = {"rephrase": "Which place is it?", "alt": "Warsaw", "loc": "nq question: who?", "loc_ans": "Ada Lovelace"}


def test_the_flag_adds_the_numbers_to_zsre_runs_alone(tmp_path, monkeypatch, capsys):
    work = Workplace(tmp_path)
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    people = ["Ada Lovelace", "Mei Ling", "Ana Sousa", "Nils Delgado"]
    rows = [ROW | {"subject": who, "src": f"Where was {who} born?", "answers": ["London"]} for who in people]
    zsre = work.write("zsre.json", json.dumps(rows))
    for data in (zsre, str(tmp_path / "facts.jsonl")):
        evaluate.main([*work.arguments(ds_name=data, unlearn_num=2, ppl="none"), "--compat", "published"])
    by_data = {run.name.split("_")[1]: json.loads((run / "summary.json").read_text()) for run in work.runs()}
    for side in ("base", "unlearned"):
        assert by_data["zsre"][side]["published_efficacy"] is not None
        assert "published_efficacy" not in by_data["facts"][side]
    assert "Eff, as published" in capsys.readouterr().out
