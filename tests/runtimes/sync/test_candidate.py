"""Pulling a candidate to measure it: every check of a sync, and nothing stays or is served."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    DataClass,
    HostFacts,
    IntegrityError,
    LadingError,
    MeasurementCases,
    RefusedError,
    Revocation,
    StorageError,
    UnreachableError,
    Verdict,
    digest_of,
    dump,
)
from fleet_manifests.receipt import CASES_TYPE, SEALED_CASES_TYPE
from runtimes.sync import status
from runtimes.sync.candidate import MEASURE_LOCK, SCRATCH, Pulled, Wanted, pulled
from runtimes.sync.files import only_one

pytestmark = pytest.mark.unit

CASES = MeasurementCases(workflow="exception_triage", texts={"test": ("late", "short")}, latency=("late",))


class Bench:
    """A site that runs stable release 1, and a repository that offers a candidate."""

    def __init__(self, station: Any) -> None:
        self.station, self.repository, self.state = station, station.repository, station.state

    def offer(self, version: int = 1, content: str = "candidate", cases: bytes | None = None, **more: Any) -> None:
        """Publish a candidate; what is given replaces what would be right."""
        kind = more.pop("kind", CASES_TYPE)
        changes = more.pop("changes", {})
        blob = self.repository.blob(dump(CASES) if cases is None else cases, kind)
        values = {"verdict": Verdict.INCONCLUSIVE, "cases": blob, **more}
        self.repository.add_bundle(content, **values)
        self.repository.release(version, "candidates", **changes)

    @contextlib.contextmanager
    def pull(self, workflow: str = "exception_triage", **more: Any) -> Iterator[Pulled]:
        values = {"host": self.host, "agent": "1.0", "now": self.now, "progress": lambda part, what: None}
        wanted = Wanted(workflow, more.pop("profile", None), more.pop("source", None))
        with pulled(self.state, wanted, pause=lambda seconds: None, **(values | more)) as found:
            yield found

    @property
    def host(self) -> HostFacts:
        return HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=4, memory_mb=8000)

    @property
    def now(self) -> Any:
        return self.repository.expires - timedelta(days=30)

    def refused(self, kind: type[LadingError], said: str, **more: Any) -> None:
        """The pull is refused; the running version and the scratch folder are as before."""
        before = status(self.state).active
        with pytest.raises(kind, match=said), self.pull(**more):
            pytest.fail("it was let in")
        assert status(self.state).active == before and not (self.state / SCRATCH).exists()


@pytest.fixture
def bench(running: Any) -> Bench:
    made = Bench(running)
    made.offer()
    return made


def test_a_candidate_is_verified_lies_apart_and_is_gone_afterwards(bench: Bench) -> None:
    before, kept = status(bench.state), sorted((bench.state / "blobs" / "sha256").iterdir())
    with bench.pull() as found:
        assert found.folder.is_relative_to(bench.state / SCRATCH)
        assert (found.folder / "model.onnx").read_bytes() == b"candidate" * 1000
        assert (found.cases, found.cases_digest) == (CASES, digest_of(dump(CASES)))
        assert (found.site, found.candidate.manifest_version) == ("store-017", 1)
    assert not (bench.state / SCRATCH).exists()
    assert status(bench.state) == before and sorted((bench.state / "blobs" / "sha256").iterdir()) == kept
    assert bench.station.content() == "one"
    bench.station.sync()
    assert bench.station.content() == "one", "a candidate is never activated"


def test_it_is_gone_after_an_error_too(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), bench.pull():
        raise ZeroDivisionError
    assert not (bench.state / SCRATCH).exists()


def test_what_a_killed_measurement_left_is_removed(bench: Bench) -> None:
    (bench.state / SCRATCH / "bundle").mkdir(parents=True)
    with bench.pull() as found:
        assert found.folder.is_dir()


def test_one_measurement_at_a_time_and_a_sync_may_run_meanwhile(bench: Bench) -> None:
    said = "another measurement of this site is running"
    with only_one(bench.state / MEASURE_LOCK), pytest.raises(StorageError, match=said), bench.pull():
        pass
    with bench.pull():
        assert not bench.station.sync().changed


def test_a_site_without_a_running_version_measures(station: Any) -> None:
    bench = Bench(station)
    bench.offer()
    with bench.pull() as found:
        assert found.folder.is_dir()
    assert status(bench.state).active is None


def test_expired_candidates_are_refused(bench: Bench) -> None:
    bench.offer(2, changes={"expires": bench.now - timedelta(hours=1)})
    bench.refused(IntegrityError, "candidates/manifest.json: version 2 expired")


def test_an_older_manifest_than_one_measured_before_is_refused(bench: Bench) -> None:
    bench.offer(3)
    with bench.pull():
        pass
    bench.offer(2)
    bench.refused(IntegrityError, "version 2 is offered, this site has accepted 3")
    bench.offer(3, "another under the same number")
    bench.refused(IntegrityError, "version 3 was sha256:.* before")


def test_a_clock_that_was_set_back_is_refused(bench: Bench) -> None:
    bench.refused(IntegrityError, "set the clock", now=bench.now - timedelta(hours=1))


def test_the_manifest_of_another_channel_is_refused(bench: Bench) -> None:
    bench.repository.builds.clear()
    bench.repository.release(2, "candidates", raw=dump(bench.repository.manifest(2, "stable")))
    bench.refused(IntegrityError, "channel|canary|stable")


def test_an_agent_that_is_too_old_is_refused(bench: Bench) -> None:
    bench.offer(2, changes={"minimum_agent": "9.0"})
    bench.refused(RefusedError, "needs lading 9.0 or newer")


def test_a_bundle_that_is_not_what_was_signed_is_refused(bench: Bench) -> None:
    other = bench.repository.sign_bundle("exception_triage--edge-x86-vnni", bench.repository.files("other"))
    bench.offer(2, signature=other)
    bench.refused(IntegrityError, "bundle exception_triage--edge-x86-vnni")


def test_a_bundle_of_another_profile_is_refused(bench: Bench) -> None:
    bench.offer(2, files=bench.repository.files("x", name="other"))
    bench.refused(IntegrityError, r"bundle\.json: profile is other")
    bench.offer(3, name="exception_triage--other")
    bench.refused(IntegrityError, "names the bundle 'exception_triage--other'")


def test_tampered_cases_are_refused(bench: Bench) -> None:
    cases = bench.repository.builds["exception_triage", "edge-x86-vnni"].cases
    bench.repository.blob_file(cases.digest).write_bytes(dump(CASES).replace(b"late", b"soon"))
    bench.refused(IntegrityError, "other bytes were received than the publisher signed")
    bench.repository.blob_file(cases.digest).unlink()
    bench.refused(UnreachableError, cases.digest.removeprefix("sha256:"))


def test_cases_of_another_workflow_are_refused(bench: Bench) -> None:
    bench.offer(2, cases=dump(CASES.model_copy(update={"workflow": "other"})))
    bench.refused(IntegrityError, "are those of other")


def test_sealed_cases_need_the_key_of_the_class(bench: Bench, site_class_key: Any) -> None:
    import pyrage

    right, wrong = site_class_key
    bench.offer(2, cases=pyrage.encrypt(dump(CASES), [right.to_public()]), kind=SEALED_CASES_TYPE)
    bench.refused(RefusedError, "enroll again with --pack-key-file")
    file = bench.state.parent / "key"
    file.write_text(f"{wrong}\n")
    bench.station.enroll(pack_key=file)
    bench.refused(RefusedError, "encrypted for other classes of sites")
    file.write_text(f"{right}\n")
    bench.station.enroll(pack_key=file)
    with bench.pull() as found:
        assert (found.cases, found.cases_digest) == (CASES, digest_of(dump(CASES)))
        plain = [
            path for path in bench.state.rglob("*") if path.is_file() and b'"latency":["late"]' in path.read_bytes()
        ]
        assert not plain, "what was sealed is never on the disk in the clear"


def test_what_may_not_be_measured_here_is_refused_before_a_blob_is_fetched(bench: Bench) -> None:
    for blob in (bench.repository.folder / "blobs" / "sha256").iterdir():
        blob.unlink()
    bench.refused(RefusedError, "workflow routing: candidates 1 does not have it; there are: exc", workflow="routing")
    bench.refused(RefusedError, "no edge profile of candidates 1 fits .* needed, this machine is x86-64-v3",
                  host=bench.host.model_copy(update={"features": ("avx2",)}))  # fmt: skip
    bench.refused(RefusedError, "the manifest lists none", profile="edge-other")
    bench.offer(2, cases=b"", changes={})
    bench.repository.workflow = {"data_classes": (DataClass.INTERNAL, DataClass.PRICING)}
    bench.offer(3)
    bench.refused(RefusedError, "data class pricing, which is not allowed at this site")
    bench.repository.workflow = {}
    build = bench.repository.builds["exception_triage", "edge-x86-vnni"]
    bench.repository.revocations.append(Revocation(bundle=build.bundle.digest, reason="wrong labels"))
    bench.repository.release(4, "candidates")
    bench.refused(RefusedError, "its bundle was revoked: wrong labels")
    bench.repository.revocations.clear()
    bench.repository.builds["exception_triage", "edge-x86-vnni"] = build.model_copy(update={"cases": None})
    bench.repository.release(5, "candidates")
    bench.refused(RefusedError, "its texts are not published")
    bench.repository.builds["exception_triage", "edge-x86-vnni"] = build.model_copy(update={"engine": "openvino"})
    bench.repository.release(6, "candidates")
    bench.refused(RefusedError, "engine openvino, which is not here; run: pip install")


def test_the_channel_may_be_read_from_a_stick(bench: Bench, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(bench.repository.folder, tmp_path / "stick")
    with bench.pull(source=str(tmp_path / "stick")) as found:
        assert found.folder.is_dir()
