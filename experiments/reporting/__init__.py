"""Plots and pages made of finished runs."""
