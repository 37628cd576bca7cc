"""The whole line, as its users run it: build, look, promote, publish, pull, answer, defer, deliver."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
WORKFLOW = "exception_triage"
BUILT = ("central-x86", "edge-arm64", "edge-this-machine")


def outcomes(line: Any) -> dict[str, Any]:
    """What `lading build` said of the workflow, by profile."""
    said = json.loads((line.project.parent / "build.json").read_text())
    return {one["profile"]: one for one in said if one["workflow"] == WORKFLOW}


def test_build_reports_every_build(built: Any) -> None:
    found = outcomes(built)
    assert tuple(sorted(found)) == BUILT
    assert found["edge-this-machine"]["verdict"] == "pass", found["edge-this-machine"]["reasons"]
    assert found["central-x86"]["verdict"] == "pass", found["central-x86"]["reasons"]
    assert found["edge-arm64"]["verdict"] == "inconclusive"
    assert any("on a machine that matches" in reason for reason in found["edge-arm64"]["reasons"])
    for one in found.values():
        metrics = {metric["name"]: metric for metric in one["metrics"]}
        assert metrics["macro_f1"]["n"] > 100
        assert Path(one["paths"]["bundle"], "bundle.json").is_file()
        assert json.loads(Path(one["paths"]["accuracy_report"]).read_text())["kind"] == "accuracy"
        assert one["bundle"] in Path(one["paths"]["page"]).read_text()


def test_building_again_does_nothing_again(built: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in (built.project / ".lading/store").rglob("entry.json")}
    assert built("lading", "build").code == 0
    assert before == {path: path.stat().st_mtime_ns for path in (built.project / ".lading/store").rglob("entry.json")}


def test_status_shows_channels(built: Any) -> None:
    state = built("lading", "status", "--json").json()
    channels = {one["channel"]: one for one in state["channels"]}
    stable = {name for name in channels["stable"]["builds"] if name.startswith(WORKFLOW)}
    assert stable == {f"{WORKFLOW}--central-x86", f"{WORKFLOW}--edge-this-machine"}
    assert f"{WORKFLOW}--edge-arm64" in channels["candidates"]["builds"]


def test_evaluate_scores_a_customers_file(built: Any, tmp_path: Path) -> None:
    found = outcomes(built)
    data = tmp_path / "week.csv"
    data.write_text(
        'note,cause\n"2 cs short on this one, pls credit",short_shipment\nthanks all,oos\npallet never came,late_delivery\nx,teleported\n'
    )
    words = ["--data", str(data), "--text", "note", "--label", "cause", "--json"]
    summary = built("lading", "evaluate", found["edge-this-machine"]["paths"]["bundle"], *words).json()
    assert summary["n"] == 2
    assert summary["out_of_scope"]["n"] == 1
    assert summary["unknown_labels"] == {"teleported": 1}
    refused = built("lading", "evaluate", found["edge-this-machine"]["paths"]["bundle"], "--data", str(data))
    assert refused.code == 1
    assert "text" in refused.err


class Server:
    """A service in the test's own network namespace, up while the block runs."""

    def __init__(self, line: Any, program: str, port: int) -> None:
        self.line, self.program, self.url = line, program, f"http://127.0.0.1:{port}"
        self.command = [sys.executable, "-m", program, "serve", "--port", str(port)]

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(self.command, env=self.line.environment, stderr=subprocess.PIPE)
        for _ in range(600):
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            try:
                httpx.get(f"{self.url}/healthz", timeout=1)
                return self
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("the server did not come up")

    def __exit__(self, *exc: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)


def test_site_and_centre(copy: Any, free_port: Any) -> None:
    port = free_port()
    fleet = copy.project / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("127.0.0.1:8710", f"127.0.0.1:{port}"))
    assert copy("lading", "release", "publish").code == 0
    root, public = str(copy.project / "public/metadata/1.root.json"), str(copy.project / "public")
    for words in (["enroll", "--root", root, "--from", public], ["sync"]):
        done = copy("lading-central", *words)
        assert done.code == 0, done.err
    token = copy.project.parent / "token"
    token.write_text(copy("lading-central", "token", "dc-north").out)
    token.chmod(0o600)
    words = ["enroll", "--root", root, "--from", public, "--site", "dc-north", "--central-token-file", str(token)]
    for step in (words, ["sync"]):
        done = copy("lading-site", *step)
        assert done.code == 0, done.err
    assert copy("lading-site", "status", "--json").json()["active"]["profile"] == "edge-this-machine"

    texts = _notes(copy)
    answers = [copy("lading-site", "ask", WORKFLOW, "--text", text, "--json").json() for text in texts[:30]]
    kinds = {answer["status"] for answer in answers}
    assert kinds == {"answered", "deferred"}, "the centre is down: what is unsure waits"
    assert copy("lading-site", "flush").code == 1

    Path(public).rename(f"{public}-away")
    assert copy("lading-site", "sync").code == 1, "the repository is gone"
    answers.append(copy("lading-site", "ask", WORKFLOW, "--text", texts[30], "--json").json())
    deferred = [answer["id"] for answer in answers if answer["status"] == "deferred"]

    with Server(copy, "runtimes.central.cli", port):
        done = _here(copy, "runtimes.edge.cli", "flush", "--json")
        assert json.loads(done.stdout)["delivered"] == len(deferred)
        assert json.loads(_here(copy, "runtimes.edge.cli", "flush", "--json").stdout)["delivered"] == 0
        asked = _here(copy, "runtimes.edge.cli", "ask", WORKFLOW, "--text", texts[1], "--json")
        assert json.loads(asked.stdout)["produced_by"]["where"] in ("edge", "central", "human")
    assert copy("lading-site", "audit", "--verify").code == 0
    assert copy("lading-central", "audit", "--verify").code == 0


def _here(line: Any, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in this namespace, where the server is."""
    return subprocess.run(
        [sys.executable, "-m", program, *words], env=line.environment, capture_output=True, text=True, timeout=120
    )


def _notes(line: Any) -> list[str]:
    from pipelines.project.load import load_project
    from pipelines.steps.models import rows

    corpus = load_project(line.project).store.latest("corpus", WORKFLOW)
    return [row["text"] for row in rows(corpus.path, "test")]


def test_nothing_phones_home(built: Any) -> None:
    assert built.calls.read_text() == ""
