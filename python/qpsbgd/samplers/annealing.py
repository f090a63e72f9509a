"""Simulated annealing as a dimod sampler."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks import (
    BetaRule,
    check_model,
    checked_beta_range,
    checked_choice,
    checked_count,
    checked_keep,
    checked_seed,
    checked_threads,
    checked_time_limit,
    real_array,
    refuse_masked,
    resolved_keep,
)
from qpsbgd.samplers import base as call
from qpsbgd.samplers import schedule
from qpsbgd.samplers.batch import sample_bqms
from qpsbgd.samplers.ising import Form, Problem

DEFAULT_NUM_SWEEPS = 1000

#: Sweeps that are timed to see how many a time limit allows.
TIMED_SWEEPS = 2

Precision = Literal["float32", "int16", "float64"]
BetaRange = BetaRule | Sequence[float]


class SimulatedAnnealingSampler(dimod.Sampler, dimod.Initialized):
    """Simulated annealing, in the place of ``dwave.samplers.SimulatedAnnealingSampler``.

    Same parameters with the same meaning, and some more; vectorised, on all cores. Read ``k``
    depends on the problem, the parameters, its initial state, ``seed`` and ``k`` alone: not on
    ``num_reads``, ``num_threads`` or the instruction set.

    Attributes:
        parameters: names of what :meth:`sample` takes, as dimod has it.
        properties: the options of some parameters.

    Example:
        >>> sampler = SimulatedAnnealingSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=4, seed=1)
        >>> print(sampleset.first.energy)
        -1.5
    """

    # dimod.Sampler has them abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.parameters = {
            "beta_range": ["beta_range_options"],
            "num_reads": [],
            "num_sweeps": [],
            "num_sweeps_per_beta": [],
            "beta_schedule_type": ["beta_schedule_options"],
            "beta_schedule": [],
            "seed": [],
            "interrupt_function": [],
            "initial_states": [],
            "initial_states_generator": [],
            "randomize_order": [],
            "proposal_acceptance_criteria": ["proposal_acceptance_options"],
            "num_threads": [],
            "time_limit": [],
            "keep": ["keep_options"],
            "form": ["form_options"],
            "precision": ["precision_options"],
            "energy_threshold": [],
            "progress": [],
        }
        self.properties = {
            "beta_range_options": ("auto", "dwave"),
            "beta_schedule_options": ("linear", "geometric", "custom"),
            "proposal_acceptance_options": ("Metropolis", "Gibbs"),
            "keep_options": ("best", "final"),
            "form_options": ("dense", "sparse"),
            "precision_options": ("float32", "int16", "float64"),
        }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        beta_range: BetaRange | None = None,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_sweeps_per_beta: int = 1,
        beta_schedule_type: Literal["linear", "geometric", "custom"] = "geometric",
        seed: int | None = None,
        interrupt_function: call.InterruptFunction | None = None,
        beta_schedule: Sequence[float] | npt.NDArray[Any] | None = None,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        randomize_order: bool = False,
        proposal_acceptance_criteria: Literal["Metropolis", "Gibbs"] = "Metropolis",
        *,
        num_threads: int | None = None,
        time_limit: float | None = None,
        keep: Literal["best", "final"] | None = None,
        form: Form | None = None,
        precision: Precision | None = None,
        energy_threshold: float | None = None,
        progress: call.Progress | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Sample from a binary quadratic model.

        Args:
            bqm: the problem.
            beta_range: inverse temperatures ``(first, last)``, >= 0; ``"auto"`` or ``None`` for
                :func:`~qpsbgd.samplers.schedule.auto_beta_range`, ``"dwave"`` for the rule of
                dwave-samplers. A schedule with the automatic range has two parts, of which the
                colder one is short (:func:`~qpsbgd.samplers.schedule.cooling`).
            num_reads: number of anneals; default: as many as initial states, or 1.
            num_sweeps: sweeps of a read, default 1000, or as many as fit into ``time_limit`` where
                that is fewer; 0 returns the initial states. A sweep proposes every variable once.
            num_sweeps_per_beta: sweeps at each temperature; must divide ``num_sweeps``.
            beta_schedule_type: ``"geometric"``, ``"linear"``, or ``"custom"`` with
                ``beta_schedule``.
            seed: integer in ``[0, 2**31)``; drawn anew if ``None``.
            interrupt_function: asked many times a second, in the calling thread; where it returns
                True the call ends and returns what it has.
            beta_schedule: inverse temperatures, for ``"custom"``; >= 0.
            initial_states: one or more states, as ``dimod.as_samples`` takes them.
            initial_states_generator: ``"none"``, ``"tile"`` or ``"random"``: what to do where
                there are fewer ``initial_states`` than reads.
            randomize_order: propose variables drawn with replacement instead of one after another.
            proposal_acceptance_criteria: ``"Metropolis"`` or ``"Gibbs"``.
            num_threads: at most this many threads, of which no more than four a processor are
                started; ``None`` for the processors of this process. Short calls use fewer.
            time_limit: seconds for the call's sampling, > 0; ``None`` for no limit. Reads that it
                ends before they are cold go on to a local minimum, which takes as long as it takes;
                at one temperature they end as they are.
            keep: ``"best"`` returns the best state that a read had at its start or after a sweep,
                ``"final"`` the last, as dwave-samplers does. ``None`` is ``"final"`` where
                ``beta_range`` or ``beta_schedule`` names one temperature, as ``(b, b)`` does, or
                the ends of a single sweep: these states are samples of a Boltzmann distribution,
                and the best would be colder. Otherwise it is ``"best"``.
            form: ``"dense"`` or ``"sparse"`` couplings; ``None`` for the faster.
            precision: ``"float32"``, ``"float64"`` or ``"int16"``: the type of local fields.
                ``"int16"`` gives the same samples as float32 in less time. It needs biases that are
                small multiples of one power of two, the unit, and no ``randomize_order``. Sparse:
                no field, and no coupling twice, may exceed 32767 units. Dense: no coupling may
                exceed 127 units; where fields grow beyond int16 the call goes on in float32.
                ``None`` for ``"float64"`` where float32
                would round away what tells states apart (integers of more than 24 bits, small
                biases beside large penalties; docs/precision.md has the rule), else for the
                fastest that fits; dense reads of which a thread has fewer than four are in float32.
            energy_threshold: the call ends once a read has a state of this energy or less at its
                start or after a sweep.
            progress: called many times a second, in the calling thread, with the lowest energy so
                far, to float32 accuracy.
            **kwargs: ignored with a warning, as dimod does.

        Returns:
            Samples with energies in float64. ``info`` has ``beta_range``, ``beta_schedule_type``,
            ``timing`` (``preprocessing_ns``, ``sampling_ns``, ``postprocessing_ns``), ``seed``,
            ``isa``, ``num_threads``, ``keep``, ``form``, ``precision``, ``num_sweeps`` (the least
            and the most that a read made) and ``stopped_by`` (``"finished"``, ``"time_limit"``,
            ``"energy_threshold"`` or ``"interrupt"``). A call
            that was stopped returns the reads that had begun, each with what it has found so far.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, a NaN or infinite bias.
            KeyboardInterrupt: at Ctrl-C; its attribute ``sampleset`` is what would have been
                returned. So it is with an exception from ``interrupt_function`` or
                ``progress``.
        """
        clock = call.Clock()
        check_model("bqm", bqm)
        refuse_masked("initial_states", initial_states)
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed)
        threads = checked_threads(num_threads)
        limit = checked_time_limit(time_limit)
        acceptance = checked_choice(
            "proposal_acceptance_criteria", proposal_acceptance_criteria, ("Metropolis", "Gibbs")
        )
        checked_keep(keep)
        parsed = self.parse_initial_states(
            bqm,
            initial_states=initial_states,
            initial_states_generator=initial_states_generator,
            num_reads=num_reads,
            seed=seed,
        )
        problem = Problem(bqm, form, parsed.initial_states.variables)
        betas = _schedule(
            problem, beta_range, num_sweeps, num_sweeps_per_beta, beta_schedule_type, beta_schedule
        )
        shaped = limit < np.inf and num_sweeps is None and beta_schedule_type != "custom"
        is_found = beta_schedule is None and (beta_range is None or isinstance(beta_range, str))
        kept = resolved_keep(keep, betas, is_found=is_found)
        watch = call.watch_function(interrupt_function, progress, problem.offset)
        threshold = call.checked_threshold(energy_threshold, problem)
        initial = call.starts(bqm, parsed)
        chosen = _precision(problem, precision, bool(randomize_order), len(initial))
        clock.lap()
        options: dict[str, Any] = {
            "acceptance": _core.Acceptance[acceptance],
            "random_order": bool(randomize_order),
            "keep_best": kept == "best",
            "seed": seed,
            "num_threads": threads,
            "precision": chosen,
            "descend_at_limit": len(betas) > 0 and bool(betas[-1] > betas[0]),
        }
        if shaped:
            start = time.perf_counter()
            fitting = _fitting_sweeps(problem, initial, betas, num_sweeps_per_beta, limit, options)
            # Few sweeps leave a read far from a minimum, but a time limit must not.
            options["descend_always"] = options["descend_at_limit"] and fitting < len(betas)
            # The coldest is always one of them.
            betas = betas[np.linspace(len(betas) - 1, 0, fitting).round().astype(int)[::-1]]
            limit = max(limit - (time.perf_counter() - start), 1e-9)
        states, sweeps, reason, error = problem.core.anneal(
            initial,
            betas=np.repeat(betas, num_sweeps_per_beta).tolist(),
            time_limit=limit,
            energy_threshold=threshold,
            watch=watch,
            **options,
        )
        clock.lap()
        if reason is not _core.StopReason.finished:
            begun = sweeps >= 0
            begun[0] |= not begun.any()  # something is always returned
            states, sweeps = states[begun], sweeps[begun]
        result = call.sampleset(bqm, problem, states, threads)
        result.info.update(
            beta_range=[float(betas[0]), float(betas[-1])] if len(betas) else None,
            beta_schedule_type=beta_schedule_type,
            seed=seed,
            keep=kept,
            form=problem.form,
            precision=chosen.name,
            num_sweeps=[int(sweeps.min()), int(sweeps.max())],
            stopped_by=reason.name,
            timing=clock.timing(),
        )
        return call.deliver(result, error)

    def sample_batch(
        self, bqms: Iterable[dimod.BinaryQuadraticModel], **options: Any
    ) -> list[dimod.SampleSet]:
        """Sample from many models; options as in :func:`qpsbgd.samplers.batch.sample_bqms`."""
        return sample_bqms(bqms, "sa", **options)


def _fitting_sweeps(
    problem: Problem,
    initial: npt.NDArray[np.int8],
    betas: npt.NDArray[np.float64],
    num_sweeps_per_beta: int,
    limit: float,
    options: dict[str, Any],
) -> int:
    """How many of these temperatures the time limit allows, by the time of some hot sweeps."""
    sweeps = min(TIMED_SWEEPS, len(betas))
    if sweeps == 0:
        return 0
    start = time.perf_counter()
    _, made, *_ = problem.core.anneal(
        initial, betas=[betas[0]] * sweeps, time_limit=limit, energy_threshold=-np.inf, watch=None,
        **options,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if int(made.min(initial=sweeps)) < sweeps:
        return 1  # even these do not fit
    fitting = int((limit - seconds) / (seconds / sweeps * num_sweeps_per_beta))
    return min(max(fitting, 1), len(betas))


def _precision(
    problem: Problem, name: Precision | None, random_order: bool, num_reads: int
) -> _core.Precision:
    """What fields are kept as."""
    if name is None:
        return problem.core.best_precision(random_order=random_order, num_reads=num_reads)
    checked_choice("precision", name, tuple(p.name for p in _core.Precision))
    fitting = [p.name for p in _core.Precision if problem.core.fits(p, random_order=random_order)]
    if name not in fitting:
        raise ValueError(
            f"precision is {name!r}, but this problem's {problem.form} fields fit only "
            f"{', '.join(map(repr, fitting))}"
        )
    return _core.Precision[name]


def _schedule(
    problem: Problem,
    beta_range: BetaRange | None,
    num_sweeps: int | None,
    num_sweeps_per_beta: int,
    kind: str,
    custom: Sequence[float] | npt.NDArray[Any] | None,
) -> npt.NDArray[np.float64]:
    """Inverse temperatures, one for every ``num_sweeps_per_beta`` sweeps."""
    checked_choice("beta_schedule_type", kind, ("linear", "geometric", "custom"))
    checked_count("num_sweeps_per_beta", num_sweeps_per_beta, 1)
    if num_sweeps is not None:
        checked_count("num_sweeps", num_sweeps, 0)
    if kind == "custom":
        betas = _checked_betas(custom)
        if num_sweeps is not None and num_sweeps != len(betas) * num_sweeps_per_beta:
            raise ValueError(
                f"num_sweeps is {num_sweeps}, but beta_schedule and num_sweeps_per_beta make "
                f"{len(betas) * num_sweeps_per_beta}"
            )
        if beta_range is not None and (
            len(betas) == 0 or checked_beta_range(beta_range) != (betas[0], betas[-1])
        ):
            raise ValueError(
                f"beta_range is {beta_range!r}, but must be None or the ends of beta_schedule"
            )
        return betas
    if custom is not None:
        raise ValueError(f"beta_schedule goes with beta_schedule_type='custom', not {kind!r}")
    if num_sweeps is None:
        num_sweeps = DEFAULT_NUM_SWEEPS
    num_betas, rest = divmod(num_sweeps, num_sweeps_per_beta)
    if rest:
        raise ValueError(
            f"num_sweeps is {num_sweeps}, but must be a multiple of num_sweeps_per_beta, "
            f"{num_sweeps_per_beta}"
        )
    automatic = beta_range is None or (isinstance(beta_range, str) and beta_range == "auto")
    if automatic and problem.variables:
        temperatures = schedule.auto_temperatures(problem)
        spacing: Any = kind  # one of the two that are left
        return schedule.cooling(temperatures, num_betas, spacing)
    first, last = _ends(problem, beta_range)
    if kind == "geometric" and not (0 < first < np.inf and 0 < last < np.inf):
        raise ValueError(
            f"beta_range is {beta_range!r}, but a geometric schedule needs positive, finite ends"
        )
    if kind == "linear" and not (first < np.inf and last < np.inf):
        raise ValueError(f"beta_range is {beta_range!r}, but a linear schedule needs finite ends")
    if num_betas == 1:
        return np.array([last])
    space = np.geomspace if kind == "geometric" else np.linspace
    return space(first, last, num_betas)


def _ends(problem: Problem, beta_range: BetaRange | None) -> tuple[float, float]:
    ends = checked_beta_range(beta_range)
    if not problem.variables:
        return schedule.ARBITRARY
    if ends == "auto":
        return schedule.auto_beta_range(problem)
    return schedule.dwave_beta_range(problem) if ends == "dwave" else ends


def _checked_betas(betas: Any) -> npt.NDArray[np.float64]:
    if betas is None:
        raise ValueError("beta_schedule is None, but beta_schedule_type='custom' needs one")
    if isinstance(betas, (list, tuple)) and any(isinstance(beta, str) for beta in betas):
        raise ValueError(f"beta_schedule is {betas!r}, but must be numbers")
    array = np.array(real_array("beta_schedule", betas), np.float64)
    if array.ndim != 1:
        raise ValueError(f"beta_schedule has shape {array.shape}, but must have one dimension")
    bad = np.flatnonzero(~(array >= 0))
    if len(bad):
        raise ValueError(f"beta_schedule[{bad[0]}] is {array[bad[0]]}, but must be at least 0")
    return array
