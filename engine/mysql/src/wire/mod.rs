//! Data plane of a MySQL-family server: result rows and binlog events, handed out where they were received.
//!
//! ```text
//! packet      bytes → packets, in one read buffer, never copied below 16 MiB
//! tls         the stream below: a socket, or TLS on one
//! handshake   greeting, TLS, authentication → a session
//! rows        statements → rows                 slices of the buffer
//! binlog      dump → events                     slices of the buffer
//! ```
//!
//! Blocking, one thread per connection: the thread that reads also decodes, while the bytes are in its cache, and no
//! packet costs a future or an allocation. Values are not decoded here. Statements that are not about bulk data (the
//! catalogue, variables) go through `mysql_async` elsewhere, except for what a session of this kind itself must set.
//!
//! *Patience.* A server may work for hours before it sends the first row of a statement, and says nothing meanwhile. No
//! time-out tells such silence from a dead peer, and one that fires while the server works has the same work begun again,
//! for ever. So after the login nothing that is read or written has a time-out. What finds a dead peer is TCP: the kernel of
//! a living one answers probes however busy its server is ([`PROBE_AFTER`], [`DEAD_AFTER`]), and a server process that ends
//! closes its sockets. A server that hangs but lives is waited for: it would hang for the next connection too. Who waits
//! can be called off by an [`Interrupter`]. Only a dump knows more, because the server promises to speak ([`binlog`]).
//!
//! Not spoken: compression, Unix sockets, semi-synchronous replication, `LOAD DATA LOCAL`.

mod binlog;
mod error;
mod handshake;
mod packet;
mod password;
mod rows;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_common::constants::CapabilityFlags;
use socket2::{SockRef, TcpKeepalive};

use handshake::Session;
use packet::Packets;
use rows::Prepared;
use tls::Stream;

pub(crate) use binlog::is_ours;
pub use binlog::{BinlogPackets, DumpRequest, DumpStart, Packet};
pub use error::WireError;
pub(crate) use error::{REFUSED, io_text};
pub use password::PasswordOrigin;
pub use rows::{BinaryRows, ColumnInfo, Param, TextResult};
pub use tls::{TlsMode, TlsOptions};

const COM_QUIT: u8 = 0x01;

/// So long a connection may be silent before the kernel asks the peer's whether it is there.
pub const PROBE_AFTER: Duration = Duration::from_secs(15);
/// And then so often again.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// A peer whose kernel has answered nothing for so long is dead.
#[cfg(target_os = "linux")]
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// The collation of everything said and received: known to every server since 5.5.3.
const UTF8MB4_GENERAL_CI: u8 = 45;

/// Where to connect, as whom, and how long to wait.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Name or address. Every address of a name is tried in turn.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// `None` and empty are the same: an account without password.
    pub password: Option<String>,
    /// Where it is read again when the server refuses it, if that may be another one by then.
    pub password_origin: Option<Arc<PasswordOrigin>>,
    pub tls: TlsOptions,
    /// For the connection to each address, and for each answer during the handshake. Not for looking up the name, which
    /// the system bounds.
    pub connect_timeout: Duration,
    /// The longest packet to accept, which is a row or a binlog event: the bound of this connection's memory.
    pub max_packet_bytes: usize,
    /// Shown by the server in `performance_schema.session_connect_attrs`.
    pub program_name: String,
}

impl ConnectOptions {
    /// The password that the server took last, or the first.
    pub(crate) fn current_password(&self) -> String {
        let last = self.password_origin.as_ref().and_then(|origin| origin.accepted());
        last.or_else(|| self.password.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_packet_bytes", &self.max_packet_bytes)
            .field("program_name", &self.program_name)
            .finish()
    }
}

/// One session.
///
/// Survives errors that the server reports ([`WireError::Server`]). After any other failure, and after rows were dropped
/// before their end, [`is_usable`](Self::is_usable) is false: connect again. Dropping it says goodbye to the server.
pub struct Connection {
    packets: Packets<Stream>,
    capabilities: CapabilityFlags,
    server_version: String,
    connection_id: u32,
    /// As last set on the socket: setting it is a system call, which no packet should cost.
    socket_timeout: Option<Duration>,
    /// No answer is outstanding.
    usable: bool,
    prepared: Option<Prepared>,
}

impl Connection {
    pub fn connect(options: &ConnectOptions) -> Result<Connection, WireError> {
        let mut password = options.current_password();
        let Some(origin) = &options.password_origin else { return Connection::log_in(options, &password) };
        loop {
            let tried = match origin.refusal(&password) {
                Some(refusal) => Err(refusal),
                None => Connection::log_in(options, &password),
            };
            let error = match tried {
                Err(error) if error.is_denied() => error,
                Ok(connection) => {
                    origin.accept(&password);
                    if connection.is_mariadb() {
                        origin.note_mariadb();
                    }
                    return Ok(connection);
                }
                result => return result,
            };
            password = origin.refuse(&password, error)?;
        }
    }

    fn log_in(options: &ConnectOptions, password: &str) -> Result<Connection, WireError> {
        let address = address(&options.host, options.port);
        let socket = open(options).map_err(|source| WireError::Connect { address: address.clone(), source })?;
        let Session { packets, capabilities, server_version, connection_id } =
            handshake::log_in(socket, &address, options, password)?;
        let mut connection = Connection {
            packets,
            capabilities,
            server_version,
            connection_id,
            socket_timeout: Some(options.connect_timeout),
            usable: true,
            prepared: None,
        };
        connection.set_socket_timeout(None)?;
        let unlimited = connection.packets.stream().socket().set_write_timeout(None);
        unlimited.map_err(|source| connection.packets.lost(source))?;
        Ok(connection)
    }

    /// For example `9.7.4` or `10.11.14-MariaDB-0+deb12u2-log`.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// The id that `KILL` and `SHOW PROCESSLIST` know this session by.
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    pub fn is_mariadb(&self) -> bool {
        self.server_version.to_ascii_lowercase().contains("mariadb")
    }

    pub fn is_encrypted(&self) -> bool {
        self.packets.stream().is_encrypted()
    }

    /// False once an answer was left unread or the connection failed.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// A handle by which another thread can end this connection, and any read it is waiting in, at once.
    pub fn interrupter(&self) -> Result<Interrupter, WireError> {
        let socket = self.packets.stream().socket().try_clone().map_err(|error| self.packets.lost(error))?;
        Ok(Interrupter { socket: Arc::new(socket), interrupted: self.packets.interrupted().clone() })
    }

    fn set_socket_timeout(&mut self, timeout: Option<Duration>) -> Result<(), WireError> {
        // Zero would mean for ever to some systems and is refused by the standard library.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        if self.socket_timeout != timeout {
            let set = self.packets.stream().socket().set_read_timeout(timeout);
            set.map_err(|error| self.packets.lost(error))?;
            self.socket_timeout = timeout;
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.usable {
            // Spares the server a warning about an aborted connection. If it fails, there is nobody left to tell.
            let _ = self.packets.command(&[COM_QUIT]);
        }
    }
}

/// Ends a connection from another thread; see [`Connection::interrupter`].
#[derive(Clone)]
pub struct Interrupter {
    socket: Arc<TcpStream>,
    interrupted: Arc<AtomicBool>,
}

impl Interrupter {
    /// Whatever the connection does now or later fails with [`WireError::Interrupted`].
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        // Wakes whoever waits in a read. Fails only if the connection is closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
        reset(&self.socket);
    }
}

/// Tells the peer that nobody reads any more. The end of a stream does not: a server in the midst of an answer goes on waiting, with its
/// transaction open, for what is on its way to be read.
#[cfg(target_os = "linux")]
fn reset(socket: &TcpStream) {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let size = size_of::<libc::sockaddr>() as libc::socklen_t;
    // A stream that is connected to no address ends with a reset. Refused while another thread waits in a read; that one is awake now, and closes.
    // SAFETY: the descriptor lives as long as `socket`, and of the address no more than `size` bytes are read.
    unsafe { libc::connect(socket.as_raw_fd(), &nowhere, size) };
}

#[cfg(not(target_os = "linux"))]
fn reset(_: &TcpStream) {}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Has the kernel ask a silent peer whether it is there, and give up on one that does not answer, whether it owes an answer
/// to a probe or to something sent.
fn find_dead_peers(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL))?;
    // Instead of a number of probes, which would not count for what was sent.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(())
}

fn open(options: &ConnectOptions) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in (options.host.as_str(), options.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, options.connect_timeout) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                find_dead_peers(&socket)?;
                socket.set_read_timeout(Some(options.connect_timeout))?;
                socket.set_write_timeout(Some(options.connect_timeout))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
