"""A profile that the factory cannot measure: offered, measured at a site, imported, promoted. And all that is refused."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from securesystemslib.dsse import Envelope

from evals import accuracy
from evals.robustness import DISTURBED
from fleet_manifests import (
    BaseRef,
    BundleConfig,
    HardwareProfile,
    HostFacts,
    LatencyReport,
    Machine,
    Measurement,
    MeasurementCases,
    RefusedError,
    Task,
    UsageError,
    Verdict,
    digest_of,
    dump,
)
from fleet_manifests.bundle import BUNDLE_FILE, bundle_name
from fleet_manifests.evidence import now
from fleet_manifests.receipt import SUFFIX
from pipelines.project.load import Project, load_project
from pipelines.steps import evidence, receipts
from pipelines.steps.approvals import promote
from pipelines.steps.builds import VALIDATION
from pipelines.steps.devices import add_device
from pipelines.steps.outcomes import outcomes
from pipelines.steps.received import counting, evidence_of, kept
from pipelines.steps.release import offer, publish, release_of
from pipelines.store import Step
from runtimes.device import DeviceKey, load_key
from runtimes.measure.device import Device, measure
from runtimes.measure.latency import Outcome
from runtimes.measure.outputs import outputs, pack, unpack
from runtimes.measure.receipt import Opened, open_receipt, seal
from runtimes.sync import Agent, enroll, status, sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WORDS = ("damage", "late", "short")
SITE = "north"
ROWS = 200
SIZES = {"test": ROWS, DISTURBED: ROWS, "oos_test": 20}
FACTORY = HostFacts(architecture="x86_64", features=("avx2",), cpu_model="Factory CPU", cores=2, memory_mb=8000)
FIELD = Machine(
    host=HostFacts(
        architecture="x86_64", features=("avx2", "avx512_vnni"), cpu_model="Field CPU", cores=2, memory_mb=8000
    ),
    isa="avx512-vnni",
)
FAST = Outcome(
    load_ms=100, first_answer_ms=5, peak_rss_mb=80, tokens=16, objective_ms=(2.0,) * 700, workload_ms=(1.0,) * 700
)


class Plant:
    """A project with one build that the factory cannot measure, a site, and its device."""

    def __init__(self, root: Path, home: Path, tiny: Path) -> None:
        self.root, self.home, self.tiny = root, home, tiny
        self.measured = 0

    @property
    def project(self) -> Project:
        """Read anew, as each command does."""
        return load_project(self.root)

    def build(self, revision: str = "1", rows: int = ROWS) -> None:
        """What the factory makes of a workflow, as far as releasing can tell."""
        keep, project = self._keep, self.project
        corpus = keep("corpus", "triage", {"rows": rows}, lambda out: self._corpus(out, rows))
        predicted = {split: [row["label"] for row in self._rows(rows, split)] for split in ("test", "validation")}
        on_disturbed = self._answers(accuracy.cases(corpus)[DISTURBED])
        keep("unquantized", "triage", {},
             lambda out: _json(out / "predictions.json", {**predicted, DISTURBED: on_disturbed}))  # fmt: skip
        worse = {split: ["late"] * len(labels) for split, labels in predicted.items()}
        keep("baselines", "triage", {}, lambda out: _json(out / "predictions.json", {"majority": worse}))
        name = bundle_name("triage", "edge")
        keep("quantized_model", name, {"revision": revision},
             lambda out: _json(out / VALIDATION, predicted["validation"]))  # fmt: skip
        keep("bundle", name, {"revision": revision}, lambda out: self._bundle(project, corpus, revision, out))
        evidence.accuracy_report(project, "triage", "edge")
        evidence.latency_report(project, "triage", "edge")

    def release(self) -> None:
        """Offer what was built and publish the assignments."""
        offer(self.project)
        publish(self.project)

    def enroll(self) -> Path:
        """The site's state."""
        state = self.home / "site"
        public = self.root / "public"
        enroll(state, root=public / "metadata" / "1.root.json", source=str(public), site=SITE)
        return state

    def register(self, **changes: Any) -> None:
        """Register the device key."""
        path = self.home / "north.pem"
        path.write_bytes(self.key.public_pem)
        add_device(self.project, SITE, path, **changes)

    @property
    def key(self) -> DeviceKey:
        return load_key(self.home / "site")

    def measure(self, machine: Machine = FIELD, latency: Outcome = FAST) -> Path:
        """Measure at the site, with figures of its own; the receipt's folder."""
        self.measured += 1
        device = Device(version="1.0", machine=lambda: machine, answers=_answers, latency=lambda *_: latency)
        out = self.home / f"receipts-{self.measured}"
        measure(self.home / "site", "triage", out=out, device=device)
        return out

    def open(self, folder: Path) -> Opened:
        (file,) = folder.glob(f"*{SUFFIX}")
        return open_receipt(file.read_bytes(), self.key.public_pem, site=SITE)

    def write(self, raw: bytes) -> Path:
        """A folder with one receipt."""
        self.measured += 1
        folder = self.home / f"made-{self.measured}"
        folder.mkdir()
        (folder / f"x{SUFFIX}").write_bytes(raw)
        return folder

    def again(self, folder: Path, answers: bytes | None = None, latency: Outcome | None = None, **changes: Any) -> Path:
        """The same receipt with other contents, signed by the device: what a dishonest device could send."""
        found = self.open(folder)
        receipt = found.receipt.model_copy(update=changes)
        return self.write(seal(receipt, answers or found.outputs, latency or found.latency, self.key.signer))

    def take(self, folder: Path, **more: Any) -> receipts.Imported:
        return receipts.import_receipts(self.project, folder, **more)

    def refused(self, folder: Path, **more: Any) -> str:
        """Why the only receipt of a folder is refused; nothing of it may count."""
        before = kept(self.project)
        done = self.take(folder, **more)
        assert not done.taken and len(done.problems) == 1, done
        assert kept(self.project) == before
        return done.problems[0].reason

    def verdict(self) -> Verdict:
        (one,) = outcomes(self.project)
        return one.verdict

    def _keep(self, step: str, partition: str, parameters: dict[str, Any], work: Callable[[Path], None]) -> Path:
        made = Step(name=step, inputs={}, parameters={"partition": partition, **parameters}, code=())
        return self.project.store.keep(partition, made, work).path

    def _rows(self, n: int, split: str) -> list[dict[str, str]]:
        return [{"id": f"{split}{i}", "text": f"{WORDS[i % 3]} {split} {i}", "label": WORDS[i % 3]} for i in range(n)]

    def _answers(self, texts: list[str]) -> list[str]:
        """What the model itself answers."""
        from runtimes.engine import load_any

        folder = self.home / "unquantized"
        if not folder.exists():
            shutil.copytree(self.tiny, folder)
            (folder / BUNDLE_FILE).write_bytes(dump(self._config("x86-64", digest_of(b""), "1")))
        return [WORDS[place] for place in load_any(folder).outputs(texts).argmax(axis=1)]

    def _config(self, isa: str, card: str, revision: str) -> BundleConfig:
        return BundleConfig(
            workflow="triage", task=Task.CLASSIFY, profile="edge", isa=isa, recipe="int8", labels=WORDS, max_tokens=16,
            base=BaseRef(name="tiny", revision=revision, digest=digest_of(b"tiny"), licence="Apache-2.0"),
            data_card=card,
        )  # fmt: skip

    def _corpus(self, out: Path, n: int) -> None:
        for split in ("train", "validation", "test"):
            _lines(out / f"{split}.jsonl", self._rows(n, split))
        _lines(out / "oos_test.jsonl", [{"id": f"o{i}", "text": f"weather {i}"} for i in range(20)])
        _json(out / "data_card.json", {"rows": n, "licences": []})

    def _bundle(self, project: Project, corpus: Path, revision: str, out: Path) -> None:
        from pipelines.steps.configs import author_of, resolved_profile
        from release import assemble, sign_bundle

        card = corpus / "data_card.json"
        isa = resolved_profile(project, "edge").isa
        config = self._config(isa, digest_of(card.read_bytes()), revision)
        files = {name: self.tiny / name for name in ("model.onnx", "tokenizer.json")}
        assemble({**files, "data_card.json": card}, config, out)
        sign_bundle(out, author_of(project))


def _answers(folder: Path, cases: MeasurementCases, profile: HardwareProfile) -> bytes:
    """What the process of its own would answer, in this one."""
    return pack(outputs(folder, cases.texts))


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, project_files: dict[str, str], tiny_bundle: Path) -> Path:
    """A plant that was built, offered and published, to be copied."""
    folder = tmp_path_factory.mktemp("plant")
    changes = {"isa: x86-64-v3": "isa: avx512-vnni"}
    for name, text in project_files.items():
        path = folder / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for old, new in changes.items():
            text = text.replace(old, new)
        path.write_text(text.replace("int8-reduced-range", "int8").replace("[alice, bob], threshold: 2", "[alice]"))
    (folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        _elsewhere(patch, folder)
        plant = Plant(folder / "project", folder / "home", tiny_bundle)
        plant.build()
        plant.release()
    return folder


def _elsewhere(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The factory runs on a machine that is not of the profile."""
    patch.setenv("LADING_KEYS", str(folder / "keys"))
    patch.setattr("runtimes.engine.host.facts", lambda: FACTORY)


@pytest.fixture
def plant(built: Path, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A plant of the test's own, with an enrolled site whose device is registered."""
    for name in ("project", "keys", "home"):
        shutil.copytree(built / name, tmp_path / name)
    _elsewhere(monkeypatch, tmp_path)
    made = Plant(tmp_path / "project", tmp_path / "home", tiny_bundle)
    made.enroll()
    made.register(cpu_model="Field CPU")
    return made


def test_what_the_factory_cannot_measure_is_offered_and_may_not_be_promoted(plant: Plant) -> None:
    assert plant.verdict() is Verdict.INCONCLUSIVE
    manifest = release_of(plant.project).manifest("candidates")
    assert manifest is not None
    build = manifest.workflows["triage"].builds["edge"]
    assert build.verdict is Verdict.INCONCLUSIVE and build.cases is not None
    with pytest.raises(RefusedError, match="run `lading-site measure` on a machine that matches"):
        promote(plant.project, "canary")


def test_a_receipt_turns_the_verdict_to_pass_and_the_build_is_promoted(plant: Plant) -> None:
    folder = plant.measure()
    done = plant.take(folder)
    assert not done.refused
    (taken,) = done.taken
    assert (taken.site, taken.accuracy, taken.latency) == (SITE, Verdict.PASS, Verdict.PASS), taken.reasons
    assert plant.verdict() is Verdict.PASS
    found = evidence_of(plant.project, "triage", "edge")
    for report in (evidence.read_accuracy(found["accuracy_report"]), evidence.read_latency(found["latency_report"])):
        assert (report.site, report.receipt, report.machine) == (SITE, taken.receipt, FIELD)
        assert report.measurement is Measurement.MEASURED
    promote(plant.project, "stable", managers=["alice"])
    promote(plant.project, "canary")
    for channel in ("stable", "canary"):
        manifest = release_of(plant.project).manifest(channel)
        assert manifest is not None
        build = manifest.workflows["triage"].builds["edge"]
        assert build.verdict is Verdict.PASS and build.cases is None, "texts to measure with are for candidates only"


def test_the_site_measures_with_real_processes_and_serves_what_it_served(plant: Plant) -> None:
    plant.take(plant.measure())
    promote(plant.project, "stable", managers=["alice"])
    plant.build(revision="2")
    plant.release()
    state = plant.home / "site"
    sync(state, agent=Agent(version="1.0", facts=lambda: FIELD.host))
    before, files = status(state), _files(state)
    device = Device(version="1.0", machine=lambda: FIELD)
    done = measure(state, "triage", out=plant.home / "out", device=device)
    after = status(state)
    assert after.active == before.active and after.last_sync == before.last_sync
    changed = {name for name in files.keys() | _files(state).keys() if files.get(name) != _files(state).get(name)}
    assert {name.split("/")[0] for name in changed} <= {"metadata", "floor.json", "measuring.lock"}
    assert done.receipt.bundle != before.active.workflows["triage"].bundle  # type: ignore[union-attr]
    assert len(done.latency.objective_ms) >= 662 and done.latency.peak_rss_mb > 10
    assert [one.site for one in plant.take(plant.home / "out").taken] == [SITE]


def _files(state: Path) -> dict[str, str]:
    return {
        path.relative_to(state).as_posix(): digest_of(path.read_bytes()) for path in state.rglob("*") if path.is_file()
    }


def test_offering_and_importing_again_change_nothing(plant: Plant) -> None:
    before = release_of(plant.project).manifest("candidates")
    assert offer(plant.project).manifest == before
    folder = plant.measure()
    plant.take(folder)
    first = offer(plant.project).manifest
    assert first.workflows["triage"].builds["edge"].verdict is Verdict.PASS
    done = plant.take(folder)
    assert [one.known for one in done.refused] == [True] and not done.problems and not done.taken
    assert offer(plant.project).manifest == first


def test_a_receipt_that_fails_is_a_fail(plant: Plant) -> None:
    slow = FAST.model_copy(update={"objective_ms": (900.0,) * 700})
    (taken,) = plant.take(plant.measure(latency=slow)).taken
    assert taken.latency is Verdict.FAIL and any("900" in reason for reason in taken.reasons)
    assert plant.verdict() is Verdict.FAIL
    with pytest.raises(RefusedError, match="nothing may enter canary"):
        promote(plant.project, "canary")


def test_a_process_that_died_on_the_device_is_a_fail(plant: Plant) -> None:
    dead = Outcome(failure="memory", message="the measuring process ran out of memory at 3072 MB")
    (taken,) = plant.take(plant.measure(latency=dead)).taken
    assert taken.latency is Verdict.FAIL and any("ran out of memory" in reason for reason in taken.reasons)


def test_wrong_answers_of_a_device_fail_by_the_factorys_own_references(plant: Plant) -> None:
    folder = plant.measure()
    found = plant.open(folder)
    answers = unpack(found.outputs, SIZES, where="x")
    answers["test"] = np.roll(answers["test"], 1, axis=1)
    (taken,) = plant.take(plant.again(folder, pack(answers))).taken
    assert taken.accuracy is Verdict.FAIL


def test_the_gates_are_those_of_today(plant: Plant) -> None:
    plant.take(plant.measure())
    assert plant.verdict() is Verdict.PASS
    path = plant.root / "profiles" / "edge.yaml"
    path.write_text(path.read_text().replace("milliseconds: 400", "milliseconds: 1"))
    with pytest.raises(RefusedError):
        promote(plant.project, "canary")


def test_a_key_that_is_taken_away_takes_its_receipts_along(plant: Plant) -> None:
    plant.take(plant.measure())
    (plant.root / "devices" / f"{SITE}.yaml").unlink()
    assert plant.verdict() is Verdict.INCONCLUSIVE
    assert kept(plant.project), "the receipt is kept"


def other_key(plant: Plant) -> DeviceKey:
    other = plant.home / "other"
    public = plant.root / "public"
    enroll(other, root=public / "metadata" / "1.root.json", source=str(public), site=SITE)
    return load_key(other)


def resigned(raw: bytes, key: DeviceKey, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The statement changed and signed properly."""
    statement = json.loads(base64.b64decode(json.loads(raw)["payload"]))
    change(statement)
    fresh = Envelope(json.dumps(statement).encode(), "application/vnd.in-toto+json", {})
    fresh.sign(key.signer)
    return json.dumps(fresh.to_dict()).encode()


def only(folder: Path) -> bytes:
    (file,) = folder.glob(f"*{SUFFIX}")
    return file.read_bytes()


def test_a_receipt_by_another_key_is_refused(plant: Plant) -> None:
    found = plant.open(plant.measure())
    forged = seal(found.receipt, found.outputs, found.latency, other_key(plant).signer)
    assert "is not signed by the device key of site north" in plant.refused(plant.write(forged))


def test_a_receipt_of_a_site_without_a_registered_device_is_refused(plant: Plant) -> None:
    folder = plant.measure()
    (plant.root / "devices" / f"{SITE}.yaml").unlink()
    assert "site north has no registered device; `lading device add north" in plant.refused(folder)
    (plant.root / "fleet.yaml").write_text(
        (plant.root / "fleet.yaml").read_text() + "  - {site: south, site_class: x}\n"
    )
    assert "site south has no registered device" in plant.refused(plant.again(folder, site="south"))


def test_a_receipt_of_another_site_than_the_keys_is_refused(plant: Plant) -> None:
    (plant.root / "fleet.yaml").write_text(
        (plant.root / "fleet.yaml").read_text() + "  - {site: south, site_class: x}\n"
    )
    path = plant.home / "south.pem"
    path.write_bytes(other_key(plant).public_pem)
    add_device(plant.project, "south", path)
    assert "not signed by the device key of site south" in plant.refused(plant.again(plant.measure(), site="south"))


@pytest.mark.parametrize("place", [0, 1, 2], ids=["receipt", "outputs", "latency"])
def test_altered_contents_are_refused(plant: Plant, place: int) -> None:
    raw = json.loads(only(plant.measure()))
    statement = json.loads(base64.b64decode(raw["payload"]))
    inside = statement["predicate"]["configuration"][place]
    content = bytearray(base64.b64decode(inside["content"]))
    content[len(content) // 2] ^= 1
    inside["content"] = base64.b64encode(content).decode()
    raw["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    assert plant.refused(plant.write(json.dumps(raw).encode())).startswith("receipt")


def better(statement: dict[str, Any]) -> None:
    statement["predicate"]["result"] = "PASSED"


def other_subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def other_name(statement: dict[str, Any]) -> None:
    statement["subject"][0]["name"] = "triage--other"


def no_latency(statement: dict[str, Any]) -> None:
    del statement["predicate"]["configuration"][2]


def twice(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"][2] = statement["predicate"]["configuration"][1]


def other_digest(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"][1]["digest"]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (better, "says something else than the receipt in it"),
        (other_subject, "says something else than the receipt in it"),
        (other_name, "says something else than the receipt in it"),
        (no_latency, "expected receipt, outputs, latency inside"),
        (twice, "outputs is enclosed twice"),
        (other_digest, "outputs has another digest"),
    ],
)
def test_a_statement_that_contradicts_its_receipt_is_refused(plant: Plant, change: Any, said: str) -> None:
    raw = resigned(only(plant.measure()), plant.key, change)
    assert said in plant.refused(plant.write(raw))


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"payload": "", "payloadType": 1}', b"[" * 5000])
def test_what_is_no_envelope_is_refused(plant: Plant, raw: bytes) -> None:
    assert plant.refused(plant.write(raw)).startswith("receipt")


def test_a_receipt_that_is_too_large_is_refused(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant.measure()
    monkeypatch.setattr("pipelines.steps.received.MAX_RECEIPT_BYTES", 1000)
    assert "more than 1000 bytes" in plant.refused(folder)


def test_a_replayed_receipt_is_refused(plant: Plant) -> None:
    folder = plant.measure()
    assert plant.take(folder).taken
    assert "was imported already" in plant.refused(plant.again(folder))
    later = plant.again(folder, taken=now() + timedelta(seconds=30))
    assert "was imported already" in plant.refused(later), "one measurement, dated anew"


def test_a_receipt_older_than_one_imported_is_refused(plant: Plant) -> None:
    slow = FAST.model_copy(update={"objective_ms": (900.0,) * 700})
    good, bad = plant.measure(), plant.measure(latency=slow)
    bad = plant.again(bad, taken=plant.open(good).receipt.taken + timedelta(seconds=2))
    assert plant.take(bad).taken
    assert "was imported already" in plant.refused(good)
    assert plant.verdict() is Verdict.FAIL


def test_receipts_of_one_folder_are_taken_in_the_order_in_which_they_were_made(plant: Plant) -> None:
    first = plant.measure()
    later = plant.again(first, id="0" * 32, taken=plant.open(first).receipt.taken + timedelta(seconds=5))
    shutil.copy(next(first.iterdir()), later / f"zz{SUFFIX}")
    assert len(plant.take(later).taken) == 2


def test_a_receipt_about_a_superseded_bundle_is_refused(plant: Plant) -> None:
    folder = plant.measure()
    old = plant.open(folder).receipt.bundle
    plant.build(revision="2")
    reason = plant.refused(folder)
    assert f"is about bundle {old}, the candidate now is sha256:" in reason and reason.count("sha256:") == 2


def test_a_receipt_that_counted_stops_with_its_bundle(plant: Plant) -> None:
    plant.take(plant.measure())
    assert plant.verdict() is Verdict.PASS
    plant.build(revision="2")
    assert plant.verdict() is Verdict.INCONCLUSIVE


def test_a_receipt_with_other_cases_is_refused(plant: Plant) -> None:
    assert "was measured with cases sha256:0000" in plant.refused(
        plant.again(plant.measure(), cases="sha256:" + "0" * 64)
    )


def test_a_receipt_of_a_build_that_is_not_here_is_refused(plant: Plant) -> None:
    assert "has no such build" in plant.refused(plant.again(plant.measure(), profile="other"))


def test_a_bundle_that_no_manifest_offered_is_refused(plant: Plant) -> None:
    reason = plant.refused(plant.again(plant.measure(), manifest=99))
    assert "candidates version 99 did not offer this bundle" in reason


def test_a_stale_receipt_is_refused(plant: Plant) -> None:
    folder = plant.measure()
    assert "more than 30 days ago" in plant.refused(folder, now=now() + timedelta(days=31))
    fleet = plant.root / "fleet.yaml"
    fleet.write_text(fleet.read_text() + "receipts: {max_age_days: 60}\n")
    assert plant.take(folder, now=now() + timedelta(days=31)).taken


def test_a_receipt_from_the_future_is_refused(plant: Plant) -> None:
    folder = plant.measure()
    assert "in the future" in plant.refused(plant.again(folder, taken=now() + timedelta(minutes=6)))
    assert plant.take(plant.again(folder, taken=now() + timedelta(minutes=4))).taken


def test_a_receipt_from_before_the_offer_is_refused(plant: Plant) -> None:
    reason = plant.refused(plant.again(plant.measure(), taken=now() - timedelta(hours=1)))
    assert "before candidates version" in reason


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"features": ("avx2",)}, "isa avx512-vnni is needed, this machine is x86-64-v3"),
        ({"architecture": "aarch64"}, "isa avx512-vnni is needed"),
        ({"memory_mb": 128}, "512 MB of memory are needed"),
        ({"cpu_model": "Other CPU"}, "measured on Other CPU, the device of north was registered as Field CPU"),
    ],
)
def test_a_receipt_of_the_wrong_machine_is_refused(plant: Plant, host: dict[str, Any], said: str) -> None:
    machine = FIELD.model_copy(update={"host": FIELD.host.model_copy(update=host)})
    assert said in plant.refused(plant.again(plant.measure(), machine=machine))


def test_wrong_hardware_is_refused_before_anything_is_fetched(plant: Plant) -> None:
    old = FIELD.model_copy(update={"host": FACTORY})
    for blob in (plant.root / "public" / "blobs" / "sha256").iterdir():
        blob.unlink()
    with pytest.raises(RefusedError, match="no edge profile of candidates .* fits this machine"):
        plant.measure(machine=old)


BAD_OUTPUTS = {
    "nan": (lambda rows: rows * np.float32("nan"), "not a finite number"),
    "infinite": (lambda rows: rows + np.float32("inf"), "not a finite number"),
    "fewer rows": (lambda rows: rows[:-1], r"expected float32 of shape (200, width)"),
    "doubles": (lambda rows: rows.astype(np.float64), "found float64"),
    "other width": (lambda rows: rows[:, :2], "widths"),
}


@pytest.mark.parametrize("kind", BAD_OUTPUTS)
def test_outputs_that_no_bundle_gives_are_refused(plant: Plant, kind: str) -> None:
    change, said = BAD_OUTPUTS[kind]
    folder = plant.measure()
    found = unpack(plant.open(folder).outputs, SIZES, where="x")
    bad = {**found, "test": change(found["test"])}
    assert said.replace("widths", "one width") in plant.refused(plant.again(folder, pack(bad)))


def test_outputs_of_another_width_than_the_labels_are_refused(plant: Plant) -> None:
    folder = plant.measure()
    found = unpack(plant.open(folder).outputs, SIZES, where="x")
    bad = {split: rows[:, :2] for split, rows in found.items()}
    assert "expected 3 numbers for each text, found 2" in plant.refused(plant.again(folder, pack(bad)))
    assert "expected the splits" in plant.refused(plant.again(folder, pack({"test": found["test"]})))
    assert "found something else" in plant.refused(plant.again(folder, b"PK no"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 8}, "tokens: expected 16, found 8"),
        ({"objective_ms": ()}, "objective_ms: expected latencies above 0 ms"),
        ({"workload_ms": (-1.0,)}, "workload_ms: expected latencies above 0 ms"),
        ({"failure": "integrity", "message": "no"}, "nothing was measured: no"),
    ],
)
def test_latencies_that_no_measurement_has_are_refused(plant: Plant, change: dict[str, Any], said: str) -> None:
    assert said in plant.refused(plant.again(plant.measure(), latency=FAST.model_copy(update=change)))


def test_a_folder_without_receipts_is_bad_usage(plant: Plant, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected receipts \(\*\.receipt\.dsse\.json\)"):
        plant.take(tmp_path)


def test_texts_above_internal_travel_sealed_to_the_class_of_the_site(plant: Plant) -> None:
    from pipelines.steps.packs import export_identity

    workflow = plant.root / "workflows" / "triage.yaml"
    workflow.write_text(workflow.read_text().replace("[internal]", "[internal, customer]", 1))
    plant.release()
    texts = [row["text"].encode() for row in plant._rows(ROWS, "test")]
    blobs = [path.read_bytes() for path in (plant.root / "public" / "blobs" / "sha256").iterdir()]
    sealed = [raw for raw in blobs if raw.startswith(b"age-encryption.org/v1")]
    assert len(sealed) == 1 and not any(text in sealed[0] for text in texts)
    assert offer(plant.project).manifest == release_of(plant.project).manifest("candidates")
    with pytest.raises(RefusedError, match="enroll again with --pack-key-file"):
        plant.measure()
    export_identity(plant.project, "warehouse", plant.home / "warehouse.key")
    public = plant.root / "public"
    enroll(
        plant.home / "site", root=public / "metadata" / "1.root.json", source=str(public), site=SITE,
        pack_key=plant.home / "warehouse.key",
    )  # fmt: skip
    assert plant.take(plant.measure()).taken


def test_texts_that_no_site_may_have_are_not_published(plant: Plant) -> None:
    workflow = plant.root / "workflows" / "triage.yaml"
    workflow.write_text(workflow.read_text().replace("[internal]", "[internal, personal]", 1))
    said = offer(plant.project)
    assert said.manifest.workflows["triage"].builds["edge"].cases is None
    (reason,) = said.unmeasurable
    assert reason == (
        "triage--edge: cannot be measured at a site: its texts are of data class personal, which no class of sites that "
        "may run edge may have"
    )
    (one,) = outcomes(plant.project)
    assert any("cannot be measured at a site" in reason for reason in one.reasons)
    with pytest.raises(RefusedError, match="data class personal, which is not allowed at this site"):
        plant.measure()


def report(verdict: Verdict, measurement: Measurement = Measurement.MEASURED) -> LatencyReport:
    return LatencyReport(
        workflow="triage", profile="edge", bundle=digest_of(b"b"), taken=now(), measurement=measurement, machine=FIELD,
        metrics=(), gates=(), verdict=verdict, queries=0, cores=1,
    )  # fmt: skip


P, F, N = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("own", "others", "place"),
    [
        ((P, "measured"), [], None),
        ((N, "absent"), [], None),
        ((N, "absent"), [P], 0),
        ((N, "absent"), [P, N], 0),
        ((N, "absent"), [N, N], 1),
        ((N, "absent"), [P, P], 1),
        ((N, "absent"), [F, P], 0),
        ((N, "emulated"), [P], 0),
        ((P, "measured"), [P], None),
        ((N, "measured"), [P], None),
        ((P, "measured"), [F], 0),
    ],
)
def test_which_report_counts(own: tuple[Verdict, str], others: list[Verdict], place: int | None) -> None:
    verdict, how = own
    assert counting(report(verdict, Measurement(how)), [report(one) for one in others]) == place
