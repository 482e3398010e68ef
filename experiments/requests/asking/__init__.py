"""What deletion requests ask for: their files, and what a model says of a subject."""
