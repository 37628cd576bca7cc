"""The project folder: its YAML files, validated, with errors that name file, line and field."""
