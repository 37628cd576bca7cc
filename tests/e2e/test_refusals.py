"""What bad input gets from the programs: one line, an exit code, and a project that is still good."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
WORKFLOW = "exception_triage"


def refused(done: Any, code: int, *said: str) -> None:
    """The program ended with one clear line."""
    assert done.code == code, done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("error: "), done.err
    for part in said:
        assert part in done.err
    assert "Traceback" not in done.err


def kept(line: Any) -> set[Path]:
    """The finished entries of a store."""
    return set((line.project / ".lading" / "store").rglob("entry.json"))


def statement(line: Any, sql: str) -> None:
    with sqlite3.connect(line.project / "erp.sqlite") as erp:
        erp.execute(sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "ALTER TABLE order_exceptions RENAME COLUMN note TO notes",
            ["order_exceptions", "note", "did you mean notes"],
        ),
        ("ALTER TABLE order_exceptions RENAME TO exceptions", ["order_exceptions"]),
    ],
)
def test_changed_source(copy: Any, sql: str, said: list[str]) -> None:
    before = kept(copy)
    statement(copy, sql)
    refused(copy("lading", "build", "--json"), 1, *said)
    assert kept(copy) == before
    assert copy("lading", "status", "--json").code == 0


def test_unreachable_source(copy: Any) -> None:
    path = copy.project / "sources" / "erp.yaml"
    path.write_text(
        path.read_text().replace("sqlite:///erp.sqlite", "postgresql+psycopg2://reader:${ERP_PASSWORD}@127.0.0.1:9/erp")
    )
    refused(copy("lading", "build"), 2, "ERP_PASSWORD")
    done = copy("lading", "build", ERP_PASSWORD="hush-hush")
    refused(done, 1, "erp")
    assert "hush-hush" not in done.err + done.out


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT exception_id AS id, note AS text, exception_class AS label, reported_at AS time FROM erp.order_exceptions WHERE 1 = 0", "no row; at least one is needed"),
        ("SELECT exception_id AS id, note AS text, exception_class AS label, reported_at AS time FROM erp.nothing", "erp.nothing"),
        ("SELECT exception_id AS id, note AS text, reported_at AS time FROM erp.order_exceptions", "label"),
        ("SELECT exception_id AS id, note AS text, reported_by AS label, reported_at AS time FROM erp.order_exceptions", "reported_by"),
    ],
)  # fmt: skip
def test_corpus_that_cannot_be(copy: Any, sql: str, said: str) -> None:
    (copy.project / "corpora" / "exception_triage.sql").write_text(sql)
    done = copy("lading", "build")
    assert done.code in (1, 2)
    refused(done, done.code, "exception_triage", said)


def test_class_with_one_example_and_label_never_seen(fresh: Callable[[], Any]) -> None:
    line = fresh()
    workflow = line.project / "workflows" / "exception_triage.yaml"
    head, _, rest = workflow.read_text().partition("corpus:")
    files = "corpus:\n  files: {train: data/a.csv, validation: data/b.csv, test: data/c.csv}\n"
    workflow.write_text(head + files + rest[rest.index("training:") :])
    (line.project / "data").mkdir()

    def write(name: str, labels: list[str]) -> None:
        with (line.project / "data" / name).open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["text", "label"])
            rows.writerows(
                (f"{name} says {number * 7919 % 1000} about {label} {number}", label)
                for number, label in enumerate(labels)
            )

    write("a.csv", ["late"] * 9 + ["short"] * 9 + ["lonely"])
    write("b.csv", ["late", "short"] * 4)
    write("c.csv", ["short", "late"] * 4)
    refused(line("lading", "build"), 1, "lonely")
    write("a.csv", ["late"] * 9 + ["short"] * 9)
    write("b.csv", ["late", "short", "strange"] * 4)
    refused(line("lading", "build"), 1, "strange")


def test_two_builds_at_once(copy: Any) -> None:
    from pipelines.cli.runs import locked
    from pipelines.project.load import load_project

    with locked(load_project(copy.project)):
        refused(copy("lading", "build"), 1, "held by process", "wait")


def test_names_that_are_not_there(copy: Any) -> None:
    refused(copy("lading", "build", "-w", "exception_triag"), 2, "did you mean exception_triage")
    refused(copy("lading", "release", "promote", "gold"), 2, "canary or stable")
    refused(copy("lading", "status", "--project", str(copy.project / "nowhere")), 2, "lading init")


def test_promotion_needs_enough_managers(copy: Any) -> None:
    refused(copy("lading", "release", "promote", "stable"), 1, "nobody approved")
    refused(copy("lading", "release", "promote", "stable", "--as", "alice", "--as", "mallory"), 2, "mallory")


def test_altered_evidence_is_not_promoted(copy: Any) -> None:
    for entry in (copy.project / ".lading" / "store" / "accuracy_report").glob("*/files/evidence.dsse.json"):
        raw = entry.read_text()
        entry.unlink()  # the store's files are links to those of the built project
        entry.write_text(raw.replace('"sig":"', '"sig":"00'))
    refused(copy("lading", "release", "promote", "canary"), 1, "nothing may enter canary")


def test_altered_blob_is_never_installed(copy: Any) -> None:
    root, public = str(copy.project / "public/metadata/1.root.json"), str(copy.project / "public")
    assert copy("lading-site", "enroll", "--root", root, "--from", public, "--site", "dc-north").code == 0
    assert copy("lading-site", "sync").code == 0
    before = copy("lading-site", "status", "--json").json()["active"]
    for blob in (copy.project / "public" / "blobs" / "sha256").iterdir():
        if blob.stat().st_size > 1_000_000:
            raw = bytearray(blob.read_bytes())
            raw[len(raw) // 2] ^= 1
            blob.write_bytes(raw)
    other = {"LADING_SITE_STATE": str(copy.project.parent / "other")}
    assert copy("lading-site", "enroll", "--root", root, "--from", public, "--site", "dc-south", **other).code == 0
    refused(copy("lading-site", "sync", **other), 1, "sha256")
    assert copy("lading-site", "status", "--json", **other).json()["active"] is None
    assert copy("lading-site", "status", "--json").json()["active"] == before


def test_project_with_an_unknown_key(copy: Any) -> None:
    path = copy.project / "workflows" / "exception_triage.yaml"
    path.write_text(path.read_text().replace("owner:", "owners:"))
    refused(copy("lading", "check"), 2, "workflows/exception_triage.yaml:", "owners: unknown key")
