//! HTTP on the task's socket and, where the task file says so, on a port.
//!
//! ```text
//! /           the page, with /page.css and /page.js
//! /status     the report as JSON          /history   a quarter of an hour of it
//! /events     the report, once a second, as server-sent events
//! /metrics    the report as OpenMetrics text
//! /health     200 while the process lives
//! /ready      200 while rows or changes are read and nothing is away, else 503
//! /journal    what was done to the task, as JSON
//! POST /pause, /resume, /limits?rows_per_second=…, /apply?accept=tables
//! POST /reload?table=shop.orders&where=id>5, or &cancel=true; or with a body {"tables": ["shop.orders"], "where": "id > 5"}
//! ```
//!
//! *Who may look.* The socket is its owner's. On a port, whoever knows the token, by `Authorization: Bearer` or as the password of
//! `Basic`, for which browsers ask; without a token anybody on this machine, since other addresses are refused then
//! ([`config`](crate::config)). A page elsewhere must not look through a browser on this machine: without a token, a request for another
//! host than an address or `localhost` is refused, however that name was resolved.
//!
//! *Who may act.* The same. Since a browser sends along what it knows of the task, whatever page asks it to, a request that does
//! something must bear the header `X-Tidegate`: a page elsewhere cannot send it without asking first, and is not answered then.
//!
//! *Slow clients* hold a connection each, of which there are few, and nothing else: what is not sent is not remembered, a reader of
//! events who comes back from a pause gets the newest one. Connections end with the runtime, and so with the task.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::monitor::Monitor;
use super::report::Phase;
use super::words::limits_text;
use super::{metrics, socket};
use crate::apply::task_file::ApplyWish;
use crate::checkpoint::journal::{By, What};
use crate::config::{HttpOptions, HttpTls, Task};
use crate::error::Error;
use crate::reload::asked::{self, Wish};
use crate::remembered::Accept;
use crate::source::mysql::TryPart;
use tidegate_model::TableName;
use tidegate_mysql::snapshot::shown;

/// Connections at a time, of each listener. Others wait to be taken.
const CONNECTIONS_MAX: usize = 32;
/// Of these, how many may follow events, which lasts: probes must find a place.
const FOLLOWERS_MAX: usize = 16;
/// How long a client may take to say what it wants.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// No connection lasts longer; browsers come back.
const CONNECTION_TIME: Duration = Duration::from_secs(3600);
/// A listener that fails, for want of file descriptors as a rule, is asked again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the source may take to say what an account may read.
const LOOK_TIME: Duration = Duration::from_millis(500);
/// The same of what it thinks of a condition: less than who asks waits for.
const TRY_TIME: Duration = Duration::from_secs(4);
/// Of what comes with a request.
const BODY_BYTES_MAX: usize = 1 << 20;

const PAGE: &str = include_str!("page/index.html");
const PAGE_CSS: &str = include_str!("page/page.css");
const PAGE_JS: &str = include_str!("page/page.js");
/// Nothing from elsewhere, and in nobody's frame. The icon is empty, and in the page itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers until it is dropped; then the socket is gone.
#[derive(Debug)]
pub struct StatusServer {
    _socket: Option<socket::Listening>,
}

/// Who may look.
#[derive(Clone)]
enum Access {
    /// The socket's owner.
    Owner,
    /// Who is on this machine.
    Local,
    Token(Arc<str>),
}

impl StatusServer {
    /// Begins to answer. The state folder must be this process's own.
    pub fn start(task: &Task, monitor: &Arc<Monitor>, runtime: &tokio::runtime::Handle) -> Result<StatusServer, Error> {
        let _guard = runtime.enter();
        let listening = socket::listen(&task.state);
        let socket = match listening.and_then(|(listener, socket)| Ok((UnixListener::from_std(listener)?, socket))) {
            Ok((listener, socket)) => {
                runtime.spawn(serve(Listener::Unix(listener), monitor.clone(), Access::Owner));
                Some(socket)
            }
            // A file system without sockets is no reason not to run.
            Err(error) => {
                warn!(%error, folder = %task.state.display(), "no socket could be made: `tidegate status` will not find this run");
                None
            }
        };
        if let Some(http) = &task.http {
            let bound = std::net::TcpListener::bind(http.address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .and_then(TcpListener::from_std);
            let listener = bound.map_err(|source| Error::Listen { address: http.address, source })?;
            let access = match &http.token {
                Some(token) => Access::Token(token.resolve_some()?.into()),
                None => Access::Local,
            };
            let tls = tls_of(http)?;
            // Port 0 is any that is free.
            let address = listener.local_addr().unwrap_or(http.address);
            let scheme = if tls.is_some() { "https" } else { "http" };
            info!("the task shows itself at {scheme}://{address}/");
            runtime.spawn(serve(Listener::Tcp(listener, tls), monitor.clone(), access));
        }
        Ok(StatusServer { _socket: socket })
    }
}

/// What encrypts connections to the port, if anything does.
pub fn tls_of(http: &HttpOptions) -> Result<Option<TlsAcceptor>, Error> {
    let Some(HttpTls { cert, key }) = &http.tls else { return Ok(None) };
    let failed = |file: &Path, reason: String| Error::HttpTls { file: file.to_owned(), reason };
    let of_cert = |error: pem::Error| failed(cert, error.to_string());
    let certificates = CertificateDer::pem_file_iter(cert).map_err(of_cert)?.collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(of_cert)?;
    if certificates.is_empty() {
        return Err(failed(cert, "it holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, private));
    let config = config.map_err(|error| failed(key, error.to_string()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener {
    /// A connection, and what is to encrypt it.
    async fn accept(&self) -> std::io::Result<(Box<dyn Stream>, Option<TlsAcceptor>)> {
        Ok(match self {
            Listener::Unix(listener) => (Box::new(listener.accept().await?.0), None),
            Listener::Tcp(listener, tls) => (Box::new(listener.accept().await?.0), tls.clone()),
        })
    }
}

async fn serve(listener: Listener, monitor: Arc<Monitor>, access: Access) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, tls)) => {
                let (monitor, access, followers) = (monitor.clone(), access.clone(), followers.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve_connection(stream, monitor, access, followers, place).await,
                        // Who does not come to an end with it holds a place for no longer than one who says nothing.
                        Some(tls) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HEADER_TIME, tls.accept(stream)).await {
                                serve_connection(Box::new(stream), monitor, access, followers, place).await;
                            }
                        }
                    }
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve_connection(
    stream: Box<dyn Stream>,
    monitor: Arc<Monitor>,
    access: Access,
    followers: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
) {
    let answer = service_fn(|request| {
        let (monitor, access, followers) = (&monitor, &access, &followers);
        async move { Ok::<_, Infallible>(answer(request, monitor, access, followers).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that goes away, or speaks something else, is no matter of the task's.
    let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    monitor: &Arc<Monitor>,
    access: &Access,
    followers: &Arc<Semaphore>,
) -> Response<Body> {
    let path = request.uri().path();
    // Whoever restarts processes asks these, and learns nothing else.
    let is_probe = matches!(path, "/health" | "/ready");
    if let Some(refused) = access.refuse(request.headers()).filter(|_| !is_probe) {
        return refused;
    }
    if *request.method() == Method::POST && matches!(path, "/pause" | "/resume" | "/limits" | "/reload" | "/apply") {
        return match request.headers().contains_key(INTENT) {
            false => text(StatusCode::FORBIDDEN, "the header X-Tidegate is missing\n"),
            true if path == "/reload" => match load_again(request, monitor, access.by()).await {
                Ok(said) => text(StatusCode::OK, &said),
                Err(reason) => text(StatusCode::BAD_REQUEST, &format!("{reason}\n")),
            },
            true => act(&request, monitor, access.by()),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET and HEAD are known here, and POST of /pause, /resume, /limits, /reload and /apply\n",
        );
    }
    match path {
        "/" => {
            let mut page = typed("text/html; charset=utf-8", PAGE);
            page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
            page
        }
        "/page.css" => typed("text/css; charset=utf-8", PAGE_CSS),
        "/page.js" => typed("text/javascript; charset=utf-8", PAGE_JS),
        "/status" => json(&monitor.report()),
        "/history" => json(&monitor.history()),
        "/journal" => json(&monitor.parts().map(|parts| parts.tracker.read(|state| state.journal.json()))),
        "/events" => match followers.clone().try_acquire_owned() {
            Ok(place) => events(monitor, place),
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "too many follow the task already: ask for /status\n"),
        },
        "/metrics" => match metrics::text(monitor.report()) {
            Ok(text) => typed(metrics::CONTENT_TYPE, text),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/health" => text(StatusCode::OK, "alive\n"),
        "/ready" => {
            let report = monitor.report();
            let is_ready = matches!(report.phase, Phase::FullLoad | Phase::Incremental) && report.retries.is_empty();
            let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            text(code, if is_ready { "ready\n" } else { "not ready\n" })
        }
        _ => text(StatusCode::NOT_FOUND, "there is / /status /history /journal /events /metrics /health /ready\n"),
    }
}

/// The header that only who means it can send.
pub(super) const INTENT: &str = "x-tidegate";

fn act(request: &Request<Incoming>, monitor: &Monitor, by: By) -> Response<Body> {
    // Before a task has begun, there is nothing to note it in.
    let note = |what, details: &str| {
        let Some(parts) = monitor.parts() else { return };
        parts.tracker.update(|checkpoint| checkpoint.journal.note(what, by, details));
    };
    match request.uri().path() {
        "/pause" => {
            note(What::Paused, "");
            info!("told to pause: what was read is delivered, and nothing is read");
            monitor.stop().pause();
            text(StatusCode::OK, "told to pause\n")
        }
        "/limits" => match set_limits(request.uri().query().unwrap_or_default(), monitor) {
            Ok(said) => {
                // Without a query, they are only shown.
                if request.uri().query().is_some_and(|query| !query.is_empty()) {
                    note(What::Limits, said.trim_end().trim_start_matches("limits: "));
                }
                text(StatusCode::OK, &said)
            }
            Err(reason) => text(StatusCode::BAD_REQUEST, &format!("{reason}\n")),
        },
        "/apply" => match take_over(request.uri().query().unwrap_or_default(), monitor, by) {
            Ok((number, is_news)) => {
                match is_news {
                    true => {
                        info!("told to take over the task file as it is now: what was read is delivered first");
                        monitor.stop().interrupt();
                    }
                    false => info!("told to take over the task file, which says what it did: nothing is done"),
                }
                text(StatusCode::OK, &format!("{number}\n"))
            }
            Err(reason) => text(StatusCode::BAD_REQUEST, &format!("{reason}\n")),
        },
        _ => {
            note(What::Resumed, "");
            info!("told to go on");
            monitor.stop().resume();
            text(StatusCode::OK, "told to go on\n")
        }
    }
}

/// What is to be loaded again: in the query, or as a body.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadAgain {
    /// As they are called on the server.
    tables: Vec<String>,
    #[serde(rename = "where", default)]
    condition: Option<String>,
    /// Not any more.
    #[serde(default)]
    cancel: bool,
}

impl LoadAgain {
    async fn of(request: Request<Incoming>) -> Result<LoadAgain, String> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
        let body = tokio::time::timeout(HEADER_TIME, body).await.map_err(|_| "the body does not come".to_owned())?;
        let body = body.map_err(|error| format!("the body cannot be read: {error}"))?.to_bytes();
        match (body.is_empty(), query.is_empty()) {
            (true, _) => LoadAgain::of_query(&query),
            (false, true) => {
                let is_wrong = |error| format!("the body is none of {{\"tables\": […], \"where\": \"…\"}}: {error}");
                serde_json::from_slice(&body).map_err(is_wrong)
            }
            (false, false) => Err("what is wanted stands in the query or in the body, not in both".to_owned()),
        }
    }

    /// `table=shop.orders&table=shop.items&where=id>5`.
    fn of_query(query: &str) -> Result<LoadAgain, String> {
        let mut wanted = LoadAgain::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("table", name) => wanted.tables.push(name.to_owned()),
                ("where", _) if wanted.condition.is_some() => return Err("there is one where at most".to_owned()),
                ("where", condition) => wanted.condition = Some(condition.to_owned()),
                ("cancel", "true") => wanted.cancel = true,
                _ => return Err(format!("{key}={value}: there is table, where, and cancel=true")),
            }
        }
        Ok(wanted)
    }
}

async fn load_again(request: Request<Incoming>, monitor: &Monitor, by: By) -> Result<String, String> {
    let LoadAgain { tables, condition, cancel } = LoadAgain::of(request).await?;
    let wish = Wish::of(condition.as_deref(), cancel)?;
    let Some(parts) = monitor.parts() else { return Err("the task has not begun to read: ask again".to_owned()) };
    if !parts.may_reload {
        return Err(asked::NOT_POSSIBLE.to_owned());
    }
    if let (Wish::Part(condition), Some(server)) = (&wish, &parts.try_part) {
        let names = parts.tracker.read(|checkpoint| asked::names_of(checkpoint, &tables))?;
        try_part(server.clone(), names, condition.clone()).await?;
    }
    if let (Wish::Load, Some(server)) = (&wish, &parts.try_part) {
        let names = parts.tracker.read(|checkpoint| asked::names_of(checkpoint, &tables))?;
        may_read(server.clone(), names).await?;
    }
    // By now another run may be at work, by another file. One that has ended keeps nothing.
    const ENDING: &str = "the run is just ending, or begins anew: ask again";
    let parts = monitor.parts().ok_or(ENDING)?;
    let asked = {
        let (tracker, tables, wish) = (parts.tracker.clone(), tables.clone(), wish.clone());
        move || tracker.update_durably(|checkpoint| asked::ask_for(checkpoint, &tables, &wish, by))
    };
    let stored = tokio::task::spawn_blocking(asked).await.map_err(|_| ENDING)?;
    let said = stored.map_err(|_| ENDING)??;
    let rows = match &wish {
        Wish::Load => String::new(),
        Wish::Part(condition) => format!(", rows where {}", shown(condition)),
        Wish::Cancel => {
            monitor.status().taken_back.store(true, Ordering::Relaxed);
            info!("told not to load again: {}", tables.join(", "));
            return Ok(said);
        }
    };
    monitor.status().asked.store(true, Ordering::Relaxed);
    info!("told to load again: {}{rows}", tables.join(", "));
    Ok(match parts.reload_waits_for {
        Some(event) => format!("{said}it comes when {event}\n"),
        None => said,
    })
}

/// On a thread that nobody waits for at the end: a table that is locked may keep the server from answering.
async fn try_part(server: Arc<TryPart>, names: Vec<TableName>, condition: String) -> Result<(), String> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let ask = move || _ = answer.send(asked::try_part(&*server, &names, &condition));
    let asked = std::thread::Builder::new().name("try-part".to_owned()).spawn(ask);
    asked.map_err(|error| format!("could not start a thread: {error}"))?;
    match tokio::time::timeout(TRY_TIME, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(format!(
            "the source did not say in {} s what it thinks of the condition: try it again",
            TRY_TIME.as_secs()
        )),
    }
}

/// Who has no right on a table is told at once, unless the server takes its time.
async fn may_read(server: Arc<TryPart>, names: Vec<TableName>) -> Result<(), String> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let ask = move || _ = answer.send(asked::may_read(&*server, &names));
    let asked = std::thread::Builder::new().name("may-read".to_owned()).spawn(ask);
    match (asked, tokio::time::timeout(LOOK_TIME, answered).await) {
        (Ok(_), Ok(Ok(answer))) => answer,
        _ => Ok(()),
    }
}

/// `accept=filter,tables&planned=123456&anew=true`: the number of the request, and whether there is anything to take over.
fn take_over(query: &str, monitor: &Monitor, by: By) -> Result<(u64, bool), String> {
    let mut wish = ApplyWish::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "accept" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    wish.accept.push(Accept::from_str(name, false).map_err(|_| {
                        let all = Accept::value_variants().iter().map(|accept| accept.name());
                        format!("{name}: is no consequence; there is {}", all.collect::<Vec<_>>().join(", "))
                    })?);
                }
            }
            "planned" => wish.planned = Some(value.parse().map_err(|_| format!("{value}: is no checksum"))?),
            "anew" => wish.anew = value.parse().map_err(|_| format!("anew={value}: there is true, and false"))?,
            _ => return Err(format!("{key}: there is accept, planned, and anew")),
        }
    }
    if monitor.parts().is_none() {
        return Err("the task has not begun to read: ask again".to_owned());
    }
    // It could not deliver what it has, and would end.
    if !monitor.report().retries.is_empty() {
        return Err("the source or the sink is away: ask again when it is back".to_owned());
    }
    monitor.file().ask(wish, by)
}

/// `rows_per_second=1000&full_load.bytes_per_second=none`: changes those that are named.
fn set_limits(query: &str, monitor: &Monitor) -> Result<String, String> {
    let limits = &monitor.status().limits;
    let (mut all, mut full_load) = (limits.all.limit(), limits.full_load.limit());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair}: must be a name and a value"))?;
        let (of, name) = match name.strip_prefix("full_load.") {
            Some(name) => (&mut full_load, name),
            None => (&mut all, name),
        };
        let limit = match name {
            "rows_per_second" => &mut of.rows_per_second,
            "bytes_per_second" => &mut of.bytes_per_second,
            _ => {
                return Err(format!(
                    "{pair}: there is rows_per_second and bytes_per_second, and both behind full_load."
                ));
            }
        };
        *limit = match value {
            "none" => None,
            value => {
                let number = value.parse().ok().filter(|number| *number > 0);
                Some(number.ok_or_else(|| format!("{pair}: must be a number from 1 up, or none"))?)
            }
        };
    }
    limits.all.set(all);
    limits.full_load.set(full_load);
    let said = limits_text(&monitor.limits()).unwrap_or_else(|| "none".to_owned());
    info!("limits: {said}");
    Ok(format!("limits: {said}\n"))
}

impl Access {
    fn by(&self) -> By {
        match self {
            Access::Owner => By::Socket,
            Access::Local | Access::Token(_) => By::Http,
        }
    }

    /// The answer to a request that may not look.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        match self {
            Access::Owner => None,
            Access::Local if is_of_this_machine(headers) => None,
            Access::Local => Some(text(StatusCode::FORBIDDEN, "ask for 127.0.0.1, or set http.token\n")),
            Access::Token(token) if has_token(headers, token) => None,
            Access::Token(_) => {
                let mut response = text(StatusCode::UNAUTHORIZED, "the token of the task is asked for\n");
                let challenge = HeaderValue::from_static("Basic realm=\"tidegate\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                Some(response)
            }
        }
    }
}

/// Whether the host that is asked for is an address or `localhost`, which no other page can have been.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
    let Some((scheme, given)) = given.split_once(' ') else { return false };
    let given = match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => given.trim().as_bytes().to_vec(),
        _ if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = STANDARD.decode(given.trim()).unwrap_or_default();
            // The name before the colon may be any.
            decoded.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default().to_vec()
        }
        _ => return false,
    };
    // In a time that does not tell how much of it is right.
    !token.is_empty() && bool::from(given.ct_eq(token.as_bytes()))
}

/// Each look as an event; of those that a slow client has missed, the newest.
fn events(monitor: &Arc<Monitor>, place: OwnedSemaphorePermit) -> Response<Body> {
    let mut looks = monitor.looks();
    looks.mark_changed();
    let events = futures::stream::unfold((looks, monitor.clone(), place), |(mut looks, monitor, place)| async move {
        looks.changed().await.ok()?;
        let report = serde_json::to_string(&monitor.report()).expect("a report is JSON");
        let event = Bytes::from(format!("data: {report}\n\n"));
        Some((event, (looks, monitor, place)))
    });
    let body = StreamBody::new(events.map(|event| Ok::<_, Infallible>(Frame::data(event))));
    with_headers(StatusCode::OK, "text/event-stream", body.boxed_unsync())
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    typed("application/json", serde_json::to_string(value).expect("a report is JSON") + "\n")
}

fn text(code: StatusCode, text: &str) -> Response<Body> {
    with_headers(code, "text/plain; charset=utf-8", Full::new(Bytes::from(text.to_owned())).boxed_unsync())
}

fn typed(content_type: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    with_headers(StatusCode::OK, content_type, Full::new(content.into()).boxed_unsync())
}

fn with_headers(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn names_that_others_can_give_an_address_are_refused_without_a_token() {
        for host in ["127.0.0.1:8083", "localhost", "LOCALHOST:80", "[::1]:8083", "10.0.0.7"] {
            assert!(is_of_this_machine(&headers(header::HOST, host)), "{host}");
        }
        for host in ["evil.example", "evil.example:8083", "localhost.evil.example", ""] {
            assert!(!is_of_this_machine(&headers(header::HOST, host)), "{host}");
        }
        assert!(!is_of_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn the_token_is_the_whole_of_it() {
        let has = |value: &str| has_token(&headers(header::AUTHORIZATION, value), "s3:cret");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(has("Bearer s3:cret") && has("bearer s3:cret") && has(&basic("me:s3:cret")) && has(&basic(":s3:cret")));
        for wrong in
            ["Bearer s3:cre", "Bearer s3:cretx", "Bearer ", "Bearer", "s3:cret", &basic("s3:cret"), "Basic %%%"]
        {
            assert!(!has(wrong), "{wrong}");
        }
        assert!(!has_token(&HeaderMap::new(), "s3:cret"));
        assert!(!has_token(&headers(header::AUTHORIZATION, "Bearer "), ""));
    }

    /// Nothing of the page comes from elsewhere, and all that its script uses is there.
    #[test]
    fn the_page_is_whole() {
        for part in [PAGE, PAGE_CSS, PAGE_JS] {
            assert!(!part.contains("//cdn") && !part.contains("https://"), "nothing is fetched from elsewhere");
        }
        assert!(!PAGE.contains(" style=") && !PAGE.contains("onclick="), "the policy forbids it");
        assert!(PAGE.contains("/page.css") && PAGE.contains("/page.js"));
        for id in PAGE_JS.split("$(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            // Of one that is put together, the begin.
            assert!(PAGE.contains(&format!("id=\"{id}")), "{id}");
        }
    }
}
