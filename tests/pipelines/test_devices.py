"""Registering devices: which key speaks for which site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import ConfigError, RefusedError, UsageError
from fleet_manifests.receipt import key_fingerprint
from pipelines.project.load import load_project
from pipelines.steps.devices import add_device
from runtimes.device import KEY_FILE, ensure_key, load_key

pytestmark = pytest.mark.unit


@pytest.fixture
def public(tmp_path: Path) -> Callable[[str], Path]:
    """Makes the public key of a device, in a file."""

    def make(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        ensure_key(tmp_path / name)
        path = tmp_path / f"{name}.pem"
        path.write_bytes(load_key(tmp_path / name).public_pem)
        return path

    return make


@pytest.fixture
def root(project_folder: Callable[..., Path]) -> Path:
    made = project_folder()
    with (made / "fleet.yaml").open("a") as stream:
        stream.write("  - {site: south, site_class: warehouse}\n")
    return made


def test_a_registered_device_is_part_of_the_project(root: Path, public: Callable[[str], Path]) -> None:
    model = 'Intel(R) "N100" @ 1.2: GHz'
    made = add_device(load_project(root), "north", public("a"), cpu_model=model)
    found = load_project(root).devices
    assert dict(found) == {"north": made}
    assert (made.cpu_model, made.fingerprint) == (model, key_fingerprint(public("a").read_bytes()))
    text = (root / "devices" / "north.yaml").read_text()
    assert add_device(load_project(root), "north", public("a"), cpu_model=model) == made
    assert (root / "devices" / "north.yaml").read_text() == text


def test_one_key_is_one_device(root: Path, public: Callable[[str], Path]) -> None:
    add_device(load_project(root), "north", public("a"))
    with pytest.raises(RefusedError, match="is the device key of north already"):
        add_device(load_project(root), "south", public("a"))
    (root / "devices" / "south.yaml").write_bytes((root / "devices" / "north.yaml").read_bytes())
    with pytest.raises(ConfigError, match=r"devices/south\.yaml: public_key: is the key of north too"):
        load_project(root)


def test_another_key_of_a_site_needs_to_be_said(root: Path, public: Callable[[str], Path]) -> None:
    add_device(load_project(root), "north", public("a"))
    with pytest.raises(RefusedError, match="--replace takes its place"):
        add_device(load_project(root), "north", public("b"))
    made = add_device(load_project(root), "north", public("b"), replace=True)
    assert load_project(root).devices["north"] == made


def test_what_is_no_site_or_no_public_key_is_refused(root: Path, public: Callable[[str], Path], tmp_path: Path) -> None:
    project = load_project(root)
    with pytest.raises(UsageError, match=r"site west: not in fleet\.yaml; there are: north, south"):
        add_device(project, "west", public("a"))
    with pytest.raises(UsageError, match="No such file"):
        add_device(project, "north", tmp_path / "none.pem")
    with pytest.raises(UsageError, match="expected the public key of a device"):
        add_device(project, "north", tmp_path / "a" / KEY_FILE)
    assert not (root / "devices").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("public_key: hello\n", r"devices/north\.yaml:1: public_key: expected the public key of a device"),
        ("public_key: x\nsecret: y\n", r"devices/north\.yaml:2: secret: unknown key"),
        ("cpu_model: x\n", r"devices/north\.yaml:1: public_key: missing"),
    ],
)
def test_a_device_file_that_says_something_else_is_refused(root: Path, text: str, said: str) -> None:
    (root / "devices").mkdir()
    (root / "devices" / "north.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_project(root)


def test_a_device_of_no_site_is_refused(root: Path, public: Callable[[str], Path]) -> None:
    add_device(load_project(root), "north", public("a"))
    (root / "devices" / "north.yaml").rename(root / "devices" / "west.yaml")
    with pytest.raises(ConfigError, match=r"devices/west\.yaml: name: west is not in this project"):
        load_project(root)
