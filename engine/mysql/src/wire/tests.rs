//! Sessions with a real server, named by `TIDEGATE_TEST_MYSQL` (`mysql://user:password@host:port`, an account that may do
//! everything) and `TIDEGATE_TEST_MYSQL_CA` (the server's `ca.pem`); and with servers that misbehave, played here.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use mysql_common::constants::{ColumnType, StatusFlags};
use mysql_common::packets::HandshakePacket;
use mysql_common::proto::MySerialize;

use tidegate_model::Coordinate;

use super::*;
use crate::dump_error::DumpError;
use crate::test_server::{self, options_for};

fn options() -> Option<ConnectOptions> {
    test_server::options("TIDEGATE_TEST_MYSQL")
}

fn connect(options: &ConnectOptions) -> Connection {
    Connection::connect(options).unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()))
}

fn error_of(options: &ConnectOptions) -> WireError {
    match Connection::connect(options) {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

fn with_tls(options: &ConnectOptions, mode: TlsMode, ca: Option<&str>) -> ConnectOptions {
    ConnectOptions { tls: TlsOptions { mode, ca: ca.map(Into::into), cert: None, key: None }, ..options.clone() }
}

/// The rows of a text result, one line each.
fn text(result: &TextResult) -> Vec<String> {
    let value = |value: &Option<Vec<u8>>| match value {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "NULL".to_owned(),
    };
    result.rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join(" ")).collect()
}

/// A user for one test, gone with its end.
struct TestUser {
    admin: Connection,
    name: String,
}

impl TestUser {
    fn create(admin: &ConnectOptions, name: &str, identified: &str) -> TestUser {
        let mut admin = connect(admin);
        let name = format!("wire_{name}_{}", std::process::id());
        admin.query(&format!("CREATE USER '{name}'@'%' {identified}")).unwrap();
        TestUser { admin, name }
    }

    fn options(&self, admin: &ConnectOptions, password: &str, mode: TlsMode) -> ConnectOptions {
        ConnectOptions { user: self.name.clone(), password: Some(password.to_owned()), ..with_tls(admin, mode, None) }
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        let _ = self.admin.query(&format!("DROP USER '{}'@'%'", self.name));
    }
}

#[test]
fn a_password_is_never_printed() {
    let options = ConnectOptions { password: Some("hunter2".to_owned()), ..options_for("db", 3306) };
    assert!(!format!("{options:?}").contains("hunter2"));
}

#[test]
fn session_knows_its_server() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let asked = connection.query("SELECT VERSION(), CONNECTION_ID()").unwrap();
    assert_eq!(text(&asked[0]), [format!("{} {}", connection.server_version(), connection.connection_id())]);
    assert!(!connection.is_mariadb());
}

#[test]
fn wrong_password_is_refused_with_a_hint() {
    let Some(mut options) = options() else { return };
    options.password = Some("wrong".to_owned());
    let error = error_of(&options);
    assert_eq!(error.server_code(), Some(1045));
    assert!(error.to_string().contains(&format!("127.0.0.1:{} refused user \"{}\"", options.port, options.user)));
    assert!(error.hint().unwrap().contains("user and password"));
    assert!(!error.is_transient());
}

#[test]
fn nobody_listening_is_transient() {
    // One that is bound is nobody else's.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let error = error_of(&options_for("127.0.0.1", port));
    assert!(error.to_string().starts_with(&format!("could not connect to 127.0.0.1:{port}: ")), "{error}");
    assert!(error.is_transient());
}

#[test]
fn tls_modes_encrypt_and_verify() {
    let (Some(options), Some(ca)) = (options(), tidegate_tests::variable("TIDEGATE_TEST_MYSQL_CA")) else { return };
    let ca = Some(ca.as_str());
    for (mode, ca, encrypted) in [
        (TlsMode::Disabled, None, false),
        (TlsMode::Preferred, None, true),
        (TlsMode::Required, None, true),
        (TlsMode::VerifyCa, ca, true),
    ] {
        let mut connection = connect(&with_tls(&options, mode, ca));
        assert_eq!(connection.is_encrypted(), encrypted, "{mode:?}");
        let cipher = connection.query("SHOW STATUS LIKE 'Ssl_cipher'").unwrap();
        assert_eq!(text(&cipher[0]) != ["Ssl_cipher "], encrypted, "{mode:?}");
    }
}

#[test]
fn certificate_without_a_host_name_fails_verify_identity() {
    let (Some(options), Some(ca)) = (options(), tidegate_tests::variable("TIDEGATE_TEST_MYSQL_CA")) else { return };
    let error = error_of(&with_tls(&options, TlsMode::VerifyIdentity, Some(&ca)));
    assert!(matches!(error, WireError::Tls { .. }), "{error}");
    assert!(error.hint().unwrap().contains("verify_ca"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn certificate_of_another_authority_fails_verify_ca() {
    let Some(options) = options() else { return };
    let error = error_of(&with_tls(&options, TlsMode::VerifyCa, None));
    assert!(matches!(error, WireError::Tls { .. }), "{error}");
    assert!(error.hint().unwrap().contains("ca.pem"), "{error}");
}

#[test]
fn missing_ca_file_is_named() {
    let Some(options) = options() else { return };
    let error = error_of(&with_tls(&options, TlsMode::VerifyCa, Some("no-such.pem")));
    assert!(error.to_string().starts_with("TLS file no-such.pem: "), "{error}");
}

#[test]
fn caching_sha2_password_by_rsa_then_cached_then_by_tls() {
    let Some(admin) = options() else { return };
    let identified = "IDENTIFIED WITH caching_sha2_password BY 'Pässwort-1'";
    let mut user = TestUser::create(&admin, "sha2", identified);
    for (mode, why) in [
        (TlsMode::Disabled, "full, by the server's RSA key: the server has never seen this user"),
        (TlsMode::Disabled, "fast: the server remembers"),
        (TlsMode::Required, "fast, encrypted"),
    ] {
        connect(&user.options(&admin, "Pässwort-1", mode)).query(&format!("SELECT '{}'", mode as u8)).expect(why);
    }
    // Forgets what the server remembers.
    user.admin.query("FLUSH PRIVILEGES").unwrap();
    connect(&user.options(&admin, "Pässwort-1", TlsMode::Required));
    user.admin.query("FLUSH PRIVILEGES").unwrap();
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        assert_eq!(error_of(&user.options(&admin, "Pässwort-2", mode)).server_code(), Some(1045));
    }
}

#[test]
fn password_too_long_for_the_key_is_an_error_not_a_panic() {
    let Some(admin) = options() else { return };
    let password = "x".repeat(240);
    let user = TestUser::create(&admin, "long", &format!("IDENTIFIED WITH caching_sha2_password BY '{password}'"));
    let error = error_of(&user.options(&admin, &password, TlsMode::Disabled));
    assert!(error.to_string().contains("public key"), "{error}");
    connect(&user.options(&admin, &password, TlsMode::Required));
}

#[test]
fn sha256_password_by_rsa_and_by_tls() {
    let Some(admin) = options() else { return };
    let user = TestUser::create(&admin, "sha256", "IDENTIFIED WITH sha256_password BY 'secret'");
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        connect(&user.options(&admin, "secret", mode));
        assert_eq!(error_of(&user.options(&admin, "Secret", mode)).server_code(), Some(1045));
    }
}

#[test]
fn account_without_password() {
    let Some(admin) = options() else { return };
    let user = TestUser::create(&admin, "empty", "IDENTIFIED BY ''");
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        connect(&user.options(&admin, "", mode));
    }
}

#[test]
fn several_statements_give_several_results() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let results = connection.query("SET @a = 1; SELECT @a AS a, NULL, 'é'; DO 0; SELECT 2 UNION ALL SELECT 3").unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[0], TextResult::default());
    assert_eq!(results[1].columns[0].name, "a");
    assert_eq!(text(&results[1]), ["1 NULL é"]);
    assert_eq!(text(&results[3]), ["2", "3"]);
    assert_eq!(results[3].scalar(), Some("2"));
}

#[test]
fn a_failing_statement_leaves_the_connection_usable() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let error = connection.query("SELECT 1; SELECT * FROM no_such_schema.no_such_table; SELECT 2").unwrap_err();
    assert!(matches!(error, WireError::Server { .. }), "{error}");
    assert_eq!(connection.query("SELECT 3").unwrap()[0].scalar(), Some("3"));
}

#[test]
fn binary_rows_are_slices_of_the_packets() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let sql = "SELECT ? AS i, ?, ? AS d, ? AS t UNION ALL SELECT -1, 'x', 0.00, 'y'";
    let params = [Param::I64(258), Param::Null, Param::Decimal("1.50".to_owned()), Param::Text("é".to_owned())];
    for _prepared_then_again in 0..2 {
        let mut rows = connection.execute(sql, &params).unwrap();
        let names: Vec<&str> = rows.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["i", "?", "d", "t"]);
        assert_eq!(rows.columns()[0].column_type, ColumnType::MYSQL_TYPE_LONGLONG);
        assert_eq!(rows.columns()[2].column_type, ColumnType::MYSQL_TYPE_NEWDECIMAL);
        // NULL bits from bit 2: the second column is bit 3.
        let row = rows.next().unwrap().unwrap();
        assert_eq!(row[..9], [0b1000, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert!(row[9..].starts_with(b"\x041.50") || row[9..].starts_with(b"\x201.5"), "{row:?}");
        assert!(row.ends_with("\x02é".as_bytes()), "{row:?}");
        let row = rows.next().unwrap().unwrap();
        assert_eq!(row[..9], [0, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert!(rows.next().unwrap().is_none());
        assert!(rows.next().unwrap().is_none());
        assert!(rows.buffered());
    }
    let rows = connection.execute("SET @a = ?", &[Param::F64(0.5)]).unwrap();
    assert!(rows.columns().is_empty());
    drop(rows);
    let result = connection.query("SELECT @a").unwrap();
    assert_eq!(result[0].scalar(), Some("0.5"));
}

#[test]
fn parameters_are_compared_as_what_they_are() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let mut is_true = |condition: &str, param: Param| {
        let mut rows = connection.execute(&format!("SELECT 1 FROM DUAL WHERE {condition}"), &[param]).unwrap();
        let mut count = 0;
        while rows.next().unwrap().is_some() {
            count += 1;
        }
        count == 1
    };
    assert!(is_true("18446744073709551615 = ?", Param::U64(u64::MAX)));
    assert!(is_true("-9223372036854775808 = ?", Param::I64(i64::MIN)));
    assert!(is_true(
        "CAST('12345678901234567890.01' AS DECIMAL(30, 2)) < ?",
        Param::Decimal("12345678901234567890.02".to_owned())
    ));
    assert!(is_true("_utf8mb4'ABC' COLLATE utf8mb4_0900_ai_ci = ?", Param::Text("abc".to_owned())));
    assert!(!is_true("_binary'ABC' = ?", Param::Bytes(b"abc".to_vec())));
    assert!(is_true("x'00FF' = ?", Param::Bytes(vec![0, 255])));
    assert!(is_true("TIMESTAMP'2024-02-29 01:02:03' = ?", Param::Text("2024-02-29 01:02:03".to_owned())));
}

#[test]
fn wrong_number_of_parameters_is_an_error() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let Err(error) = connection.execute("SELECT ?", &[]) else { panic!("executed") };
    assert_eq!(error.to_string(), "statement has 1 placeholders, 0 parameters were given");
    assert!(connection.is_usable());
}

#[test]
fn a_row_of_40_mb_goes_both_ways() {
    let Some(options) = options() else { return };
    const BYTES: usize = 40 << 20;
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        let mut connection = connect(&with_tls(&options, mode, None));
        let result = connection.query(&format!("SELECT REPEAT('0123456789abcdef', {}), 7", BYTES / 16)).unwrap();
        let row = &result[0].rows[0];
        assert!(row[0].as_deref() == Some(&b"0123456789abcdef".repeat(BYTES / 16)[..]));
        assert_eq!(row[1].as_deref(), Some(&b"7"[..]));

        let mut sent = b"0123456789ABCDEF".repeat(BYTES / 16);
        sent[BYTES - 1] = b'!';
        let mut rows = connection.execute("SELECT ? AS a", &[Param::Bytes(sent.clone())]).unwrap();
        // [NULL bits: 1] [0xFE] [length: 8] value
        assert!(rows.next().unwrap().unwrap()[10..] == sent[..]);
        assert!(rows.next().unwrap().is_none());
        assert_eq!(connection.query("SELECT 1").unwrap()[0].scalar(), Some("1"));
    }
}

#[test]
fn a_row_over_the_limit_is_refused() {
    let Some(options) = options() else { return };
    let mut connection = connect(&ConnectOptions { max_packet_bytes: 1 << 20, ..options });
    let error = connection.query("SELECT REPEAT('x', 2000000)").unwrap_err();
    assert!(error.to_string().contains("max_packet_bytes = 1048576"), "{error}");
    assert!(!connection.is_usable());
}

#[test]
fn rows_dropped_early_leave_the_connection_unusable() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let mut rows = connection.execute("SELECT 1 UNION ALL SELECT 2", &[]).unwrap();
    assert!(rows.next().unwrap().is_some());
    drop(rows);
    assert!(!connection.is_usable());
    assert!(matches!(connection.query("SELECT 1"), Err(WireError::Unusable { .. })));
}

#[test]
fn an_error_in_the_middle_of_rows_ends_them() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let sql = "SELECT JSON_EXTRACT(t.j, '$') FROM (SELECT '1' AS j UNION ALL SELECT 'no json') t";
    let mut rows = connection.execute(sql, &[]).unwrap();
    let mut count = 0;
    let error = loop {
        match rows.next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("no error"),
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.server_code()), (1, Some(3141)));
    drop(rows);
    assert_eq!(connection.query("SELECT 1").unwrap()[0].scalar(), Some("1"));
}

#[test]
fn a_server_that_works_is_waited_for_and_a_dead_one_found_by_probes() {
    let Some(options) = options() else { return };
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        let connection = connect(&with_tls(&options, mode, None));
        let socket = connection.packets.stream().socket();
        assert_eq!((socket.read_timeout().unwrap(), socket.write_timeout().unwrap()), (None, None));
        let socket = SockRef::from(socket);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(DEAD_AFTER));
    }
}

#[test]
fn a_server_that_does_not_greet_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect_timeout = Duration::from_millis(200);
    let error = error_of(&ConnectOptions { connect_timeout, ..options_for("127.0.0.1", port) });
    assert!(error.to_string().ends_with("sent nothing for 200ms"), "{error}");
    assert!(error.is_transient());
}

#[test]
fn an_interrupter_ends_a_waiting_read() {
    let Some(options) = options() else { return };
    for mode in [TlsMode::Disabled, TlsMode::Required] {
        let mut connection = connect(&with_tls(&options, mode, None));
        let interrupter = connection.interrupter().unwrap();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            interrupter.interrupt();
        });
        // Otherwise there is an answer.
        let error = connection.query("SELECT SLEEP(20)").unwrap_err();
        assert!(matches!(error, WireError::Interrupted { .. }), "{error}");
        other.join().unwrap();
    }
}

const ROTATE: u8 = 4;
const QUERY: u8 = 2;
const HEARTBEAT: u8 = 27;
const ARTIFICIAL: u16 = 0x20;

/// Against hanging only: nothing that works comes near it, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

fn dump_request(start: DumpStart) -> DumpRequest {
    // Each of its own: the server ends a dump when another one of the same name begins, and tests run side by side.
    static NEXT: AtomicU32 = AtomicU32::new(4_000_000_000);
    let server_id = NEXT.fetch_add(1, Ordering::Relaxed);
    DumpRequest { server_id, start, heartbeat: Duration::from_secs(5), non_blocking: true }
}

#[test]
fn a_dump_of_a_file_holds_the_events_the_server_lists() {
    let Some(options) = options() else { return };
    let mut connection = connect(&options);
    let schema = format!("wire_dump_{}", std::process::id());
    let files = |connection: &mut Connection| -> Vec<String> {
        let logs = connection.query("SHOW BINARY LOGS").unwrap();
        logs[0].rows.iter().map(|row| String::from_utf8(row[0].clone().unwrap()).unwrap()).collect()
    };
    connection.query("FLUSH BINARY LOGS").unwrap();
    let first = files(&mut connection).pop().unwrap();
    connection
        .query(&format!(
            "CREATE DATABASE {schema}; CREATE TABLE {schema}.t (a INT PRIMARY KEY, b LONGBLOB);
             INSERT INTO {schema}.t VALUES (1, 'one'), (2, REPEAT('x', 20000000));
             UPDATE {schema}.t SET b = 'two' WHERE a = 2; DROP DATABASE {schema}; FLUSH BINARY LOGS"
        ))
        .unwrap();
    // Other tests begin files as well: the row may be in a later one. All but the last are closed.
    let mut closed = files(&mut connection);
    closed.pop();
    let closed: Vec<String> = closed.into_iter().skip_while(|file| *file != first).collect();

    for mode in [TlsMode::Disabled, TlsMode::Required] {
        let mut longest = 0;
        for file in &closed {
            let listed = connection.query(&format!("SHOW BINLOG EVENTS IN '{file}'")).unwrap()[0].rows.len();
            let request = dump_request(DumpStart::File { file: file.clone().into_bytes(), position: 4 });
            let mut dump = connect(&with_tls(&options, mode, None)).binlog_dump(&request).unwrap();
            let (mut in_file, mut at_end) = (0, false);
            loop {
                let event = match dump.next(DEADLINE).unwrap() {
                    Packet::Event(event) => event,
                    Packet::Idle => panic!("nothing in {DEADLINE:?}"),
                    Packet::End => break,
                };
                let (body, checksum) = event.split_at(event.len() - 4);
                assert_eq!(crc32fast::hash(body).to_le_bytes(), checksum, "event of {} bytes", event.len());
                let flags = u16::from_le_bytes([event[17], event[18]]);
                if flags & ARTIFICIAL == 0 && !at_end {
                    in_file += 1;
                    longest = longest.max(event.len());
                    at_end = event[4] == ROTATE;
                }
            }
            assert_eq!(in_file, listed, "{mode:?}");
            assert!(at_end && matches!(dump.next(Duration::ZERO), Ok(Packet::End)) && dump.buffered());
        }
        assert!(longest > 20_000_000);
    }
}

/// `uuid:1-5:7,uuid:1` as `[sources: 8] { [uuid: 16] [intervals: 8] { [from: 8] [to, exclusive: 8] } }`.
fn encode_gtid_set(text: &str) -> Vec<u8> {
    let sources: Vec<&str> = text.split(',').map(str::trim).filter(|source| !source.is_empty()).collect();
    let mut bytes = (sources.len() as u64).to_le_bytes().to_vec();
    for source in sources {
        let mut parts = source.split(':');
        let digits = parts.next().unwrap().replace('-', "");
        bytes.extend((0..16).map(|index| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap()));
        let intervals: Vec<&str> = parts.collect();
        bytes.extend((intervals.len() as u64).to_le_bytes());
        for interval in intervals {
            let (from, to) = interval.split_once('-').unwrap_or((interval, interval));
            bytes.extend(from.parse::<u64>().unwrap().to_le_bytes());
            bytes.extend((to.parse::<u64>().unwrap() + 1).to_le_bytes());
        }
    }
    bytes
}

#[test]
fn a_dump_from_gtids_waits_and_hears_heartbeats() {
    let Some(options) = options() else { return };
    let mut writer = connect(&options);
    let executed = writer.query("SELECT @@GLOBAL.gtid_executed").unwrap()[0].scalar().unwrap().to_owned();
    let request = DumpRequest {
        // Other tests write meanwhile: there are heartbeats only between what they write, and only those and pauses are counted.
        heartbeat: Duration::from_millis(20),
        non_blocking: false,
        ..dump_request(DumpStart::Gtids(encode_gtid_set(&executed)))
    };
    let mut dump = connect(&options).binlog_dump(&request).unwrap();
    let (mut idle, mut heartbeats) = (0, 0);
    let begin = Instant::now();
    while (heartbeats < 2 || idle < 2) && begin.elapsed() < DEADLINE {
        match dump.next(Duration::from_millis(5)).unwrap() {
            Packet::Event(event) => heartbeats += usize::from(event[4] == HEARTBEAT),
            Packet::Idle => idle += 1,
            Packet::End => panic!("a waiting dump ended"),
        }
    }
    assert!(heartbeats >= 2 && idle >= 2, "{heartbeats} heartbeats, {idle} pauses");

    let schema = format!("wire_gtid_{}", std::process::id());
    let statement = format!("CREATE DATABASE {schema}");
    writer.query(&format!("{statement}; DROP DATABASE {schema}")).unwrap();
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < DEADLINE, "the statement did not come");
        if let Packet::Event(event) = dump.next(Duration::from_millis(50)).unwrap()
            && event[4] == QUERY
            && event[..event.len() - 4].ends_with(statement.as_bytes())
        {
            break;
        }
    }

    let interrupter = dump.interrupter().unwrap();
    interrupter.interrupt();
    let error = loop {
        if let Err(error) = dump.next(Duration::from_secs(1)) {
            break error;
        }
    };
    assert!(matches!(error, WireError::Interrupted { .. }), "{error}");
}

/// Files, offsets and GTIDs: why each cannot be had is told apart in the words of real servers.
#[test]
fn what_a_server_does_not_have_is_named_by_it() {
    let no_such = || DumpStart::File { file: b"no-such-binlog.000001".to_vec(), position: 4 };
    let check = |options: &ConnectOptions, start: DumpStart, means: &str| {
        let said = format!("{start:?}");
        let mut dump = connect(options).binlog_dump(&dump_request(start)).unwrap();
        let error = loop {
            match dump.next(DEADLINE) {
                Ok(packet) => assert!(matches!(packet, Packet::Event(_)), "{said}: {packet:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.server_code(), Some(1236), "{said}: {error}");
        let error = DumpError::of(error, &Coordinate::new("binlog.000007", 1234), 4001).unwrap();
        assert!(error.to_string().contains(means), "{said}: {error}");
    };
    for name in ["TIDEGATE_TEST_MYSQL", "TIDEGATE_TEST_MARIADB", "TIDEGATE_TEST_MYSQL_56"] {
        let Some(options) = test_server::options(name) else { continue };
        let mut connection = connect(&options);
        // Of a domain that it has never had, MariaDB lacks nothing.
        let schema = format!("wire_history_{}", std::process::id());
        connection.query(&format!("CREATE DATABASE {schema}; DROP DATABASE {schema}")).unwrap();
        let logs = connection.query("SHOW BINARY LOGS").unwrap();
        let file = logs[0].rows.last().and_then(|row| row[0].clone()).unwrap();
        check(&options, no_such(), "are no longer on the server");
        check(&options, DumpStart::File { file, position: u32::MAX - 1 }, "the server's binlog ends before");
        let history = match connection.is_mariadb() {
            true => DumpStart::Domains("0-4-4000000000".to_owned()),
            false => {
                let uuid = connection.query("SELECT @@GLOBAL.server_uuid").unwrap()[0].scalar().unwrap().to_owned();
                DumpStart::Gtids(encode_gtid_set(&format!("{uuid}:1-4000000000")))
            }
        };
        check(&options, history, "the server's history is no longer the one");
    }
}

/// Accepts one client, says the given things, each after hearing something, and returns what the client said until it
/// hung up.
fn play_server<const N: usize>(lines: [Vec<u8>; N]) -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        for line in lines {
            client.write_all(&line).unwrap();
            let mut answer = [0; 4096];
            let count = client.read(&mut answer).unwrap_or(0);
            heard.extend_from_slice(&answer[..count]);
        }
        let _ = client.read_to_end(&mut heard);
        heard
    });
    (port, server)
}

fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&[length[0], length[1], length[2], sequence], payload].concat()
}

fn greeting(capabilities: CapabilityFlags) -> Vec<u8> {
    let greeting = HandshakePacket::new(
        10,
        &b"8.0.0"[..],
        1,
        *b"12345678",
        Some(&b"123456789012\0"[..]),
        CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | capabilities,
        UTF8MB4_GENERAL_CI,
        StatusFlags::empty(),
        Some(&b"caching_sha2_password"[..]),
    );
    let mut payload = Vec::new();
    greeting.serialize(&mut payload);
    frame(0, &payload)
}

#[test]
fn required_tls_is_not_given_up_when_the_server_has_none() {
    for mode in [TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        let (port, server) = play_server([greeting(CapabilityFlags::empty())]);
        let error = error_of(&with_tls(&options_for("127.0.0.1", port), mode, None));
        assert_eq!(error.to_string(), format!("127.0.0.1:{port} does not offer TLS"));
        assert!(error.hint().is_some());
        assert!(server.join().unwrap().is_empty(), "the user's name was sent in the clear");
    }
}

#[test]
fn preferred_tls_is_not_given_up_after_a_failed_handshake() {
    let (port, server) = play_server([greeting(CapabilityFlags::CLIENT_SSL)]);
    let client = thread::spawn(move || {
        let options = options_for("127.0.0.1", port);
        error_of(&ConnectOptions { connect_timeout: Duration::from_millis(300), user: "alice".to_owned(), ..options })
    });
    let error = client.join().unwrap();
    assert!(matches!(error, WireError::Timeout { .. }), "{error}");
    let heard = server.join().unwrap();
    assert!(!heard.windows(5).any(|bytes| bytes == b"alice"), "the user's name was sent in the clear");
}

#[test]
fn an_error_instead_of_a_greeting_is_told() {
    let (port, _server) = play_server([frame(0, b"\xFF\x10\x04Too many connections")]);
    let error = error_of(&options_for("127.0.0.1", port));
    let expected = format!("127.0.0.1:{port} refused user \"nobody\": Too many connections (error 1040, state HY000)");
    assert_eq!(error.to_string(), expected);
    assert!(error.is_transient());
}

#[test]
fn plugins_that_would_show_the_password_or_are_not_known_are_refused() {
    for plugin in ["mysql_clear_password", "mysql_old_password", "dialog", "parsec", "auth_gssapi_client"] {
        let switch = frame(2, &[b"\xFE", plugin.as_bytes(), b"\0nonce"].concat());
        let (port, _server) = play_server([greeting(CapabilityFlags::empty()), switch]);
        let error = error_of(&ConnectOptions { password: Some("secret".to_owned()), ..options_for("127.0.0.1", port) });
        assert!(matches!(&error, WireError::AuthPlugin { plugin: named, .. } if named == plugin), "{error}");
        assert!(error.to_string().contains(plugin), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("caching_sha2_password") && hint.contains("ed25519"), "{hint}");
    }
}

#[test]
fn a_malformed_public_key_is_a_protocol_error() {
    let full = frame(2, &[1, 4]);
    let key = frame(4, b"\x01-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n");
    let (port, _server) = play_server([greeting(CapabilityFlags::empty()), full, key]);
    let error = error_of(&ConnectOptions { password: Some("secret".to_owned()), ..options_for("127.0.0.1", port) });
    assert!(error.to_string().contains("public key"), "{error}");
}

#[test]
fn bytes_that_run_ahead_of_the_client_are_refused() {
    let early = [greeting(CapabilityFlags::empty()), frame(2, b"\x00\x00\x00\x00\x00\x00\x00")].concat();
    let (port, _server) = play_server([early]);
    let error = error_of(&options_for("127.0.0.1", port));
    assert!(matches!(error, WireError::Protocol { .. }), "{error}");
}

#[test]
fn something_else_than_a_mysql_server_is_a_protocol_error() {
    let (port, _server) = play_server([frame(0, b"SSH-2.0-OpenSSH_9.2\r\n")]);
    let error = error_of(&options_for("127.0.0.1", port));
    assert!(matches!(error, WireError::Protocol { .. }), "{error}");
}
