"""How the embedded model is made: settings, batches, the training loop, measurements and the model card."""
