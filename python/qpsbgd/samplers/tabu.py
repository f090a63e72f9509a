"""Tabu search as a dimod sampler."""

import math
from typing import Any, ClassVar, Literal

import dimod
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import WIDE_SEED_LIMIT, checked_count, checked_real, checked_seed
from qpsbgd.samplers.base import StateSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction, Progress
from qpsbgd.samplers.call.reads import States
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.problem.ising import Form, Problem

Precision = Literal["int16", "float32", "float64"]

#: The shortest default tenure is one move for this many variables. See docs/defaults.md.
VARIABLES_PER_TENURE = 150
#: Larger dense problems have longer tenures, more elites and earlier fresh starts. The shortest of
#: their tenures is one move for this many variables, of at most so many; the longest is so much
#: more.
LARGE_PROBLEM = 3000
VARIABLES_PER_LARGE_TENURE, MOST_VARIABLES_OF_TENURE, TENURE_SPREAD = 100, 10_000, 10
#: Elites of a read, and generations without a new elite after which it keeps only the best one.
ELITES, BARREN_GENERATIONS = 8, 4
LARGE_ELITES, LARGE_BARREN_GENERATIONS = 16, 2
#: Largest default tenure of other problems. This and the five constants below are dwave-samplers'
#: choices.
MAX_TENURE = 20
DEFAULT_NUM_RESTARTS = 1_000_000
#: Milliseconds for a read if the caller gives neither ``timeout`` nor ``time_limit``.
DEFAULT_TIMEOUT = 20.0
SMALL_PROBLEM, SMALL_COEFFICIENT, LARGE_COEFFICIENT = 500, 10_000, 25_000
DEFAULT_LOWER_BOUND_Z = 500_000
#: Up to this number of variables a move takes less time in dense form, even in a sparse problem.
MAX_VARIABLES_DENSE = 1000


class TabuSampler(StateSampler):
    """Tabu-search sampler that replaces ``dwave.samplers.TabuSampler``.

    It takes the same parameters with the same meaning, and some more. It is vectorised, uses all
    cores and never makes a large sparse problem dense.

    A read is a sequence of searches. The first search begins at the read's initial state and the
    next ones at random states. The best states that they find are the read's elites. From then on a
    search begins in the middle of a random path between two elites (path relinking). Read ``k``
    depends on the problem, the parameters, its initial state, ``seed`` and ``k`` alone, unless time
    or an interrupt ends it. It does not depend on ``num_reads``, ``num_threads`` or the instruction
    set.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Reference:
        Y. Wang, Z. Lü, F. Glover, J.-K. Hao, "Path relinking for unconstrained binary quadratic
        programming", European Journal of Operational Research 223 (2012) 595.

    Example:
        >>> from qpsbgd import TabuSampler
        >>> sampler = TabuSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_restarts=9, seed=1)
        >>> print(sampleset.first.energy, sampleset.first.num_restarts)
        -1.5 9
    """

    batch_method = "tabu"
    option_properties: ClassVar[dict[str, str]] = {
        "initial_states_generator": "initial_states_generators",
        "form": "form_options",
        "precision": "precision_options",
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
        interrupt_function: InterruptFunction | None = None,
        form: Form | None = None,
        precision: Precision | None = None,
        progress: Progress | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Search a binary quadratic model for states of low energy.

        Args:
            bqm: the problem.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            num_reads: number of reads; by default the number of initial states, or 1.
            seed: integer in ``[0, 2**32)``; drawn if ``None``.
            tenure: number of moves, in ``[0, n)``, for which a flipped variable may not flip again,
                unless the flip leads to the best state of the search. By default each search draws
                its tenure: at most ``min(20, n // 4)``, and at least half of that, or ``n // 150``
                if that is more. For n > 3000 in dense form it draws ``min(n, 10000) // 100`` to 10
                more.
            timeout: milliseconds for a read, >= 0; ``None`` for no limit; ``"auto"`` for 20, or for
                no limit if ``time_limit`` is given. A read always reaches its first local minimum.
            num_restarts: largest number of searches of a read after its first one. 0 makes a read
                one search.
            energy_threshold: energy at which the call ends: it stops once a read has a state of
                this energy or less.
            coefficient_z_first: factor that limits the first search of a read to
                ``max(n * coefficient_z_first, lower_bound_z)`` evaluations of variables. A move
                takes n of them. The default is 10000 for n <= 500 and 25000 for more variables. If
                none of the three parameters is given, a search ends after ``max(2 n, 100)`` moves
                without a better state.
            coefficient_z_restart: the factor for the other searches; by default
                ``coefficient_z_first // 4``.
            lower_bound_z: smallest limit of evaluations; by default 500000.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. They share the reads, or the
                searches of a read if there are fewer reads than threads.
            time_limit: seconds for the search, > 0; ``None`` for no limit. Each read that began
                goes on to its first local minimum.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its best states so far, if the
                function returns True.
            form: ``"dense"`` stores couplings as a matrix and visits all variables at each move.
                ``"sparse"`` stores lists of neighbours and visits these. ``None`` for the faster
                one. Both make the same moves, except where float32 rounds differently or the tenure
                is the default for n > 3000.
            precision: ``"int16"``, ``"float32"`` or ``"float64"``: type of the gains. ``"int16"``
                needs the dense form and couplings that are multiples, up to 127, of a power of two;
                a search whose gains leave the range of int16 goes on in int32. All types make
                the same moves if float32 holds all sums of biases exactly. ``None`` for
                ``"float64"`` if float32 would round away the differences between states
                (docs/precision.md states the rule), otherwise for ``"int16"`` where it fits, or
                ``"float32"``.
            progress: function that the calling thread calls many times a second with the lowest
                energy so far, to float32 accuracy.
            num_best: number of states to return instead of one for each read: the lowest distinct
                states in ascending order of energies, with the number of reads that ended in each
                as ``num_occurrences``. The other states are not kept, so that any number of reads
                needs little memory. Of equal energies the lexicographically first state is the
                lower one. ``None`` returns a state for each read.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            A sample for each read, with energies in float64 and a vector ``num_restarts``. ``info``
            has ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``),
            ``seed``, ``isa``, ``num_threads``, ``form``, ``precision`` (the type in use:
            ``"int32"`` where gains left int16), ``tenure`` (the shortest and the longest of a
            search), ``num_moves`` (of all reads) and
            ``stopped_by`` (``"finished"``, ``"timeout"`` if that ended a read, ``"time_limit"``,
            ``"energy_threshold"`` or ``"interrupt"``). A call that stops early returns the reads
            that it began, each with its best state.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, or a NaN or infinite bias.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` or ``progress`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function, progress=progress,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed, WIDE_SEED_LIMIT)
        seconds = _seconds_per_read(timeout, call.time_limit)
        checked_count("num_restarts", num_restarts, 0)
        call.parse_states(initial_states, initial_states_generator, num_reads, seed, num_best)
        n = bqm.num_variables
        problem = call.build_problem("dense" if form is None and n <= MAX_VARIABLES_DENSE else form)
        is_large = n > LARGE_PROBLEM and problem.form == "dense"
        shortest, longest = _tenures(n, tenure, is_large)
        core_precision = _core_precision(problem, precision)
        first_moves, restart_moves = _move_limits(
            n, coefficient_z_first, coefficient_z_restart, lower_bound_z
        )
        threshold = call.core_threshold(energy_threshold)
        num_moves, has_timed_out, is_int16 = 0, False, True

        def solve(initial: States, first: int, limits: dict[str, Any]) -> Any:
            nonlocal num_moves, has_timed_out, is_int16
            states, restarts, moves, all_int16, timed_out, reason, error = call.in_core(
                problem.core.tabu,
                initial,
                shortest_tenure=shortest,
                longest_tenure=longest,
                num_restarts=num_restarts,
                first_moves=first_moves,
                restart_moves=restart_moves,
                num_elites=LARGE_ELITES if is_large else ELITES,
                barren_generations=LARGE_BARREN_GENERATIONS if is_large else BARREN_GENERATIONS,
                seconds_per_read=seconds,
                precision=core_precision,
                seed=seed,
                energy_threshold=threshold,
                first_read=first,
                **limits,
            )
            num_moves += int(moves.sum())
            has_timed_out |= timed_out
            is_int16 &= all_int16
            return states, restarts, reason, error

        with call.solving() as limits:
            reads = call.run_reads(limits, solve)
            is_finished = reads.reason is _core.StopReason.finished
            is_widened = core_precision is _core.Precision.int16 and not is_int16
            return call.finish(
                reads,
                {"num_restarts": reads.counts},
                seed=seed,
                form=problem.form,
                precision="int32" if is_widened else core_precision.name,
                tenure=[shortest, longest],
                num_moves=num_moves,
                stopped_by="timeout" if is_finished and has_timed_out else reads.reason.name,
            )


def _core_precision(problem: Problem, name: Precision | None) -> _core.Precision:
    checked_choice("precision", name, ("int16", "float32", "float64", None))
    if name is None:
        return problem.core.best_tabu_precision()
    if not problem.core.tabu_fits(_core.Precision[name]):
        raise ValueError(
            f"precision is {name!r}, but this problem's {problem.form} couplings fit only "
            "'float32' or 'float64'"
        )
    return _core.Precision[name]


def _tenures(n: int, tenure: int | None, is_large: bool) -> tuple[int, int]:
    """Return the shortest and the longest tenure that a search may draw."""
    if tenure is not None:
        return (checked_count("tenure", tenure, 0, max(n, 1)),) * 2
    if is_large:
        shortest = min(n, MOST_VARIABLES_OF_TENURE) // VARIABLES_PER_LARGE_TENURE
        return shortest, shortest + TENURE_SPREAD
    longest = min(MAX_TENURE, n // 4)
    return min(longest, max(longest // 2, n // VARIABLES_PER_TENURE)), longest


def _seconds_per_read(timeout: Any, time_limit: float) -> float:
    """Return the time limit of a read; infinity if there is none or the call's replaces it."""
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
    """Return the moves of a read's first search and of its others; None for the core's rule."""
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
    evaluations = (max(n * first, bound), max(n * restart, bound))
    first_moves, restart_moves = (-(-number // max(n, 1)) for number in evaluations)  # rounded up
    return first_moves, restart_moves
