//! From an open socket to a session: greeting, TLS, authentication.
//!
//! ```text
//! server                                client
//! greeting: version, nonce, plugin  →
//!                                   ←   TLS request, then the TLS handshake       (if encrypted)
//!                                   ←   response: user, answer to the nonce, attributes
//! switch: other plugin, new nonce   →                                             (if the account uses another)
//!                                   ←   answer
//! more data: full authentication    →                                             (caching_sha2_password, not cached)
//!                                   ←   password, protected by TLS; or by the server's RSA key, asked for first
//! OK or error                       →
//! ```
//!
//! The answer to a nonce never reveals the password. Where a plugin wants the password itself it is sent inside TLS, or
//! encrypted with the public key that the server hands out. In the modes that verify no certificate, and without TLS,
//! nobody vouches for that server or key: somebody in between could learn the password. So `mysql_clear_password` and
//! `mysql_old_password` are not spoken at all, and `verify_ca` or `verify_identity` is the advice for open networks.

use std::net::TcpStream;
use std::panic;

use mysql_common::constants::CapabilityFlags;
use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;

use super::error::WireError;
use super::packet::{ERR_HEADER, Packets};
use super::rows::{ServerMessage, parse_error};
use super::tls::{self, Stream, TlsMode};
use super::{ConnectOptions, UTF8MB4_GENERAL_CI};

const OK_HEADER: u8 = 0x00;
const MORE_DATA_HEADER: u8 = 0x01;
const SWITCH_HEADER: u8 = 0xFE;

const CACHING_SHA2_FAST_SUCCESS: u8 = 3;
const CACHING_SHA2_FULL_AUTHENTICATION: u8 = 4;
const CACHING_SHA2_REQUEST_KEY: u8 = 2;
const SHA256_REQUEST_KEY: u8 = 1;
const ED25519_NONCE_BYTES: usize = 32;

/// What the padding takes of each block: two SHA-1 hashes and two bytes.
const OAEP_BYTES: usize = 2 * 20 + 2;

const SHA256_PASSWORD: &[u8] = b"sha256_password";

/// What we use of what a server may offer. Not in it: found-rows, local infile (a server could ask for our files),
/// session tracking, compression.
const WANTED: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PS_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_DEPRECATE_EOF);

/// Told to the server, which ignores it since 4.1; our own limit is `max_packet_bytes`.
const PACKET_BYTES_MAX_TOLD: u32 = 1 << 30;

pub(super) struct Session {
    pub(super) packets: Packets<Stream>,
    pub(super) capabilities: CapabilityFlags,
    pub(super) server_version: String,
    pub(super) connection_id: u32,
}

pub(super) fn log_in(
    socket: TcpStream,
    address: &str,
    options: &ConnectOptions,
    password: &str,
) -> Result<Session, WireError> {
    let mut packets = Packets::new(socket, address.to_owned(), options.max_packet_bytes);
    let silence = Some(options.connect_timeout);
    let payload = packets.read(silence)?;
    let payload = packets.bytes(payload);
    if payload.first() == Some(&ERR_HEADER) {
        return Err(refused(address, options, parse_error(payload)));
    }
    let greeting: HandshakePacket<'_> =
        ParseBuf(payload).parse(()).map_err(|error| packets.protocol(format!("greeting: {error}")))?;
    let greeting = greeting.into_owned();
    let offered = greeting.capabilities();
    if !offered.contains(CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_PLUGIN_AUTH) {
        return Err(packets.protocol("a server older than MySQL 5.5"));
    }
    let mut capabilities = offered & WANTED;

    let encrypt = match options.tls.mode {
        TlsMode::Disabled => false,
        TlsMode::Preferred => offered.contains(CapabilityFlags::CLIENT_SSL),
        TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity => true,
    };
    let mut packets = if encrypt {
        if !offered.contains(CapabilityFlags::CLIENT_SSL) {
            return Err(WireError::TlsNotOffered { address: address.to_owned() });
        }
        capabilities |= CapabilityFlags::CLIENT_SSL;
        packets.send(&serialized(&SslRequest::new(capabilities, PACKET_BYTES_MAX_TOLD, UTF8MB4_GENERAL_CI)))?;
        packets.try_map_stream(|socket, address| tls::encrypt(socket, &options.host, address, &options.tls))?
    } else {
        packets.try_map_stream(|socket, _| Ok(Stream::Plain(socket)))?
    };

    let password = Password(password);
    // What the server names here is only its default. If we cannot begin with that, it will ask us to switch.
    let plugin = match greeting.auth_plugin() {
        Some(AuthPlugin::MysqlNativePassword) => AuthPlugin::MysqlNativePassword,
        _ => AuthPlugin::CachingSha2Password,
    };
    let answer = plugin.gen_data(Some(password.0), &greeting.nonce());
    let response = HandshakeResponse::new(
        answer.as_deref(),
        greeting.server_version_parsed().unwrap_or((5, 6, 0)),
        Some(options.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        capabilities.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS).then(|| attributes(options)),
        PACKET_BYTES_MAX_TOLD,
    );
    packets.send(&serialized(&response))?;

    let nonce = greeting.nonce();
    Authentication { packets: &mut packets, address, options, password, plugin: plugin.into_owned(), nonce }
        .finish()?;
    Ok(Session {
        packets,
        capabilities,
        // MariaDB puts 5.5.5- before its version, for clients that would not believe in a version 10.
        server_version: {
            let version = greeting.server_version_str();
            version.strip_prefix("5.5.5-").unwrap_or(&version).to_owned()
        },
        connection_id: greeting.connection_id(),
    })
}

fn attributes(options: &ConnectOptions) -> std::collections::HashMap<String, String> {
    [
        ("_client_name", "tidegate"),
        ("_client_version", env!("CARGO_PKG_VERSION")),
        ("program_name", &options.program_name),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

fn refused(address: &str, options: &ConnectOptions, error: ServerMessage) -> WireError {
    let ServerMessage { code, state, message } = error;
    WireError::Login { address: address.to_owned(), user: options.user.clone(), code, state, message }
}

/// No `Debug`: it must not be printed.
#[derive(Clone, Copy)]
struct Password<'a>(&'a str);

impl Password<'_> {
    fn with_terminator(self) -> Vec<u8> {
        [self.0.as_bytes(), &[0]].concat()
    }

    /// Mixed with the nonce, so that what was overheard cannot be sent again, then encrypted with the server's key.
    /// `None` if the key is malformed or too short for the password.
    fn encrypted(self, nonce: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        let mixed: Vec<u8> =
            self.with_terminator().iter().zip(nonce.iter().cycle()).map(|(byte, nonce)| byte ^ nonce).collect();
        // mysql_common asserts what it expects of a key, and this one comes from outside.
        let encrypt = || {
            let key = PublicKey::from_pem(key);
            let room = key.num_octets().checked_sub(OAEP_BYTES)?;
            (mixed.len() <= room).then(|| key.encrypt_block(&mixed, Pkcs1OaepPadding::new(GetRandom)))
        };
        panic::catch_unwind(encrypt).ok().flatten()
    }
}

/// The exchange after our response, until the server says yes or no.
struct Authentication<'a> {
    packets: &'a mut Packets<Stream>,
    address: &'a str,
    options: &'a ConnectOptions,
    password: Password<'a>,
    plugin: AuthPlugin<'static>,
    nonce: Vec<u8>,
}

impl Authentication<'_> {
    fn finish(mut self) -> Result<(), WireError> {
        loop {
            let payload = self.packets.read(Some(self.options.connect_timeout))?;
            let payload = self.packets.bytes(payload).to_vec();
            match payload.split_first() {
                Some((&OK_HEADER, _)) => return Ok(()),
                Some((&ERR_HEADER, _)) => return Err(refused(self.address, self.options, parse_error(&payload))),
                Some((&SWITCH_HEADER, [])) => return Err(self.unsupported("mysql_old_password")),
                Some((&SWITCH_HEADER, _)) => self.switch(&payload)?,
                Some((&MORE_DATA_HEADER, data)) => self.more_data(data)?,
                _ => return Err(self.packets.protocol("authentication ended with neither OK nor an error")),
            }
        }
    }

    fn switch(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let request: AuthSwitchRequest<'_> =
            ParseBuf(payload).parse(()).map_err(|error| self.packets.protocol(format!("plugin switch: {error}")))?;
        self.nonce = request.plugin_data().to_vec();
        self.plugin = request.auth_plugin().into_owned();
        if let (AuthPlugin::Ed25519, Some(nonce)) = (&self.plugin, payload.last_chunk::<ED25519_NONCE_BYTES>()) {
            // No zero ends it, so that one at its end is its own.
            self.nonce = nonce.to_vec();
        }
        match &self.plugin {
            AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword | AuthPlugin::Ed25519 => {
                let answer = self.plugin.gen_data(Some(self.password.0), &self.nonce);
                self.packets.send(answer.as_deref().unwrap_or_default())
            }
            AuthPlugin::Other(name) if name.as_ref() == SHA256_PASSWORD => {
                if self.password.0.is_empty() || self.packets.stream().is_encrypted() {
                    self.packets.send(&self.password.with_terminator())
                } else {
                    self.packets.send(&[SHA256_REQUEST_KEY])
                }
            }
            other => Err(self.unsupported(&String::from_utf8_lossy(other.as_bytes()))),
        }
    }

    fn more_data(&mut self, data: &[u8]) -> Result<(), WireError> {
        match (&self.plugin, data) {
            (AuthPlugin::CachingSha2Password, [CACHING_SHA2_FAST_SUCCESS]) => Ok(()),
            (AuthPlugin::CachingSha2Password, [CACHING_SHA2_FULL_AUTHENTICATION]) => {
                if self.packets.stream().is_encrypted() {
                    self.packets.send(&self.password.with_terminator())
                } else {
                    self.packets.send(&[CACHING_SHA2_REQUEST_KEY])
                }
            }
            // A key may only come where we asked for one: not inside TLS.
            (AuthPlugin::CachingSha2Password, key) if !self.packets.stream().is_encrypted() => self.send_encrypted(key),
            (AuthPlugin::Other(name), key)
                if name.as_ref() == SHA256_PASSWORD && !self.packets.stream().is_encrypted() =>
            {
                self.send_encrypted(key)
            }
            _ => Err(self.packets.protocol("authentication data that was not asked for")),
        }
    }

    fn send_encrypted(&mut self, key: &[u8]) -> Result<(), WireError> {
        let Some(password) = self.password.encrypted(&self.nonce, key) else {
            return Err(self.packets.protocol("its public key is malformed or too short for the password"));
        };
        self.packets.send(&password)
    }

    fn unsupported(&self, plugin: &str) -> WireError {
        WireError::AuthPlugin {
            address: self.address.to_owned(),
            user: self.options.user.clone(),
            plugin: plugin.to_owned(),
        }
    }
}
