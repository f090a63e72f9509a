"""Steps that Ctrl-C and the ends of processes stop at random moments, on a service with faults."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

import service as standin
from fault_table import NUM_READS, problem, random_faults
from service import Service

from qpsbgd import ProjectionOptions
from qpsbgd.errors import CallError
from qpsbgd.hardware import DWaveProjector
from qpsbgd.hardware.service import delivery
from qpsbgd.hardware.service.leftovers import Leftovers
from qpsbgd.hardware.service.submission import Submission

#: Functions at whose starts a step may be stopped.
MOMENTS = [
    (Submission, "start"), (Submission, "_send"), (Submission, "note_id"), (Submission, "collect"),
    (Submission, "_settle"), (Submission, "retry"), (delivery, "sleep"), (Leftovers, "finish"),
]  # fmt: skip


class Killed(BaseException):
    """End of a process. Its handlers run here, but the ledger keeps its content."""


class Stops:
    """Raises an exception at the start of one of many calls of functions."""

    def __init__(self, monkeypatch, ledger):
        self.num_calls, self.stop, self.content, self.ledger = None, None, None, ledger
        for owner, name in MOMENTS:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, function):
        def counted(*args, **kwargs):
            if self.num_calls == 0:
                self.num_calls = None
                self.content = self.ledger.read_bytes() if self.ledger.exists() else None
                raise self.stop
            if self.num_calls is not None:
                self.num_calls -= 1
            return function(*args, **kwargs)

        return counted

    def restore(self):
        """Give the ledger the content that it had at the stop."""
        if self.content is None:
            self.ledger.unlink(missing_ok=True)
        else:
            self.ledger.write_bytes(self.content)


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 40), marks=pytest.mark.slow)])
def test_stopped_steps_pay_once(tmp_path, seeds):
    X, T = problem(3)
    options = {"num_reads": NUM_READS, "max_copies": 1, "retry_wait": 0.0, "cache": tmp_path}
    with Service(patience=0.3) as service:
        sampler = service.sampler()
        plain = DWaveProjector(sampler, **options)(X, T, ProjectionOptions(seed=1))
        for seed in seeds:
            service.reset()
            rng = np.random.default_rng(seed)
            service.faults = random_faults(rng)
            service.faults["cancel"] = [standin.drop] * int(rng.integers(3))
            own = {"ledger": tmp_path / f"{seed}.json", "max_retries": int(rng.integers(3))}
            projector = DWaveProjector(sampler, **options, **own)
            with pytest.MonkeyPatch.context() as patch:
                stops = Stops(patch, own["ledger"])
                for number in itertools.count():
                    assert number < 30
                    if number < 4:
                        stops.stop = [KeyboardInterrupt(), Killed()][rng.integers(2)]
                        stops.num_calls = int(rng.integers(30))
                    try:
                        rows = projector(X, T, ProjectionOptions(seed=1))
                        break
                    except (CallError, KeyboardInterrupt):
                        stops.num_calls = None
                    except Killed:
                        stops.restore()
                        projector = DWaveProjector(sampler, **options, **own)
                stops.num_calls = None
            np.testing.assert_array_equal(rows, plain, err_msg=str(seed))
            bill = service.bill  # of all problems, also of those that nobody waits for
            solved = Counter(p.digest for p in service.problems.values() if p.is_solved)
            assert sorted(solved.values()) == [1, 1, 1], seed
            stored = json.loads(own["ledger"].read_text())
            assert stored["spent_us"] + stored["reserved_us"] >= bill * (1 - 1e-12), seed
        sampler.close()
