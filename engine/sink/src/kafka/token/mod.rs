//! SASL/OAUTHBEARER: tokens from an authorization server, and a new one before the last ends.
//!
//! librdkafka could fetch them itself, with libcurl, which is a second TLS stack and a second set of options for one request a
//! few minutes. It asks for a token by an event, or by a callback of its own thread; but who keeps tokens knows when the next
//! one is due, and a consumer's events are seen only while somebody polls it. So each client has a thread that hands it its
//! tokens, and all clients of a task share one that is fetched.
//!
//! ```text
//!  authorization server ──► Tokens ──► Bearer, a thread for each client ──► rd_kafka_oauthbearer_set_token
//!                          one fetch,     at 4/5 of a token's life;
//!                          one wait       sooner where brokers refuse it
//! ```
//!
//! At a start there is a token before there is a client, so that what the server says against it is the error. Later a token that
//! cannot be had is no failure while the last one lives; when it has ended, it is why brokers are not to be reached
//! ([`Tokens::lacking`]).

mod bearer;
mod request;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

pub(super) use self::bearer::Bearer;
pub use self::url::TokenUrl;
use super::ReadPassword;
use crate::SinkError;

/// A token that brokers refuse is replaced when it is so old: keys or rights may have changed since.
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// Between two attempts to get a token: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longer than any token lives, and small enough for everybody who counts in microseconds.
const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Client credentials of OAuth 2 (RFC 6749, section 4.4).
#[derive(Clone)]
pub struct OAuth {
    pub token_url: TokenUrl,
    pub client_id: String,
    pub client_secret: String,
    /// Where it may have changed: asked before each token.
    pub read_again: Option<ReadPassword>,
    pub scope: Option<String>,
    /// What brokers get beside the token (RFC 7628, section 3.1).
    pub extensions: BTreeMap<String, String>,
    /// Authorities by which the server is known, as PEM; none: the system's.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .field("extensions", &self.extensions.keys())
            .finish_non_exhaustive()
    }
}

/// Why brokers do not take an extension, if they do not.
pub fn check_extension(name: &str, value: &str) -> Result<(), &'static str> {
    if name == "auth" {
        return Err("must not be called auth, which is the token's own");
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err("must have a name of letters alone, such as logicalCluster");
    }
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) {
        return Err("must be text of ASCII characters");
    }
    Ok(())
}

/// What a client shows to brokers.
pub(super) struct Token {
    value: String,
    /// Who that is, where the token says; for people only.
    principal: String,
    obtained: Instant,
    life: Duration,
    /// As librdkafka counts.
    ends: SystemTime,
}

impl Token {
    /// From when on the next one is due.
    fn due(&self) -> Instant {
        self.obtained + self.life * 4 / 5
    }

    fn has_ended(&self) -> bool {
        self.obtained.elapsed() >= self.life
    }
}

/// The tokens of a task.
pub(super) struct Tokens {
    login: OAuth,
    /// Held by who asks the server.
    asking: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// Brokers do not take the token, however long it would live.
    is_refused: bool,
    /// Why there is no newer one.
    failed: Option<Failed>,
}

struct Failed {
    error: SinkError,
    attempts: u32,
    again: Instant,
}

impl State {
    /// When there is something to ask the server for.
    fn next(&self) -> Instant {
        match (&self.failed, &self.token) {
            (Some(failed), _) => failed.again,
            (None, Some(token)) if self.is_refused => token.due().min(token.obtained + RENEW_AFTER),
            (None, Some(token)) => token.due(),
            (None, None) => Instant::now(),
        }
    }
}

impl Tokens {
    pub(super) fn new(login: OAuth) -> Tokens {
        Tokens { login, asking: Mutex::default(), state: Mutex::default() }
    }

    /// The token of now, fetched if one is due; or why there is no newer one, until it is time to ask again.
    pub(super) fn token(&self) -> Result<Arc<Token>, SinkError> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let state = self.lock();
            if state.next() > Instant::now() {
                match (&state.failed, &state.token) {
                    (Some(failed), _) => return Err(failed.error.clone()),
                    (None, Some(token)) => return Ok(Arc::clone(token)),
                    (None, None) => {}
                }
            }
        }
        let fetched = self.fetch();
        let mut state = self.lock();
        match fetched {
            Ok(token) => {
                let token = Arc::new(token);
                if state.failed.is_some() {
                    tracing::info!(url = %self.login.token_url, "there are tokens again");
                }
                *state = State { token: Some(Arc::clone(&token)), is_refused: false, failed: None };
                Ok(token)
            }
            Err(error) => {
                let attempts = state.failed.as_ref().map_or(0, |failed| failed.attempts) + 1;
                let pause = PAUSE.saturating_mul(1 << (attempts - 1).min(8)).min(PAUSE_MAX);
                // At a start, who asks says so.
                if let Some(token) = state.token.as_ref().filter(|_| attempts.is_power_of_two()) {
                    let left = token.life.saturating_sub(token.obtained.elapsed()).as_secs();
                    tracing::warn!(%error, seconds_left = left, "no new token for the brokers, asking again");
                }
                state.failed = Some(Failed { error: error.clone(), attempts, again: Instant::now() + pause });
                Err(error)
            }
        }
    }

    /// When there will be another token, or another attempt to get one.
    fn next(&self) -> Instant {
        self.lock().next()
    }

    /// Whether the token of now is another one, and nothing has failed since.
    fn has_newer(&self, given: &Arc<Token>) -> bool {
        let state = self.lock();
        state.failed.is_none() && state.token.as_ref().is_some_and(|token| !Arc::ptr_eq(token, given))
    }

    /// Brokers have refused the token, which librdkafka tells once in half a minute.
    fn refused(&self) {
        self.lock().is_refused = true;
    }

    /// Why there is no token that lives. Whoever waits for brokers waits for that, too, so that it may pass.
    pub(super) fn lacking(&self) -> Option<SinkError> {
        let state = self.lock();
        let failed = state.failed.as_ref()?;
        if !state.is_refused && state.token.as_ref().is_some_and(|token| !token.has_ended()) {
            return None;
        }
        Some(match &failed.error {
            SinkError::TokenRefused { url, reason } => {
                SinkError::NoToken { url: url.clone(), reason: format!("it refused the task: {reason}") }
            }
            SinkError::NoToken { .. } => failed.error.clone(),
            error => SinkError::NoToken { url: self.login.token_url.to_string(), reason: error.to_string() },
        })
    }

    fn fetch(&self) -> Result<Token, SinkError> {
        let login = &self.login;
        let secret = login.read_again.as_ref().and_then(|read| read()).unwrap_or_else(|| login.client_secret.clone());
        let (obtained, clock) = (Instant::now(), SystemTime::now());
        let answer = request::ask(login, &secret)?;
        let refused = |reason| SinkError::TokenRefused { url: login.token_url.to_string(), reason };
        let answer = Answer::read(&answer, clock).map_err(refused)?;
        let life = answer.life.min(LIFE_MAX);
        let principal = answer.principal.unwrap_or_else(|| login.client_id.clone());
        tracing::debug!(url = %login.token_url, principal, life_s = life.as_secs(), "got a token for the brokers");
        Ok(Token { value: answer.token, principal, obtained, life, ends: clock + life })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server says of a token (RFC 6749, section 5.1), and the token of itself.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    token: String,
    life: Duration,
    principal: Option<String>,
}

impl Answer {
    /// What is wrong is said without what stands there: that may be a token.
    fn read(json: &[u8], now: SystemTime) -> Result<Answer, String> {
        #[derive(Deserialize)]
        struct Fields {
            access_token: Option<String>,
            #[serde(default)]
            expires_in: Value,
        }
        let fields: Fields =
            serde_json::from_slice(json).map_err(|_| "its answer is not the JSON of a token".to_owned())?;
        let token = fields.access_token.ok_or("its answer holds no access_token")?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its access_token holds characters that no token has".to_owned());
        }
        let claims = claims(&token);
        // A count of seconds needs no two clocks that go alike. Some write it as text.
        let expires_in = match &fields.expires_in {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let life = match (expires_in, claims["exp"].as_f64().map(|ends| ends - now)) {
            // What brokers go by, unless the clocks do not go alike at all.
            (Some(seconds), Some(left)) if left > 0.0 => left.min(seconds),
            (Some(seconds), _) => seconds,
            (None, Some(left)) => left,
            (None, None) => {
                return Err("it does not say how long its token lives, neither in expires_in nor in exp".into());
            }
        };
        // Not a number and infinite ones are none of both.
        let life = Duration::try_from_secs_f64(life.min(LIFE_MAX.as_secs_f64())).unwrap_or_default();
        if life.is_zero() {
            return Err("its token has ended before it came: do the clocks of both machines go alike?".to_owned());
        }
        Ok(Answer { token, life, principal: claims["sub"].as_str().map(str::to_owned) })
    }
}

/// What a token says, if it is a JSON Web Token. Whether that is true, brokers judge.
fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}
