"""Holds the files of this folder against the Compose specification, and against what we ask of them.

The schema says what is well-formed. The rest is ours: images are pinned, whoever is waited for can say that it is
healthy, mounted files exist, secrets come from the environment, and every metric that is shown is one we have.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml

HERE = Path(__file__).parent
BASE = HERE / "compose.yaml"
OVERLAYS = {"compose.observability.yaml"}
SECRET = re.compile(r"PASSWORD|SECRET|_KEY$")


def main() -> None:
    schema = json.loads((HERE / "schema/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    files = sorted(HERE.glob("compose*.yaml"))
    faults = [fault for file in files for fault in check(file, validator)] + check_observability()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"compose: {len(files)} files, {len(faults)} faults")
    sys.exit(bool(faults))


def check(file: Path, validator) -> list[str]:
    document = yaml.safe_load(file.read_text())
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    services = document["services"]
    known = services | (yaml.safe_load(BASE.read_text())["services"] if file.name in OVERLAYS else {})
    for name, service in services.items():
        faults += [f"{name}: {fault}" for fault in check_service(service, known)]
    return [f"{file.name}: {fault}" for fault in faults]


def check_service(service: dict, known: dict) -> list[str]:
    faults = []
    if not re.search(r":v?\d+\.\d+\.\d+", service["image"]):
        faults.append(f"the image {service['image']} is not pinned to a version")
    if "healthcheck" not in service:
        faults.append("has no health check")
    for other in service.get("depends_on", []):
        if other not in known:
            faults.append(f"depends on {other}, which is not there")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith(".") and not (HERE / source).exists():
            faults.append(f"mounts {source}, which is not there")
    for variable, value in service.get("environment", {}).items():
        if SECRET.search(variable) and not re.fullmatch(r"\$\{\w+:\?.+\}", str(value)):
            faults.append(f"{variable} is a secret: take it from the environment and insist on it")
    build = service.get("build")
    if build and not (HERE / build["context"] / build["dockerfile"]).exists():
        faults.append(f"is built from {build['dockerfile']}, which is not there")
    return faults


def check_observability() -> list[str]:
    """Every YAML file parses, and every trailhouse_* metric on a dashboard is named in src/meters.rs."""
    for file in (HERE / "observability").rglob("*.y*ml"):
        yaml.safe_load(file.read_text())
    ours = set(re.findall(r'"(trailhouse_\w+)"', (HERE / "../src/meters.rs").read_text()))
    faults = []
    for file in (HERE / "observability").rglob("*.json"):
        expressions = [target["expr"] for panel in json.loads(file.read_text())["panels"] for target in panel["targets"]]
        for metric in sorted(set(re.findall(r"trailhouse_\w+", " ".join(expressions)))):
            if re.sub(r"_(bucket|sum|count)$", "", metric) not in ours:
                faults.append(f"{file.name}: shows {metric}, which Trailhouse does not have")
    return faults


if __name__ == "__main__":
    main()
