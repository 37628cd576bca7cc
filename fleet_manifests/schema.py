"""JSON Schemas of the wire documents, for readers that are not Python.

python -m fleet_manifests.schema        # rewrites schemas/*.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fleet_manifests.assignment import Assignment
from fleet_manifests.bundle import BundleConfig, OciManifest
from fleet_manifests.evidence import AccuracyReport, KnowledgeReport, LatencyReport
from fleet_manifests.knowledge import PackConfig, Passage
from fleet_manifests.manifest import FleetManifest
from fleet_manifests.orders import Orders
from fleet_manifests.profile import HardwareProfile
from fleet_manifests.receipt import MeasurementCases, Receipt
from fleet_manifests.updates import Updates

FOLDER = Path(__file__).parent / "schemas"

DOCUMENTS: dict[str, type[BaseModel]] = {
    "accuracy_report.v1": AccuracyReport,
    "assignment.v1": Assignment,
    "bundle.v1": BundleConfig,
    "fleet_manifest.v1": FleetManifest,
    "hardware_profile.v1": HardwareProfile,
    "knowledge_pack.v1": PackConfig,
    "knowledge_report.v1": KnowledgeReport,
    "latency_report.v1": LatencyReport,
    "measurement_cases.v1": MeasurementCases,
    "oci_manifest.v1": OciManifest,
    "orders.v1": Orders,
    "passage.v1": Passage,
    "receipt.v1": Receipt,
    "updates.v1": Updates,
}


def schemas() -> dict[str, str]:
    """The text of every schema file, by file name. Unknown fields are allowed: readers ignore them."""
    return {f"{name}.json": _text(kind) for name, kind in DOCUMENTS.items()}


def _text(kind: type[BaseModel]) -> str:
    schema: dict[str, Any] = kind.model_json_schema(by_alias=True, mode="validation")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text)
