"""Is a fact gone or only hidden? Attacks on a model that was made to forget, and what they say together."""
