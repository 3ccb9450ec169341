//! Binlog events as the server sends them to a replica.
//!
//! ```text
//! SET checksum, heartbeat, identity   →  OK
//! COM_REGISTER_SLAVE                  →  OK
//! COM_BINLOG_DUMP or …_DUMP_GTID      →  [0x00] event   [0x00] event   …   ERR, or EOF if asked not to wait
//!
//! event   [header: 19] [body] [checksum: 4, if the server writes them]
//! ```
//!
//! A server that was asked to wait does not send EOF of its own accord: it is then shutting down, or somebody has killed the
//! dump with KILL QUERY.
//!
//! Nothing is decoded here, not even the checksum: whoever does has to know the format description event. Heartbeats are
//! events like any other. Semi-synchronous acknowledgements are not asked for, since they would let this client's pace
//! delay the server's commits.

use std::time::{Duration, Instant};

use super::super::connection::quote_text;
use super::error::WireError;
use super::packet::{ERR_HEADER, Taken, is_timeout};
use super::rows::parse_error;
use super::{Connection, Interrupter};

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1E;

const NON_BLOCKING: u16 = 0x01;
const THROUGH_GTID: u16 = 0x04;
/// Of MariaDB: leave nothing out of a transaction, so that its place in the file can be counted.
const ANNOTATE_ROWS: u16 = 0x02;

const EVENT_HEADER: u8 = 0x00;
const EOF_HEADER: u8 = 0xFE;
const EVENT_HEADER_BYTES: usize = 19;
/// Where the event header says how long the event is.
const EVENT_SIZE_AT: usize = 9;

/// First event of every file; GTID dumps name it for form's sake.
const FIRST_POSITION: u64 = 4;

/// How long the server lets one write to us wait. We stop reading while the sink is behind, and the server's default of
/// a minute would end the dump then.
const SERVER_WRITE_TIMEOUT_SECONDS: u32 = 3600;

/// A server that has let so many heartbeats fall due without a word is lost.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// Before the first event there are no heartbeats: the server looks for the place to begin, with GTIDs by reading the
/// beginning of one binlog file after another, of which it may have thousands. This is for a peer whose kernel lives on
/// without it; others are found dead by TCP.
const FIRST_EVENT_PATIENCE: Duration = Duration::from_secs(600);

/// The server has no `binlog_checksum`: MySQL 5.5, which writes none.
const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;

/// A dump to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpRequest {
    /// Must differ from the server's own and from that of every other replica of it.
    pub server_id: u32,
    pub start: DumpStart,
    /// The server speaks at least this often; zero turns that off, and with it the notice of a dead connection.
    pub heartbeat: Duration,
    /// End at the end of the binlog instead of waiting for more.
    pub non_blocking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpStart {
    /// An empty file name is the oldest file.
    File { file: Vec<u8>, position: u32 },
    /// MariaDB only: everything behind these, the last transaction of each domain, as the server writes them.
    Domains(String),
    /// MySQL only: everything that is not in this set, encoded as COM_BINLOG_DUMP_GTID wants it (an empty set is eight
    /// zero bytes).
    Gtids(Vec<u8>),
}

/// What [`BinlogPackets::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Header, body and checksum, if any; as long as its header says.
    Event(&'a [u8]),
    /// No whole event within the time given.
    Idle,
    /// A dump that was asked not to wait has come to the end.
    End,
}

/// The events of one dump. Dropping it ends the dump by closing the connection.
pub struct BinlogPackets {
    connection: Connection,
    heartbeat: Duration,
    /// Something has come, so that heartbeats are due.
    has_begun: bool,
    /// The server was asked to wait for more at the end of the binlog.
    waits: bool,
    last_arrival: Instant,
    at_end: bool,
}

/// Where the event header says what it is. Its time comes first.
const KIND_AT: usize = 4;
const FORMAT_DESCRIPTION: u8 = 15;

impl Connection {
    /// When the server made a binlog file, in seconds since 1970: the time of its first event.
    pub fn binlog_file_made_s(self, file: &str) -> Result<u32, WireError> {
        let mut packets = self.binlog_file(file)?;
        loop {
            match packets.next(FIRST_EVENT_PATIENCE)? {
                Packet::Event(event) if event[KIND_AT] == FORMAT_DESCRIPTION => {
                    return Ok(u32::from_le_bytes([event[0], event[1], event[2], event[3]]));
                }
                // Before it comes the name of the file.
                Packet::Event(_) => {}
                Packet::Idle | Packet::End => {
                    let packets = &packets.connection.packets;
                    return Err(packets.protocol(format!("no format description of {file}")));
                }
            }
        }
    }

    /// Reads a file from its begin on, and those behind it, to where the binlog ends now.
    ///
    /// Asked for as `mysqlbinlog` does, under no server id: the server ends no other dump for it.
    pub fn binlog_file(mut self, file: &str) -> Result<BinlogPackets, WireError> {
        let request = DumpRequest {
            server_id: 0,
            start: DumpStart::File { file: file.as_bytes().to_vec(), position: FIRST_POSITION as u32 },
            heartbeat: Duration::ZERO,
            non_blocking: true,
        };
        self.set_up_checksum()?;
        self.set_up_capability()?;
        self.begin(&dump_command(&request, self.is_mariadb()))?;
        Ok(self.into_dump(&request))
    }

    /// Turns the session into a dump.
    ///
    /// Once events come, silence for longer than three heartbeats is an error; without a heartbeat there is no such limit.
    pub fn binlog_dump(mut self, request: &DumpRequest) -> Result<BinlogPackets, WireError> {
        self.set_up_dump(request)?;
        self.run(&register_command(request.server_id))?;
        self.begin(&dump_command(request, self.is_mariadb()))?;
        Ok(self.into_dump(request))
    }

    fn into_dump(self, request: &DumpRequest) -> BinlogPackets {
        BinlogPackets {
            connection: self,
            heartbeat: request.heartbeat,
            has_begun: false,
            waits: !request.non_blocking,
            last_arrival: Instant::now(),
            at_end: false,
        }
    }

    /// Without it the server refuses the dump, or strips checksums. Both names, as below.
    fn set_up_checksum(&mut self) -> Result<(), WireError> {
        let checksum = "SET @master_binlog_checksum = @@global.binlog_checksum, \
                        @source_binlog_checksum = @@global.binlog_checksum";
        match self.query(checksum) {
            Err(WireError::Server { code: UNKNOWN_SYSTEM_VARIABLE, .. }) => {}
            result => drop(result?),
        }
        Ok(())
    }

    /// 4: understands MariaDB's GTID events; below, they would come rewritten into BEGIN statements.
    fn set_up_capability(&mut self) -> Result<(), WireError> {
        if self.is_mariadb() {
            self.query("SET @mariadb_slave_capability = 4")?;
        }
        Ok(())
    }

    /// Both names of everything: servers read the old or the new, and an unused user variable does no harm.
    fn set_up_dump(&mut self, request: &DumpRequest) -> Result<(), WireError> {
        self.set_up_checksum()?;
        let heartbeat = request.heartbeat.as_nanos();
        let replica = replica_uuid(request.server_id);
        self.query(&format!(
            "SET @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, \
             @slave_uuid = '{replica}', @replica_uuid = '{replica}', \
             net_write_timeout = {SERVER_WRITE_TIMEOUT_SECONDS}, net_read_timeout = {SERVER_WRITE_TIMEOUT_SECONDS}"
        ))?;
        self.set_up_capability()?;
        if let DumpStart::Domains(last) = &request.start {
            // Strict: the last of each domain must be in the binlog itself, or what comes behind it may be another history.
            self.query(&format!(
                "SET @slave_connect_state = {}, @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0",
                quote_text(last)
            ))?;
        }
        Ok(())
    }
}

impl BinlogPackets {
    /// The next event, waiting for it no longer than about `wait`. After an error the dump is over.
    #[allow(clippy::should_implement_trait, reason = "the event borrows from the connection's buffer")]
    pub fn next(&mut self, wait: Duration) -> Result<Packet<'_>, WireError> {
        if self.at_end {
            return Ok(Packet::End);
        }
        let mut waiting_since = None;
        let payload = loop {
            let needed = match self.connection.packets.take()? {
                Taken::Packet(payload) => break payload,
                Taken::Needs(needed) => needed,
            };
            match waiting_since {
                None => waiting_since = Some(Instant::now()),
                Some(since) if since.elapsed() >= wait => return Ok(Packet::Idle),
                Some(_) => {}
            }
            self.wait_for_bytes(needed, wait)?;
        };
        let packets = &self.connection.packets;
        let payload = packets.bytes(payload);
        match payload.split_first() {
            Some((&EVENT_HEADER, event)) => match event_size(event) {
                Some(size) if size == event.len() => Ok(Packet::Event(event)),
                Some(size) => Err(packets.protocol(format!("event of {size} bytes in a packet for {}", event.len()))),
                None => Err(packets.protocol("truncated event header")),
            },
            Some((&EOF_HEADER, _)) if self.waits => {
                Err(WireError::DumpEnded { address: self.connection.packets.address().to_owned() })
            }
            Some((&EOF_HEADER, _)) => {
                self.at_end = true;
                Ok(Packet::End)
            }
            Some((&ERR_HEADER, _)) => Err(parse_error(payload).into()),
            _ => Err(packets.protocol("neither an event nor the end of the dump")),
        }
    }

    /// True if a whole event lies in the buffer, so that [`next`](Self::next) will not wait.
    pub fn buffered(&self) -> bool {
        self.at_end || self.connection.packets.buffered()
    }

    pub fn interrupter(&self) -> Result<Interrupter, WireError> {
        self.connection.interrupter()
    }

    /// Silence beyond this is taken for a dead connection.
    fn silence_max(&self) -> Option<Duration> {
        match self.has_begun {
            _ if self.heartbeat.is_zero() => None,
            true => Some(self.heartbeat * HEARTBEATS_MISSED_MAX),
            false => Some(FIRST_EVENT_PATIENCE.max(self.heartbeat * HEARTBEATS_MISSED_MAX)),
        }
    }

    /// Receives at least one byte, or returns after `wait`.
    fn wait_for_bytes(&mut self, needed: usize, wait: Duration) -> Result<(), WireError> {
        let silence_max = self.silence_max();
        let timeout = silence_max.map_or(wait, |silence| silence.min(wait));
        self.connection.set_socket_timeout(Some(timeout))?;
        match self.connection.packets.fill(needed) {
            Ok(()) => {
                self.last_arrival = Instant::now();
                self.has_begun = true;
                Ok(())
            }
            Err(error) if is_timeout(&error) => {
                let silence = self.last_arrival.elapsed();
                if silence_max.is_some_and(|max| silence > max) {
                    return Err(WireError::HeartbeatMissed {
                        address: self.connection.packets.address().to_owned(),
                        silence,
                        heartbeat: self.heartbeat,
                    });
                }
                Ok(())
            }
            Err(error) => Err(self.connection.packets.lost(error)),
        }
    }
}

fn event_size(event: &[u8]) -> Option<usize> {
    let header = event.first_chunk::<EVENT_HEADER_BYTES>()?;
    let size = header[EVENT_SIZE_AT..].first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*size)).ok()
}

/// `[0x15] [server id: 4] [host, user, password: a length byte each = 0] [port: 2] [rank: 4] [source id: 4]`
fn register_command(server_id: u32) -> Vec<u8> {
    let mut command = vec![COM_REGISTER_SLAVE];
    command.extend_from_slice(&server_id.to_le_bytes());
    command.resize(command.len() + 3 + 2 + 4 + 4, 0);
    command
}

/// ```text
/// [0x12] [position: 4] [flags: 2] [server id: 4] [file name to the end]
/// [0x1E] [flags: 2] [server id: 4] [name length: 4 = 0] [position: 8] [set length: 4] [set]
/// ```
fn dump_command(request: &DumpRequest, is_mariadb: bool) -> Vec<u8> {
    let flags = if request.non_blocking { NON_BLOCKING } else { 0 } | if is_mariadb { ANNOTATE_ROWS } else { 0 };
    let server_id = request.server_id.to_le_bytes();
    match &request.start {
        DumpStart::File { file, position } => {
            [&[COM_BINLOG_DUMP], &position.to_le_bytes()[..], &flags.to_le_bytes(), &server_id, file].concat()
        }
        DumpStart::Domains(_) => {
            let position = (FIRST_POSITION as u32).to_le_bytes();
            [&[COM_BINLOG_DUMP], &position[..], &flags.to_le_bytes(), &server_id].concat()
        }
        DumpStart::Gtids(set) => [
            &[COM_BINLOG_DUMP_GTID],
            &(flags | THROUGH_GTID).to_le_bytes()[..],
            &server_id,
            &0_u32.to_le_bytes(),
            &FIRST_POSITION.to_le_bytes(),
            &(set.len() as u32).to_le_bytes(),
            set,
        ]
        .concat(),
    }
}

/// Whether a replica that shows this UUID is this program, for whichever task.
pub(crate) fn is_ours(uuid: &str) -> bool {
    uuid.get(..24) == replica_uuid(0).get(..24)
}

/// Stands for this program in a replica's UUID.
const REPLICA: [u8; 12] = *b"tidegate\x80\0\0\0";

/// The name under which a MySQL server knows this dump: one per server id. When another dump of the same name begins, the
/// server ends the older one and tells it why. So a dump that a dead run has left behind makes room for its successor, and
/// of two runs under one server id the older ends with an error, instead of both sending every change.
fn replica_uuid(server_id: u32) -> String {
    let mut uuid = String::new();
    for (index, byte) in REPLICA.iter().chain(&server_id.to_be_bytes()).enumerate() {
        use std::fmt::Write;
        if matches!(index, 4 | 6 | 8 | 10) {
            uuid.push('-');
        }
        write!(uuid, "{byte:02x}").expect("a String takes everything");
    }
    uuid
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use mysql_common::constants::CapabilityFlags;

    use super::super::packet::Packets;
    use super::super::tls::Stream;
    use super::*;

    /// A dump whose server is whoever writes into the socket.
    fn dump(heartbeat: Duration) -> (BinlogPackets, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nodelay(true).unwrap();
        let connection = Connection {
            packets: Packets::new(Stream::Plain(socket), "db:3306".to_owned(), 1 << 30),
            capabilities: CapabilityFlags::empty(),
            server_version: "9.7.4".to_owned(),
            connection_id: 1,
            socket_timeout: None,
            usable: false,
            prepared: None,
        };
        let last_arrival = Instant::now();
        (BinlogPackets { connection, heartbeat, has_begun: false, waits: true, last_arrival, at_end: false }, server)
    }

    fn packet(sequence: u8, event: &[u8]) -> Vec<u8> {
        let length = (event.len() as u32 + 1).to_le_bytes();
        [&[length[0], length[1], length[2], sequence, EVENT_HEADER], event].concat()
    }

    fn event(body: &[u8]) -> Vec<u8> {
        let mut event = vec![0; EVENT_HEADER_BYTES];
        event[EVENT_SIZE_AT] = (EVENT_HEADER_BYTES + body.len()) as u8;
        event.extend_from_slice(body);
        event
    }

    const WAIT: Duration = Duration::from_millis(30);

    #[test]
    fn an_unfinished_event_is_idle_and_then_whole() {
        let (mut dump, mut server) = dump(Duration::ZERO);
        let bytes = packet(0, &event(b"body"));
        assert_eq!(dump.next(WAIT).unwrap(), Packet::Idle);
        server.write_all(&bytes[..10]).unwrap();
        assert_eq!(dump.next(WAIT).unwrap(), Packet::Idle);
        server.write_all(&bytes[10..]).unwrap();
        assert_eq!(dump.next(WAIT * 100).unwrap(), Packet::Event(&event(b"body")));
    }

    #[test]
    fn silence_of_three_heartbeats_is_an_error() {
        let (mut dump, mut server) = dump(Duration::from_millis(40));
        server.write_all(&packet(0, &event(b""))).unwrap();
        let begin = Instant::now();
        let error = loop {
            match dump.next(WAIT) {
                Ok(_) => assert!(begin.elapsed() < Duration::from_secs(10)),
                Err(error) => break error,
            }
        };
        assert!(begin.elapsed() > Duration::from_millis(120));
        assert!(error.to_string().ends_with("(a heartbeat was due every 40ms)"), "{error}");
        assert!(error.hint().is_some() && error.is_transient());
    }

    #[test]
    fn a_long_wait_does_not_hide_the_silence() {
        let (mut dump, mut server) = dump(Duration::from_millis(40));
        server.write_all(&packet(0, &event(b""))).unwrap();
        assert!(matches!(dump.next(WAIT * 100), Ok(Packet::Event(_))));
        let begin = Instant::now();
        assert!(matches!(dump.next(Duration::from_secs(60)), Err(WireError::HeartbeatMissed { .. })));
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_search_for_the_beginning_may_take_its_time() {
        let (mut dump, mut server) = dump(Duration::from_millis(1));
        assert_eq!(dump.next(WAIT).unwrap(), Packet::Idle);
        server.write_all(&packet(0, &event(b""))).unwrap();
        assert!(matches!(dump.next(WAIT * 100), Ok(Packet::Event(_))));
    }

    #[test]
    fn a_server_that_ends_a_waiting_dump_is_a_lost_one() {
        let (mut dump, mut server) = dump(Duration::ZERO);
        server.write_all(&[5, 0, 0, 0, EOF_HEADER, 0, 0, 2, 0]).unwrap();
        let error = dump.next(WAIT * 100).unwrap_err();
        assert!(error.to_string().starts_with("db:3306 ended the binlog dump"), "{error}");
        assert!(error.is_transient());
    }

    #[test]
    fn an_event_shorter_than_it_says_is_an_error() {
        let (mut dump, mut server) = dump(Duration::ZERO);
        let mut short = event(b"body");
        short.pop();
        server.write_all(&packet(0, &short)).unwrap();
        let error = dump.next(WAIT * 100).unwrap_err();
        assert_eq!(error.to_string(), "db:3306 broke the protocol: event of 23 bytes in a packet for 22");
    }

    #[test]
    fn a_server_id_has_one_uuid() {
        assert_eq!(replica_uuid(7), "74696465-6761-7465-8000-000000000007");
        assert!(is_ours(&replica_uuid(8)) && !is_ours("40fe9c37-eab7-11f1-8674-02fc00000001") && !is_ours(""));
    }

    #[test]
    fn commands_are_as_the_protocol_says() {
        let mut request = DumpRequest {
            server_id: 0x0403_0201,
            start: DumpStart::File { file: b"f.1".to_vec(), position: 4 },
            heartbeat: Duration::ZERO,
            non_blocking: true,
        };
        assert_eq!(dump_command(&request, false), [&[0x12, 4, 0, 0, 0, 1, 0, 1, 2, 3, 4], &b"f.1"[..]].concat());
        request.start = DumpStart::Gtids(vec![0; 8]);
        request.non_blocking = false;
        let expected: Vec<u8> =
            [&[0x1E, 4, 0, 1, 2, 3, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0][..], &[0; 8]].concat();
        assert_eq!(dump_command(&request, false), expected);
        assert_eq!(register_command(0x0403_0201), [&[0x15, 1, 2, 3, 4][..], &[0; 13]].concat());
    }
}
