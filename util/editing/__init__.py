"""The locate-then-edit machinery, which exists once: contexts, keys, targets, statistics, the loop over layers."""
