"""Coverage's tracer is off in the libraries' code, on in our hooks there, and back after it."""

import sys

import pytest

from tests.foreign import with_tracer


def tracer(*_):
    return None


@pytest.fixture
def traced():
    """The test runs under a tracer of its own; coverage's, if there is one, comes back."""
    before = sys.gettrace()
    sys.settrace(tracer)
    yield
    sys.settrace(before)


def test_a_hook_of_ours_within_foreign_code_is_traced(traced):
    seen = []
    hook = with_tracer(tracer, lambda: seen.append(sys.gettrace()))

    def foreign():
        seen.append(sys.gettrace())
        hook()
        seen.append(sys.gettrace())

    with_tracer(None, foreign)()
    assert seen == [None, tracer, None] and sys.gettrace() is tracer


def test_the_tracer_comes_back_where_foreign_code_raises(traced):
    def foreign():
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        with_tracer(None, foreign)()
    assert sys.gettrace() is tracer
