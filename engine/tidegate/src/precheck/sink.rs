//! What brokers say of themselves and of the topics that a task sends to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::report::Found;
use super::tables::{entry_with_topic, place_of_table};
use super::{Report, Seen, own};
use crate::config::Task;
use crate::error::Error;
use crate::hints;
use crate::items;
use crate::open;
use crate::pipeline::route::{dead_letter_topic_of_table, topic_of_table};
use tidegate_model::Table;
use tidegate_model::words::counted;
use tidegate_mysql::check::{Finding, Severity, list_names};
use tidegate_sink::kafka::{Ability, BrokerInfo, Lack, OldBrokers};
use tidegate_sink::{Differing, SinkError};

/// The brokers, if there are any and they answer; `None` if the sink cannot be used.
pub(super) fn look_at_sink(
    task: &Task,
    topics: BTreeSet<String>,
    seen: &Seen,
    report: &mut Report,
) -> Option<Option<BrokerInfo>> {
    own::check_file(task, report);
    let letters = seen.tables.iter().filter_map(|table| dead_letter_topic_of_table(task, table.name()).ok().flatten());
    let letters: BTreeSet<String> = letters.collect();
    match open::check_sink(task, &Vec::from_iter(topics), &Vec::from_iter(letters)) {
        Ok(Some((brokers, problems))) => {
            let verb = if brokers.brokers.len() == 1 { "answers" } else { "answer" };
            let release = brokers.release.map_or_else(String::new, |release| format!(" as Kafka {release}"));
            report
                .passed
                .push(("sink", format!("{} {verb}{release}", counted(brokers.brokers.len() as u64, "broker"))));
            for finding in brokers.old.iter().flat_map(of_old_brokers) {
                report.found.push(Found { finding, place: None });
            }
            for finding in of_differing(&brokers.differing) {
                report.found.push(Found { finding, place: task.places.place("sink.create_topics") });
            }
            say_problems(task, problems, seen, report);
            Some(Some(brokers))
        }
        Ok(None) => Some(None),
        Err(error) => {
            let path = match &error {
                Error::Secret(_) | Error::Sink(SinkError::Refused { .. }) => "sink.security",
                Error::Sink(SinkError::NoToken { .. } | SinkError::TokenRefused { .. }) => "sink.security.oauth",
                _ => "sink.kafka",
            };
            report.fail("sink", task.places.place(path), &error);
            None
        }
    }
}

/// What comes of brokers that lack something that a task can do without.
pub fn of_old_brokers(old: &OldBrokers) -> Vec<Finding> {
    let release = old.release;
    let finding = |ability: &Ability| {
        let (severity, item, found) = match ability {
            Ability::Idempotence => (
                Severity::Warning,
                "idempotence",
                format!(
                    "the brokers speak as Kafka {release} and know no idempotence: messages stay in order and none is lost, but those on \
                     their way when a connection breaks may come twice"
                ),
            ),
            Ability::Settings => {
                (Severity::Info, "topic_settings", "the brokers do not tell the settings of topics".to_owned())
            }
            Ability::Identity => (
                Severity::Info,
                "topic_identity",
                "the brokers do not tell a topic from another one that has its name".to_owned(),
            ),
            _ => return None,
        };
        let (wanted, hint) = (items::wanted(item).to_owned(), items::to_do(item).to_owned());
        Some(Finding { severity, item, found, wanted, hint })
    };
    old.lack.iter().filter_map(finding).collect()
}

/// Topics that exist and are not as the task would make them: what many of them have is said once.
pub fn of_differing(differing: &[Differing]) -> Vec<Finding> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Differing { topic, key, is, wanted } in differing {
        alike.entry(format!("{key} is {is}, and {wanted} in the task file")).or_default().push(topic);
    }
    let finding = |(what, topics): (String, Vec<&str>)| Finding {
        severity: Severity::Warning,
        item: "existing_topics",
        found: format!("topic{} {}: {what}", if topics.len() == 1 { "" } else { "s" }, list_names(&topics)),
        wanted: items::wanted("existing_topics").to_owned(),
        hint: items::to_do("existing_topics").to_owned(),
    };
    alike.into_iter().map(finding).collect()
}

/// What stands against sending to topics: what is wrong with many of them in the same words is said once.
fn say_problems(task: &Task, problems: Vec<SinkError>, seen: &Seen, report: &mut Report) {
    let mut alike: BTreeMap<String, Vec<SinkError>> = BTreeMap::new();
    for problem in problems {
        match &problem {
            SinkError::Lacking { lacks, release, .. } => {
                for &lack in lacks {
                    let place = match lack {
                        Lack::Headers => "sink.headers",
                        Lack::Zstd => "sink.options",
                        Lack::Offsets | Lack::Idempotence => "sink.kafka",
                    };
                    let found = format!("the brokers speak as Kafka {release}: they {lack}");
                    let (place, wanted) = (task.places.place(place), items::wanted("broker_version"));
                    report.say(Severity::Error, "broker_version", place, found, wanted, hints::of_lack(lack));
                }
            }
            SinkError::Collision { topic, .. } => {
                let is_it = |table: &&Arc<Table>| topic_of_table(task, table.name()).is_ok_and(|name| name == *topic);
                let table = seen.tables.iter().find(is_it).map(|table| table.name());
                let hint = match table {
                    Some(table) => format!("write another topic for the table: {}", entry_with_topic(table, '-')),
                    None => hints::of_sink(&problem).unwrap_or_default().to_owned(),
                };
                let place = table.and_then(|table| place_of_table(task, table, "topic"));
                report.say(Severity::Error, "topics", place, problem.to_string(), items::wanted("topics"), &hint);
            }
            _ => match problem.of_topic() {
                Some((_, what)) => alike.entry(what).or_default().push(problem),
                None => report.fail("topics", task.places.place("sink"), &problem.into()),
            },
        }
    }
    for (what, problems) in alike {
        let path = match &problems[0] {
            SinkError::MissingTopic { .. } | SinkError::CreateTopic { .. } => "sink.create_topics",
            _ => "sink.topic",
        };
        let names: Vec<&str> = problems.iter().filter_map(|problem| Some(problem.of_topic()?.0)).collect();
        let topics = if names.len() == 1 { "topic" } else { "topics" };
        report.say(
            Severity::Error,
            "topics",
            task.places.place(path),
            format!("{topics} {}{what}", list_names(&names)),
            items::wanted("topics"),
            hints::of_sink(&problems[0]).unwrap_or(items::to_do("topics")),
        );
    }
}
