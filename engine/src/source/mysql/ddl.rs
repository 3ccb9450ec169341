//! What a statement in the binlog does to which tables: a small, tolerant reader.
//!
//! It does not parse SQL. It recognises the few statements that can touch the definition or the rows of a table without
//! row events, takes the table names out of them, and calls everything else [`Effect::None`]:
//!
//! ```text
//! CREATE TABLE [IF NOT EXISTS] a …            Created(a)
//! ALTER TABLE a …, RENAME TO b                Altered(a), Renamed(a, b)
//! RENAME TABLE a TO b, c TO a                 Renamed(a, b), Renamed(c, a)
//! DROP TABLE a, b                             Dropped(a), Dropped(b)
//! TRUNCATE a                                  Truncated(a)
//! CREATE INDEX i ON a (…), DROP INDEX i ON a  Indexed(a)
//! INSERT | UPDATE | DELETE | REPLACE | LOAD   Rows: statement-format changes, of any table that the text mentions
//! ```
//!
//! Comments are skipped, the contents of `/*!50000 … */` are read as the server reads them, and unqualified names belong to
//! the statement's default database. A clause that is not understood never hides a table name: names come before clauses.

use crate::batch::{StatementKind, TableName};

/// What a statement does to one table, or to an unknown number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Created {
        table: TableName,
        if_not_exists: bool,
    },
    Altered(TableName),
    /// Rows of a part of the table went without row events: partitions dropped, truncated or exchanged.
    PartitionsChanged(TableName),
    Renamed {
        from: TableName,
        to: TableName,
    },
    Dropped(TableName),
    /// An index came or went: no column and no row is another.
    Indexed(TableName),
    DroppedDatabase(String),
    Truncated(TableName),
    /// A statement that changes rows by itself: it was logged in statement format.
    Rows,
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
        Some(Effect::Truncated(_)) => StatementKind::Truncate,
        Some(Effect::PartitionsChanged(_)) => StatementKind::Alter,
        Some(Effect::Altered(_) | Effect::Indexed(_)) => index_change(sql).unwrap_or(StatementKind::Alter),
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
/// default one. May be wrong in one direction only: a column or string of the same name counts too.
pub fn mentions(sql: &str, default_database: &str, table: &TableName) -> bool {
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
        name_of(token).is_some_and(|name| name.eq_ignore_ascii_case(&table.table))
            && database.is_none_or(|database| database.eq_ignore_ascii_case(&table.database))
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
enum Token {
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

/// The text between quotes, where a doubled quote stands for one (and, in strings, a backslash escapes); and what follows.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == '\\' && quote == '\'' {
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

struct Reader<'a> {
    tokens: Vec<Token>,
    next: usize,
    default_database: &'a str,
}

impl Reader<'_> {
    fn statement(&mut self) -> Vec<Effect> {
        if self.skip_word("CREATE") {
            self.skip_words(&["OR", "REPLACE"]);
            // Temporary tables never reach row events; views and routines hold no rows.
            if self.skip_word("TEMPORARY") {
                return Vec::new();
            }
            while ["UNIQUE", "FULLTEXT", "SPATIAL"].into_iter().any(|word| self.skip_word(word)) {}
            if self.skip_word("INDEX") {
                return self.indexed();
            }
            if !self.skip_word("TABLE") {
                return Vec::new();
            }
            let if_not_exists = self.skip_words(&["IF", "NOT", "EXISTS"]);
            return self.name().map(|table| Effect::Created { table, if_not_exists }).into_iter().collect();
        }
        if self.skip_word("ALTER") {
            while self.skip_word("ONLINE") || self.skip_word("OFFLINE") || self.skip_word("IGNORE") {}
            return if self.skip_word("TABLE") { self.alter_table() } else { Vec::new() };
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
                return self.indexed();
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
            return self.name().map(Effect::Truncated).into_iter().collect();
        }
        let changes_rows = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH"];
        if changes_rows.into_iter().any(|word| self.skip_word(word)) { vec![Effect::Rows] } else { Vec::new() }
    }

    /// Behind INDEX: `i [USING …] ON a`.
    fn indexed(&mut self) -> Vec<Effect> {
        let on = |token: &Token| matches!(token, Token::Word(text) if text.eq_ignore_ascii_case("ON"));
        let Some(on) = self.tokens[self.next..].iter().position(on) else { return Vec::new() };
        self.next += on + 1;
        self.name().map(Effect::Indexed).into_iter().collect()
    }

    fn alter_table(&mut self) -> Vec<Effect> {
        self.skip_words(&["IF", "EXISTS"]);
        let Some(table) = self.name() else { return Vec::new() };
        let mut out = Vec::new();
        let words = |from: usize, tokens: &[Token]| -> Vec<String> {
            tokens[from..]
                .iter()
                .map(|token| match token {
                    Token::Word(text) => text.to_ascii_uppercase(),
                    _ => String::new(),
                })
                .collect()
        };
        let rest = words(self.next, &self.tokens);
        let follows = |a: &str, b: &str| rest.windows(2).any(|pair| pair[0] == a && pair[1] == b);
        if follows("EXCHANGE", "PARTITION") {
            // Rows move between the two tables.
            out.push(Effect::PartitionsChanged(table.clone()));
            if let Some(with) = rest.windows(2).position(|pair| pair[0] == "WITH" && pair[1] == "TABLE") {
                self.next += with + 2;
                out.extend(self.name().map(Effect::PartitionsChanged));
            }
            return out;
        }
        if follows("DROP", "PARTITION") || follows("TRUNCATE", "PARTITION") {
            return vec![Effect::PartitionsChanged(table)];
        }
        out.push(Effect::Altered(table.clone()));
        if let Some(index) = rest.iter().position(|word| word == "RENAME")
            && !matches!(rest.get(index + 1).map(String::as_str), Some("COLUMN" | "INDEX" | "KEY"))
        {
            self.next += index + 1;
            if !self.skip_word("TO") {
                self.skip_word("AS");
            }
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
        let found = matches!(self.tokens.get(self.next), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
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
                Effect::Created { table, if_not_exists: false } => format!("created {table}"),
                Effect::Created { table, if_not_exists: true } => format!("created? {table}"),
                Effect::Altered(table) => format!("altered {table}"),
                Effect::PartitionsChanged(table) => format!("partitions {table}"),
                Effect::Renamed { from, to } => format!("renamed {from} {to}"),
                Effect::Dropped(table) => format!("dropped {table}"),
                Effect::DroppedDatabase(name) => format!("dropped database {name}"),
                Effect::Truncated(table) => format!("truncated {table}"),
                Effect::Indexed(table) => format!("indexed {table}"),
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
        check("CREATE OR REPLACE TABLE a (x INT)", "created shop.a");
        check("CREATE TEMPORARY TABLE a (id INT)", "");
        check("ALTER TABLE a ADD COLUMN b INT AFTER c", "altered shop.a");
        check("ALTER TABLE a RENAME TO other.b", "altered shop.a, renamed shop.a other.b");
        check("ALTER TABLE a RENAME COLUMN x TO y", "altered shop.a");
        check("ALTER TABLE a DROP PARTITION p0", "partitions shop.a");
        check("ALTER TABLE a EXCHANGE PARTITION p0 WITH TABLE b", "partitions shop.a, partitions shop.b");
        check("RENAME TABLE a TO a_old, x.a_new TO a", "renamed shop.a shop.a_old, renamed x.a_new shop.a");
        check("DROP TABLE IF EXISTS `a`,`b` /* generated by server */", "dropped shop.a, dropped shop.b");
        check("DROP DATABASE IF EXISTS shop", "dropped database shop");
        check("TRUNCATE a", "truncated shop.a");
        check("TRUNCATE TABLE x.a", "truncated x.a");
        check("INSERT INTO a VALUES (1)", "rows");
        check("CREATE INDEX i USING BTREE ON x.a (b)", "indexed x.a");
        check("CREATE VIEW i AS SELECT 1", "");
        check("CREATE DEFINER=`root`@`%` VIEW v AS SELECT 1", "");
        check("GRANT SELECT ON shop.* TO u", "");
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
            mentions(&sql[..end], "shop", &TableName::new("a", "b"));
        }
    }

    #[test]
    fn messages_show_words_but_no_values() {
        assert_eq!(first_words("UPDATE `shop`.accounts SET pin = '1234'"), "UPDATE shop.accounts SET pin");
    }

    #[test]
    fn a_table_is_mentioned_by_word() {
        let mentions = |sql, database| mentions(sql, database, &TableName::new("shop", "orders"));
        assert!(mentions("DELETE a FROM x JOIN `Orders` a", "shop"));
        assert!(mentions("DELETE a FROM x JOIN Shop . `Orders` a", "other"));
        assert!(mentions("UPDATE x SET orders = 1", "shop"));
        assert!(!mentions("DELETE FROM orders_old WHERE note = 'orders'", "shop"));
        assert!(!mentions("DELETE FROM orders", "other"));
        assert!(!mentions("INSERT INTO other.orders VALUES (1)", "shop"));
    }
}
