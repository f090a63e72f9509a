"""QPSBGD in Lightning's automatic mode, alone and joined with the optimiser of real parameters."""

import copy

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning", reason="Lightning is not installed")

from lightning.pytorch import callbacks
from torch.optim import lr_scheduler

from joined_training import decay, joined, loss_of, same, train_by_hand
from networks import batches, mixed
from qpsbgd.optim import QPSBGD, JoinedOptimizer, release, split_parameters

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # Lightning 2.6, torch 2.13
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
]


class Module(lightning.LightningModule):
    """A binary network with normalisation."""

    def __init__(self):
        super().__init__()
        self.model = mixed()
        self.losses = []

    def training_step(self, batch, _):
        loss = loss_of(self.model, batch)
        self.losses.append(loss.detach())
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = joined(self)
        scheduler = lr_scheduler.LambdaLR(optimizer, decay)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def loader():
    return torch.utils.data.DataLoader(batches(6), batch_size=None)


def fit(module, *, num_epochs=1, checkpoint=None, **options):
    trainer = lightning.Trainer(
        max_epochs=num_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(module, loader(), ckpt_path=checkpoint)
    return trainer


@pytest.mark.parametrize(
    ("options", "by_hand"),
    [
        ({}, {}),
        ({"gradient_clip_val": 0.01}, {"clip": 0.01}),
        ({"accumulate_grad_batches": 3}, {"accumulate": 3}),
        ({"precision": "bf16-mixed"}, {"is_bfloat16": True}),
    ],
)
def test_automatic_mode_takes_the_steps_of_two_optimizers(options, by_hand):
    module = Module()
    before, other = copy.deepcopy(module), copy.deepcopy(module)
    fit(module, **options)
    train_by_hand(other.model, **by_hand)
    assert same(module.model, other.model)
    for name, parameter in module.named_parameters():
        assert not torch.equal(parameter, before.get_parameter(name)), name


def test_a_run_resumes_bit_for_bit(tmp_path):
    whole, first, resumed = Module(), Module(), Module()
    fit(whole, num_epochs=4)
    fit(first, num_epochs=2).save_checkpoint(tmp_path / "state.ckpt")
    trainer = fit(resumed, num_epochs=4, checkpoint=tmp_path / "state.ckpt")
    assert same(whole, resumed)
    binary, _ = trainer.optimizers[0].optimizers
    assert binary.num_steps == 24
    assert binary.param_groups[0]["lr"] == pytest.approx(0.05 * 0.9**24)


def test_a_skipped_batch_changes_nothing():
    class Skips(Module):
        def training_step(self, batch, index):
            return None if index % 2 else super().training_step(batch, index)

    module = Skips()
    with pytest.warns(UserWarning, match="returned `None`"):
        trainer = fit(module)
    assert len(module.losses) == 3
    assert trainer.optimizers[0].optimizers[0].num_steps == 3


def test_a_second_fit_needs_a_release():
    class Releases(Module):
        def configure_optimizers(self):
            release(self)
            return super().configure_optimizers()

    once = Module()
    trainer = fit(once)
    with pytest.raises(ValueError, match=r"belongs to another QPSBGD.*release\(model\)"):
        fit(once)
    del trainer
    module = Releases()
    trainers = [fit(module) for _ in range(2)]
    assert [each.optimizers[0].optimizers[0].num_steps for each in trainers] == [6, 6]


def test_qpsbgd_alone():
    class Binary(Module):
        def configure_optimizers(self):
            return QPSBGD(self, lr=0.05)

    module, other = Binary(), Binary()
    for parameter in split_parameters(module).real + split_parameters(other).real:
        parameter.requires_grad_(False)
    fit(module)
    optimizer = QPSBGD(other, lr=0.05)
    for batch in batches(6):
        optimizer.zero_grad()
        loss_of(other.model, batch).backward()
        optimizer.step()
    assert same(module, other)


def test_finetuning_adds_a_group_and_restores_it(tmp_path):
    class Unfreezing(callbacks.BaseFinetuning):
        def freeze_before_training(self, module):
            self.freeze(module.model[1], train_bn=False)

        def finetune_function(self, module, epoch, optimizer):
            if epoch == 1:
                self.unfreeze_and_add_param_group(module.model[1], optimizer, lr=0.01)

    class Frozen(Module):
        def configure_optimizers(self):
            real = [p for p in split_parameters(self).real if p.requires_grad]
            return JoinedOptimizer(QPSBGD(self, lr=0.05), torch.optim.AdamW(real, lr=0.02))

    first, resumed = Frozen(), Frozen()
    trainer = fit(first, num_epochs=2, callbacks=[Unfreezing()])
    assert not torch.equal(first.model[1].weight, torch.ones(7))
    trainer.save_checkpoint(tmp_path / "state.ckpt")
    trainer = fit(
        resumed, num_epochs=3, checkpoint=tmp_path / "state.ckpt", callbacks=[Unfreezing()]
    )
    # Lightning freezes the module again, but restores the groups.
    binary, real = trainer.optimizers[0].optimizers
    assert [group["layer"] for group in binary.param_groups] == ["model.0", "model.3"]
    assert [group["lr"] for group in real.param_groups] == [0.02, 0.01]
    norm = resumed.model[1]
    assert [id(p) for p in real.param_groups[1]["params"]] == [id(norm.weight), id(norm.bias)]
    assert real.state[norm.weight]["step"] == 6
