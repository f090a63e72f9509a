"""Tabu search as a dimod sampler."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import dimod
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks import (
    WIDE_SEED_LIMIT,
    check_model,
    checked_choice,
    checked_count,
    checked_real,
    checked_seed,
    checked_threads,
    checked_time_limit,
    refuse_masked,
)
from qpsbgd.samplers import base as call
from qpsbgd.samplers.batch import sample_bqms
from qpsbgd.samplers.ising import Form, Problem

#: Variables for each move of the shortest default tenure. See docs/defaults.md.
VARIABLES_PER_TENURE = 150
#: The most that the default tenure is; dwave-samplers' choice, as are the five that follow.
MOST_TENURE = 20
DEFAULT_NUM_RESTARTS = 1_000_000
#: Milliseconds for a read where neither ``timeout`` nor ``time_limit`` is given; dwave-samplers'.
DEFAULT_TIMEOUT = 20.0
SMALL_PROBLEM, SMALL_COEFFICIENT, LARGE_COEFFICIENT = 500, 10_000, 25_000
DEFAULT_LOWER_BOUND_Z = 500_000
#: A move takes less time on so few variables in dense form, however sparse the problem is.
MOST_VARIABLES_DENSE = 1000


class TabuSampler(dimod.Sampler, dimod.Initialized):
    """Tabu search, in the place of ``dwave.samplers.TabuSampler``.

    Same parameters with the same meaning, and some more; vectorised, on all cores, sparse problems
    never made dense. A read is a row of searches. The first begins at the read's initial state,
    some at random states; the best that they find are the read's elites, and from then on a search
    begins in the middle of a random path between two of them (path relinking). Where neither time
    nor an interrupt ends it, read ``k`` depends on the problem, the parameters, its initial state,
    ``seed`` and ``k`` alone: not on ``num_reads``, ``num_threads`` or the instruction set.

    Attributes:
        parameters: names of what :meth:`sample` takes, as dimod has it.
        properties: the options of some parameters.

    Reference:
        Y. Wang, Z. Lü, F. Glover, J.-K. Hao, "Path relinking for unconstrained binary quadratic
        programming", European Journal of Operational Research 223 (2012) 595.

    Example:
        >>> sampler = TabuSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_restarts=9, seed=1)
        >>> print(sampleset.first.energy, sampleset.first.num_restarts)
        -1.5 9
    """

    # dimod.Sampler has them abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.parameters = {
            "initial_states": [],
            "initial_states_generator": ["initial_states_generators"],
            "num_reads": [],
            "seed": [],
            "tenure": [],
            "timeout": [],
            "num_restarts": [],
            "energy_threshold": [],
            "coefficient_z_first": [],
            "coefficient_z_restart": [],
            "lower_bound_z": [],
            "num_threads": [],
            "time_limit": [],
            "interrupt_function": [],
            "form": ["form_options"],
            "precision": ["precision_options"],
            "progress": [],
        }
        self.properties = {
            "initial_states_generators": ("none", "tile", "random"),
            "form_options": ("dense", "sparse"),
            "precision_options": ("int16", "float32", "float64"),
        }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        num_reads: int | None = None,
        seed: int | None = None,
        tenure: int | None = None,
        timeout: float | Literal["auto"] | None = "auto",
        num_restarts: int = DEFAULT_NUM_RESTARTS,
        energy_threshold: float | None = None,
        coefficient_z_first: int | None = None,
        coefficient_z_restart: int | None = None,
        lower_bound_z: int | None = None,
        *,
        num_threads: int | None = None,
        time_limit: float | None = None,
        interrupt_function: call.InterruptFunction | None = None,
        form: Form | None = None,
        precision: Literal["int16", "float32", "float64"] | None = None,
        progress: call.Progress | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Search a binary quadratic model for states of low energy.

        Args:
            bqm: the problem.
            initial_states: one or more states, as ``dimod.as_samples`` takes them.
            initial_states_generator: ``"none"``, ``"tile"`` or ``"random"``: what to do where
                there are fewer ``initial_states`` than reads.
            num_reads: number of reads; default: as many as initial states, or 1.
            seed: integer in ``[0, 2**32)``; drawn anew if ``None``.
            tenure: moves for which a flipped variable may not be flipped again, unless that leads
                to the best state of its search; in ``[0, n)``. By default searches draw their own,
                of ``min(20, n // 4)`` moves at most and half of that at least, or ``n // 150``
                where that is more.
            timeout: milliseconds for a read, >= 0; ``None`` for no limit; ``"auto"`` for 20, or no
                limit where ``time_limit`` is given. However little it is, a read goes on to its
                first local minimum.
            num_restarts: most searches of a read after its first; 0 makes it one search.
            energy_threshold: the call ends once a read has a state of this energy or less.
            coefficient_z_first: a read's first search looks at ``max(n * coefficient_z_first,
                lower_bound_z)`` variables, n a move. Default 10000 for n <= 500 and 25000 for more
                variables; but where none of the three is given, a search ends after
                ``max(2 n, 100)`` moves without a better state.
            coefficient_z_restart: the same of the other searches, default
                ``coefficient_z_first // 4``.
            lower_bound_z: default 500000.
            num_threads: at most this many threads, of which no more than four a processor are
                started; ``None`` for the processors of this process. They share the
                reads, or the searches of a read where there are fewer reads than threads.
            time_limit: seconds for the call's search, > 0; ``None`` for no limit. Reads that were
                begun go on to their first local minimum.
            interrupt_function: asked many times a second, in the calling thread; where it returns
                True the call ends and returns what it has.
            form: ``"dense"`` keeps couplings as a matrix and looks at all variables at each move,
                ``"sparse"`` as lists of neighbours and looks at their surroundings; ``None`` takes
                the faster. Both make the same moves, but for float32's rounding.
            precision: ``"int16"``, ``"float32"`` or ``"float64"``: what the energy differences of
                flips are kept as. ``"int16"`` needs the dense form and couplings that are
                multiples, up to 127, of one power of two; a read whose differences then grow
                beyond 16 bits is made again in float32. Where sums of biases are exact in float32
                all make the same moves. ``None`` for ``"float64"`` where float32 would round away
                what tells states apart (docs/precision.md has the rule), else for ``"int16"`` where
                that fits.
            progress: called many times a second, in the calling thread, with the lowest energy so
                far, to float32 accuracy.
            **kwargs: ignored with a warning, as dimod does.

        Returns:
            A sample a read, with energies in float64 and a vector ``num_restarts``. ``info`` has
            ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``), ``seed``,
            ``isa``, ``num_threads``, ``form``, ``precision`` (what was used), ``tenure``
            (the shortest and the longest of a search),
            ``num_moves`` (of all reads) and ``stopped_by`` (``"finished"``, ``"timeout"`` if that
            ended a read, ``"time_limit"``, ``"energy_threshold"`` or ``"interrupt"``). A call that
            was stopped returns the reads that had begun, each with the best that it has found.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias.
            KeyboardInterrupt: at Ctrl-C; its attribute ``sampleset`` is what would have been
                returned. So it is with an exception from ``interrupt_function`` or ``progress``.
        """
        clock = call.Clock()
        check_model("bqm", bqm)
        refuse_masked("initial_states", initial_states)
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed, WIDE_SEED_LIMIT)
        threads = checked_threads(num_threads)
        limit = checked_time_limit(time_limit)
        seconds = _checked_timeout(timeout, limit)
        checked_count("num_restarts", num_restarts, 0)
        parsed = self.parse_initial_states(
            bqm,
            initial_states=initial_states,
            initial_states_generator=initial_states_generator,
            num_reads=num_reads,
            seed=seed,
        )
        n = len(parsed.initial_states.variables)
        if form is None and n <= MOST_VARIABLES_DENSE:
            form = "dense"
        problem = Problem(bqm, form, parsed.initial_states.variables)
        shortest, longest = _tenures(n, tenure)
        chosen = _precision(problem, precision)
        first_moves, restart_moves = _move_limits(
            n, coefficient_z_first, coefficient_z_restart, lower_bound_z
        )
        watch = call.watch_function(interrupt_function, progress, problem.offset)
        threshold = call.checked_threshold(energy_threshold, problem)
        initial = call.starts(bqm, parsed)
        clock.lap()
        states, restarts, moves, int16, timed_out, reason, error = problem.core.tabu(
            initial,
            shortest_tenure=shortest,
            longest_tenure=longest,
            num_restarts=num_restarts,
            first_moves=first_moves,
            restart_moves=restart_moves,
            seconds_per_read=seconds,
            precision=chosen,
            seed=seed,
            num_threads=threads,
            time_limit=limit,
            energy_threshold=threshold,
            watch=watch,
        )
        clock.lap()
        if reason is not _core.StopReason.finished:
            begun = restarts >= 0
            begun[0] |= not begun.any()  # something is always returned
            states, restarts, moves = states[begun], restarts[begun].clip(min=0), moves[begun]
        result = call.sampleset(bqm, problem, states, threads, num_restarts=restarts)
        finished = reason is _core.StopReason.finished
        result.info.update(
            seed=seed,
            form=problem.form,
            precision="float32" if chosen.name == "int16" and not int16 else chosen.name,
            tenure=[shortest, longest],
            num_moves=int(moves.sum()),
            stopped_by="timeout" if finished and timed_out else reason.name,
            timing=clock.timing(),
        )
        return call.deliver(result, error)

    def sample_batch(
        self, bqms: Iterable[dimod.BinaryQuadraticModel], **options: Any
    ) -> list[dimod.SampleSet]:
        """Sample from many models; options as in :func:`qpsbgd.samplers.batch.sample_bqms`."""
        return sample_bqms(bqms, "tabu", **options)


def _precision(problem: Problem, name: str | None) -> _core.Precision:
    """What energy differences are kept as."""
    if name is None:
        return problem.core.best_tabu_precision()
    checked_choice("precision", name, ("int16", "float32", "float64"))
    if not problem.core.tabu_fits(_core.Precision[name]):
        raise ValueError(
            f"precision is {name!r}, but this problem's {problem.form} couplings fit only "
            "'float32' or 'float64'"
        )
    return _core.Precision[name]


def _tenures(n: int, tenure: int | None) -> tuple[int, int]:
    """The shortest and the longest that searches draw."""
    if tenure is not None:
        return (checked_count("tenure", tenure, 0, max(n, 1)),) * 2
    longest = min(MOST_TENURE, n // 4)
    return min(longest, max(longest // 2, n // VARIABLES_PER_TENURE)), longest


def _checked_timeout(timeout: Any, time_limit: float) -> float:
    """Seconds a read; infinite for None, or where a call's time limit takes its place."""
    if timeout is None:
        return math.inf
    if isinstance(timeout, str) and timeout == "auto":
        return math.inf if time_limit < math.inf else DEFAULT_TIMEOUT / 1000
    milliseconds = checked_real("timeout", timeout)
    if not milliseconds >= 0:
        raise ValueError(f"timeout is {timeout!r}, but must be at least 0 ms, 'auto' or None")
    return milliseconds / 1000


def _move_limits(
    n: int, z_first: int | None, z_restart: int | None, lower_bound: int | None
) -> tuple[int | None, int | None]:
    """Moves of a read's first search and of its others; None where the search decides itself."""
    if z_first is z_restart is lower_bound is None:
        return None, None
    if z_first is None:
        z_first = SMALL_COEFFICIENT if n <= SMALL_PROBLEM else LARGE_COEFFICIENT
    first = checked_count("coefficient_z_first", z_first, 0)
    if z_restart is None:
        z_restart = first // 4
    restart = checked_count("coefficient_z_restart", z_restart, 0)
    if lower_bound is None:
        lower_bound = DEFAULT_LOWER_BOUND_Z
    bound = checked_count("lower_bound_z", lower_bound, 0)
    return tuple(-(-max(n * z, bound) // max(n, 1)) for z in (first, restart))  # type: ignore[return-value]
