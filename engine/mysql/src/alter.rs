//! What an ALTER TABLE leaves as it was, of what a table map does not say.
//!
//! With full metadata a table map describes columns and primary key. It says nothing of other unique keys and of display
//! widths; those are known from before, as long as it is certain that no statement touched them:
//!
//! ```text
//! before                              t (id int(6) zerofill, x varchar(9), PRIMARY (id), UNIQUE u (x))
//! MODIFY id BIGINT                    loses the width of id
//! CHANGE x y VARCHAR(20)              u is on y
//! DROP INDEX u; DROP COLUMN x         lose u
//! ADD c INT, COMMENT = 'x'            nothing
//! a clause that is not understood     loses everything
//! ```

use super::binlog::type_text_of_map;
use super::definition::Token;
use tidegate_model::names::is_same;
use tidegate_model::{Table, TableParts};

/// The clauses of an ALTER TABLE, as far as they touch keys and columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses {
    keys_dropped: Vec<String>,
    keys_renamed: Vec<(String, String)>,
    columns_dropped: Vec<String>,
    /// With a new definition.
    columns_defined: Vec<String>,
    columns_renamed: Vec<(String, String)>,
    adds_primary_key: bool,
    has_unknown: bool,
    /// One at least surely makes a change.
    pub(super) has_change: bool,
    /// It has a clause of which nobody knows what it does: no option with a value.
    pub(super) has_unclear: bool,
    /// ALTER IGNORE: rows that a new unique key forbids are gone.
    pub drops_duplicates: bool,
}

/// First words of clauses that leave keys and columns alone.
const WITHOUT_EFFECT: [&str; 53] = [
    "ALGORITHM",
    "ANALYZE",
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHARACTER",
    "CHARSET",
    "CHECK",
    "CHECKSUM",
    "COALESCE",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "CONVERT",
    "DATA",
    "DEFAULT",
    "DELAY_KEY_WRITE",
    "DISABLE",
    "ENABLE",
    "ENCRYPTION",
    "ENGINE",
    "ENGINE_ATTRIBUTE",
    "FORCE",
    "INDEX",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "OPTIMIZE",
    "ORDER",
    "PACK_KEYS",
    "PARTITION",
    "PASSWORD",
    "REBUILD",
    "REMOVE",
    "REORGANIZE",
    "REPAIR",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SECONDARY_LOAD",
    "SECONDARY_UNLOAD",
    "START",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLESPACE",
    "UNION",
    "WITH",
    "WITHOUT",
];

/// First words of clauses that a server carries out with the table for itself whatever it was before; ADD and DROP of columns are, too.
/// Others it logs without waiting for anybody where they change nothing: an index that is dropped and added, the table's own name, the
/// character set that it has. Measured on 5.6.24 and 9.7.4.
const CHANGES: [&str; 6] = ["AUTO_INCREMENT", "CHANGE", "COMMENT", "ENGINE", "FORCE", "MODIFY"];

/// What ADD adds that is no column.
const NO_COLUMNS: [&str; 13] = [
    "CHECK",
    "CONSTRAINT",
    "FOREIGN",
    "FULLTEXT",
    "INDEX",
    "KEY",
    "PARTITION",
    "PERIOD",
    "PRIMARY",
    "SPATIAL",
    "SYSTEM",
    "UNIQUE",
    "VECTOR",
];

impl Clauses {
    /// Reads what stands behind the table's name; also tells where the name stands under which the table is known from then
    /// on, if there is one.
    pub(super) fn read(tokens: &[Token], ignores: bool) -> (Clauses, Option<usize>) {
        let mut clauses = Clauses { drops_duplicates: ignores, ..Clauses::default() };
        let mut renamed = None;
        let mut start = 0;
        let mut depth = 0_i32;
        for at in 0..=tokens.len() {
            match tokens.get(at) {
                Some(Token::Other('(')) => depth += 1,
                Some(Token::Other(')')) => depth -= 1,
                Some(Token::Other(',')) | None if depth <= 0 || at == tokens.len() => {
                    let mut clause = Clause { tokens: &tokens[start..at], next: 0 };
                    if clauses.read_one(&mut clause) == Some(Meaning::TableRenamed) {
                        renamed = Some(start + clause.next);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        (clauses, renamed)
    }

    /// `None` if the clause breaks off.
    fn read_one(&mut self, clause: &mut Clause<'_>) -> Option<Meaning> {
        let names_primary = clause.tokens.iter().any(|token| token.is("PRIMARY"));
        let is_one_of = |at: usize, words: &[&str]| {
            clause.tokens.get(at).is_some_and(|token| words.iter().any(|word| token.is(word)))
        };
        let (first_words, adds) = (is_one_of(0, &CHANGES), is_one_of(0, &["ADD"]) && !is_one_of(1, &NO_COLUMNS));
        // With IF, it may be about nothing.
        let is_certain = !clause.tokens.iter().any(|token| token.is("IF"));
        self.has_change |= is_certain && (first_words || adds);
        if clause.skip("ADD") {
            self.adds_primary_key |= names_primary;
        } else if clause.skip("DROP") {
            if clause.skip("PRIMARY") {
                self.keys_dropped.push("PRIMARY".to_owned());
            } else if clause.skip("INDEX") || clause.skip("KEY") || clause.skip("CONSTRAINT") {
                clause.skip_if_exists();
                self.keys_dropped.push(clause.name()?);
            } else if !(clause.skip("FOREIGN") || clause.skip("CHECK")) {
                clause.skip("COLUMN");
                clause.skip_if_exists();
                self.columns_dropped.push(clause.name()?);
                self.has_change |= is_certain;
            }
        } else if clause.skip("MODIFY") {
            clause.skip("COLUMN");
            clause.skip_if_exists();
            self.columns_defined.push(clause.name()?);
            self.adds_primary_key |= names_primary;
        } else if clause.skip("CHANGE") {
            clause.skip("COLUMN");
            clause.skip_if_exists();
            let (from, to) = (clause.name()?, clause.name()?);
            self.columns_defined.push(from.clone());
            self.columns_renamed.push((from, to));
            self.adds_primary_key |= names_primary;
        } else if clause.skip("RENAME") {
            if clause.skip("COLUMN") {
                let from = clause.name()?;
                clause.skip("TO");
                let to = clause.name()?;
                self.has_change |= is_certain && from != to;
                self.columns_renamed.push((from, to));
            } else if clause.skip("INDEX") || clause.skip("KEY") {
                let from = clause.name()?;
                clause.skip("TO");
                self.keys_renamed.push((from, clause.name()?));
            } else {
                if !(clause.skip("TO") || clause.skip("AS"))
                    && clause.tokens.get(clause.next) == Some(&Token::Other('='))
                {
                    clause.next += 1;
                }
                return Some(Meaning::TableRenamed);
            }
        } else if clause.skip("ALTER") {
            // Defaults, visibility, constraints that are enforced or not.
        } else if let Some(first) = clause.tokens.first() {
            let is_known = WITHOUT_EFFECT.into_iter().any(|word| first.is(word));
            self.has_unknown |= !is_known;
            self.has_unclear |= !is_known && clause.tokens.get(1) != Some(&Token::Other('='));
        }
        Some(Meaning::Read)
    }

    /// Whether rows may be known by other values behind it. `key` are the columns that identify them, none if that is not known.
    pub fn may_renumber(&self, key: &[String]) -> bool {
        let is_key = |name: &String| key.iter().any(|column| column.eq_ignore_ascii_case(name));
        let mut touched = self.columns_dropped.iter().chain(&self.columns_defined);
        let renamed = self.columns_renamed.iter().any(|(from, to)| is_key(from) || is_key(to));
        self.adds_primary_key || self.has_unknown || renamed || touched.any(is_key)
    }

    /// The table as it was, with what the statement touched taken out or renamed; nothing if that is not certain.
    ///
    /// Columns that it drops are still there: the next table map does not have them.
    pub fn kept(&self, before: &Table) -> Option<TableParts> {
        if self.has_unknown {
            return None;
        }
        let has = |names: &[String], name: &str| names.iter().any(|other| is_same(other, name));
        let renamed = |names: &[(String, String)], name: &mut String| {
            if let Some((_, to)) = names.iter().find(|(from, _)| is_same(from, name)) {
                name.clone_from(to);
            }
        };
        let mut parts = TableParts::from(before.clone());
        let columns = before.columns();
        parts.unique_keys.retain(|key| {
            let loses_a_column = key.columns.iter().any(|&index| has(&self.columns_dropped, &columns[index].name));
            !loses_a_column && !has(&self.keys_dropped, &key.name)
        });
        if self.adds_primary_key && before.primary_key().is_none() {
            // What the next table map calls primary is so, even if another unique key is on the same columns.
            parts.unique_keys.clear();
        }
        for key in &mut parts.unique_keys {
            renamed(&self.keys_renamed, &mut key.name);
        }
        for column in &mut parts.columns {
            if has(&self.columns_defined, &column.name) || has(&self.columns_dropped, &column.name) {
                column.type_text = type_text_of_map(&column.type_text);
            }
            renamed(&self.columns_renamed, &mut column.name);
        }
        Some(parts)
    }
}

#[derive(PartialEq, Eq)]
enum Meaning {
    Read,
    /// The name follows.
    TableRenamed,
}

struct Clause<'a> {
    tokens: &'a [Token],
    next: usize,
}

impl Clause<'_> {
    fn skip(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|token| token.is(word));
        self.next += usize::from(found);
        found
    }

    fn skip_if_exists(&mut self) {
        if self.skip("IF") {
            self.skip("EXISTS");
        }
    }

    fn name(&mut self) -> Option<String> {
        match self.tokens.get(self.next)? {
            Token::Word(text) | Token::Name(text) => {
                self.next += 1;
                Some(text.clone())
            }
            Token::Number(_) | Token::Text(_) | Token::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ddl::{Effect, effects};
    use super::*;
    use tidegate_model::{UniqueKey, pretty};

    /// Columns with their types, then unique keys, of what is kept of `t (id, x, y, z)`.
    fn kept(statement: &str) -> String {
        let mut before = TableParts::from(Table::clone(&pretty::table("id:int x:int y:int z:int")));
        for column in &mut before.columns {
            column.type_text = "int(6) unsigned zerofill".to_owned();
        }
        let key = |name: &str, columns: &[usize]| UniqueKey { name: name.to_owned(), columns: columns.to_vec() };
        before.unique_keys = vec![key("PRIMARY", &[0]), key("u", &[1]), key("uyz", &[2, 3])];
        let statement = format!("ALTER TABLE t {statement}");
        let effects = effects(&statement, "shop");
        let Some(Effect::Altered { clauses, .. }) = effects.first() else { panic!("{effects:?}") };
        let Some(parts) = clauses.kept(&Table::from(before)) else { return "nothing".to_owned() };
        let column = |index: usize| parts.columns[index].name.clone();
        let plain = |index: &usize| !parts.columns[*index].type_text.contains("zerofill");
        let keys = parts.unique_keys.iter().map(|key| {
            let columns: Vec<String> = key.columns.iter().map(|&index| column(index)).collect();
            format!("{}({})", key.name, columns.join(","))
        });
        let touched = (0..4).filter(plain).map(|index| format!("{}!", column(index)));
        keys.chain(touched).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_not_touched_is_kept() {
        const ALL: &str = "PRIMARY(id) u(x) uyz(y,z)";
        for (statement, expected) in [
            ("ADD c INT AFTER x, ADD INDEX (x), COMMENT='DROP INDEX u, DROP INDEX uyz'", ALL),
            ("ADD COLUMN (c INT, d INT), ENGINE=InnoDB ROW_FORMAT=COMPACT, ALTER x SET DEFAULT 1, FORCE", ALL),
            ("ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES o (x) ON DELETE CASCADE, DROP FOREIGN KEY g", ALL),
            ("CONVERT TO CHARACTER SET utf8mb4", ALL),
            ("DROP INDEX u", "PRIMARY(id) uyz(y,z)"),
            ("DROP KEY `U`, ADD UNIQUE u (y)", "PRIMARY(id) uyz(y,z)"),
            ("DROP CONSTRAINT IF EXISTS uyz", "PRIMARY(id) u(x)"),
            ("DROP PRIMARY KEY", "u(x) uyz(y,z)"),
            ("DROP PRIMARY KEY, ADD PRIMARY KEY (x)", "u(x) uyz(y,z)"),
            ("DROP COLUMN y", "PRIMARY(id) u(x) y!"),
            ("DROP y, ADD y INT", "PRIMARY(id) u(x) y!"),
            ("MODIFY x INT UNSIGNED NOT NULL", "PRIMARY(id) u(x) uyz(y,z) x!"),
            ("CHANGE COLUMN y a INT NOT NULL FIRST", "PRIMARY(id) u(x) uyz(a,z) a!"),
            ("RENAME COLUMN x TO y, RENAME COLUMN y TO x", "PRIMARY(id) u(y) uyz(x,z)"),
            ("RENAME INDEX u TO v, RENAME KEY uyz TO u", "PRIMARY(id) v(x) u(y,z)"),
            ("RENAME TO s", ALL),
            ("SOMETHING NEW", "nothing"),
            ("DROP INDEX u, SOMETHING NEW", "nothing"),
        ] {
            assert_eq!(kept(statement), expected, "{statement}");
        }
    }

    #[test]
    fn a_table_may_have_another_name_afterwards() {
        let names = |sql: &str| match &effects(sql, "shop")[..] {
            [_, Effect::Renamed { from, to, .. }] => format!("{from} {to}"),
            other => format!("{other:?}"),
        };
        assert_eq!(names("ALTER TABLE a RENAME TO x.b"), "shop.a x.b");
        assert_eq!(names("ALTER TABLE a ADD (x INT, y INT), RENAME AS b, ADD z INT"), "shop.a shop.b");
        assert_eq!(names("ALTER TABLE a DROP x, RENAME `b`"), "shop.a shop.b");
        assert_eq!(names("ALTER TABLE a RENAME = b"), "shop.a shop.b");
    }
}
