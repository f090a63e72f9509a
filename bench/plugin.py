"""Conditional samples of a Boltzmann machine: D-Wave's PyTorch plugin row by row, and BatchSampler.

The plugin's DimodSampler makes a BQM of every row of a batch and samples it: with dwave-samplers'
annealer, with ours, and against qpsbgd.plugin.BatchSampler, which solves the batch in one call. All
make one read a row of so many Metropolis sweeps at inverse temperature 1, on one thread by default,
and return last states, so that mean energies must agree. complete-64 and complete-512: half of the
units are known in all rows. missing-64: each row lacks other units. zephyr-6: the graph of the
plugin's example, whose units of one colour are unknown and hence not connected; zephyr-6-half: half
of the units. DimodSampler does --peer rows a round, BatchSampler --rows. Most of DimodSampler's
time goes to making BQMs, so that the sampling alone that dwave-samplers reports is compared too.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from dwave import graphs
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
from dwave.plugins.torch.samplers import DimodSampler
from dwave.samplers import SimulatedAnnealingSampler as PeerSampler

import qpsbgd
from qpsbgd.plugin import BatchSampler


def complete(n):
    return list(range(n)), [(i, j) for i in range(n) for j in range(i + 1, n)]


def zephyr():
    graph = graphs.zephyr_graph(6)
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
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--peer", type=int, default=20)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    schedule = {"num_sweeps": args.sweeps, "beta_range": (1.0, 1.0)}
    ours = schedule | {"keep": "final", "num_threads": args.threads}
    for name in args.cases:
        make, unknown = CASES[name]
        nodes, edges = make()
        torch.manual_seed(0)
        grbm = GraphRestrictedBoltzmannMachine(nodes, edges)
        generator = torch.Generator().manual_seed(0)
        spins = 2.0 * torch.randint(2, (args.rows, len(nodes)), generator=generator) - 1
        x = spins + unknown(generator, args.rows, nodes)  # NaN stays NaN
        peer = Timed(PeerSampler())
        samplers = {
            "batch": BatchSampler(grbm, "sa", 1.0, sample_kwargs=ours, seed=0),
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
        ratio = {
            key: statistics.median(np.divide(seconds[key], seconds["batch"])) for key in samplers
        }
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


if __name__ == "__main__":
    main()
