//! Which tables are there, and how are they defined?
//!
//! Read from `information_schema`. A first query lists names only; columns and keys are read for selected tables, so
//! that 50,000 other tables on the server cost one short list.
//!
//! The columns are all that a row image in the binlog has, in the same order: also invisible and generated ones, and the
//! primary key that the server adds by itself. Views are no tables: their changes stand in the binlog under other names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::check::list_names;
use super::connection::{
    LOCK_WAIT_TIMEOUT_S, ServerFacts, driver_text, quote_identifier, quote_table, quote_text, session_of,
};
use super::grants::Grants;
use super::snapshot::code;
use super::wire::{self, REFUSED, WireError};
use tidegate_model::names::is_same;
use tidegate_model::{Column, Groundwork, Index, IndexPart, SqlType, Table, TableName, TableParts, UniqueKey};

/// Databases that belong to the server. Selected only where a table of them is named exactly.
pub const SYSTEM_DATABASES: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Tables whose columns are asked for in one query.
const TABLES_PER_QUERY: usize = 200;

/// Whether a table, by database and name, is wanted.
pub type MatchTable<'a> = &'a (dyn Fn(&str, &str) -> bool + Sync);

/// Which tables are wanted: those named, and those for which `matches` is true of database and name.
pub struct Selection<'a> {
    pub named: &'a [TableName],
    /// Without it the other tables are not even listed.
    pub matches: Option<MatchTable<'a>>,
    /// Tables of which something depends on the text of labels: each is an error whose labels the server cannot be asked for now, and could
    /// tell another time. Without it, none.
    pub needs_labels: Option<&'a (dyn Fn(&Table) -> bool + Sync)>,
}

impl<'a> Selection<'a> {
    /// These tables and no others.
    pub fn named(named: &'a [TableName]) -> Selection<'a> {
        Selection { named, matches: None, needs_labels: None }
    }
}

/// A table and what reading it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogTable {
    /// At version 1.
    pub table: Table,
    pub engine: Option<String>,
    /// The server's guess, which may be off by half.
    pub estimated_rows: u64,
    /// Of these rows, without other indexes; may be a day old.
    pub estimated_bytes: u64,
    /// Of MariaDB: it keeps rows that are no more.
    pub is_versioned: bool,
    /// Of MariaDB: a UNIQUE key over long columns, for which it has a column that it does not show.
    pub has_hash_key: bool,
    /// A column is computed from others.
    pub has_generated: bool,
    /// Why a label may have a `?` that the server has put in the place of another character, if one may.
    pub label_doubt: Option<LabelDoubt>,
}

/// Why labels of ENUM and SET are in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelDoubt {
    /// The server has no way of telling them: it tells none at any time.
    Untold,
    /// The account may not read the table, or it is gone: none of its rows is read.
    Unread,
    /// The server could not be asked about the table.
    Unasked { reason: String, may_pass: bool },
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("could not read the catalogue: {}", driver_text(.0))]
    Query(#[from] mysql_async::Error),
    #[error("column \"{column}\" of table {table} has type {type_text}, which is not supported")]
    UnknownType { table: TableName, column: String, type_text: String },
    #[error("table {name} does not exist, or the account has no right on it")]
    Missing { name: TableName, seen: Vec<TableName> },
    /// `kind` is the server's word for it.
    #[error("{name} is a {kind} and no table")]
    NoTable { name: TableName, kind: String },
    /// Values would come with a `?` that have another character when they come the next time.
    #[error("the labels of ENUM and SET of table {table} could not be asked for: {reason}")]
    Labels { table: TableName, reason: String, may_pass: bool },
}

impl CatalogError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CatalogError::Query(_) => None,
            CatalogError::UnknownType { .. } => {
                Some("leave the table out, or convert the column at the server".to_owned())
            }
            CatalogError::Missing { name, seen } => Some(match seen.as_slice() {
                [] => format!(
                    "the account sees no table in database {}: GRANT SELECT on what is to be copied, or correct the name",
                    name.database
                ),
                seen => {
                    format!("the account sees {}: correct the name, or GRANT SELECT on the table", list_names(seen))
                }
            }),
            CatalogError::NoTable { kind, .. } if kind == "view" => Some(
                "name the tables that the view selects from instead: what changes in it stands in the binlog under their names"
                    .to_owned(),
            ),
            CatalogError::NoTable { .. } => Some("leave it out: it has no rows of its own".to_owned()),
            CatalogError::Labels { may_pass: true, .. } => Some(
                "end what has locked the table (SHOW PROCESSLIST), or start again when it is over; where values are written as index and as \
                 bits, their labels need not be known"
                    .to_owned(),
            ),
            CatalogError::Labels { .. } => Some(
                "mend the table at the server (CHECK TABLE tells what is wrong), or leave it out; where values are written as index and as \
                 bits, their labels need not be known"
                    .to_owned(),
            ),
        }
    }
}

/// What is there of a selection, and why the rest is not.
#[derive(Debug, Default)]
pub struct Found {
    /// Ordered by name.
    pub tables: Vec<CatalogTable>,
    pub errors: Vec<CatalogError>,
}

impl Found {
    /// The tables, if all that is selected is there.
    pub fn whole(self) -> Result<Vec<CatalogTable>, CatalogError> {
        match self.errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.tables),
        }
    }
}

/// The selected tables, ordered by name. The session has the settings of [`ServerFacts`].
pub async fn read_tables(connection: &mut Conn, selection: &Selection<'_>) -> Result<Vec<CatalogTable>, CatalogError> {
    find_tables(connection, selection).await?.whole()
}

/// As [`read_tables`], with all that is wrong.
pub async fn find_tables(connection: &mut Conn, selection: &Selection<'_>) -> Result<Found, mysql_async::Error> {
    let mut found = Found::default();
    let names = select_names(connection, selection, &mut found.errors).await?;
    for (database, names) in by_database(names) {
        for names in names.chunks(TABLES_PER_QUERY) {
            read_definitions(connection, &database, names, selection, &mut found).await?;
        }
    }
    found.tables.sort_by(|a, b| a.table.name().cmp(b.table.name()));
    Ok(found)
}

const IS_TABLE: &str = "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";

/// Names as the server stores them.
async fn select_names(
    connection: &mut Conn,
    selection: &Selection<'_>,
    errors: &mut Vec<CatalogError>,
) -> Result<Vec<TableName>, mysql_async::Error> {
    let mut selected = Vec::new();
    for name in selection.named {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, IF({IS_TABLE}, NULL, LOWER(TABLE_TYPE)) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY 1, 2"
        );
        let found: Vec<(String, String, Option<String>)> =
            connection.exec(sql, (&*name.database, &*name.table)).await?;
        // Where the server folds names, its catalogue compares them by a collation to which accents are equal as well.
        let is_it = |(database, table, _): &(String, String, Option<String>)| {
            is_same(database, &name.database) && is_same(table, &name.table)
        };
        match found.into_iter().find(is_it) {
            Some((database, table, None)) => selected.push(TableName::new(&database, &table)),
            Some((.., Some(kind))) => errors.push(CatalogError::NoTable { name: name.clone(), kind }),
            None => {
                let seen = seen_instead(connection, name, IS_TABLE).await?;
                errors.push(CatalogError::Missing { name: name.clone(), seen });
            }
        }
    }
    if let Some(matches) = selection.matches {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA NOT IN ({}) AND {IS_TABLE}",
            SYSTEM_DATABASES.map(|name| format!("'{name}'")).join(", ")
        );
        let all: Vec<(String, String)> = connection.query(sql).await?;
        let matching = all.iter().filter(|(database, table)| matches(database, table));
        selected.extend(matching.map(|(database, table)| TableName::new(database, table)));
    }
    selected.sort();
    selected.dedup();
    Ok(selected)
}

/// What an account finds under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The server says that there is no such table, or that the name is a view's or a sequence's.
    Gone,
    /// The catalogue has the table.
    Seen,
    /// It may be there: the account has no right on it.
    Refused,
}

/// The catalogue leaves out also tables on which the account has no right: the server is asked.
pub async fn presence(connection: &mut Conn, name: &TableName) -> Result<Presence, mysql_async::Error> {
    let of_this = of_these(&name.database, [&*name.table]);
    let sql = format!("SELECT TABLE_NAME, {IS_TABLE} FROM information_schema.TABLES WHERE {of_this}");
    let found: Vec<(String, bool)> = connection.query(sql).await?;
    if let Some((_, is_table)) = found.into_iter().find(|(found, _)| *found == *name.table) {
        return Ok(if is_table { Presence::Seen } else { Presence::Gone });
    }
    match connection.query_drop(format!("SELECT 1 FROM {} LIMIT 0", quote_table(name))).await {
        Ok(()) => Ok(Presence::Seen),
        Err(mysql_async::Error::Server(error)) if [code::NO_SUCH_TABLE, code::BAD_DATABASE].contains(&error.code) => {
            Ok(Presence::Gone)
        }
        Err(mysql_async::Error::Server(_)) => Ok(Presence::Refused),
        Err(error) => Err(error),
    }
}

/// Whether there is no such table, or the name is a view's or a sequence's.
pub async fn is_gone(connection: &mut Conn, name: &TableName) -> Result<bool, mysql_async::Error> {
    Ok(presence(connection, name).await? == Presence::Gone)
}

/// Whether the table that has the name now is one of the engine MEMORY, asked over a connection of its own.
pub fn is_in_memory(connect: &wire::ConnectOptions, name: &TableName) -> Result<bool, WireError> {
    let of_this = of_these(&name.database, [&*name.table]);
    let results = session_of(connect)?
        .query(&format!("SELECT TABLE_NAME FROM information_schema.TABLES WHERE {of_this} AND ENGINE = 'MEMORY'"))?;
    let is_it = |row: &Vec<Option<Vec<u8>>>| row.first().and_then(Option::as_deref) == Some(name.table.as_bytes());
    Ok(results.iter().flat_map(|result| &result.rows).any(is_it))
}

/// The table's own words as they are now, asked over a connection of its own; none if it is gone. One that is locked is not waited for.
pub fn show_create_now(
    connect: &wire::ConnectOptions,
    facts: &ServerFacts,
    name: &TableName,
) -> Result<Option<String>, WireError> {
    let mut connection = session_of(connect)?;
    connection.query(facts.session_settings())?;
    let sql = format!("SET SESSION lock_wait_timeout = 1; SHOW CREATE TABLE {}", quote_table(name));
    match connection.query(&sql) {
        Ok(results) => {
            let row = results.last().and_then(|result| result.rows.first());
            let text = row.and_then(|row| row.get(1)?.as_deref());
            Ok(text.map(|text| String::from_utf8_lossy(text).into_owned()))
        }
        Err(WireError::Server { code: code::NO_SUCH_TABLE | code::BAD_DATABASE, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the server where an account's grants leave a doubt. Tables that are locked are waited for from now on for a moment alone.
pub async fn ask_rights(
    connection: &mut Conn,
    grants: &mut Grants,
    tables: impl Iterator<Item = &TableName>,
) -> Result<(), mysql_async::Error> {
    let unsure = grants.unsure(tables);
    if unsure.is_empty() {
        return Ok(());
    }
    // It refuses before it waits.
    connection.query_drop("SET SESSION lock_wait_timeout = 1").await?;
    for table in unsure {
        match connection.query_drop(format!("SELECT 1 FROM {} LIMIT 0", quote_table(table))).await {
            Err(mysql_async::Error::Server(error)) if REFUSED.contains(&error.code) => {
                grants.refused_in(&table.database);
            }
            Ok(()) | Err(mysql_async::Error::Server(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// MariaDB's sequences, of which `matches` is true: their values come as rows of a table.
pub async fn find_sequences(
    connection: &mut Conn,
    matches: impl Fn(&str, &str) -> bool,
) -> Result<Vec<TableName>, mysql_async::Error> {
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'SEQUENCE'";
    let all: Vec<(String, String)> = connection.query(sql).await?;
    let found = all.iter().filter(|(database, table)| matches(database, table));
    Ok(found.map(|(database, table)| TableName::new(database, table)).collect())
}

/// What may have been meant by a name: tables of that database, else tables of that name.
async fn seen_instead(
    connection: &mut Conn,
    name: &TableName,
    is_table: &str,
) -> Result<Vec<TableName>, mysql_async::Error> {
    for (column, value) in [("TABLE_SCHEMA", &name.database), ("TABLE_NAME", &name.table)] {
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE {column} = ? AND {is_table} ORDER BY 1, 2"
        );
        let seen: Vec<(String, String)> = connection.exec(sql, (&**value,)).await?;
        if !seen.is_empty() {
            return Ok(seen.iter().map(|(database, table)| TableName::new(database, table)).collect());
        }
    }
    Ok(Vec::new())
}

fn by_database(names: Vec<TableName>) -> BTreeMap<String, Vec<TableName>> {
    let mut databases: BTreeMap<String, Vec<TableName>> = BTreeMap::new();
    for name in names {
        databases.entry(name.database.to_string()).or_default().push(name);
    }
    databases
}

async fn read_definitions(
    connection: &mut Conn,
    database: &str,
    names: &[TableName],
    selection: &Selection<'_>,
    found: &mut Found,
) -> Result<(), mysql_async::Error> {
    let of_these = of_these(database, names.iter().map(|name| &*name.table));
    let columns: Vec<ColumnRow> = connection.query(columns_statement(&of_these)).await?;
    let keys: Vec<KeyRow> = connection.query(keys_statement(&of_these)).await?;
    let charsets: Vec<CharsetRow> = connection.query(charsets_statement(database, &of_these)).await?;
    let sql = format!(
        "SELECT TABLE_NAME, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_TYPE FROM information_schema.TABLES WHERE {of_these}"
    );
    let tables: Vec<TableRow> = connection.query(sql).await?;

    let is_selected = |(table, ..): &(String, _, _, _, _)| names.iter().any(|name| *name.table == **table);
    for (table, engine, estimated_rows, estimated_bytes, table_type) in tables.into_iter().filter(is_selected) {
        let table = match define(TableName::new(database, &table), 1, &columns, &keys, &charsets) {
            Ok(table) => table,
            Err(error) => {
                found.errors.push(error);
                continue;
            }
        };
        let (estimated_rows, is_versioned) = (estimated_rows.unwrap_or(0), table_type == "SYSTEM VERSIONED");
        // MEMORY tables have such keys for themselves.
        let is_hashed = |(of, ..): &&KeyRow| *of == *table.name().table && engine.as_deref() != Some("MEMORY");
        let has_hash_key =
            keys.iter().filter(is_hashed).any(|(.., non_unique, index_type)| *non_unique == 0 && index_type == "HASH");
        let is_generated = |row: &ColumnRow| {
            row.0 == *table.name().table && (row.6.contains("VIRTUAL GENERATED") || row.6.contains("STORED GENERATED"))
        };
        let has_generated = columns.iter().any(is_generated);
        let (table, label_doubt) = ask_labels(connection, table).await?;
        if let Some(LabelDoubt::Unasked { reason, may_pass }) = &label_doubt
            && selection.needs_labels.is_some_and(|needs_labels| needs_labels(&table))
        {
            let (table, reason, may_pass) = (table.name().clone(), reason.clone(), *may_pass);
            found.errors.push(CatalogError::Labels { table, reason, may_pass });
            continue;
        }
        found.tables.push(CatalogTable {
            table,
            engine,
            estimated_rows,
            estimated_bytes: estimated_bytes.unwrap_or(0),
            is_versioned,
            has_hash_key,
            has_generated,
            label_doubt,
        });
    }
    Ok(())
}

/// Asks for labels that the catalogue does not show. Whatever keeps the server from answering is a matter of this table.
async fn ask_labels(connection: &mut Conn, table: Table) -> Result<(Table, Option<LabelDoubt>), mysql_async::Error> {
    let mut labels = Labels::of(table);
    if labels.left.is_empty() {
        return Ok(labels.end());
    }
    // Nobody waits for who has locked one of many tables.
    connection.query_drop("SET SESSION lock_wait_timeout = 1").await?;
    while let Some(statement) = labels.next_statement() {
        match connection.query::<(usize, Option<String>), _>(statement).await {
            Ok(told) => labels.take(told),
            Err(mysql_async::Error::Server(error)) => labels.refused(error.code, &error.message),
            Err(error) => return Err(error),
        }
    }
    connection.query_drop(format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_TIMEOUT_S}")).await?;
    Ok(labels.end())
}

/// One table's definition, read over a connection of the data plane, in whatever transaction it is. A table that does not
/// exist has no columns; what is no table is an error.
pub(super) fn read_definition(
    connection: &mut wire::Connection,
    name: &TableName,
    version: u32,
) -> Result<Result<Table, CatalogError>, WireError> {
    let of_this = of_these(&name.database, [&*name.table]);
    let results = connection.query(&format!(
        "{}; {}; {}; SELECT TABLE_NAME, LOWER(TABLE_TYPE) FROM information_schema.TABLES WHERE {of_this} AND NOT {IS_TABLE}",
        columns_statement(&of_this),
        keys_statement(&of_this),
        charsets_statement(&name.database, &of_this)
    ))?;
    let rows = |result: usize| {
        let rows = results.get(result).map(|result| result.rows.as_slice()).unwrap_or_default();
        rows.iter().map(|row| {
            let text =
                |value: &Option<Vec<u8>>| value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            row.iter().map(text).collect::<Vec<_>>()
        })
    };
    let mut others = rows(3).filter_map(|row| <[_; 2]>::try_from(row).ok());
    if let Some([_, kind]) = others.find(|[other, _]| other.as_deref() == Some(&*name.table)) {
        return Ok(Err(CatalogError::NoTable { name: name.clone(), kind: kind.unwrap_or_default() }));
    }
    let columns = rows(0).map(|row| {
        let [table, column, type_text, nullable, charset, collation, extra] =
            row.try_into().expect("seven columns were asked for");
        let text = Option::unwrap_or_default;
        (text(table), text(column), text(type_text), text(nullable), charset, collation, text(extra))
    });
    let keys = rows(1).map(|row| {
        let [table, key, column, prefix, nullable, non_unique, index_type] =
            row.try_into().expect("seven columns were asked for");
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let text = Option::unwrap_or_default;
        let non_unique = number(non_unique).unwrap_or(1);
        (text(table), text(key), column, number(prefix), text(nullable), non_unique, text(index_type))
    });
    let charsets = rows(2).map(|row| {
        let [table, collation, database, database_collation, engine] =
            row.try_into().expect("five columns were asked for");
        (table.unwrap_or_default(), collation, database, database_collation, engine)
    });
    let (columns, keys, charsets): (Vec<_>, Vec<_>, Vec<_>) = (columns.collect(), keys.collect(), charsets.collect());
    let table = match define(name.clone(), version, &columns, &keys, &charsets) {
        Ok(table) => table,
        Err(error) => return Ok(Err(error)),
    };
    let mut labels = Labels::of(table);
    while let Some(statement) = labels.next_statement() {
        let told = match connection.query(&statement) {
            // Whoever reads rows meets the rest again.
            Err(WireError::Server { code, message, .. })
                if matches!(LabelDoubt::of(code, &message), LabelDoubt::Untold | LabelDoubt::Unread)
                    || code == code::BAD_FIELD =>
            {
                labels.refused(code, &message);
                continue;
            }
            told => told?,
        };
        let text = |value: &Option<Vec<u8>>| value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let row = |row: &Vec<Option<Vec<u8>>>| Some((text(row.first()?)?.parse().ok()?, row.get(1).and_then(text)));
        labels.take(told.iter().flat_map(|result| &result.rows).filter_map(row).collect());
    }
    Ok(Ok(labels.end().0))
}

/// Labels that are asked for in one statement. A server counts no further than to 1,000, unless it is told to.
const LABELS_PER_QUERY: usize = 900;

/// Labels of ENUM and SET, of which the catalogue shows `?` for each character beyond U+FFFF, and for a `?`.
///
/// Values have the labels themselves, but there may be none. So the server is made to make some: the first part of a recursive query
/// decides that its column is of the ENUM's type, and numbers that the second part writes into it become labels. Servers without such
/// queries (MySQL before 8.0) do not tell.
struct Labels {
    table: Table,
    /// Labels that are still to be asked for, by their column and their numbers, the first ones last.
    left: Vec<(usize, Range<usize>)>,
    told: BTreeSet<(usize, usize)>,
    doubt: Option<LabelDoubt>,
}

impl Labels {
    fn of(table: Table) -> Labels {
        let mut left: Vec<(usize, Range<usize>)> = Vec::new();
        for (column, number) in doubtful_labels(&table) {
            match left.last_mut() {
                Some((of, numbers)) if *of == column && number < numbers.start + LABELS_PER_QUERY => {
                    numbers.end = number + 1;
                }
                _ => left.push((column, number..number + 1)),
            }
        }
        left.reverse();
        Labels { table, left, told: BTreeSet::new(), doubt: None }
    }

    /// Gives the numbers of the next labels, and the labels as hexadecimal digits.
    fn next_statement(&self) -> Option<String> {
        let (column, numbers) = self.left.last()?;
        let column = &self.table.columns()[*column];
        let number = if matches!(column.sql_type, SqlType::Set { .. }) { "1 << n" } else { "n + 1" };
        Some(format!(
            "WITH RECURSIVE labels (label, n) AS (SELECT {}, 0 FROM {} WHERE FALSE UNION ALL SELECT NULL, {start} \
             UNION ALL SELECT {number}, n + 1 FROM labels WHERE n < {}) \
             SELECT n - 1, HEX(CONVERT(label USING utf8mb4)) FROM labels WHERE n > {start}",
            quote_identifier(&column.name),
            quote_table(self.table.name()),
            numbers.end,
            start = numbers.start,
        ))
    }

    /// What the statement has given.
    fn take(&mut self, told: Vec<(usize, Option<String>)>) {
        let Some((column, _)) = self.left.pop() else { return };
        let (SqlType::Enum { labels } | SqlType::Set { labels }) = &self.table.columns()[column].sql_type else {
            return;
        };
        let mut labels = labels.to_vec();
        for (number, hex) in told {
            let label = hex.and_then(|hex| String::from_utf8(bytes_of_hex(&hex)?).ok());
            // An ALTER TABLE may stand between the two questions.
            if let (Some(label), Some(shown)) = (label, labels.get_mut(number))
                && as_the_catalogue_shows(&label) == *shown
            {
                *shown = label;
                self.told.insert((column, number));
            }
        }
        let mut parts = TableParts::from(self.table.clone());
        parts.columns[column].sql_type = parts.columns[column].sql_type.with_labels(labels.into());
        let groundwork = self.table.groundwork().cloned();
        self.table = match groundwork {
            Some(groundwork) => Table::from(parts).with_groundwork(groundwork),
            None => Table::from(parts),
        };
    }

    /// The server has answered with an error: nothing more is asked of the table.
    fn refused(&mut self, code: u16, message: &str) {
        self.left.clear();
        self.doubt = Some(LabelDoubt::of(code, message));
    }

    /// The table, and why labels are in doubt if they are.
    fn end(self) -> (Table, Option<LabelDoubt>) {
        let is_whole = doubtful_labels(&self.table).all(|label| self.told.contains(&label));
        let altered = || LabelDoubt::Unasked { reason: "the table was altered meanwhile".to_owned(), may_pass: true };
        let doubt = self.doubt.unwrap_or_else(altered);
        (self.table, (!is_whole).then_some(doubt))
    }
}

/// Those that have a `?`, by their column and their number.
fn doubtful_labels(table: &Table) -> impl Iterator<Item = (usize, usize)> {
    table.columns().iter().enumerate().flat_map(|(column, of)| {
        let labels = of.sql_type.labels().into_iter().flat_map(|labels| labels.iter()).enumerate();
        labels.filter(|(_, label)| label.contains('?')).map(move |(number, _)| (column, number))
    })
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

impl LabelDoubt {
    /// What follows from the server's answer.
    fn of(code: u16, message: &str) -> LabelDoubt {
        const PARSE_ERROR: u16 = 1064;
        const LOCK_WAIT_TIMEOUT: u16 = 1205;
        match code {
            PARSE_ERROR => LabelDoubt::Untold,
            code::NO_SUCH_TABLE => LabelDoubt::Unread,
            refused if REFUSED.contains(&refused) => LabelDoubt::Unread,
            // The column has another name by now.
            other => LabelDoubt::Unasked {
                reason: format!("{message} (error {other})"),
                may_pass: matches!(other, LOCK_WAIT_TIMEOUT | code::BAD_FIELD),
            },
        }
    }
}

/// Table, engine, guesses of rows and of bytes, what kind of table.
type TableRow = (String, Option<String>, Option<u64>, Option<u64>, String);
/// Table, column, type, whether it may be NULL, character set, collation, and what else there is to say.
type ColumnRow = (String, String, String, String, Option<String>, Option<String>, String);
/// Table, index, column, length of a prefix, whether it may be NULL, whether values may come twice, how the index is made.
type KeyRow = (String, String, Option<String>, Option<u64>, String, u64, String);
/// Table, its collation, the character set and the collation of its database, and its engine.
type CharsetRow = (String, Option<String>, Option<String>, Option<String>, Option<String>);

fn of_these<'a>(database: &str, tables: impl IntoIterator<Item = &'a str>) -> String {
    let tables: Vec<String> = tables.into_iter().map(quote_text).collect();
    format!("TABLE_SCHEMA = {} AND TABLE_NAME IN ({})", quote_text(database), tables.join(", "))
}

/// A collation by the name that is its own: MariaDB takes MySQL's for some of them.
fn own_collation(name: &str) -> String {
    format!("IF(VERSION() LIKE '%MariaDB%', REPLACE({name}, 'utf8mb4_0900_a', 'utf8mb4_uca1400_nopad_a'), {name})")
}

fn columns_statement(of_these: &str) -> String {
    format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, {}, EXTRA \
         FROM information_schema.COLUMNS WHERE {of_these} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        own_collation("COLLATION_NAME")
    )
}

fn keys_statement(of_these: &str) -> String {
    format!(
        "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, NULLABLE, NON_UNIQUE, INDEX_TYPE FROM \
         information_schema.STATISTICS WHERE {of_these} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    )
}

fn charsets_statement(database: &str, of_these: &str) -> String {
    format!(
        "SELECT TABLE_NAME, {}, (SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {database}), \
         (SELECT {} FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {database}), ENGINE \
         FROM information_schema.TABLES WHERE {of_these}",
        own_collation("TABLE_COLLATION"),
        own_collation("DEFAULT_COLLATION_NAME"),
        database = quote_text(database)
    )
}

/// The table of that name among the rows of several.
fn define(
    name: TableName,
    version: u32,
    columns: &[ColumnRow],
    keys: &[KeyRow],
    charsets: &[CharsetRow],
) -> Result<Table, CatalogError> {
    let columns = || columns.iter().filter(|(of, ..)| **of == *name.table);
    let columns = columns()
        .map(|(_, column, type_text, nullable, charset, collation, _)| {
            let read = read_column(&name, column, type_text, nullable, charset)?;
            Ok::<Column, CatalogError>(Column { collation: collation.as_deref().map(Arc::from), ..read })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<&KeyRow> = keys.iter().filter(|(of, ..)| **of == *name.table).collect();
    let unique = keys.iter().filter(|(.., non_unique, _)| *non_unique == 0);
    let parts = unique.map(|(_, key, column, prefix, nullable, ..)| KeyPart {
        key,
        column: column.as_deref().filter(|_| prefix.is_none() && nullable != "YES"),
    });
    let unique_keys = unique_keys(&columns, parts);
    let charsets = charsets.iter().find(|(of, ..)| **of == *name.table);
    let groundwork = Groundwork {
        charset: charsets.and_then(|(_, collation, ..)| Some(collation.as_deref()?.split('_').next()?.to_owned())),
        database_charset: charsets.and_then(|(_, _, database, ..)| database.clone()),
        collation: charsets.and_then(|(_, collation, ..)| collation.as_deref().map(Arc::from)),
        database_collation: charsets.and_then(|(_, _, _, collation, _)| collation.as_deref().map(Arc::from)),
        indexes: Some(indexes(&keys)),
        engine: charsets.and_then(|(.., engine)| engine.as_deref().map(Arc::from)),
    };
    let table = Table::from(TableParts { name, version, columns, unique_keys });
    Ok(table.with_groundwork(groundwork))
}

/// All indexes. Parts of one come in order, and mixed with those of another where the catalogue's collation takes both names for one:
/// MariaDB has `a` beside `ä`.
fn indexes(keys: &[&KeyRow]) -> Vec<Index> {
    let mut indexes: Vec<Index> = Vec::new();
    for (_, name, column, prefix, _, non_unique, _) in keys {
        let part = IndexPart { column: column.clone(), prefix: *prefix };
        match indexes.iter_mut().find(|index| index.name == *name) {
            Some(index) => index.parts.push(part),
            None => {
                let (name, unique) = (name.clone(), *non_unique == 0);
                indexes.push(Index { name, unique, parts: vec![part], for_foreign_key: None });
            }
        }
    }
    indexes
}

fn read_column(
    table: &TableName,
    name: &str,
    type_text: &str,
    nullable: &str,
    charset: &Option<String>,
) -> Result<Column, CatalogError> {
    let sql_type = parse_type(type_text).ok_or_else(|| CatalogError::UnknownType {
        table: table.clone(),
        column: name.to_owned(),
        type_text: type_text.to_owned(),
    })?;
    Ok(Column {
        name: name.to_owned(),
        sql_type,
        type_text: type_text.to_owned(),
        nullable: nullable == "YES",
        // MariaDB's own types of text have none.
        charset: match type_text {
            "inet4" | "inet6" | "uuid" => Some("ascii".to_owned()),
            _ => charset.clone(),
        },
        collation: None,
    })
}

struct KeyPart<'a> {
    key: &'a str,
    /// `None` if the part is an expression, a prefix or may be NULL: then the key does not identify rows.
    column: Option<&'a str>,
}

/// The keys that identify a row, the primary key first, the others by name. Parts of a key come in order.
fn unique_keys<'a>(columns: &[Column], parts: impl IntoIterator<Item = KeyPart<'a>>) -> Vec<UniqueKey> {
    let mut keys: BTreeMap<(bool, &str), Option<Vec<usize>>> = BTreeMap::new();
    for part in parts {
        let index = part.column.and_then(|name| columns.iter().position(|column| column.name == name));
        let key = keys.entry((part.key != "PRIMARY", part.key)).or_insert_with(|| Some(Vec::new()));
        *key = match (key.take(), index) {
            (Some(mut indexes), Some(index)) => {
                indexes.push(index);
                Some(indexes)
            }
            _ => None,
        };
    }
    let usable = keys.into_iter().filter_map(|((_, name), columns)| Some((name, columns?)));
    usable.map(|(name, columns)| UniqueKey { name: name.to_owned(), columns }).collect()
}

/// The type that a `COLUMN_TYPE` such as `int(10) unsigned` or `enum('a','b')` names.
pub fn parse_type(text: &str) -> Option<SqlType> {
    let name_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let name = name.to_ascii_lowercase();
    if name == "enum" || name == "set" {
        let labels = parse_labels(rest)?.into();
        return Some(if name == "enum" { SqlType::Enum { labels } } else { SqlType::Set { labels } });
    }
    let (arguments, attributes) = match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')')?,
        None => ("", rest),
    };
    let mut arguments = arguments.split(',').map(|argument| argument.trim().parse::<u32>().ok());
    let (first, second) = (arguments.next().flatten(), arguments.next().flatten());
    let unsigned = attributes.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("unsigned"));
    let fraction = first.unwrap_or(0) as u8;
    Some(match name.as_str() {
        "tinyint" | "bool" | "boolean" => SqlType::Int { bytes: 1, unsigned },
        "smallint" => SqlType::Int { bytes: 2, unsigned },
        "mediumint" => SqlType::Int { bytes: 3, unsigned },
        "int" | "integer" => SqlType::Int { bytes: 4, unsigned },
        "bigint" => SqlType::Int { bytes: 8, unsigned },
        "float" => SqlType::Float,
        "double" | "real" => SqlType::Double,
        "decimal" | "numeric" => {
            SqlType::Decimal { precision: first.unwrap_or(10) as u8, scale: second.unwrap_or(0) as u8 }
        }
        "bit" => SqlType::Bit { width: first.unwrap_or(1) as u8 },
        // Its values come with two digits, whichever century they are of.
        "year" if first == Some(2) => return None,
        "year" => SqlType::Year,
        "date" => SqlType::Date,
        "time" => SqlType::Time { fraction },
        "datetime" => SqlType::DateTime { fraction },
        "timestamp" => SqlType::Timestamp { fraction },
        // MariaDB's have their own form in the binlog only.
        "char" | "inet4" | "inet6" | "uuid" => SqlType::Char,
        "varchar" => SqlType::VarChar,
        "tinytext" | "text" | "mediumtext" | "longtext" => SqlType::Text,
        "binary" => SqlType::Binary { length: first.unwrap_or(1) },
        "varbinary" => SqlType::VarBinary,
        "tinyblob" | "blob" | "mediumblob" | "longblob" => SqlType::Blob,
        "json" => SqlType::Json,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => SqlType::Geometry,
        "vector" => SqlType::Vector,
        _ => return None,
    })
}

/// A label of ENUM or SET as the catalogue has it: with `?` for each character beyond U+FFFF.
pub(crate) fn as_the_catalogue_shows(label: &str) -> String {
    label.chars().map(|c| if c <= '\u{ffff}' { c } else { '?' }).collect()
}

/// `('a','it''s','c\\d')`: quotes are doubled, and `\0 \n \r \\` escaped, as the server's own printer does it.
fn parse_labels(text: &str) -> Option<Vec<String>> {
    let text = text.trim().strip_prefix('(')?;
    let mut labels = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        match characters.next()? {
            '\'' => {}
            ',' | ' ' => continue,
            ')' => return Some(labels),
            _ => return None,
        }
        let mut label = String::new();
        loop {
            match characters.next()? {
                '\'' if characters.peek() == Some(&'\'') => {
                    characters.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match characters.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                }),
                c => label.push(c),
            }
        }
        labels.push(label);
    }
}

/// The tables' own words, in their order; none of one that is not there, is no table, or may not be seen.
pub async fn show_create(
    connection: &mut Conn,
    names: &[&TableName],
) -> Result<Vec<Option<String>>, mysql_async::Error> {
    /// Of one round trip.
    const TABLES_AT_ONCE: usize = 100;
    let mut texts = Vec::with_capacity(names.len());
    while texts.len() < names.len() {
        let left = &names[texts.len()..];
        let now = &left[..left.len().min(TABLES_AT_ONCE)];
        let statements: Vec<String> =
            now.iter().map(|name| format!("SHOW CREATE TABLE {}", quote_table(name))).collect();
        let is_refused = |error: &mysql_async::Error| matches!(error, mysql_async::Error::Server(_));
        // One that is refused ends them.
        let mut shown = match connection.query_iter(statements.join("; ")).await {
            Err(error) if is_refused(&error) => {
                texts.push(None);
                continue;
            }
            shown => shown?,
        };
        for _ in now {
            let rows: Vec<Row> = match shown.collect().await {
                Err(error) if is_refused(&error) => {
                    texts.push(None);
                    break;
                }
                rows => rows?,
            };
            texts.push(rows.first().and_then(|row| row.get_opt::<String, _>(1)?.ok()));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_types_are_read_as_the_server_writes_them() {
        for (text, expected) in [
            ("tinyint(1)", SqlType::Int { bytes: 1, unsigned: false }),
            ("bigint(20) unsigned zerofill", SqlType::Int { bytes: 8, unsigned: true }),
            ("mediumint unsigned", SqlType::Int { bytes: 3, unsigned: true }),
            ("decimal(65,30) unsigned", SqlType::Decimal { precision: 65, scale: 30 }),
            ("double(10,2)", SqlType::Double),
            ("bit(64)", SqlType::Bit { width: 64 }),
            ("year(4)", SqlType::Year),
            ("time(6)", SqlType::Time { fraction: 6 }),
            ("datetime", SqlType::DateTime { fraction: 0 }),
            ("timestamp(3)", SqlType::Timestamp { fraction: 3 }),
            ("varchar(20)", SqlType::VarChar),
            ("binary(4)", SqlType::Binary { length: 4 }),
            ("geomcollection", SqlType::Geometry),
            ("point", SqlType::Geometry),
            ("vector(3)", SqlType::Vector),
            ("datetime /* mariadb-5.3 */", SqlType::DateTime { fraction: 0 }),
        ] {
            assert_eq!(parse_type(text), Some(expected), "{text}");
        }
        assert_eq!(parse_type("inet6"), Some(SqlType::Char));
        assert_eq!(parse_type("xmltype"), None);
    }

    #[test]
    fn labels_may_hold_quotes_commas_and_backslashes() {
        let labels = |text| match parse_type(text) {
            Some(SqlType::Enum { labels } | SqlType::Set { labels }) => labels.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(labels("enum('a','it''s','b,c',')','')"), ["a", "it's", "b,c", ")", ""]);
        assert_eq!(labels(r"set('back\\slash','line\nend')"), ["back\\slash", "line\nend"]);
        assert_eq!(parse_type("enum('a"), None);
    }

    #[test]
    fn only_keys_of_whole_columns_that_are_not_null_identify_rows() {
        let column = |name: &str| Column {
            name: name.into(),
            sql_type: SqlType::VarChar,
            type_text: "varchar(9)".into(),
            nullable: false,
            charset: None,
            collation: None,
        };
        let columns = [column("a"), column("b"), column("c")];
        let part = |key, column| KeyPart { key, column };
        let parts = [
            part("PRIMARY", Some("b")),
            part("PRIMARY", Some("a")),
            part("a_expression", None),
            part("half", Some("a")),
            part("half", None),
            part("unique_c", Some("c")),
        ];
        let keys = unique_keys(&columns, parts);
        let expected = [("PRIMARY", vec![1, 0]), ("unique_c", vec![2])]
            .map(|(name, columns)| UniqueKey { name: name.into(), columns });
        assert_eq!(keys, expected);
    }
}
