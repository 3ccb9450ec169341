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
//! CREATE SEQUENCE s, DROP SEQUENCE s          Sequence(s), Dropped(s): its values have row events, and are no rows
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

#[cfg(test)]
mod tests;

use super::alter::Clauses;
use super::definition::{Cursor, Ddl, NotUnderstood, Session, Token, words};
use tidegate_model::names::is_same;
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
    /// MariaDB writes its values to the binlog as rows of a table.
    Sequence {
        name: TableName,
        if_not_exists: bool,
    },
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

    /// What makes topic and table equal again.
    pub fn hint(self) -> &'static str {
        match self.adds() {
            true => "load the table again, and its topic has them; rows that went stay until consumers drop them",
            false => {
                "have consumers drop these rows, or delete the topic's records of them: the binlog does not name them"
            }
        }
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
            | Effect::Sequence { .. }
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
            Effect::Renamed { from, to, .. } if !is_same(&from.to_string(), &to.to_string()) => vec![from, to],
            _ => Vec::new(),
        };
        self.effects().into_iter().flat_map(excluded).collect()
    }

    /// What the statement makes of definitions.
    pub fn ddl(&self) -> Result<Ddl, NotUnderstood> {
        Ddl::of(self.tokens.as_ref().map_err(NotUnderstood::clone)?, self.default_database, self.session)
    }

    /// Whether the word stands anywhere in it, and is no quoted name or text.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.tokens.iter().flatten().any(|token| token.is(word))
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
            Some(
                Effect::DroppedDatabase(_)
                | Effect::Sequence { .. }
                | Effect::Rows
                | Effect::Unclear
                | Effect::Renamed { .. },
            )
            | None => StatementKind::Other,
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
                return if is_threads_own { Ok(Vec::new()) } else { self.indexed(replaces) };
            }
            if self.skip("SEQUENCE") {
                let if_not_exists = self.cursor.if_not_exists();
                return Ok(vec![Effect::Sequence { name: self.cursor.table_name()?, if_not_exists }]);
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
            if !self.cursor.skip_any(&["TABLE", "TABLES", "SEQUENCE"]) {
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
