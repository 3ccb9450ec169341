"""Reads what tasks said on /metrics while they were scraped, as Prometheus does, and looks at their counters.

Standard input: JSON, a list of texts for each process, in their order. Prints of each process a line, as JSON: when it started, the first and the
last value of each counter, and what fell or went away in between. Fails where a text is no OpenMetrics.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for texts in json.load(sys.stdin):
    start, counters, fell = None, {}, []
    for text in texts:
        families = list(text_string_to_metric_families(text))
        samples = {f.name: f.samples for f in families}
        start = samples["tidegate_start_time_seconds"][0].value
        told = {(s.name, *sorted(s.labels.items())): s.value for f in families if f.type == "counter" for s in f.samples}
        for name, (_, last) in counters.items():
            if name not in told or told[name] < last:
                fell.append(f"{name}: {last}, then {told.get(name)}")
        for name, value in told.items():
            first, _ = counters.get(name, (value, value))
            counters[name] = (first, value)
    print(json.dumps({"start": start, "counters": {name[0]: ends for name, ends in counters.items()}, "fell": fell}))
