"""QPSBGD and the optimiser of real parameters as one, in Accelerate."""

import copy

import pytest

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate", reason="Accelerate is not installed")

from torch.optim import lr_scheduler

from joined_training import decay, joined, loss_of, same, train_by_hand
from networks import batches, mixed


@pytest.fixture(autouse=True)
def accelerator_state():
    """Options of an Accelerator last for the process; this forgets them."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def prepared(model, **options):
    accelerator = accelerate.Accelerator(cpu=True, **options)
    optimizer = joined(model)
    scheduler = lr_scheduler.LambdaLR(optimizer, decay)
    loader = torch.utils.data.DataLoader(batches(6), batch_size=None)
    return accelerator, *accelerator.prepare(model, optimizer, loader, scheduler)


def train(accelerator, model, optimizer, loader, scheduler):
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model, batch))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_prepared_training_takes_the_steps_of_two_optimizers(accumulate, precision):
    model = mixed()
    before, other = copy.deepcopy(model), copy.deepcopy(model)
    train(*prepared(model, gradient_accumulation_steps=accumulate, mixed_precision=precision))
    train_by_hand(other, clip=0.01, accumulate=accumulate, is_bfloat16=precision == "bf16")
    assert same(model, other)
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, before.get_parameter(name)), name


def test_a_saved_state_resumes_bit_for_bit(tmp_path):
    whole = prepared(mixed())
    for _ in range(2):
        train(*whole)
    first = prepared(mixed())
    train(*first)
    first[0].save_state(tmp_path)
    resumed = prepared(mixed())
    resumed[0].load_state(tmp_path)
    train(*resumed)
    assert same(whole[1], resumed[1])
    assert resumed[2].param_groups[0]["lr"] == pytest.approx(0.05 * 0.9**12)
