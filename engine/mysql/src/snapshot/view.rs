//! A consistent read of a table, or of several, and the position that it certainly shows.
//!
//! ```text
//! START TRANSACTION READ ONLY
//! SELECT 1 FROM t LIMIT 0           t's definition is locked: no statement changes it until the transaction ends;
//!                                   no row is touched, so no view is open yet
//! SELECT @@GLOBAL.server_uuid …     who answers
//! SHOW BINARY LOG STATUS            for people, and `high` without GTIDs
//! SELECT @@GLOBAL.gtid_executed     low
//! XA RECOVER                        where `low` is where a file begins: what it may cover and the view not show
//! SELECT 1 FROM t LIMIT 1           the first row looked at opens the view
//! SELECT @@GLOBAL.gtid_executed     high
//! SHOW CREATE TABLE t               the definition, as it was at `low` and is until the end
//! ```
//!
//! All of it goes in one round trip: what is committed between `low` and the view is what makes a view inexact. The statement
//! that begins a transaction ends the one before.
//!
//! A proxy may let another server answer what is read in the view, of which the view says nothing. So each SELECT has a condition that is true
//! on one server and an error on all others ([`on_server`]).
//!
//! Of several tables, each is locked in the first line's place and shown in the last one's; the first row of the first one opens the view for
//! all. On MariaDB, see [`View::open_mariadb`].
//!
//! The order is the argument. The definition is locked *before* `low` is read: a statement that changes it is either done before,
//! and then `low` covers it, or comes after the whole read. So the rows have the columns that the table had at `low`, and what `low`
//! covers is older than these columns or has them. `information_schema` must not be asked before the view is open, since on
//! MySQL 8 its tables are rows too and would open it.

use super::super::connection::{
    BINLOG_END, BINLOG_READ, ServerFacts, XA_RECOVER_REFUSED, executed_statement, quote_table, quote_text,
};
use super::super::wire::{Connection, TextResult, WireError};
use super::{Failure, LoadError};
use tidegate_model::{Coordinate, GtidSet, Position, TableName, Watermark};

/// Offset of the first event of a binlog file, after its magic number.
pub(crate) const BINLOG_START: u64 = 4;

/// How often a view is opened, at most, to find a moment without a prepared XA transaction.
const XA_TRIES: u32 = 10;

/// By what a view is dated: see [the table](super#which-position-may-be-a-low).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ViewRule {
    Gtids,
    /// The GTIDs of all files before the current one.
    GtidsOfFiles,
    FileStart,
    MariadbSnapshot,
    /// By nothing: no changes are to follow it.
    Undated,
}

impl ViewRule {
    /// Of a load behind which no changes are read, none where there is no binlog, or the account may not ask for it.
    pub(super) fn of_load(facts: &ServerFacts, is_followed: bool) -> ViewRule {
        let rule = ViewRule::of(facts);
        let is_told = match rule {
            ViewRule::GtidsOfFiles => facts.grants.has_global(&BINLOG_READ),
            _ => true,
        };
        if is_followed || (is_told && facts.log_bin() && facts.grants.has_global(&BINLOG_END)) {
            rule
        } else {
            ViewRule::Undated
        }
    }

    /// Whether a `low` is where a binlog file begins.
    pub(super) fn goes_by_files(self) -> bool {
        matches!(self, ViewRule::FileStart | ViewRule::GtidsOfFiles)
    }

    pub(super) fn of(facts: &ServerFacts) -> ViewRule {
        match () {
            () if facts.version.is_mariadb => ViewRule::MariadbSnapshot,
            () if !facts.gtid_mode_on() => ViewRule::FileStart,
            // When a transaction enters the set is a fact of each version. 9.7 is measured; MySQL 5.6 has it there before the
            // engine has committed. A version that nobody has measured gets the rule that holds for all.
            () if facts.version.is_mysql_since(9, 7, 0) && !facts.version.is_mysql_since(9, 8, 0) => ViewRule::Gtids,
            () => ViewRule::GtidsOfFiles,
        }
    }
}

/// An open view of the session's transaction.
pub(super) struct View {
    /// Who opened it: see [`server_identity`].
    pub(super) server: String,
    pub(super) low: Watermark,
    /// Nothing beyond is shown, but for what was being committed; and no later statement on the table is known.
    pub(super) high: Watermark,
    /// Nothing was being committed that is shown and not in `high`.
    pub(super) is_quiet: bool,
    /// No XA transaction was prepared whose XA COMMIT may be covered by `low`. Where one was, `low` is what was certain when the load began.
    pub(super) shows_low: bool,
    /// Where the binlog stood, about. For people: it dates nothing.
    pub(super) coordinate: Coordinate,
    /// `SHOW CREATE TABLE` of each table that it was opened for, less what every insert changes.
    pub(super) definitions: Vec<Option<String>>,
}

impl View {
    /// Opens a view for reading `tables`, of which the first opens it, or for nothing but its position; again and again while something is
    /// committed in between, and takes the last as it is. `start` is the place of which the load knows that all views show what is before it.
    pub(super) fn open(
        connection: &mut Connection,
        rule: ViewRule,
        facts: &ServerFacts,
        tables: &[&TableName],
        start: Option<&Position>,
        tries: u32,
    ) -> Result<View, Failure> {
        if rule == ViewRule::MariadbSnapshot {
            let mut tries_left = tries;
            loop {
                tries_left = tries_left.saturating_sub(1);
                if let Some(view) = View::open_mariadb(connection, facts, tables, start, tries_left == 0)? {
                    return Ok(view);
                }
            }
        }
        let is_final = |view: &View| match rule {
            ViewRule::Undated => true,
            // A file's start never equals where the file ends.
            ViewRule::FileStart | ViewRule::GtidsOfFiles => view.shows_low || !facts.sees_prepared(),
            ViewRule::Gtids | ViewRule::MariadbSnapshot => view.is_exact(),
        };
        // One that stays prepared is not worth more.
        let tries = if rule.goes_by_files() { tries.min(XA_TRIES) } else { tries };
        let mut view = View::open_once(connection, rule, facts, tables)?;
        for _ in 1..tries {
            if is_final(&view) {
                break;
            }
            view = View::open_once(connection, rule, facts, tables)?;
        }
        if let Some(start) = start.filter(|_| !view.shows_low) {
            view.low = match (view.low, &start.gtids) {
                (Watermark::Gtids(low), Some(start)) => Watermark::Gtids(low.common(start)),
                (Watermark::Coordinate(low), _) => Watermark::Coordinate(low.min(start.coordinate.clone())),
                // Not of this start: it is refused.
                (low, None) => low,
            };
        }
        Ok(view)
    }

    pub(super) fn is_exact(&self) -> bool {
        self.is_quiet && self.low == self.high
    }

    /// Whether the server that it was opened on has come as far as `start`: a replica, or a proxy's other server, may not have.
    ///
    /// That the *view* shows everything before `start`, `low` alone tells. Where start is a `low` itself, as P0 is (`start_is_low`), those of
    /// its server hold it, and those of another one must. Where a table is loaded again because of a statement at `start`, what changed the
    /// table before had let go of its lock, and was committed, when the statement got it. MariaDB's views are exact.
    pub(super) fn contains(&self, rule: ViewRule, start: &Position, start_is_low: bool) -> bool {
        let executed = match rule {
            ViewRule::Undated => return true,
            ViewRule::Gtids => &self.low,
            ViewRule::GtidsOfFiles if start_is_low => &self.low,
            ViewRule::GtidsOfFiles | ViewRule::FileStart | ViewRule::MariadbSnapshot => &self.high,
        };
        match (executed, &start.gtids, start.sent()) {
            // What is sent beside a held XA transaction need not hold all that the position has read.
            (Watermark::Gtids(executed), Some(gtids), Some(sent)) => {
                // What is read of the transaction in whose midst the position is goes by what the view shows of all of it.
                let half = start.delivered.as_ref().filter(|_| start.is_half()).and_then(|half| half.gtid.as_ref());
                let has_half = half.is_none_or(|gtid| executed.contains(gtid));
                has_half && executed.contains_set(gtids) && executed.contains_set(sent)
            }
            (Watermark::Coordinate(_), ..) => self.coordinate >= start.coordinate,
            // GTIDs were off when the load began.
            (Watermark::Gtids(_), ..) => false,
        }
    }

    fn open_once(
        connection: &mut Connection,
        rule: ViewRule,
        facts: &ServerFacts,
        tables: &[&TableName],
    ) -> Result<View, Failure> {
        let status = facts.version.binlog_status_statement();
        let [lock, show] = lock_and_show(tables);
        let open = match tables.first() {
            Some(table) => format!("SELECT 1 FROM {} LIMIT 1", quote_table(table)),
            None => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_owned(),
        };
        let executed = executed_statement(false);
        let identity = format!("SELECT {}", server_identity(facts));
        let [end, before, after] = match rule {
            ViewRule::Gtids => [status, executed, executed],
            ViewRule::GtidsOfFiles => [status, PURGED_STATEMENT, executed],
            ViewRule::FileStart | ViewRule::MariadbSnapshot => [status; 3],
            ViewRule::Undated => ["DO 0"; 3],
        };
        // A file begins when all that the one before has is committed, but not an XA COMMIT: until its rows are visible, it is listed.
        let mut sees_prepared = rule.goes_by_files() && facts.sees_prepared();
        // A transaction that the view shows is in one of both from then on: owned until it is executed.
        let owned = if rule == ViewRule::Gtids { "SELECT @@GLOBAL.gtid_owned" } else { "DO 0" };
        let mut ask = |prepared: &str| {
            connection.query(&format!(
                "START TRANSACTION READ ONLY; {lock}; {identity}; {end}; {before}; {prepared}; {open}; {owned}; {after}{show}"
            ))
        };
        let results = match ask(if sees_prepared { "XA RECOVER" } else { "DO 0" }) {
            // Revoked, or another server's account.
            Err(WireError::Server { code: XA_RECOVER_REFUSED, .. }) => {
                sees_prepared = false;
                ask("DO 0")?
            }
            results => results?,
        };
        let [_, _, server, ended, before, prepared, _, owned, after, shown @ ..] = results.as_slice() else {
            let reason = format!("{} results instead of {}", results.len(), 9 + tables.len());
            return Err(Failure::Load(LoadError::Answer { statement: "START TRANSACTION", reason }));
        };
        let server = server.scalar().unwrap_or_default().to_owned();
        // With GTIDs, any server will do whose views contain the start. Else positions are one server's own.
        let uuid = server.split('/').next().unwrap_or_default();
        if !facts.has_gtids() && !facts.server_uuid().is_empty() && uuid != facts.server_uuid() {
            let (found, expected) = (uuid.to_owned(), facts.server_uuid().to_owned());
            return Err(Failure::Load(LoadError::OtherServer { found, expected }));
        }
        let coordinate = parse_status(status, ended)?;
        let (low, high) = match rule {
            ViewRule::Gtids => {
                let low = parse_gtids(before)?;
                let high = if before == after { low.clone() } else { parse_gtids(after)? };
                (Watermark::Gtids(low), Watermark::Gtids(high))
            }
            ViewRule::GtidsOfFiles => {
                let low = gtids_before_file(connection, &coordinate, before.scalar().unwrap_or_default())?;
                (Watermark::Gtids(low), Watermark::Gtids(parse_gtids(after)?))
            }
            _ => {
                let low = Coordinate::new(coordinate.file.clone(), BINLOG_START);
                (Watermark::Coordinate(low), Watermark::Coordinate(parse_status(status, after)?))
            }
        };
        let is_quiet = owned.scalar().is_none_or(str::is_empty);
        let shows_low = !rule.goes_by_files() || (sees_prepared && prepared.rows.is_empty());
        Ok(View { server, low, high, is_quiet, shows_low, coordinate, definitions: definitions_of(shown) })
    }

    /// MariaDB's exact position comes with the statement that opens the view, so that the definition is locked after it: a
    /// statement in between makes the server refuse the read (error 1412).
    ///
    /// The position is a file and an offset. If that is where the binlog ends, and nothing was committed meanwhile, the GTIDs
    /// there are those of the server; else it may look them up, for which it reads the file from its beginning.
    ///
    /// An XA COMMIT stands in the binlog before its rows are visible, also to a view at a place behind it. Until they are, the
    /// transaction is listed as prepared. So what `low` covers is certain if none was listed before the view, and none began to be
    /// committed between the two. Else, after some tries, it is what was certain when the load began.
    fn open_mariadb(
        connection: &mut Connection,
        facts: &ServerFacts,
        tables: &[&TableName],
        start: Option<&Position>,
        is_last: bool,
    ) -> Result<Option<View>, Failure> {
        const STATEMENT: &str = "SHOW STATUS LIKE 'binlog_snapshot_%'";
        let status = facts.version.binlog_status_statement();
        let [lock, show] = lock_and_show(tables);
        let gtids = executed_statement(true);
        let identity = format!("SELECT {}", server_identity(facts));
        // Where the GTIDs have not moved, nothing was committed.
        let xa_commits = if is_last { "SHOW GLOBAL STATUS LIKE 'Com_xa_commit'" } else { "DO 0" };
        let results = connection.query(&format!(
            "{gtids}; {xa_commits}; XA RECOVER; START TRANSACTION WITH CONSISTENT SNAPSHOT; {STATEMENT}; {status}; {xa_commits}; \
             {gtids}; {identity}; {lock}{show}"
        ))?;
        let [before, began, prepared, _, snapshot, ended, begun, after, server, _, shown @ ..] = results.as_slice()
        else {
            let reason = format!("{} results instead of {}", results.len(), 10 + tables.len());
            return Err(Failure::Load(LoadError::Answer { statement: STATEMENT, reason }));
        };
        let value = |name: &str| {
            let row = snapshot.rows.iter().find(|row| text(row, 0).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
            text(row, 1)
        };
        let offset = value("binlog_snapshot_position").and_then(|offset| offset.parse().ok());
        let Some((file, offset)) = value("binlog_snapshot_file").zip(offset) else {
            let reason = "no file and position".to_owned();
            return Err(Failure::Load(LoadError::Answer { statement: STATEMENT, reason }));
        };
        let coordinate = Coordinate::new(file, offset);
        let is_end = parse_status(status, ended)? == coordinate && before == after;
        let is_certain = prepared.rows.is_empty() && began == begun;
        if !(is_last || (is_end && is_certain)) {
            return Ok(None);
        }
        let high = if is_end { parse_gtids(before)? } else { gtids_at(connection, &coordinate)? };
        let low = match start.and_then(|start| start.gtids.clone()) {
            Some(start) if !is_certain => start,
            _ => high.clone(),
        };
        let (low, high) = (Watermark::Gtids(low), Watermark::Gtids(high));
        let server = server.scalar().unwrap_or_default().to_owned();
        let definitions = definitions_of(shown);
        Ok(Some(View { server, low, high, is_quiet: true, shows_low: true, coordinate, definitions }))
    }
}

/// An expression of which no two servers have the same value. It begins with the UUID, where there is one.
fn server_identity(facts: &ServerFacts) -> String {
    let uuid = if facts.version.is_mariadb { "" } else { "@@GLOBAL.server_uuid, " };
    format!("CONCAT_WS('/', {uuid}@@GLOBAL.server_id, @@GLOBAL.hostname, @@GLOBAL.port)")
}

/// A condition that is true on this server and [an error](is_of_other_server) on any other, also where there are no rows: it is known before any
/// is looked at, and costs nothing for each.
pub(super) fn on_server(facts: &ServerFacts, server: &str) -> String {
    format!("IF({} = {}, 1, (SELECT 1 UNION ALL SELECT 2))", server_identity(facts), quote_text(server))
}

pub(super) fn is_of_other_server(error: &WireError) -> bool {
    error.server_code() == Some(code::SUBQUERY_HAS_ROWS)
}

/// What locks the tables' definitions, one result in all, before another statement; and what shows them, one each, behind one.
fn lock_and_show(tables: &[&TableName]) -> [String; 2] {
    let names = || tables.iter().map(|table| quote_table(table));
    let locks: Vec<String> = names().map(|table| format!("(SELECT 1 FROM {table} LIMIT 0)")).collect();
    let locks = if locks.is_empty() { "DO 0".to_owned() } else { locks.join(" UNION ALL ") };
    [locks, names().map(|table| format!("; SHOW CREATE TABLE {table}")).collect()]
}

/// The GTIDs of all that stands before `at`, which MariaDB finds by reading the file up to there.
pub(super) fn gtids_at(connection: &mut Connection, at: &Coordinate) -> Result<GtidSet, Failure> {
    let file = quote_text(&at.file);
    let results = connection.query(&format!("SELECT BINLOG_GTID_POS({file}, {})", at.offset))?;
    // NULL if there is no such file.
    match results.first().filter(|result| result.scalar().is_some()) {
        Some(result) => parse_gtids(result),
        None => {
            let reason = format!("no GTIDs at {at}");
            Err(Failure::Load(LoadError::Answer { statement: "SELECT BINLOG_GTID_POS", reason }))
        }
    }
}

/// How a file of MySQL's begins. The server begins one only when all that came before is committed, but for XA COMMITs.
pub(super) struct FileBegin {
    /// Behind what stands at the begin of every file.
    pub(super) offset: u64,
    /// Those in the files before this one; none where no set is written.
    pub(super) gtids: Option<GtidSet>,
}

/// Asks for the begin of the file of `at`.
pub(super) fn file_begin(connection: &mut Connection, at: &Coordinate) -> Result<FileBegin, Failure> {
    const STATEMENT: &str = "SHOW BINLOG EVENTS";
    let wrong = |reason| Failure::Load(LoadError::Answer { statement: STATEMENT, reason });
    let file = quote_text(&at.file);
    let results = connection.query(&format!("{STATEMENT} IN {file} LIMIT 2"))?;
    let rows = results.first().map(|result| result.rows.as_slice()).unwrap_or_default();
    let is_heading = |row: &&Vec<Option<Vec<u8>>>| matches!(text(row, 2), Some("Format_desc" | "Previous_gtids"));
    let heading: Vec<_> = rows.iter().take_while(is_heading).collect();
    let Some(offset) = heading.last().and_then(|row| text(row, 4)?.parse().ok()) else {
        return Err(wrong(format!("{} does not begin as files do", at.file)));
    };
    let previous = heading.iter().find(|row| text(row, 2) == Some("Previous_gtids")).and_then(|row| text(row, 5));
    let gtids = previous.map(|set| parse_set(STATEMENT, set)).transpose()?;
    Ok(FileBegin { offset, gtids })
}

/// Every transaction before the file of `at`, also those that were declared executed without having been in one (`SET GLOBAL gtid_purged`,
/// when a server is made from a dump). Of `purged`, asked for earlier: a file may be purged of which a view that is open shows nothing.
pub(super) fn gtids_before_file(
    connection: &mut Connection,
    at: &Coordinate,
    purged: &str,
) -> Result<GtidSet, Failure> {
    let Some(mut gtids) = file_begin(connection, at)?.gtids else {
        let reason = format!("no Previous_gtids at the head of {}", at.file);
        return Err(Failure::Load(LoadError::Answer { statement: "SHOW BINLOG EVENTS", reason }));
    };
    gtids.extend(&parse_set(PURGED_STATEMENT, purged)?);
    Ok(gtids)
}

/// The transactions that are executed and in no file any more, or never were.
pub(super) const PURGED_STATEMENT: &str = "SELECT @@GLOBAL.gtid_purged";

fn definitions_of(shown: &[TextResult]) -> Vec<Option<String>> {
    let definition = |shown: &TextResult| Some(definition_text(text(shown.rows.first()?, 1)?));
    shown.iter().map(definition).collect()
}

/// What `SHOW CREATE TABLE` says, without the counter that every insert moves.
pub fn definition_text(sql: &str) -> String {
    const COUNTER: &str = " AUTO_INCREMENT=";
    let Some(begin) = sql.rfind(COUNTER) else { return sql.to_owned() };
    let rest = sql[begin + COUNTER.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{}{rest}", &sql[..begin])
}

pub(super) fn text(row: &[Option<Vec<u8>>], column: usize) -> Option<&str> {
    std::str::from_utf8(row.get(column)?.as_deref()?).ok()
}

fn parse_gtids(result: &TextResult) -> Result<GtidSet, Failure> {
    parse_set("SELECT @@GLOBAL.gtid_executed", result.scalar().unwrap_or_default())
}

fn parse_set(statement: &'static str, set: &str) -> Result<GtidSet, Failure> {
    set.parse().map_err(|error: tidegate_model::position::InvalidGtidSet| {
        Failure::Load(LoadError::Answer { statement, reason: error.to_string() })
    })
}

/// File and offset, the first two columns. A server without binlog has no row: then there is nothing to follow either.
fn parse_status(statement: &'static str, result: &TextResult) -> Result<Coordinate, Failure> {
    let Some(row) = result.rows.first() else { return Ok(Coordinate::new("", 0)) };
    match text(row, 0).zip(text(row, 1).and_then(|offset| offset.parse().ok())) {
        Some((file, offset)) => Ok(Coordinate::new(file, offset)),
        None => Err(Failure::Load(LoadError::Answer { statement, reason: "no file and position".to_owned() })),
    }
}

/// The server's code for what is not, or no longer, as it was.
pub(crate) mod code {
    pub(in super::super) const SUBQUERY_HAS_ROWS: u16 = 1242;
    pub(crate) const NO_SUCH_TABLE: u16 = 1146;
    pub(crate) const BAD_DATABASE: u16 = 1049;
    pub(in super::super) const TABLE_ACCESS_DENIED: u16 = 1142;
    pub(crate) const BAD_FIELD: u16 = 1054;
    pub(in super::super) const KEY_DOES_NOT_EXIST: u16 = 1176;
    /// The table was altered after the view was opened: a new view shows it as it is now.
    pub(in super::super) const TABLE_DEFINITION_CHANGED: u16 = 1412;
    pub(in super::super) const NEEDS_REPREPARE: u16 = 1615;
}

/// The table is not there, or not under this name.
pub(super) fn is_gone(error: &WireError) -> bool {
    matches!(error.server_code(), Some(code::NO_SUCH_TABLE | code::BAD_DATABASE))
}
