//! From one server to another that shares its history of GTIDs, at any moment and back again: nothing is lost.
//!
//! ```text
//!   writers ──► first ──── replicates ────► second         writers ──► second ──── replicates ────► first
//!                 ▲                                    ►                 ▲
//!               task, killed somewhere                               the same task, from its checkpoint
//! ```
//!
//! The servers' files have other names and other offsets, so that only the GTIDs of a position mean anything on both.

use std::collections::BTreeMap;

use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::mysql_source;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Private, Servers, Tidegate, World, seeded, wait_for};
use super::snapshot::{assert_equals_source, fill_all, names};

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
struct Altered {
    columns: Vec<String>,
    rows: BTreeMap<String, String>,
}

impl Altered {
    fn create(mysql: &mut Mysql) -> Altered {
        mysql.run("CREATE TABLE altered (id INT PRIMARY KEY, a INT)");
        Altered { columns: vec!["id".to_owned(), "a".to_owned()], ..Altered::default() }
    }

    /// Changes under the columns so far, one more column, and each row under the new ones.
    fn alter(&mut self, mysql: &mut Mysql) {
        let number = self.columns.len();
        mysql.run("UPDATE altered SET a = a + 1");
        mysql.run(format!("ALTER TABLE altered ADD COLUMN c{number} INT DEFAULT {number} FIRST"));
        self.columns.insert(0, format!("c{number}"));
        mysql.run(format!("INSERT INTO altered (id, a) VALUES ({number}, 0)"));
        mysql.run("UPDATE altered SET a = a + 1");
    }

    fn take(&mut self, message: &Message) {
        let id = message.data.get("id").expect("a key is not NULL").clone();
        self.rows.insert(id, format!("{:?}", message.data));
    }

    fn assert_equals(&self, mysql: &mut Mysql) {
        let columns: Vec<String> = self.columns.iter().map(|name| format!("'{name}=\"', {name}, '\"'")).collect();
        let query = format!("SELECT CONCAT(id), CONCAT({}) FROM altered", columns.join(", ' ', "));
        let rows: BTreeMap<String, String> = mysql.query::<(String, String)>(&query).into_iter().collect();
        assert_eq!(self.rows, rows);
    }
}

fn failed_over(test: &str, options: &str, with_alter: bool) {
    let Some(servers) = Servers::from_env() else { return };
    let mut rng = seeded(test);
    let nodes = ["", "--server-id=11 --log-bin=other --log-replica-updates=ON"]
        .map(|more| Private::up(&["mysql-gtid"], &format!("{options} {more}")));
    let mut world = World::new(test, nodes[0].mysql(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    let mut altered = Altered::create(&mut world.mysql);
    let mut replica = Mysql::connect(nodes[1].mysql());
    replica.run(replicate_from(nodes[0].mysql()));
    replica.run("START REPLICA");

    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let mut reader = world.reader(names().chain(["altered"]));
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut take = |altered: &mut Altered, message: &Message| {
        if message.table == "altered" {
            altered.take(message);
        } else {
            state.apply(message);
            order.check(message);
        }
    };
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("full load complete");
    for (old, new) in [(0, 1), (1, 0)] {
        let writers = Writers::start(4, &world.mysql_url, &world.database, &targets, &mut rng);
        writers.allow(2000);
        let mut left = rng.u32(1..2000);
        reader.until(&mut engine, "changes", |message| {
            take(&mut altered, &message);
            left -= u32::from(message.kind != Kind::Init);
            left == 0
        });
        engine.kill_9();
        // The engine has read some of this, or none.
        writers.allow(500);
        writers.let_commit(200);
        if with_alter {
            altered.alter(&mut world.mysql);
        }
        writers.stop();
        wait_until_replicated(&mut world.mysql, &mut replica);
        replica.run("STOP REPLICA");
        replica.run("RESET REPLICA ALL");
        nodes[old].kill("mysql");

        world.mysql_url = nodes[new].mysql().to_owned();
        world.reconnect();
        if with_alter {
            altered.alter(&mut world.mysql);
        }
        task.source = mysql_source(&world.mysql_url, "tide", "tide");
        engine = Tidegate::run(&task);
        nodes[old].start("mysql");
        replica = Mysql::connect(nodes[old].mysql());
        replica.run(replicate_from(&world.mysql_url));
        replica.run("START REPLICA");
    }
    world.finish(engine, &mut reader, |message| take(&mut altered, &message));
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(2, &world);
    altered.assert_equals(&mut world.mysql);
}

#[test]
fn failover_and_back() {
    failed_over("failover", "", false);
}

/// The statements are met on a server whose file they stand elsewhere in.
#[test]
fn failover_and_back_with_altered_tables() {
    failed_over("failover_alter", "--binlog-row-metadata=FULL", true);
}
