"""Compare the copies of cliques that are packed with those of Ocean's functions.

The output is a Markdown table. For this package: copies, the longest chain, and processor seconds
to pack. For Ocean: the same of `find_multiple_embeddings`; copies count if their chains are no
longer than ours. Its embedder is minorminer; for n = 4 on Pegasus and Zephyr, its default embedder,
which uses chains of one qubit, runs as well, and the row has the better of both. Every packing of
ours is verified. The last line counts the rows in which Ocean has more copies.

    python bench/embedding.py          # four graphs, n = 4, 8 and 16
    python bench/embedding.py --full   # six graphs, n = 4, 6, 8, 16, 32 and 64
"""

import argparse
import random
import time

import minorminer
import networkx as nx
from minorminer.utils import parallel_embeddings
from minorminer.utils.parallel_embeddings import find_multiple_embeddings

from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import check_packing, ideal_graph, pack_cliques

#: Topology, share of missing qubits, and share of the other couplers that is missing.
GRAPHS = {
    "Z12": ("zephyr", 0.0, 0.0),
    "Z12, 4512 qubits": ("zephyr", 0.06, 0.002),
    "P16": ("pegasus", 0.0, 0.0),
    "P16, 1 % missing": ("pegasus", 0.01, 0.01),
    "C16": ("chimera", 0.0, 0.0),
    "C16, 3 % missing": ("chimera", 0.03, 0.03),
}
QUICK = [name for name in GRAPHS if "," in name or name == "Z12"]


def damaged(graph, dead_qubits, missing_couplers, seed=0):
    rng = random.Random(seed)
    graph = graph.copy()
    graph.remove_nodes_from(rng.sample(sorted(graph), round(dead_qubits * len(graph))))
    edges = sorted(map(tuple, map(sorted, graph.edges)))
    graph.remove_edges_from(rng.sample(edges, round(missing_couplers * len(edges))))
    return graph


def embed(source, target):
    return minorminer.find_embedding(source, target, random_seed=0, threads=1)


def ocean(graph, n, timeout):
    """Yield the name of an embedder, its copies, and its processor seconds."""
    source = nx.complete_graph(n)
    family = graph.graph["family"]
    options = {"max_num_emb": None, "one_to_iterable": True, "timeout": timeout}
    searches = {
        "minorminer": lambda: find_multiple_embeddings(source, graph, embedder=embed, **options)
    }
    if n == 4 and family != "chimera":
        searches["subgraph"] = lambda: [
            {v: (qubit,) for v, qubit in copy.items()}
            for copy in find_multiple_embeddings(source, graph, max_num_emb=None, timeout=timeout)
        ]
    for name, search in searches.items():
        begin = time.process_time()
        copies = search()
        yield name, copies, time.process_time() - begin


def longest(copy):
    return max(map(len, copy.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all graphs and sizes")
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, help="names of graphs")
    parser.add_argument("--variables", type=int, nargs="+", help="numbers of variables")
    parser.add_argument("--timeout", type=float, default=100, help="CPU s for each of Ocean's")
    parser.add_argument("--effort", type=int, default=1, help="rounds of improvement of ours")
    args = parser.parse_args()
    graphs = args.graphs or (GRAPHS if args.full else QUICK)
    sizes = args.variables or ([4, 6, 8, 16, 32, 64] if args.full else [4, 8, 16])
    # Ocean's time limits count processor seconds, so that a busy machine costs it no copies.
    parallel_embeddings.perf_counter = time.process_time
    print("| graph | n | copies | longest chain | CPU s | Ocean | longest chain | CPU s | by |")
    print("|---|---|---|---|---|---|---|---|---|")
    num_behind = 0
    for name in graphs:
        topology, dead_qubits, missing_couplers = GRAPHS[name]
        graph = damaged(ideal_graph(topology), dead_qubits, missing_couplers)
        for n in sizes:
            begin = time.process_time()
            try:
                packing = pack_cliques(graph, n, effort=args.effort, timeout=1000)
            except UnembeddableError:
                print(f"| {name} | {n} | 0 | | | | | | |", flush=True)
                continue
            seconds = time.process_time() - begin
            check_packing(packing, graph)
            rows = []
            for way, copies, its_seconds in ocean(graph, n, args.timeout):
                lengths = [longest(copy) for copy in copies]
                lengths = [length for length in lengths if length <= packing.longest_chain]
                rows.append((len(lengths), -max(lengths, default=0), its_seconds, way))
            theirs, chain, its_seconds, way = max(rows)
            num_behind += theirs > packing.num_copies
            print(
                f"| {name} | {n} | {packing.num_copies} | {packing.longest_chain} | {seconds:.1f} "
                f"| {theirs} | {-chain} | {its_seconds:.1f} | {way} |",
                flush=True,
            )
    print(f"\nOcean has more copies in {num_behind} rows.")


if __name__ == "__main__":
    main()
