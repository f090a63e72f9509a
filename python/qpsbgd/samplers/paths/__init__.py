"""Samplers with a transverse field: path-integral annealing and a rotor model."""
