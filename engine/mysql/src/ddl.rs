//! What a statement in the binlog does to which tables: a small, tolerant reader.
//!
//! It does not parse SQL. It recognises the statements that can touch the definition or the rows of a table without row
//! events, and takes the table names out of them:
//!
//! ```text
//! CREATE TABLE [IF NOT EXISTS] a …            Created(a)
//! ALTER TABLE a …, RENAME TO b                Altered(a), Renamed(a, b)
//! RENAME TABLE a TO b, c TO a                 Renamed(a, b), Renamed(c, a)
//! DROP TABLE a, b                             Dropped(a), Dropped(b)
//! TRUNCATE a, ALTER TABLE a DROP PARTITION p  Unlogged(a): rows went or came without row events
//! CREATE INDEX i ON a (…), DROP INDEX i ON a  Indexed(a)
//! ALTER TABLE a CONVERT TABLE b TO PARTITION  Unlogged(a), Dropped(b)
//! CREATE OR REPLACE DATABASE d                DroppedDatabase(d)
//! GRANT, ANALYZE, CREATE VIEW, DROP EVENT …   nothing: they hold no rows
//! INSERT, CALL, SELECT f(), anything else     Rows: may change any table by itself
//! ```
//!
//! Which tables a statement of the last line changes, its text does not tell: it may go through a view, a function, a
//! trigger. A server with `binlog_format=ROW` writes none, so that each is a reason to stop; only changes of the server's own
//! tables are let pass, which have no triggers and which managed servers write to as a sign of life.
//!
//! Words are told apart as the server did it (quotes, comments and escapes are the session's), and unqualified names belong to the
//! statement's default database. A statement that looks like one of these and is not read to its end has not no effect: it is
//! [`Unclear`](Effect::Unclear), a reason to stop if it names a captured table.
//!
//! *Temporary tables* hide others of their name. What a server logs of them is flagged as the thread's own ([`Session::is_threads_own`]),
//! and changes no table that has rows in the binlog; MariaDB logs their RENAME without the flag, onto names that are taken.

use super::alter::Clauses;
use super::definition::{Cursor, Ddl, NotUnderstood, Session, Token, words};
use tidegate_model::names::fold;
use tidegate_model::{NameCase, StatementKind, TableName};

/// What a statement does to one table, or to an unknown number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Created {
        table: TableName,
        if_not_exists: bool,
        /// CREATE OR REPLACE: one that was there is gone.
        replaces: bool,
    },
    Altered {
        table: TableName,
        clauses: Clauses,
    },
    Renamed {
        from: TableName,
        to: TableName,
        /// IF EXISTS: logged also where there was no such table.
        if_exists: bool,
    },
    Dropped(TableName),
    /// An index came or went: no column and no row is another.
    Indexed {
        table: TableName,
        dropped: Option<String>,
    },
    DroppedDatabase(String),
    /// Rows went or came without row events. The definition is the same.
    Unlogged {
        table: TableName,
        rows: UnloggedRows,
    },
    /// A statement that may change rows of any table by itself: it was logged in statement format.
    Rows,
    /// A statement that is not understood: it may change the definition, the name and the rows of each table that it names.
    Unclear,
}

/// How rows went or came without row events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnloggedRows {
    /// TRUNCATE, or a MEMORY table after its server has started again.
    Emptied,
    Dropped,
    /// CREATE OR REPLACE.
    Replaced,
    PartitionDropped,
    PartitionExchanged,
    /// Duplicates, by ALTER IGNORE TABLE.
    DuplicatesDropped,
    TablespaceDiscarded,
    TablespaceImported,
    /// The table has another name now.
    RenamedAway,
    /// Another table has this name now.
    RenamedOnto,
    /// The table is there, or comes from a name that is not selected, and nothing was known of it: no row of it was ever sent. Only
    /// the full load asks.
    Unseen,
    /// The values by which rows are known may be others, by an ALTER of the key's columns. Only the full load asks: rows that
    /// are read in part before and in part behind it do not make one table.
    Rewritten,
}

impl UnloggedRows {
    /// Whether rows may be there that have not been sent.
    pub fn adds(self) -> bool {
        use UnloggedRows::*;
        matches!(self, PartitionExchanged | TablespaceImported | RenamedOnto | Rewritten | Unseen)
    }

    /// What consumers of the table's topic have now.
    pub fn consequence(self) -> &'static str {
        match self {
            UnloggedRows::Emptied => "its topic still holds all rows that it had",
            UnloggedRows::Dropped => "its topic still holds the rows of the dropped table",
            UnloggedRows::Replaced => "its topic still holds the rows of the table that was replaced",
            UnloggedRows::PartitionDropped => "its topic still holds the rows of the partition",
            UnloggedRows::PartitionExchanged => {
                "its topic still holds the rows that were moved away, and lacks those that were moved here"
            }
            UnloggedRows::DuplicatesDropped => "its topic may still hold rows that were dropped as duplicates",
            UnloggedRows::TablespaceDiscarded => "its topic still holds the rows of the discarded tablespace",
            UnloggedRows::TablespaceImported => "its topic lacks the rows of the imported tablespace",
            UnloggedRows::RenamedAway => "its topic still holds the rows that have another table's name now",
            UnloggedRows::Rewritten => "its topic may hold rows under keys that they no longer have",
            UnloggedRows::Unseen => "its topic lacks the rows that it had until now",
            UnloggedRows::RenamedOnto => "its topic lacks the rows that had another table's name until now",
        }
    }
}

impl Effect {
    /// The tables of which rows went or came without row events. Of a dropped database, nobody here knows the tables.
    pub fn unlogged_rows(&self) -> Vec<(&TableName, UnloggedRows)> {
        match self {
            Effect::Created { table, replaces: true, .. } => vec![(table, UnloggedRows::Replaced)],
            Effect::Altered { table, clauses } if clauses.drops_duplicates => {
                vec![(table, UnloggedRows::DuplicatesDropped)]
            }
            Effect::Dropped(table) => vec![(table, UnloggedRows::Dropped)],
            Effect::Renamed { from, to, .. } => {
                vec![(from, UnloggedRows::RenamedAway), (to, UnloggedRows::RenamedOnto)]
            }
            Effect::Unlogged { table, rows } => vec![(table, *rows)],
            Effect::Created { .. }
            | Effect::Altered { .. }
            | Effect::Indexed { .. }
            | Effect::DroppedDatabase(_)
            | Effect::Rows
            | Effect::Unclear => Vec::new(),
        }
    }
}

/// A statement of the binlog, its words told apart.
pub struct Words<'a> {
    sql: &'a str,
    default_database: &'a str,
    session: &'a Session,
    /// An error if they cannot be told apart.
    tokens: Result<Vec<Token>, NotUnderstood>,
}

impl<'a> Words<'a> {
    pub fn of(sql: &'a str, default_database: &'a str, session: &'a Session) -> Words<'a> {
        Words { sql, default_database, session, tokens: words(sql, session) }
    }

    /// The effects of the statement in order; none for statements that leave tables alone.
    pub fn effects(&self) -> Vec<Effect> {
        let Ok(tokens) = &self.tokens else {
            return if is_about_no_table(self.sql) { Vec::new() } else { vec![Effect::Unclear] };
        };
        let cursor = Cursor { tokens, next: 0, session: self.session, default_database: self.default_database };
        let mut effects = Reader { cursor }.statement().unwrap_or_else(|NotUnderstood { .. }| vec![Effect::Unclear]);
        // Clauses are told apart by their first words here; the reader of definitions knows them whole.
        if matches!(effects[..], [Effect::Altered { .. }, .., Effect::Unclear]) && self.ddl().is_ok() {
            effects.pop();
        }
        effects
    }

    /// The tables that the statement has had for itself: it waited until every transaction that had changed them was over, and let
    /// none begin before it was done. Those of a dropped database are what `tables_of` says.
    ///
    /// Only where that is certain: a statement that was logged though it found nothing to do has waited for nobody. And only of MySQL.
    pub fn excludes(&self, tables_of: impl Fn(&str) -> Vec<TableName>) -> Vec<TableName> {
        if self.session.server.is_mariadb {
            return Vec::new();
        }
        let is_conditional = self.tokens.iter().flatten().any(|token| token.is("IF"));
        let excluded = |effect| match effect {
            Effect::Created { table, if_not_exists: false, .. } => vec![table],
            Effect::Altered { table, clauses } if clauses.has_change => vec![table],
            Effect::Indexed { table, .. } if !is_conditional => vec![table],
            Effect::Dropped(table) => vec![table],
            Effect::DroppedDatabase(database) => tables_of(&database),
            // To its own name, in whatever case, a table goes without waiting.
            Effect::Renamed { from, to, .. } if fold(&from.to_string()) != fold(&to.to_string()) => vec![from, to],
            _ => Vec::new(),
        };
        self.effects().into_iter().flat_map(excluded).collect()
    }

    /// What the statement makes of definitions.
    pub fn ddl(&self) -> Result<Ddl, NotUnderstood> {
        Ddl::of(self.tokens.as_ref().map_err(NotUnderstood::clone)?, self.default_database, self.session)
    }

    /// What sort of statement has these effects.
    pub fn kind(&self, effects: &[Effect]) -> StatementKind {
        let renames = effects.iter().any(|effect| matches!(effect, Effect::Renamed { .. }));
        match effects.first() {
            _ if renames => StatementKind::Rename,
            Some(Effect::Created { .. }) => StatementKind::Create,
            Some(Effect::Dropped(_)) => StatementKind::Drop,
            Some(Effect::Unlogged { rows: UnloggedRows::Emptied, .. }) => StatementKind::Truncate,
            Some(Effect::Unlogged { .. }) => StatementKind::Alter,
            Some(Effect::Altered { .. } | Effect::Indexed { .. }) => {
                self.index_change().unwrap_or(StatementKind::Alter)
            }
            Some(Effect::DroppedDatabase(_) | Effect::Rows | Effect::Unclear | Effect::Renamed { .. }) | None => {
                StatementKind::Other
            }
        }
    }

    /// Whether an ALTER TABLE, by its first clause, or another statement makes or drops an index.
    fn index_change(&self) -> Option<StatementKind> {
        let words: Vec<String> = self
            .tokens
            .iter()
            .flatten()
            .map_while(|token| match token {
                Token::Word(text) => Some(text.to_ascii_uppercase()),
                Token::Name(_) | Token::Other('.') => Some(String::new()),
                Token::Number(_) | Token::Text(_) | Token::Other(_) => None,
            })
            .collect();
        let verb = words.iter().position(|word| matches!(word.as_str(), "ADD" | "CREATE" | "DROP"))?;
        let mut object = words[verb + 1..].iter().map(String::as_str);
        let is_index = loop {
            match object.next()? {
                "UNIQUE" | "FULLTEXT" | "SPATIAL" | "VECTOR" | "PRIMARY" => {}
                "INDEX" | "KEY" => break true,
                _ => break false,
            }
        };
        let kind = if words[verb] == "DROP" { StatementKind::DropIndex } else { StatementKind::CreateIndex };
        is_index.then_some(kind)
    }

    /// Whether the text names the table anywhere, as a word or a quoted name: behind its database, or alone where that is the
    /// default one. A column of the same name counts too; a table that is not named may be changed all the same.
    pub fn mention(&self, table: &TableName, names: NameCase) -> bool {
        let Ok(tokens) = &self.tokens else { return true };
        let name_of = |token: &Token| match token {
            Token::Word(text) | Token::Name(text) => Some(text.clone()),
            Token::Number(_) | Token::Text(_) | Token::Other(_) => None,
        };
        tokens.iter().enumerate().any(|(index, token)| {
            let database = match tokens[..index] {
                [.., ref database, Token::Other('.')] => name_of(database),
                _ => Some(self.default_database.to_owned()),
            };
            name_of(token).is_some_and(|name| names.can_mean(&name, &table.table))
                && database.is_none_or(|database| names.can_mean(&database, &table.database))
        })
    }

    /// The first words of the statement, for messages: no literals, no values.
    pub fn first(&self) -> String {
        let words: Vec<&str> = match &self.tokens {
            Ok(tokens) => tokens
                .iter()
                .map_while(|token| match token {
                    Token::Word(text) | Token::Name(text) => Some(text.as_str()),
                    Token::Other('.') => Some("."),
                    Token::Number(_) | Token::Text(_) | Token::Other(_) => None,
                })
                .take(8)
                .collect(),
            Err(_) => {
                self.sql.split_whitespace().take_while(|word| word.chars().all(char::is_alphanumeric)).take(8).collect()
            }
        };
        words.join(" ").replace(" . ", ".")
    }
}

/// Whether a statement whose words cannot all be told apart is about accounts or routines: hashes of passwords hold any character.
fn is_about_no_table(sql: &str) -> bool {
    let mut words = sql.split_whitespace().map(str::to_ascii_uppercase);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match first.as_str() {
        "GRANT" | "REVOKE" => true,
        "CREATE" | "ALTER" | "DROP" | "RENAME" => {
            ["USER", "ROLE", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"].contains(&second.as_str())
        }
        "SET" => second == "PASSWORD",
        _ => false,
    }
}

/// First words of statements that neither hold rows nor change tables, as far as [`Reader::statement`] has not read them.
const HARMLESS: [&str; 22] = [
    "ALTER",
    "ANALYZE",
    "CHECK",
    "CHECKSUM",
    "CREATE",
    "DROP",
    "FLUSH",
    "GRANT",
    "INSTALL",
    "KILL",
    "LOCK",
    "OPTIMIZE",
    "PURGE",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "RESET",
    "REVOKE",
    "START",
    "STOP",
    "UNINSTALL",
    "UNLOCK",
];

/// First words of statements that change rows, or call what may, and no definition.
const OF_ROWS: [&str; 16] = [
    "CALL", "DELETE", "DO", "EXECUTE", "HANDLER", "IMPORT", "INSERT", "LOAD", "REPLACE", "SELECT", "SET", "TABLE",
    "UPDATE", "VALUES", "WITH", "XA",
];

/// The database of the server's own tables.
const SYSTEM: &str = "mysql";

struct Reader<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    fn statement(&mut self) -> Result<Vec<Effect>, NotUnderstood> {
        let start = self.cursor.next;
        let is_threads_own = self.cursor.session.is_threads_own;
        if self.skip("CREATE") {
            let replaces = self.cursor.skip_all(&["OR", "REPLACE"]);
            // Temporary tables never reach row events; views and routines hold no rows.
            if self.skip("TEMPORARY") {
                return Ok(Vec::new());
            }
            if self.cursor.skip_any(&["DATABASE", "SCHEMA"]) {
                let dropped = replaces.then(|| self.cursor.name()).transpose()?;
                return Ok(dropped.map(Effect::DroppedDatabase).into_iter().collect());
            }
            while self.cursor.skip_any(&["ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"]) {}
            if self.skip("INDEX") {
                return if is_threads_own { Ok(Vec::new()) } else { self.indexed(false) };
            }
            if !self.skip("TABLE") {
                return Ok(Vec::new());
            }
            let if_not_exists = self.cursor.if_not_exists();
            let table = self.cursor.table_name()?;
            let mut out = vec![Effect::Created { table, if_not_exists, replaces }];
            // With row events, the server leaves the query out.
            if self.has_query() {
                out.push(Effect::Rows);
            }
            return Ok(out);
        }
        if self.skip("ALTER") {
            let mut ignores = false;
            while self.cursor.skip_any(&["ONLINE", "OFFLINE"]) || self.cursor.is("IGNORE") {
                ignores |= self.skip("IGNORE");
            }
            return match self.skip("TABLE") {
                true if is_threads_own => Ok(Vec::new()),
                true => self.alter_table(ignores),
                false => Ok(Vec::new()),
            };
        }
        if self.skip("DROP") {
            if self.skip("TEMPORARY") {
                return Ok(Vec::new());
            }
            if self.cursor.skip_any(&["DATABASE", "SCHEMA"]) {
                self.cursor.if_exists();
                return Ok(vec![Effect::DroppedDatabase(self.cursor.name()?)]);
            }
            while self.cursor.skip_any(&["ONLINE", "OFFLINE"]) {}
            if self.skip("INDEX") {
                return if is_threads_own { Ok(Vec::new()) } else { self.indexed(true) };
            }
            if !self.cursor.skip_any(&["TABLE", "TABLES"]) {
                return Ok(Vec::new());
            }
            self.cursor.if_exists();
            let mut out = Vec::new();
            loop {
                out.push(Effect::Dropped(self.cursor.table_name()?));
                if !self.cursor.skip_other(',') {
                    break;
                }
            }
            self.skip_wait();
            self.cursor.skip_any(&["RESTRICT", "CASCADE"]);
            return self.at_end(out);
        }
        if self.skip("RENAME") {
            if !self.cursor.skip_any(&["TABLE", "TABLES"]) {
                return Ok(Vec::new());
            }
            let if_exists = self.cursor.if_exists();
            let mut out = Vec::new();
            loop {
                let from = self.cursor.table_name()?;
                self.skip_wait();
                self.cursor.expect("TO")?;
                let to = self.cursor.table_name()?;
                out.push(Effect::Renamed { from, to, if_exists });
                if !self.cursor.skip_other(',') {
                    break;
                }
            }
            let out = self.at_end(out)?;
            return Ok(if is_threads_own { Vec::new() } else { out });
        }
        if self.skip("TRUNCATE") {
            self.skip("TABLE");
            let table = self.cursor.table_name()?;
            self.skip_wait();
            let out = self.at_end(vec![Effect::Unlogged { table, rows: UnloggedRows::Emptied }])?;
            return Ok(if is_threads_own { Vec::new() } else { out });
        }
        // What is left of a comment, or nothing.
        if self.cursor.is_at_end() || self.cursor.skip_any(&HARMLESS) {
            return Ok(Vec::new());
        }
        if self.cursor.skip_all(&["LOAD", "INDEX"])
            || self.cursor.skip_all(&["SET", "PASSWORD"])
            || self.cursor.skip_all(&["SET", "DEFAULT", "ROLE"])
        {
            return Ok(Vec::new());
        }
        if let Some(table) = self.emptied_after_a_start() {
            return Ok(vec![Effect::Unlogged { table, rows: UnloggedRows::Emptied }]);
        }
        self.cursor.next = start;
        if self.changes_the_servers_own_tables()? {
            return Ok(Vec::new());
        }
        self.cursor.next = start;
        let is_of_rows = self.cursor.is_other('(') || OF_ROWS.iter().any(|word| self.cursor.is(word));
        Ok(if is_of_rows { vec![Effect::Rows] } else { vec![Effect::Rows, Effect::Unclear] })
    }

    /// The effects, if nothing follows.
    fn at_end(&self, effects: Vec<Effect>) -> Result<Vec<Effect>, NotUnderstood> {
        if self.cursor.is_at_end() { Ok(effects) } else { Err(self.cursor.not_understood()) }
    }

    /// The whole of ``DELETE FROM `a`.`b` ``: a MEMORY table, which its server has found empty after a start.
    fn emptied_after_a_start(&self) -> Option<TableName> {
        match self.cursor.tokens {
            [delete, from, Token::Name(database), Token::Other('.'), Token::Name(table)]
                if delete.is("DELETE") && from.is("FROM") =>
            {
                Some(TableName::new(database, table))
            }
            _ => None,
        }
    }

    /// A change of one table of the database `mysql`, without a query or a function in it.
    fn changes_the_servers_own_tables(&mut self) -> Result<bool, NotUnderstood> {
        let changes = if self.cursor.skip_any(&["INSERT", "REPLACE"]) {
            self.skip("IGNORE");
            self.skip("INTO");
            true
        } else {
            self.skip("UPDATE") || self.cursor.skip_all(&["DELETE", "FROM"])
        };
        let is_own = |name: TableName| &*name.database == SYSTEM;
        if !changes || !self.cursor.table_name().is_ok_and(is_own) || self.has_query() {
            return Ok(false);
        }
        let rest = self.rest();
        // Behind the name: columns, or what a change of one table goes on with.
        let is_one_table = match rest.first() {
            None | Some(Token::Other('(')) => true,
            Some(token) => ["SET", "VALUES", "VALUE", "WHERE", "LIMIT"].into_iter().any(|word| token.is(word)),
        };
        let calls = rest.windows(2).any(|pair| {
            let may_call = match &pair[0] {
                Token::Word(_) => !["VALUES", "VALUE", "IN", "NOW"].into_iter().any(|word| pair[0].is(word)),
                Token::Name(_) => true,
                Token::Number(_) | Token::Text(_) | Token::Other(_) => false,
            };
            may_call && pair[1] == Token::Other('(')
        });
        Ok(is_one_table && !calls)
    }

    /// Whether a query follows: SELECT, TABLE t, VALUES ROW(…). In a definition all three words are quoted.
    fn has_query(&self) -> bool {
        let rest = self.rest();
        rest.iter().any(|token| token.is("SELECT") || token.is("TABLE"))
            || rest.windows(2).any(|pair| pair[0].is("VALUES") && pair[1].is("ROW"))
    }

    /// Behind INDEX: `i [USING …] ON a`.
    fn indexed(&mut self, drops: bool) -> Result<Vec<Effect>, NotUnderstood> {
        if drops {
            self.cursor.if_exists()
        } else {
            self.cursor.if_not_exists()
        };
        let index = self.cursor.name()?;
        let on = self.rest().iter().position(|token| token.is("ON"));
        self.cursor.next += on.ok_or_else(|| self.cursor.not_understood())? + 1;
        Ok(vec![Effect::Indexed { table: self.cursor.table_name()?, dropped: drops.then_some(index) }])
    }

    fn alter_table(&mut self, ignores: bool) -> Result<Vec<Effect>, NotUnderstood> {
        self.cursor.if_exists();
        let table = self.cursor.table_name()?;
        self.skip_wait();
        let rest = self.rest();
        let follows = |words: &[&str]| {
            let are = |part: &[Token]| part.iter().zip(words).all(|(token, word)| token.is(word));
            rest.windows(words.len()).position(are).map(|at| at + words.len())
        };
        let unlogged = |table: &TableName, rows| Effect::Unlogged { table: table.clone(), rows };
        if follows(&["EXCHANGE", "PARTITION"]).is_some() {
            // Rows move between the two tables.
            let with = follows(&["WITH", "TABLE"]).ok_or_else(|| self.cursor.not_understood())?;
            self.cursor.next += with;
            let other = self.cursor.table_name()?;
            return Ok([&table, &other].map(|table| unlogged(table, UnloggedRows::PartitionExchanged)).into());
        }
        if follows(&["CONVERT", "PARTITION"]).is_some() {
            let to = follows(&["TO", "TABLE"]).ok_or_else(|| self.cursor.not_understood())?;
            self.cursor.next += to;
            let made = self.cursor.table_name()?;
            let created = Effect::Created { table: made.clone(), if_not_exists: false, replaces: false };
            return Ok(vec![
                unlogged(&table, UnloggedRows::PartitionDropped),
                created,
                unlogged(&made, UnloggedRows::RenamedOnto),
            ]);
        }
        if let Some(at) = follows(&["CONVERT", "TABLE"]) {
            self.cursor.next += at;
            let taken = self.cursor.table_name()?;
            return Ok(vec![unlogged(&table, UnloggedRows::PartitionExchanged), Effect::Dropped(taken)]);
        }
        if follows(&["DROP", "PARTITION"]).or(follows(&["TRUNCATE", "PARTITION"])).is_some() {
            return Ok(vec![unlogged(&table, UnloggedRows::PartitionDropped)]);
        }
        if rest.iter().any(|token| token.is("TABLESPACE")) {
            for (verb, rows) in
                [("DISCARD", UnloggedRows::TablespaceDiscarded), ("IMPORT", UnloggedRows::TablespaceImported)]
            {
                if rest[0].is(verb) {
                    return Ok(vec![unlogged(&table, rows)]);
                }
            }
        }
        let (clauses, renamed) = Clauses::read(rest, ignores);
        let is_unclear = clauses.has_unclear;
        let mut out = vec![Effect::Altered { table: table.clone(), clauses }];
        if let Some(at) = renamed {
            self.cursor.next += at;
            out.push(Effect::Renamed { from: table, to: self.cursor.table_name()?, if_exists: false });
        }
        out.extend(is_unclear.then_some(Effect::Unclear));
        Ok(out)
    }

    /// MariaDB's bound for the wait for a lock.
    fn skip_wait(&mut self) {
        if self.skip("NOWAIT") {
            return;
        }
        if self.cursor.is("WAIT") && matches!(self.cursor.peek_at(1), Some(Token::Number(_))) {
            self.cursor.next += 2;
        }
    }

    fn rest(&self) -> &'a [Token] {
        &self.cursor.tokens[self.cursor.next..]
    }

    fn skip(&mut self, word: &str) -> bool {
        self.cursor.skip(word)
    }
}

#[cfg(test)]
pub(crate) fn effects(sql: &str, default_database: &str) -> Vec<Effect> {
    Words::of(sql, default_database, &Session::of_version(90_704)).effects()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let drawn: Vec<String> = effects(sql, "shop")
            .into_iter()
            .map(|effect| match effect {
                Effect::Created { table, replaces: true, .. } => format!("replaced {table}"),
                Effect::Created { table, if_not_exists: false, .. } => format!("created {table}"),
                Effect::Created { table, if_not_exists: true, .. } => format!("created? {table}"),
                Effect::Altered { table, .. } => format!("altered {table}"),
                Effect::Renamed { from, to, if_exists: false } => format!("renamed {from} {to}"),
                Effect::Renamed { from, to, if_exists: true } => format!("renamed? {from} {to}"),
                Effect::Dropped(table) => format!("dropped {table}"),
                Effect::DroppedDatabase(name) => format!("dropped database {name}"),
                Effect::Unlogged { table, rows } => format!("{rows:?} {table}"),
                Effect::Indexed { table, dropped: None } => format!("indexed {table}"),
                Effect::Indexed { table, dropped: Some(index) } => format!("indexed {table} less {index}"),
                Effect::Rows => "rows".to_owned(),
                Effect::Unclear => "unclear".to_owned(),
            })
            .collect();
        assert_eq!(drawn.join(", "), expected, "{sql}");
    }

    #[test]
    fn sorts_of_statements() {
        let session = Session::of_version(90_704);
        let sort = |sql| {
            let words = Words::of(sql, "shop", &session);
            words.kind(&words.effects())
        };
        assert_eq!(sort("CREATE TABLE a (i INT, INDEX (i))"), StatementKind::Create);
        assert_eq!(sort("ALTER TABLE `add` ADD COLUMN `index` INT"), StatementKind::Alter);
        assert_eq!(sort("ALTER TABLE a ADD INDEX (i)"), StatementKind::CreateIndex);
        assert_eq!(sort("alter table a add primary key (i)"), StatementKind::CreateIndex);
        assert_eq!(sort("ALTER TABLE shop.a DROP INDEX i"), StatementKind::DropIndex);
        assert_eq!(sort("ALTER TABLE a DROP COLUMN i, ADD INDEX (b)"), StatementKind::Alter);
        assert_eq!(sort("ALTER TABLE a ADD COLUMN b INT, RENAME TO b"), StatementKind::Rename);
        assert_eq!(sort("ALTER TABLE a DROP PARTITION p"), StatementKind::Alter);
        assert_eq!(sort("CREATE UNIQUE INDEX i ON a (b)"), StatementKind::CreateIndex);
        assert_eq!(sort("DROP INDEX i ON a"), StatementKind::DropIndex);
        assert_eq!(sort("RENAME TABLE a TO b"), StatementKind::Rename);
        assert_eq!(sort("DROP TABLE a, b"), StatementKind::Drop);
        assert_eq!(sort("TRUNCATE a"), StatementKind::Truncate);
        assert_eq!(sort("DROP DATABASE shop"), StatementKind::Other);
    }

    #[test]
    fn statements_and_the_tables_they_touch() {
        check("CREATE TABLE a (id INT)", "created shop.a");
        check("create table if not exists `my db`.`a``b` LIKE c", "created? my db.a`b");
        check("CREATE OR REPLACE TABLE a (x INT)", "replaced shop.a");
        check("CREATE TEMPORARY TABLE a (id INT)", "");
        check("ALTER TABLE a ADD COLUMN b INT AFTER c", "altered shop.a");
        check("ALTER TABLE a RENAME TO other.b", "altered shop.a, renamed shop.a other.b");
        check("ALTER TABLE a RENAME COLUMN x TO y", "altered shop.a");
        check("ALTER TABLE a DROP PARTITION p0", "PartitionDropped shop.a");
        check("ALTER TABLE a TRUNCATE PARTITION p0, p1", "PartitionDropped shop.a");
        check("ALTER TABLE a REORGANIZE PARTITION p0 INTO (PARTITION p1 VALUES LESS THAN (3))", "altered shop.a");
        check(
            "ALTER TABLE a EXCHANGE PARTITION p0 WITH TABLE x.b WITHOUT VALIDATION",
            "PartitionExchanged shop.a, PartitionExchanged x.b",
        );
        check("ALTER TABLE a DISCARD TABLESPACE", "TablespaceDiscarded shop.a");
        check("ALTER TABLE a IMPORT PARTITION p0 TABLESPACE", "TablespaceImported shop.a");
        check("RENAME TABLE a TO a_old, x.a_new TO a", "renamed shop.a shop.a_old, renamed x.a_new shop.a");
        check("DROP TABLE IF EXISTS `a`,`b` /* generated by server */", "dropped shop.a, dropped shop.b");
        check("DROP DATABASE IF EXISTS shop", "dropped database shop");
        check("TRUNCATE a", "Emptied shop.a");
        check("TRUNCATE TABLE x.a", "Emptied x.a");
        check("TRUNCATE TABLE `x`.`a` /* generated by server, implicitly emptying in-memory table */", "Emptied x.a");
        check("DELETE FROM `x`.`a`", "Emptied x.a");
        check("DROP INDEX IF EXISTS `i` ON a", "indexed shop.a less i");
        check("CREATE INDEX i USING BTREE ON x.a (b)", "indexed x.a");
        check("CREATE VIEW i AS SELECT 1", "");
        check("CREATE DEFINER=`root`@`%` VIEW v AS SELECT 1", "");
        check("GRANT SELECT ON shop.* TO u", "");
    }

    #[test]
    fn tables_that_a_statement_has_for_itself() {
        let excluded = |sql: &str, session: &Session| {
            let tables = Words::of(sql, "shop", session).excludes(|database| vec![TableName::new(database, "all")]);
            tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let mysql = Session::of_version(90_704);
        for (sql, expected) in [
            ("CREATE TABLE a (id INT)", "shop.a"),
            ("CREATE TABLE IF NOT EXISTS a (id INT)", ""),
            ("CREATE TEMPORARY TABLE a (id INT)", ""),
            ("ALTER TABLE a ADD b INT, ALGORITHM=INSTANT", "shop.a"),
            ("ALTER TABLE a LOCK=NONE, COMMENT='IF'", "shop.a"),
            ("ALTER TABLE a ADD (b INT, c INT), ADD INDEX (b)", "shop.a"),
            ("ALTER TABLE a DROP b, DROP KEY i, ADD KEY i (c)", "shop.a"),
            ("ALTER TABLE a RENAME COLUMN b TO c, RENAME COLUMN c TO b", "shop.a"),
            ("ALTER TABLE a RENAME COLUMN b TO b", ""),
            // Nothing to do: it waits for nobody.
            ("ALTER TABLE a", ""),
            ("ALTER TABLE a ALGORITHM=INPLACE, LOCK=NONE", ""),
            ("ALTER TABLE a ADD COLUMN IF NOT EXISTS b INT", ""),
            ("ALTER TABLE a DROP KEY i, ADD KEY i (n)", ""),
            ("ALTER TABLE a DROP PRIMARY KEY, ADD PRIMARY KEY (id)", ""),
            ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 1)", ""),
            ("ALTER TABLE a ALTER CHECK c ENFORCED", ""),
            ("ALTER TABLE a CONVERT TO CHARACTER SET utf8mb4", ""),
            ("ALTER TABLE a RENAME TO shop.A", ""),
            ("ALTER TABLE a RENAME TO b", "shop.a shop.b"),
            ("RENAME TABLE a TO b, c TO a", "shop.a shop.b shop.c shop.a"),
            ("DROP TABLE IF EXISTS a, x.b", "shop.a x.b"),
            ("DROP DATABASE x", "x.all"),
            ("CREATE INDEX i ON a (b)", "shop.a"),
            ("CREATE TRIGGER g BEFORE INSERT ON a FOR EACH ROW SET @a = 1", ""),
            ("ANALYZE TABLE a", ""),
        ] {
            assert_eq!(excluded(sql, &mysql), expected, "{sql}");
        }
        let mut mariadb = Session::of_version(101_118);
        mariadb.server.is_mariadb = true;
        assert_eq!(excluded("ALTER TABLE a ADD b INT", &mariadb), "");
    }

    #[test]
    fn what_may_change_rows_by_itself() {
        for sql in [
            "INSERT INTO a VALUES (1)",
            "UPDATE a, b SET a.x = b.x",
            "DELETE FROM a",
            "DELETE FROM `x`.`a` WHERE id = 1",
            "REPLACE a VALUES (1)",
            "LOAD DATA INFILE 'f' INTO TABLE a",
            "WITH q AS (SELECT 1) DELETE FROM a",
            "SELECT `shop`.`f`(1)",
            "DO f()",
            "CALL p()",
            "SET @x = f()",
            "(SELECT f())",
            "VALUES ROW(f())",
            "EXECUTE p",
            "IMPORT TABLE FROM 'a.sdi'",
            "INSERT INTO mysql.t SELECT * FROM shop.v",
            "INSERT INTO mysql.t (id) VALUES (`shop`.`f`(1))",
            "INSERT INTO mysql.t (id) VALUES (f (1))",
            "UPDATE mysql.t, shop.a SET a.x = 1",
            "UPDATE mysql.t AS t JOIN shop.a SET a.x = 1",
            "UPDATE mysql.t SET x = 1 WHERE id IN (TABLE shop.v)",
        ] {
            check(sql, "rows");
        }
        check("CREATE TABLE b SELECT * FROM a", "created shop.b, rows");
        check("CREATE TABLE b (id INT) AS SELECT f() AS id", "created shop.b, rows");
        check("CREATE TABLE b TABLE a", "created shop.b, rows");
        check("CREATE TABLE b (id INT) VALUES ROW(1)", "created shop.b, rows");
    }

    #[test]
    fn what_a_server_writes_beside_rows() {
        for sql in [
            "",
            "# Dummy event replacing event type 160 that slave cannot handle.",
            "/* nothing */",
            "GRANT SELECT ON shop.* TO u",
            "SET PASSWORD FOR 'u'@'%'='*8E'",
            "SET DEFAULT ROLE r TO u",
            "RENAME USER a TO b",
            "ALTER USER u IDENTIFIED BY 'x'",
            "ALTER DATABASE shop CHARACTER SET latin1",
            "CREATE DATABASE shop",
            "ANALYZE TABLE a",
            "OPTIMIZE TABLE a",
            "REPAIR TABLE a",
            "FLUSH PRIVILEGES",
            "CREATE DEFINER=`root`@`%` PROCEDURE `p`() BEGIN DROP TABLE a; DELETE FROM a; END",
            "CREATE DEFINER=`root`@`%` FUNCTION `f`() RETURNS INT BEGIN INSERT INTO a VALUES (1); RETURN 1; END",
            "CREATE DEFINER=`root`@`%` TRIGGER t AFTER INSERT ON b FOR EACH ROW INSERT INTO a VALUES (1)",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO TRUNCATE a",
            "ALTER EVENT e DISABLE",
            "DROP PROCEDURE p",
            "DROP TRIGGER shop.t",
            "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `a`",
            "CREATE TEMPORARY TABLE a SELECT 1",
            "CREATE SPATIAL REFERENCE SYSTEM 1 NAME 'n' DEFINITION 'd'",
            "INSERT INTO mysql.rds_heartbeat2(id, value) values (1,1600000000) ON DUPLICATE KEY UPDATE value = 1600000000",
            "DELETE FROM mysql.rds_sysinfo where name = 'innodb_txn_key'",
        ] {
            check(sql, "");
        }
        let rows = "CREATE TABLE `b` (\n  `select` int DEFAULT NULL COMMENT 'TABLE'\n) PARTITION BY RANGE (`select`) \
                    (PARTITION p VALUES LESS THAN (3)) START TRANSACTION";
        check(rows, "created shop.b");
    }

    #[test]
    fn comments_are_skipped_and_version_comments_are_read() {
        check("/* hi */ -- there\n ALTER /*!50101 ONLINE */ TABLE a ADD b INT # end", "altered shop.a");
        check("/*!50003 DROP TABLE a */", "dropped shop.a");
        check("ALTER TABLE a COMMENT 'RENAME TO b'", "altered shop.a");
    }

    fn of(session: &Session, sql: &str) -> String {
        let effects = Words::of(sql, "shop", session).effects();
        let words = effects.iter().map(|effect| match effect {
            Effect::Created { table, replaces, .. } => format!("created {table} {replaces}"),
            Effect::Renamed { from, to, if_exists } => format!("renamed {from} {to} {if_exists}"),
            other => format!("{other:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn mariadbs_own_forms_are_read() {
        let mut mariadb = Session::of_version(101_118);
        mariadb.server.is_mariadb = true;
        for (sql, expected) in [
            ("RENAME TABLE IF EXISTS a TO b, c TO a", "renamed shop.a shop.b true, renamed shop.c shop.a true"),
            ("RENAME TABLE a WAIT 5 TO b, c NOWAIT TO a", "renamed shop.a shop.b false, renamed shop.c shop.a false"),
            ("RENAME TABLE a TO b SOMETHING NEW", "Unclear"),
            ("ALTER TABLE a NOWAIT RENAME TO b", "Altered, renamed shop.a shop.b false"),
            ("ALTER TABLE a WAIT 5 RENAME b", "Altered, renamed shop.a shop.b false"),
            ("ALTER TABLE a NOWAIT IMPORT TABLESPACE", "Unlogged"),
            ("ALTER TABLE a CONVERT PARTITION p TO TABLE b", "Unlogged, created shop.b false, Unlogged"),
            ("ALTER TABLE a CONVERT TABLE b TO PARTITION p VALUES LESS THAN (2)", "Unlogged, Dropped"),
            ("ALTER TABLE a CONVERT TO CHARACTER SET latin1, PAGE_CHECKSUM=1", "Altered"),
            ("ALTER TABLE a SOMETHING NEW", "Altered, Unclear"),
            ("ALTER TABLE [a] ADD x INT", "Unclear"),
            ("CREATE OR REPLACE DATABASE d", "DroppedDatabase"),
            (
                "SET STATEMENT max_statement_time=(1+1), lock_wait_timeout=1 FOR ALTER TABLE a RENAME b",
                "Altered, renamed shop.a shop.b false",
            ),
            ("SET STATEMENT max_statement_time=1 FOR DELETE FROM a", "Rows"),
            ("SET STATEMENT max_statement_time=1", "Unclear"),
            ("DROP TABLE a, b WAIT 3", "Dropped, Dropped"),
            ("TRUNCATE TABLE a NOWAIT", "Unlogged"),
            ("SOMETHING NEW a", "Rows, Unclear"),
        ] {
            assert_eq!(of(&mariadb, sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_unclear_unless_it_is_about_no_table() {
        let plain = Session::of_version(90_704);
        for (sql, expected) in [
            ("CREATE USER 'u'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$\\", ""),
            ("alter  user u IDENTIFIED BY '", ""),
            ("GRANT SELECT ON shop.* TO 'u", ""),
            ("SET PASSWORD FOR u = '", ""),
            ("ALTER TABLE a COMMENT '", "Unclear"),
            ("SET x = '", "Unclear"),
            ("CREATE TABLE user (a INT COMMENT '", "Unclear"),
        ] {
            assert_eq!(of(&plain, sql), expected, "{sql}");
        }
    }

    #[test]
    fn statements_on_temporary_tables_touch_no_other() {
        let own = Session { is_threads_own: true, ..Session::of_version(90_704) };
        for (sql, expected) in [
            ("ALTER TABLE a ADD x INT", ""),
            ("RENAME TABLE a TO b", ""),
            ("TRUNCATE a", ""),
            ("CREATE INDEX i ON a (x)", ""),
            ("CREATE TABLE b LIKE a", "created shop.b false"),
            ("INSERT INTO b SELECT * FROM a", "Rows"),
            ("DROP TABLE a", "Dropped"),
        ] {
            assert_eq!(of(&own, sql), expected, "{sql}");
        }
    }

    #[test]
    fn words_are_told_apart_as_the_session_did() {
        let plain = Session::of_version(90_704);
        let no_escapes = Session { sql_mode: Session::NO_BACKSLASH_ESCAPES, ..plain.clone() };
        let renames = "ALTER TABLE a ADD z VARCHAR(9) DEFAULT '\\', RENAME TO b";
        assert_eq!(of(&no_escapes, renames), "Altered, renamed shop.a shop.b false");
        assert_eq!(of(&plain, renames), "Unclear");
        assert_eq!(of(&plain, "ALTER TABLE --\r\n a RENAME b"), "Altered, renamed shop.a shop.b false");
        assert_eq!(of(&plain, "--\r\n-- x\r\nTRUNCATE a"), "Unlogged");
        assert_eq!(
            of(&no_escapes, "CREATE TABLE p (a VARCHAR(9) DEFAULT '\\', q TEXT COMMENT 'SELECT')"),
            "created shop.p false"
        );
    }

    #[test]
    fn text_that_breaks_off_is_not_a_panic() {
        let sql = "CREATE TABLE IF NOT EXISTS `a`.`b` (x ENUM('a','''b') /* c */ COMMENT \"d\") -- e";
        for end in 0..sql.len() {
            let session = Session::of_version(90_704);
            let words = Words::of(&sql[..end], "shop", &session);
            words.effects();
            words.mention(&TableName::new("a", "b"), NameCase::Folded);
            words.first();
        }
    }

    #[test]
    fn messages_show_words_but_no_values() {
        let session = Session::of_version(90_704);
        let first = |sql| Words::of(sql, "shop", &session).first();
        assert_eq!(first("UPDATE `shop`.accounts SET pin = '1234'"), "UPDATE shop.accounts SET pin");
        assert_eq!(first("DELETE FROM t WHERE x LIKE \"secret\""), "DELETE FROM t WHERE x LIKE");
        assert_eq!(first("DELETE FROM t WHERE x = 'secret"), "DELETE FROM t WHERE x");
    }

    #[test]
    fn a_table_is_mentioned_by_word() {
        let session = Session::of_version(90_704);
        let mentions =
            |sql, database, names| Words::of(sql, database, &session).mention(&TableName::new("shop", "orders"), names);
        let folded = |sql, database| mentions(sql, database, NameCase::Folded);
        assert!(folded("DELETE a FROM x JOIN `Orders` a", "shop"));
        assert!(folded("DELETE a FROM x JOIN Shop . `Orders` a", "other"));
        assert!(folded("UPDATE x SET orders = 1", "shop"));
        assert!(!folded("DELETE FROM orders_old WHERE note = 'orders'", "shop"));
        assert!(!folded("DELETE FROM orders", "other"));
        assert!(!folded("INSERT INTO other.orders VALUES (1)", "shop"));
        assert!(!mentions("DELETE FROM Orders WHERE id = 1", "shop", NameCase::Exact));
    }
}
