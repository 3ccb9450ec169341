//! What can these brokers do?
//!
//! librdkafka asks each broker that it connects to which versions of which requests it knows, goes by the answer, and has no call that
//! would tell it. But with `debug=feature` it writes the answer into its log, first the answer and then what it makes of it:
//!
//! ```text
//! [thrd:b1:9092/1]: b1:9092/1: Broker API support:
//! [thrd:b1:9092/1]: b1:9092/1:   ApiKey Produce (0) Versions 0..2
//!    …
//! [thrd:b1:9092/1]: b1:9092/1:  Feature MsgVer1: Produce (2..32767) supported by broker      the answer is whole
//! ```
//!
//! The release of the brokers is of no use here, since others speak their protocol too: an ability is a request in some version. What all
//! brokers can do that were met, the cluster can. Where nobody has said anything, brokers are taken for new ones.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What not all brokers can do that we speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// To say where partitions begin and end: without, no task runs.
    Offsets,
    /// To say what becomes of a topic that is to be made without making it.
    Trial,
    /// To drop what a client sends again.
    Idempotence,
    Headers,
    /// To be asked about a topic without making it.
    Asking,
    /// To tell the settings of topics, and their own.
    Settings,
    Zstd,
    /// To choose themselves how many partitions and replicas a new topic has.
    DefaultCounts,
    /// To tell a topic from another one of the same name.
    Identity,
}

const PRODUCE: i16 = 0;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const INIT_PRODUCER_ID: i16 = 22;
const DESCRIBE_CONFIGS: i16 = 32;

impl Ability {
    /// The request that has it, from which version on.
    fn request(self) -> (i16, i16) {
        match self {
            Ability::Offsets => (LIST_OFFSETS, 1),
            Ability::Trial => (CREATE_TOPICS, 1),
            Ability::Idempotence => (INIT_PRODUCER_ID, 0),
            Ability::Headers => (PRODUCE, 3),
            Ability::Asking => (METADATA, 4),
            Ability::Settings => (DESCRIBE_CONFIGS, 0),
            Ability::Zstd => (PRODUCE, 7),
            Ability::DefaultCounts => (CREATE_TOPICS, 4),
            Ability::Identity => (METADATA, 10),
        }
    }

    /// The release of Kafka that brought it.
    pub fn since(self) -> &'static str {
        match self {
            Ability::Offsets => "0.10.1",
            Ability::Trial => "0.10.2",
            Ability::Idempotence | Ability::Headers | Ability::Asking | Ability::Settings => "0.11",
            Ability::Zstd => "2.1",
            Ability::DefaultCounts => "2.4",
            Ability::Identity => "2.8",
        }
    }
}

/// What shows that a broker is of a release at least, by the request and its version.
const RELEASES: &[(i16, i16, &str)] = &[
    (LIST_OFFSETS, 1, "0.10.1"),
    (CREATE_TOPICS, 1, "0.10.2"),
    (INIT_PRODUCER_ID, 0, "0.11"),
    (METADATA, 5, "1.0 or 1.1"),
    (METADATA, 6, "2.0"),
    (METADATA, 7, "2.1 or 2.2"),
    (METADATA, 8, "2.3"),
    (METADATA, 9, "2.4 to 2.7"),
    (METADATA, 10, "2.8 or 3.0"),
    (METADATA, 12, "3.1 to 3.9"),
    (METADATA, 13, "4"),
];

/// What a task needs that old brokers lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Offsets,
    Headers,
    Zstd,
    Idempotence,
}

impl Lack {
    fn ability(self) -> Ability {
        match self {
            Lack::Offsets => Ability::Offsets,
            Lack::Headers => Ability::Headers,
            Lack::Zstd => Ability::Zstd,
            Lack::Idempotence => Ability::Idempotence,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Lack::Offsets => "send to brokers of Kafka 0.10.1 or newer",
            Lack::Headers => "send no headers, or to brokers of Kafka 0.11 or newer",
            Lack::Zstd => "set compression.type to lz4, snappy, gzip or none",
            // Those that were met first knew it.
            Lack::Idempotence => "have all brokers of the cluster of one release, or none of them newer than 0.10.2",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Offsets => "do not tell where partitions end",
            Lack::Headers => "take no headers",
            Lack::Zstd => "do not know zstd",
            Lack::Idempotence => "know no idempotence",
        })?;
        write!(f, ", which Kafka has had since {}", self.ability().since())
    }
}

/// What a client needs of each broker that it sends to, besides offsets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    pub(super) idempotence: bool,
    pub(super) headers: bool,
    pub(super) zstd: bool,
}

/// By the number of a request, its newest version.
type Requests = BTreeMap<i16, i16>;

#[derive(Default)]
pub(super) struct Abilities {
    state: Mutex<State>,
    known: Condvar,
    /// The client has the number by which brokers drop what it sends again.
    has_number: Mutex<bool>,
    numbered: Condvar,
}

#[derive(Default)]
struct State {
    /// Of brokers whose answer is not whole yet, by librdkafka's thread.
    coming: HashMap<String, Requests>,
    /// What all can that were met.
    met: Option<Requests>,
}

impl Abilities {
    /// Takes a line of librdkafka's log; returns what is lacked if with it a broker is known to lack something.
    pub(super) fn note(&self, line: &str, needs: Needs) -> Vec<Lack> {
        let Some((thread, words)) = line.strip_prefix("[thrd:").and_then(|line| line.split_once("]: ")) else {
            return Vec::new();
        };
        let mut state = self.lock();
        if let Some((request, version)) = request_in(words) {
            match state.coming.get_mut(thread) {
                Some(requests) => requests.insert(request, version),
                None => state.coming.entry(thread.to_owned()).or_default().insert(request, version),
            };
            return Vec::new();
        }
        if !words.contains(" Feature ") {
            return Vec::new();
        }
        let Some(requests) = state.coming.remove(thread) else { return Vec::new() };
        let lacks = lacks(&requests, needs);
        state.met = Some(match state.met.take() {
            None => requests,
            Some(met) => common(&met, &requests),
        });
        self.known.notify_all();
        lacks
    }

    /// Whether a broker was met, at the latest after so long.
    pub(super) fn wait_until_known(&self, timeout: Duration) -> bool {
        let waited = self.known.wait_timeout_while(self.lock(), timeout, |state| state.met.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.met.is_some()
    }

    pub(super) fn note_number(&self) {
        *self.has_number.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.numbered.notify_all();
    }

    /// Whether the client has its number, at the latest after so long.
    pub(super) fn wait_for_number(&self, timeout: Duration) -> bool {
        let has_number = self.has_number.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.numbered.wait_timeout_while(has_number, timeout, |has_number| !*has_number);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn can(&self, ability: Ability) -> bool {
        self.lock().met.as_ref().is_none_or(|met| can(met, ability))
    }

    pub(super) fn lacks(&self, needs: Needs) -> Vec<Lack> {
        self.lock().met.as_ref().map_or_else(Vec::new, |met| lacks(met, needs))
    }

    /// As which release of Kafka the oldest broker speaks.
    pub(super) fn release(&self) -> Option<&'static str> {
        let state = self.lock();
        let met = state.met.as_ref()?;
        let is_of = |&&(request, version, _): &&(i16, i16, &str)| met.get(&request).is_some_and(|&max| max >= version);
        Some(RELEASES.iter().rev().find(is_of).map_or("before 0.10.1", |(.., name)| *name))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `…  ApiKey Produce (0) Versions 0..2`
fn request_in(words: &str) -> Option<(i16, i16)> {
    let (_, line) = words.split_once(" ApiKey ")?;
    let (name, versions) = line.split_once(") Versions ")?;
    let (_, request) = name.rsplit_once('(')?;
    let (_, newest) = versions.split_once("..")?;
    Some((request.parse().ok()?, newest.trim().parse().ok()?))
}

fn can(requests: &Requests, ability: Ability) -> bool {
    let (request, version) = ability.request();
    requests.get(&request).is_some_and(|&newest| newest >= version)
}

fn lacks(requests: &Requests, needs: Needs) -> Vec<Lack> {
    let needed = [
        (Lack::Offsets, true),
        (Lack::Headers, needs.headers),
        (Lack::Zstd, needs.zstd),
        (Lack::Idempotence, needs.idempotence),
    ];
    let lacked = |&(lack, needed): &(Lack, bool)| needed && !can(requests, lack.ability());
    needed.into_iter().filter(lacked).map(|(lack, _)| lack).collect()
}

fn common(one: &Requests, other: &Requests) -> Requests {
    one.iter().filter_map(|(request, &version)| Some((*request, version.min(*other.get(request)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(brokers: &[&[(i16, i16)]]) -> Abilities {
        let abilities = Abilities::default();
        // Their lines come in turns.
        for (broker, requests) in brokers.iter().enumerate() {
            for (request, version) in *requests {
                let line = format!(
                    "[thrd:b{broker}:9092/1]: b{broker}:9092/1:   ApiKey Any ({request}) Versions 0..{version}"
                );
                assert_eq!(abilities.note(&line, Needs::default()), []);
            }
        }
        assert_eq!(abilities.release(), None);
        for broker in 0..brokers.len() {
            let line =
                format!("[thrd:b{broker}:9092/1]: b{broker}:9092/1:  Feature LZ4: Any (0..32767) supported by broker");
            abilities.note(&line, Needs::default());
        }
        abilities
    }

    const OLD: &[(i16, i16)] = &[(PRODUCE, 2), (LIST_OFFSETS, 1), (METADATA, 2), (CREATE_TOPICS, 1)];
    const NEW: &[(i16, i16)] = &[
        (PRODUCE, 8),
        (LIST_OFFSETS, 5),
        (METADATA, 9),
        (CREATE_TOPICS, 5),
        (INIT_PRODUCER_ID, 3),
        (DESCRIBE_CONFIGS, 3),
    ];

    #[test]
    fn a_cluster_can_do_what_all_of_it_can() {
        for (brokers, release, idempotence) in
            [(&[OLD] as &[&[_]], "0.10.2", false), (&[NEW], "2.4 to 2.7", true), (&[NEW, OLD], "0.10.2", false)]
        {
            let abilities = met(brokers);
            assert_eq!(abilities.release(), Some(release));
            assert_eq!(abilities.can(Ability::Idempotence), idempotence);
            assert!(!abilities.can(Ability::Identity));
        }
    }

    #[test]
    fn brokers_that_nobody_has_met_can_do_everything() {
        let abilities = Abilities::default();
        assert!(abilities.can(Ability::Identity));
        assert!(!abilities.wait_until_known(Duration::ZERO));
        assert_eq!(abilities.note("some other line", Needs::default()), []);
    }

    #[test]
    fn what_is_lacked_is_named_with_what_to_do() {
        let all = Needs { idempotence: true, headers: true, zstd: true };
        let lacks = |requests: &[(i16, i16)], needs| lacks(&requests.iter().copied().collect(), needs);
        assert_eq!(lacks(OLD, all), [Lack::Headers, Lack::Zstd, Lack::Idempotence]);
        assert_eq!(lacks(OLD, Needs { zstd: true, ..Needs::default() }), [Lack::Zstd]);
        assert_eq!(lacks(NEW, all), []);
        assert_eq!(lacks(&[(PRODUCE, 2)], Needs::default()), [Lack::Offsets]);
        assert_eq!(Lack::Zstd.to_string(), "do not know zstd, which Kafka has had since 2.1");
    }
}
