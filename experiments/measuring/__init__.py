"""What is measured about a model as it is: scores, metrics, perplexity, generated text."""
