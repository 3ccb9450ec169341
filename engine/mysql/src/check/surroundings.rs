//! What the server is doing: who else reads its binlog, how many connections it has left, and what time it has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::gaps::REFUSED;
use super::{Finding, Severity};
use crate::catalog::CatalogTable;
use crate::connection::ServerFacts;
use crate::wire::is_ours;
use tidegate_model::words::{counted, duration};

/// Rows that a full load sends in a second, if it is slow: a sixth of what a small machine was measured to load into Kafka.
const SLOW_LOAD_ROWS: u64 = 50_000;
/// A binlog that is kept for less does not outlive a night.
const RETENTION_LEAST_S: u64 = 24 * 3600;
/// Clocks that differ by no more are told apart by nobody: a change counts as late from here on.
const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// Who reads the binlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    pub server_id: u32,
    /// It may be a task, also the one that asks: the server takes its last connection for one until it next sends something there.
    pub may_be_ours: bool,
}

impl Replica {
    fn of(row: &Row) -> Option<Replica> {
        // MariaDB does not show it.
        let uuid: Option<String> = row.get_opt(4).and_then(Result::ok);
        let may_be_ours = uuid.is_none_or(|uuid| uuid.is_empty() || is_ours(&uuid));
        Some(Replica { server_id: row.get_opt(0)?.ok()?, may_be_ours })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Those that read the binlog; none also if the account may not see them.
    pub replicas: Vec<Replica>,
    /// How many connections the account may have; `None` for as many as it likes.
    pub account_connections_max: Option<u64>,
    pub connections_max: u64,
    /// Those that there are, ours among them.
    pub connections: u64,
    /// How far the server's clock is ahead of ours, in milliseconds, beyond what the question took.
    pub clock_ahead_ms: i64,
}

/// What a task asks of a server.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    pub server_id: u32,
    /// At a time.
    pub connections: u64,
    pub loads: bool,
    pub follows: bool,
    /// It has read the binlog before.
    pub has_begun: bool,
}

impl Surroundings {
    pub async fn read(connection: &mut Conn, facts: &ServerFacts) -> Result<Surroundings, mysql_async::Error> {
        let statement = match facts.version.is_mysql_since(8, 0, 22) {
            true => "SHOW REPLICAS",
            false => "SHOW SLAVE HOSTS",
        };
        let replicas = match connection.query::<Row, _>(statement).await {
            Err(mysql_async::Error::Server(error)) if error.code == REFUSED => Vec::new(),
            rows => rows?.iter().filter_map(Replica::of).collect(),
        };
        let limits: Option<(u64, u64)> =
            connection.query_first("SELECT @@SESSION.max_user_connections, @@GLOBAL.max_connections").await?;
        let (account, connections_max) = limits.unwrap_or_default();
        let status: Option<(String, u64)> =
            connection.query_first("SHOW GLOBAL STATUS LIKE 'Threads_connected'").await?;
        let asked = SystemTime::now();
        let server: Option<f64> = connection.query_first("SELECT UNIX_TIMESTAMP(NOW(6)) + 0e0").await?;
        let answered = SystemTime::now();
        Ok(Surroundings {
            replicas,
            account_connections_max: (account > 0).then_some(account),
            connections_max,
            connections: status.map_or(0, |(_, count)| count),
            clock_ahead_ms: server.map_or(0, |server| ahead_ms((server * 1000.0) as i64, asked, answered)),
        })
    }
}

/// Of a clock that showed a time somewhen between two others of ours.
fn ahead_ms(server: i64, asked: SystemTime, answered: SystemTime) -> i64 {
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    match (server - ms(asked), server - ms(answered)) {
        (behind, _) if behind < 0 => behind,
        (_, ahead) => ahead.max(0),
    }
}

/// What in the surroundings stands in the way, or may.
pub fn check_surroundings(
    facts: &ServerFacts,
    tables: &[CatalogTable],
    around: &Surroundings,
    demands: Demands,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if demands.follows {
        check_server_id(facts, around, demands, &mut findings);
        check_retention(facts, tables, demands.loads, &mut findings);
    }
    check_connections(facts, around, demands.connections, &mut findings);
    let skew = around.clock_ahead_ms;
    if skew.unsigned_abs() > CLOCK_SKEW.as_millis() as u64 {
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        findings.push(Finding {
            severity: Severity::Warning,
            item: "clock",
            found: format!("the server's clock is {} s {direction} this machine's", skew.unsigned_abs() / 1000),
            wanted: "clocks that go alike, as NTP makes them".into(),
            hint: "it may stay so: delays are told by the server's clock, and the times in messages are the server's. Let both machines set \
                   their clocks by the same source."
                .into(),
        });
    }
    findings
}

fn check_server_id(facts: &ServerFacts, around: &Surroundings, demands: Demands, findings: &mut Vec<Finding>) {
    let server_id = demands.server_id;
    let replica = around.replicas.iter().find(|replica| replica.server_id == server_id);
    let who = match replica {
        _ if server_id == facts.server_id() => "is the server's own",
        Some(Replica { may_be_ours: false, .. }) => "is that of a replica that reads the binlog",
        Some(_) if !demands.has_begun => "is one under which the binlog is read, perhaps by another task",
        _ => return,
    };
    findings.push(Finding {
        severity: Severity::Warning,
        item: "server_id",
        found: format!("the task's server_id {server_id} {who}"),
        wanted: "a number that nobody else uses".into(),
        hint: "take another one, SHOW REPLICAS shows those in use: of two tasks under one number, and on MariaDB of \
               any two, the server hangs up on the older"
            .into(),
    });
}

fn check_retention(facts: &ServerFacts, tables: &[CatalogTable], loads: bool, findings: &mut Vec<Finding>) {
    let Some(kept_s) = facts.binlog_retention_s() else { return };
    let rows: u64 = if loads { tables.iter().map(|table| table.estimated_rows).sum() } else { 0 };
    let load_s = rows / SLOW_LOAD_ROWS;
    let least_s = RETENTION_LEAST_S.max(load_s.saturating_mul(2));
    if kept_s >= least_s {
        return;
    }
    let load = match load_s {
        0 => String::new(),
        _ => format!(
            ", and a full load of about {} may take {}, at {} a second",
            counted(rows, "row"),
            duration(load_s),
            counted(SLOW_LOAD_ROWS, "row")
        ),
    };
    let setting = match facts.variable("binlog_expire_logs_seconds") {
        "" | "0" => format!("expire_logs_days = {}", least_s.div_ceil(24 * 3600)),
        _ => format!("binlog_expire_logs_seconds = {least_s}"),
    };
    findings.push(Finding {
        severity: Severity::Warning,
        item: "binlog_retention",
        found: format!("the server keeps its binlog for {}{load}", duration(kept_s)),
        wanted: format!("{} at least", duration(least_s)),
        hint: format!(
            "SET GLOBAL {setting}; changes are read once the full load is done, and a task that is stopped for longer than the \
             binlog is kept has to begin again with a full load."
        ),
    });
}

fn check_connections(facts: &ServerFacts, around: &Surroundings, wanted: u64, findings: &mut Vec<Finding>) {
    let hint = "read with fewer, or raise";
    if let Some(most) = around.account_connections_max.filter(|&most| most < wanted) {
        findings.push(Finding {
            severity: Severity::Error,
            item: "connections",
            found: format!(
                "{} may have {} at a time, and the task makes up to {wanted}",
                facts.account,
                counted(most, "connection")
            ),
            wanted: format!("max_user_connections of {wanted} at least"),
            hint: format!("{hint} it: ALTER USER {} WITH MAX_USER_CONNECTIONS {wanted};", facts.account),
        });
    }
    let left = around.connections_max.saturating_sub(around.connections.saturating_sub(1));
    if left < wanted {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "connections",
            found: format!(
                "the server has {left} of its {} left, and the task makes up to {wanted}",
                counted(around.connections_max, "connection")
            ),
            wanted: format!("{wanted} that are free"),
            hint: format!("{hint} max_connections of the server"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Grants;
    use tidegate_model::{Table, TableName, TableParts};

    const DEMANDS: Demands = Demands { server_id: 4001, connections: 8, loads: true, follows: true, has_begun: false };

    fn of_rows(estimated_rows: u64) -> CatalogTable {
        let name = TableName::new("shop", "orders");
        let parts = TableParts { name, version: 1, columns: Vec::new(), unique_keys: Vec::new() };
        let table = Table::from(parts);
        CatalogTable {
            table,
            engine: None,
            estimated_rows,
            estimated_bytes: 0,
            is_versioned: false,
            has_hash_key: false,
            has_generated: false,
            label_doubt: None,
        }
    }

    fn around() -> Surroundings {
        Surroundings { connections_max: 151, connections: 3, ..Surroundings::default() }
    }

    /// Severity, item and what was found.
    fn found(variables: &[(&str, &str)], rows: u64, around: &Surroundings) -> Vec<(Severity, String)> {
        let facts = ServerFacts::of_test("8.4.3", [("server_id", "1")].iter().chain(variables), Grants::default());
        let findings = check_surroundings(&facts, &[of_rows(rows)], around, DEMANDS);
        findings.iter().map(|finding| (finding.severity, format!("{}: {finding}", finding.item))).collect()
    }

    #[test]
    fn a_quiet_server_has_no_findings() {
        assert_eq!(found(&[("binlog_expire_logs_seconds", "2592000")], 1_000_000, &around()), []);
        // Never purged, in either way to say so.
        assert_eq!(found(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0")], 1 << 40, &around()), []);
        let off = &[("binlog_expire_logs_seconds", "60"), ("binlog_expire_logs_auto_purge", "OFF")];
        assert_eq!(found(off, 1 << 40, &around()), []);
    }

    #[test]
    fn a_binlog_that_does_not_outlive_the_load_is_a_warning() {
        let [(Severity::Warning, text)] = &found(&[("binlog_expire_logs_seconds", "3600")], 10, &around())[..] else {
            panic!()
        };
        assert_eq!(text, "binlog_retention: the server keeps its binlog for 60 min; wanted: 24 h at least");
        let [(Severity::Warning, text)] = &found(&[("expire_logs_days", "1")], 5_000_000_000, &around())[..] else {
            panic!()
        };
        assert_eq!(
            text,
            "binlog_retention: the server keeps its binlog for 24 h, and a full load of about 5,000,000,000 rows may take 27 h, at 50,000 \
             rows a second; wanted: 2 days at least"
        );
    }

    #[test]
    fn a_number_in_use_is_told() {
        let read_by =
            |server_id, may_be_ours| Surroundings { replicas: vec![Replica { server_id, may_be_ours }], ..around() };
        assert_eq!(found(&[], 0, &read_by(4002, false)), []);
        let [(Severity::Warning, text)] = &found(&[], 0, &read_by(4001, true))[..] else { panic!() };
        assert!(text.contains("perhaps by another task"), "{text}");
        let taken = read_by(4001, false);
        let [(Severity::Warning, text)] = &found(&[], 0, &taken)[..] else { panic!() };
        assert_eq!(
            text,
            "server_id: the task's server_id 4001 is that of a replica that reads the binlog; wanted: a number that nobody else uses"
        );
        let [(Severity::Warning, text)] = &found(&[("server_id", "4001")], 0, &around())[..] else { panic!() };
        assert!(text.contains("is the server's own"), "{text}");
    }

    #[test]
    fn too_few_connections_stand_in_the_way() {
        let few = Surroundings { account_connections_max: Some(5), ..around() };
        let [(Severity::Error, text)] = &found(&[], 0, &few)[..] else { panic!() };
        assert_eq!(
            text,
            "connections: 'tide'@'%' may have 5 connections at a time, and the task makes up to 8; wanted: max_user_connections of 8 at \
             least"
        );
        let busy = Surroundings { connections: 150, ..around() };
        let [(Severity::Warning, text)] = &found(&[], 0, &busy)[..] else { panic!() };
        assert!(text.contains("has 2 of its 151 connections left"), "{text}");
    }

    #[test]
    fn clocks_are_compared_beyond_the_time_that_the_question_took() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(ahead_ms(5_000, at(1_000), at(9_000)), 0);
        assert_eq!(ahead_ms(500, at(1_000), at(9_000)), -500);
        assert_eq!(ahead_ms(9_500, at(1_000), at(9_000)), 500);
        let [(Severity::Warning, text)] = &found(&[], 0, &Surroundings { clock_ahead_ms: -61_500, ..around() })[..]
        else {
            panic!()
        };
        assert!(text.starts_with("clock: the server's clock is 61 s behind this machine's"), "{text}");
    }
}
