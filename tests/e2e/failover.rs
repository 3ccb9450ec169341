//! From one server to another that shares its history of GTIDs, at any moment and back again: nothing is lost.
//!
//! ```text
//!   writers ──► first ──── replicates ────► second         writers ──► second ──── replicates ────► first
//!                 ▲                                    ►                 ▲
//!         task, killed in load, hand-over or changes                 the same task, from its checkpoint
//! ```
//!
//! The servers' files have other names and other offsets, so that only the GTIDs of a position mean anything on both.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::harness::address::Address;
use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::mysql_source;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World, seeded, wait_for};
use super::snapshot::{assert_equals_source, fill_all, names};

const WRITERS: usize = 8;

/// Options of a load that can be met while it lasts.
pub(crate) const LASTING_LOAD: &str =
    "full_load: {parallel: 2, chunk_rows: 200}\nlimits: {full_load: {rows_per_second: 4000}}";

/// What makes a server a replica of the one at `url`.
pub(crate) fn replicate_from(url: &str) -> String {
    let port = url.rsplit(':').next().expect("a URL has a port");
    format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'admin', \
         SOURCE_PASSWORD = 'admin', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1"
    )
}

pub(crate) fn wait_until_replicated(source: &mut Mysql, replica: &mut Mysql) {
    let executed: String = source.query_one("SELECT @@GLOBAL.gtid_executed");
    let query = format!("SELECT GTID_SUBSET('{}', @@GLOBAL.gtid_executed)", executed.replace('\n', ""));
    wait_for("the replica has all of it", || (replica.query_one::<u8>(&query) == 1).then_some(()));
}

/// A table that is altered on the way: its rows as the messages have them, and how they must be.
#[derive(Default)]
pub(crate) struct Altered {
    columns: Vec<String>,
    rows: BTreeMap<String, String>,
}

impl Altered {
    pub(crate) fn create(mysql: &mut Mysql) -> Altered {
        mysql.run("CREATE TABLE altered (id INT PRIMARY KEY, a INT)");
        Altered { columns: vec!["id".to_owned(), "a".to_owned()], ..Altered::default() }
    }

    /// Changes under the columns so far, one more column, and each row under the new ones.
    pub(crate) fn alter(&mut self, mysql: &mut Mysql) {
        let number = self.columns.len();
        mysql.run("UPDATE altered SET a = a + 1");
        mysql.run(format!("ALTER TABLE altered ADD COLUMN c{number} INT DEFAULT {number} FIRST"));
        self.columns.insert(0, format!("c{number}"));
        mysql.run(format!("INSERT INTO altered (id, a) VALUES ({number}, 0)"));
        mysql.run("UPDATE altered SET a = a + 1");
    }

    pub(crate) fn take(&mut self, message: &Message) {
        let id = message.data.get("id").expect("a key is not NULL").clone();
        self.rows.insert(id, format!("{:?}", message.data));
    }

    pub(crate) fn assert_equals(&self, mysql: &mut Mysql) {
        let columns: Vec<String> = self.columns.iter().map(|name| format!("'{name}=\"', {name}, '\"'")).collect();
        let query = format!("SELECT CONCAT(id), CONCAT({}) FROM altered", columns.join(", ' ', "));
        let rows: BTreeMap<String, String> = mysql.query::<(String, String)>(&query).into_iter().collect();
        assert_eq!(self.rows, rows);
    }
}

/// When a server is left for the other.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Somewhere in the full load.
    Load,
    /// When it has ended, and none or a few of the changes from meanwhile are sent.
    HandOver,
    /// Anywhere among changes.
    Changes,
}

/// What came out of all topics.
struct Seen {
    state: State,
    order: Order,
    altered: Altered,
}

impl Seen {
    fn take(&mut self, message: &Message) {
        if message.table == "altered" {
            self.altered.take(message);
        } else {
            self.state.apply(message);
            self.order.check(message);
        }
    }
}

/// A table that nobody writes to and whose messages nobody reads: while it is locked, no load is over, and none goes on to what comes behind it.
pub(crate) fn create_held(mysql: &mut Mysql, table: &str) {
    mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY)"));
    mysql.run(format!("INSERT INTO {table} VALUES (1)"));
}

/// Locks it for as long as the session lives.
pub(crate) fn hold_load(world: &World, table: &str) -> Mysql {
    let mut session = Mysql::connect(&world.mysql_url);
    session.run(format!("LOCK TABLES {}.{table} WRITE", world.database));
    session
}

/// A server with its replica, which has come so far and stands still, and a world on the first.
pub(crate) fn with_replica_behind(test: &str, kafka: &str) -> ([Private; 2], World, Mysql) {
    let nodes = ["", "--server-id=11 --log-bin=other --log-replica-updates=ON"]
        .map(|options| Private::up(&["mysql-gtid"], options));
    let mut world = World::new(test, nodes[0].mysql(), kafka);
    let mut replica = Mysql::connect(nodes[1].mysql());
    replica.run(replicate_from(nodes[0].mysql()));
    replica.run("START REPLICA");
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP REPLICA SQL_THREAD");
    (nodes, world, replica)
}

impl Moment {
    /// A load that has to be met lasts.
    fn options(self) -> &'static str {
        match self {
            Moment::Load => LASTING_LOAD,
            Moment::HandOver | Moment::Changes => "full_load: {parallel: 2, chunk_rows: 200}",
        }
    }

    fn wait_for(self, engine: &mut Tidegate, reader: &mut Reader, seen: &mut Seen, writers: &Writers, rng: &mut Rng) {
        let counts_changes = match self {
            Moment::Load => false,
            Moment::HandOver => {
                engine.wait_for_line("full load complete");
                true
            }
            Moment::Changes => {
                engine.wait_for_line("incremental: reading the binlog");
                true
            }
        };
        let mut left = match self {
            Moment::Load | Moment::Changes => rng.u32(1..2000),
            Moment::HandOver => rng.choice([0, 1, 200]).expect("one of three"),
        };
        writers.allow(2000);
        if left > 0 {
            reader.until(engine, &format!("{self:?}"), |message| {
                writers.use_xa();
                seen.take(&message);
                left -= u32::from((message.kind != Kind::Init) == counts_changes);
                left == 0
            });
        }
        println!("left in {self:?}");
    }
}

/// How the task comes to the other server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Killed, and begun again at another address.
    Killed,
    /// It goes on while its address leads to the other, which is a replica still, and lags.
    Live,
}

fn failed_over(test: &str, options: &str, with_alter: bool, moments: [Moment; 2]) {
    failed_over_by(Way::Killed, test, options, with_alter, moments);
}

fn failed_over_by(way: Way, test: &str, options: &str, with_alter: bool, moments: [Moment; 2]) {
    let Some(servers) = Servers::from_env() else { return };
    let mut rng = seeded(test);
    let nodes = ["", "--server-id=11 --log-bin=other --log-replica-updates=ON"]
        .map(|more| Private::up(&["mysql-gtid"], &format!("{options} {more}")));
    let mut world = World::new(test, nodes[0].mysql(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    create_held(&mut world.mysql, "z_held");
    let altered = Altered::create(&mut world.mysql);
    let mut replica = Mysql::connect(nodes[1].mysql());
    replica.run(replicate_from(nodes[0].mysql()));
    replica.run("START REPLICA");

    let address = Address::of(nodes[0].mysql());
    let mut task = world.task();
    task.source = mysql_source(address.url(), "tide", "tide");
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let mut reader = world.reader(names().chain(["altered"]));
    let mut seen = Seen { state: State::new(tables::ALL), order: Order::new(tables::ALL), altered };
    let mut writers = Writers::start(WRITERS, &world.mysql_url, &world.database, &targets, &mut rng);
    let mut running = None;
    for (moment, (old, new)) in moments.into_iter().zip([(0, 1), (1, 0)]) {
        writers.allow(2000);
        task.more = moment.options().to_owned();
        let held = matches!(moment, Moment::Load).then(|| hold_load(&world, "z_held"));
        let mut engine = running.take().unwrap_or_else(|| Tidegate::run(&task));
        moment.wait_for(&mut engine, &mut reader, &mut seen, &writers, &mut rng);
        if way == Way::Killed {
            engine.kill_9();
        } else {
            running = Some(engine);
        }
        address.leads_to(nodes[new].mysql());
        drop(held);
        // The engine has read some of this, or none.
        writers.allow(500);
        writers.let_commit(200);
        if with_alter {
            seen.altered.alter(&mut world.mysql);
        }
        writers.stop();
        wait_until_replicated(&mut world.mysql, &mut replica);
        replica.run("STOP REPLICA");
        replica.run("RESET REPLICA ALL");
        nodes[old].kill("mysql");

        world.mysql_url = nodes[new].mysql().to_owned();
        world.reconnect();
        if with_alter {
            seen.altered.alter(&mut world.mysql);
        }
        writers = Writers::start(WRITERS, &world.mysql_url, &world.database, &targets, &mut rng);
        writers.allow(1000);
        writers.use_xa();
        nodes[old].start("mysql");
        replica = Mysql::connect(nodes[old].mysql());
        replica.run(replicate_from(&world.mysql_url));
        replica.run("START REPLICA");
    }
    task.more = String::new();
    let engine = running.unwrap_or_else(|| Tidegate::run(&task));
    writers.allow(500);
    writers.let_commit(200);
    writers.stop();
    world.finish(engine, &mut reader, |message| seen.take(&message));
    assert_equals_source(&mut world, &seen.state, Format::Dts);
    seen.order.assert_in_order(2, &world);
    seen.altered.assert_equals(&mut world.mysql);
}

#[test]
fn failover_and_back() {
    failed_over("failover", "", false, [Moment::Changes, Moment::Changes]);
}

#[test]
fn failover_in_the_full_load_and_at_the_hand_over() {
    failed_over("failover_load", "", false, [Moment::Load, Moment::HandOver]);
}

/// The statements are met on a server whose file they stand elsewhere in.
#[test]
fn failover_and_back_with_altered_tables() {
    failed_over("failover_alter", "--binlog-row-metadata=FULL", true, [Moment::Load, Moment::Changes]);
}

/// Nothing but the statements says what columns a table has.
#[test]
fn failover_and_back_with_altered_tables_that_nothing_describes() {
    failed_over("failover_minimal", "--binlog-row-metadata=MINIMAL", true, [Moment::HandOver, Moment::Changes]);
    failed_over("failover_minimal_load", "--binlog-row-metadata=MINIMAL", true, [Moment::Load, Moment::HandOver]);
}

/// Whoever is connected is not asked: its connection breaks, and the next one leads to a server that lacks what the last one had shown.
#[test]
fn an_address_that_moves_among_changes_is_followed() {
    for metadata in ["MINIMAL", "FULL"] {
        let options = format!("--binlog-row-metadata={metadata}");
        let test = format!("failover_live_{}", metadata.to_lowercase());
        failed_over_by(Way::Live, &test, &options, true, [Moment::Changes, Moment::Changes]);
    }
}

/// Under a load, the address moves to a replica that lacks what the load began at: it shows no chunk before it has caught up, and a task
/// that does not wait so long says why it ends.
#[test]
fn a_load_waits_for_a_replica_that_lags() {
    let Some(servers) = Servers::from_env() else { return };
    let test = "failover_lag";
    let mut rng = seeded(test);
    let nodes = ["", "--server-id=11 --log-bin=other --log-replica-updates=ON"]
        .map(|options| Private::up(&["mysql-gtid"], options));
    let mut world = World::new(test, nodes[0].mysql(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    create_held(&mut world.mysql, "z_held");
    let mut replica = Mysql::connect(nodes[1].mysql());
    replica.run(replicate_from(nodes[0].mysql()));
    replica.run("START REPLICA");
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP REPLICA SQL_THREAD");
    let writers = Writers::start(WRITERS, &world.mysql_url, &world.database, &targets, &mut rng);
    writers.let_commit(200);
    writers.allow(2000);

    let address = Address::of(nodes[0].mysql());
    let mut task = world.task();
    task.source = mysql_source(address.url(), "tide", "tide");
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut some_rows = |engine: &mut Tidegate| {
        let mut left = rng.u32(1..1000);
        reader.until(engine, "some rows", |message| {
            writers.use_xa();
            state.apply(&message);
            order.check(&message);
            left -= 1;
            left == 0
        });
    };
    task.more = format!("{}\nretry: {{connection: 1s, other: 1s}}", Moment::Load.options());
    // On the first server, no load comes to its end.
    let _held = hold_load(&world, "z_held");
    let mut engine = Tidegate::run(&task);
    some_rows(&mut engine);
    address.leads_to(nodes[1].mysql());
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    for words in ["full load: the server has only", "but the load began at", "A replica that lags"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }

    // There and back again, before it catches up.
    task.more = Moment::Load.options().to_owned();
    address.leads_to(nodes[0].mysql());
    let mut engine = Tidegate::run(&task);
    // Of all other tables, the rows may be out by now.
    world.until_load_is_locked_out(&mut engine);
    let behind = "the server is behind the position at which the load began";
    address.leads_to(nodes[1].mysql());
    engine.wait_for_line(behind);
    address.leads_to(nodes[0].mysql());
    world.until_load_is_locked_out(&mut engine);
    let count = engine.count_lines(behind);
    address.leads_to(nodes[1].mysql());
    engine.wait_for_lines(behind, count + 1);
    writers.allow(500);
    writers.let_commit(200);
    writers.stop();
    replica.run("START REPLICA SQL_THREAD");
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP REPLICA");
    replica.run("RESET REPLICA ALL");
    world.mysql_url = nodes[1].mysql().to_owned();
    world.reconnect();
    world.finish(engine, &mut reader, |message| {
        state.apply(&message);
        order.check(&message);
    });
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(1, &world);
}

/// A table that is younger than what a replica has is not gone there.
#[test]
fn a_table_that_a_replica_does_not_have_yet_is_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let (nodes, mut world, _replica) = with_replica_behind("failover_younger", &servers.kafka);
    world.mysql.run("CREATE TABLE z_held (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO z_held VALUES (1), (2), (3)");

    let address = Address::of(nodes[0].mysql());
    let mut task = world.task();
    task.source = mysql_source(address.url(), "tide", "tide");
    let held = hold_load(&world, "z_held");
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    address.leads_to(nodes[1].mysql());
    engine.wait_for_line("the server is behind the position at which the load began");
    address.leads_to(nodes[0].mysql());
    drop(held);
    let mut reader = world.reader(["z_held"]);
    let mut ids = Vec::new();
    world.finish(engine, &mut reader, |message| {
        if message.table == "z_held" {
            ids.push(message.data.get("id").cloned().expect("a key"));
        }
    });
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
}

/// A proxy may let several servers answer what is read in one view, of which each shows something else. Whose number has changed is another
/// server for whoever reads there.
#[test]
fn a_view_that_several_servers_answer_ends_the_load() {
    let Some(servers) = Servers::from_env() else { return };
    for name in ["mysql-gtid", "mysql-nogtid", "mariadb"] {
        let private = Private::up(&[name], "");
        let url = match name {
            "mysql-gtid" => private.mysql(),
            "mysql-nogtid" => private.mysql_nogtid(),
            _ => private.mariadb(),
        };
        let mut world = World::new(&format!("failover_many_{}", name.replace('-', "_")), url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
        let values: Vec<String> = (0..2000).map(|id| format!("({id}, 'x')")).collect();
        world.mysql.run(format!("INSERT INTO t VALUES {}", values.join(", ")));
        let mut task = world.task();
        task.more = "full_load: {parallel: 1, chunk_rows: 1}".to_owned();
        let mut engine = Tidegate::run(&task);
        let mut server_id = 1000;
        wait_for("the load ends", || {
            for _ in 0..100 {
                server_id += 1;
                world.mysql.run(format!("SET GLOBAL server_id = {server_id}"));
            }
            engine.has_ended().then_some(())
        });
        let ended = engine.wait();
        let said = &ended.output;
        assert!(said.contains("answered by another server than the one that opened it"), "{name}: {said}");
        assert!(said.contains("the address of one server"), "{name}: {said}");
    }
}
