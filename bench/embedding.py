"""Count the copies of cliques that are packed into ideal graphs and graphs with dead qubits.

The output is a Markdown table: copies, their qubits, the longest chain, processor seconds to pack,
peak memory of a process that does nothing else, and processor seconds to load the packing in a new
process. There is no other program to compare with.
"""

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path

from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import EmbeddingCache, ideal_graph


def damaged(graph, dead_qubits, missing_couplers, seed):
    rng = random.Random(seed)
    graph = graph.copy()
    graph.remove_nodes_from(rng.sample(sorted(graph), round(dead_qubits * len(graph))))
    edges = sorted(map(tuple, map(sorted, graph.edges)))
    graph.remove_edges_from(rng.sample(edges, round(missing_couplers * len(edges))))
    return graph


def packed(folder, topology, n, damage):
    """Return the packing's size, the processor seconds to get it, and the peak memory in MiB."""
    graph = damaged(ideal_graph(topology), *damage)
    begin = time.process_time()
    try:
        packing = EmbeddingCache(folder).cliques(graph, n, graph_id="bench")
    except UnembeddableError:
        return None
    seconds = time.process_time() - begin
    size = packing.num_copies, packing.num_qubits, packing.longest_chain
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return size, seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topologies", nargs="+", default=["pegasus", "zephyr"])
    parser.add_argument("--variables", type=int, nargs="+", default=[8, 16, 32, 64, 128, 180])
    parser.add_argument("--dead-qubits", type=float, nargs="+", default=[0.0, 0.01])
    parser.add_argument("--missing-couplers", type=float, default=0.0, help="of those left")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print("| topology | n | dead | copies | qubits | longest chain | s | MiB | s to load |")
    print("|---|---|---|---|---|---|---|---|---|")
    for topology in args.topologies:
        for n in args.variables:
            for dead in args.dead_qubits:
                row = f"| {topology} | {n} | {dead:.1%} "
                damage = (dead, args.missing_couplers if dead else 0.0, args.seed)
                # Each call has its own process, with its own peak memory and no packings in memory.
                with (
                    tempfile.TemporaryDirectory() as folder,
                    context.Pool(1, maxtasksperchild=1) as pool,
                ):
                    call = (packed, (Path(folder), topology, n, damage))
                    first, again = pool.apply(*call), pool.apply(*call)
                if first is None:
                    print(f"{row}| none | | | | | |", flush=True)
                    continue
                size, seconds, peak = first
                assert again[0] == size
                words = " | ".join(map(str, size))
                print(f"{row}| {words} | {seconds:.1f} | {peak:.0f} | {again[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
