"""`lading-site`: exit codes, one line on stderr, JSON for scripts."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.edge import cli
from runtimes.edge.service import OUTBOX_FILE, TOKEN_FILE
from runtimes.sync.site import SITE_FILE

pytestmark = pytest.mark.unit

SURE = "short on the pallet"


@pytest.fixture
def run(tree: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command on the site's state; exit code, stdout, stderr."""
    monkeypatch.setenv("LADING_SITE_STATE", str(tree.state))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_help_teaches(run: Callable[..., Any]) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in ("enroll", "sync", "status", "ask", "serve", "flush", "audit"):
        assert command in out
        code, text, _ = run(command, "--help")
        assert code == 0
        assert f"Example: lading-site {command}" in " ".join(text.split())


def test_version(run: Callable[..., Any]) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"lading-site \S+\n", out)


@pytest.mark.parametrize("words", [["bogus"], ["ask"], ["ask", "exception_triage"], ["serve", "--port", "x"]])
def test_bad_usage_is_2(run: Callable[..., Any], words: list[str]) -> None:
    code, _, err = run(*words)
    assert code == 2
    assert err


def test_ask_answers(run: Callable[..., Any], tree: Any) -> None:
    tree.activate(3)
    code, out, err = run("ask", "exception_triage", "--text", SURE, "--id", "r1")
    assert (code, err) == (0, "")
    assert out.startswith("short (confidence 0.96)\nanswered, produced at edge: stable 3, edge-test, sha256:")
    code, out, _ = run("ask", "exception_triage", "--text", SURE, "--id", "r1", "--json")
    assert json.loads(out)["produced_by"]["manifest_version"] == 3


def test_ask_defers_and_says_why(run: Callable[..., Any], tree: Any) -> None:
    tree.activate(3)
    code, out, _ = run("ask", "exception_triage", "--text", "canteen", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["status"] == "deferred"
    assert "below the threshold" in said["reason"]


def test_ask_reads_standard_input(run: Callable[..., Any], tree: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    tree.activate(3)
    monkeypatch.setattr("sys.stdin", io.StringIO(SURE))
    code, out, _ = run("ask", "exception_triage", "--text", "-", "--json")
    assert code == 0
    assert json.loads(out)["label"] == "short"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ask", "nothing", "--text", SURE), 2, "error: workflow 'nothing' is unknown; known here: exception_triage"),
        (("ask", "exception_triage", "--text", " "), 2, "error: text: is empty"),
        (("ask", "exception_triage", "--text", "short " * 300), 1, "error: text: at most 1000 characters"),
        (("ask", "exception_triage", "--text", SURE, "--id", "a b"), 2, "error: id:"),
        (("serve", "--host", "0.0.0.0"), 2, "error: --host 0.0.0.0: other machines could reach this"),
        (("serve", "--host", "0.0.0.0", "--allow-remote"), 2, "error: --allow-remote: an --api-token-file is needed"),
        (("serve", "--host", "192.0.2.1", "--allow-remote", "--api-token-file", "TOKEN"), 2, "cannot listen there"),
        (("serve", "--api-token-file", "nowhere"), 2, "error: nowhere: a file with one token is expected"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(
    run: Callable[..., Any], tree: Any, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    tree.activate(1)
    token = tmp_path / "token"
    token.write_text("secret\n")
    found, out, err = run(*[str(token) if word == "TOKEN" else word for word in words])
    assert (found, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_nothing_active_is_1(run: Callable[..., Any]) -> None:
    code, _, err = run("ask", "exception_triage", "--text", SURE)
    assert code == 1
    assert err.startswith("error: no version is active")


@pytest.mark.parametrize(
    "command", [("status",), ("ask", "x", "--text", "y"), ("serve",), ("flush",), ("audit",), ("sync",)]
)
def test_a_folder_that_is_not_enrolled_is_2_and_stays_as_it_is(
    run: Callable[..., Any], tmp_path: Path, command: tuple[str, ...]
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    code, _, err = run(*command, "--state", str(stranger))
    assert code == 2
    assert "not enrolled" in err
    assert list(stranger.iterdir()) == []


def test_status(run: Callable[..., Any], tree: Any) -> None:
    code, out, _ = run("status")
    assert code == 0
    assert "nothing yet; run `sync`" in out
    assert not (tree.state / OUTBOX_FILE).exists()
    tree.activate(3)
    run("ask", "exception_triage", "--text", "canteen")
    code, out, _ = run("status")
    assert "active: stable 3, profile edge-test" in out
    assert "1 queued" in out
    code, out, _ = run("status", "--json")
    said = json.loads(out)
    assert said["active"]["manifest_version"] == 3
    assert said["outbox"]["queued"] == 1


def test_flush_that_cannot_deliver_is_1(run: Callable[..., Any], tree: Any) -> None:
    tree.activate(1)
    assert run("flush")[0] == 0
    run("ask", "exception_triage", "--text", "canteen")
    code, out, err = run("flush", "--json")
    assert code == 1
    assert json.loads(out)["left"] == 1
    assert err.startswith("error: no centre")


def test_audit_shows_and_verifies(run: Callable[..., Any], tree: Any) -> None:
    tree.activate(1)
    run("ask", "exception_triage", "--text", SURE, "--id", "r1")
    code, out, _ = run("audit")
    assert code == 0
    assert "request r1 exception_triage answered short" in out
    assert "pallet" not in out
    code, out, _ = run("audit", "--verify", "--json")
    assert code == 0
    assert json.loads(out)["records"] == 1
    with sqlite3.connect(tree.state / OUTBOX_FILE) as thief:
        thief.execute("DROP TRIGGER records_are_not_changed")
        thief.execute("UPDATE records SET body = replace(body, 'short', 'late')")
    code, _, err = run("audit", "--verify")
    assert code == 1
    assert "record 1 is not what was written" in err


def test_enroll_keeps_the_token_for_its_owner(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("one two\n")
    state = tmp_path / "new"
    words = (
        "enroll",
        "--root",
        str(tmp_path / "root.json"),
        "--from",
        "https://x",
        "--site",
        "s",
        "--state",
        str(state),
    )
    code, _, err = run(*words, "--central-token-file", str(token))
    assert code == 2
    assert "exactly one token is expected, found 2 words" in err
    assert not state.exists()
    code, _, err = run(*words)
    assert code == 2
    assert "root.json" in err
    assert not (state / SITE_FILE).exists()
    assert not (state / TOKEN_FILE).exists()


def test_sync_of_an_unreachable_source_is_1(
    run: Callable[..., Any], tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet_manifests import UnreachableError

    def unreachable(*args: Any, **kwargs: Any) -> None:
        kwargs["progress"](0.5, "fetching")
        raise UnreachableError("https://fleet.example: no answer")

    monkeypatch.setattr("runtimes.sync.sync", unreachable, raising=False)
    code, out, err = run("sync", "--json")
    assert (code, out, err) == (1, "", "error: https://fleet.example: no answer\n")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_sync_says_what_it_did(
    run: Callable[..., Any], tree: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    from runtimes.sync import SyncResult

    active = tree.activate(3, skipped={"other": "no build for edge-test"})
    result = SyncResult(
        changed=True, active=active, fetched_bytes=2_500_000, reused_blobs=4, rebuilt_blobs=1, seconds=1.25
    )
    monkeypatch.setattr("runtimes.sync.sync", lambda *args, **kwargs: result, raising=False)
    code, out, _ = run("sync", *words)
    assert code == 0
    if words:
        assert json.loads(out)["manifest_version"] == 3
    else:
        assert out.startswith("store-017 now runs stable 3, profile edge-test: 2.5 MB fetched, 4 blobs reused")
        assert "other: not here: no build for edge-test" in out
