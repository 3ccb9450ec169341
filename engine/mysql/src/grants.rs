//! What an account may do.

use std::collections::HashSet;

use tidegate_model::TableName;

/// What an account may do, as `SHOW GRANTS` lists it (active roles included).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    grants: Vec<Grant>,
    /// `partial_revokes`: privileges taken from a database although they are granted globally.
    revokes: Vec<Grant>,
    /// As GRANT takes them, whether they are active or not.
    roles: Vec<String>,
    /// Databases in which the server has refused SELECT, whatever the patterns say.
    refused_in: HashSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    privileges: HashSet<String>,
    /// Those that are held on some columns only.
    on_columns: HashSet<String>,
    scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Global,
    /// A pattern: `%` and `_` stand for any characters and any one, unless escaped.
    Database(String),
    Table(String, String),
}

impl Grants {
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Grants {
        let mut grants = Grants::default();
        for line in lines {
            if let Some(grant) = line.strip_prefix("GRANT ").and_then(|rest| Grant::parse(rest, " TO ")) {
                grants.grants.push(grant);
            } else if let Some(revoke) = line.strip_prefix("REVOKE ").and_then(|rest| Grant::parse(rest, " FROM ")) {
                grants.revokes.push(revoke);
            } else if let Some((roles, _)) = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" TO ")) {
                grants.roles.extend(roles.split(',').map(|role| role.trim().to_owned()));
            }
        }
        grants
    }

    /// Whether a privilege that concerns the whole server is held, under any of its names.
    pub fn has_global(&self, names: &[&str]) -> bool {
        self.grants.iter().any(|grant| grant.scope == Scope::Global && grant.holds(names))
    }

    /// Roles that the account has.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Whether SELECT was taken from a database although it is granted globally.
    pub fn is_revoked_in(&self, database: &str) -> bool {
        let scope = Scope::Database(database.to_owned());
        self.revokes.iter().any(|revoke| revoke.holds(&["SELECT"]) && revoke.scope == scope)
    }

    /// Whether some columns of the table can be read by a grant of their own.
    pub fn selects_columns(&self, table: &TableName) -> bool {
        let scope = Scope::Table(table.database.to_string(), table.table.to_string());
        self.grants.iter().any(|grant| grant.on_columns.contains("SELECT") && grant.scope == scope)
    }

    /// One table of each database of which this does not tell whether those can be read that have no grant of their own: of several grants whose patterns match, the server takes
    /// the closest alone, or all of them where a role brings them; and under `partial_revokes` patterns are names.
    pub fn unsure<'a>(&self, tables: impl Iterator<Item = &'a TableName>) -> Vec<&'a TableName> {
        let mut asked = HashSet::new();
        let has_own = |table: &TableName| {
            let of_table = Scope::Table(table.database.to_string(), table.table.to_string());
            let selects = |grant: &Grant| grant.holds(&["SELECT"]) || grant.on_columns.contains("SELECT");
            self.grants.iter().any(|grant| grant.scope == of_table && selects(grant))
        };
        let is_unsure = |table: &&TableName| !self.is_sure(&table.database) && !has_own(table);
        tables.filter(|table| is_unsure(table) && asked.insert(&*table.database)).collect()
    }

    /// The server refuses SELECT in this database.
    pub fn refused_in(&mut self, database: &str) {
        self.refused_in.insert(database.to_owned());
    }

    /// Whether what is granted on databases leaves no doubt.
    fn is_sure(&self, database: &str) -> bool {
        let select = &["SELECT"];
        let is_global = self.has_global(select) && !self.is_revoked_in(database);
        let patterns = self.grants.iter().filter_map(|grant| match &grant.scope {
            Scope::Database(pattern) if matches_pattern(pattern, database) => Some(pattern),
            _ => None,
        });
        let patterns: Vec<&String> = patterns.collect();
        is_global || matches!(&patterns[..], [] | [_]) && patterns.iter().all(|pattern| *pattern == database)
    }

    /// Whether all columns of the table can be read. Where the server shows that a database was taken from the account, what is granted on all
    /// of it (by a role) gives nothing back, and what is granted on the table does: whatever a grant has given back is not shown as taken.
    pub fn can_select(&self, table: &TableName) -> bool {
        let select = &["SELECT"];
        self.grants.iter().any(|grant| {
            grant.holds(select)
                && match &grant.scope {
                    Scope::Global => !self.is_revoked_in(&table.database),
                    Scope::Database(pattern) => {
                        matches_pattern(pattern, &table.database)
                            && !self.is_revoked_in(&table.database)
                            && !self.refused_in.contains(&*table.database)
                    }
                    Scope::Table(database, name) => **database == *table.database && **name == *table.table,
                }
        })
    }
}

impl Grant {
    /// `SELECT, INSERT ON *.*`, ``… ON `shop_%`.*``, ``… ON `shop`.`orders` ``, then what `before_account` says.
    fn parse(text: &str, before_account: &str) -> Option<Grant> {
        let (privileges, rest) = text.split_once(" ON ")?;
        let (scope, _account) = rest.split_once(before_account)?;
        let scope = scope.strip_prefix("TABLE ").unwrap_or(scope);
        let scope = match split_scope(scope)? {
            (database, table) if database == "*" && table == "*" => Scope::Global,
            (database, table) if table == "*" => Scope::Database(database),
            (database, table) => Scope::Table(database, table),
        };
        // A privilege on columns reads `SELECT (a, b)`: it is not the privilege, so that it must not be found as such.
        let (mut names, mut on_columns) = (HashSet::new(), HashSet::new());
        let mut depth = 0;
        for part in privileges.split(',') {
            if depth == 0 && !part.contains('(') {
                names.insert(part.trim().to_ascii_uppercase());
            } else if let Some((name, _)) = part.split_once('(').filter(|_| depth == 0) {
                on_columns.insert(name.trim().to_ascii_uppercase());
            }
            depth += part.matches('(').count() as i32 - part.matches(')').count() as i32;
        }
        Some(Grant { privileges: names, on_columns, scope })
    }

    fn holds(&self, names: &[&str]) -> bool {
        self.privileges.contains("ALL PRIVILEGES")
            || self.privileges.contains("ALL")
            || names.iter().any(|name| self.privileges.contains(*name))
    }
}

/// Splits `database.table` whose parts are quoted by backticks or are `*`.
fn split_scope(text: &str) -> Option<(String, String)> {
    let mut parts = [String::new(), String::new()];
    let (mut part, mut quoted) = (0, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '`' if quoted && characters.peek() == Some(&'`') => {
                characters.next();
                parts[part].push('`');
            }
            '`' => quoted = !quoted,
            '.' if !quoted && part == 0 => part = 1,
            c => parts[part].push(c),
        }
    }
    let [database, table] = parts;
    (part == 1).then_some((database, table))
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['\\', escaped, rest @ ..] => text.first() == Some(escaped) && matches(rest, &text[1..]),
            ['%', rest @ ..] => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            ['_', rest @ ..] => !text.is_empty() && matches(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && matches(rest, &text[1..]),
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}
