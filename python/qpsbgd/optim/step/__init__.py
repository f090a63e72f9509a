"""One step of QPSBGD: from the captured tensors of all layers to their new weights."""
