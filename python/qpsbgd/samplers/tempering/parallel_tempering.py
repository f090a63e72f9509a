"""Parallel tempering as a dimod sampler."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, get_args

import dimod
import numpy as np
import numpy.typing as npt
from dimod.core.initialized import InitialStateGenerator

from qpsbgd import _core
from qpsbgd._checks.numbers import checked_seed
from qpsbgd.samplers.annealing import core_precision
from qpsbgd.samplers.base import CoreSampler
from qpsbgd.samplers.call.caller_functions import InterruptFunction, Progress
from qpsbgd.samplers.call.reads import CoreReads, States
from qpsbgd.samplers.call.sampler_call import SamplerCall
from qpsbgd.samplers.problem.ising import Form
from qpsbgd.samplers.schedule import BetaRange
from qpsbgd.samplers.tempering.ladder_arguments import LadderArguments
from qpsbgd.samplers.tempering.sweep_arguments import (
    checked_num_samples,
    has_clusters,
    refuse_with_samples,
    resolve_sweeps,
    should_eliminate,
)
from qpsbgd.samplers.tempering.tempering_run import (
    Plan,
    TemperingRun,
    last_samples,
    reduced_problem,
)

Precision = Literal["float32", "int16", "float64"]

#: A pilot run has at most this part of the sweeps of a read, and at most so many sweeps.
PILOT_FRACTION, MAX_PILOT_SWEEPS = 4, 2048
#: Number of replicas by which the type of the fields is chosen before pilot runs choose it.
MANY_REPLICAS = 32


class ParallelTemperingSampler(CoreSampler, dimod.Initialized):
    """Parallel-tempering sampler (replica exchange).

    A read is a set of replicas at different temperatures, each of which makes Metropolis sweeps.
    After each sweep neighbouring temperatures may exchange their replicas, with the probability
    that keeps every replica's Boltzmann distribution. A replica that is caught in a valley at a low
    temperature leaves it through the high ones. In problems with few neighbours for each variable,
    replicas at the same low temperature also exchange connected components of the variables in
    which they differ (isoenergetic cluster moves).

    The sampler returns the best state of each read, or, with ``sample_betas``, samples of Boltzmann
    distributions. Samples come from Gibbs sweeps, best states from Metropolis sweeps, which find
    lower energies but, in a fixed order, do not reach all states of some problems without linear
    biases. It is vectorised and uses all cores. Read ``k`` depends on the problem, the
    parameters, its initial state, ``seed`` and ``k`` alone. It does not depend on ``num_reads``,
    ``num_threads`` or the instruction set.

    Attributes:
        parameters: names of the parameters of :meth:`sample`, as in all dimod samplers.
        properties: the options of some parameters.

    Reference:
        K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996);
        Z. Zhu, A. J. Ochoa, H. G. Katzgraber, Phys. Rev. Lett. 115, 077201 (2015).

    Example:
        >>> from qpsbgd import ParallelTemperingSampler
        >>> sampler = ParallelTemperingSampler()
        >>> sampleset = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_sweeps=20, seed=1)
        >>> print(sampleset.first.energy)
        -1.5
    """

    option_properties: ClassVar[dict[str, str]] = {
        "beta_range": "beta_range_options",
        "initial_states_generator": "initial_states_generators",
        "form": "form_options",
        "precision": "precision_options",
    }

    def sample(
        self,
        bqm: dimod.BinaryQuadraticModel,
        beta_range: BetaRange | None = None,
        num_reads: int | None = None,
        num_sweeps: int | None = None,
        num_replicas: int | None = None,
        betas: Sequence[float] | npt.NDArray[Any] | None = None,
        seed: int | None = None,
        interrupt_function: InterruptFunction | None = None,
        initial_states: Any = None,
        initial_states_generator: InitialStateGenerator = "random",
        *,
        sample_betas: float | Sequence[float] | npt.NDArray[Any] | None = None,
        num_samples: int = 1,
        cluster_moves: bool | None = None,
        eliminate: bool | None = None,
        num_threads: int | None = None,
        time_limit: float | None = None,
        form: Form | None = None,
        precision: Precision | None = None,
        energy_threshold: float | None = None,
        progress: Progress | None = None,
        num_best: int | None = None,
        **kwargs: Any,
    ) -> dimod.SampleSet:
        """Sample from a binary quadratic model.

        Args:
            bqm: the problem.
            beta_range: smallest and largest inverse temperature, > 0; ``"auto"`` or ``None`` for
                the rule :func:`~qpsbgd.samplers.temperature_rules.temperatures_of_barriers`, from
                1.5 times its hot end to its knee; ``"dwave"`` for the rule of dwave-samplers. With
                ``sample_betas`` the range of a rule begins at the rule's hot end and ends at the
                largest of these. Short pilot runs choose the inverse temperatures between so that
                exchanges are about equally likely
                (:func:`~qpsbgd.samplers.tempering.ladder.measured_ladder`).
            num_reads: number of independent runs; by default the number of initial states, or 1.
            num_sweeps: sweeps of each replica. The default is 1000, or, with ``time_limit``, as
                many as this allows. 0 returns the initial states.
            num_replicas: number of replicas of a read, at most 4096. By default the pilot runs
                choose it, so that 23 % of the exchanges are accepted, or 40 % with
                ``sample_betas``; at most 256 inverse temperatures. With cluster moves two replicas
                share an inverse temperature, and the number is even. ``sample_betas`` that are not
                among the temperatures so found get replicas of their own beside these.
            betas: the inverse temperatures, >= 0 and finite, in any order, instead of pilot runs.
                They are at most 4096 replicas.
            seed: integer in ``[0, 2**31)``; drawn if ``None``.
            interrupt_function: function that the calling thread calls many times a second, and at
                least once in a call. The call ends early, with its states so far, if the function
                returns True.
            initial_states: one or more states in a form that ``dimod.as_samples`` takes. The
                coldest replica of a read begins at the read's initial state, and its other replicas
                at random states.
            initial_states_generator: way to make the missing states if there are fewer
                ``initial_states`` than reads: ``"none"`` (an error), ``"tile"`` or ``"random"``.
            sample_betas: inverse temperatures, one or more, at which to take samples. With
                ``betas`` they must be among these. The call then returns, instead of the best
                states, samples of the Boltzmann distributions, with a vector ``beta``.
            num_samples: number of samples that a read takes at each of ``sample_betas``, at most
                half of ``num_sweeps``. They are evenly spread over the second half of the sweeps,
                and the last one is the last state. Samples of one read are independent only as far
                as the sweeps between them suffice. If ``time_limit`` alone ends a read, the number
                of sweeps is not known in advance: the samples are then evenly spread over a part
                of the sweeps, between their last quarter and their last half. A read that ends
                before its last sweep returns the samples that it took, or its states so far if it
                took none.
            cluster_moves: whether replicas at one temperature exchange components; True needs the
                sparse form. ``None`` means True in sparse form.
            eliminate: whether to eliminate variables with at most two neighbours before the search,
                which does not change the lowest energy, and to give them their best values
                afterwards; True needs the sparse form and no ``sample_betas``. ``None`` means True
                where that is so. A problem of which no variable is left is solved without sweeps.
            num_threads: largest number of threads; ``None`` for the number of processors of this
                process. At most four threads a processor are started. They share the reads, and the
                replicas of a read if there are fewer reads than threads.
            time_limit: seconds for the sampling, pilot runs included, > 0; ``None`` for no limit.
                Every read gets its share.
            form: ``"dense"`` or ``"sparse"`` couplings; ``None`` for the faster one.
            precision: ``"float32"``, ``"float64"`` or ``"int16"``: type of the local fields, as in
                :meth:`SimulatedAnnealingSampler.sample`.
            energy_threshold: energy at which the call ends: it stops once a replica has a state of
                this energy or less after a sweep. ``None`` with ``sample_betas``.
            progress: function that the calling thread calls many times a second with the lowest
                energy so far, to float32 accuracy.
            num_best: number of states to return instead of one for each read: the lowest distinct
                ones among the best states of all reads, in ascending order of energies, with the
                number of reads that ended in each as ``num_occurrences``. The other states are not
                kept, so that any number of reads needs little memory. Of equal energies the
                lexicographically first state is the lower one. ``None`` returns a state for each
                read, and is needed with ``sample_betas``.
            **kwargs: unknown parameters, which dimod ignores with a warning.

        Returns:
            Samples with energies in float64. ``info`` has ``betas``, ``exchange_rates`` (the mean
            probability of an exchange between neighbours, over all reads), ``round_trips`` (of each
            read: how often a replica went from the smallest inverse temperature to the largest and
            back), ``num_replicas``, ``cluster_moves``, ``num_eliminated``, ``num_sweeps`` (the
            smallest and the largest number of a read), ``seed``, ``form``, ``precision``, ``isa``,
            ``num_threads``, ``timing`` (``preprocessing_ns``, ``sampling_ns``,
            ``postprocessing_ns``) and ``stopped_by`` (``"finished"``, ``"time_limit"``,
            ``"energy_threshold"`` or ``"interrupt"``). A call that stops early returns the reads
            that it began, each with its states so far.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a value out of range, arguments that contradict each other, or a NaN or
                infinite bias.
            KeyboardInterrupt: Ctrl-C. Its attribute ``sampleset`` is the result so far. An
                exception from ``interrupt_function`` or ``progress`` has the same attribute.
        """
        call = SamplerCall(
            self, bqm, num_threads=num_threads, time_limit=time_limit,
            interrupt_function=interrupt_function, progress=progress,
        )  # fmt: skip
        self.remove_unknown_kwargs(**kwargs)
        seed = checked_seed(seed)
        ladder = LadderArguments.checked(
            betas=betas, beta_range=beta_range, num_replicas=num_replicas, sample_betas=sample_betas
        )
        is_best = ladder.sampled is None
        num_sweeps = resolve_sweeps(num_sweeps, call.time_limit)
        num_samples = checked_num_samples(num_samples, num_sweeps, is_best)
        if not is_best:
            refuse_with_samples(eliminate, energy_threshold, num_best)
        call.parse_states(initial_states, initial_states_generator, num_reads, seed, num_best)
        whole = call.build_problem(form)
        threshold = call.core_threshold(energy_threshold)
        reduction = None
        if num_sweeps != 0 and should_eliminate(eliminate, is_best, whole):
            call.problem, reduction = reduced_problem(whole)
            threshold -= call.problem.offset - whole.offset
        problem = call.problem
        num_copies = 2 if has_clusters(cluster_moves, problem) else 1
        num_betas = ladder.num_betas(num_copies)
        num_rows = MANY_REPLICAS if num_betas is None else num_betas * num_copies
        fields = core_precision(problem, precision, False, num_rows, get_args(Precision))
        rule = _core.Acceptance.Metropolis if is_best else _core.Acceptance.Gibbs
        run = TemperingRun(problem, num_copies, fields, seed, threshold, rule, call.in_core)
        with call.solving() as limits:
            run.start(limits)
            call.problem = whole
            max_sweeps = min(num_sweeps // PILOT_FRACTION, MAX_PILOT_SWEEPS)
            rungs = ladder.betas(problem, num_betas, max_sweeps, run.pilot)
            plan = Plan(rungs, num_sweeps, call.num_reads, ladder.sampled, num_samples)

            def solve(initial: States, first: int, _: dict[str, Any]) -> CoreReads:
                if reduction is None:
                    return run.reads(plan, initial, first)
                kept = np.ascontiguousarray(initial[:, reduction.kept])
                states, sweeps, reason, error = run.reads(plan, kept, first)
                return reduction.restore(states), sweeps, reason, error

            reads = call.run_reads({**limits, "time_limit": run.seconds_left()}, solve)
            reason, records = reads.reason, run.records
            if reason is _core.StopReason.finished and records.is_short:
                reason = _core.StopReason.time_limit  # the share of a read
            states, vectors = reads.states, {}
            if ladder.sampled is not None:
                states = last_samples(states, records.num_taken, num_samples)
                vectors["beta"] = np.tile(ladder.sampled, len(states) // len(ladder.sampled))
            return call.finish(
                replace(reads, states=states, reason=reason), vectors, seed=seed,
                betas=rungs.tolist(), num_replicas=len(rungs) * num_copies,
                cluster_moves=num_copies > 1, exchange_rates=records.rates(),
                round_trips=records.round_trips,
                num_eliminated=len(whole.variables) - len(problem.variables), form=problem.form,
                precision=run.precision.name, num_sweeps=list(reads.extremes),
            )  # fmt: skip
