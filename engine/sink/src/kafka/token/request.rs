//! The question for a token, by HTTP/1.1, with the client's credentials as RFC 6749 wants them.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{OAuth, TokenUrl};
use crate::SinkError;

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Larger than the answer of any server that answers with a token.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of a server's own words, what is shown.
const WORDS_MAX: usize = 300;

/// Where systems keep the authorities that they trust, as librdkafka knows these places.
const SYSTEM_CA: &[&str] = &[
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The body of an answer that should hold a token. Whoever refuses is quoted, but never with the secret.
pub(super) fn ask(login: &OAuth, secret: &str) -> Result<Bytes, SinkError> {
    let url = &login.token_url;
    let away = |reason: String| SinkError::NoToken { url: url.to_string(), reason };
    let tls = if url.is_encrypted { Some(tls_config(login.ca.as_deref())?) } else { None };
    let credentials = STANDARD.encode(format!("{}:{}", encoded(&login.client_id), encoded(secret)));
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &login.scope {
        form.append_pair("scope", scope);
    }
    let mut authorization = HeaderValue::try_from(format!("Basic {credentials}")).expect("text of letters");
    authorization.set_sensitive(true);
    let request = Request::post(&url.path)
        .header(header::HOST, &url.authority)
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(form.finish())))
        .expect("a path that has been parsed, and text of letters");
    let exchange = async { tokio::time::timeout(PATIENCE, exchange(url, tls, request)).await };
    let answer = on_own_runtime(exchange).map_err(|error| away(error.to_string()))?;
    let (status, body) =
        answer.map_err(|_| away(format!("no answer within {} s", PATIENCE.as_secs())))?.map_err(away)?;
    if status == StatusCode::OK {
        return Ok(body);
    }
    let words = words(&body);
    let words = [secret, &*encoded(secret), &credentials]
        .iter()
        .filter(|hidden| !hidden.is_empty())
        .fold(words, |words, hidden| words.replace(hidden, "***"));
    // Not before: of a secret that is cut nobody would find the rest.
    let words: String = words.chars().take(WORDS_MAX).collect();
    let reason = match words.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {words}"),
    };
    let may_pass = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    Err(match may_pass {
        true => away(format!("it answered {reason}")),
        false => SinkError::TokenRefused { url: url.to_string(), reason },
    })
}

/// Both halves of the credentials (RFC 6749, section 2.3.1).
fn encoded(text: &str) -> Cow<'_, str> {
    form_urlencoded::byte_serialize(text.as_bytes()).fold(Cow::Borrowed(""), |text, part| text + part)
}

/// A question is asked now and then, by a thread that has nothing else to do, or by one of a runtime that may be waited in.
fn on_own_runtime<T: Send>(question: impl Future<Output = T> + Send) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = match tokio::runtime::Handle::try_current() {
        Err(_) => runtime.block_on(question),
        Ok(_) => std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(question)).join().expect("a question does not panic")
        }),
    };
    // A name that is still looked up is waited for by nobody.
    runtime.shutdown_background();
    Ok(answer)
}

async fn exchange(
    url: &TokenUrl,
    tls: Option<ClientConfig>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let socket = TcpStream::connect((&*url.host, url.port)).await.map_err(|error| error.to_string())?;
    match tls {
        None => send(socket, request).await,
        Some(config) => {
            let name = ServerName::try_from(url.host.clone())
                .map_err(|_| format!("\"{}\" is no name that a certificate can be for", url.host))?;
            let tls = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
            send(tls.map_err(|error| format!("TLS: {error}"))?, request).await
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let in_words = |error: hyper::Error| {
        use std::error::Error;
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(in_words)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(in_words)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| format!("its answer: {error}"))?.to_bytes()))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The answer may have come with the connection's end.
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(in_words(error)),
        },
    }
}

/// What a server that refuses says: by RFC 6749, section 5.2, or as it likes.
fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => {
            let said = [&json["error"], &json["error_description"]];
            let said: Vec<&str> = said.into_iter().filter_map(|words| words.as_str()).collect();
            said.join(": ")
        }
        Err(_) => String::new(),
    };
    let text = if text.is_empty() { String::from_utf8_lossy(body) } else { Cow::Owned(text) };
    let text = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    text.collect::<Vec<_>>().join(" ")
}

fn tls_config(ca: Option<&Path>) -> Result<ClientConfig, SinkError> {
    let roots = match ca {
        Some(path) => {
            let failed = |reason: String| SinkError::Client(format!("{}: {reason}", path.display()));
            let (roots, unread) = certificates(path).map_err(|error| failed(error.to_string()))?;
            if roots.is_empty() || unread > 0 {
                return Err(failed("must hold certificates of authorities, as PEM".to_owned()));
            }
            roots
        }
        None => {
            let system = SYSTEM_CA.iter().filter_map(|path| certificates(Path::new(path)).ok());
            let known = system.map(|(roots, _)| roots).find(|roots| !roots.is_empty());
            known.unwrap_or_else(|| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SinkError::Client(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Those of a file, and how many could not be read.
fn certificates(path: &Path) -> std::io::Result<(RootCertStore, usize)> {
    let mut file = BufReader::new(File::open(path)?);
    let certificates = rustls_pemfile::certs(&mut file).collect::<Result<Vec<_>, _>>()?;
    let mut roots = RootCertStore::empty();
    let (_, unread) = roots.add_parsable_certificates(certificates);
    Ok((roots, unread))
}
