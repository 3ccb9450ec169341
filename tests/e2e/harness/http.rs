//! What a task shows over HTTP, as a client sees it.

use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Tidegate, wait_for};

/// A task's port.
pub(crate) struct Http {
    pub(crate) address: String,
    /// Where HTTPS is spoken.
    tls: Option<TlsConnector>,
    runtime: tokio::runtime::Runtime,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream of events.
pub(crate) struct Events<'h> {
    http: &'h Http,
    body: Incoming,
    text: String,
}

impl Http {
    /// Of a task whose `http` names port 0.
    pub(crate) fn of(engine: &mut Tidegate) -> Http {
        engine.wait_for_line("the task shows itself at http://");
        let output = engine.output();
        let (_, rest) = output.rsplit_once("shows itself at http://").expect("it was waited for");
        let address = rest.split('/').next().expect("an address").replace("0.0.0.0", "127.0.0.1");
        Http::at(&address)
    }

    pub(crate) fn at(address: &str) -> Http {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Http { address: address.to_owned(), tls: None, runtime }
    }

    /// The same over TLS, for who believes in `authority`.
    pub(crate) fn encrypted(address: &str, authority: &Path) -> Http {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that ring knows")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Http { tls: Some(TlsConnector::from(Arc::new(config))), ..Http::at(address) }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(&self.address).await.expect("the port is open");
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from("127.0.0.1").expect("an address");
                Box::new(tls.connect(name, stream).await.expect("a certificate that is believed"))
            }
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP is spoken");
        tokio::spawn(connection);
        sender.send_request(request).await.expect("there is an answer")
    }

    /// Code, content type and body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        self.ask_with(method, path, headers, "")
    }

    /// A POST with a body.
    pub(crate) fn send_body(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        self.ask_with("POST", path, headers, body)
    }

    fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", &self.address);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        self.runtime.block_on(async {
            let response = self.send(request).await;
            let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
            let code = response.status().as_u16();
            let body = response.into_body().collect().await.expect("the whole answer").to_bytes();
            (code, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).expect("text"))
        })
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let (code, _, body) = self.ask("GET", path, &[]);
        assert_eq!(code, 200, "{path}: {body}");
        body
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status")).expect("JSON")
    }

    /// Looks at the status until it is as wanted.
    pub(crate) fn until(&self, engine: &mut Tidegate, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            engine.assert_running();
            Some(self.status()).filter(&is)
        })
    }

    pub(crate) fn events(&self) -> Events<'_> {
        self.events_if_there_is_room().expect("few follow the task")
    }

    pub(crate) fn events_if_there_is_room(&self) -> Option<Events<'_>> {
        let request = Request::get("/events").header("host", &self.address).body(Full::default()).expect("a request");
        let response = self.runtime.block_on(self.send(request));
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return None;
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Some(Events { http: self, body: response.into_body(), text: String::new() })
    }
}

impl Events<'_> {
    /// The next report; none at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let report = event.strip_prefix("data: ").expect("an event has data");
                let report = serde_json::from_str(report).expect("JSON");
                self.text = rest.to_owned();
                return Some(report);
            }
            // However the task ends: the stream ends.
            let frame = self.http.runtime.block_on(self.body.frame())?.ok()?;
            let data = frame.into_data().expect("there are no trailers");
            self.text += std::str::from_utf8(&data).expect("text");
        }
    }
}
