"""The methods ZeroUnlearn is compared with: one package each, all with the same four names."""
