"""How alike the keys and values of different facts are, and what a projector takes from those that are to be kept."""
