"""Births raised on Ray actors, on one machine or many."""
