"""Projection of a layer's gradient onto binary variables."""

from qpsbgd.projection.binary_gradient import (
    gradient_ising,
    project,
    project_layers,
    projection_energy,
)
from qpsbgd.projection.encoding import gradient_bqms
from qpsbgd.projection.models import GradientBQMs
from qpsbgd.projection.options import LayerProblem, ProjectionOptions
from qpsbgd.projection.projectors import NativeProjector, Projector, StepProjector
from qpsbgd.projection.sampler_projector import SamplerProjector

__all__ = [
    "GradientBQMs",
    "LayerProblem",
    "NativeProjector",
    "ProjectionOptions",
    "Projector",
    "SamplerProjector",
    "StepProjector",
    "gradient_bqms",
    "gradient_ising",
    "project",
    "project_layers",
    "projection_energy",
]
