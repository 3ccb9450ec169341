//! Tokens for the brokers: their listener that wants some, and a server that gives them, as an authorization server does.
//!
//! The broker's validator is Kafka's own, and knows tokens by the key with which this server signs them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::Signer;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::world::kafka_sink;

/// Of the only client: both hold what a form has to encode.
pub(crate) const CLIENT: &str = "tide&gate";
pub(crate) const SECRET: &str = "s3:e c%r+et";

/// The broker's listener.
pub(crate) struct TokenListener {
    pub(crate) address: String,
    folder: PathBuf,
}

impl TokenListener {
    /// None without servers, as for [`Servers::from_env`](super::Servers::from_env).
    pub(crate) fn from_env() -> Option<TokenListener> {
        let [address, folder] =
            tidegate_tests::variables(["TIDEGATE_TEST_KAFKA_TOKENS", "TIDEGATE_TEST_KAFKA_TOKEN_KEY"])?;
        Some(TokenListener::new(&address, &folder))
    }

    /// With the folder of the broker's key.
    pub(crate) fn new(address: &str, folder: &str) -> TokenListener {
        TokenListener { address: address.to_owned(), folder: folder.into() }
    }

    /// A certificate of a server on this machine, and the authority that stands for it.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The `sink` of a task whose tokens come from the server; `more` is of `sink.security.oauth`.
    pub(crate) fn sink(&self, server: &TokenServer, more: &str) -> String {
        self.sink_with(server, &format!("\"{SECRET}\""), more)
    }

    pub(crate) fn sink_with(&self, server: &TokenServer, secret: &str, more: &str) -> String {
        kafka_sink(&self.address, &security(&server.url, secret, more))
    }
}

/// `sink.security`.
pub(crate) fn security(url: &str, secret: &str, more: &str) -> String {
    let oauth = format!("{{token_url: \"{url}\", client_id: \"{CLIENT}\", client_secret: {secret}{more}}}");
    format!(", security: {{sasl: oauthbearer, oauth: {oauth}}}")
}

/// Ends when it is dropped.
pub(crate) struct TokenServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    signer: Box<dyn Signer>,
    manner: Mutex<Manner>,
    issued: Mutex<Vec<String>>,
}

/// How it answers.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) secret: &'static str,
    /// It ends connections without a word.
    pub(crate) is_away: bool,
    /// How long tokens live.
    pub(crate) life_s: u64,
    pub(crate) audience: &'static str,
    /// Nobody has signed them.
    pub(crate) is_forged: bool,
}

impl TokenServer {
    /// Gives tokens that live for so long.
    pub(crate) fn start(listener: &TokenListener, life_s: u64) -> TokenServer {
        TokenServer::serve(listener, life_s, None)
    }

    /// The same over TLS.
    pub(crate) fn start_encrypted(listener: &TokenListener, life_s: u64) -> TokenServer {
        let certificates = rustls::pki_types::CertificateDer::pem_file_iter(listener.certificate())
            .expect("the script made it")
            .map(|certificate| certificate.expect("a certificate"))
            .collect();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that ring knows")
            .with_no_client_auth()
            .with_single_cert(certificates, key(listener))
            .expect("the key is the certificate's");
        TokenServer::serve(listener, life_s, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn serve(listener: &TokenListener, life_s: u64, tls: Option<TlsAcceptor>) -> TokenServer {
        let key = rustls::crypto::ring::sign::any_supported_type(&key(listener)).expect("an RSA key");
        let manner = Manner { secret: SECRET, is_away: false, life_s, audience: "kafka", is_forged: false };
        let shared = Arc::new(Shared {
            signer: key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).expect("RSA signs so"),
            manner: Mutex::new(manner),
            issued: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/oauth2/token", socket.local_addr().expect("it is bound"));
        let of_server = Arc::clone(&shared);
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = socket.accept().await else { return };
                let (shared, tls) = (Arc::clone(&of_server), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer_all(stream, shared).await,
                        Some(tls) => {
                            // Who does not trust it hangs up.
                            if let Ok(stream) = tls.accept(stream).await {
                                answer_all(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
        TokenServer { url, shared, runtime: Some(runtime) }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.manner.lock().expect("no panic"));
    }

    /// All tokens that it has given.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.shared.issued.lock().expect("no panic").clone()
    }

    /// Neither the secret nor a token stands in a text, in any form.
    #[track_caller]
    pub(crate) fn assert_unsaid(&self, text: &str) {
        let hidden = [SECRET.to_owned(), encoded(SECRET), STANDARD.encode(credentials(SECRET))];
        for hidden in hidden.iter().chain(&self.issued()) {
            assert!(!text.contains(hidden.as_str()), "{hidden} stands in\n{text}");
        }
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn key(listener: &TokenListener) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(listener.key()).expect("the script made it")
}

async fn answer_all(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    if shared.manner.lock().expect("no panic").is_away {
        return;
    }
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    // What is wrong with a connection, the client says.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let manner = self.manner.lock().expect("no panic").clone();
        let authorization = request.headers().get(header::AUTHORIZATION).cloned();
        let form = request.into_body().collect().await.expect("a body").to_bytes();
        let expected = format!("Basic {}", STANDARD.encode(credentials(manner.secret)));
        let (status, body) = if authorization.is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
            let words = json!({"error": "invalid_client", "error_description": "Invalid client or secret"});
            (StatusCode::UNAUTHORIZED, words)
        } else if form != "grant_type=client_credentials&scope=read+write" && form != "grant_type=client_credentials" {
            (StatusCode::BAD_REQUEST, json!({"error": "invalid_request"}))
        } else {
            let token = self.token(&manner);
            self.issued.lock().expect("no panic").push(token.clone());
            (StatusCode::OK, json!({"access_token": token, "token_type": "Bearer", "expires_in": manner.life_s}))
        };
        let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
        response.body(Full::from(body.to_string())).expect("a response")
    }

    /// A JSON Web Token, signed by RS256.
    fn token(&self, manner: &Manner) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let claims = json!({
            "iss": "tests",
            "sub": "tide",
            "aud": manner.audience,
            "scope": "read write",
            "iat": now,
            "exp": now + manner.life_s,
            // No two of them are alike.
            "jti": fastrand::u64(..).to_string(),
        });
        let signed = format!("{}.{}", part(json!({"alg": "RS256", "kid": "test", "typ": "JWT"})), part(claims));
        let mut signature = self.signer.sign(signed.as_bytes()).expect("an RSA key signs");
        if manner.is_forged {
            signature.fill(0);
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// As a form has it.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn credentials(secret: &str) -> String {
    format!("{}:{}", encoded(CLIENT), encoded(secret))
}
