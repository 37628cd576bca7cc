"""What was tuned, with what, and how well: runs and registered model versions in MLflow.

The store is a database by URI (SQLite embedded). Nothing is sent anywhere: MLflow's telemetry is switched
off before it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fleet_manifests import StorageError, UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Alias = Literal["candidate", "champion"]

DIGEST_TAG = "lading.digest"
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Environment that keeps MLflow from reporting use (`mlflow.telemetry.utils.is_telemetry_disabled`)."""


@dataclass(frozen=True)
class Version:
    """A registered model version."""

    workflow: str
    number: int
    digest: str
    source: str
    run_id: str
    aliases: tuple[str, ...]


class Tracker:
    """One MLflow database; an experiment and a registered model per workflow."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        """Open a store, creating its tables on first use.

        Args:
            uri: SQLAlchemy URI, `sqlite:////absolute/path.db` or a server's database.
            artifacts: folder for run artifacts.

        Raises:
            UsageError: not a database URI; MLflow refuses folders (`file:`).
            StorageError: the database cannot be opened.
        """
        scheme = uri.partition("://")[0].partition("+")[0]
        if scheme not in ("sqlite", "postgresql", "mysql", "mssql"):
            raise UsageError(f"tracking store: expected a URI such as sqlite:////path/mlflow.db, found {uri!r}")
        self._artifacts = artifacts
        self._client = _connect(uri)

    def log_run(
        self,
        workflow: str,
        *,
        params: Mapping[str, Any],
        history: Sequence[Mapping[str, float]] = (),
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Sequence[Path] = (),
    ) -> str:
        """Record one finished tuning and return its run id.

        Args:
            workflow: names the experiment.
            params: hyper-parameters, base, corpus digest, library versions.
            history: one mapping per epoch, epoch 0 first; each figure becomes a metric at that step.
            metrics: final figures.
            tags: what to search runs by.
            artifacts: files to copy into the run.

        Raises:
            StorageError: the store cannot be written; the run is then marked as failed.
        """
        from mlflow.exceptions import MlflowException

        try:
            run_id: str = self._client.create_run(self._experiment(workflow), tags=dict(tags or {})).info.run_id
            status = "FAILED"
            try:
                self._fill(run_id, params, history, metrics or {}, artifacts)
                status = "FINISHED"
            finally:
                self._client.set_terminated(run_id, status=status)
        except (MlflowException, OSError) as exc:
            raise StorageError(f"tracking store: run of {workflow} cannot be recorded: {exc}") from exc
        return run_id

    def register(
        self, workflow: str, *, source: str, digest: str, run_id: str, tags: Mapping[str, str] | None = None
    ) -> Version:
        """Register an adapter as the workflow's `candidate`; the same digest is registered once.

        Args:
            workflow: names the registered model.
            source: folder or URI of the adapter in the store.
            digest: of the adapter; the version is known by it.
            run_id: the run that made it.
            tags: more to keep with the version.

        Raises:
            StorageError: the store cannot be written.
        """
        from mlflow.exceptions import MlflowException

        try:
            self._require_model(workflow)
            known = self.find(workflow, digest)
            all_tags = {**(tags or {}), DIGEST_TAG: digest}
            number = (
                known.number
                if known
                else int(self._client.create_model_version(workflow, source, run_id=run_id, tags=all_tags).version)
            )
            return self.point(workflow, "candidate", number)
        except MlflowException as exc:
            raise StorageError(f"tracking store: {workflow} {digest} cannot be registered: {exc}") from exc

    def show(self, model: str, versions: Mapping[str, Mapping[str, str]], aliases: Mapping[str, str]) -> None:
        """Make a registered model say what is given, whatever it said before: a view, which is never read back.

        Args:
            model: name of the registered model.
            versions: the tags of each version, by its digest; one that is not there yet is registered.
            aliases: the digest that each alias names; an alias that is not among them is taken away.

        Raises:
            StorageError: the store cannot be written.
        """
        from mlflow.exceptions import MlflowException

        try:
            self._require_model(model)
            numbers = {digest: self._shown(model, digest, tags) for digest, tags in versions.items()}
            for alias in self._client.get_registered_model(model).aliases:
                if alias not in aliases:
                    self._client.delete_registered_model_alias(model, alias)
            for alias, digest in aliases.items():
                self._client.set_registered_model_alias(model, alias, numbers[digest])
        except MlflowException as exc:
            raise StorageError(f"tracking store: {model} cannot be shown: {exc}") from exc

    def _shown(self, model: str, digest: str, tags: Mapping[str, str]) -> str:
        """The number of a version that has exactly these tags."""
        wanted = {**tags, DIGEST_TAG: digest}
        known = self.find(model, digest)
        if known is None:
            return str(self._client.create_model_version(model, digest, tags=wanted).version)
        number = str(known.number)
        before = self._client.get_model_version(model, number).tags
        for name in before.keys() - wanted.keys():
            self._client.delete_model_version_tag(model, number, name)
        for name, value in wanted.items():
            if before.get(name) != value:
                self._client.set_model_version_tag(model, number, name, value)
        return number

    def point(self, workflow: str, alias: Alias, number: int) -> Version:
        """Let an alias name a version.

        Raises:
            UsageError: there is no such version.
        """
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_registered_model_alias(workflow, alias, str(number))
            return _version(self._client.get_model_version(workflow, str(number)))
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UsageError(f"{workflow}: there is no registered version {number}; register an adapter first") from exc

    def find(self, workflow: str, digest: str) -> Version | None:
        """The version of an adapter digest, or None."""
        found = self._client.search_model_versions(f"name='{workflow}' and tags.`{DIGEST_TAG}`='{digest}'")
        return _version(self._client.get_model_version(workflow, found[0].version)) if found else None

    def named(self, workflow: str, alias: Alias) -> Version | None:
        """The version that an alias names, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return _version(self._client.get_model_version_by_alias(workflow, alias))
        except MlflowException as exc:
            if exc.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None

    def _experiment(self, workflow: str) -> str:
        """The id of the workflow's experiment, made on first use."""
        found = self._client.get_experiment_by_name(workflow)
        if found is not None:
            return str(found.experiment_id)
        location = (self._artifacts / workflow).absolute().as_uri()
        return str(self._client.create_experiment(workflow, artifact_location=location))

    def _require_model(self, workflow: str) -> None:
        """Make the registered model where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(workflow)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _fill(
        self,
        run_id: str,
        params: Mapping[str, Any],
        history: Sequence[Mapping[str, float]],
        metrics: Mapping[str, float],
        artifacts: Sequence[Path],
    ) -> None:
        """Write everything of a run."""
        for name, value in sorted(params.items()):
            self._client.log_param(run_id, name, value)
        for step, scores in enumerate(history):
            for name, figure in sorted(scores.items()):
                self._client.log_metric(run_id, name, figure, step=step)
        for name, figure in sorted(metrics.items()):
            self._client.log_metric(run_id, name, figure)
        for path in artifacts:
            self._client.log_artifact(run_id, str(path))


def _connect(uri: str) -> MlflowClient:
    """A client of the store. Its database is opened here, so that a bad one is found now."""
    os.environ.update(SILENT)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as exc:
        raise StorageError(f"tracking store: cannot be opened ({type(exc).__name__}); check path and rights") from exc
    return client


def _version(found: Any) -> Version:
    """Ours from MLflow's."""
    return Version(
        workflow=found.name,
        number=int(found.version),
        digest=found.tags.get(DIGEST_TAG, ""),
        source=found.source,
        run_id=found.run_id or "",
        aliases=tuple(sorted(found.aliases)),
    )
