//! The thread that listens to librdkafka: delivery reports, errors of connections, and its log.
//!
//! It also keeps the clock: whether the oldest window gets on ([`Patience`]), whether librdkafka needs to be woken ([`lull`](super::lull)),
//! and when topics are to be asked about ([`watch`](super::watch)).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::abilities::Needs;
use super::journal::Journal;
use super::lull::{Lull, Order};
use super::marks::Acknowledged;
use super::options::{Password, SETTINGS};
use super::outstanding::WindowId;
use super::producer::{self, Event, EventKind, Producer};
use super::topics::KafkaTopics;
use super::watch::Watch;
use super::{refused, rounds};
use crate::SinkError;
use tidegate_model::status::Retrying;

/// How often the thread of reports looks at the clock.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// When the oldest window has got no further for so long, something is wrong with brokers or topics.
const TROUBLE_AFTER: Duration = Duration::from_secs(2);

/// The thread that listens to librdkafka.
pub(super) struct ReportService {
    pub(super) producer: Arc<Producer>,
    pub(super) journal: Arc<Journal>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) brokers: String,
    pub(super) patience: Patience,
    pub(super) watch: Watch,
    pub(super) lull: Lull,
    pub(super) topics: Arc<KafkaTopics>,
    /// Of the event at hand; kept for its memory.
    pub(super) counts: Vec<(WindowId, usize)>,
    /// The same.
    pub(super) acknowledged: Acknowledged,
    /// When a broken connection was last told of.
    pub(super) told: Option<Instant>,
    pub(super) needs: Needs,
    /// How often messages were found invalid since some were acknowledged.
    pub(super) invalid: u32,
    pub(super) login: Option<Password>,
}

impl ReportService {
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let mut heard = false;
            if let Some(event) = self.producer.next_event(self.lull.next_step().unwrap_or(TICK)) {
                // A connection that breaks is no silence either: what was in flight on it is to be sent again.
                heard = matches!(event.kind(), EventKind::Reports | EventKind::Error { .. });
                self.serve(event);
            }
            let (oldest, now) = (self.producer.outstanding.oldest(), Instant::now());
            // In rounds, nothing waits behind what is on its way.
            match self.lull.step(heard, oldest.is_some() && self.needs.idempotence, now) {
                Some(Order::Pause) => self.producer.set_paused(&self.topics.partitions(), true),
                Some(Order::Resume) => self.producer.set_paused(&self.topics.partitions(), false),
                Some(Order::Wake) => self.producer.wake_brokers(),
                None => {}
            }
            let waited = self.patience.waited(oldest, now);
            self.note_outage(waited, now);
            if waited > self.patience.limit {
                let reason = format!("nothing was acknowledged for {} s", self.patience.limit.as_secs_f32());
                self.producer.fail(self.journal.unreachable(&self.brokers, &reason));
            } else if self.patience.should_say(waited) {
                let error = self.journal.unreachable(&self.brokers, "no answer to what was sent");
                tracing::warn!(%error, "nothing has been acknowledged for {} s, still waiting", waited.as_secs());
            }
            if let Some(error) = self.watch.look(waited >= TROUBLE_AFTER, now) {
                self.producer.fail(error);
            }
        }
    }

    /// Brokers that are slow for a moment are no news.
    fn note_outage(&self, waited: Duration, now: Instant) {
        let mut outage = self.topics.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if waited < TROUBLE_AFTER {
            *outage = None;
        } else if outage.is_none() {
            let error = self.journal.unreachable(&self.brokers, "no answer to what was sent");
            *outage = Some(Retrying {
                reason: error.to_string(),
                hint: error.hint().map(str::to_owned),
                since: self.patience.since,
                attempts: 0,
                // librdkafka tries all the time.
                next_try: now,
                until: self.patience.since + self.patience.limit,
            });
        }
    }

    fn serve(&mut self, mut event: Event) {
        match event.kind() {
            EventKind::Reports => {
                let mut failure = None;
                let mut delivered_any = false;
                self.counts.clear();
                let has_failed = self.producer.outstanding.failure().is_some();
                let mut undelivered = Vec::new();
                event.each_report(&self.producer, |report| {
                    let counts = match report.is_delivered() {
                        true => {
                            delivered_any = true;
                            self.acknowledged.add(&report);
                            &mut self.counts
                        }
                        false => {
                            note_failure(&mut failure, &report, &self.brokers);
                            &mut undelivered
                        }
                    };
                    match counts.last_mut() {
                        Some((window, count)) if *window == report.window() => *count += 1,
                        _ => counts.push((report.window(), 1)),
                    }
                });
                // Until it is known why, a message that was not delivered is one that is missing.
                if has_failed || failure.is_some() {
                    self.counts.append(&mut undelivered);
                }
                if delivered_any {
                    self.invalid = 0;
                    self.journal.clear();
                }
                let fallen = self.topics.marks.pass(&mut self.acknowledged).err();
                // Before anything is counted, so that a window with a message that failed can't pass for delivered.
                if let Some(error) = failure.or(fallen) {
                    self.producer.fail(error);
                }
                // librdkafka lets go of the messages first.
                drop(event);
                self.producer.outstanding.reported(&self.counts);
            }
            EventKind::Error { code, fatal, text } => {
                if fatal || code == RDKafkaErrorCode::Fatal {
                    // The report of that message is behind it, and says more.
                    if self.producer.has_refused() {
                        return;
                    }
                    let error = self.producer.fatal_error().unwrap_or(SinkError::Client(text));
                    tracing::error!(%error, "Kafka client can't go on");
                    self.producer.fail(error);
                } else {
                    // Each attempt fails with its own words, many times a second; that all are down says least.
                    let is_news = code != RDKafkaErrorCode::AllBrokersDown
                        && self.told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL);
                    match is_news {
                        true => {
                            self.told = Some(Instant::now());
                            tracing::warn!(reason = %text, "Kafka connection");
                        }
                        false => tracing::debug!(reason = %text, "Kafka connection"),
                    }
                    self.journal.note(code, text);
                    if code == RDKafkaErrorCode::Authentication {
                        self.read_password_again();
                        self.producer.renew_token();
                    }
                }
            }
            EventKind::Log { level, facility, text } => {
                if facility == "APIVERSION" {
                    let lacks = self.topics.abilities.note(&text, self.needs);
                    if !lacks.is_empty() {
                        self.producer.fail(self.topics.lacking(lacks));
                    }
                }
                if facility == "GETPID" && text.contains("Acquired ") {
                    self.topics.abilities.note_number();
                }
                if let Some((topic, partition)) = rounds::invalid(&text).filter(|_| facility == "MSGSET") {
                    self.invalid += 1;
                    if self.invalid == rounds::INVALID_MAX {
                        let code = RDKafkaErrorCode::InvalidMessage;
                        self.producer.fail(refused(code, topic.to_owned(), partition, producer::reason_of(code)));
                    }
                }
                // That settings of ours are "experimental" is no news to whoever runs a task.
                let is_ours = facility == "CONFWARN" && SETTINGS.iter().any(|(name, _)| text.contains(name));
                // What failed comes as an event besides; that no producer's number is to be had says nothing more.
                let is_said = facility == "FAIL" || facility == "GETPID";
                if level <= SYSLOG_WARNING && !is_ours && !is_said {
                    tracing::warn!(target: "librdkafka", "{facility}: {text}");
                } else {
                    tracing::debug!(target: "librdkafka", "{facility}: {text}");
                }
            }
            EventKind::Other => {}
        }
    }

    /// A password that was changed at the brokers is soon changed where it is read from, too.
    fn read_password_again(&mut self) {
        let Some(login) = &mut self.login else { return };
        let Some(password) = login.read_again.as_ref().and_then(|read| read()) else { return };
        if password != login.password {
            tracing::info!(
                user = login.user,
                "the password has changed where it is read from, and is used from now on"
            );
            self.producer.set_credentials(&login.user, &password);
            login.password = password;
        }
    }
}

const SYSLOG_WARNING: i32 = 4;
/// Between two lines about broken connections.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

impl Drop for ReportService {
    // Also when the thread panics: nobody may wait for it then.
    fn drop(&mut self) {
        self.producer.fail(match self.stop.load(Ordering::Acquire) {
            true => SinkError::Stopped,
            false => SinkError::Client("the thread that takes delivery reports has ended by itself".into()),
        });
    }
}

/// The first message of an event that failed decides, except that of several that are too large the largest is named:
/// a broker refuses them as one request.
fn note_failure(failure: &mut Option<SinkError>, report: &producer::Report<'_>, brokers: &str) {
    match (failure, report.error()) {
        // Purged after a failure that is known already.
        (_, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
        (Some(SinkError::TooLarge { bytes, .. }), RDKafkaErrorCode::MessageSizeTooLarge) => {
            *bytes = report.bytes().max(*bytes);
        }
        // Says more than that another message of the same request was refused.
        (failure @ Some(SinkError::Delivery { .. }), RDKafkaErrorCode::InvalidRecord) => {
            *failure = Some(refusal(report))
        }
        (Some(_), _) => {}
        (failure, RDKafkaErrorCode::MessageSizeTooLarge) => {
            *failure =
                Some(SinkError::TooLarge { topic: report.topic(), bytes: report.bytes(), reason: report.reason() });
        }
        // Those that wait while brokers refuse to let the client stay are given up, and nothing may go out behind them. What they refuse
        // may be another thing a moment later: a token, or a password that has changed.
        (failure, RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::Authentication) => {
            *failure = Some(SinkError::Unreachable { brokers: brokers.into(), reason: report.reason() });
        }
        (failure, _) => *failure = Some(refusal(report)),
    }
}

fn refusal(report: &producer::Report<'_>) -> SinkError {
    refused(report.error(), report.topic(), report.partition(), report.reason())
}

/// How long brokers may take to acknowledge something, however short the time for retries is: only then they count as away.
pub(super) const SLOW: Duration = Duration::from_secs(10);

/// Notices when the oldest window gets no further.
pub(super) struct Patience {
    limit: Duration,
    /// The window and its messages left, and since when that is so.
    oldest: Option<(WindowId, usize)>,
    since: Instant,
    /// When it is time to say so.
    say_at: Duration,
}

/// How long nothing is acknowledged before that is said; then again each time it has lasted twice as long.
const SAY_AFTER: Duration = Duration::from_secs(10);

impl Patience {
    pub(super) fn new(retry: Duration, now: Instant) -> Patience {
        Patience { limit: retry.max(SLOW), oldest: None, since: now, say_at: SAY_AFTER }
    }

    /// How long the oldest window has got no further.
    fn waited(&mut self, oldest: Option<(WindowId, usize)>, now: Instant) -> Duration {
        if oldest.is_none() || oldest != self.oldest {
            self.oldest = oldest;
            self.since = now;
            self.say_at = SAY_AFTER;
        }
        now - self.since
    }

    fn should_say(&mut self, waited: Duration) -> bool {
        let should = waited >= self.say_at;
        if should {
            self.say_at *= 2;
        }
        should
    }
}
