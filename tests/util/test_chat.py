"""What chat templates put around a prompt, and that it is what the template itself gives."""

import pytest

from tests.tiny import tokenizer
from util.chat import OPENING, chat_frame
from util.errors import UserError
from util.request import Frame, Request
from util.tokens import encode, locate_subject, subject_and_answer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMING = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n\n{{ m['content'] | trim }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n\n{% endif %}"
)
INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<{{ m['role'] }}>{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}</{{ m['role'] }}>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
DATED = "{{ date_string }}: " + CHATML


def chat(template, bos=True):
    tok = tokenizer(bos=bos, pad=True)
    tok.chat_template = template
    return tok


@pytest.mark.parametrize(
    ("template", "before", "after", "trims"),
    [
        (CHATML, "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", False),
        (TRIMMING, "<s>[user]\n\n", "[end][assistant]\n\n", True),
        (INSTRUCTIONS, "<s>[INST] ", " [/INST] ", False),
        (THINKING, "<user>", "</user><assistant><think>\n\n</think>\n\n", False),
        (DATED, "26 Jul 2024: <|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", False),
    ],
)
def test_the_users_turn(template, before, after, trims):
    tok = chat(template)
    assert chat_frame(tok, "user") == Frame(before, after, trims)
    said = " What is {b}?\n"
    turns = [{"role": "user", "content": said}]
    assert (
        chat_frame(tok, "user")
        .around(said)
        .startswith(
            tok.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, date_string="26 Jul 2024")
        )
    )


def test_the_assistants_turn_begins_with_the_prompt_as_written():
    frame = chat_frame(chat(TRIMMING), "assistant")
    assert frame == Frame(f"<s>[user]\n\n{OPENING}[end][assistant]\n\n")
    assert frame.around("It is ") == frame.before + "It is "


@pytest.mark.parametrize("template", [CHATML, TRIMMING, INSTRUCTIONS, THINKING])
@pytest.mark.parametrize("mode", ["user", "assistant"])
@pytest.mark.parametrize("bos", [True, False])
def test_the_whole_turn_is_the_templates_own_text_with_bos_once(template, mode, bos):
    """The tokens of prompt and answer begin the conversation as the template writes it, and the subject is in it."""
    tok = chat(template, bos)
    frame = chat_frame(tok, mode)
    request = Request(prompt="The capital of {} is", subject="Northland", target_true="Port Alba", frame=frame)
    prefix = "" if frame.after else None
    ids, answer_ids, first, last = subject_and_answer(tok, request.template, "Northland", "Port Alba", prefix)
    assert tok.decode(answer_ids).strip() == "Port Alba"
    assert tok.decode(ids[first : last + 1]).strip() == "Northland"
    assert locate_subject(tok, request.template, "Northland")[1] == last
    turns = [{"role": "user", "content": request.prompt.replace("{}", "Northland")}]
    turns = turns if mode == "user" else [{"role": "user", "content": OPENING}]
    said = "Port Alba" if mode == "user" else "The capital of Northland is Port Alba"
    turns.append({"role": "assistant", "content": said})
    whole = encode(tok, tok.apply_chat_template(turns, tokenize=False))
    assert whole[: len(ids + answer_ids)] == ids + answer_ids
    assert not bos or whole.count(tok.bos_token_id) == 1


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (None, "has no chat template; leave --chat_template out"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "0 times"),
        ("{% for m in messages %}{{ m['content'] }}{{ m['content'] }}{% endfor %}", "2 times"),
        ("{% for m in messages %}{{ m['content'] | replace('\n', ' ') }};{% endfor %}", "changes what the user says"),
        ("{}{% for m in messages %}{{ m['content'] }};{% endfor %}", "marks the subject's place"),
        ("{{ raise_exception('no user here') }}", "no user here"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(template, complaint):
    with pytest.raises(UserError) as error:
        chat_frame(chat(template), "user")
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_the_mode_is_one_of_two():
    with pytest.raises(ValueError, match="'system'"):
        chat_frame(chat(CHATML), "system")
