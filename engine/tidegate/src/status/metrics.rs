//! A report as OpenMetrics text, for Prometheus and its like.
//!
//! The numbers are those of the report; nothing is counted twice. Names follow Prometheus' conventions: a prefix, base units, `_total` for
//! what only grows, while the process lives. Labels are bounded: stages, no tables, and partitions where they are few.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::report::{Pace, Phase, Report, TooLarge};

/// What `/metrics` answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A task with more partitions tells of them in `/status` alone.
const PARTITION_LABELS_MAX: usize = 200;

pub fn text(report: Report) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tidegate");
    registry.register_collector(Box::new(Told(report)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Told(Report);

const PHASES: [(Phase, &str); 5] = [
    (Phase::Starting, "starting"),
    (Phase::FullLoad, "full_load"),
    (Phase::Incremental, "incremental"),
    (Phase::Paused, "paused"),
    (Phase::Draining, "draining"),
];

const PACES: [(Pace, &str); 7] = [
    (Pace::Starting, "starting"),
    (Pace::Loading, "loading"),
    (Pace::Idle, "idle"),
    (Pace::Current, "current"),
    (Pace::Behind, "behind"),
    (Pace::Stuck, "stuck"),
    (Pace::Paused, "paused"),
];

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let report = &self.0;
        let mut out = Out(&mut encoder);
        let labels = [("task", report.task.as_str()), ("version", report.program.as_str())];
        out.family("build", "What runs.", None, [(&labels[..], Kind::Info)])?;
        out.one(
            "start_time",
            "When the process began with the task.",
            Some(Unit::Seconds),
            seconds(report.started_ms),
        )?;
        let phases = PHASES.map(|(phase, name)| ([("phase", name)], Kind::Flag(phase == report.phase)));
        out.family("phase", "What the task does: 1 for one of them.", None, each(&phases))?;
        let paces = PACES.map(|(pace, name)| ([("pace", name)], Kind::Flag(pace == report.pace)));
        out.family("pace", "How it goes: 1 for one of them.", None, each(&paces))?;
        let total = &report.total;
        out.counted("changes", "Rows of the full load, and changes, that were read.", None, total.changes)?;
        out.counted("messages", "Messages that the brokers have acknowledged.", None, total.messages)?;
        out.counted("message", "Bytes of these messages.", Some(Unit::Bytes), total.bytes)?;
        let large = |of: fn(&TooLarge) -> u64| Kind::Counted(report.too_large.iter().map(of).sum());
        let large = [
            ([("outcome", "skipped")], large(|table| table.counts.skipped)),
            ([("outcome", "dead_letter")], large(|table| table.counts.dead_letters)),
            ([("outcome", "truncated")], large(|table| table.counts.truncated)),
        ];
        let help = "Messages that were too large for their topic, since the task began.";
        out.family("too_large_messages", help, None, each(&large))?;
        if let Some(load) = &report.full_load {
            out.one("load_tables", "Tables of the full load.", None, load.tables_total as f64)?;
            out.one("load_tables_done", "Tables of which all rows are delivered.", None, load.tables_done as f64)?;
            out.one("load_rows", "Rows of the full load that are delivered.", None, load.rows as f64)?;
            out.one(
                "load_rows_estimated",
                "All rows of the full load, by the server's statistics.",
                None,
                load.estimated_rows as f64,
            )?;
        }
        if let Some(incremental) = &report.incremental {
            if let Some(delay_ms) = incremental.delay_ms {
                let help = "Age of the oldest change that is not delivered, by the source's clock.";
                out.one("delay", help, Some(Unit::Seconds), seconds(delay_ms))?;
            }
            if let Some(ahead_ms) = incremental.clock_ahead_ms {
                let help = "How far the source's clock is ahead of this machine's.";
                out.one("source_clock_ahead", help, Some(Unit::Seconds), ahead_ms as f64 / 1e3)?;
            }
            if let Some(bytes) = incremental.bytes_behind {
                out.one("behind", "Binlog between the position and its end.", Some(Unit::Bytes), bytes as f64)?;
            }
            if let Some(purge) = &incremental.purge {
                let help = "Binlog that the source has from before the position.";
                out.one("purge_distance", help, Some(Unit::Bytes), purge.bytes as f64)?;
                if let Some(left) = purge.seconds {
                    let help = "Until the source may purge what is not read yet.";
                    out.one("purge_distance_time", help, Some(Unit::Seconds), left as f64)?;
                }
            }
        }
        let stages = |value: fn(&super::report::Stage) -> f64| -> Vec<([(&str, &str); 1], Kind)> {
            report.stages.iter().map(|stage| ([("stage", stage.stage.as_str())], Kind::Number(value(stage)))).collect()
        };
        let busy = stages(|stage| stage.busy);
        out.family(
            "stage_busy_ratio",
            "Share of its time that a stage works, or waits for brokers.",
            None,
            each(&busy),
        )?;
        let fill = stages(|stage| stage.fill);
        out.family("stage_fill_ratio", "How full a stage and the queue before it are.", None, each(&fill))?;
        let bottleneck = report.stages.iter().map(|stage| {
            let is_it = report.bottleneck.as_ref() == Some(&stage.stage);
            ([("stage", stage.stage.as_str())], Kind::Flag(is_it))
        });
        let bottleneck: Vec<_> = bottleneck.collect();
        out.family("bottleneck", "1 for the stage for which the others wait.", None, each(&bottleneck))?;
        let partitions = report.topics.iter().flat_map(|topic| {
            let ends = topic.acknowledged.iter().enumerate();
            ends.map(|(partition, end)| (topic.topic.as_str(), partition.to_string(), *end as f64))
        });
        let partitions: Vec<(&str, String, f64)> = partitions.take(PARTITION_LABELS_MAX + 1).collect();
        if partitions.len() <= PARTITION_LABELS_MAX {
            let labelled = partitions.iter().map(|(topic, partition, end)| {
                ([("topic", *topic), ("partition", partition.as_str())], Kind::Number(*end))
            });
            let labelled: Vec<_> = labelled.collect();
            let help = "Offset behind the last message that the brokers have acknowledged, or that was there before.";
            out.family("acknowledged_offset", help, None, each(&labelled))?;
        }
        let parts = ["source", "sink", "state"];
        let away = parts.map(|of| ([("of", of)], Kind::Flag(report.retries.iter().any(|retry| retry.of == of))));
        out.family("retrying", "1 for what is away and tried again.", None, each(&away))?;
        let memory = &report.memory;
        out.one("memory_used", "What rows and messages under way take.", Some(Unit::Bytes), memory.used_bytes as f64)?;
        out.one("memory_budget", "What they may take at most.", Some(Unit::Bytes), memory.budget_bytes as f64)?;
        out.one("memory_resident", "Memory of the process.", Some(Unit::Bytes), memory.resident_bytes as f64)
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

/// A value of a family.
#[derive(Clone, Copy)]
enum Kind {
    Number(f64),
    Flag(bool),
    Counted(u64),
    /// Only its labels count.
    Info,
}

impl Kind {
    fn encode(self, encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Kind::Number(value) => ConstGauge::new(value).encode(encoder),
            Kind::Flag(flag) => ConstGauge::new(f64::from(u8::from(flag))).encode(encoder),
            Kind::Info => ConstGauge::new(1.0_f64).encode(encoder),
            Kind::Counted(count) => ConstCounter::new(count).encode(encoder),
        }
    }
}

type Labelled<'l> = (&'l [(&'l str, &'l str)], Kind);

fn each<'l, const N: usize>(values: &'l [([(&'l str, &'l str); N], Kind)]) -> impl Iterator<Item = Labelled<'l>> {
    values.iter().map(|(labels, kind)| (&labels[..], *kind))
}

struct Out<'o, 'e>(&'o mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn one(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        self.family(name, help, unit, [(&[][..], Kind::Number(value))])
    }

    fn counted(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
        self.family(name, help, unit, [(&[][..], Kind::Counted(value))])
    }

    fn family<'l>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = Labelled<'l>>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        let Some((_, first)) = values.peek() else { return Ok(()) };
        let (gauge, counter) = (ConstGauge::new(0.0_f64), ConstCounter::new(0_u64));
        let kind = if matches!(first, Kind::Counted(_)) { counter.metric_type() } else { gauge.metric_type() };
        let name = if matches!(first, Kind::Info) { format!("{name}_info") } else { name.to_owned() };
        let mut metric = self.0.encode_descriptor(&name, help, unit.as_ref(), kind)?;
        for (labels, kind) in values {
            match labels.is_empty() {
                true => return kind.encode(metric),
                false => kind.encode(metric.encode_family(&labels)?)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::words::tests::report;

    /// The rules of OpenMetrics' text that a scraper holds against it.
    fn lint(text: &str) -> Vec<String> {
        let mut families = std::collections::BTreeMap::new();
        let mut samples = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.last(), Some(&"# EOF"), "{text}");
        for line in &lines[..lines.len() - 1] {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(name.ends_with(unit), "{line}");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.contains(' '), "{line}");
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let family =
                families.keys().filter(|family| name.starts_with(family.as_str())).max_by_key(|family| family.len());
            let family = family.unwrap_or_else(|| panic!("no type of {name}"));
            let suffix = if families[family] == "counter" { "_total" } else { "" };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            assert!(name.starts_with("tidegate_") && value.parse::<f64>().is_ok(), "{line}");
            assert!(!samples.contains(&sample.to_owned()), "{sample} twice");
            samples.push(sample.to_owned());
        }
        samples
    }

    #[test]
    fn metrics_are_well_formed_and_are_the_reports() {
        let report = report();
        let text = text(report).unwrap();
        let samples = lint(&text);
        for line in [
            "tidegate_build_info{task=\"shop\",version=\"0.1.0\"} 1.0",
            "tidegate_changes_total 1234567",
            "tidegate_message_bytes_total 480",
            "tidegate_delay_seconds 0.0",
            "tidegate_source_clock_ahead_seconds -3600.0",
            "tidegate_pace{pace=\"idle\"} 1.0",
            "tidegate_pace{pace=\"stuck\"} 0.0",
            "tidegate_retrying{of=\"source\"} 0.0",
            "tidegate_acknowledged_offset{topic=\"shop.orders\",partition=\"0\"} 7.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        assert!(samples.len() < 60, "{samples:?}");
    }

    /// Of topics with many partitions together there are none by partition, so that labels stay few.
    #[test]
    fn partitions_are_labels_while_they_are_few() {
        let of = |partitions: usize| {
            let mut report = report();
            report.topics[0].acknowledged = vec![7; partitions];
            text(report).unwrap().matches("tidegate_acknowledged_offset{").count()
        };
        assert_eq!((of(PARTITION_LABELS_MAX), of(PARTITION_LABELS_MAX + 1)), (PARTITION_LABELS_MAX, 0));
    }

    #[test]
    fn a_task_that_only_starts_has_metrics() {
        let mut report = report();
        (report.full_load, report.incremental) = (None, None);
        report.stages.clear();
        lint(&text(report).unwrap());
    }
}
