"""bench/peers: the problems, the solvers that are installed, and the page."""

import dataclasses

import numpy as np
import pytest

from bench.peers import __main__ as peers
from bench.peers.problems import Problem
from bench.peers.solvers import solvers

SMALL = Problem(
    "small", 4, np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([1.0, -2.0, 0.5])
)  # least energy -3.5


def test_energies_of_a_problem_are_those_of_its_other_forms():
    states = np.array([[1, 1, -1, -1], [1, -1, 1, 1]])
    expected = [1 + 2 - 0.5, -1 - 2 - 0.5]
    assert SMALL.energies(states).tolist() == expected
    assert SMALL.bqm().energies((states, range(4))).tolist() == expected
    assert (np.einsum("ki,ij,kj->k", states, SMALL.matrix(), states) / 2).tolist() == expected


@pytest.mark.parametrize("name", list(solvers()))
def test_every_installed_solver_solves_a_small_problem(name):
    states, sampling = solvers()[name][1](SMALL, 1, 3)
    assert SMALL.energies(states).min() == -3.5
    assert sampling is None or sampling >= 0


def test_mqlib_is_run_as_its_documentation_says(tmp_path):
    program = tmp_path / "MQLib"
    program.write_text(
        "#!/bin/sh\n"
        'test "$1 $3 $4 $5 $6" = "-fM -h BURER2002 -ps -s" || exit 1\n'
        'test "$(head -2 "$2" | tr "\\n" ",")" = "4 3,1 2 1," || exit 1\n'
        'printf "0.02,BURER2002,file,3.5,0.021,[0:0.1]\\n\\nSolution:\\n1 -1 1 1\\n"\n'
    )
    program.chmod(0o755)
    states, sampling = solvers(str(program))["MQLib BURER2002"][1](SMALL, 1, 0)
    assert SMALL.energies(states).tolist() == [-3.5]
    assert sampling == 0.021
    with pytest.raises(SystemExit, match="not a program"):
        solvers(str(tmp_path / "missing"))


def test_the_page_has_a_row_for_each_solver_and_effort(tmp_path, monkeypatch):
    monkeypatch.setattr(
        peers, "problems", lambda: [dataclasses.replace(SMALL, name=f"small {k}") for k in range(4)]
    )
    monkeypatch.setattr(peers, "EFFORTS", (1, 2))
    monkeypatch.setattr(
        "sys.argv", ["peers", "--seeds", "1", "--only", "qpsbgd", "--out", str(tmp_path)]
    )
    peers.main()
    rows = [line for line in (tmp_path / "peers.md").read_text().splitlines() if "small" in line]
    assert len(rows) == 16
    assert all("| 0.00 |" in row for row in rows)
    assert (tmp_path / "peers.png").stat().st_size > 1000
