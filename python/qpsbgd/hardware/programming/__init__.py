"""Problems of a layer's neurons on the qubits and couplers of an annealer."""
