"""Files of problems, as instance libraries, dimod, bqpjson, SciPy and Matrix Market write them.

=======  =====================================================  ========
format   content                                                sense
=======  =====================================================  ========
rudy     ``vertices edges``; ``i j weight``, from 1             maximise
qubo     ``p qubo 0 maxNodes nNodes nCouplers``; ``i j q``,     minimise
         i <= j, from 0
biqmac   ``variables entries``; ``i j q``, from 1               minimise
qs       ``# ObjectiveOffset c``, then as biqmac                minimise
coo      ``# vartype=BINARY`` or ``SPIN``; ``i j bias``         minimise
dimod    JSON of ``to_serializable``, bytes of ``to_file``      minimise
bqpjson  JSON of bqpjson 1.0.0                                  minimise
npz      a sparse matrix that SciPy saved                       minimise
mtx      ``%%MatrixMarket matrix ...``, sizes, entries, from 1  minimise
=======  =====================================================  ========

A file may be compressed with gzip, xz or bzip2. ``docs/files.md`` defines the objective of each
format.
"""

from qpsbgd.formats.initial_state_files import read_start
from qpsbgd.formats.instance import FORMATS, SENSES, Format, Instance, Sense, SenseSource
from qpsbgd.formats.reading import read

__all__ = ["FORMATS", "SENSES", "Format", "Instance", "Sense", "SenseSource", "read", "read_start"]
