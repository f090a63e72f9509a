"""Projecting a layer's gradient onto binary variables."""
