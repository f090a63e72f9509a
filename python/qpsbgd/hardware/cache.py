"""Packings kept on disk, and in memory for the steps of a training run.

A file is JSON and is believed no more than an embedder: its schema, what it was made for, its
digest and every chain are checked when it is read. What fails is logged, made anew and replaced.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import networkx as nx

from qpsbgd.atomic import cache_folder, write_atomically
from qpsbgd.hardware.embedding import (
    DEFAULT_TIMEOUT,
    Edges,
    Packing,
    check_packing,
    graph_hash,
    pack_cliques,
    pack_graph,
    source_edges,
)

#: Of the files. To be raised when their form changes, or when packings become better.
SCHEMA = 1

_log = logging.getLogger(__name__)


class EmbeddingCache:
    """Finds a packing once per working graph and problem.

    Any number of processes may share a folder: files are replaced whole. Where nothing can be
    written there, one warning says so, and packings are kept in memory alone.

    Args:
        folder: for the files; ``~/.cache/qpsbgd/embeddings`` (or below ``$XDG_CACHE_HOME``) by
            default. Made when the first packing is stored.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder("embeddings") if folder is None else Path(folder)
        self._memory: dict[tuple[Any, ...], Packing] = {}
        self._warned = False

    def cliques(
        self, graph: nx.Graph, n: int, *, graph_id: str, max_copies: int | None = None
    ) -> Packing:
        """:func:`~qpsbgd.hardware.embedding.pack_cliques`, or what it found before.

        Args:
            graph: working graph. If it is frozen, as those of ``working_graph`` are, a packing in
                memory is found within microseconds; if not, the graph is hashed each time.
            n: variables.
            graph_id: names the solver and its working graph.
            max_copies: no more than these.

        Raises:
            UnembeddableError: not one embedding was found; looked for anew each time.
        """
        source = {"kind": "clique", "num_variables": n, "max_copies": max_copies}
        key = (graph_hash(graph), graph_id, n, max_copies)
        found = self._memory.get(key)
        if found is None:
            found = self._memory[key] = self._load_or_pack(
                graph,
                graph_id,
                source,
                "all pairs",
                lambda: pack_cliques(graph, n, max_copies=max_copies),
            )
        return found

    def sparse(
        self,
        graph: nx.Graph,
        edges: Edges,
        num_variables: int,
        *,
        graph_id: str,
        max_copies: int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        seed: int = 0,
    ) -> Packing:
        """:func:`~qpsbgd.hardware.embedding.pack_graph`, or what it found before.

        Args:
            graph: working graph.
            edges: pairs of variables; kept under a hash of them.
            num_variables: of the source graph.
            graph_id: names the solver and its working graph.
            max_copies: no more than these.
            timeout: seconds.
            seed: of the search.

        Raises:
            UnembeddableError: not one embedding was found; looked for anew each time.
        """
        pairs = source_edges(edges, num_variables)
        source = {
            "kind": "sparse",
            "num_variables": num_variables,
            "edges": hashlib.sha256(json.dumps(pairs).encode()).hexdigest(),
            "max_copies": max_copies,
            "timeout": timeout,
            "seed": seed,
        }
        key = (graph_hash(graph), graph_id, *source.values())
        found = self._memory.get(key)
        if found is None:
            found = self._memory[key] = self._load_or_pack(
                graph,
                graph_id,
                source,
                pairs,
                lambda: pack_graph(
                    graph, pairs, num_variables, max_copies=max_copies, timeout=timeout, seed=seed
                ),
            )
        return found

    def _load_or_pack(
        self,
        graph: nx.Graph,
        graph_id: str,
        source: dict[str, Any],
        edges: Edges | Literal["all pairs"],
        pack: Callable[[], Packing],
    ) -> Packing:
        head = {"graph_hash": graph_hash(graph), "graph_id": graph_id, "source": source}
        path = self._path(head)
        try:
            content = path.read_bytes()
        except OSError:
            content = None
        if content is not None:
            try:
                return _read(content, head, graph, edges)
            # Brackets in thousands are too deep for the reader of JSON.
            except (ValueError, RecursionError) as error:
                _log.warning("%s is not used and made anew: %s", path, error)
        made = pack()
        packing = Packing(made.num_variables, made.embeddings, made.graph_hash, graph_id)
        self._store(head, packing)
        return packing

    def _path(self, head: dict[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(head).encode()).hexdigest()[:32]
        source = head["source"]
        return self.folder / f"{source['kind']}-{source['num_variables']}-{name}.json"

    def _store(self, head: dict[str, Any], packing: Packing) -> None:
        """Replace a file whole."""
        chains = [[copy[v] for v in range(packing.num_variables)] for copy in packing.embeddings]
        content = {"schema": SCHEMA, **head, "digest": packing.digest, "chains": chains}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(head), json.dumps(content).encode())
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"embeddings are not kept for the next run: {self.folder} cannot be written "
                    f"({error})",
                    stacklevel=4,
                )


def _read(
    content: bytes, head: dict[str, Any], graph: nx.Graph, edges: Edges | Literal["all pairs"]
) -> Packing:
    """The packing in a file.

    Raises:
        ValueError: it is not what was asked for, or not valid on the graph.
    """
    stored = json.loads(content)
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        schema = stored.get("schema") if isinstance(stored, dict) else None
        raise ValueError(f"its schema is {schema!r}, but must be {SCHEMA}")
    for key, value in head.items():
        if stored.get(key) != value:
            raise ValueError(f"its {key} is {stored.get(key)!r}, but must be {value!r}")
    try:
        embeddings = tuple(
            {variable: tuple(map(_qubit, chain)) for variable, chain in enumerate(copy)}
            for copy in stored["chains"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError("its chains are no lists of lists of qubits") from error
    packing = Packing(
        head["source"]["num_variables"], embeddings, head["graph_hash"], head["graph_id"]
    )
    check_packing(packing, graph, edges)
    if stored.get("digest") != packing.digest:
        raise ValueError(f"its digest is {stored.get('digest')!r}, but must be {packing.digest!r}")
    return packing


def _qubit(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"qubit is {value!r}, but must be an integer")
    return value
