"""Base classes of the samplers: parameters, and methods for arrays and for many models."""

import inspect
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Any, ClassVar, Literal, cast, get_args, get_type_hints

import dimod

from qpsbgd.samplers.batch.batch_options import Method
from qpsbgd.samplers.call.sample_arrays import SampleArrays
from qpsbgd.samplers.many_models import sample_models
from qpsbgd.samplers.problem.array_model import ArrayModel


class CoreSampler(dimod.Sampler):
    """dimod sampler whose work the C++ core does.

    A subclass defines :meth:`sample` and ``option_properties``. ``parameters`` and ``properties``
    follow from these: the parameters are those of :meth:`sample`, and the options of a parameter
    are the words in its annotation.
    """

    #: Name of the property that lists the options of a parameter, by name of the parameter.
    option_properties: ClassVar[dict[str, str]] = {}
    #: Name of the method in :func:`qpsbgd.sample_batch`, if there is one.
    batch_method: ClassVar[Method | None] = None
    _signature: ClassVar[dict[str, Any]] = {}

    # dimod.Sampler declares both as abstract.
    parameters: dict[str, list[str]] = {}  # noqa: RUF012
    properties: dict[str, Any] = {}  # noqa: RUF012

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the signature of :meth:`sample` of a class that names its options."""
        super().__init_subclass__(**kwargs)
        if "option_properties" in vars(cls):
            hints = get_type_hints(cls.sample)
            cls._signature = {
                name: hints[name]
                for name, parameter in inspect.signature(cls.sample).parameters.items()
                if name not in ("self", "bqm") and parameter.kind is not parameter.VAR_KEYWORD
            }

    def __init__(self) -> None:
        names = self.option_properties
        self.parameters = {name: [names[name]] if name in names else [] for name in self._signature}
        self.properties = {names[name]: _options(self._signature[name]) for name in names}

    def sample_many(
        self,
        bqms: Iterable[dimod.BinaryQuadraticModel],
        *,
        executor: Executor | None = None,
        **options: Any,
    ) -> list[dimod.SampleSet]:
        """Sample from many models.

        The annealer, tabu search and descent solve the models in as few calls of the core as
        possible if they may (docs/batch.md lists the options that allow it). Otherwise, and with
        all other samplers, this is a loop over :meth:`sample`.

        Args:
            bqms: models of any vartype, size and labels.
            executor: a ``concurrent.futures.Executor`` whose workers solve the models; it takes no
                ``interrupt_function`` and no ``progress``.
            **options: options of :meth:`sample`. ``time_limit`` is for all models: each gets an
                equal part of the time that is left, or, with an executor, the whole.
                ``initial_states`` is a list with one entry for each model. Each model has random
                numbers of its own, which follow from ``seed`` and from its position. Later models
                do not change them, but the default temperatures of a batch depend on all models.

        Returns:
            A sample set for each model, in its vartype and with its labels. A sample set from a
            batch has the ``info`` of :func:`qpsbgd.sample_batch`. Any other has the ``info`` of
            :meth:`sample`.

        Raises:
            TypeError: one of ``bqms`` is not a binary quadratic model, or an option is of the
                wrong type.
            ValueError: a NaN or infinite bias, or a value out of range.
            KeyboardInterrupt: Ctrl-C. Its attribute ``samplesets`` has the sample set of each
                model, or None for a model that was not begun.

        Example:
            >>> import dimod
            >>> from qpsbgd import TabuSampler
            >>> models = [dimod.BQM({"a": bias}, {}, 0.0, "SPIN") for bias in (1.0, -2.0)]
            >>> [float(found.first.energy) for found in TabuSampler().sample_many(models, seed=1)]
            [-1.0, -2.0]
        """
        # A warning of unknown options names the caller's line.
        options = self.remove_unknown_kwargs(**options)
        return sample_models(self, bqms, self.batch_method, executor, options)

    def sample_arrays(
        self,
        h: Any,
        J: Any,
        *,
        offset: float = 0.0,
        vartype: Literal["SPIN", "BINARY"] | dimod.Vartype = "SPIN",
        **options: Any,
    ) -> SampleArrays:
        """Sample from a model that is given as arrays, without making a dimod model.

        The energy of a state v is ``h.v + sum of J_ij v_i v_j over all pairs i < j + offset``. J is
        either symmetric, in which case both entries of a pair are its coupling, or has all its
        entries in one triangle. Any other matrix is refused, because it is not clear whether the
        two entries of a pair are to be added.

        Args:
            h: linear biases, real ``(n,)``.
            J: couplings, real ``(n, n)`` with a zero diagonal: a NumPy array, which may be
                memory-mapped, a torch tensor on the CPU, or a matrix or an array of
                ``scipy.sparse`` in any format. A symmetric array of float64 or float32 whose memory
                is contiguous is not copied, and must not change during the call. A triangular or an
                integer array is copied.
            offset: constant part of the energy.
            vartype: ``"SPIN"`` or ``dimod.SPIN`` for variables -1 and +1, ``"BINARY"`` or
                ``dimod.BINARY`` for 0 and 1.
            **options: options of :meth:`sample`. ``initial_states`` may be an array ``(n,)`` or
                ``(k, n)``.

        Returns:
            States, energies and ``info``. For the same options and seed, the states are those of
            :meth:`sample` of the equivalent dimod model with variables 0, 1, ..., n - 1.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: a shape that does not fit; a value out of range; an entry that is NaN,
                infinite or on the diagonal; a J that is neither symmetric nor in one triangle.
            KeyboardInterrupt: Ctrl-C. Its attribute ``result`` is the result so far.

        Example:
            >>> import numpy as np
            >>> from qpsbgd import SimulatedAnnealingSampler
            >>> J = np.array([[0.0, -1.0], [-1.0, 0.0]])
            >>> result = SimulatedAnnealingSampler().sample_arrays([0.5, 0.0], J, seed=1)
            >>> result.states, result.energies
            (array([[-1, -1]], dtype=int8), array([-1.5]))
        """
        model: Any = ArrayModel(h, J, offset, vartype)
        # A warning of unknown options names the caller's line.
        options = self.remove_unknown_kwargs(**options)
        result: Any = self.sample(model, **options)  # SamplerCall tells the two kinds apart
        return cast(SampleArrays, result)


class StateSampler(CoreSampler, dimod.Initialized):
    """Sampler whose reads begin at initial states, with a method for many models at once."""

    batch_method: ClassVar[Method]


def _options(annotation: Any) -> tuple[Any, ...]:
    """Return the words that an annotation allows, or both truth values."""
    if annotation is bool:
        return (True, False)
    if getattr(annotation, "__origin__", None) is Literal:
        return get_args(annotation)
    return tuple(word for part in get_args(annotation) for word in _options(part))
