"""Projections of a step whose samples are divided over the ranks of a process group."""

import copy
import signal
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("torch has no distributed package", allow_module_level=True)

import qpsbgd
import ranks as ranks_module
import reference
from problems import layer as make_layer
from qpsbgd import NativeProjector, ProjectionOptions
from qpsbgd.optim import QPSBGD
from qpsbgd.optim.distributed import Shard, project_shards
from ranks import Ranks, bytes_sent, project

pytestmark = pytest.mark.slow  # starts five processes that import torch

NATIVE = NativeProjector(num_threads=1)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    directory = tmp_path_factory.mktemp("groups")
    made = {size: Ranks(size, directory) for size in (2, 3)}
    yield made
    for group in made.values():
        group.close()


def shard(X, T, *, name="layer", objective="quadratic", alpha="norm", num_sweeps=2):
    shape = (T.shape[1], X.shape[1])
    options = ProjectionOptions(
        objective=objective, scale=0.9, alpha=alpha, num_sweeps=num_sweeps, seed=5
    )
    return Shard(name, shape, (X, T), options)


def divided(shards, counts):
    """Return the shards of each rank; their samples are None if the rank has none."""
    ends = np.cumsum(counts)
    result = []
    for end, count in zip(ends, counts, strict=True):
        own = []
        for whole in shards:
            X, T = (a[end - count : end] for a in whole.samples)
            own.append(Shard(**{**vars(whole), "samples": (X, T) if len(X) else None}))
        result.append(own)
    return result


def assert_same(gradients, expected):
    for gradient in gradients:
        assert not isinstance(gradient, BaseException), gradient
        for ours, theirs in zip(gradient, expected, strict=True):
            assert ours.binary.dtype == np.int8
            assert ours.binary.shape == theirs[0].shape
            assert ours.binary.tobytes() == theirs[0].tobytes()
            assert ours.reached.tolist() == theirs[1].tolist()
            if len(theirs) > 2:
                assert ours.seen.tolist() == theirs[2].tolist()


@pytest.mark.parametrize("counts", [(20, 20), (1, 39), (13, 7, 20), (0, 25, 15)])
@pytest.mark.parametrize(
    "projector",
    [NATIVE, NativeProjector(num_threads=2, num_reads=3, beta_range=(0.1, 2.0), initial="random")],
    ids=["descent", "annealing"],
)
@pytest.mark.parametrize("alpha", ["norm", "fit"])
def test_gathered_samples_are_one_rank(rng, groups, counts, projector, alpha):
    wholes = []
    # Fields and residuals; more ranks than neurons.
    for neurons, inputs, objective in ((50, 9, "quadratic"), (7, 70, "quadratic"), (2, 9, "sign")):
        X, T = make_layer(rng, 40, inputs, neurons)
        T[:, 1] = 0
        T[: counts[0], 0] = 0  # another rank's alone
        X[:, 2] = 0
        X[counts[0] :, 3] = 0  # the first rank's alone
        name = f"of {neurons}"
        wholes.append(shard(X, T, name=name, objective=objective, alpha=alpha))
    expected = [
        (
            projector(*whole.samples, whole.options),
            whole.samples[1].any(axis=0),
            whole.samples[0].any(axis=0),
        )
        for whole in wholes
    ]
    arguments = [(own, projector, "gather") for own in divided(wholes, counts)]
    assert_same(groups[len(counts)].run(project, arguments), expected)


@pytest.mark.parametrize("counts", [(20, 20), (1, 39), (13, 7, 20), (0, 25, 15)])
@pytest.mark.parametrize(("num_reads", "alpha"), [(1, "norm"), (1, "fit"), (3, "norm")])
def test_sums_of_integral_data_are_one_rank(rng, groups, counts, num_reads, alpha):
    projector = NativeProjector(num_threads=1, num_reads=num_reads)
    wholes = []
    for neurons, inputs in ((50, 9), (7, 70), (2, 9)):
        X, T = (np.rint(3 * a) for a in make_layer(rng, 40, inputs, neurons))
        T[:, 1] = 0
        X[:, 2] = 0
        wholes.append(shard(X, T, alpha=alpha))
    expected = [
        (
            reference.project_products(
                *reference.products(*whole.samples), 40, scale=0.9, alpha=alpha,
                num_sweeps=2, seed=5, num_reads=num_reads,
            ),
            whole.samples[1].any(axis=0),
            whole.samples[0].any(axis=0),
        )
        for whole in wholes
    ]  # fmt: skip
    assert_same([project(wholes, projector, "gram")], expected)  # in this process
    arguments = [(own, projector, "gram") for own in divided(wholes, counts)]
    assert_same(groups[len(counts)].run(project, arguments), expected)


def test_sums_of_real_data_are_close_to_one_rank(rng, groups):
    whole = shard(*make_layer(rng, 400, 30, 50))
    [(expected, _, _)] = project([whole], NATIVE, "gram")
    found = groups[2].run(project, [(own, NATIVE, "gram") for own in divided([whole], (150, 250))])
    assert found[0][0].binary.tobytes() == found[1][0].binary.tobytes()
    assert (found[0][0].binary == expected).mean() > 0.999


def test_a_factor_of_two_changes_nothing(rng, groups):
    X, T = make_layer(rng, 40, 20, 9)
    expected = project([shard(X, T)], NATIVE)
    arguments = [(own, NATIVE) for own in divided([shard(X, 2 * T)], (20, 20))]
    assert_same(groups[2].run(project, arguments), expected)


def test_layers_that_a_rank_or_all_have_not_reached(rng, groups):
    X, T = make_layer(rng, 12, 10, 8)
    both, first, none = shard(X, T), shard(X, T, objective="sign"), shard(X, T)
    own = divided([both], (6, 6))
    nothing = Shard(**{**vars(none), "samples": None})
    only_here = Shard(**{**vars(first), "samples": None})
    empty = Shard(**{**vars(none), "samples": (X[:0], T[:0])})
    found = groups[2].run(
        project, [([nothing, own[0][0], first], NATIVE), ([empty, own[1][0], only_here], NATIVE)]
    )
    expected = project([both, first], NATIVE)
    for gradients in found:
        assert gradients[0] is None
        assert_same([gradients[1:]], expected)
    assert project([nothing], NATIVE) == [None]


@pytest.mark.parametrize(("samples", "inputs", "neurons"), [(40, 30, 8), (400, 10, 30)])
def test_fewer_bytes_are_sent(rng, groups, samples, inputs, neurons):
    whole = shard(*make_layer(rng, samples, inputs, neurons))
    for size, counts in ((2, (samples // 2,) * 2), (3, (samples // 4, samples // 4, samples // 2))):
        own = divided([whole], counts)
        sent = {
            exchange: sum(groups[size].run(bytes_sent, [(o, NATIVE, exchange) for o in own]))
            for exchange in ("gather", "gram", "auto")
        }
        assert sent["auto"] == min(sent["gather"], sent["gram"])
        assert sent["auto"] < max(sent["gather"], sent["gram"])


def spoil(array, value):
    array[0, 1] = value
    return array


@pytest.mark.parametrize("exchange", ["gather", "gram"])
def test_an_error_of_one_rank_is_raised_on_all(rng, groups, exchange):
    X, T = make_layer(rng, 12, 10, 8)
    nan, inf = spoil(T.copy(), np.nan), spoil(X.copy(), np.inf)
    cases = [
        ((X, nan), ValueError, r"layer 'second': T\[0, 1\] is nan"),
        ((inf, T), ValueError, r"layer 'second': X\[0, 1\] is inf"),
        ((X, T[:, 1:]), ValueError, r"layer 'second': X has shape \(12, 10\) and T \(12, 7\)"),
        (RuntimeError("changed in place"), RuntimeError, "layer 'second': changed in place"),
        (TypeError("of another type"), TypeError, "of another type"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ]
    first, second = shard(X, T, name="first"), shard(X, T, name="second")
    for samples, error, message in cases:
        bad = Shard(**{**vars(second), "samples": samples})
        found = groups[3].run(
            project, [([first, own], NATIVE, exchange) for own in (second, bad, second)]
        )
        with pytest.raises(error, match=message):
            raise found[1]
        for rank in (0, 2):
            with pytest.raises(RuntimeError, match="layer 'second' failed on rank 1"):
                raise found[rank]
    # Later errors: of the problem itself, on all ranks that have rows of it.
    far = replace(second, options=replace(second.options, scale=1e-30))
    for error in groups[3].run(project, [([first, far], NATIVE, exchange)] * 3):
        with pytest.raises(ValueError, match="layer 'second': scale is 1e-30, but must lie"):
            raise error
    # The group is as good as before.
    expected = project([first], NATIVE, "gather")
    found = groups[3].run(project, [(own, NATIVE, "gather") for own in divided([first], (4, 4, 4))])
    assert_same(found, expected)


def test_ranks_must_agree(rng, groups):
    X, T = make_layer(rng, 12, 10, 8)
    here = shard(X, T)
    for there in (shard(X, T, num_sweeps=3), shard(X, T, alpha="fit")):
        for error in groups[2].run(project, [([here], NATIVE), ([there], NATIVE)]):
            with pytest.raises(RuntimeError, match="ranks differ in the layer's shape or options"):
                raise error
    for error in groups[2].run(project, [([here], NATIVE), ([here, here], NATIVE)]):
        with pytest.raises(RuntimeError, match=r"ranks have \[1, 2\] binary layers"):
            raise error


def test_another_projector_gets_all_samples_on_one_rank(rng, groups):
    X, T = make_layer(rng, 12, 10, 8)
    T[:, 3] = 0
    expected = [(qpsbgd.project(X, T, scale=0.9, alpha="fit", num_sweeps=2), T.any(0))]
    whole = shard(X, T, alpha="fit")
    arguments = [(own, ranks_module.Other()) for own in divided([whole], (3, 4, 5))]
    assert_same(groups[3].run(project, arguments), expected)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raise", RuntimeError, "layer 'layer': no annealer today"),
        ("shape", ValueError, r"layer 'layer': projector returned ndarray .* must return an int8"),
    ],
)
def test_an_error_of_another_projector_is_raised_on_all(rng, groups, fault, error, message):
    own = divided([shard(*make_layer(rng, 12, 10, 8))], (6, 6))
    found = groups[2].run(project, [(layers, ranks_module.Other(fault)) for layers in own])
    with pytest.raises(error, match=message):
        raise found[0]
    with pytest.raises(RuntimeError, match="layer 'layer' failed on rank 0"):
        raise found[1]


@pytest.mark.slow
def test_a_killed_rank_ends_the_others(rng, tmp_path):
    group = Ranks(3, tmp_path)
    try:
        layers = [shard(*make_layer(rng, 12, 10, 8))]
        group.run(project, [(layers, NATIVE)] * 3)
        found = group.run(ranks_module.project_or_die, [(layers, 1)] * 3, timeout=60)
        assert isinstance(found[1], EOFError)
        for rank in (0, 2):
            with pytest.raises(RuntimeError, match=r"(?i)connection closed|connection reset"):
                raise found[rank]
        group.processes[1].join(10)
        assert group.processes[1].exitcode == -signal.SIGKILL
    finally:
        group.close()


def test_bad_arguments(rng):
    layers = [shard(*make_layer(rng, 4, 3, 2))]
    with pytest.raises(ValueError, match="exchange is 'fewer', but must be 'auto' or 'gather'"):
        project_shards(layers, NATIVE, exchange="fewer")
    with pytest.raises(ValueError, match="layer 'layer': beta_range is 'auto', but ranks"):
        project(layers, NativeProjector(beta_range="auto"))
    with pytest.raises(ValueError, match="objective is 'cubic'"):
        shard(*make_layer(rng, 4, 3, 2), objective="cubic")
    with pytest.raises(ValueError, match="alpha is 'long'"):
        shard(*make_layer(rng, 4, 3, 2), alpha="long")


def integral_batches(count, size):
    """Return batches with inputs -1, 0 and 1, for which all sums of a forward pass are exact."""
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randint(-1, 2, (size, 12), generator=generator).double(),
            torch.randint(4, (size,), generator=generator),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "ddp"])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "objective": "sign"},
        {"lr": 0.1, "projector": NativeProjector(num_reads=2, beta_range=(0.1, 2.0))},
    ],
    ids=["quadratic", "momentum", "sign", "annealing"],
)
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_with_a_share_of_the_batch_step_as_one_with_all(groups, net, wrap, options, size):
    net = net.double()  # T is rounded to float32 from sums that differ in their last bits only
    # One process remembers the samples of past steps, ranks do not.
    options = {**options, "memory": 0}
    batches = integral_batches(6, 18)
    alone = ranks_module.train(0, 1, net, batches, False, options)
    results = groups[size].run(
        ranks_module.train, [(rank, size, net, batches, wrap, options) for rank in range(size)]
    )
    assert not torch.equal(alone["first.weight"], net.first.weight)
    for weights in results:
        assert not isinstance(weights, BaseException), weights
        assert {k: v.numpy().tobytes() for k, v in weights.items()} == {
            k: v.numpy().tobytes() for k, v in alone.items()
        }


@pytest.mark.parametrize("bounds", [(0, 60, 120), (0, 1, 120), (0, 0, 120), (0, 40, 80, 120)])
def test_ranks_choose_the_scale_of_one_process(groups, net, bounds):
    net = net.double()
    batches = integral_batches(6, 120)
    options = {"lr": 0.1, "projector": NATIVE}
    alone = ranks_module.train_states(0, 1, net, batches, options, (0, 120))
    size = len(bounds) - 1
    results = groups[size].run(
        ranks_module.train_states,
        [(rank, size, net, batches, options, bounds) for rank in range(size)],
    )
    assert all(len(cosines) == 5 for cosines in alone[2])
    for result in results:
        assert not isinstance(result, BaseException), result
        assert result[1:] == alone[1:]
        for own, expected in zip(result[0], alone[0], strict=True):
            assert torch.equal(own, expected)


def test_ranks_have_no_memory_of_past_samples(groups, net):
    batches = integral_batches(12, 2)
    options = {"lr": 0.1, "projector": NATIVE}
    alone = ranks_module.train_states(0, 1, net.double(), batches, {**options, "memory": 0}, (0, 2))
    results = groups[2].run(
        ranks_module.train_states,
        [(rank, 2, net.double(), batches, options, (0, 1, 2)) for rank in range(2)],
    )
    for result in results:
        assert not isinstance(result, BaseException), result
        assert all(torch.equal(*pair) for pair in zip(result[0], alone[0], strict=True))


def test_ranks_use_all_samples_whatever_max_samples_is(groups, net):
    net = net.double()
    batches = integral_batches(3, 18)
    options = {"lr": 0.1, "memory": 0}
    alone = ranks_module.train(0, 1, net, batches, False, options)
    options["max_samples"] = 2
    results = groups[2].run(
        ranks_module.train, [(rank, 2, net, batches, False, options) for rank in range(2)]
    )
    for weights in results:
        assert not isinstance(weights, BaseException), weights
        assert torch.equal(weights["first.weight"], alone["first.weight"])
        assert torch.equal(weights["second.weight"], alone["second.weight"])


def test_a_rank_without_samples_steps_with_the_others(groups, net):
    net = net.double()
    batches = integral_batches(3, 1)  # one sample: it is the last rank's
    results = groups[2].run(
        ranks_module.train, [(rank, 2, net, batches, False, {"lr": 0.1}) for rank in range(2)]
    )
    alone = ranks_module.train(0, 1, net, batches, False, {"lr": 0.1, "memory": 0})
    for weights in results:
        assert not isinstance(weights, BaseException), weights
        assert torch.equal(weights["first.weight"], alone["first.weight"])


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "ddp"])
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_direct_gradients_of_a_rank_and_a_layer_that_it_does_not_reach(
    groups, net, wrap, objective
):
    net = net.double()
    batches = integral_batches(4, 6)
    # Without sweeps the step depends on the sums alone, but not on how they are made of samples.
    options = {"lr": 0.1, "objective": objective, "num_sweeps": 0, "memory": 0}
    alone = ranks_module.train_with_penalty(0, 1, net, batches, False, options)
    results = groups[2].run(
        ranks_module.train_with_penalty,
        [(rank, 2, net, batches, wrap, options) for rank in range(2)],
    )
    for weights in results:
        assert not isinstance(weights, BaseException), weights
        for name in ("first.weight", "second.weight"):
            assert not torch.equal(weights[name], dict(net.named_parameters())[name])
            torch.testing.assert_close(weights[name], alone[name])


def test_ranks_with_other_learning_rates_are_told(groups, net):
    batches = integral_batches(1, 4)
    results = groups[2].run(
        ranks_module.train,
        [(rank, 2, net.double(), batches, False, {"lr": lr}) for rank, lr in enumerate((0.1, 0.2))],
    )
    for error in results:
        assert isinstance(error, RuntimeError)
        assert "ranks differ in the layer's shape or options" in str(error)


def test_ranks_that_begin_differently_are_told(groups, net):
    other = type(net)()
    batches = integral_batches(1, 4)
    results = groups[2].run(
        ranks_module.train,
        [(rank, 2, model.double(), batches, False, {}) for rank, model in enumerate((net, other))],
    )
    for error in results:
        assert isinstance(error, RuntimeError)
        assert "ranks have different binary weights" in str(error)


def test_ranks_that_resume_differently_are_told(groups, net):
    (batch,) = integral_batches(1, 4)
    net, other = net.double(), type(net)().double()
    trained = QPSBGD(copy.deepcopy(net), lr=0.1, process_group=None)
    state = trained.state_dict()
    state["state"] = {0: {"step": 1}, 1: {"step": 1}}
    for message, arguments in {
        "ranks have different binary weights": [(net, batch, state), (other, batch, state)],
        "ranks differ in the layer's shape or options": [(net, batch, state), (net, batch, None)],
    }.items():
        for error in groups[2].run(ranks_module.resume, arguments):
            assert isinstance(error, RuntimeError)
            assert message in str(error)
