"""The C++ core. Private: arguments are checked in Python before they come here."""

import enum
from collections.abc import Callable, Sequence
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

__version__: str
compiler: str
max_exhaustive_variables: int
num_slices: int
largest_transverse_field: float

class Objective(enum.Enum):
    quadratic = ...
    sign = ...

class AlphaRule(enum.Enum):
    norm = ...
    fit = ...

class InitialState(enum.Enum):
    linear = ...
    random = ...
    given = ...

def project(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    *,
    objective: Objective,
    scale: float,
    alpha: AlphaRule,
    target_eps: float,
    num_sweeps: int,
    betas: Sequence[float],
    num_reads: int,
    initial: InitialState,
    initial_states: npt.NDArray[np.int8] | None,
    seed: int,
    num_threads: int,
    steps: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.int8]: ...

class ProjectionTask:
    """Arguments of :func:`project` but the number of threads, for :func:`project_layers`."""

    def __init__(
        self,
        inputs: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float32],
        *,
        objective: Objective,
        scale: float,
        alpha: AlphaRule,
        target_eps: float,
        num_sweeps: int,
        betas: Sequence[float],
        num_reads: int,
        initial: InitialState,
        initial_states: npt.NDArray[np.int8] | None,
        seed: int,
        steps: npt.NDArray[np.float64] | None = None,
    ) -> None: ...

def project_layers(
    tasks: Sequence[ProjectionTask], *, num_threads: int
) -> list[npt.NDArray[np.int8]]: ...

class SampleLayer:
    """Rows of a layer from its samples: bit for bit those of ``project``, given all rows' norms."""

    def __init__(
        self,
        inputs: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float32],
        *,
        first_row: int,
        num_threads: int,
    ) -> None: ...
    def norms(self) -> npt.NDArray[np.float64]: ...
    def project(
        self,
        norms: npt.NDArray[np.float64],
        *,
        objective: Objective,
        scale: float,
        alpha: AlphaRule,
        target_eps: float,
        num_sweeps: int,
        betas: Sequence[float],
        num_reads: int,
        initial: InitialState,
        seed: int,
    ) -> npt.NDArray[np.int8]: ...

class GramLayer:
    """Rows of a layer from products of its samples, for the quadratic objective."""

    def __init__(
        self,
        gram: npt.NDArray[np.float64],
        cross: npt.NDArray[np.float64],
        magnitudes: npt.NDArray[np.float64],
        squares: npt.NDArray[np.float64],
        *,
        num_samples: int,
        first_row: int,
        num_threads: int,
    ) -> None: ...
    def norms(self) -> npt.NDArray[np.float64]: ...
    def project(
        self,
        norms: npt.NDArray[np.float64],
        *,
        objective: Objective,
        scale: float,
        alpha: AlphaRule,
        target_eps: float,
        num_sweeps: int,
        betas: Sequence[float],
        num_reads: int,
        initial: InitialState,
        seed: int,
    ) -> npt.NDArray[np.int8]: ...

def project_products(
    grams: npt.NDArray[np.float64],
    crosses: npt.NDArray[np.float64],
    magnitudes: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
    *,
    num_samples: int,
    seeds: Sequence[int],
    scale: float,
    alpha: AlphaRule,
    num_sweeps: int,
    betas: Sequence[float],
    num_reads: int,
    initial: InitialState,
    num_threads: int,
) -> npt.NDArray[np.int8]: ...
def step_along(
    weights: npt.NDArray[np.float32],
    binary: npt.NDArray[np.int8],
    *,
    lr: float,
    clip: float,
    num_threads: int,
) -> None: ...
def projection_energy(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    binary: npt.NDArray[np.int8],
    *,
    objective: Objective,
    scale: float,
    alpha: AlphaRule,
    target_eps: float,
    num_threads: int,
    steps: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]: ...
def gradient_ising(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    *,
    scale: float,
    alpha: AlphaRule,
    num_threads: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]: ...
def gradient_ising_pairs(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    *,
    scale: float,
    alpha: AlphaRule,
    num_threads: int,
) -> tuple[
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]:
    """Rows, columns and couplings of the pairs i < j, fields ``(m, n)`` and offsets ``(m,)``."""

def sign_qubo(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    *,
    target_eps: float,
    penalty_factor: float,
    num_threads: int,
) -> tuple[
    npt.NDArray[np.int8],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]:
    """Patterns, thresholds, rows, columns, values, factors, fields and offsets."""

def first_other_magnitude(inputs: npt.NDArray[np.float32]) -> int: ...
def first_nonfinite(values: npt.NDArray[np.float32]) -> int: ...
def acceptance_chance(acceptance: Acceptance, step: float, gain: int) -> int: ...
def multiply_adds(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], c: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]: ...
def exponential(
    *, seed: int, problem: int, read: int, sweep: int, first: int, count: int
) -> npt.NDArray[np.float32]: ...

class Acceptance(enum.Enum):
    Metropolis = ...
    Gibbs = ...

class Form(enum.Enum):
    dense = ...
    sparse = ...

class Precision(enum.Enum):
    float32 = ...
    int16 = ...
    float64 = ...
    bits = ...

class StopReason(enum.Enum):
    finished = ...
    time_limit = ...
    interrupt = ...
    energy_threshold = ...

class Ising:
    @overload
    def __init__(
        self,
        linear: npt.NDArray[np.float64],
        rows: npt.NDArray[np.uint32],
        columns: npt.NDArray[np.uint32],
        values: npt.NDArray[np.float64],
        form: Form | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        linear: npt.NDArray[np.float64],
        matrix: npt.NDArray[np.float64] | npt.NDArray[np.float32],
        factor: float = 1.0,
    ) -> None: ...
    @property
    def form(self) -> Form: ...
    @property
    def exact(self) -> bool: ...
    @property
    def num_variables(self) -> int: ...
    @property
    def reach(self) -> npt.NDArray[np.float64]: ...
    def energies(
        self, states: npt.NDArray[np.int8], *, num_threads: int
    ) -> npt.NDArray[np.float64]: ...
    def fields(self, states: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]: ...
    def anneal(
        self,
        initial_states: npt.NDArray[np.int8],
        *,
        betas: npt.ArrayLike,
        acceptance: Acceptance,
        random_order: bool,
        keep_best: bool,
        seed: int,
        num_threads: int,
        time_limit: float,
        energy_threshold: float,
        watch: Callable[[float], bool] | None,
        precision: Precision | None = None,
        descend_at_limit: bool = False,
        descend_always: bool = False,
        first_read: int = 0,
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], StopReason, BaseException | None]: ...
    def fits(self, precision: Precision, *, random_order: bool) -> bool: ...
    def best_precision(
        self, *, random_order: bool, num_reads: int, has_bits: bool
    ) -> Precision: ...
    def needs_float64(self) -> bool: ...
    def descend(
        self,
        initial_states: npt.NDArray[np.int8],
        *,
        precision: Precision,
        num_threads: int,
        time_limit: float,
        watch: Callable[[float], bool] | None,
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], StopReason, BaseException | None]: ...
    def tabu_fits(self, precision: Precision) -> bool: ...
    def best_tabu_precision(self) -> Precision: ...
    def tabu(
        self,
        initial_states: npt.NDArray[np.int8],
        *,
        shortest_tenure: int,
        longest_tenure: int,
        num_restarts: int,
        first_moves: int | None,
        restart_moves: int | None,
        num_elites: int,
        barren_generations: int,
        seconds_per_read: float,
        precision: Precision,
        seed: int,
        num_threads: int,
        time_limit: float,
        energy_threshold: float,
        watch: Callable[[float], bool] | None,
        first_read: int = 0,
    ) -> tuple[
        npt.NDArray[np.int8],
        npt.NDArray[np.int64],
        npt.NDArray[np.int64],
        bool,
        bool,
        StopReason,
        BaseException | None,
    ]: ...
    def enumerate(
        self,
        *,
        num_states: int,
        num_threads: int,
        time_limit: float,
        energy_threshold: float,
        watch: Callable[[float], bool] | None,
    ) -> tuple[npt.NDArray[np.int8], int, StopReason, BaseException | None]: ...

class RandomSpins:
    """Spins that ``numpy.random.RandomState(seed).choice([-1, 1])`` draws, call by call."""

    def __init__(self, seed: int) -> None: ...
    def draw(self, count: int, num_variables: int) -> npt.NDArray[np.int8]: ...

def beta_of_excitations(
    barriers: npt.NDArray[np.float64], *, number: float, least: float
) -> float: ...
def hot_and_knee(
    barriers: npt.NDArray[np.float64],
    highest: npt.NDArray[np.float64],
    *,
    hot: float,
    hot_quantile: float,
    large_per_median: float,
    knee_excited: float,
    knee_lowest: float,
) -> tuple[float, float]: ...
def anneal_paths(
    problem: Ising,
    initial_states: npt.NDArray[np.int8],
    num_breaks: npt.NDArray[np.int32] | None,
    breaks: npt.NDArray[np.int32] | None,
    *,
    problem_fields: npt.ArrayLike,
    transverse_fields: npt.ArrayLike,
    sweeps_per_step: int,
    chain_length: int,
    chain_coupling: float,
    update_chains: bool,
    sample_interval: int,
    return_breaks: bool,
    seed: int,
    first_read: int = 0,
    num_threads: int,
    time_limit: float,
    watch: Callable[[float], bool] | None,
) -> tuple[
    npt.NDArray[np.int8],
    npt.NDArray[np.int64],
    npt.NDArray[np.int8],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    StopReason,
    BaseException | None,
]: ...

class RotorProposal(enum.Enum):
    reflect = ...
    uniform = ...
    near = ...

def anneal_rotors(
    problem: Ising,
    initial_angles: npt.NDArray[np.uint8],
    *,
    problem_fields: npt.ArrayLike,
    transverse_fields: npt.ArrayLike,
    transverse: npt.NDArray[np.float32],
    proposal: RotorProposal,
    acceptance: Acceptance,
    draw_order: bool,
    sweeps_per_step: int,
    sample_interval: int,
    seed: int,
    first_read: int = 0,
    num_threads: int,
    time_limit: float,
    watch: Callable[[float], bool] | None,
) -> tuple[
    npt.NDArray[np.uint8],
    npt.NDArray[np.int8],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint8],
    StopReason,
    BaseException | None,
]: ...
def project_rotors(angles: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.int8]: ...
def better_form(num_variables: int, num_interactions: int) -> Form: ...

class Reduction:
    def __init__(self, problem: Ising) -> None: ...
    @property
    def kept(self) -> npt.NDArray[np.uint32]: ...
    @property
    def linear(self) -> npt.NDArray[np.float64]: ...
    @property
    def rows(self) -> npt.NDArray[np.uint32]: ...
    @property
    def columns(self) -> npt.NDArray[np.uint32]: ...
    @property
    def values(self) -> npt.NDArray[np.float64]: ...
    @property
    def offset(self) -> float: ...
    def restore(self, states: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]: ...

def weigh_chains(
    linear: npt.NDArray[np.float64],
    rows: npt.NDArray[np.uint32],
    columns: npt.NDArray[np.uint32],
    values: npt.NDArray[np.float64],
    *,
    betas: Sequence[float],
    marked: Sequence[int],
    num_chains: int,
    seed: int,
    number: int,
    num_threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def temper(
    problem: Ising,
    initial_states: npt.NDArray[np.int8],
    *,
    replicas: npt.NDArray[np.int8] | None = None,
    betas: Sequence[float],
    num_copies: int,
    num_sweeps: int,
    num_discarded: int,
    cluster_period: int,
    first_clustered: int,
    acceptance: Acceptance,
    keep_best: bool,
    sampled: Sequence[int],
    sample_sweeps: Sequence[int],
    num_spread: int = 0,
    precision: Precision,
    seed: int,
    first_read: int,
    num_threads: int,
    time_limit: float,
    seconds_per_read: float,
    energy_threshold: float,
    watch: Callable[[float], bool] | None,
) -> tuple[
    npt.NDArray[np.int8],
    npt.NDArray[np.int8],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    StopReason,
    BaseException | None,
]: ...

class BatchMethod(enum.Enum):
    sa = ...
    descent = ...
    tabu = ...

class BatchForm(enum.Enum):
    dense = ...
    interleaved = ...
    low_rank = ...

_Matrices: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.float32]
_Factor: TypeAlias = tuple[npt.NDArray[np.float32], float]
_Pattern: TypeAlias = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float64]]

def batch_needs_float64(
    couplings: _Matrices | _Factor | _Pattern,
    linear: npt.NDArray[np.float64],
    *,
    num_threads: int,
) -> bool: ...
def solve_batch(
    couplings: _Matrices | _Factor | _Pattern,
    linear: npt.NDArray[np.float64],
    initial_states: npt.NDArray[np.int8],
    *,
    method: BatchMethod,
    form: BatchForm,
    wide: bool,
    betas: Sequence[float],
    beta_factors: Sequence[float],
    acceptance: Acceptance,
    keep_best: bool,
    moves: int,
    tenure: int,
    seed: int,
    number: int,
    num_threads: int,
    time_limit: float,
) -> tuple[
    npt.NDArray[np.int8],
    npt.NDArray[np.float64] | None,
    npt.NDArray[np.uint8],
    StopReason,
    BaseException | None,
]: ...
def check_matrices(
    matrices: _Matrices, *, num_threads: int
) -> tuple[tuple[int, int, int] | None, npt.NDArray[np.float64]]: ...
def batch_magnitudes(
    matrices: _Matrices,
    coupling: npt.NDArray[np.float64],
    linear: npt.NDArray[np.float64],
    *,
    num_threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def batch_energies(
    matrices: _Matrices,
    linear: npt.NDArray[np.float64],
    states: npt.NDArray[np.int8],
    *,
    num_threads: int,
) -> npt.NDArray[np.float64]: ...
def batch_fields(
    matrices: _Matrices,
    linear: npt.NDArray[np.float64],
    states: npt.NDArray[np.int8],
    *,
    num_threads: int,
) -> npt.NDArray[np.float64]: ...
def factor_energies(
    factor: npt.NDArray[np.float64],
    scale: float,
    linear: npt.NDArray[np.float64],
    states: npt.NDArray[np.int8],
    *,
    num_threads: int,
) -> npt.NDArray[np.float64]: ...
def factor_fields(
    factor: npt.NDArray[np.float64],
    scale: float,
    linear: npt.NDArray[np.float64],
    states: npt.NDArray[np.int8],
    *,
    num_threads: int,
) -> npt.NDArray[np.float64]: ...
def multiply_packed(
    inputs: npt.NDArray[np.float32],
    bits: npt.NDArray[np.uint8],
    *,
    max_real: int,
    num_threads: int,
) -> npt.NDArray[np.float32] | None:
    """Product with packed signs; None if more than ``max_real`` inputs are no signs."""

def isa() -> str: ...
def available_isas() -> list[str]: ...
def threads_backend() -> str: ...
def default_num_threads() -> int: ...
def num_parallel_loops() -> int: ...
