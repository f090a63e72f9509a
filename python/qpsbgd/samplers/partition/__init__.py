"""Partition functions of one model, or of many problems that share their couplings."""
