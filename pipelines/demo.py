"""`make demo`: a sample company, the whole pipeline, a publication, and a site that pulls and answers.

    python -m pipelines.demo DIRECTORY

Each step is a command that a user could type; it is printed before it runs. Beside the project DIRECTORY
it makes DIRECTORY-keys (unless `LADING_KEYS` is set), DIRECTORY-site and DIRECTORY-central. Run again
with nothing changed, it reuses all the work.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from fleet_manifests import LadingError, UsageError, program

if TYPE_CHECKING:
    from pipelines.project.load import Project

SITE = "dc-north"
WORKFLOW = "exception_triage"
LIBRARY = "sop_assistant"
PROGRAMS = {
    "lading": "pipelines.cli",
    "lading-site": "runtimes.edge.cli",
    "lading-central": "runtimes.central.cli",
}
READY_SECONDS = 30


class Demo:
    """The folders of one demonstration, and how to call the programs."""

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self.site = self._beside("site")
        self.central = self._beside("central")
        keys = os.environ.get("LADING_KEYS") or str(self._beside("keys"))
        self.environment = {**os.environ, "LADING_KEYS": keys, "LADING_PROJECT": str(self.project)}
        self.environment |= {"LADING_SITE_STATE": str(self.site), "LADING_CENTRAL_STATE": str(self.central)}

    def _beside(self, what: str) -> Path:
        return self.project.with_name(f"{self.project.name}-{what}")

    def command(self, *words: str) -> list[str]:
        """The words of a program call as this environment runs it."""
        return [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]]

    def run(self, *words: str, capture: bool = False) -> str:
        """Print and run one command.

        Raises:
            LadingError: it ended with an error; its message is above.
        """
        print(f"\n$ {shlex.join(words)}", flush=True)
        began = time.monotonic()
        done = subprocess.run(
            self.command(*words), env=self.environment, text=True, stdout=subprocess.PIPE if capture else None
        )
        print(f"  ({time.monotonic() - began:.1f} s)", flush=True)
        if done.returncode:
            raise LadingError(f"`{shlex.join(words[:2])}` ended with {done.returncode}")
        return done.stdout or ""

    def pack_key(self, site_class: str) -> Path:
        """The secret key of a class of sites, in a file as it would be handed to them."""
        path = self._beside(f"{site_class}.key")
        if not path.exists():
            self.run("lading", "pack-key", site_class, "--out", str(path))
        return path

    def ask(self, text: str, *options: str) -> dict[str, Any]:
        """Ask the site for the cause of an exception and show what it says."""
        words = ["lading-site", "ask", WORKFLOW, "--text", text, *options, "--json"]
        answer: dict[str, Any] = json.loads(self.run(*words, capture=True))
        what = f"{answer['status']}: {answer.get('label')} ({answer.get('confidence')})"
        print(f"  {what}, by {answer['produced_by']['where']}; {answer['reason']}")
        return answer

    @contextmanager
    def centre(self, url: str) -> Iterator[None]:
        """The central service, up while the block runs."""
        port = str(urlsplit(url).port)
        print(f"\n$ lading-central serve --port {port} &", flush=True)
        log = self.central / "serve.log"
        with log.open("a") as stream:
            server = subprocess.Popen(
                self.command("lading-central", "serve", "--port", port),
                env=self.environment,
                stdout=stream,
                stderr=stream,
            )
            try:
                self._wait(server, url, log)
                yield
            finally:
                server.terminate()
                server.wait(timeout=30)

    def _wait(self, server: subprocess.Popen[bytes], url: str, log: Path) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and server.poll() is None:
            try:
                if httpx.get(f"{url}/healthz", timeout=1).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise LadingError(f"the central service did not come up at {url}; is the port in use? See {log}")


def main(directory: Path) -> None:
    """Run the demonstration.

    Raises:
        LadingError: a step failed.
    """
    from pipelines.project.load import load_project

    started = time.monotonic()
    demo = Demo(directory)
    if not (demo.project / "lading.yaml").is_file():
        demo.run("lading", "init", str(directory))
        demo.run("lading", "check")
    demo.run("lading", "build")
    demo.run("lading", "release", "promote", "canary")
    demo.run("lading", "release", "promote", "stable", "--as", "alice")
    if json.loads(demo.run("lading", "release", "status", "--json", capture=True))["pending"] is not None:
        demo.run("lading", "release", "approve", "stable", "--as", "bob", "--yes")
    demo.run("lading", "release", "publish")
    demo.run("lading", "release", "log", "--verify")

    project = load_project(demo.project)
    if project.fleet.central is None:
        raise UsageError("fleet.yaml: central: missing; the demonstration needs a centre")
    url = project.fleet.central.url
    if not (demo.site / "site.json").exists():
        enroll(demo, project)
    demo.run("lading-central", "sync")
    demo.run("lading-site", "sync")

    sure, unsure, later = notes(demo, project)
    with demo.centre(url):
        expect(demo.ask(sure), "answered", "edge")
        expect(demo.ask(unsure), "answered", "central")
    waiting = demo.ask(later)
    expect(waiting, "deferred", "edge")
    with demo.centre(url):
        demo.run("lading-site", "flush")
    expect(demo.ask(later, "--id", waiting["id"]), "answered", "central")
    text, document = question(demo, project)
    said = demo.run("lading-site", "ask", LIBRARY, "--text", text, capture=True)
    print(said)
    if document not in said:
        raise LadingError(f"expected an answer from {document}")
    demo.run("lading-site", "audit", "--verify")
    demo.run("lading-site", "status")
    print(
        f"\ndone in {time.monotonic() - started:.0f} s; `make dev PROJECT={directory}` opens Dagster and MLflow on it"
    )


def enroll(demo: Demo, project: Project) -> None:
    """Give the centre and one site their trust, their pack keys, and the site its token for the centre."""
    root, source = str(demo.project / "public/metadata/1.root.json"), str(demo.project / "public")
    classes = {site.site: site.site_class for site in project.fleet.sites}
    keys = {name: demo.pack_key(classes[name]) for name in (SITE, "central")}
    demo.run("lading-central", "enroll", "--root", root, "--from", source, "--pack-key-file", str(keys["central"]))
    token = demo.central / f"{SITE}.token"
    token.write_text(demo.run("lading-central", "token", SITE, capture=True))
    token.chmod(0o600)
    named = ["--site", SITE, "--central-token-file", str(token), "--pack-key-file", str(keys[SITE])]
    demo.run("lading-site", "enroll", "--root", root, "--from", source, *named)


def notes(demo: Demo, project: Project) -> tuple[str, str, str]:
    """Three real notes of the test split: one that the site answers, and two that it defers and the centre answers.

    Raises:
        LadingError: the two models never differ in that way.
    """
    from pipelines.steps.models import rows
    from runtimes.engine import Engine, load
    from runtimes.sync import bundle_folder, load_active

    def opened(state: Path) -> tuple[Engine, float]:
        active = load_active(state)
        if active is None:
            raise LadingError(f"{state}: nothing is active after the sync")
        threshold = active.workflows[WORKFLOW].defer_threshold
        return load(bundle_folder(state, active, WORKFLOW)), threshold

    edge, edge_threshold = opened(demo.site)
    central, central_threshold = opened(demo.central)
    corpus = project.store.latest("corpus", WORKFLOW)
    sure, unsure = "", []
    for row in rows(corpus.path, "test"):
        here = edge.classify(row["text"]).confidence >= edge_threshold
        sure = sure or (row["text"] if here else "")
        if not here and central.classify(row["text"]).confidence >= central_threshold:
            unsure.append(row["text"])
        if sure and len(unsure) == 2:
            return sure, unsure[0], unsure[1]
    raise LadingError("the test split has no two notes that the site defers and the centre answers")


def question(demo: Demo, project: Project) -> tuple[str, str]:
    """A real question of the test split that the site answers rightly, and the document that it answers from.

    Raises:
        LadingError: there is none.
    """
    from evals.questions import read_questions
    from runtimes.serving import Serving

    serving = Serving(demo.site)
    active, today = serving.active(), date.today()
    surest: tuple[float, str, str] = (serving.threshold(active, LIBRARY), "", "")
    corpus = project.store.latest("corpus", LIBRARY)
    for one in read_questions(corpus.path, "test").questions:
        found = serving.find(active, LIBRARY, one.text, on=today)
        first = found.hits[0].passage if found.hits else None
        if first is not None and first.id in one.relevant and first.page and found.confidence >= surest[0]:
            surest = (found.confidence, one.text, first.document)
    if not surest[1]:
        raise LadingError("the test split has no question that the site answers rightly")
    return surest[1], surest[2]


def expect(answer: dict[str, Any], status: str, where: str) -> None:
    """Refuse to show something else than was announced.

    Raises:
        LadingError: the answer is of another kind.
    """
    found = (answer["status"], answer["produced_by"]["where"])
    if found != (status, where):
        raise LadingError(f"expected a request to be {status} by {where}, found {found}: {answer['reason']}")


if __name__ == "__main__":
    import typer

    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    program.run(app, "demo")
