"""Searches of EvoTorch as strategies, over weights or merge coefficients."""
