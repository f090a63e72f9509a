"""The examples of README and of the guides run, those of a page one after the other."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
TRAINING = ROOT / "docs" / "training.md"
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
    if "```python" in page.read_text()
]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # torch.onnx
]


def examples(page):
    """Return the source of each example, after as many empty lines as there are before it."""
    text = page.read_text()
    fences = list(re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert len(fences) == text.count("```python")
    return ["\n" * text.count("\n", 0, fence.start(1)) + fence[1] for fence in fences]


def run(page, example, names):
    exec(compile(example, str(page), "exec"), names)  # a traceback has the line of the page


def test_relative_links_lead_to_files():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench" / "README.md"]
    assert len(pages) > 15
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if (
                "://" in target or "gallery/" in target
            ):  # the gallery is written by the site's build
                continue
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture
def process_group():
    """End the process group that an example begins."""
    yield
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_in_sequence(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # for the files that an example may write
    for module in ("dwave.system", "dwave.plugins.torch", "onnx", "onnxruntime"):
        if module in page.read_text():
            pytest.importorskip(module)
    names = {}
    for example in examples(page):
        if "import lightning" not in example:  # takes seconds, and is optional
            run(page, example, names)
    if page == TRAINING:  # the last example ran
        assert isinstance(names["whole"], torch.nn.parallel.DistributedDataParallel)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's own, which its tests sort out
def test_the_example_for_lightning_trains(monkeypatch, tmp_path):
    lightning = pytest.importorskip("lightning", reason="Lightning is not installed")
    monkeypatch.chdir(tmp_path)
    (example,) = (each for each in examples(TRAINING) if "import lightning" in each)
    names = {}
    run(TRAINING, example, names)
    module = names["Classifier"]()
    before = [parameter.clone() for parameter in module.parameters()]
    data = torch.utils.data.TensorDataset(torch.randn(20, 64), torch.randint(10, (20,)))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=10))
    now = list(module.parameters())
    assert not any(map(torch.equal, before, now))
