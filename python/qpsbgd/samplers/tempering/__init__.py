"""Parallel tempering: the sampler, its ladder of temperatures and its run in the core."""
