//! Concurrent writers that change the source while the engine reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use fastrand::Rng;
use mysql_async::Error;

use super::mysql::{Mysql, error_code};
use super::tables::Table;
use super::{pause, wait_for};

pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    rng: Rng,
}

struct Shared {
    url: String,
    database: String,
    targets: Vec<Target>,
    stop: AtomicBool,
    committed: AtomicU64,
    /// Above this many, writers wait: a source that is read slower than it is written would never be read to its end.
    allowed: AtomicU64,
    arrived: AtomicU64,
    /// Some transactions are XA transactions.
    xa: AtomicBool,
    /// What is prepared is in the binlog, also if the server dies: MariaDB, and MySQL from 5.7.7 on.
    logs_xa: bool,
    is_mariadb: bool,
    /// Of a MariaDB whose domain is not the usual one: every second writer writes in the one behind it.
    domain: Option<u64>,
}

/// A table and the number of keys that writers choose from.
pub(crate) type Target = (&'static Table, u64);

/// More than a transaction makes of messages, on average.
const MESSAGES_EACH: u64 = 8;

const DUPLICATE_KEY: u16 = 1062;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
/// No such XA transaction.
const XA_UNKNOWN: u16 = 1397;

impl Writers {
    /// They survive the server's death: they connect again and go on.
    pub(crate) fn start(count: usize, mysql_url: &str, database: &str, targets: &[Target], rng: &mut Rng) -> Writers {
        let domain = Mysql::connect(mysql_url).try_query::<u64>("SELECT @@GLOBAL.gtid_domain_id");
        let shared = Arc::new(Shared {
            domain: domain.ok().and_then(|domain| domain.first().copied()).filter(|domain| *domain > 0),
            url: mysql_url.to_owned(),
            database: database.to_owned(),
            targets: targets.to_vec(),
            stop: false.into(),
            committed: 0.into(),
            allowed: u64::MAX.into(),
            arrived: 0.into(),
            xa: false.into(),
            logs_xa: !Mysql::connect(mysql_url).is_oldest(),
            is_mariadb: Mysql::connect(mysql_url).is_mariadb(),
        });
        let threads = (0..count)
            .map(|number| {
                let (shared, rng) = (Arc::clone(&shared), rng.fork());
                std::thread::spawn(move || {
                    Writer { shared: &shared, rng, number, count: 0, prepared: Vec::new(), address: None }.write()
                })
            })
            .collect();
        Writers { shared, threads, rng: rng.fork() }
    }

    /// From now on some transactions are XA transactions, of which some stay prepared for a while.
    ///
    /// A task must have begun by then, and have its server for itself: one that begins while a transaction is prepared is stopped by
    /// its commit, whatever database that is in. Not on MySQL 5.6, which loses what was
    /// prepared when it died.
    pub(crate) fn use_xa(&self) {
        self.shared.xa.store(self.shared.logs_xa, Relaxed);
    }

    /// Transactions so far.
    pub(crate) fn committed(&self) -> u64 {
        self.shared.committed.load(Relaxed)
    }

    /// Waits until they have committed `count` more transactions, or all that they are allowed, some of which may be done by now.
    pub(crate) fn let_commit(&self, count: u64) {
        let goal = (self.committed() + count).min(self.shared.allowed.load(Relaxed));
        wait_for("writers go on", || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a writer has failed");
            (self.committed() >= goal).then_some(())
        });
    }

    /// Lets them commit up to `count` transactions from now on, and then wait.
    pub(crate) fn allow(&self, count: u64) {
        self.shared.allowed.store(self.committed().saturating_add(count), Relaxed);
    }

    /// A message has arrived. Whoever tells them of each, and has [allowed](Self::allow) a number to begin with, keeps them from taking
    /// the machine for themselves: they are never much further ahead.
    pub(crate) fn arrived(&self) {
        if self.shared.arrived.fetch_add(1, Relaxed).is_multiple_of(MESSAGES_EACH) {
            self.shared.allowed.fetch_add(1, Relaxed);
        }
    }

    /// Returns when the last one has committed its last, and what was prepared has an outcome.
    pub(crate) fn stop(mut self) -> u64 {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer has failed");
        }
        let mut committed = self.shared.committed.load(Relaxed);
        if self.shared.xa.load(Relaxed) {
            let mut mysql = Mysql::connect(&self.shared.url);
            wait_for("no transaction is prepared", || {
                let is_ours = |name: &str| name.starts_with(&format!("{}.", self.shared.database));
                let prepared = prepared(&mut mysql, is_ours).expect("the server is there");
                for xid in &prepared {
                    committed += end(&mut mysql, &mut self.rng, xid).unwrap_or_default();
                }
                prepared.is_empty().then_some(())
            });
        }
        committed
    }
}

/// One of them.
struct Writer<'a> {
    shared: &'a Shared,
    rng: Rng,
    number: usize,
    /// XA transactions so far.
    count: u64,
    /// Those that are prepared and have no outcome yet.
    prepared: Vec<String>,
    /// Its session's, as MariaDB lists it.
    address: Option<String>,
}

impl Writer<'_> {
    fn write(mut self) {
        let shared = self.shared;
        let mut connection: Option<Mysql> = None;
        while !shared.stop.load(Relaxed) {
            if shared.committed.load(Relaxed) >= shared.allowed.load(Relaxed) {
                pause();
                continue;
            }
            let Some(mysql) = &mut connection else {
                connection = self.connect();
                continue;
            };
            match self.step(mysql) {
                Ok((committed, goes_on)) => {
                    shared.committed.fetch_add(committed, Relaxed);
                    if !goes_on {
                        connection = None;
                        self.until_session_has_ended();
                    }
                }
                Err(error) if matches!(error_code(&error), Some(DEADLOCK | LOCK_WAIT_TIMEOUT)) => {
                    let _ = mysql.try_run("ROLLBACK");
                }
                Err(error) => {
                    // A wrong statement would be refused for ever; a lost server comes back.
                    assert!(!matches!(error_code(&error), Some(1000..=1051 | 1054..=1199)), "{error}");
                    connection = None;
                    self.until_session_has_ended();
                }
            }
        }
    }

    /// MariaDB 10.11 logs the XA COMMIT of another session and forgets the rows, if the session that has prepared them is just about to end:
    /// then its tables are not what its binlog says.
    fn until_session_has_ended(&mut self) {
        let Some(address) = self.address.take() else { return };
        let listed = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE HOST = '{address}'");
        wait_for("a writer's session has ended", || {
            let listed = Mysql::try_connect(&self.shared.url).ok()?.try_query::<u64>(&listed).ok()?;
            (listed == [0]).then_some(())
        });
    }

    fn connect(&mut self) -> Option<Mysql> {
        let Ok(mut mysql) = Mysql::try_connect(&self.shared.url) else {
            pause();
            return None;
        };
        mysql.try_run(&format!("USE {}", self.shared.database)).ok()?;
        // Two that wait for what the other has prepared are no deadlock to the server.
        mysql.try_run("SET innodb_lock_wait_timeout = 1").ok()?;
        if self.shared.xa.load(Relaxed) {
            self.look_up(&mut mysql).ok()?;
        }
        if let Some(domain) = self.shared.domain {
            mysql.try_run(&format!("SET gtid_domain_id = {}", domain + self.number as u64 % 2)).ok()?;
        }
        if self.shared.is_mariadb {
            let own = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";
            self.address = mysql.try_query(own).ok()?.pop();
        }
        Some(mysql)
    }

    /// A transaction, or the outcome of one: how many were committed, and whether the session can go on.
    fn step(&mut self, mysql: &mut Mysql) -> Result<(u64, bool), Error> {
        if !self.prepared.is_empty() && self.rng.u8(..4) == 0 {
            let xid = self.prepared.swap_remove(self.rng.usize(..self.prepared.len()));
            let committed = end(mysql, &mut self.rng, &xid)?;
            // Whoever was cut off from the server knows only from it what has an outcome.
            self.look_up(mysql)?;
            return Ok((committed, true));
        }
        if self.shared.xa.load(Relaxed) && self.rng.u8(..6) == 0 {
            return self.xa_transaction(mysql);
        }
        Ok((transaction(mysql, &mut self.rng, &self.shared.targets)?, true))
    }

    fn xa_transaction(&mut self, mysql: &mut Mysql) -> Result<(u64, bool), Error> {
        self.count += 1;
        let xid = format!("'{}','{}'", self.name(), self.count);
        mysql.try_run(&format!("XA START {xid}"))?;
        if let Err(error) = statements(mysql, &mut self.rng, &self.shared.targets) {
            let _ = mysql.try_run(&format!("XA END {xid}"));
            let _ = mysql.try_run(&format!("XA ROLLBACK {xid}"));
            return Err(error);
        }
        mysql.try_run(&format!("XA END {xid}"))?;
        match self.rng.u8(..12) {
            0 => mysql.try_run(&format!("XA ROLLBACK {xid}")).map(|()| (0, true)),
            1 | 2 => mysql.try_run(&format!("XA COMMIT {xid} ONE PHASE")).map(|()| (1, true)),
            _ => {
                mysql.try_run(&format!("XA PREPARE {xid}"))?;
                if self.rng.bool() {
                    return Ok((end(mysql, &mut self.rng, &xid)?, true));
                }
                self.prepared.push(xid);
                // A session of MariaDB has to end before another may end what it has prepared.
                Ok((0, !self.shared.is_mariadb))
            }
        }
    }

    fn look_up(&mut self, mysql: &mut Mysql) -> Result<(), Error> {
        let name = self.name();
        self.prepared = prepared(mysql, |other| other == name)?;
        Ok(())
    }

    /// The first part of the identifiers of its XA transactions.
    fn name(&self) -> String {
        format!("{}.{}", self.shared.database, self.number)
    }
}

/// How many were committed.
fn transaction(mysql: &mut Mysql, rng: &mut Rng, targets: &[Target]) -> Result<u64, Error> {
    mysql.try_run("BEGIN")?;
    statements(mysql, rng, targets)?;
    if rng.u8(..12) == 0 {
        return mysql.try_run("ROLLBACK").map(|()| 0);
    }
    mysql.try_run("COMMIT").map(|()| 1)
}

fn statements(mysql: &mut Mysql, rng: &mut Rng, targets: &[Target]) -> Result<(), Error> {
    for _ in 0..rng.u8(1..8) {
        let (table, keys) = targets[rng.usize(..targets.len())];
        match mysql.try_run(&table.random_statement(rng, keys)) {
            Err(error) if error_code(&error) == Some(DUPLICATE_KEY) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Gives a prepared transaction one outcome or the other: how many were committed.
fn end(mysql: &mut Mysql, rng: &mut Rng, xid: &str) -> Result<u64, Error> {
    let (word, committed) = if rng.u8(..4) == 0 { ("ROLLBACK", 0) } else { ("COMMIT", 1) };
    match mysql.try_run(&format!("XA {word} {xid}")) {
        Err(error) if error_code(&error) == Some(XA_UNKNOWN) => Ok(0),
        result => result.map(|()| committed),
    }
}

/// The identifiers of prepared transactions whose first part is one of these.
fn prepared(mysql: &mut Mysql, is_one: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let rows: Vec<(i64, usize, usize, String)> = mysql.try_query("XA RECOVER")?;
    let parts = rows.iter().map(|(_, first, _, both)| both.split_at(*first));
    Ok(parts.filter(|(name, _)| is_one(name)).map(|(name, number)| format!("'{name}','{number}'")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::source_state::{Format, rows_of};
    use super::super::{Servers, World, seeded, tables};
    use super::*;

    /// The harness itself: every kind of statement is one that the server takes, and what it leaves can be compared.
    #[test]
    fn writers_leave_comparable_tables() {
        let Some(servers) = Servers::from_env() else { return };
        let mut rng = seeded("writers");
        let mut world = World::new("writers", &servers.mysql, &servers.kafka);
        let targets: Vec<Target> = tables::ALL.iter().map(|table| (*table, 200)).collect();
        for (table, keys) in &targets {
            table.create(&mut world.mysql);
            table.fill(&mut world.mysql, &mut rng, *keys);
        }
        let writers = Writers::start(8, &servers.mysql, &world.database, &targets, &mut rng);
        writers.let_commit(500);
        writers.stop();
        for (table, _) in targets {
            let rows = rows_of(&mut world.mysql, table, Format::Canal);
            assert!(rows.len() > 20, "{}: {} rows", table.name, rows.len());
            for values in rows.values() {
                let version: i64 = values[table.key.len()].as_ref().expect("never NULL").parse().expect("a number");
                assert!(version > 1_700_000_000_000_000, "{values:?}");
            }
        }
    }
}
