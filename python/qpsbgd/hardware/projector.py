"""Projector that solves a layer's neurons on a quantum annealer, many in one call."""

import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd._checks.layer_arrays import checked_layer
from qpsbgd._checks.numbers import checked_count
from qpsbgd.hardware.annealer.client import connect
from qpsbgd.hardware.annealer.machine import Machine
from qpsbgd.hardware.annealer.parameters import check_range
from qpsbgd.hardware.call_delivery import CallDelivery
from qpsbgd.hardware.calls import Call
from qpsbgd.hardware.inspection import inspector_arguments
from qpsbgd.hardware.layer_calls import (
    CallOptions,
    LayerCalls,
    OnceWarner,
    OnFailure,
    OnUnembeddable,
)
from qpsbgd.hardware.programming.chain_strength import ChainStrength
from qpsbgd.hardware.programming.layout import Layouts
from qpsbgd.hardware.service.budget import Budget
from qpsbgd.hardware.service.leftovers import Leftovers
from qpsbgd.hardware.service.queries import Service
from qpsbgd.projection import LayerProblem, ProjectionOptions
from qpsbgd.projection.options import DEFAULT_TARGET_EPS

Spins = npt.NDArray[np.int8]


class DWaveProjector:
    """Projector that solves a layer's problems on a D-Wave annealer, as many in a call as fit.

    The problems of a layer's neurons have the same graph. The projector embeds that graph once in
    as many disjoint copies as fit the machine, and stores the embeddings on disk. Each call has a
    neuron in every copy. Where there are more copies than neurons, the spare copies repeat neurons
    under other gauges. All calls of a step, those of all layers, are sent before the first answer
    is waited for.

    The objective of each answer is computed for the problem as it was before scaling and embedding.
    A neuron gets the linear minimiser ``sign(X^T t)`` where no read is better.

    Args:
        sampler: structured dimod sampler: ``dwave.system.DWaveSampler(...)`` or a mock of it. None
            makes a ``DWaveSampler`` from the three arguments that follow. The caller closes a
            sampler of its own.
        profile: section of D-Wave's configuration file. There is no argument for a token: it
            belongs in that file or in the environment.
        solver: name of the solver.
        region: region of D-Wave's service.
        num_reads: reads of each call.
        annealing_time: microseconds of each read; None for the solver's default.
        sample_kwargs: other parameters of the sampler's ``sample``. ``flux_biases`` and
            ``anneal_offsets`` may be mappings from qubits to values. With ``fast_anneal``, an
            ancilla in each copy replaces the linear biases, which that protocol does not have.
        reverse_schedule: schedule of reverse anneals: points ``(microseconds, anneal fraction)``
            from fraction 1 to 1. Each read starts at the neuron's linear minimiser
            ``sign(X^T t)``. None for forward anneals.
        extended_j_range: whether couplings use the extended range, which reaches from -2 on
            D-Wave's machines. Without it, chains are at most as strong as the strongest couplings.
        chain_strength: coupling that holds a chain together, in units of the couplings of
            :class:`~qpsbgd.GradientBQMs` for a factor of 1; or a function that returns it for that
            SPIN problem and the embedding of the first copy, as Ocean's composites call it. None
            for ``dwave.embedding.chain_strength.uniform_torque_compensation``. A function is called
            once per layer and step.
        max_copies: upper limit of the neurons of a call; None for as many as fit.
        polish: whether native descent improves the answers, for ``num_sweeps`` sweeps of the
            projection. Without it, ``num_sweeps`` has no effect.
        budget_us: upper limit of the access time in microseconds; None for no limit.
        ledger: file that keeps the spent time and the problems under way for later processes,
            which retrieve the answers; see :class:`~qpsbgd.hardware.Budget`.
        on_unembeddable: what happens to a layer that does not fit the machine, and to inputs that
            are not binary under the sign objective: ``"error"`` raises, ``"native"`` solves the
            layer with the native solver.
        on_failure: what happens to a call that fails. ``"retry"`` makes up to ``max_retries``
            further attempts after transient errors, then raises; ``"native"`` makes the same
            attempts, then solves the call's neurons with the native solver; ``"error"`` makes one
            attempt. An answer that exists is retrieved and never paid for twice.
        max_retries: attempts after the first one.
        retry_wait: seconds before the first retry of all calls that failed; each further wait is
            twice as long.
        target_eps: tie rule of the sign objective, as in :func:`qpsbgd.project`.
        penalty_factor: factor of the sign objective's penalties, as in
            :func:`qpsbgd.gradient_bqms`.
        num_threads: upper limit of the threads that this machine uses, as in
            :func:`qpsbgd.project`.
        log: file to which each call adds a line of JSON.
        run: name of the run in records and in labels (``qpsbgd/run/step/layer/call``).
        cache: folder of the embeddings; None for ``~/.cache/qpsbgd/embeddings`` (or the same below
            ``$XDG_CACHE_HOME``).

    Attributes:
        machine: graph, ranges and properties of the sampler.
        layouts: layouts of problems on the machine.
        options: options of the calls, among them ``num_reads`` and ``parameters``.
        budget: the :class:`~qpsbgd.hardware.Budget`; its limit may be raised.
        log: the argument; may be changed between steps.
        last_calls: records of the last step's calls, as in the log.
        last_call: last call that has an answer, for D-Wave's problem inspector.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a value is out of range, or there is no token.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.hardware import DWaveProjector, mock_annealer
        >>> projector = DWaveProjector(mock_annealer("chimera", (2, 2, 4)), num_reads=10)
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> projector(X, T).tolist()
        [[1, 1, 1]]
    """

    def __init__(
        self,
        sampler: dimod.Sampler | None = None,
        *,
        profile: str | None = None,
        solver: str | None = None,
        region: str | None = None,
        num_reads: int = 100,
        annealing_time: float | None = None,
        sample_kwargs: Mapping[str, Any] | None = None,
        reverse_schedule: Sequence[tuple[float, float]] | None = None,
        extended_j_range: bool = True,
        chain_strength: ChainStrength | None = None,
        max_copies: int | None = None,
        polish: bool = False,
        budget_us: float | None = None,
        ledger: Path | str | None = None,
        on_unembeddable: OnUnembeddable = "error",
        on_failure: OnFailure = "retry",
        max_retries: int = 3,
        retry_wait: float = 1.0,
        target_eps: float = DEFAULT_TARGET_EPS,
        penalty_factor: float = 1.1,
        num_threads: int | None = None,
        log: Path | str | None = None,
        run: str = "run",
        cache: Path | str | None = None,
    ) -> None:
        if sampler is not None and (profile, solver, region) != (None, None, None):
            raise ValueError(
                "profile, solver and region apply without a sampler only: remove them, or sampler"
            )
        options = CallOptions(
            num_reads=num_reads,
            parameters={},
            chain_strength=chain_strength,
            polish=polish,
            on_unembeddable=on_unembeddable,
            on_failure=on_failure,
            max_retries=max_retries,
            retry_wait=retry_wait,
            target_eps=target_eps,
            penalty_factor=penalty_factor,
            num_threads=num_threads,
            run=run,
        )
        if max_copies is not None:
            checked_count("max_copies", max_copies, 1)
        self.log = None if log is None else Path(log)
        self.budget = Budget(budget_us, None if ledger is None else Path(ledger))
        self.last_calls: list[dict[str, Any]] = []
        if self.log is not None:
            with self.log.open("a"):  # raise now if the log cannot be written
                pass
        device = connect(profile, solver, region) if sampler is None else sampler
        #: Closes the client of a sampler that nobody else has, at the latest with the projector.
        self._close = weakref.finalize(self, device.close) if sampler is None else None
        if self._close is not None:
            self._close.atexit = False  # the end of a process need not wait for problems
        try:
            self.machine = Machine(device, extended_j_range=extended_j_range)
            check_range(self.machine.properties, "num_reads", num_reads)
            parameters = self.machine.checked_parameters(
                sample_kwargs or {},
                annealing_time=annealing_time,
                reverse_schedule=reverse_schedule,
            )
        except BaseException:
            self.close()
            raise
        self.options = replace(options, parameters=parameters)
        self.layouts = Layouts(
            self.machine,
            None if cache is None else Path(cache),
            max_copies,
            has_ancilla=bool(parameters.get("fast_anneal")),
        )
        self._answered: Call | None = None  # the last call that has an answer
        can_retrieve = Service(self.machine.sampler).can_retrieve
        leftovers = Leftovers(self.budget.problems, can_retrieve=can_retrieve)
        self._delivery = CallDelivery(self.machine.sampler, self.budget, leftovers)
        self._num_projections = itertools.count()
        self._warn = OnceWarner()

    def __call__(
        self,
        X: npt.NDArray[np.float32],
        T: npt.NDArray[np.float32],
        options: ProjectionOptions | None = None,
        /,
    ) -> Spins:
        """Solve the problems of one layer; :class:`qpsbgd.Projector` describes the arguments."""
        X, T = checked_layer(X, T)
        step = next(self._num_projections)
        layer = LayerProblem("layer", step, X, T, options or ProjectionOptions())
        (binary,) = self.project_step([layer])
        return binary

    def project_step(self, layers: Sequence[LayerProblem]) -> list[Spins]:
        """Solve the problems of all layers of a step; send all calls, then wait for the answers.

        A step that raises can be taken again, also by a later process with the same ledger: calls
        that were answered, or may still be answered, are not repeated. An interrupt (Ctrl-C)
        cancels the problems that wait in the machine's queue. Threads may share a projector.

        Args:
            layers: problems of each layer.

        Returns:
            Binary gradients, int8 ``(m, n)`` of +-1, one per layer.

        Raises:
            UnembeddableError: a layer does not fit the machine.
            ValueError: the solver has changed, and the new one refuses a parameter.
            BudgetExceededError: the step may exceed the budget, and nothing was sent; or another
                attempt at a call would exceed it.
            CallError: a call has no answer.
        """
        self.machine.check_again(self.options.parameters)
        works = [
            LayerCalls(layer, self.machine, self.layouts, self.options, self._warn)
            for layer in layers
        ]
        calls = [call for work in works for call in work.calls]
        self.last_calls = [call.record for call in calls]
        try:
            self._delivery.deliver(calls, layers[0].step if layers else 0, self.options)
            # All answers are read before an error is raised, so that the records have them.
            errors = [work.receive(call) for work in works for call in work.calls]
            for error in errors:
                if error is not None:
                    raise error
            binaries = [work.finish() for work in works]
            self._delivery.finish(calls)
        except BaseException as error:
            self._delivery.store(calls, is_interrupt=not isinstance(error, Exception))
            raise
        finally:
            for call in calls:
                call.write_record(self.log)
                self._answered = self._answered if call.answer is None else call
        return binaries

    def solve_call(self, call: Call) -> dimod.SampleSet:
        """Return the answer of one call that belongs to no step, and count its time as spent.

        Raises:
            BudgetExceededError: the call may exceed the budget, and was not sent.
            CallError: the call has no answer.
        """
        try:
            self._delivery.deliver([call], 0, self.options)
            submission = call.submission
            assert submission is not None
            if submission.error is not None:
                raise submission.error
            assert submission.sampleset is not None
            self.budget.forget(set(submission.names))
            return submission.sampleset
        except BaseException as error:
            self._delivery.store([call], is_interrupt=not isinstance(error, Exception))
            raise

    @property
    def last_call(self) -> dict[str, Any]:
        """Last call that has an answer, as arguments of D-Wave's problem inspector.

        ``dwave.inspector.show(**projector.last_call)`` opens it.
        :func:`~qpsbgd.hardware.inspection.inspector_arguments` describes the entries.

        Raises:
            RuntimeError: no call has an answer yet.
        """
        if self._answered is None or self._answered.answer is None:
            raise RuntimeError("no call has an answer yet: take a step first")
        return inspector_arguments(
            self._answered.problem, self._answered.answer, self.machine.sampler
        )

    @property
    def polish(self) -> bool:
        """Whether native descent improves the answers; the optimiser asks before a step."""
        return self.options.polish

    @property
    def target_eps(self) -> float:
        """Tie rule of the sign objective, which the optimiser's statistics use as well."""
        return self.options.target_eps

    def close(self) -> None:
        """Close the sampler, if the projector made it."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> "DWaveProjector":
        """Return the projector, which the end of the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the sampler, if the projector made it."""
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "DWaveProjector":
        """Return the projector itself: copies of an optimiser share its machine and its budget."""
        return self
