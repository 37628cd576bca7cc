"""What a command needs beyond the base install."""

from __future__ import annotations

from importlib.util import find_spec

from fleet_manifests import MissingExtraError

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
    missing = [name for name in FACTORY if not _installed(name)]
    if missing:
        raise MissingExtraError(
            f"`lading {command}` needs the factory, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed; run: pip install 'lading[factory]'"
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
