"""From deletion requests to an unlearned model and the evidence for it."""
