"""Classes for D-Wave's PyTorch plugin that solve a whole batch of problems at once.

They need the plugin (``pip install qpsbgd[plugin]``). No other part of the package imports them.
"""

try:
    import dwave.plugins.torch.models.boltzmann_machine
    import dwave.plugins.torch.nn.modules.ising
    import dwave.plugins.torch.samplers.base  # noqa: F401
except ImportError as error:
    raise ImportError(
        "qpsbgd.plugin needs dwave-pytorch-plugin and einops: pip install 'qpsbgd[plugin]'"
    ) from error

from qpsbgd.plugin.batch_sampler import BatchSampler
from qpsbgd.plugin.ising_layer import Ising
from qpsbgd.plugin.machine_partition import log_partition

__all__ = ["BatchSampler", "Ising", "log_partition"]
