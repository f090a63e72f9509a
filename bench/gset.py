"""Graphs of the G-set, made as its generator makes them.

rudy (G. Rinaldi, 1996) draws from the random numbers of D. E. Knuth's Stanford GraphBase. A seed
therefore names the same graph everywhere. `python bench/gset.py FOLDER` writes the four graphs
below as files of rudy's format; G11, G12 and G2 of the instances in QPSBGD_DATA come out equal.
"""

import argparse
from pathlib import Path

#: Parameters: a random graph's size, density in % and seed, or a torus's rows, columns and seed.
GRAPHS = {
    "G2": ("random", 800, 6, 8002),
    "G11": ("torus", 100, 8, 8001),
    "G12": ("torus", 50, 16, 8002),
    "G55": ("random", 5000, 0.1, 50001),
    "G60": ("random", 7000, 0.07, 70001),
    "G70": ("random", 10000, 0.02, 100001),
    "G81": ("torus", 200, 100, 200001),
}
#: Best known cuts of the large ones.
BEST_KNOWN = {"G55": 10_299, "G60": 14_190, "G70": 9_595, "G81": 14_060}

MASK = 2**31 - 1


class Flip:
    """Random numbers of the Stanford GraphBase: differences of those 24 and 55 places before."""

    def __init__(self, seed):
        self.values = [0] * 56
        before, after = seed & MASK, 1
        self.values[55] = before
        place = 21
        while place:
            self.values[place] = after
            after = (before - after) & MASK
            seed = (0x40000000 if seed & 1 else 0) + (seed >> 1)
            after = (after - seed) & MASK
            before = self.values[place]
            place = (place + 21) % 55
        for _ in range(5):
            self.refill()
        self.next = 54  # the last one is not used

    def refill(self):
        for k in range(1, 56):
            self.values[k] = (self.values[k] - self.values[k + 31 if k < 25 else k - 24]) & MASK

    def below(self, limit):
        """Return a number in [0, limit), all equally likely."""
        while True:
            if self.next == 0:
                self.refill()
                self.next = 55
            value = self.values[self.next]
            self.next -= 1
            if value < 2**31 - 2**31 % limit:
                return value % limit


def listed(neighbours):
    """Return the edges in the order of the files: the last neighbour of a vertex comes first."""
    return [(u, v) for u, near in enumerate(neighbours) for v in reversed(near) if u < v]


def random_graph(n, density, seed):
    """Return the edges and weights 1 of a graph with so many per cent of all pairs."""
    draw, neighbours = Flip(seed), [[] for _ in range(n)]
    missing = int(n * (n - 1) * density / 200 + 0.5)
    while missing:
        u, v = draw.below(n), draw.below(n)
        if u != v and v not in neighbours[u]:
            neighbours[u].append(v)
            neighbours[v].append(u)
            missing -= 1
    edges = listed(neighbours)
    return edges, [1] * len(edges)


def torus(rows, columns, seed):
    """Return the edges and weights -1 and 1 of a grid whose ends join."""
    n = rows * columns
    neighbours = [[] for _ in range(n)]
    along = [(i, i - i % columns + (i + 1) % columns) for i in range(n)]
    for u, v in [*along, *((i, (i + columns) % n) for i in range(n))]:
        neighbours[u].append(v)
        neighbours[v].append(u)
    edges, draw = listed(neighbours), Flip(seed)
    return edges, [2 * draw.below(2) - 1 for _ in edges]


def make(name):
    """Return the number of vertices, the edges and the weights of a graph."""
    kind, first, second, seed = GRAPHS[name]
    if kind == "random":
        return first, *random_graph(first, second, seed)
    return first * second, *torus(first, second, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(BEST_KNOWN))
    args = parser.parse_args()
    for name in args.graphs:
        n, edges, weights = make(name)
        lines = [f"{n} {len(edges)} "]
        lines += [f"{u + 1} {v + 1} {w}" for (u, v), w in zip(edges, weights, strict=True)]
        (args.folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
