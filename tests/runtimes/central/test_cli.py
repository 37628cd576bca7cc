"""`lading-central`: exit codes, the token shown once, the human queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.central import cli
from runtimes.central.service import Centre
from runtimes.deferrals import Deferral

pytestmark = pytest.mark.unit


@pytest.fixture
def run(central_tree: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command on the centre's state; exit code, stdout, stderr."""
    monkeypatch.setenv("LADING_CENTRAL_STATE", str(central_tree.state))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize(
    "command",
    [("enroll",), ("sync",), ("status",), ("token",), ("serve",), ("audit",), ("queue", "list"), ("queue", "answer")],
)
def test_help_teaches(run: Callable[..., Any], command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"Example: lading-central {' '.join(command)}" in " ".join(out.split())


def test_a_token_is_printed_once_and_works(run: Callable[..., Any], centre: Centre) -> None:
    code, out, _ = run("token", "store-017")
    assert code == 0
    assert out.count("\n") == 1
    assert centre.store.site_of(out.strip()) == "store-017"
    assert "store-017" in run("status")[1]
    assert out.strip() not in run("audit", "--json")[1] + run("status", "--json")[1]
    assert run("token", "store-017", "--revoke")[0] == 0
    assert centre.store.site_of(out.strip()) is None
    code, _, err = run("token", "store-017", "--revoke")
    assert code == 2
    assert "has no token" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("token", "Store 17"), 2, "error: site 'Store 17': small letters"),
        (("serve", "--host", "0.0.0.0"), 2, "give --tls-certificate and --tls-key, or say --behind-proxy"),
        (("serve", "--tls-certificate", "x.pem"), 2, "both are needed, or none"),
        (("serve", "--tls-certificate", "x.pem", "--tls-key", "y.pem"), 2, "x.pem: a PEM file was expected"),
        (("queue", "answer", "s", "r9", "--label", "late", "--by", "maria"), 2, "request 'r9' of site 's' is not here"),
        (("queue",), 2, ""),
        (("bogus",), 2, ""),
    ],
)
def test_what_goes_wrong_is_a_code_and_a_line(
    run: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = run(*words)
    assert found == code
    assert said in err
    assert "Traceback" not in err


def test_the_human_queue(run: Callable[..., Any], centre: Centre, deferral: Callable[..., Deferral]) -> None:
    assert run("queue", "list")[1] == "nothing waits\n"
    centre.take(deferral(text="where is the canteen"))
    code, out, _ = run("queue", "list")
    assert code == 0
    assert out == "store-017 r1 exception_triage, the site would say damage 0.49\n  where is the canteen\n"
    (question,) = json.loads(run("queue", "list", "--json")[1])
    assert question["deferral"]["id"] == "r1"
    words = ("queue", "answer", "store-017", "r1", "--by", "maria", "--label")
    assert run(*words, "lunch")[0] == 2
    assert run(*words, "late")[:2] == (0, "store-017 r1: late, by maria\n")
    code, _, err = run(*words, "late")
    assert code == 1
    assert "does not wait for a person" in err


def test_audit_verifies(run: Callable[..., Any], centre: Centre, deferral: Callable[..., Deferral]) -> None:
    centre.take(deferral())
    code, out, _ = run("audit", "--verify")
    assert code == 0
    assert out.startswith("1 records, whole and in order")


def test_a_folder_that_is_not_enrolled_is_2(run: Callable[..., Any], tmp_path: Path) -> None:
    code, _, err = run("token", "store-017", "--state", str(tmp_path / "nowhere"))
    assert code == 2
    assert "not enrolled" in err
    assert not (tmp_path / "nowhere").exists()
