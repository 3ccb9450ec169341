//! ALTER TABLE, and CREATE and DROP INDEX, which are clauses of it.
//!
//! The server gathers all clauses before it does anything, and so do we: what is dropped, what gets a new definition in its place, and
//! then, in the order of the statement, what is new or has another place. Names behind AFTER are those of the new columns, names in
//! keys of old ones those of the old.

use std::sync::Arc;

use super::collation::{Choice, TextDefault};
use super::column::{ColumnSpec, column, convert};
use super::create::{Elements, differ, not_null, period};
use super::cursor::{Cursor, Read};
use super::index::{
    IndexKind, IndexSpec, PRIMARY, Period, add, element, index_type, is_no_column, parts, refit, succeed,
};
use super::session::{Server, Session};
use super::{Definition, NotUnderstood};
use tidegate_model::names::is_same;
use tidegate_model::{Column, Index, IndexPart};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alter {
    columns_dropped: Vec<Dropped>,
    columns: Vec<Placed>,
    columns_renamed: Vec<Renamed>,
    indexes_dropped: Vec<Dropped>,
    /// By DROP CONSTRAINT: there need not be an index.
    constraints_dropped: Vec<String>,
    indexes_renamed: Vec<Renamed>,
    indexes: Vec<IndexSpec>,
    periods: Vec<Period>,
    text: Option<Choice>,
    /// CONVERT TO: of all columns.
    converts: bool,
    /// MariaDB: of text to come, where CONVERT TO says `text` of what is there.
    text_to_come: Option<Choice>,
    is_of_default_database: bool,
    engine: Option<Engine>,
}

/// What ENGINE says; none if it cannot be read.
type Engine = Option<Arc<str>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Dropped {
    name: String,
    if_exists: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Renamed {
    from: String,
    to: String,
    if_exists: bool,
}

/// A column with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    spec: ColumnSpec,
    /// Which it replaces; none if it is new.
    replaces: Option<String>,
    /// IF EXISTS, or IF NOT EXISTS of a new one.
    is_conditional: bool,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Where it was, or at the end.
    Kept,
    First,
    After(String),
}

/// First words of clauses that are the only one of their statement, and leave the definition as it is.
const ALONE: [&str; 11] = [
    "ANALYZE",
    "CHECK",
    "COALESCE",
    "DISCARD",
    "EXCHANGE",
    "IMPORT",
    "OPTIMIZE",
    "REBUILD",
    "REORGANIZE",
    "REPAIR",
    "TRUNCATE",
];

/// First words of options and of clauses without effect on what is kept here.
const WITHOUT_EFFECT: [&str; 44] = [
    "ALGORITHM",
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "DATA",
    "DELAY_KEY_WRITE",
    "DISABLE",
    "ENABLE",
    "ENCRYPTED",
    "ENCRYPTION",
    "ENCRYPTION_KEY_ID",
    "ENGINE_ATTRIBUTE",
    "FORCE",
    "IETF_QUOTES",
    "INDEX",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "NOWAIT",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PASSWORD",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SECONDARY_LOAD",
    "SECONDARY_UNLOAD",
    "SEQUENCE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLESPACE",
    "TRANSACTIONAL",
    "UNION",
    "WAIT",
];

/// Behind ALTER TABLE.
pub(super) fn table(cursor: &mut Cursor<'_>) -> Read<Alter> {
    cursor.if_exists();
    let name = cursor.table_name()?;
    if cursor.skip("WAIT") {
        cursor.next += 1;
    } else {
        cursor.skip("NOWAIT");
    }
    let is_of_default_database = *name.database == *cursor.default_database;
    let mut alter = Alter { is_of_default_database, ..Alter::default() };
    while !cursor.is_at_end() {
        alter.clause(cursor)?;
        // Partitions, and some options, follow without a comma.
        cursor.skip_other(',');
    }
    Ok(alter)
}

/// Behind CREATE: `UNIQUE INDEX i USING BTREE ON t (a)`.
pub(super) fn create_index(cursor: &mut Cursor<'_>, replaces: bool) -> Read<Alter> {
    while cursor.skip_any(&["ONLINE", "OFFLINE"]) {}
    let kind = if cursor.skip("UNIQUE") { IndexKind::Unique } else { IndexKind::Plain };
    cursor.skip_any(&["FULLTEXT", "SPATIAL"]);
    cursor.expect("INDEX")?;
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.name()?;
    index_type(cursor)?;
    cursor.expect("ON")?;
    cursor.table_name()?;
    let parts = parts(cursor)?;
    let replaced = replaces.then(|| Dropped { name: name.clone(), if_exists: true });
    Ok(Alter {
        indexes: vec![IndexSpec { name: Some(name), kind, parts, period: None, if_not_exists }],
        indexes_dropped: replaced.into_iter().collect(),
        ..Alter::default()
    })
}

/// Behind DROP INDEX.
pub(super) fn drop_index(cursor: &mut Cursor<'_>) -> Read<Alter> {
    let if_exists = cursor.if_exists();
    let name = cursor.name()?;
    cursor.expect("ON")?;
    cursor.table_name()?;
    Ok(Alter { indexes_dropped: vec![Dropped { name, if_exists }], ..Alter::default() })
}

impl Alter {
    fn clause(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        if cursor.skip("ADD") {
            self.add(cursor)
        } else if cursor.skip("DROP") {
            self.drop(cursor)
        } else if cursor.skip("MODIFY") {
            cursor.skip("COLUMN");
            let is_conditional = cursor.if_exists();
            let spec = column(cursor, &mut self.indexes)?;
            let replaces = Some(spec.name.clone());
            self.place(cursor, spec, replaces, is_conditional)
        } else if cursor.skip("CHANGE") {
            cursor.skip("COLUMN");
            let is_conditional = cursor.if_exists();
            let replaces = Some(cursor.name()?);
            let spec = column(cursor, &mut self.indexes)?;
            self.place(cursor, spec, replaces, is_conditional)
        } else if cursor.skip("RENAME") {
            self.rename(cursor)
        } else if cursor.skip("ALTER") {
            // Defaults, visibility, constraints that are enforced or not.
            cursor.rest_of_part()
        } else if cursor.skip("CONVERT") {
            if cursor.skip("PARTITION") || cursor.skip("TABLE") {
                cursor.rest();
                return Ok(());
            }
            cursor.expect("TO")?;
            let before = self.text.take().filter(|_| cursor.session.server.is_mariadb);
            self.text_to_come = self.text_to_come.take().or(before);
            match cursor.table_charset()? {
                Some(charset) => self.text = Some(charset),
                None => return Err(cursor.not_understood()),
            }
            self.converts = true;
            // A collation of the same character set.
            if let Some(Choice::Named(_, collation)) = cursor.table_charset()?
                && let Some(Choice::Named(_, of_charset)) = &mut self.text
            {
                *of_charset = collation;
            }
            Ok(())
        } else if cursor.skip_all(&["ORDER", "BY"]) {
            order_by(cursor)
        } else if cursor.skip("PARTITION") || cursor.are(&["REMOVE", "PARTITIONING"]) {
            cursor.rest();
            Ok(())
        } else if (cursor.is("WITHOUT") || cursor.is("WITH"))
            && cursor.peek_at(1).is_some_and(|token| token.is("VALIDATION"))
        {
            cursor.next += 2;
            Ok(())
        } else if cursor.are(&["CHECK", "PARTITION"]) || ALONE.iter().any(|word| cursor.is(word) && *word != "CHECK") {
            cursor.rest();
            Ok(())
        } else if let Some(charset) = cursor.table_charset()? {
            self.say(charset, cursor);
            Ok(())
        } else if cursor.skip("ENGINE") {
            self.engine = Some(cursor.engine());
            self.option(cursor)
        } else if WITHOUT_EFFECT.iter().any(|word| cursor.skip(word)) {
            self.option(cursor)
        } else {
            Err(cursor.not_understood())
        }
    }

    /// An option of the table, apart from CONVERT TO.
    fn say(&mut self, charset: Choice, cursor: &Cursor<'_>) {
        let is_to_come = self.converts && cursor.session.server.is_mariadb;
        let text = if is_to_come { &mut self.text_to_come } else { &mut self.text };
        *text = Choice::then(text.take(), charset, cursor.session);
    }

    /// What follows an option's name; other options may follow it without a comma.
    fn option(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        cursor.skip_all(&["DIRECTORY"]);
        cursor.skip_other('=');
        while let Some(token) = cursor.peek() {
            if cursor.is_other(',')
                || cursor.is_other(')')
                || token.is("PARTITION")
                || cursor.are(&["REMOVE", "PARTITIONING"])
            {
                break;
            } else if let Some(charset) = cursor.table_charset()? {
                self.say(charset, cursor);
            } else if cursor.skip("ENGINE") {
                self.engine = Some(cursor.engine());
            } else if cursor.is_other('(') {
                cursor.parentheses()?;
            } else {
                cursor.next += 1;
            }
        }
        Ok(())
    }

    fn add(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        if cursor.skip("PARTITION") {
            cursor.rest();
            return Ok(());
        }
        if cursor.are(&["SYSTEM", "VERSIONING"]) {
            return Err(NotUnderstood::new("system versioning"));
        }
        if cursor.are(&["PERIOD", "FOR"]) {
            self.periods.push(period(cursor)?);
            return Ok(());
        }
        if is_no_column(cursor) {
            self.indexes.extend(element(cursor)?);
            return Ok(());
        }
        cursor.skip("COLUMN");
        let is_conditional = cursor.if_not_exists();
        if cursor.skip_other('(') {
            let mut elements = Elements::default();
            elements.read(cursor)?;
            let placed = |spec| Placed { spec, replaces: None, is_conditional, place: Place::Kept };
            self.columns.extend(elements.columns.into_iter().map(placed));
            self.indexes.extend(elements.indexes);
            self.periods.extend(elements.periods);
            return Ok(());
        }
        let mut own = Vec::new();
        let spec = column(cursor, &mut own)?;
        if is_conditional && !own.is_empty() {
            return Err(NotUnderstood::new("a key of a column that may be there already"));
        }
        self.indexes.extend(own);
        self.place(cursor, spec, None, is_conditional)
    }

    fn place(
        &mut self,
        cursor: &mut Cursor<'_>,
        spec: ColumnSpec,
        replaces: Option<String>,
        is_conditional: bool,
    ) -> Read<()> {
        let place = if cursor.skip("FIRST") {
            Place::First
        } else if cursor.skip("AFTER") {
            Place::After(cursor.name()?)
        } else {
            Place::Kept
        };
        let is_over = cursor.is_at_end()
            || cursor.is_other(',')
            || cursor.is("PARTITION")
            || cursor.are(&["REMOVE", "PARTITIONING"]);
        if !is_over {
            return Err(cursor.not_understood());
        }
        self.columns.push(Placed { spec, replaces, is_conditional, place });
        Ok(())
    }

    fn drop(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        if cursor.skip("PARTITION") {
            cursor.rest();
        } else if cursor.skip_all(&["PRIMARY", "KEY"]) {
            self.indexes_dropped.push(Dropped { name: PRIMARY.to_owned(), if_exists: false });
        } else if cursor.skip_any(&["INDEX", "KEY"]) {
            let if_exists = cursor.if_exists();
            self.indexes_dropped.push(Dropped { name: cursor.name()?, if_exists });
        } else if cursor.skip_all(&["FOREIGN", "KEY"]) || cursor.skip("CHECK") {
            cursor.if_exists();
            cursor.name()?;
        } else if cursor.skip("CONSTRAINT") {
            cursor.if_exists();
            self.constraints_dropped.push(cursor.name()?);
        } else if cursor.skip_all(&["PERIOD", "FOR"]) {
            if cursor.is("SYSTEM_TIME") {
                return Err(NotUnderstood::new("system versioning"));
            }
            cursor.name()?;
        } else if cursor.are(&["SYSTEM", "VERSIONING"]) {
            return Err(NotUnderstood::new("system versioning"));
        } else {
            cursor.skip("COLUMN");
            let if_exists = cursor.if_exists();
            self.columns_dropped.push(Dropped { name: cursor.name()?, if_exists });
            cursor.skip_any(&["RESTRICT", "CASCADE"]);
        }
        Ok(())
    }

    fn rename(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        let is_column = cursor.skip("COLUMN");
        if is_column || cursor.skip_any(&["INDEX", "KEY"]) {
            let if_exists = cursor.if_exists();
            let from = cursor.name()?;
            cursor.expect("TO")?;
            let renamed = Renamed { from, to: cursor.name()?, if_exists };
            if is_column {
                self.columns_renamed.push(renamed)
            } else {
                self.indexes_renamed.push(renamed)
            }
            return Ok(());
        }
        // The table: its name is somebody else's business.
        if !cursor.skip_any(&["TO", "AS"]) {
            cursor.skip_other('=');
        }
        cursor.table_name()?;
        Ok(())
    }

    pub(super) fn apply(&self, before: &Definition, session: &Session) -> Read<Definition> {
        let text = before.text.with(self.text.as_ref(), &before.database, session);
        if self.text.is_some() && text.charset.is_none() {
            return Err(NotUnderstood::new("the character set of a database, which nobody has told"));
        }
        if self.text == Some(Choice::Inherited) && self.converts && !self.is_of_default_database {
            return Err(NotUnderstood::new("the character set of a database that is not the session's"));
        }
        let to_come =
            self.text_to_come.as_ref().map(|choice| before.text.with(Some(choice), &before.database, session));
        if to_come.as_ref().is_some_and(|text| text.charset.is_none()) {
            return Err(NotUnderstood::new("the character set of a database, which nobody has told"));
        }
        let (mut columns, origins) = self.columns(before, &text, to_come.as_ref(), session)?;
        let mut indexes = self.indexes_kept(before, &columns, &origins, &session.server)?;
        let is_primary = |index: &&Index| index.name == PRIMARY;
        for part in indexes.iter().filter(is_primary).flat_map(|index| &index.parts) {
            let found = columns.iter_mut().find(|column| Some(&column.name) == part.column.as_ref());
            found.into_iter().for_each(|column| column.nullable = false);
        }
        let indexes_added: Vec<IndexSpec> = self.indexes.iter().map(|spec| spec.clone().over(&self.periods)).collect();
        add(&mut indexes, &before.indexes, &indexes_added, &mut columns, before.knows_indexes)?;
        not_null(&mut columns, &self.periods)?;
        Ok(Definition {
            columns,
            text: to_come.unwrap_or(text),
            database: before.database.clone(),
            indexes,
            knows_indexes: before.knows_indexes,
            engine: self.engine.clone().unwrap_or_else(|| before.engine.clone()),
        })
    }

    /// The columns, and of each which old one it is.
    fn columns(
        &self,
        before: &Definition,
        text: &TextDefault,
        to_come: Option<&TextDefault>,
        session: &Session,
    ) -> Read<(Vec<Column>, Vec<Option<usize>>)> {
        let missing = |name: &str| NotUnderstood::new(&format!("column {name}, which is not there,"));
        let old = |name: &str| before.column(name);
        for dropped in &self.columns_dropped {
            if old(&dropped.name).is_none() && !dropped.if_exists {
                return Err(missing(&dropped.name));
            }
        }
        let is_dropped = |index: usize| self.columns_dropped.iter().any(|dropped| old(&dropped.name) == Some(index));
        for renamed in &self.columns_renamed {
            if old(&renamed.from).is_none() && !renamed.if_exists {
                return Err(missing(&renamed.from));
            }
        }
        for (number, placed) in self.columns.iter().enumerate() {
            // MariaDB takes some of these, and leaves out what else has the name.
            let is_of = |name: &str, other: &Placed| other.replaces.as_deref().is_some_and(|of| is_same(of, name));
            let is_second = |name: &str| self.columns[..number].iter().any(|other| is_of(name, other));
            if placed.replaces.as_deref().is_some_and(is_second) {
                return Err(NotUnderstood::new(&format!("column {} replaced twice", placed.spec.name)));
            }
            if let Some(name) = &placed.replaces
                && old(name).is_none_or(is_dropped)
                && !placed.is_conditional
            {
                return Err(missing(name));
            }
        }
        let to = text.charset.filter(|_| self.converts);
        let resolve = |spec: &ColumnSpec| match (to, to_come.filter(|to_come| spec.is_to_come(to_come))) {
            (_, Some(to_come)) => spec.resolve(to_come, session),
            (Some(to), None) => spec.resolve_converted(to, text, session),
            (None, None) => spec.resolve(text, session),
        };
        let replacement = |index: usize| {
            self.columns.iter().find(|placed| placed.replaces.as_deref().is_some_and(|name| old(name) == Some(index)))
        };
        let mut out: Vec<(Column, Option<usize>)> = Vec::new();
        for (index, column) in before.columns.iter().enumerate().filter(|(index, _)| !is_dropped(*index)) {
            match replacement(index) {
                Some(placed) => out.push((resolve(&placed.spec)?, Some(index))),
                None => {
                    let mut column = column.clone();
                    to.map_or(Ok(()), |to| convert(&mut column, to, &text.collation, session))?;
                    let renamed = self.columns_renamed.iter().find(|renamed| old(&renamed.from) == Some(index));
                    if let Some(renamed) = renamed {
                        column.name.clone_from(&renamed.to);
                    }
                    out.push((column, Some(index)));
                }
            }
        }
        for (number, placed) in self.columns.iter().enumerate() {
            let origin = placed.replaces.as_deref().and_then(old);
            if placed.replaces.is_some() && (origin.is_none() || placed.place == Place::Kept) {
                continue;
            }
            // Judged by the table as it was, whatever the statement drops and renames, and by what it has said before.
            let is_it = |earlier: &Placed| is_same(&earlier.spec.name, &placed.spec.name);
            let exists = || old(&placed.spec.name).is_some() || self.columns[..number].iter().any(is_it);
            if placed.replaces.is_none() && placed.is_conditional && exists() {
                continue;
            }
            let column = match out.iter().position(|(_, other)| other.is_some() && *other == origin) {
                Some(index) => out.remove(index),
                None => (resolve(&placed.spec)?, origin),
            };
            match &placed.place {
                Place::Kept => out.push(column),
                Place::First => {
                    // One that is invisible stays before all others, and whether it is nobody has kept.
                    if out.first().is_some_and(|(first, _)| is_generated_key(first, session)) {
                        return Err(NotUnderstood::new("whether the key my_row_id stays the first column"));
                    }
                    out.insert(0, column);
                }
                Place::After(name) => {
                    let after = out.iter().position(|(column, _)| is_same(&column.name, name));
                    out.insert(after.ok_or_else(|| missing(name))? + 1, column);
                }
            }
        }
        differ(out.iter().map(|(column, _)| column))?;
        if out.is_empty() {
            return Err(NotUnderstood::new("a table without columns"));
        }
        Ok(out.into_iter().unzip())
    }

    /// What becomes of the indexes that there were.
    fn indexes_kept(
        &self,
        before: &Definition,
        columns: &[Column],
        origins: &[Option<usize>],
        server: &Server,
    ) -> Read<Vec<Index>> {
        let named = |name: &str| before.indexes.iter().position(|index| is_same(&index.name, name));
        let all = self.indexes_dropped.iter().map(|dropped| (&dropped.name, dropped.if_exists));
        for (name, if_exists) in
            all.chain(self.indexes_renamed.iter().map(|renamed| (&renamed.from, renamed.if_exists)))
        {
            if named(name).is_none() && before.knows_indexes && !if_exists {
                return Err(NotUnderstood::new(&format!("index {name}, which is not there,")));
            }
        }
        // MariaDB drops the foreign key where both have the name, and foreign keys are not kept here.
        let is_index =
            |name: &&String| !is_same(name, PRIMARY) && named(name).is_some_and(|index| before.indexes[index].unique);
        if let Some(name) = self.constraints_dropped.iter().find(is_index)
            && server.is_mariadb
        {
            return Err(NotUnderstood::new(&format!("whether constraint {name} is the index or a foreign key")));
        }
        let is_dropped = |index: &Index| {
            let is_it = |name: &String| is_same(name, &index.name);
            self.indexes_dropped.iter().any(|dropped| is_it(&dropped.name))
                || (index.unique && self.constraints_dropped.iter().any(is_it))
        };
        let part_after = |part: &IndexPart| {
            let Some(name) = &part.column else { return Some(part.clone()) };
            let old = before.column(name)?;
            // The first that is it or has its name: a new column may have the name of one that is renamed.
            let is_it = |(column, origin): (&Column, &Option<usize>)| match origin {
                Some(origin) => *origin == old,
                None => is_same(&column.name, name),
            };
            let new = columns.iter().zip(origins).position(is_it)?;
            let (before, after) = (&before.columns[old], &columns[new]);
            Some(match origins[new] {
                Some(_) => refit(part, before, after, server),
                None => succeed(part, before, after),
            })
        };
        let mut out = Vec::new();
        for index in before.indexes.iter().filter(|index| !is_dropped(index)) {
            let parts: Vec<IndexPart> = index.parts.iter().filter_map(part_after).collect();
            if parts.is_empty() {
                continue;
            }
            let renamed = self.indexes_renamed.iter().find(|renamed| is_same(&renamed.from, &index.name));
            let name = renamed.map_or(&index.name, |renamed| &renamed.to).clone();
            out.push(Index { name, parts, ..index.clone() });
        }
        Ok(out)
    }
}

/// `a, b DESC`, of which the commas are not those between clauses.
fn order_by(cursor: &mut Cursor<'_>) -> Read<()> {
    loop {
        cursor.name()?;
        if cursor.skip_other('.') {
            cursor.name()?;
        }
        if !cursor.skip("ASC") {
            cursor.skip("DESC");
        }
        let is_followed = match (cursor.is_other(','), cursor.peek_at(2)) {
            (true, None | Some(super::tokens::Token::Other(',' | '.'))) => true,
            (true, Some(token)) => token.is("ASC") || token.is("DESC"),
            (false, _) => false,
        };
        if !is_followed || cursor.peek_at(1).is_some_and(|token| token.is("FORCE")) {
            return Ok(());
        }
        cursor.next += 1;
    }
}

/// Whether this may be the key that MySQL makes for a table without a primary one.
fn is_generated_key(column: &Column, session: &Session) -> bool {
    session.server.is_mysql_from(80_030) && is_same(&column.name, "my_row_id")
}
