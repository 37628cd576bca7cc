"""A site measures a candidate with the programs, and the factory takes the receipt in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
WORKFLOW = "exception_triage"
SITE = "dc-north"


def done(line: Any, *words: str) -> Any:
    found = line(*words)
    assert found.code == 0, found.err
    return found


def test_measure_and_import(copy: Any) -> None:
    root, public = str(copy.project / "public/metadata/1.root.json"), str(copy.project / "public")
    here = copy.project.parent
    key = here / "warehouse.key"
    done(copy, "lading", "pack-key", "warehouse", "--out", str(key))
    words = ["enroll", "--root", root, "--from", public, "--site", SITE]
    assert f"lading device add {SITE}" in done(copy, "lading-site", *words).out
    done(copy, "lading-site", "sync")
    before = done(copy, "lading-site", "status", "--json").json()["active"]

    sealed = copy("lading-site", "measure", WORKFLOW, "--out", str(here / "out"))
    assert sealed.code == 1 and "--pack-key-file" in sealed.err, "its texts are of data class customer"
    done(copy, "lading-site", *words, "--pack-key-file", str(key))
    said = done(copy, "lading-site", "measure", WORKFLOW, "--out", str(here / "out"), "--json").json()
    assert Path(said["file"]).name == f"{WORKFLOW}--edge-this-machine.receipt.dsse.json"
    assert done(copy, "lading-site", "status", "--json").json()["active"] == before
    assert not (here / "site" / "measuring").exists()

    unknown = copy("lading", "receipts", "import", str(here / "out"))
    assert unknown.code == 1 and f"site {SITE} has no registered device" in unknown.err
    public_key = done(copy, "lading-site", "device-key")
    (here / "north.pem").write_text(public_key.out)
    model = said["receipt"]["machine"]["host"]["cpu_model"]
    added = done(copy, "lading", "device", "add", SITE, str(here / "north.pem"), "--cpu-model", model)
    assert public_key.err.split(";")[0] in added.out, "both show the same fingerprint"
    assert json.loads(done(copy, "lading", "device", "list", "--json").out)[0]["name"] == SITE

    taken = done(copy, "lading", "receipts", "import", str(here / "out"), "--json").json()["taken"]
    assert [(one["site"], one["workflow"], one["accuracy"]) for one in taken] == [(SITE, WORKFLOW, "pass")]
    again = done(copy, "lading", "receipts", "import", str(here / "out"), "--json").json()
    assert [one["known"] for one in again["refused"]] == [True] and not again["taken"]
    listed = done(copy, "lading", "receipts", "list", "--json").json()
    assert [one["receipt"] for one in listed] == [taken[0]["receipt"]]

    done(copy, "lading-site", "measure", "sop_assistant", "--out", str(here / "more"))
    retriever = done(copy, "lading", "receipts", "import", str(here / "more"), "--json").json()["taken"]
    assert [(one["workflow"], one["accuracy"]) for one in retriever] == [("sop_assistant", "pass")]

    forged = json.loads(Path(said["file"]).read_bytes())
    forged["signatures"][0]["sig"] = forged["signatures"][0]["sig"][:-2] + "00"
    (here / "forged").mkdir()
    (here / "forged" / "x.receipt.dsse.json").write_text(json.dumps(forged))
    refused = copy("lading", "receipts", "import", str(here / "forged"))
    assert refused.code == 1 and "is not signed by the device key" in refused.err
    assert "Traceback" not in refused.err
