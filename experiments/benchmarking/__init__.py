"""How fast the machinery is: the plain forms of its work, and their comparison with it."""
