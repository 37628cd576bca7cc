"""Lading on real public data: ordinary projects, written as YAML, SQL and files, built by `lading build`.

    python -m benchmarks.real_data [--data DIR] [--work DIR] [bitext_orders] [clinc150] [scms_delivery]

(a) `bitext_orders` and (b) `clinc150`, with its out-of-scope rows, become `classify` projects;
(c) `scms_delivery`, a real delivery history, is loaded into PostgreSQL and SQLite and extracted
incrementally from both. The data is not part of Lading; where it is absent the benchmark says so.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import postgres

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROFILES = ("edge-this-machine", "central-x86")
SETS = ("bitext_orders", "clinc150", "scms_delivery")

FLEET = "channels:\n  stable: {managers: [ann, ben], threshold: 2}\nsites:\n  - {site: store-1, site_class: store}\n"
PROFILE = {
    "edge-this-machine": "kind: edge\nisa: host\nmemory_mb: 512\nlatency: {milliseconds: 400}\nsize_budget_mb: 40\n"
    "recipes: [int8-reduced-range]\n",
    "central-x86": "kind: central\nisa: x86-64\nmemory_mb: 2048\nlatency: {milliseconds: 400}\nsize_budget_mb: 200\n"
    "recipes: [fp32]\n",
}
WORKFLOW = """\
title: {title}
owner: benchmark
task: classify
data_classes: [public]
corpus:
  files: {{{files}}}
  licences: [{licence}]
training: {{epochs: {epochs}}}
gates: {{metric: macro_f1, floor: 0.5, margin: 0.02, target_precision: {precision}}}
placement: {{offline: full}}
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Build and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)}; none: all")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--work", type=Path, help="keep the projects here; built again, work is reused")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.sets) - set(SETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as scratch:
        work = (arguments.work or Path(scratch)).resolve()
        for name in arguments.sets or SETS:
            if not (arguments.data / name).is_dir():
                print(f"{name}: skipped, no such folder in {arguments.data}; give --data DIR")
                continue
            {"bitext_orders": bitext, "clinc150": clinc, "scms_delivery": scms}[name](
                arguments.data / name, work / name
            )


def bitext(data: Path, project: Path) -> None:
    """Customer-service intents of orders and deliveries (CDLA-Sharing-1.0)."""
    splits = {}
    for ours, theirs in (("train", "train"), ("validation", "dev"), ("test", "test")):
        with (data / f"{theirs}.csv").open(encoding="utf-8", newline="") as stream:
            splits[ours] = [(row["utterance"], row["intent"]) for row in csv.DictReader(stream)]
    write_project(project, "Order intents", "CDLA-Sharing-1.0", splits, epochs=2, precision=0.98)
    report("bitext_orders", project)


def clinc(data: Path, project: Path) -> None:
    """CLINC150 (Larson et al. 2019, CC BY 3.0): 150 intents, and rows that belong to none."""
    found = json.loads((data / "data_full.json").read_text(encoding="utf-8"))
    names = {"train": "train", "validation": "val", "test": "test"}
    names |= {"out_of_scope_validation": "oos_val", "out_of_scope_test": "oos_test"}
    splits = {ours: [(text, label) for text, label in found[theirs]] for ours, theirs in names.items()}
    write_project(project, "CLINC150 intents", "CC-BY-3.0", splits, epochs=3, precision=0.98)
    report("clinc150", project)


def write_project(
    project: Path, title: str, licence: str, splits: dict[str, list[tuple[str, str]]], *, epochs: int, precision: float
) -> None:
    """An ordinary project of labelled files."""
    for name, text in PROFILE.items():
        write(project / "profiles" / f"{name}.yaml", text)
    write(project / "lading.yaml", f"name: {project.name}\n")
    write(project / "fleet.yaml", FLEET)
    files = {name: f"data/{name}.csv" for name in splits}
    text = WORKFLOW.format(
        title=title, licence=licence, epochs=epochs, precision=precision,
        files=", ".join(f"{name}: {path}" for name, path in files.items()),
    )  # fmt: skip
    write(project / "workflows" / "intents.yaml", text)
    for name, rows in splits.items():
        path = project / files[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows])


def report(name: str, project: Path) -> None:
    """Build a project with the program, as a user does, and print what came of it."""
    keys = project.with_name(f"{project.name}-keys")
    environment = {**os.environ, "LADING_KEYS": str(keys), "LADING_PROJECT": str(project)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "build", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )
    seconds = time.monotonic() - began
    if not done.stdout:
        raise SystemExit(f"{name}: the build ended with {done.returncode}")
    builds = {one["profile"]: one for one in json.loads(done.stdout)}
    scores = json.loads(next((project / ".lading/store/baselines").glob("*/files/scores.json")).read_text())
    print(f"\n## {name} (built in {seconds:.0f} s)\n")
    head = ["model", "accuracy", "macro-F1", "n", "MB", "p50 ms", "p99 ms at 128 tokens", "coverage", "precision",
            "OOS AUROC", "OOS deferred", "verdict"]  # fmt: skip
    rows = [baseline(title, scores[model]["test"]) for model, title in BASELINES.items()]
    rows += [built(f"tuned, {title}", builds[profile]) for profile, title in TUNED.items()]
    print_table(head, rows)


BASELINES = {"frozen_lr": "frozen base + logistic regression", "tfidf_svm": "TF-IDF + linear SVM"}
TUNED = {"central-x86": "fp32", "edge-this-machine": "int8"}


def baseline(title: str, found: dict[str, float]) -> list[str]:
    """The row of a baseline."""
    return [title, f"{found['accuracy']:.4f}", f"{found['macro_f1']:.4f}", f"{found['n']}", *["-"] * 8]


def built(title: str, found: dict[str, Any]) -> list[str]:
    """The row of a build, from its evidence."""
    values = {metric["name"]: metric["value"] for metric in found["metrics"]}
    n = next(metric["n"] for metric in found["metrics"] if metric["name"] == "accuracy")
    accuracy = json.loads(Path(found["paths"]["accuracy_report"]).with_name("report.json").read_text())
    outside = accuracy.get("out_of_scope")
    return [
        title, f"{values['accuracy']:.4f}", f"{values['macro_f1']:.4f}", f"{n}", f"{values['size_mb']:.1f}",
        f"{values['p50/workload']:.2f}", f"{values['p99']:.2f}" if "p99" in values else "-",
        f"{values['coverage']:.3f}", f"{values.get('precision_answered', float('nan')):.4f}",
        f"{outside['auroc']:.3f}" if outside else "-", f"{outside['deferred']:.3f}" if outside else "-",
        found["verdict"],
    ]  # fmt: skip


SOURCE = """\
kind: sql
url: {url}
tables:
  deliveries:
    cursor: recorded
    primary_key: [id]
    columns: {{{columns}}}
"""
PERSONAL = ("vendor", "item_description")
"""Columns that no workflow may see here, so that withholding is measured too."""


def scms(data: Path, work: Path) -> None:
    """The SCMS delivery history (USAID, public domain): 10,324 order lines with hand-typed exceptions."""
    rows = history(next(data.glob("*.csv")))
    work.mkdir(parents=True, exist_ok=True)
    table = [extracted("SQLite", f"sqlite:///{work / 'scms.sqlite'}", rows, work / "sqlite")]
    if postgres.programs() is None:
        print("scms_delivery: PostgreSQL skipped, it is not installed; on Debian: apt-get install postgresql")
    else:
        with postgres.server() as url:
            table.append(extracted("PostgreSQL", url, rows, work / "postgresql"))
    print("\n## scms_delivery\n")
    print_table(["source", "first", "s", "added + changed", "s", "nothing new", "s", "withheld", "lake"], table)
    if len({row[-1] for row in table}) != 1:
        raise SystemExit("scms_delivery: the two lakes differ")


def history(path: Path) -> list[dict[str, Any]]:
    """The rows in the order in which they were recorded; names in snake case, as typed otherwise."""
    from datetime import datetime

    with path.open(encoding="utf-8-sig", newline="") as stream:
        raw = list(csv.DictReader(stream))
    rows = []
    for record in raw:
        row: dict[str, Any] = {"".join(c if c.isalnum() else "_" for c in key.lower()): v for key, v in record.items()}
        row["id"] = int(row["id"])
        typed = row["delivery_recorded_date"].replace("Sept-", "Sep-")  # both spellings occur
        row["recorded"] = datetime.strptime(typed, "%d-%b-%y").replace(hour=12)
        rows.append(row)
    return sorted(rows, key=lambda row: (row["recorded"], row["id"]))


def extracted(title: str, url: str, rows: list[dict[str, Any]], lake: Path) -> list[str]:
    """Extract 80 %, then the rest with 100 changed rows, then nothing new."""
    from datetime import timedelta

    import sqlalchemy as sa

    from fleet_manifests import DataClass
    from pipelines.project.documents import read
    from pipelines.sources import extract, lake_digest
    from pipelines.sources.spec import SqlSource

    kinds = {"id": sa.Integer, "recorded": sa.DateTime}
    columns = [sa.Column(name, kinds.get(name, sa.Text), primary_key=name == "id") for name in rows[0]]
    deliveries = sa.Table("deliveries", sa.MetaData(), *columns)
    engine = sa.create_engine(url)
    deliveries.metadata.drop_all(engine)
    deliveries.metadata.create_all(engine)
    classes = {name: "personal" if name in PERSONAL else "internal" for name in rows[0]}
    listed = ", ".join(f"{name}: {kind}" for name, kind in classes.items())
    write(lake / "sources" / "erp.yaml", SOURCE.format(url=url, columns=listed))
    source = read(lake / "sources" / "erp.yaml", SqlSource, project=lake, name="erp")
    cut = len(rows) * 4 // 5
    changed = [{**row, "recorded": rows[-1]["recorded"] + timedelta(days=1)} for row in rows[:100]]
    cells = [title]
    for step in range(3):
        with engine.begin() as connection:
            if step == 0:
                connection.execute(deliveries.insert(), rows[:cut])
            if step == 1:
                connection.execute(deliveries.insert(), rows[cut:])
                for row in changed:
                    connection.execute(deliveries.update().where(deliveries.c.id == row["id"]), row)
        began = time.monotonic()
        found = extract(source, project=lake, lake=lake / "lake", allowed=frozenset({DataClass.INTERNAL}))
        cells += [str(found.rows_loaded), f"{time.monotonic() - began:.1f}"]
    engine.dispose()
    withheld = [name for name, kind in found.tables["deliveries"].withheld.items() if kind is not None]
    return [*cells, ", ".join(withheld), lake_digest(lake / "lake")[7:19]]


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A Markdown table."""
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
