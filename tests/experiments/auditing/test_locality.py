"""Next-token distributions: of a text's prefixes in one pass."""

import torch

from experiments.auditing.locality import _next_tokens
from util.tokens import encode


def test_places_of_one_text_say_what_its_prefixes_say(tiny):
    model, tok = tiny
    rows = [encode(tok, "The bridge stood still, and the train was late."), encode(tok, "Ada Lovelace")]
    places = [[0, 2, 5], [len(rows[1]) - 1]]
    found = _next_tokens(model, rows, places, batch_tokens=10_000)
    prefixes = [row[: place + 1] for row, some in zip(rows, places, strict=True) for place in some]
    with torch.no_grad():
        alone = torch.stack([model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prefixes])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
