//! The way to the brokers: who a task is to them, how the connection is protected, and what librdkafka is told by its own names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::certificate::{ClientCertificate, client_certificate};
use super::file::{KafkaTlsFile, Named, OAuthFile, SecurityFile, Switch};
use super::reader::{Field, Report};
use super::secret::Secret;
use super::values::{NO_KERBEROS, is_kerberos};
use tidegate_sink::kafka::{Decides, PasswordMechanism, SaslMechanism, TokenUrl, check_extension};

/// `sink.security.sasl`.
#[derive(Debug, Clone)]
pub enum SaslOptions {
    /// A user and a password, and how it is shown.
    Password {
        mechanism: PasswordMechanism,
        /// `user`. No default.
        user: String,
        /// `password`. No default.
        password: Secret,
    },
    OAuthBearer(OAuthOptions),
}

/// `sink.security.oauth`: tokens from an authorization server, by client credentials.
#[derive(Debug, Clone)]
pub struct OAuthOptions {
    /// `token_url`. No default.
    pub token_url: TokenUrl,
    /// `client_id`. No default.
    pub client_id: String,
    /// `client_secret`. No default.
    pub client_secret: Secret,
    /// `scope`: default none, which is what the server gives to the client then.
    pub scope: Option<String>,
    /// `extensions`: default none.
    pub extensions: BTreeMap<String, String>,
    /// `ca`: PEM file of the authorities to trust. Default: the operating system's.
    pub ca: Option<PathBuf>,
}

/// `sink.security.tls`: `true` for all defaults.
#[derive(Debug, Clone)]
pub struct KafkaTlsOptions {
    /// `ca`: PEM file of the authorities to trust. Default: the operating system's.
    pub ca: Option<PathBuf>,
    /// `cert` and `key`: PEM files that show the brokers who we are. Default none.
    pub client: Option<ClientCertificate>,
    /// `key_password`: for an encrypted key. Default none.
    pub key_password: Option<Secret>,
    /// `verify`: whether the brokers' certificates and names are checked. Default true; false is for trials.
    pub verify: bool,
}

pub(super) fn security_options(
    field: Field<SecurityFile>,
    report: &Report,
) -> (Option<SaslOptions>, Option<KafkaTlsOptions>) {
    let Some(SecurityFile { sasl, user, password, oauth, tls }) = field.given() else {
        return (None, None);
    };
    let refuse_password = |why: &str| {
        user.refuse(report, why);
        password.refuse(report, why);
    };
    let sasl = match sasl {
        Field::Absent(_) => {
            refuse_password("has no meaning without sink.security.sasl");
            oauth.refuse(report, "has no meaning without sasl: oauthbearer, write that beside it");
            None
        }
        // What would fit nobody knows.
        Field::Refused => None,
        Field::Given(SaslMechanism::Password(mechanism), _) => {
            oauth
                .refuse(report, "has no meaning without sasl: oauthbearer; the mechanism here takes user and password");
            let user = user.required(report, "sink.security.sasl needs it");
            let password = password.required(report, "sink.security.sasl needs it");
            user.zip(password).map(|(user, password)| SaslOptions::Password { mechanism, user, password })
        }
        Field::Given(SaslMechanism::OAuthBearer, _) => {
            refuse_password(
                "has no meaning with sasl: oauthbearer, which takes client_id and client_secret in sink.security.oauth",
            );
            const FORM: &str = "sasl: oauthbearer needs it, as {token_url: https://…, client_id: …, client_secret: …}";
            oauth.required(report, FORM).and_then(|oauth| oauth_options(oauth, report)).map(SaslOptions::OAuthBearer)
        }
    };
    let tls = match tls.given() {
        Some(Switch::On(KafkaTlsFile { ca, cert, key, key_password, verify })) => {
            if key.is_absent() {
                key_password.refuse(report, "has no meaning without its `key`");
            }
            Some(KafkaTlsOptions {
                ca: ca.given(),
                client: client_certificate(cert, key, report),
                key_password: key_password.given(),
                verify: verify.given().unwrap_or(true),
            })
        }
        Some(Switch::Off) | None => None,
    };
    (sasl, tls)
}

fn oauth_options(file: OAuthFile, report: &Report) -> Option<OAuthOptions> {
    const WHY: &str = "sasl: oauthbearer needs it";
    let OAuthFile { token_url, client_id, client_secret, scope, extensions, ca } = file;
    if token_url.as_given().is_some_and(|(url, _)| !url.is_encrypted()) {
        ca.refuse(report, "has no meaning without https:// in token_url");
    }
    let mut checked = BTreeMap::new();
    for (name, value, place) in extensions.given().into_iter().flatten() {
        match check_extension(&name, &value) {
            Ok(()) => {
                checked.insert(name, value);
            }
            Err(constraint) => report.add(&place, constraint),
        }
    }
    let token_url = token_url.required(report, WHY);
    let client_id = client_id.required(report, WHY);
    let client_secret = client_secret.required(report, WHY);
    Some(OAuthOptions {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope: scope.given(),
        extensions: checked,
        ca: ca.given(),
    })
}

/// The key that decides an option of librdkafka's, where it is not the user.
fn key_of(decides: Decides) -> &'static str {
    match decides {
        Decides::Brokers => "sink.kafka",
        Decides::Security => "sink.security",
        Decides::Mechanism => "sink.security.sasl",
        Decides::User => "sink.security.user",
        Decides::Password => "sink.security.password",
        Decides::TokenUrl => "sink.security.oauth.token_url",
        Decides::ClientId => "sink.security.oauth.client_id",
        Decides::ClientSecret => "sink.security.oauth.client_secret",
        Decides::Scope => "sink.security.oauth.scope",
        Decides::Extensions => "sink.security.oauth.extensions",
        Decides::OAuth => "sink.security.oauth",
        Decides::OAuthCa => "sink.security.oauth.ca",
        Decides::Tls => "sink.security.tls",
        Decides::TlsVerify => "sink.security.tls.verify",
        Decides::Partitions => "sink.partition",
        Decides::Delivery | Decides::Transactions => "delivery",
        Decides::Retries => "retry",
        Decides::Memory => "memory",
    }
}

/// Other names of librdkafka's for options that are set here, too. Of two names for one, whichever comes last would win.
const ALIASES: [(&str, &str); 2] = [("queue.buffering.max.ms", "linger.ms"), ("compression.codec", "compression.type")];

pub(super) fn librdkafka_options(field: Field<Named<String>>, report: &Report) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for (name, value, place) in field.given().into_iter().flatten() {
        let name = match ALIASES.iter().find(|(alias, _)| *alias == name) {
            Some((_, own)) => (*own).to_owned(),
            None => name,
        };
        if options.contains_key(&name) {
            report.add(&place, format_args!("is {name}, which is given already"));
        }
        let is_mechanism = matches!(&*name, "sasl.mechanism" | "sasl.mechanisms");
        if name.starts_with("sasl.kerberos.") || (is_mechanism && is_kerberos(&value)) {
            report.add(&place, NO_KERBEROS);
            continue;
        }
        let mechanism = SaslMechanism::WORDS
            .iter()
            .find(|(word, _)| is_mechanism && word.eq_ignore_ascii_case(&value.replace('-', "_")));
        if let Some((word, _)) = mechanism {
            report.add(&place, format_args!("is decided by sink.security, write `sasl: {word}` there"));
            continue;
        }
        match Decides::of(&name) {
            Some(decides) => report.add(&place, format_args!("is decided by {}, remove it here", key_of(decides))),
            None => {
                options.insert(name, value);
            }
        }
    }
    options
}
