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
//! GRANT, ANALYZE, CREATE VIEW, DROP EVENT …   nothing: they hold no rows
//! INSERT, CALL, SELECT f(), anything else     Rows: may change any table by itself
//! ```
//!
//! Which tables a statement of the last line changes, its text does not tell: it may go through a view, a function, a
//! trigger. A server with `binlog_format=ROW` writes none, so that each is a reason to stop; only changes of the server's own
//! tables are let pass, which have no triggers and which managed servers write to as a sign of life.
//!
//! Comments are skipped, the contents of `/*!50000 … */` are read as the server reads them, and unqualified names belong to
//! the statement's default database. A clause that is not understood never hides a table name: names come before clauses.

use super::alter::Clauses;
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
            Effect::Renamed { from, to } => vec![(from, UnloggedRows::RenamedAway), (to, UnloggedRows::RenamedOnto)],
            Effect::Unlogged { table, rows } => vec![(table, *rows)],
            Effect::Created { .. }
            | Effect::Altered { .. }
            | Effect::Indexed { .. }
            | Effect::DroppedDatabase(_)
            | Effect::Rows => Vec::new(),
        }
    }
}

/// The effects of one statement in order; none for statements that leave tables alone.
pub fn effects(sql: &str, default_database: &str) -> Vec<Effect> {
    let mut reader = Reader { tokens: tokens(sql), next: 0, default_database };
    reader.statement()
}

/// What sort of statement has these effects.
pub fn kind(sql: &str, effects: &[Effect]) -> StatementKind {
    let renames = effects.iter().any(|effect| matches!(effect, Effect::Renamed { .. }));
    match effects.first() {
        _ if renames => StatementKind::Rename,
        Some(Effect::Created { .. }) => StatementKind::Create,
        Some(Effect::Dropped(_)) => StatementKind::Drop,
        Some(Effect::Unlogged { rows: UnloggedRows::Emptied, .. }) => StatementKind::Truncate,
        Some(Effect::Unlogged { .. }) => StatementKind::Alter,
        Some(Effect::Altered { .. } | Effect::Indexed { .. }) => index_change(sql).unwrap_or(StatementKind::Alter),
        Some(Effect::DroppedDatabase(_) | Effect::Rows | Effect::Renamed { .. }) | None => StatementKind::Other,
    }
}

/// Whether an ALTER TABLE, by its first clause, or another statement makes or drops an index.
fn index_change(sql: &str) -> Option<StatementKind> {
    let words: Vec<String> = tokens(sql)
        .into_iter()
        .map_while(|token| match token {
            Token::Word(text) => Some(text.to_ascii_uppercase()),
            Token::Quoted(_) | Token::Other('.') => Some(String::new()),
            Token::Other(_) => None,
        })
        .collect();
    let verb = words.iter().position(|word| matches!(word.as_str(), "ADD" | "CREATE" | "DROP"))?;
    let mut object = words[verb + 1..].iter().map(String::as_str);
    let is_index = loop {
        match object.next()? {
            "UNIQUE" | "FULLTEXT" | "SPATIAL" | "PRIMARY" => {}
            "INDEX" | "KEY" => break true,
            _ => break false,
        }
    };
    let kind = if words[verb] == "DROP" { StatementKind::DropIndex } else { StatementKind::CreateIndex };
    is_index.then_some(kind)
}

/// Whether the text names the table anywhere, as a word or a quoted name: behind its database, or alone where that is the
/// default one. A column or string of the same name counts too; a table that is not named may be changed all the same.
pub fn mentions(sql: &str, default_database: &str, table: &TableName, names: NameCase) -> bool {
    let name_of = |token: &Token| match token {
        Token::Word(text) | Token::Quoted(text) => Some(text.clone()),
        Token::Other(_) => None,
    };
    let tokens = tokens(sql);
    tokens.iter().enumerate().any(|(index, token)| {
        let database = match tokens[..index] {
            [.., ref database, Token::Other('.')] => name_of(database),
            _ => Some(default_database.to_owned()),
        };
        name_of(token).is_some_and(|name| names.can_mean(&name, &table.table))
            && database.is_none_or(|database| names.can_mean(&database, &table.database))
    })
}

/// The first words of a statement, for messages: no literals, no values.
pub fn first_words(sql: &str) -> String {
    let words: Vec<String> = tokens(sql)
        .into_iter()
        .map_while(|token| match token {
            Token::Word(text) | Token::Quoted(text) => Some(text),
            Token::Other('.') => Some(".".to_owned()),
            Token::Other(_) => None,
        })
        .take(8)
        .collect();
    words.join(" ").replace(" . ", ".")
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word or number.
    Word(String),
    /// A name in backticks or double quotes.
    Quoted(String),
    /// Punctuation; a whole string literal counts as `'`.
    Other(char),
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = sql;
    // Inside `/*!50000 … */` the text counts; its end is then just punctuation to skip.
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if let Some(body) = rest.strip_prefix("/*!") {
            rest = body.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(body) = rest.strip_prefix("/*M!") {
            rest = body.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if rest.starts_with("*/") {
            rest = &rest[2..];
        } else if let Some(body) = rest.strip_prefix("/*") {
            rest = body.find("*/").map_or("", |end| &body[end + 2..]);
        } else if first == '#' || rest.starts_with("-- ") || rest.starts_with("--\n") || rest.starts_with("--\t") {
            rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
        } else if matches!(first, '`' | '"' | '\'') {
            let (text, after) = quoted(rest, first);
            out.push(if first == '\'' { Token::Other('\'') } else { Token::Quoted(text) });
            rest = after;
        } else if first.is_alphanumeric() || first == '_' || first == '$' || first == '@' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '@') || c as u32 >= 0x80))
                .unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            out.push(Token::Other(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// The text between quotes, where a doubled quote stands for one (and, but for backticks, a backslash escapes); and what
/// follows.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c != quote {
            out.push(c);
        } else if chars.peek().is_some_and(|&(_, next)| next == quote) {
            out.push(quote);
            chars.next();
        } else {
            return (out, &text[index + quote.len_utf8()..]);
        }
    }
    (out, "")
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
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

/// The database of the server's own tables.
const SYSTEM: &str = "mysql";

struct Reader<'a> {
    tokens: Vec<Token>,
    next: usize,
    default_database: &'a str,
}

impl Reader<'_> {
    fn statement(&mut self) -> Vec<Effect> {
        let start = self.next;
        if self.skip_word("CREATE") {
            let replaces = self.skip_words(&["OR", "REPLACE"]);
            // Temporary tables never reach row events; views and routines hold no rows.
            if self.skip_word("TEMPORARY") {
                return Vec::new();
            }
            while ["UNIQUE", "FULLTEXT", "SPATIAL"].into_iter().any(|word| self.skip_word(word)) {}
            if self.skip_word("INDEX") {
                return self.indexed(false);
            }
            if !self.skip_word("TABLE") {
                return Vec::new();
            }
            let if_not_exists = self.skip_words(&["IF", "NOT", "EXISTS"]);
            let Some(table) = self.name() else { return vec![Effect::Rows] };
            let mut out = vec![Effect::Created { table, if_not_exists, replaces }];
            // With row events, the server leaves the query out.
            if self.has_query() {
                out.push(Effect::Rows);
            }
            return out;
        }
        if self.skip_word("ALTER") {
            while self.skip_word("ONLINE") || self.skip_word("OFFLINE") {}
            let ignores = self.skip_word("IGNORE");
            return if self.skip_word("TABLE") { self.alter_table(ignores) } else { Vec::new() };
        }
        if self.skip_word("DROP") {
            if self.skip_word("TEMPORARY") {
                return Vec::new();
            }
            if self.skip_word("DATABASE") || self.skip_word("SCHEMA") {
                self.skip_words(&["IF", "EXISTS"]);
                return self.word().map(Effect::DroppedDatabase).into_iter().collect();
            }
            if self.skip_word("INDEX") {
                return self.indexed(true);
            }
            if !(self.skip_word("TABLE") || self.skip_word("TABLES")) {
                return Vec::new();
            }
            self.skip_words(&["IF", "EXISTS"]);
            return self.names().into_iter().map(Effect::Dropped).collect();
        }
        if self.skip_word("RENAME") {
            if !(self.skip_word("TABLE") || self.skip_word("TABLES")) {
                return Vec::new();
            }
            let mut out = Vec::new();
            while let Some(from) = self.name() {
                self.skip_word("TO");
                let Some(to) = self.name() else { break };
                out.push(Effect::Renamed { from, to });
                if !self.skip_other(',') {
                    break;
                }
            }
            return out;
        }
        if self.skip_word("TRUNCATE") {
            self.skip_word("TABLE");
            let emptied = |table| Effect::Unlogged { table, rows: UnloggedRows::Emptied };
            return self.name().map(emptied).into_iter().collect();
        }
        // What is left of a comment, or nothing.
        if self.tokens.is_empty() || HARMLESS.into_iter().any(|word| self.skip_word(word)) {
            return Vec::new();
        }
        if self.skip_words(&["LOAD", "INDEX"])
            || self.skip_words(&["SET", "PASSWORD"])
            || self.skip_words(&["SET", "DEFAULT", "ROLE"])
        {
            return Vec::new();
        }
        if let Some(table) = self.emptied_after_a_start() {
            return vec![Effect::Unlogged { table, rows: UnloggedRows::Emptied }];
        }
        self.next = start;
        if self.changes_the_servers_own_tables() { Vec::new() } else { vec![Effect::Rows] }
    }

    /// The whole of ``DELETE FROM `a`.`b` ``: a MEMORY table, which its server has found empty after a start.
    fn emptied_after_a_start(&mut self) -> Option<TableName> {
        match &self.tokens[..] {
            [delete, from, Token::Quoted(database), Token::Other('.'), Token::Quoted(table)]
                if delete.is_word("DELETE") && from.is_word("FROM") =>
            {
                Some(TableName::new(database, table))
            }
            _ => None,
        }
    }

    /// A change of one table of the database `mysql`, without a query or a function in it.
    fn changes_the_servers_own_tables(&mut self) -> bool {
        let changes = if self.skip_word("INSERT") || self.skip_word("REPLACE") {
            self.skip_word("IGNORE");
            self.skip_word("INTO");
            true
        } else {
            self.skip_word("UPDATE") || self.skip_words(&["DELETE", "FROM"])
        };
        if !changes || self.name().is_none_or(|name| &*name.database != SYSTEM) || self.has_query() {
            return false;
        }
        let rest = &self.tokens[self.next..];
        // Behind the name: columns, or what a change of one table goes on with.
        let is_one_table = match rest.first() {
            None | Some(Token::Other('(')) => true,
            Some(token) => ["SET", "VALUES", "VALUE", "WHERE", "LIMIT"].into_iter().any(|word| token.is_word(word)),
        };
        let calls = rest.windows(2).any(|pair| {
            let may_call = match &pair[0] {
                Token::Word(_) => !["VALUES", "VALUE", "IN", "NOW"].into_iter().any(|word| pair[0].is_word(word)),
                Token::Quoted(_) => true,
                Token::Other(_) => false,
            };
            may_call && pair[1] == Token::Other('(')
        });
        is_one_table && !calls
    }

    /// Whether a query follows: SELECT, TABLE t, VALUES ROW(…). In a definition all three words are quoted.
    fn has_query(&self) -> bool {
        let rest = &self.tokens[self.next..];
        rest.iter().any(|token| token.is_word("SELECT") || token.is_word("TABLE"))
            || rest.windows(2).any(|pair| pair[0].is_word("VALUES") && pair[1].is_word("ROW"))
    }

    /// Behind INDEX: `i [USING …] ON a`.
    fn indexed(&mut self, drops: bool) -> Vec<Effect> {
        if drops {
            self.skip_words(&["IF", "EXISTS"]);
        }
        let dropped = self.word().filter(|_| drops);
        let Some(on) = self.tokens[self.next..].iter().position(|token| token.is_word("ON")) else { return Vec::new() };
        self.next += on + 1;
        self.name().map(|table| Effect::Indexed { table, dropped }).into_iter().collect()
    }

    fn alter_table(&mut self, ignores: bool) -> Vec<Effect> {
        self.skip_words(&["IF", "EXISTS"]);
        let Some(table) = self.name() else { return Vec::new() };
        let rest = &self.tokens[self.next..];
        let follows = |a: &str, b: &str| rest.windows(2).any(|pair| pair[0].is_word(a) && pair[1].is_word(b));
        let unlogged = |table: &TableName, rows| Effect::Unlogged { table: table.clone(), rows };
        if follows("EXCHANGE", "PARTITION") {
            // Rows move between the two tables.
            let mut out = vec![unlogged(&table, UnloggedRows::PartitionExchanged)];
            if let Some(with) = rest.windows(2).position(|pair| pair[0].is_word("WITH") && pair[1].is_word("TABLE")) {
                self.next += with + 2;
                out.extend(self.name().map(|other| unlogged(&other, UnloggedRows::PartitionExchanged)));
            }
            return out;
        }
        if follows("DROP", "PARTITION") || follows("TRUNCATE", "PARTITION") {
            return vec![unlogged(&table, UnloggedRows::PartitionDropped)];
        }
        let of_tablespace = |verb: &str| {
            let is_first = rest.first().is_some_and(|token| token.is_word(verb));
            is_first && rest.iter().any(|token| token.is_word("TABLESPACE"))
        };
        if of_tablespace("DISCARD") {
            return vec![unlogged(&table, UnloggedRows::TablespaceDiscarded)];
        }
        if of_tablespace("IMPORT") {
            return vec![unlogged(&table, UnloggedRows::TablespaceImported)];
        }
        let (clauses, renamed) = Clauses::read(rest, ignores);
        let mut out = vec![Effect::Altered { table: table.clone(), clauses }];
        if let Some(at) = renamed {
            self.next += at;
            out.extend(self.name().map(|to| Effect::Renamed { from: table, to }));
        }
        out
    }

    fn names(&mut self) -> Vec<TableName> {
        let mut out = Vec::new();
        while let Some(name) = self.name() {
            out.push(name);
            if !self.skip_other(',') {
                break;
            }
        }
        out
    }

    fn name(&mut self) -> Option<TableName> {
        let first = self.word()?;
        if self.skip_other('.') {
            return Some(TableName::new(&first, &self.word()?));
        }
        Some(TableName::new(self.default_database, &first))
    }

    fn word(&mut self) -> Option<String> {
        match self.tokens.get(self.next)? {
            Token::Word(text) | Token::Quoted(text) => {
                self.next += 1;
                Some(text.clone())
            }
            Token::Other(_) => None,
        }
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|token| token.is_word(word));
        self.next += usize::from(found);
        found
    }

    fn skip_words(&mut self, words: &[&str]) -> bool {
        let start = self.next;
        let all = words.iter().all(|word| self.skip_word(word));
        if !all {
            self.next = start;
        }
        all
    }

    fn skip_other(&mut self, other: char) -> bool {
        let found = self.tokens.get(self.next) == Some(&Token::Other(other));
        self.next += usize::from(found);
        found
    }
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
                Effect::Renamed { from, to } => format!("renamed {from} {to}"),
                Effect::Dropped(table) => format!("dropped {table}"),
                Effect::DroppedDatabase(name) => format!("dropped database {name}"),
                Effect::Unlogged { table, rows } => format!("{rows:?} {table}"),
                Effect::Indexed { table, dropped: None } => format!("indexed {table}"),
                Effect::Indexed { table, dropped: Some(index) } => format!("indexed {table} less {index}"),
                Effect::Rows => "rows".to_owned(),
            })
            .collect();
        assert_eq!(drawn.join(", "), expected, "{sql}");
    }

    #[test]
    fn sorts_of_statements() {
        let sort = |sql| kind(sql, &effects(sql, "shop"));
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

    #[test]
    fn text_that_breaks_off_is_not_a_panic() {
        let sql = "CREATE TABLE IF NOT EXISTS `a`.`b` (x ENUM('a','''b') /* c */ COMMENT \"d\") -- e";
        for end in 0..sql.len() {
            effects(&sql[..end], "shop");
            mentions(&sql[..end], "shop", &TableName::new("a", "b"), NameCase::Folded);
        }
    }

    #[test]
    fn messages_show_words_but_no_values() {
        assert_eq!(first_words("UPDATE `shop`.accounts SET pin = '1234'"), "UPDATE shop.accounts SET pin");
    }

    #[test]
    fn a_table_is_mentioned_by_word() {
        let mentions = |sql, database, names| mentions(sql, database, &TableName::new("shop", "orders"), names);
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
