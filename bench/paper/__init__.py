"""The paper's experiments, rebuilt: ``python -m bench.paper all`` runs them and writes one page.

- ``study`` runs cells in parallel, keeps their results in a file, and chooses tuned options.
- ``rosenbrock``, ``adult``, ``pairs`` and ``graphs`` hold one experiment each: its data, networks,
  training runs and grids of hyper-parameters. ``planetoid`` and ``karate`` load graphs.
- ``methods`` makes the optimisers that the paper compares.
- ``report`` turns the results file into tables, pictures and a page.
- ``published.csv`` and ``published_curves.csv`` hold the paper's numbers.

docs/reproduction.md describes the protocols and discusses the results.
"""
