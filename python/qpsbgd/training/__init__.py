"""Networks, data sets and the loop behind ``qpsbgd train``."""
