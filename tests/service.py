"""Stand-in for D-Wave's service on loopback, for the real DWaveSampler and its client.

It answers by simulated annealing with a seed of the problem, so equal problems have equal answers.
Requests of a phase consume that phase's faults, one each:

    submit    a problem arrives and is not accepted
    accepted  a problem was accepted, and the response that has its identifier is lost
    poll      the client asks for the status
    load      the client loads the answer
    find      a problem is searched by its label
    cancel    problems are cancelled
"""

import base64
import hashlib
import json
import struct
import threading
import time
import urllib.parse
import uuid
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dimod
import numpy as np
from dwave.cloud.testing import mocks
from dwave.system import DWaveSampler

from qpsbgd import SimulatedAnnealingSampler
from qpsbgd.hardware.embedding import ideal_graph

TOKEN = "DEV-0123456789abcdef0123456789abcdef01234567"
#: Microseconds that a problem of this many reads is billed, less than its estimate.
BILL, BILL_PER_READ = 9000.0, 50.0


def status(code):
    """Respond with a status of HTTP, as a gateway does."""

    def fault(handler):
        handler.respond(code, b"<html>gateway</html>", "text/html")
        return True

    fault.name = f"HTTP {code}"
    return fault


def drop(handler):
    """Close the connection without a response."""
    handler.close_connection = True
    handler.connection.shutdown(2)
    return True


def garbage(handler):
    """Respond with text that is no JSON."""
    handler.respond(200, b"{garbage", handler.media_type)
    return True


def odd(handler):
    """Respond with JSON of another form."""
    handler.respond(200, b'[{"error_code": 404, "error_msg": "no"}]', handler.media_type)
    return True


def late(handler):
    """Respond after the client has lost patience."""
    time.sleep(handler.service.patience + 0.1)
    return drop(handler)


def nothing(handler):
    """Respond as usual."""
    return False


def fail(handler):
    """Fail to solve the problem."""
    handler.service.set_status(handler.problem_ids(), "FAILED")
    return False


def cancel(handler):
    """Cancel the problem, as somebody may on the dashboard."""
    handler.service.set_status(handler.problem_ids(), "CANCELLED")
    return False


for each, name in (
    (drop, "dropped"), (garbage, "garbage"), (odd, "odd JSON"), (late, "late"), (fail, "FAILED"),
    (cancel, "CANCELLED"), (nothing, "nothing"),
):  # fmt: skip
    each.name = name


@dataclass
class Problem:
    """One problem at the service."""

    id: str
    label: str
    digest: str
    bqm: dimod.BinaryQuadraticModel
    num_reads: int
    solver: dict
    status: str = "PENDING"

    @property
    def is_solved(self):
        return self.status == "COMPLETED"

    @property
    def bill(self):
        """Microseconds; a failed problem is billed too, which D-Wave does not rule out."""
        return (BILL + BILL_PER_READ * self.num_reads) * (self.status in ("COMPLETED", "FAILED"))


@dataclass
class Service:
    """The service, with one solver; a context manager.

    Attributes:
        topology: topology of the solver.
        shape: shape of the solver's graph.
        patience: seconds that a client waits for a response.
        is_holding: whether problems stay in the queue.
        faults: faults of each phase that are still to come.
        problems: problems by their identifiers.
        requests: method and phase of each request.
    """

    topology: str = "chimera"
    shape: tuple = (2, 2, 4)
    patience: float = 5.0
    is_holding: bool = False
    faults: dict = field(default_factory=dict)
    problems: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)

    def __post_init__(self):
        self.lock = threading.RLock()
        self._old = {}
        graph = ideal_graph(self.topology, self.shape)
        properties = {
            "topology": {"type": self.topology, "shape": list(self.shape)},
            "category": "qpu",
            "chip_id": "standin",
            "supported_problem_types": ["ising", "qubo"],
            "h_range": [-4.0, 4.0],
            "j_range": [-1.0, 1.0],
            "num_reads_range": [1, 1000],
            "annealing_time_range": [0.5, 2000.0],
            "parameters": dict.fromkeys(["num_reads", "annealing_time", "auto_scale", "label"], ""),
            "problem_timing_data": mocks.qpu_problem_timing_data(),
            "problem_run_duration_range": [0.0, 1e6],
        }
        self.solver = mocks.structured_solver_data(
            name="standin",
            graph_id="1",
            properties=properties,
            qubits=sorted(graph.nodes),
            couplers=[list(pair) for pair in sorted(tuple(sorted(e)) for e in graph.edges)],
        )

    def __enter__(self):
        handler = type("Bound", (Handler,), {"service": self})
        self._server = Server(("127.0.0.1", 0), handler)
        # The default interval of half a second delays the end of each test.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.reset()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self):
        host, port = self._server.server_address
        return f"http://{host}:{port}/"

    def sampler(self, **options):
        """Return the real sampler, with short waits."""
        options = {
            "http_retry_total": 0,
            "poll_strategy": "backoff",
            "poll_backoff_min": 0.002,
            "poll_backoff_max": 0.02,
            "request_timeout": self.patience,
            **options,
        }
        return DWaveSampler(
            endpoint=self.url, token=TOKEN, config_file=False, cache_enabled=False,
            **options,
        )  # fmt: skip

    def reset(self):
        """Forget everything; what clients still wait for is cancelled."""
        with self.lock:
            self.is_holding = False
            self.set_status(list(self.problems), "CANCELLED")
            self._old.update(self.problems)  # clients may still ask for these
            self.faults, self.problems, self.requests = {}, {}, []

    def set_status(self, problem_ids, new):
        with self.lock:
            for each in problem_ids:
                if each in self.problems and self.problems[each].status == "PENDING":
                    self.problems[each].status = new

    @property
    def bill(self):
        """Microseconds that all problems are billed, once those in the queue are solved."""
        with self.lock:
            self.set_status(list(self.problems), "COMPLETED")
            return sum(problem.bill for problem in self.problems.values())

    def next_fault(self, phase):
        with self.lock:
            faults = self.faults.get(phase)
            return faults.pop(0) if faults else None

    def find(self, problem_id):
        with self.lock:
            return self.problems.get(problem_id) or self._old.get(problem_id)

    def accept(self, body):
        """Accept a problem and return its status."""
        lin, quad = (base64.b64decode(body["data"][name]) for name in ("lin", "quad"))
        qubits = self.solver["properties"]["qubits"]
        values = struct.unpack(f"<{len(qubits)}d", lin)
        linear = {q: value for q, value in zip(qubits, values, strict=True) if value == value}
        couplers = [tuple(pair) for pair in self.solver["properties"]["couplers"]]
        active = [pair for pair in couplers if pair[0] in linear and pair[1] in linear]
        J = struct.unpack(f"<{len(active)}d", quad)
        bqm = dimod.BinaryQuadraticModel(linear, dict(zip(active, J, strict=True)), 0.0, "SPIN")
        digest = hashlib.sha256(lin + quad).hexdigest()
        num_reads = body["params"].get("num_reads", 1)
        problem = Problem(
            str(uuid.uuid4()), body.get("label"), digest, bqm, num_reads, self.solver["identity"]
        )
        with self.lock:
            self.problems[problem.id] = problem
        return self.describe(problem)

    def describe(self, problem):
        now = "2026-01-01T00:00:00.000000Z"
        described = {
            "id": problem.id, "type": "ising", "solver": problem.solver, "label": problem.label,
            "submitted_on": now, "status": problem.status,
        }  # fmt: skip
        if problem.status != "PENDING":
            described["solved_on"] = now
        return described

    def answer(self, problem):
        """Return reads whose seed depends on the problem only."""
        found = SimulatedAnnealingSampler().sample(
            problem.bqm, num_reads=problem.num_reads, num_sweeps=5, keep="final", num_threads=1,
            seed=int(problem.digest[:7], 16),
        )  # fmt: skip
        qubits = sorted(found.variables)
        samples = found.record.sample[:, [found.variables.index(q) for q in qubits]]

        def encoded(array):
            return base64.b64encode(array.tobytes()).decode()

        return {
            "format": "qp",
            "active_variables": encoded(np.array(qubits, "<i4")),
            "energies": encoded(found.record.energy.astype("<f8")),
            "solutions": encoded(np.packbits(samples > 0, axis=1)),
            "num_occurrences": encoded(np.ones(len(samples), "<i4")),
            "num_variables": max(self.solver["properties"]["qubits"]) + 1,
            "timing": {"qpu_access_time": problem.bill},
        }


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *_):
        """Print nothing: clients that hang up are a part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Requests of D-Wave's interface, as far as the client makes them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service = None

    def log_message(self, *_):
        """Print nothing."""

    @property
    def media_type(self):
        accepted = self.headers.get("Accept", "application/json").split(",")[0].split(";")[0]
        return f"{accepted}; version=3.0.0" if "vnd.dwave" in accepted else "application/json"

    def respond(self, code, content, media_type=None):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", media_type or self.media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def problem_ids(self):
        """Return the identifiers that the request names."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if "id" in query:
            return query["id"][0].split(",")
        return [url.path.removeprefix("/problems/").strip("/")]

    def is_faulty(self, phase):
        self.service.requests.append((self.command, phase))
        fault = self.service.next_fault(phase)
        return fault is not None and fault(self)

    def do_GET(self):
        service = self.service
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/solvers/"):
            one = url.path.startswith("/solvers/remote/standin")
            return self.respond(200, service.solver if one else [service.solver])
        label = urllib.parse.parse_qs(url.query).get("label")
        if label:
            if self.is_faulty("find"):
                return None
            with service.lock:
                found = [p for p in service.problems.values() if p.label == label[0]]
            return self.respond(200, [service.describe(p) for p in found])
        is_poll = url.path == "/problems/"
        if self.is_faulty("poll" if is_poll else "load"):
            return None
        if not service.is_holding:
            service.set_status(self.problem_ids(), "COMPLETED")
        problems = [service.find(each) for each in self.problem_ids()]
        if None in problems:
            return self.respond(404, {"error_code": 404, "error_msg": "no such problem"})
        if is_poll:
            return self.respond(200, [service.describe(p) for p in problems])
        described = service.describe(problems[0])
        if problems[0].status == "COMPLETED":
            described["answer"] = service.answer(problems[0])
        return self.respond(200, described)

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "deflate":
            content = zlib.decompress(content)
        if self.is_faulty("submit"):
            return None
        accepted = [self.service.accept(body) for body in json.loads(content)]
        return None if self.is_faulty("accepted") else self.respond(200, accepted)

    def do_DELETE(self):
        problem_ids = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.is_faulty("cancel"):
            return None
        self.service.set_status(problem_ids, "CANCELLED")
        problems = [self.service.find(each) for each in problem_ids]
        return self.respond(200, [self.service.describe(p) for p in problems if p])
