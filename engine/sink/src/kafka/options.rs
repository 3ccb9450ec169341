//! What can be said about the brokers, and what librdkafka is told.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::abilities::Needs;
use super::token::{OAuth, Tokens};
use crate::SinkError;

/// How [`KafkaSink`](super::KafkaSink) reaches the brokers and what it may do there.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port` of some brokers, separated by commas; the others are found through them.
    pub brokers: String,
    pub security: Security,
    /// Name by which brokers know this client in their logs, metrics and quotas.
    pub client_id: String,
    /// How to create a topic that is missing; `None`: a missing topic is an error.
    pub create_topics: Option<CreateTopics>,
    /// Handed to librdkafka as they are, after everything that this module sets.
    pub options: BTreeMap<String, String>,
    /// Whether messages may have keys: then a topic that is compacted is for whoever knows whether all that go there do (see
    /// [`Topics::compacted`](crate::Topics::compacted)).
    pub has_keys: bool,
    pub has_headers: bool,
    /// How long messages may wait without any of them getting through, before the sink gives up.
    pub retry: Duration,
    /// How whoever runs this takes up partitions that were added to a topic: the end of a warning.
    pub take_up_partitions: &'static str,
}

/// Who we are and how the connection is protected.
#[derive(Clone, Debug, Default)]
pub struct Security {
    pub sasl: Option<Sasl>,
    pub tls: Option<Tls>,
}

#[derive(Clone, Debug)]
pub enum Sasl {
    Password(Password),
    OAuthBearer(OAuth),
}

#[derive(Clone)]
pub struct Password {
    pub mechanism: PasswordMechanism,
    pub user: String,
    pub password: String,
    /// Where it may have changed: asked when brokers refuse the one that was read last.
    pub read_again: Option<ReadPassword>,
}

/// Reads a password; none if there is none to be read now.
pub type ReadPassword = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// How a password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Password(PasswordMechanism),
    OAuthBearer,
}

impl SaslMechanism {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[
        ("plain", SaslMechanism::Password(PasswordMechanism::Plain)),
        ("scram_sha_256", SaslMechanism::Password(PasswordMechanism::ScramSha256)),
        ("scram_sha_512", SaslMechanism::Password(PasswordMechanism::ScramSha512)),
        ("oauthbearer", SaslMechanism::OAuthBearer),
    ];
}

/// PEM files. Without `ca` the system's certificates are trusted.
#[derive(Clone)]
pub struct Tls {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Of an encrypted `key`.
    pub key_password: Option<String>,
    /// Whether the broker must prove that it is who its address says.
    pub verify: bool,
}

/// What a topic looks like that the sink creates; topics that exist are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopics {
    /// `None`: the brokers' `num.partitions`, which they take themselves since 2.4, and tell since 0.11. That is the default,
    /// because only the operator knows the number, and it cannot be lowered later.
    pub partitions: Option<u32>,
    /// Copies of each partition. `None` and the default as above, with `default.replication.factor`.
    pub replication: Option<u16>,
    /// Settings of the topic, such as `retention.ms`. Default none.
    pub config: BTreeMap<String, String>,
}

// Free options may hold passwords too (`ssl.key.password`), so only their names are shown.
impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("security", &self.security)
            .field("client_id", &self.client_id)
            .field("create_topics", &self.create_topics)
            .field("options", &self.options.keys())
            .field("retry", &self.retry)
            .finish()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("mechanism", &self.mechanism).field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

/// librdkafka's settings where they differ from its own defaults; `options` may change each of them.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    // Order per partition survives retries, nothing is written twice by a retry, and an acknowledged message is on all
    // replicas that are in sync. Without idempotence, see `IN_ROUNDS`.
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Behind a message that is refused for good, those in flight are refused too, as out of sequence; without this
    // librdkafka would number them anew and send them again, past the gap.
    ("enable.gapless.guarantee", "true"),
    // A message is never dropped by a clock: if one timed out and the next of its partition went out, order would be
    // lost. The sink itself notices when nothing gets through and then gives up as a whole.
    ("message.timeout.ms", "0"),
    // Whoever sends bounds what is on its way. librdkafka's own bounds would only cut windows into pieces.
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("compression.type", "lz4"),
    // A window arrives at once and fills batches without waiting; lingering only joins small windows.
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    // 10 000 would end a batch of 100-byte rows at its full size without need.
    ("batch.num.messages", "100000"),
    // The broker decides what is too large: it counts compressed bytes, this limit plain ones.
    ("message.max.bytes", "16777216"),
    // Partitions and settings of a topic are ours to choose, not a side effect of asking for it.
    ("allow.auto.create.topics", "false"),
    // A broker that has just started may not know its topics yet, and librdkafka takes its word for it at once if it has known a topic
    // for longer than this, which it counts in microseconds and in 32 bits. Whether topics are gone, `watch` finds out sooner.
    ("topic.metadata.propagation.max.ms", "2000000"),
    // Brokers that come back are found within seconds.
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
];

/// Further settings of a client without idempotence (see [`rounds`](super::rounds)), which `options` do not change.
const IN_ROUNDS: &[(&str, &str)] = &[
    ("enable.idempotence", "false"),
    // Of different partitions: of each there is one.
    ("max.in.flight.requests.per.connection", "5"),
    // Longer than a thread is ever held up while it hands over the messages of a request, which is sent once it is whole.
    ("linger.ms", "5000"),
];

/// Only with idempotence.
const GAPLESS: &str = "enable.gapless.guarantee";

/// What decides an option of librdkafka's, where it is not the user: an option beside these fields, or this sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decides {
    Brokers,
    Security,
    Mechanism,
    User,
    Password,
    TokenUrl,
    ClientId,
    ClientSecret,
    Scope,
    Extensions,
    OAuth,
    OAuthCa,
    Tls,
    TlsVerify,
    Partitions,
    Delivery,
    Transactions,
    Retries,
    Memory,
}

/// Options that something else decides, by name or by `prefix.`. With both, one would win silently, and several of these would break
/// order or durability.
const DECIDED: [(&str, Decides); 36] = [
    ("bootstrap.servers", Decides::Brokers),
    ("metadata.broker.list", Decides::Brokers),
    ("security.", Decides::Security),
    ("sasl.mechanism", Decides::Mechanism),
    ("sasl.mechanisms", Decides::Mechanism),
    ("sasl.username", Decides::User),
    ("sasl.password", Decides::Password),
    ("sasl.oauthbearer.token.endpoint.url", Decides::TokenUrl),
    ("sasl.oauthbearer.client.id", Decides::ClientId),
    ("sasl.oauthbearer.client.credentials.client.id", Decides::ClientId),
    ("sasl.oauthbearer.client.secret", Decides::ClientSecret),
    ("sasl.oauthbearer.client.credentials.client.secret", Decides::ClientSecret),
    ("sasl.oauthbearer.scope", Decides::Scope),
    ("sasl.oauthbearer.extensions", Decides::Extensions),
    ("sasl.oauthbearer.", Decides::OAuth),
    ("https.ca.", Decides::OAuthCa),
    ("sasl.", Decides::Security),
    ("ssl.", Decides::Tls),
    ("enable.ssl.certificate.verification", Decides::TlsVerify),
    ("enable.sasl.", Decides::Security),
    ("partitioner", Decides::Partitions),
    ("enable.idempotence", Decides::Delivery),
    ("enable.gapless.guarantee", Decides::Delivery),
    ("acks", Decides::Delivery),
    ("request.required.acks", Decides::Delivery),
    ("max.in.flight", Decides::Delivery),
    ("max.in.flight.requests.per.connection", Decides::Delivery),
    ("queuing.strategy", Decides::Delivery),
    ("transactional.id", Decides::Transactions),
    ("transaction.timeout.ms", Decides::Transactions),
    ("retries", Decides::Retries),
    ("message.send.max.retries", Decides::Retries),
    ("message.timeout.ms", Decides::Retries),
    ("delivery.timeout.ms", Decides::Retries),
    ("queue.buffering.max.messages", Decides::Memory),
    ("queue.buffering.max.kbytes", Decides::Memory),
];

impl Decides {
    pub fn of(option: &str) -> Option<Decides> {
        let is_named = |name: &str| name == option || (name.ends_with('.') && option.starts_with(name));
        DECIDED.iter().find(|(name, _)| is_named(name)).map(|(_, decides)| *decides)
    }
}

/// Why an option would have deliveries never reported, or not as this sink understands them.
fn refusal(option: &str) -> Option<&'static str> {
    match Decides::of(option) {
        _ if option == "delivery.report.only.error" => Some("success must be reported too"),
        Some(Decides::Transactions) => Some("the sink has no transactions"),
        Some(Decides::Brokers) => Some("brokers are named apart"),
        _ => None,
    }
}

impl KafkaOptions {
    /// What topics take that the sink makes, if it says so.
    fn least_of_new_topics(&self) -> Option<u64> {
        self.create_topics.as_ref()?.config.get("max.message.bytes")?.parse().ok()
    }

    pub(super) fn client_config(&self, idempotent: bool) -> Result<ClientConfig, SinkError> {
        let mut config = ClientConfig::new();
        for &(name, value) in SETTINGS {
            config.set(name, value);
        }
        // What a topic takes one by one, it refuses together.
        let batch: Option<u64> = config.get("batch.size").and_then(|bytes| bytes.parse().ok());
        if let Some(bytes) = self.least_of_new_topics().min(batch) {
            config.set("batch.size", bytes.to_string());
        }
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        self.security.check_files()?;
        self.security.apply(&mut config);
        for (name, value) in &self.options {
            if let Some(reason) = refusal(name) {
                return Err(SinkError::Client(format!("option {name} can't be set: {reason}")));
            }
            config.set(name, value);
        }
        if !idempotent {
            config.remove(GAPLESS);
            for &(name, value) in IN_ROUNDS {
                config.set(name, value);
            }
        }
        // Tells what brokers can do: see `abilities`.
        let mut debug = self.option(&["debug"]).map_or("feature".to_owned(), |debug| format!("{debug},feature"));
        // Tells when brokers have let the client be idempotent, or of messages that are refused, where librdkafka does not: see `rounds`.
        debug.push_str(if idempotent { ",eos" } else { ",msg" });
        config.set("debug", debug).set("log_level", (RDKafkaLogLevel::Debug as i32).to_string());
        config.set_log_level(RDKafkaLogLevel::Debug);
        Ok(config)
    }

    /// For consumers that read what this client sends: brokers, security, and of `options` what says how brokers are reached.
    pub(super) fn consumer_config(&self) -> Result<ClientConfig, SinkError> {
        const SHARED: &[&str] =
            &["broker.", "client.", "metadata.", "reconnect.", "sasl.", "security.", "socket.", "ssl."];
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        self.security.check_files()?;
        self.security.apply(&mut config);
        for (name, value) in
            self.options.iter().filter(|(name, _)| SHARED.iter().any(|shared| name.starts_with(shared)))
        {
            config.set(name, value);
        }
        Ok(config)
    }

    /// One of `options` that has several names.
    fn option(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.options.get(*name)).map(String::as_str)
    }

    pub(super) fn needs(&self) -> Needs {
        let compression = self.option(&["compression.type", "compression.codec"]);
        Needs { idempotence: true, headers: self.has_headers, zstd: compression == Some("zstd") }
    }
}

impl Security {
    pub(super) fn tokens(&self) -> Option<Arc<Tokens>> {
        match &self.sasl {
            Some(Sasl::OAuthBearer(login)) => Some(Arc::new(Tokens::new(login.clone()))),
            Some(Sasl::Password(_)) | None => None,
        }
    }

    /// OpenSSL's words for a file that can't be read name neither the file nor the reason.
    fn check_files(&self) -> Result<(), SinkError> {
        let files = self.tls.iter().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten();
        for path in files {
            File::open(path).map_err(|error| SinkError::Client(format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }

    fn apply(&self, config: &mut ClientConfig) {
        config.set(
            "security.protocol",
            match (&self.sasl, &self.tls) {
                (None, None) => "plaintext",
                (None, Some(_)) => "ssl",
                (Some(_), None) => "sasl_plaintext",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        );
        match &self.sasl {
            None => {}
            Some(Sasl::Password(Password { mechanism, user, password, .. })) => {
                let mechanism = match mechanism {
                    PasswordMechanism::Plain => "PLAIN",
                    PasswordMechanism::ScramSha256 => "SCRAM-SHA-256",
                    PasswordMechanism::ScramSha512 => "SCRAM-SHA-512",
                };
                config.set("sasl.mechanism", mechanism).set("sasl.username", user).set("sasl.password", password);
            }
            // Tokens are handed over: see `token`.
            Some(Sasl::OAuthBearer(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
        if let Some(tls) = &self.tls {
            // OpenSSL is linked statically and doesn't know where this system keeps its certificates.
            let ca = tls.ca.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
            config.set("ssl.ca.location", ca);
            if let Some(cert) = &tls.cert {
                config.set("ssl.certificate.location", cert.to_string_lossy());
            }
            if let Some(key) = &tls.key {
                config.set("ssl.key.location", key.to_string_lossy());
            }
            if let Some(password) = &tls.key_password {
                config.set("ssl.key.password", password);
            }
            config.set("enable.ssl.certificate.verification", if tls.verify { "true" } else { "false" });
        }
    }
}
