"""Compare the host time of a layer on an annealer with Ocean's composites; estimate access times.

The machine is a P16 that answers at once with random states. What remains is the time to build the
problem on the qubits, to check and read the answer, and to compare it with the linear minimiser.
The other candidate is a loop over the neurons with ``FixedEmbeddingComposite``. It gets the first
copy's embedding, so that it does not search for one, and each neuron gets its best sample. Both run
alternately in one process.
"""

import argparse
import json
import statistics
import time

import dimod
import numpy as np
from dwave.system import FixedEmbeddingComposite

import qpsbgd
from qpsbgd.hardware import DWaveProjector, mock_annealer, plan


class Instant(dimod.Sampler, dimod.Structured):
    """Sampler that answers problems on a machine's graph at once with random states."""

    nodelist = edgelist = properties = None  # set to those of the machine
    parameters = {"num_reads": [], "label": []}  # noqa: RUF012

    def __init__(self, machine, num_reads):
        self.nodelist, self.edgelist = machine.nodelist, machine.edgelist
        self.properties = machine.properties
        self._states = np.random.default_rng(0).choice(
            np.array([-1, 1], np.int8), (num_reads, max(machine.nodelist) + 1)
        )

    def sample(self, bqm, **kwargs):
        labels = list(bqm.variables)
        return dimod.SampleSet.from_samples(
            (self._states[:, labels], labels), vartype="SPIN", energy=0.0
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=64)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--reads", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    machine = Instant(mock_annealer(), args.reads)
    rng = np.random.default_rng(0)
    figures = {}
    for inputs in (8, 16, 32, 64):
        X = rng.normal(size=(args.samples, inputs)).astype(np.float32)
        T = rng.normal(size=(args.samples, args.neurons)).astype(np.float32)
        ours = DWaveProjector(machine, num_reads=args.reads)
        ours(X, T)  # searches the embeddings
        packing = ours.layouts.quadratic(inputs)
        embedding = {v: list(chain) for v, chain in packing.embeddings[0].items()}
        theirs = FixedEmbeddingComposite(machine, embedding)
        times = {"ours": [], "theirs": [], "ours, CPU": []}
        for _ in range(args.rounds):
            start, start_cpu = time.perf_counter(), time.process_time()
            binary = ours(X, T)
            times["ours"].append(time.perf_counter() - start)
            times["ours, CPU"].append(time.process_time() - start_cpu)
            start = time.perf_counter()
            bqms = qpsbgd.gradient_bqms(X, T)
            loop = [bqms.decode(theirs.sample(bqm, num_reads=args.reads)) for bqm in bqms]
            times["theirs"].append(time.perf_counter() - start)
            assert binary.shape == np.shape(loop)
        estimate = plan([("layer", (args.neurons, inputs))], args.samples, 1, sampler=machine)
        ratios = np.array(times["theirs"]) / np.array(times["ours"])
        figures[f"{args.neurons} neurons of {inputs} inputs"] = {
            "calls": estimate.calls_per_step,
            "host_ms": 1e3 * statistics.median(times["ours"]),
            "host_cpu_ms": 1e3 * statistics.median(times["ours, CPU"]),
            "times_faster": statistics.median(ratios),
            "access_ms": estimate.access_time_us_per_step / 1e3,
            "access_times_less": estimate.gain,
        }
    if args.json:
        print(json.dumps(figures))
    else:
        for name, row in figures.items():
            print(f"{name:<26}" + "".join(f"{k} {v:8.1f}  " for k, v in row.items()))


if __name__ == "__main__":
    main()
