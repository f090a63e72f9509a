"""Memory of packings: each is searched once, and stored on disk for later processes.

A packing of cliques may be improved later: a call that asks for more effort than the stored packing
has continues its search.

A file is JSON and is trusted no more than an embedder: its schema, the arguments that it was made
for, its digest and every chain are checked when it is read. A file that fails a check is logged,
computed again and replaced.
"""

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import networkx as nx
from filelock import FileLock

from qpsbgd.atomic import cache_folder, write_atomically
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding.cliques import CLIQUE_TIMEOUT, pack_cliques
from qpsbgd.hardware.embedding.copies import (
    DEFAULT_TIMEOUT,
    Edges,
    Packing,
    check_packing,
    pack_graph,
    source_edges,
)
from qpsbgd.hardware.embedding.lattices import graph_hash

#: Version of the files. Raise it when their form changes, or when the search finds better packings.
SCHEMA = 2

#: Seconds to wait for a process that searches the same packing, before searching it as well.
LOCK_TIMEOUT = 300.0

_log = logging.getLogger(__name__)


class EmbeddingCache:
    """Store that searches a packing once per working graph and source graph.

    Processes and threads may share a folder: files are replaced whole, and a lock on each file lets
    one process search while the others wait for its result. Where the folder cannot be written, one
    warning says so, and packings are stored in memory only. An object also remembers which source
    graphs have no embedding, and does not search for them again.

    Args:
        folder: folder of the files; None for ``~/.cache/qpsbgd/embeddings`` (or the same below
            ``$XDG_CACHE_HOME``). It is made when the first packing is stored.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.hardware import EmbeddingCache
        >>> from qpsbgd.hardware.embedding import ideal_graph
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = EmbeddingCache(Path(folder))
        ...     cache.cliques(ideal_graph("zephyr", [2, 4]), 8, graph_id="ideal").num_copies
        9
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder("embeddings") if folder is None else Path(folder)
        #: Packings, and the largest effort that a call asked for.
        self._memory: dict[tuple[Any, ...], tuple[Packing | UnembeddableError, int]] = {}
        self._has_warned = False

    def cliques(
        self,
        graph: nx.Graph,
        n: int,
        *,
        graph_id: str,
        max_copies: int | None = None,
        effort: int = 1,
        timeout: float = CLIQUE_TIMEOUT,
    ) -> Packing:
        """Return the packing of :func:`~qpsbgd.hardware.embedding.pack_cliques`.

        The best packing so far is stored. A call with more effort than it has continues the search,
        and later calls get the improved packing. A search that the timeout ended is continued by
        the next object that asks for the packing.

        Args:
            graph: working graph. A packing in memory is returned within microseconds if the graph
                is frozen; a graph that can change is hashed at each call.
            n: number of variables.
            graph_id: name of the solver and its working graph.
            max_copies: upper limit of the number of copies; None for as many as fit.
            effort: rounds of improvement; each takes about three seconds.
            timeout: seconds that the search of this call may take.

        Raises:
            UnembeddableError: no embedding was found.
        """
        source = {"kind": "clique", "num_variables": n, "max_copies": max_copies}
        return self._packing(
            graph, graph_id, source, "all pairs",
            lambda start: pack_cliques(
                graph, n, max_copies=max_copies, effort=effort, timeout=timeout, start=start
            ),
            effort,
        )  # fmt: skip

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
        """Return the packing of :func:`~qpsbgd.hardware.embedding.pack_graph`.

        Args:
            graph: working graph; see :meth:`cliques`.
            edges: pairs of variables.
            num_variables: number of variables of the source graph.
            graph_id: name of the solver and its working graph.
            max_copies: upper limit of the number of copies; None for as many as fit.
            timeout: seconds that a search may take.
            seed: seed of the search.

        Raises:
            UnembeddableError: no embedding was found.
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
        return self._packing(
            graph, graph_id, source, pairs,
            lambda _: pack_graph(
                graph, pairs, num_variables, max_copies=max_copies, timeout=timeout, seed=seed
            ),
        )  # fmt: skip

    def _packing(
        self,
        graph: nx.Graph,
        graph_id: str,
        source: dict[str, Any],
        edges: Edges | Literal["all pairs"],
        search: Callable[[Packing | None], Packing],
        effort: int = 0,
    ) -> Packing:
        """Return a packing from memory, from disk, or from a search.

        Args:
            graph: working graph.
            graph_id: name of the solver and its working graph.
            source: description of the source graph and of the arguments of the search.
            edges: edges of the source graph.
            search: function that improves a packing, or that searches for one if there is none.
            effort: rounds of improvement that the packing needs.
        """
        digest = graph_hash(graph)
        key = (digest, graph_id, *source.values())
        known, attempted = self._memory.get(key, (None, -1))
        if known is None or (attempted < effort and isinstance(known, Packing)):
            header = {"graph_hash": digest, "graph_id": graph_id, "source": source}
            path = self._path(header)
            with self._locked(path):
                try:
                    # Another process may have improved the packing in the meantime.
                    start = self._read(path, header, graph, edges) or known
                    if start is not None and start.effort >= effort:
                        known = start
                    else:
                        known = replace(search(start), graph_id=graph_id)
                        self._write(path, header, known)
                except UnembeddableError as error:
                    known = error
            self._memory[key] = known, effort
        if isinstance(known, UnembeddableError):
            raise UnembeddableError(str(known)) from known
        return known

    def _path(self, header: dict[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(header).encode()).hexdigest()[:32]
        source = header["source"]
        return self.folder / f"{source['kind']}-{source['num_variables']}-{name}.json"

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Exclude other processes and threads that read, search and write the same file."""
        with contextlib.ExitStack() as stack:
            # Without a lock the search still works: processes repeat it, and replace files whole.
            with contextlib.suppress(OSError, NotImplementedError):
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT))
            yield

    def _read(
        self,
        path: Path,
        header: dict[str, Any],
        graph: nx.Graph,
        edges: Edges | Literal["all pairs"],
    ) -> Packing | None:
        """Return the packing in a file; None where there is no file, or a damaged one."""
        try:
            return _decoded(path.read_bytes(), header, graph, edges)
        except OSError:
            return None
        # Thousands of nested brackets exceed the recursion limit of the JSON parser.
        except (ValueError, RecursionError) as error:
            _log.warning("%s is not used and is made anew: %s", path, error)
            return None

    def _write(self, path: Path, header: dict[str, Any], packing: Packing) -> None:
        chains = [[copy[v] for v in range(packing.num_variables)] for copy in packing.embeddings]
        content = {
            "schema": SCHEMA,
            **header,
            "effort": packing.effort,
            "digest": packing.digest,
            "chains": chains,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(content).encode())
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"embeddings are not stored for the next run: {self.folder} cannot be written "
                    f"({error})",
                    stacklevel=4,
                )


def _decoded(
    content: bytes, header: dict[str, Any], graph: nx.Graph, edges: Edges | Literal["all pairs"]
) -> Packing:
    """Return the packing that a file's content describes.

    Raises:
        ValueError: the content is damaged, was made for other arguments, or is not valid on the
            graph.
    """
    stored = json.loads(content)
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        schema = stored.get("schema") if isinstance(stored, dict) else None
        raise ValueError(f"its schema is {schema!r}, but must be {SCHEMA}")
    for key, value in header.items():
        if stored.get(key) != value:
            raise ValueError(f"its {key} is {stored.get(key)!r}, but must be {value!r}")
    try:
        embeddings = tuple(
            {variable: tuple(map(_qubit, chain)) for variable, chain in enumerate(copy)}
            for copy in stored["chains"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError("its chains are no lists of lists of qubits") from error
    effort = stored.get("effort")
    if type(effort) is not int or effort < 0:
        raise ValueError(f"its effort is {effort!r}, but must be an integer, 0 or more")
    packing = Packing(
        header["source"]["num_variables"],
        embeddings,
        header["graph_hash"],
        header["graph_id"],
        effort,
    )
    check_packing(packing, graph, edges)
    if stored.get("digest") != packing.digest:
        raise ValueError(f"its digest is {stored.get('digest')!r}, but must be {packing.digest!r}")
    return packing


def _qubit(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"qubit is {value!r}, but must be an integer")
    return value
