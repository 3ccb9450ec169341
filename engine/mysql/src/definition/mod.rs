//! What a statement makes of a table's definition: the DDL of MySQL and MariaDB, as far as it decides what rows look like.
//!
//! With `binlog_row_metadata=MINIMAL` a table map has no names, and only the statements in the binlog say how a table became what it
//! is. They are read in two steps:
//!
//! ```text
//! text, session ──read──► Ddl                      nothing but the words: pure syntax
//! Ddl, definition before ──created, altered──► definition after, or `NotUnderstood`
//! ```
//!
//! *What is understood.* Everything that decides columns, their order, types (as the catalogue writes them), character sets,
//! whether they may be NULL, and indexes. Expressions, partitions and options are passed over word by word with balanced parentheses.
//! Of a collation only its character set matters here. A word that is not expected is [`NotUnderstood`]: then the table's columns are
//! unknown, as they are after any other statement that nobody explains.
//!
//! *Who is the judge.* The server: `corpus.txt` holds statements of every form, `random` makes ever new ones, and what comes out is
//! compared with the catalogue. And every table map is compared with the definition before a row is read.
//!
//! *Why a parser of our own.* The `sqlparser` crate reads expressions to the end, which we must not depend on, but neither knows what
//! the session decides (quotes, escapes, versioned comments), nor MariaDB's forms, nor which type `LONG VARCHAR` is.

mod alter;
mod collation;
mod column;
mod create;
mod cursor;
mod index;
mod session;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::charset::Charset;
use super::ddl::{Effect, Words};
use tidegate_model::names::is_same;
use tidegate_model::{Column, Groundwork, Index, IndexPart, SqlType, Table, TableName, TableParts, UniqueKey};

pub(crate) use self::cursor::Cursor;
pub use self::session::{Server, Session};
pub(crate) use self::tokens::Token;

use self::alter::Alter;
use self::collation::Choice;
pub use self::collation::TextDefault;
use self::create::Elements;
use self::index::PRIMARY;

/// What of a statement is not understood. Names words and names, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not understood")]
pub struct NotUnderstood {
    what: String,
}

impl NotUnderstood {
    pub(crate) fn new(what: &str) -> NotUnderstood {
        NotUnderstood { what: what.to_owned() }
    }

    /// Nobody knows what a statement was carried out on.
    pub fn before() -> NotUnderstood {
        NotUnderstood::new("what the table was before")
    }
}

/// A statement, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ddl {
    session: Session,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Create(Elements),
    /// CREATE TABLE … LIKE
    CreateLike(TableName),
    /// Also CREATE INDEX and DROP INDEX.
    Alter(Alter),
    /// CREATE and ALTER DATABASE, with the character set if it says one.
    Database {
        name: String,
        text: TextDefault,
        is_conditional: bool,
    },
    /// No definition is another by it, though tables may come, go and change their names.
    Nothing,
}

impl Ddl {
    /// What these words of a statement say.
    pub(crate) fn of(tokens: &[Token], default_database: &str, session: &Session) -> Result<Ddl, NotUnderstood> {
        let mut cursor = Cursor { tokens, next: 0, session, default_database };
        let kind = statement(&mut cursor)?;
        Ok(Ddl { session: session.clone(), kind })
    }

    /// The table whose definition a new one has. A temporary one is not known here.
    pub fn like(&self) -> Option<&TableName> {
        match &self.kind {
            Kind::CreateLike(table) if !self.session.is_threads_own => Some(table),
            _ => None,
        }
    }

    /// The database whose tables have, from then on, this character set and collation if they name none; whether it is made only if it is
    /// not there.
    pub fn database(&self) -> Option<(&str, &TextDefault, bool)> {
        match &self.kind {
            Kind::Database { name, text, is_conditional } => Some((name, text, *is_conditional)),
            _ => None,
        }
    }

    /// What a CREATE TABLE makes. `like` is the table that [`like`](Ddl::like) names.
    pub fn created(&self, database: TextDefault, like: Option<&Definition>) -> Result<Definition, NotUnderstood> {
        match (&self.kind, like) {
            (Kind::Create(elements), _) => elements.definition(database, &self.session),
            (Kind::CreateLike(_), Some(like)) => Ok(Definition { database, ..like.without_foreign_keys() }),
            (Kind::CreateLike(table), None) => Err(NotUnderstood::new(&format!("what table {table} is"))),
            _ => Err(NotUnderstood::new("a statement that makes no table")),
        }
    }

    /// What it makes of the table that it alters.
    pub fn altered(&self, before: &Definition) -> Result<Definition, NotUnderstood> {
        match &self.kind {
            Kind::Alter(alter) => alter.apply(before, &self.session),
            _ => Err(NotUnderstood::new("a statement that alters no table")),
        }
    }
}

/// The table that a CREATE TABLE makes which says everything itself, as SHOW CREATE TABLE prints it. `name` is what it is to be called:
/// the statement names the same table, in whatever database.
pub fn table_of(sql: &str, name: &TableName, server: Server) -> Result<Table, NotUnderstood> {
    let session = Session { server, explicit_timestamps: Some(true), ..Session::default() };
    let words = Words::of(sql, &name.database, &session);
    match words.effects().as_slice() {
        [Effect::Created { table, .. }] if is_same(&table.table, &name.table) => {}
        [Effect::Created { table, .. }] => return Err(NotUnderstood::new(&format!("a statement that makes {table}"))),
        _ => return Err(NotUnderstood::new("a text that is not one CREATE TABLE")),
    }
    Ok(words.ddl()?.created(TextDefault::default(), None)?.table(name.clone(), 1))
}

/// A statement's words, without MariaDB's SET STATEMENT before them: variables that hold for this statement alone.
pub(crate) fn words(sql: &str, session: &Session) -> Result<Vec<Token>, NotUnderstood> {
    let mut tokens = tokens::tokens(sql, session)?;
    while tokens.pop_if(|token| *token == Token::Other(';')).is_some() {}
    while session.server.is_mariadb && tokens.len() > 1 && tokens[0].is("SET") && tokens[1].is("STATEMENT") {
        let mut depth = 0;
        let is_end = |token: &Token| {
            depth += i32::from(*token == Token::Other('(')) - i32::from(*token == Token::Other(')'));
            depth == 0 && token.is("FOR")
        };
        let end = tokens.iter().position(is_end);
        tokens.drain(..=end.ok_or_else(|| NotUnderstood::new("SET STATEMENT without FOR"))?);
    }
    Ok(tokens)
}

fn statement(cursor: &mut Cursor<'_>) -> Result<Kind, NotUnderstood> {
    if cursor.skip("CREATE") {
        let replaces = cursor.skip_all(&["OR", "REPLACE"]);
        if cursor.skip_any(&["DATABASE", "SCHEMA"]) {
            let is_conditional = cursor.if_not_exists();
            let name = cursor.name()?;
            let text = database_text(cursor)?;
            return Ok(database(name, text.as_ref(), is_conditional, cursor.session));
        }
        if cursor.skip("TABLE") {
            return create::table(cursor);
        }
        if ["UNIQUE", "FULLTEXT", "SPATIAL", "INDEX", "ONLINE", "OFFLINE"].iter().any(|word| cursor.is(word)) {
            return Ok(Kind::Alter(alter::create_index(cursor, replaces)?));
        }
        return Ok(Kind::Nothing);
    }
    if cursor.skip("ALTER") {
        if cursor.skip_any(&["DATABASE", "SCHEMA"]) {
            let starts_with_option = ["DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ENCRYPTION", "READ", "COMMENT"];
            let name = match starts_with_option.iter().any(|word| cursor.is(word)) {
                true => cursor.default_database.to_owned(),
                false => cursor.name()?,
            };
            return Ok(match database_text(cursor)? {
                Some(text) => database(name, Some(&text), false, cursor.session),
                None => Kind::Nothing,
            });
        }
        while cursor.skip_any(&["ONLINE", "OFFLINE", "IGNORE"]) {}
        return if cursor.skip("TABLE") { Ok(Kind::Alter(alter::table(cursor)?)) } else { Ok(Kind::Nothing) };
    }
    if cursor.skip("DROP") {
        while cursor.skip_any(&["ONLINE", "OFFLINE"]) {}
        if cursor.skip("INDEX") {
            return Ok(Kind::Alter(alter::drop_index(cursor)?));
        }
    }
    Ok(Kind::Nothing)
}

fn database_text(cursor: &mut Cursor<'_>) -> Result<Option<Choice>, NotUnderstood> {
    let mut found = None;
    while !cursor.is_at_end() {
        match cursor.table_charset()? {
            Some(text) => found = Choice::then(found, text, cursor.session),
            None => cursor.next += 1,
        }
    }
    Ok(found)
}

/// With `text` if it says any.
fn database(name: String, text: Option<&Choice>, is_conditional: bool, session: &Session) -> Kind {
    let of_server = TextDefault { charset: session.server_charset, collation: session.server_collation.clone() };
    let text = match text {
        None => of_server,
        // Of a collation alone that fits several sets, which it is was decided before.
        Some(Choice::Ordered(_)) => TextDefault { charset: of_server.charset, collation: None },
        Some(text) => of_server.with(Some(text), &of_server, session),
    };
    Kind::Database { name, text, is_conditional }
}

/// A table's definition: its columns, and what the next statement builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    columns: Vec<Column>,
    text: TextDefault,
    database: TextDefault,
    indexes: Vec<Index>,
    /// Whether those are all. If not, they are those that identify rows.
    knows_indexes: bool,
    /// Of a CREATE TABLE that names none, the server's default, which nobody has told.
    engine: Option<Arc<str>>,
}

impl Definition {
    /// What is known of a table; without its [`Groundwork`] the columns, and the keys that identify rows.
    pub fn of(table: &Table) -> Definition {
        let groundwork = table.groundwork();
        let charset = |name: &Option<String>| name.as_deref().and_then(Charset::from_name);
        let indexes = groundwork.and_then(|groundwork| groundwork.indexes.clone());
        let part = |&column: &usize| IndexPart { column: Some(table.columns()[column].name.clone()), prefix: None };
        let keys = || {
            let keys = table.unique_keys().iter().map(|key| Index {
                name: key.name.clone(),
                unique: true,
                parts: key.columns.iter().map(part).collect(),
                for_foreign_key: None,
            });
            keys.collect()
        };
        Definition {
            columns: table.columns().to_vec(),
            text: TextDefault {
                charset: groundwork.and_then(|groundwork| charset(&groundwork.charset)),
                collation: groundwork.and_then(|groundwork| groundwork.collation.clone()),
            },
            database: TextDefault {
                charset: groundwork.and_then(|groundwork| charset(&groundwork.database_charset)),
                collation: groundwork.and_then(|groundwork| groundwork.database_collation.clone()),
            },
            knows_indexes: indexes.is_some(),
            indexes: indexes.unwrap_or_else(keys),
            engine: groundwork.and_then(|groundwork| groundwork.engine.clone()),
        }
    }

    pub fn database_text(&self) -> &TextDefault {
        &self.database
    }

    /// Of the database in which it is now.
    pub fn set_database_text(&mut self, text: TextDefault) {
        self.database = text;
    }

    /// An index has come of which nothing is known.
    pub fn forget_indexes(&mut self) {
        self.indexes.retain(|index| index.unique);
        self.knows_indexes = false;
    }

    /// As a table of this name.
    pub fn table(&self, name: TableName, version: u32) -> Table {
        let position = |part: &IndexPart| {
            let name = part.column.as_ref().filter(|_| part.prefix.is_none())?;
            let index = self.columns.iter().position(|column| is_same(&column.name, name))?;
            Some(index).filter(|&index| !self.columns[index].nullable)
        };
        let mut unique_keys: Vec<UniqueKey> = self
            .indexes
            .iter()
            .filter(|index| index.unique)
            .filter_map(|index| {
                let columns = index.parts.iter().map(position).collect::<Option<Vec<_>>>()?;
                Some(UniqueKey { name: index.name.clone(), columns })
            })
            .collect();
        unique_keys.sort_by(|a, b| (a.name != PRIMARY, &a.name).cmp(&(b.name != PRIMARY, &b.name)));
        let charset = |charset: Option<Charset>| charset.map(|charset| charset.name().to_owned());
        let groundwork = Groundwork {
            charset: charset(self.text.charset),
            database_charset: charset(self.database.charset),
            collation: self.text.collation.clone(),
            database_collation: self.database.collation.clone(),
            indexes: self.knows_indexes.then(|| self.indexes.clone()),
            engine: self.engine.clone(),
        };
        let parts = TableParts { name, version, columns: self.columns.clone(), unique_keys };
        Table::from(parts).with_groundwork(groundwork)
    }

    /// With the other answer to whether a TIMESTAMP that says nothing of NULL may be NULL, which older servers do not log: as to
    /// columns that `before` has not. None if there is no such column.
    pub fn with_other_timestamps(&self, before: Option<&Table>) -> Option<Definition> {
        let is_old = |column: &Column| before.is_some_and(|table| table.column_index(&column.name).is_some());
        let mut other = self.clone();
        let of_type = |column: &&mut Column| matches!(column.sql_type, SqlType::Timestamp { .. }) && !is_old(column);
        other.columns.iter_mut().filter(of_type).for_each(|column| column.nullable = !column.nullable);
        (other.columns != self.columns).then_some(other)
    }

    fn without_foreign_keys(&self) -> Definition {
        // Whether an index stays as one that was made for a foreign key, nobody has told.
        let certain = |index: &Index| index.for_foreign_key.filter(|was| !was);
        let indexes = self.indexes.iter().cloned().map(|index| Index { for_foreign_key: certain(&index), ..index });
        Definition { indexes: indexes.collect(), ..self.clone() }
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| is_same(&column.name, name))
    }
}

/// A character set's name as the server's catalogue has it.
fn charset_name(charset: Charset, server: &Server) -> &'static str {
    let is_new = if server.is_mariadb { server.version >= 100_600 } else { server.version >= 80_028 };
    if charset == Charset::Utf8mb3 && !is_new { "utf8" } else { charset.name() }
}
