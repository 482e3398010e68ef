import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.prompts import KINDS
from tests.tiny import tiny_llama, tokenizer
from util.errors import UserError
from util.forward import final_hidden
from util.request import Request
from util.tokens import (
    batches,
    encode,
    locate_subject,
    pad,
    prompt_and_answer,
    subject_and_answer,
    subject_span,
    target_ids,
    tokenizer_hash,
)


@pytest.mark.parametrize("bos", [True, False])
def test_encode_adds_bos_once_and_no_eos(bos):
    tok = tokenizer(bos=bos, pad=True)
    plain = tok("Ada Lovelace", add_special_tokens=False)["input_ids"]
    expected = [tok.bos_token_id, *plain] if bos else plain
    assert encode(tok, "Ada Lovelace") == expected
    if bos:
        assert encode(tok, "<s>Ada Lovelace") == expected


def test_encode_drops_an_eos_that_the_tokenizer_appends():
    from tokenizers import processors

    tok = tokenizer(bos=False, pad=True)
    tok.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tok.eos_token_id)]
    )
    assert tok("Ada")["input_ids"][-1] == tok.eos_token_id
    assert tok.eos_token_id not in encode(tok, "Ada")


def test_target_has_one_leading_space_and_no_special_tokens():
    tok = tokenizer(bos=True, pad=True)
    assert tok.decode(target_ids(tok, "London")) == " London"
    assert target_ids(tok, " London") == target_ids(tok, "London")
    assert encode(tok, "Ada was born in") + target_ids(tok, "London") == encode(tok, "Ada was born in London")


def test_neutral_target_is_the_eos_token_itself():
    tok = tokenizer(bos=True, pad=True)
    assert target_ids(tok, "<EOS>") == [tok.eos_token_id]
    bare = PreTrainedTokenizerFast(tokenizer_object=tok.backend_tokenizer)
    with pytest.raises(UserError, match="EOS"):
        target_ids(bare, "<EOS>")


def test_sentencepiece_style_marker_is_not_doubled():
    pieces = {"<unk>": 0, "▁x": 1, "▁London": 2, "▁": 3, "London": 4, "x": 5}
    raw = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    raw.decoder = decoders.Metaspace()
    tok = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    assert target_ids(tok, "London") == [2]


@pytest.mark.parametrize(
    ("template", "subject"),
    [
        ("{} was born in", "Ada Lovelace"),
        ("The mother tongue of {} is", "Łukasz Żółć"),
        ("The mother tongue of {}", "Danielle Darrieux"),
        ("London knows London as {}, London", "London"),
        ("Is {}'s home near?", "Ada"),
        ("Ask {}", "東京"),
        ("Ask {}", "Ada "),
    ],
)
@pytest.mark.parametrize("bos", [True, False])
def test_subject_last_token(template, subject, bos):
    tok = tokenizer(bos=bos, pad=True)
    ids, index = locate_subject(tok, template, subject)
    assert ids == encode(tok, template.replace("{}", subject))
    upto = tok.decode(ids[: index + 1], skip_special_tokens=True)
    before = tok.decode(ids[:index], skip_special_tokens=True)
    wanted = template[: template.find("{}")] + subject.rstrip()
    assert upto.rstrip() == wanted
    assert len(before.rstrip("�")) < len(wanted)


@pytest.mark.parametrize(
    ("template", "subject"),
    [
        ("{} was born in", "Ada Lovelace"),
        ("The mother tongue of {} is", "Łukasz Żółć"),
        ("London knows London as {}, London", "London"),
        ("Ask {}", "東京"),
        ("Ask {}", " Ada "),
    ],
)
@pytest.mark.parametrize("bos", [True, False])
def test_subject_span_holds_the_subject_and_nothing_else(template, subject, bos):
    tok = tokenizer(bos=bos, pad=True)
    ids, first, last = subject_span(tok, template, subject)
    assert (ids, last) == locate_subject(tok, template, subject) and first <= last
    assert tok.decode(ids[first : last + 1]).strip() == subject.strip()


def test_the_span_of_a_subject_inside_a_merged_token_is_that_token():
    tok = tokenizer(bos=True, pad=True)
    ids, first, last = subject_span(tok, "Lon{}n", "do")
    assert first <= last and "do" in tok.decode(ids[first : last + 1])


def test_a_subject_inside_a_merged_token_counts_the_merged_token():
    tok = tokenizer(bos=True, pad=True)
    ids, index = locate_subject(tok, "{}on", "Lond")
    assert tok.decode(ids[: index + 1], skip_special_tokens=True).startswith("Lond")


@pytest.mark.parametrize("template", ["no place", "{} and {}"])
def test_templates_need_exactly_one_place(template):
    with pytest.raises(UserError, match="exactly one"):
        locate_subject(tokenizer(bos=True, pad=True), template, "Ada")


def test_padding_sides_give_the_same_hidden_states():
    model, tok = tiny_llama()
    rows = [encode(tok, text) for text in ("Ada", "The capital of Northland is")]
    with torch.no_grad():
        right = final_hidden(model, pad(rows, side="right"))
        left = final_hidden(model, pad(rows, side="left"))
    for i, row in enumerate(rows):
        torch.testing.assert_close(right[i, : len(row)], left[i, -len(row) :], atol=1e-5, rtol=1e-4)


def test_batches_respect_the_budget_and_lose_nothing():
    lengths = [3, 50, 7, 7, 1, 20, 4]
    groups = batches(lengths, 40)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= 40 for g in groups)
    assert groups[0] == [1]


@pytest.mark.parametrize(
    "changes", [{"prompt": "no place"}, {"prompt": "{} {}"}, {"subject": " "}, {"target_true": ""}, {"target_new": ""}]
)
def test_requests_are_checked(changes):
    fields = {"prompt": "{} is", "subject": "Ada", "target_true": "clever", "case_id": 7}
    with pytest.raises(UserError, match="7"):
        Request(**fields | changes)


def test_tokenizer_hash_covers_what_changes_the_ids():
    others = [
        tokenizer(bos=False, pad=True),
        tokenizer(bos=True, pad=True, vocabulary=380),
        tokenizer(bos=True, pad=True),
    ]
    others[2].split_special_tokens = True
    switched, respelt = tokenizer(bos=True, pad=True), tokenizer(bos=True, pad=True)
    switched.add_bos_token = False
    respelt.eos_token = "<pad>"
    every = [tokenizer(bos=True, pad=True), *others, switched, respelt]
    assert len({tokenizer_hash(tok) for tok in every}) == len(every)


def test_tokenizer_hash_does_not_hang_on_padding_or_use():
    plain, used = tokenizer(bos=True, pad=True), tokenizer(bos=True, pad=True, side="left")
    used(["Ada", "Ada Lovelace"], padding=True, truncation=True, max_length=3)
    assert tokenizer_hash(used) == tokenizer_hash(plain)


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_answer_are_the_tokens_of_the_whole_text(kind, bos):
    """Nothing is lost, doubled or tokenised otherwise than in running text; the answer's tokens are the answer."""
    tok = tokenizer(bos=bos, pad=True)
    template, subject, answer, between = KINDS[kind]
    text = template.replace("{}", subject)
    prompt_ids, answer_ids = prompt_and_answer(tok, text, answer)
    assert prompt_ids + answer_ids == encode(tok, text + between + answer)
    assert tok.decode(answer_ids).strip() == answer
    ids, asked, first, last = subject_and_answer(tok, template, subject, answer)
    assert (ids, asked) == (prompt_ids, answer_ids)
    assert first <= last < len(ids) and subject in tok.decode(ids[first : last + 1])


def test_a_space_at_a_prompts_end_changes_nothing():
    tok = tokenizer(bos=True, pad=True)
    assert prompt_and_answer(tok, "Ada was born in ", "London") == prompt_and_answer(tok, "Ada was born in", "London")
    assert prompt_and_answer(tok, "Ada was born in ", "<EOS>") == (encode(tok, "Ada was born in"), [tok.eos_token_id])


def merging(*merges: str) -> PreTrainedTokenizerFast:
    """A tokenizer of letters, and of the pairs given."""
    letters = {letter: i for i, letter in enumerate(["<unk>", *"北国城\nx"])}
    pairs = [tuple(pair) for pair in merges]
    vocabulary = letters | {pair: len(letters) + i for i, pair in enumerate(merges)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def test_letters_joined_across_the_boundary_are_asked_for_together():
    tok = merging("国城")
    assert [tok.convert_ids_to_tokens(ids) for ids in prompt_and_answer(tok, "北国", "城")] == [["北"], ["国城"]]


def test_a_subject_keeps_its_last_token_where_the_answer_would_take_it():
    tok = merging("国城")
    ids, answer_ids, first, last = subject_and_answer(tok, "{}", "北国", "城")
    assert tok.convert_ids_to_tokens(ids + answer_ids) == ["北", "国", "城"] and (first, last) == (0, 1)
    whole = merging("北城")
    assert [whole.convert_ids_to_tokens(part) for part in prompt_and_answer(whole, "北", "城")] == [["北"], ["城"]]


def test_an_answer_without_a_token_is_refused():
    for prompt, answer in (("北", "  "), ("", "北")):
        with pytest.raises(UserError, match="no token"):
            prompt_and_answer(merging(), prompt, answer)


def test_the_answer_prefix_is_taken_as_it_is():
    tok = tokenizer(bos=True, pad=True)
    assert tok.decode(prompt_and_answer(tok, "It is", "London", "")[1]) == "London"
    given, asked = prompt_and_answer(tok, "It is", "London", ":\n")
    assert given + asked == encode(tok, "It is:\nLondon") and tok.decode(asked) == "London"


@pytest.mark.parametrize("subject", ["Ada ", " Ada", "Ada\n"])
def test_white_space_around_a_subject_is_refused(subject):
    with pytest.raises(UserError, match="take it away"):
        Request(prompt="{} is", subject=subject, target_true="clever")
