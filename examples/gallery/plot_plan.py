"""
Plan a run on an annealer
=========================

Annealer time is paid by the second. ``qpsbgd.hardware.plan_for`` says what a training would cost
before anything is sent, and without a token. A layer of n inputs is a complete graph of n
variables; one call solves as many neurons as copies of it fit on the machine.
"""

import matplotlib.pyplot as plt
import torch

from qpsbgd.hardware import DWaveProjector, mock_annealer, plan_for
from qpsbgd.nn import BinaryLinear

# %%
# ``mock_annealer`` has the graph, the ranges and the timing of a machine, and solves its problems
# by software.

projector = DWaveProjector(mock_annealer("pegasus"), num_reads=100)
model = torch.nn.Sequential(BinaryLinear(16, 64, bias=False), BinaryLinear(64, 10, bias=False))
plan = plan_for(projector, model, batch_size=100, steps=200)
for layer in plan.layers:
    print(
        f"layer {layer.name}: {layer.num_copies} neurons a call, {layer.num_calls} calls a step, "
        f"longest chain {layer.longest_chain}, {layer.access_time_us / 1000:.1f} ms a step "
        f"({layer.one_by_one_us / 1000:.1f} ms with a call for each neuron)"
    )

# %%
# Wide layers need more qubits for each neuron, so a call solves fewer neurons.

inputs = [4, 8, 16, 32, 64]
copies, milliseconds = [], []
for n in inputs:
    layer = plan_for(
        projector, torch.nn.Sequential(BinaryLinear(n, 64)), batch_size=100, steps=1
    ).layers[0]
    copies.append(layer.num_copies)
    milliseconds.append(layer.access_time_us / 1000)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot(inputs, copies, marker="o")
left.set(xscale="log", yscale="log", xlabel="inputs of the layer", ylabel="neurons in a call")
right.plot(inputs, milliseconds, marker="o")
right.set(
    xscale="log", yscale="log", xlabel="inputs of the layer", ylabel="ms of a step of 64 neurons"
)
figure.show()

# %%
# The same step, on the mock machine. With a token, pass ``dwave.system.DWaveSampler()`` instead of
# the mock.

X, T = torch.randn(100, 16).numpy(), torch.randn(100, 64).numpy()
B = projector(X, T)
print(B.shape, B.dtype, "spent", projector.budget.spent_us, "us (estimated)")
