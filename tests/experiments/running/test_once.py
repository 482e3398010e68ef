from experiments.running.once import Once


def test_a_value_is_made_once_and_its_cost_is_everybodys():
    once, made = Once(), []
    first = once.get("a", lambda: made.append(1) or "value")
    later = once.get("a", lambda: made.append(2) or "other")
    assert made == [1] and (first.value, later.value) == ("value", "value")
    assert first.seconds == later.seconds >= 0
    assert (first.origin, later.origin) == ("this run", "an earlier run of this process")
    assert once.get("b", lambda: None, "a file").record()["origin"] == "a file"
    assert once.values() == ["value", None]
