"""One call of a sampler: initial states, reads, interrupts and results."""
