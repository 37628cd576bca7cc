"""Project files: what is valid, and the one clear error of what is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import ConfigError, UsageError
from pipelines.cli.plans import BUILDS, MODELS, PAGES, TIMES, Run, plan
from pipelines.cli.runs import locked
from pipelines.project.load import find_project, load_project

pytestmark = pytest.mark.unit
Write = Callable[..., Path]


def test_valid_project(project_folder: Write) -> None:
    project = load_project(project_folder())
    assert project.settings.name == "acme"
    assert project.builds() == [("triage", "edge")]
    assert project.workflow("triage").base.title == "all-MiniLM-L6-v2"
    assert project.fleet.sites[0].channel == "stable"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("workflows__triage_yaml", "owner: desk", "owner: desk\nowners: x", r"workflows/triage.yaml:3: owners: unknown key; known here: .*owner"),
        ("workflows__triage_yaml", "margin: 0.05", "margin: 0.05, marginn: 1", r"triage.yaml:8: gates.marginn: unknown key; known here: confidence"),
        ("workflows__triage_yaml", "title: Triage\n", "", r"triage.yaml:1: title: missing; add it"),
        ("workflows__triage_yaml", "floor: 0.5", "floor: 5", r"triage.yaml:8: gates.floor: .*less than or equal to 1, found 5"),
        ("workflows__triage_yaml", "task: classify", "task: guess", r"triage.yaml:3: task: .*found 'guess'"),
        ("workflows__triage_yaml", "corpora/triage.sql", "corpora/other.sql", r"corpora/other.sql: no such file"),
        ("workflows__triage_yaml", "offline: full", "offline: full, profiles: 3", r"placement.profiles: unknown key"),
        ("workflows__triage_yaml", "owner: desk", "owner: desk\nprofiles: [edgy]", r"profiles: edgy is not in this project; there are: edge"),
        ("workflows__triage_yaml", "owner: desk", "owner: desk\ntitle: Again", r"triage.yaml:3: not YAML: found duplicate key"),
        ("workflows__triage_yaml", "owner: desk", "owner: [desk", r"triage.yaml:\d+: not YAML"),
        ("profiles__edge_yaml", "isa: x86-64-v3", "isa: x86-64-v9", r"profiles/edge.yaml:2: isa: .*found 'x86-64-v9'"),
        ("profiles__edge_yaml", "tokens: 128", "tokens: 128, speed: 3", r"edge.yaml:5: latency.speed: unknown key"),
        ("profiles__edge_yaml", "cores: 1", "cores: none", r"edge.yaml:3: cores: .*found 'none'"),
        ("sources__erp_yaml", "cursor: updated_at", "cursor: changed", r"sources/erp.yaml:\d+: tables.notes: changed is a key or the cursor but is not listed"),
        ("sources__erp_yaml", "label: internal", "label: secret", r"sources/erp.yaml:\d+: tables.notes.columns.label.*found 'secret'"),
        ("fleet_yaml", "threshold: 2", "threshold: 3", r"fleet.yaml:2: channels.stable: threshold 3 is more than the 2 managers"),
        ("fleet_yaml", "managers: [alice, bob]", "managers: [bob, bob]", r"fleet.yaml:2: channels.stable: managers: a name appears twice"),
        ("fleet_yaml", "site: north, site_class", "site: north, workflows: [sort], site_class", r"sites: north: workflows: sort is not in this project"),
        ("fleet_yaml", "  - {site: north, site_class: warehouse}", "  - {site: a, site_class: b}\n  - {site: a, site_class: b}", r"fleet.yaml:.*sites: a appears twice"),
        ("fleet_yaml", "site: north, site_class", "site: north, kind: central, profile: edge, site_class", r"profile: edge is not for a site of kind central"),
        ("lading_yaml", "name: acme", "name: Acme Corp", r"lading.yaml:1: name: .*found 'Acme Corp'"),
        ("lading_yaml", "name: acme\ntitle: Acme\n", "- a list", r"lading.yaml:1: expected `key: value` lines"),
        ("lading_yaml", "name: acme\ntitle: Acme\n", "", r"lading.yaml:1: name: missing"),
    ],
)  # fmt: skip
def test_error_names_file_line_and_field(project_folder: Write, file: str, old: str, new: str, said: str) -> None:
    root = project_folder(**{file: (old, new)})
    with pytest.raises(ConfigError) as caught:
        load_project(root)
    assert re.search(said, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_two_files_of_one_name(project_folder: Write) -> None:
    root = project_folder()
    (root / "profiles" / "edge.yml").write_text((root / "profiles" / "edge.yaml").read_text())
    with pytest.raises(ConfigError, match=r"profiles/edge.yml:1: name: edge is taken by another file"):
        load_project(root)


@pytest.mark.parametrize("folder", ["workflows", "profiles"])
def test_project_without_workflow_or_profile(project_folder: Write, folder: str) -> None:
    root = project_folder()
    for path in (root / folder).iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=f"{folder}/: no YAML file there"):
        load_project(root)


def test_missing_file(project_folder: Write) -> None:
    root = project_folder()
    (root / "fleet.yaml").unlink()
    with pytest.raises(ConfigError, match=r"fleet.yaml: missing; `lading init`"):
        load_project(root)


def test_name_that_is_not_there_gets_a_hint(project_folder: Write) -> None:
    project = load_project(project_folder())
    with pytest.raises(UsageError, match="did you mean triage"):
        project.workflow("triag")
    with pytest.raises(UsageError, match="there are: edge"):
        project.profile("zzz")


def test_which_project(project_folder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project_folder()
    monkeypatch.delenv("LADING_PROJECT", raising=False)
    monkeypatch.chdir(root / "profiles")
    assert find_project() == root
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="use --project DIR, LADING_PROJECT"):
        find_project()
    monkeypatch.setenv("LADING_PROJECT", str(root))
    assert find_project() == root
    with pytest.raises(UsageError, match="no lading.yaml there"):
        find_project(tmp_path)


def test_plan_shares_models_between_profiles(project_folder: Write) -> None:
    root = project_folder()
    (root / "profiles" / "second.yaml").write_text((root / "profiles" / "edge.yaml").read_text())
    project = load_project(root)
    assert plan(project) == [
        Run(("erp_tables",)),
        Run(MODELS, workflow="triage", parallel=True),
        Run(BUILDS, workflow="triage", profile="edge", parallel=True),
        Run(BUILDS, workflow="triage", profile="second", parallel=True),
        Run(TIMES, workflow="triage", profile="edge"),
        Run(TIMES, workflow="triage", profile="second"),
        Run(PAGES, workflow="triage", profile="edge"),
        Run(PAGES, workflow="triage", profile="second"),
        Run(("fleet_manifest",), channel="candidates"),
    ]
    assert not [run for run in plan(project, profiles=["second"]) if run.profile == "edge"]
    with pytest.raises(UsageError, match="did you mean second"):
        plan(project, profiles=["secnd"])


def test_what_measures_time_is_done_alone(project_folder: Write) -> None:
    root = project_folder(profiles__edge_yaml=("recipes: [int8-reduced-range]", "recipes: [int8-reduced-range, fp32]"))
    alone = [run.assets for run in plan(load_project(root)) if not run.parallel]
    assert alone == [("erp_tables",), BUILDS, TIMES, PAGES, ("fleet_manifest",)]


def test_profile_that_a_workflow_does_not_want(project_folder: Write) -> None:
    root = project_folder(workflows__triage_yaml=("owner: desk", "owner: desk\nprofiles: [edge]"))
    (root / "profiles" / "second.yaml").write_text((root / "profiles" / "edge.yaml").read_text())
    with pytest.raises(UsageError, match="nothing to build"):
        plan(load_project(root), profiles=["second"])


def test_second_build_is_refused_and_says_who_holds_the_project(project_folder: Write) -> None:
    from fleet_manifests import StorageError

    project = load_project(project_folder())
    with locked(project), pytest.raises(StorageError, match=r"held by process \d+; wait"), locked(project):
        pass
    with locked(project):
        pass
