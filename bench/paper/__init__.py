"""The paper's experiments: ``python -m bench.paper all`` runs them and writes one page.

- ``study`` defines cells, outcomes and cases, and chooses tuned options.
- ``results`` runs cells in parallel and keeps them in a file.
- ``rosenbrock`` (with ``minimisation``), ``adult``, ``pairs`` and ``graphs`` (with ``planetoid``
  and ``karate``) hold one experiment each: its data, training runs and grids of hyper-parameters.
- ``fetch`` finds the files of data sets, or downloads them.
- ``methods`` makes the optimisers that the paper compares.
- ``tables``, ``pictures`` and ``report`` turn results into a page.
- ``published.csv`` and ``published_curves.csv`` hold the paper's numbers.

docs/reproduction.md describes the protocols and discusses the results.
"""
