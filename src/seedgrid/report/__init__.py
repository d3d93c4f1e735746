"""Figures, tables and pages made from trials."""
