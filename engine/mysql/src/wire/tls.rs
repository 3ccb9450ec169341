//! Encryption: which certificates are believed, and the stream that is either a socket or TLS on one.
//!
//! | mode            | encrypted                | authority checked | name checked |
//! |-----------------|--------------------------|-------------------|--------------|
//! | disabled        | no                       |                   |              |
//! | preferred       | if the server offers it  | no                | no           |
//! | required        | yes                      | no                | no           |
//! | verify_ca       | yes                      | yes               | no           |
//! | verify_identity | yes                      | yes               | yes          |
//!
//! The authority is the `ca` file or, without one, Mozilla's list. A handshake that failed is never followed by an
//! attempt in the clear. TLS 1.2 and 1.3 only.
//!
//! Certificates seen: those that MySQL makes for itself (version 3, no host name) pass `verify_ca` with the server's own
//! `ca.pem` and fail `verify_identity`; version 1 certificates, as `openssl x509 -req` makes without extensions, pass
//! only the modes that check nothing; a subjectAltName with the name or the IP address passes everything.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned,
};

use super::error::WireError;
use super::packet::is_timeout;

/// As MySQL's own `--ssl-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    Disabled,
    /// Encrypts if the server offers it.
    #[default]
    Preferred,
    /// Encrypts, but believes any certificate: no protection from somebody in between.
    Required,
    /// The certificate must come from the authority, for whatever name. Suits the certificates MySQL makes for itself.
    VerifyCa,
    /// The certificate must also be for the host connected to.
    VerifyIdentity,
}

impl TlsMode {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[
        ("disabled", TlsMode::Disabled),
        ("preferred", TlsMode::Preferred),
        ("required", TlsMode::Required),
        ("verify_ca", TlsMode::VerifyCa),
        ("verify_identity", TlsMode::VerifyIdentity),
    ];
}

/// All files are PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    pub mode: TlsMode,
    /// Authorities to believe in the two verifying modes; none: Mozilla's list.
    pub ca: Option<PathBuf>,
    /// The client's own certificate chain, if the account requires one (`REQUIRE X509`); needs `key`.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// What packets travel on.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

impl Read for Stream {
    /// A time-out may strike between the halves of a TLS record: rustls keeps the first half for the next call.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(out),
            Stream::Tls(tls) => tls.read(out),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

/// Runs the TLS handshake on a socket whose server has just been told to expect it.
pub(super) fn encrypt(
    mut socket: TcpStream,
    host: &str,
    address: &str,
    options: &TlsOptions,
) -> Result<Stream, WireError> {
    let failed = |source| WireError::Tls { address: address.to_owned(), source };
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) if options.mode == TlsMode::VerifyIdentity => {
            let reason = format!("host \"{host}\" is not a name that a certificate can carry");
            return Err(WireError::TlsSettings { address: address.to_owned(), reason });
        }
        // Never compared, only needed to begin.
        Err(_) => ServerName::from(std::net::Ipv4Addr::LOCALHOST),
    };
    let config = client_config(options, address)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(failed)?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut socket) {
            return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(source) => failed(source.clone()),
                None if is_timeout(&error) => {
                    let silence = socket.read_timeout().ok().flatten().unwrap_or_default();
                    WireError::Timeout { address: address.to_owned(), silence }
                }
                None => WireError::Lost { address: address.to_owned(), source: error },
            });
        }
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(tls, socket))))
}

fn client_config(options: &TlsOptions, address: &str) -> Result<ClientConfig, WireError> {
    let failed = |source| WireError::Tls { address: address.to_owned(), source };
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(options, address, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&options.cert, &options.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            builder.with_client_auth_cert(read_certificates(cert)?, read_key(key)?).map_err(failed)
        }
        _ => {
            let reason = "a client certificate needs both cert and key".to_owned();
            Err(WireError::TlsSettings { address: address.to_owned(), reason })
        }
    }
}

fn verifier(
    options: &TlsOptions,
    address: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, WireError> {
    let algorithms = provider.signature_verification_algorithms;
    Ok(match options.mode {
        TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required => Arc::new(AnyCertificate { algorithms }),
        TlsMode::VerifyCa => Arc::new(AnyName { roots: roots(options)?, algorithms }),
        TlsMode::VerifyIdentity => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(options)?), provider.clone())
                .build()
                .map_err(|error| WireError::TlsSettings { address: address.to_owned(), reason: error.to_string() })?
        }
    })
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, WireError> {
    let Some(path) = &options.ca else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| file_error(path, error))?;
    }
    Ok(roots)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, WireError> {
    let mut file = open(path)?;
    let certificates =
        rustls_pemfile::certs(&mut file).collect::<Result<Vec<_>, _>>().map_err(|error| file_error(path, error))?;
    if certificates.is_empty() {
        return Err(file_error(path, "holds no certificate"));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, WireError> {
    let key = rustls_pemfile::private_key(&mut open(path)?).map_err(|error| file_error(path, error))?;
    key.ok_or_else(|| file_error(path, "holds no private key"))
}

fn open(path: &Path) -> Result<BufReader<File>, WireError> {
    File::open(path).map(BufReader::new).map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, reason: impl ToString) -> WireError {
    WireError::TlsFile { path: path.to_owned(), reason: reason.to_string() }
}

/// Believes everything, signatures included: they would only prove that the peer owns a certificate nobody checks, and
/// checking them would turn away the X.509 version 1 certificates of older servers.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the chain up to an authority, and signatures, but not the name.
#[derive(Debug)]
struct AnyName {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
