"""A quantum annealer: its connection, graph, parameters and access times, and mocks of it."""
