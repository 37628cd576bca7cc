"""What a command needs beyond the base install."""

from __future__ import annotations

from fleet_manifests.extra import need_installed

FACTORY = (
    "dagster", "datasets", "dlt", "docx", "duckdb", "ir_measures", "markdown_it", "markitdown", "matplotlib", "mlflow",
    "onnx", "optimum", "pdfplumber", "peft", "phonenumbers", "reportlab", "ruamel.yaml", "sklearn", "torch",
    "transformers",
)  # fmt: skip


def need_factory(command: str) -> None:
    """Refuse a command of the factory where only the base is installed.

    Raises:
        MissingExtraError: names the extra and what of it is missing.
    """
    need_installed(f"lading {command}", FACTORY)
