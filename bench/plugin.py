"""D-Wave's PyTorch plugin row by row, against qpsbgd.plugin: conditional samples, and a layer.

Samples: the plugin's DimodSampler makes a BQM of every row of a batch and samples it: with
dwave-samplers' annealer, with ours, and against BatchSampler, which solves the batch in one call.
All make one read a row of so many Metropolis sweeps at inverse temperature 1, on one thread by
default, and return last states, so that mean energies must agree. complete-64 and complete-512:
half of the units are known in all rows. missing-64: each row lacks other units. zephyr-6: the graph
of the plugin's example, whose units of one colour are unknown and hence not connected;
zephyr-6-half: half of the units. DimodSampler does --peer rows a round, BatchSampler --rows. Most
of DimodSampler's time goes to making BQMs, so that the sampling alone that dwave-samplers reports
is compared too.

layer-64 and layer-zephyr-2: forward and backward pass of the plugin's Ising layer with
dwave-samplers, and of ours, for a batch of 64 models with couplings of their own and 100 reads of
--sweeps Gibbs sweeps each. The squared difference of the layers' mean gradients must be as large as
the spread of the gradients over the rounds says.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from dwave import graphs
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
from dwave.plugins.torch.nn.modules.ising import Ising as PluginIsing
from dwave.plugins.torch.samplers import DimodSampler
from dwave.samplers import SimulatedAnnealingSampler as PeerSampler

import qpsbgd
from qpsbgd.plugin import BatchSampler, Ising


def complete(n):
    return list(range(n)), [(i, j) for i in range(n) for j in range(i + 1, n)]


def zephyr(size=6):
    graph = graphs.zephyr_graph(size)
    return list(graph.nodes), list(graph.edges)


def half(generator, rows, nodes):
    unknown = torch.randperm(len(nodes), generator=generator)[: len(nodes) // 2]
    return torch.zeros((rows, len(nodes))).index_fill(1, unknown, torch.nan)


def each_its_own(generator, rows, nodes):
    unknown = torch.rand((rows, len(nodes)), generator=generator) < 0.5
    return torch.zeros((rows, len(nodes))).masked_fill(unknown, torch.nan)


def one_colour(generator, rows, nodes):
    to_zephyr = graphs.zephyr_coordinates(6).linear_to_zephyr
    colours = [graphs.zephyr_four_color(to_zephyr(node)) for node in nodes]
    unknown = torch.tensor([colour == 0 for colour in colours])
    return torch.zeros((rows, len(nodes))).masked_fill(unknown, torch.nan)


CASES = {
    "complete-64": (lambda: complete(64), half),
    "complete-512": (lambda: complete(512), half),
    "missing-64": (lambda: complete(64), each_its_own),
    "zephyr-6": (zephyr, one_colour),
    "zephyr-6-half": (zephyr, half),
}


LAYERS = {
    "layer-64": lambda: complete(64),
    "layer-zephyr-2": lambda: zephyr(2),
}


class Timed:
    """A dimod sampler that adds up the sampling that it reports."""

    def __init__(self, sampler):
        self.sampler, self.seconds = sampler, 0.0

    def sample(self, bqm, **options):
        result = self.sampler.sample(bqm, **options)
        self.seconds += result.info["timing"]["sampling_ns"] * 1e-9
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = [*CASES, *LAYERS]
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--peer", type=int, default=20)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.cases:
        (compare_layers if name in LAYERS else compare_samplers)(name, args)


def compare_samplers(name, args):
    schedule = {"num_sweeps": args.sweeps, "beta_range": (1.0, 1.0)}
    ours = schedule | {"keep": "final", "num_threads": args.threads}
    # The rule of dwave-samplers' default.
    batch = ours | {"proposal_acceptance_criteria": "Metropolis"}
    make, unknown = CASES[name]
    nodes, edges = make()
    torch.manual_seed(0)
    grbm = GraphRestrictedBoltzmannMachine(nodes, edges)
    generator = torch.Generator().manual_seed(0)
    spins = 2.0 * torch.randint(2, (args.rows, len(nodes)), generator=generator) - 1
    x = spins + unknown(generator, args.rows, nodes)  # NaN stays NaN
    peer = Timed(PeerSampler())
    samplers = {
        "batch": BatchSampler(grbm, "sa", 1.0, sample_kwargs=batch, seed=0),
        "dwave": DimodSampler(grbm, peer, 1.0, sample_kwargs=schedule),
        "own": DimodSampler(
            grbm, qpsbgd.SimulatedAnnealingSampler(), 1.0, sample_kwargs=ours
        ),
    }  # fmt: skip
    seconds = {key: [] for key in samplers}
    energies = {key: [] for key in samplers}
    for _ in range(args.rounds):
        for key, sampler in samplers.items():
            rows = x if key == "batch" else x[: args.peer]
            begin = time.perf_counter()
            samples = sampler.sample(rows)
            seconds[key].append((time.perf_counter() - begin) / len(rows))
            energies[key].append(grbm(samples[: args.peer, 0]).mean().item())
    ratio = {key: statistics.median(np.divide(seconds[key], seconds["batch"])) for key in samplers}
    alone = peer.seconds / (args.rounds * args.peer) / statistics.mean(seconds["batch"])
    means = ", ".join(f"{np.mean(energies[key]):.5g}" for key in ("batch", "dwave", "own"))
    # Standard error of the mean difference, from its spread over rounds.
    error = np.std(np.subtract(energies["batch"], energies["dwave"]), ddof=1)
    error /= args.rounds**0.5
    print(
        f"{name}: {statistics.median(seconds['batch']) * 1e6:.3g} us a row; DimodSampler with "
        f"dwave-samplers {ratio['dwave']:.3g} times as long, its sampling alone {alone:.3g}, "
        f"with our annealer {ratio['own']:.3g}; mean energies {means} (differences "
        f"+-{error:.2g})"
    )


def compare_layers(name, args):
    nodes, edges = LAYERS[name]()
    batch = 64
    generator = torch.Generator().manual_seed(0)
    scale = (2 * len(edges) / len(nodes)) ** -0.5  # fields of the size of the linear biases
    linear = torch.randn((batch, len(nodes)), generator=generator)
    quadratic = scale * torch.randn((batch, len(edges)), generator=generator)
    weights = torch.randn((batch, len(nodes)), generator=generator)
    params = {
        "num_reads": 100, "num_sweeps": args.sweeps, "beta_range": (1.0, 1.0),
        "proposal_acceptance_criteria": "Gibbs",
    }  # fmt: skip
    own = params | {"num_threads": args.threads, "seed": 0}
    layers = {
        "ours": Ising(nodes, edges, qpsbgd.SimulatedAnnealingSampler(), own, 1.0),
        "peer": PluginIsing(nodes, edges, PeerSampler(), params, 1.0),
    }
    passes = {key: {"forward": [], "backward": []} for key in layers}
    gradients = {key: [] for key in layers}
    for _ in range(args.rounds):
        for key, layer in layers.items():
            inputs = [x.clone().requires_grad_() for x in (linear, quadratic)]
            begin = time.perf_counter()
            loss = (weights * layer(*inputs)).sum()
            middle = time.perf_counter()
            loss.backward()
            passes[key]["forward"].append(middle - begin)
            passes[key]["backward"].append(time.perf_counter() - middle)
            gradients[key].append(torch.cat([x.grad for x in inputs], dim=1))
    means = {key: torch.stack(each).mean(dim=0) for key, each in gradients.items()}
    spread = sum(torch.stack(each).var(dim=0) / args.rounds for each in gradients.values())
    excess = ((means["ours"] - means["peer"]).square().sum() / spread.sum()).item()
    both = {key: np.add(each["forward"], each["backward"]) for key, each in passes.items()}
    times = "; ".join(
        f"{part} {1e3 * min(passes['ours'][part]):.3g} ms, "
        f"the plugin's {1e3 * min(passes['peer'][part]):.4g} ms"
        for part in ("forward", "backward")
    )
    print(
        f"{name}: {times}; the plugin's takes {statistics.median(both['peer'] / both['ours']):.3g} "
        f"times as long; squared difference of the gradients {excess:.3f} of that expected"
    )
    if not 0.8 < excess < 1.2:
        raise SystemExit(f"{name}: the gradients differ by more than their sampling error")


if __name__ == "__main__":
    main()
