//! Concurrent writers that change the source while the engine reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use fastrand::Rng;

use super::mysql::{Mysql, error_code};
use super::tables::Table;
use super::{pause, wait_for};

pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    committed: AtomicU64,
    /// Above this many, writers wait: a source that is read slower than it is written would never be read to its end.
    allowed: AtomicU64,
}

/// A table and the number of keys that writers choose from.
pub(crate) type Target = (&'static Table, u64);

const DUPLICATE_KEY: u16 = 1062;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;

impl Writers {
    /// They survive the server's death: they connect again and go on.
    pub(crate) fn start(count: usize, mysql_url: &str, database: &str, targets: &[Target], rng: &mut Rng) -> Writers {
        let shared = Shared { stop: false.into(), committed: 0.into(), allowed: u64::MAX.into() };
        let shared = Arc::new(shared);
        let threads = (0..count)
            .map(|_| {
                let (shared, rng) = (Arc::clone(&shared), rng.fork());
                let (url, database, targets) = (mysql_url.to_owned(), database.to_owned(), targets.to_vec());
                std::thread::spawn(move || write(&shared, rng, &url, &database, &targets))
            })
            .collect();
        Writers { shared, threads }
    }

    /// Transactions so far.
    pub(crate) fn committed(&self) -> u64 {
        self.shared.committed.load(Relaxed)
    }

    /// Waits until they have committed `count` more transactions.
    pub(crate) fn let_commit(&self, count: u64) {
        let goal = self.committed() + count;
        wait_for("writers go on", || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a writer has failed");
            (self.committed() >= goal).then_some(())
        });
    }

    /// Lets them commit up to `count` transactions from now on, and then wait.
    pub(crate) fn allow(&self, count: u64) {
        self.shared.allowed.store(self.committed().saturating_add(count), Relaxed);
    }

    /// Returns when the last one has committed its last.
    pub(crate) fn stop(self) -> u64 {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer has failed");
        }
        self.shared.committed.load(Relaxed)
    }
}

fn write(shared: &Shared, mut rng: Rng, url: &str, database: &str, targets: &[Target]) {
    let mut connection: Option<Mysql> = None;
    while !shared.stop.load(Relaxed) {
        if shared.committed.load(Relaxed) >= shared.allowed.load(Relaxed) {
            pause();
            continue;
        }
        let Some(mysql) = &mut connection else {
            let Ok(mut mysql) = Mysql::try_connect(url) else {
                pause();
                continue;
            };
            connection = mysql.try_run(&format!("USE {database}")).is_ok().then_some(mysql);
            continue;
        };
        match transaction(mysql, &mut rng, targets) {
            Ok(true) => {
                shared.committed.fetch_add(1, Relaxed);
            }
            Ok(false) => {}
            Err(error) if matches!(error_code(&error), Some(DEADLOCK | LOCK_WAIT_TIMEOUT)) => {
                let _ = mysql.try_run("ROLLBACK");
            }
            Err(error) => {
                // A wrong statement would be refused for ever; a lost server comes back.
                assert!(!matches!(error_code(&error), Some(1000..=1051 | 1054..=1199)), "{error}");
                connection = None;
            }
        }
    }
}

/// Whether it was committed.
fn transaction(mysql: &mut Mysql, rng: &mut Rng, targets: &[Target]) -> Result<bool, mysql_async::Error> {
    mysql.try_run("BEGIN")?;
    for _ in 0..rng.u8(1..8) {
        let (table, keys) = targets[rng.usize(..targets.len())];
        match mysql.try_run(&table.random_statement(rng, keys)) {
            Err(error) if error_code(&error) == Some(DUPLICATE_KEY) => {}
            result => result?,
        }
    }
    if rng.u8(..12) == 0 {
        mysql.try_run("ROLLBACK")?;
        return Ok(false);
    }
    mysql.try_run("COMMIT")?;
    Ok(true)
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
