"""Validates task files by a JSON Schema: a line for each of them, `ok` or what is wrong with it.

    python check_schema.py schema.json a.yaml b.yaml
"""

import json
import sys

import jsonschema
import yaml


def texts_as_keys(node):
    """JSON has no other keys; to YAML that of `null: {}` is nothing."""
    if isinstance(node, dict):
        return {"null" if key is None else str(key): texts_as_keys(value) for key, value in node.items()}
    if isinstance(node, list):
        return [texts_as_keys(item) for item in node]
    return node


with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as file:
        document = texts_as_keys(yaml.safe_load(file))
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    print("ok" if error is None else f"{error.json_path}: {error.message}".replace("\n", " "))
