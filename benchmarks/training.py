"""Fine-tuning throughput against transformers' Trainer with its defaults: same model, same texts, same threads.

Both train LoRA matrices on every linear layer of the same base, and a head, for one pass over the same rows, in the
same process and interleaved; the ratio of the medians is the figure to trust. Trainer's defaults are what
`TrainingArguments()` says (batches of 8, float32, rows in random order), with a collator that pads to the longest.

    python -m benchmarks.training --project demo
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.project.load import load_project
from pipelines.steps.models import base_of
from training.adapters import with_lora
from training.arguments import TuneArguments
from training.bases import ResolvedBase
from training.compute import choose, held
from training.corpus import Corpus, read_corpus
from training.features import load_tokenizer, tokenize
from training.loop import Examples, run
from training.model import build, load_encoder

GOAL = 2.0
EVALUATED = 8
"""Rows of our own evaluation before and after, which Trainer does not make by default."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train on both sides and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("demo"), help="a project whose corpus is built")
    parser.add_argument("--workflow", default="exception_triage")
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    project = load_project(given.project)
    rows = read_corpus(project.store.latest("corpus", given.workflow).path)
    spec, base = project.classifier(given.workflow).training, base_of(project, given.workflow)
    arguments = spec.model_copy(update={"epochs": 1})
    sides: dict[str, Callable[[], float]] = {
        "lading": lambda: ours(rows, base, arguments, given.texts),
        "Trainer, defaults": lambda: theirs(rows, base, arguments, given.texts),
    }
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, side in sides.items():
            took[name].append(given.texts / side())
    compute = choose(arguments)
    print(
        f"{given.texts} texts, {compute.threads} threads, lading in {compute.precision}, batches of {spec.batch_size}"
    )
    for name, found in took.items():
        spread = ", ".join(f"{one:.1f}" for one in found)
        print(f"{name:>20}  {statistics.median(found):.1f} texts/s ({spread})")
    ratio = statistics.median(took["lading"]) / statistics.median(took["Trainer, defaults"])
    print(f"{'ratio':>20}  {ratio:.2f} (goal {GOAL})")


def ours(rows: Corpus, base: ResolvedBase, arguments: TuneArguments, texts: int) -> float:
    """Seconds of our loop, from the first step to the best epoch's weights."""
    compute = choose(arguments)
    with held(compute), tempfile.TemporaryDirectory() as folder:
        model = with_lora(build(load_encoder(base.path), len(rows.labels)), arguments, whole=("head",))
        train = examples(rows, base, arguments, texts)
        few = Examples(train.sequences[:EVALUATED], train.classes[:EVALUATED])
        began = time.perf_counter()
        run(model, train, few, [1.0] * len(rows.labels), arguments, compute, Path(folder), lambda *_: None)
        return time.perf_counter() - began


def theirs(rows: Corpus, base: ResolvedBase, arguments: TuneArguments, texts: int) -> float:
    """Seconds of `Trainer.train` with default settings, on transformers' own classifier with PEFT's all-linear LoRA."""
    from datasets import Dataset
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    train = examples(rows, base, arguments, texts)
    data = Dataset.from_dict({"input_ids": train.sequences, "labels": train.classes})
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=arguments.rank, lora_alpha=arguments.alpha, target_modules="all-linear"
    )
    with held(choose(arguments)), tempfile.TemporaryDirectory() as folder:
        model = AutoModelForSequenceClassification.from_pretrained(base.path, num_labels=len(rows.labels))
        settings = TrainingArguments(
            output_dir=folder, num_train_epochs=1, report_to=[], disable_tqdm=True, save_strategy="no",
            logging_strategy="no", use_cpu=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model=get_peft_model(model, lora),
            args=settings,
            train_dataset=data,
            data_collator=DataCollatorWithPadding(AutoTokenizer.from_pretrained(base.path)),
        )
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began


def examples(rows: Corpus, base: ResolvedBase, arguments: TuneArguments, texts: int) -> Examples:
    """Token ids and classes of the first training rows.

    Raises:
        SystemExit: the corpus has too few.
    """
    if len(rows.train) < texts:
        raise SystemExit(f"{len(rows.train)} training rows; {texts} expected: take another workflow or fewer texts")
    tokenizer = load_tokenizer(base.path, arguments.max_tokens)
    some = rows.train[:texts]
    return Examples(tokenize(tokenizer, [row.text for row in some]), rows.classes(some))


if __name__ == "__main__":
    main()
