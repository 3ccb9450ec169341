//! Which tables are selected, and by which rule of the task file.
//!
//! ```text
//! shop.orders        exact          `shop`.`a.b`   exact, names with other characters between back-ticks
//! shop.log_*         pattern        /shop\.(a|b)/  regular expression on the whole of database.table
//! !shop.log_tmp*     exclude: takes back what patterns select
//! ```
//!
//! An exact name wins over patterns and excludes, wherever it stands: whoever names a table means it. Among patterns
//! the first that matches wins. Names are compared exactly, or as the server does once it has said that it folds them
//! ([`TableSelection::fold_names`]).
//!
//! The server's own databases hold no user data, so that no pattern selects their tables, whatever it names: the catalogue does not list them.
//!
//! What stars and groups of a pattern stand for can be used in the names that its entry gives ([`template`](super::template)). A star
//! takes as little as it can, the last one the rest: in `shop_a_b`, the stars of `*_*` are `shop` and `a_b`.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};

use super::choices::TooLargePolicy;
use super::names::{NamePart, read_names};
use super::template::{CaptureNames, Captures, NameError, NameTemplate, TopicTemplate};
use super::yaml::Location;
use tidegate_format::columns::ColumnList;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::PartitionPolicy;
use tidegate_model::names::fold;
use tidegate_mysql::catalog::SYSTEM_DATABASES;

/// What one entry of `tables` says about the tables that it selects.
#[derive(Debug, Clone)]
pub struct TableRule {
    /// The entry's name or pattern as it is written, for messages.
    pub name: String,
    /// Where the entry stands in the task file, for messages about its SQL and columns.
    pub at: Location,
    /// `as`: what the tables are called where they go. Default: as in the source.
    pub target: Option<NameTemplate>,
    /// It may give several tables one name.
    pub joins_tables: bool,
    /// Names that other entries may give where they or this one give any: database and table, where they are the same of all their tables.
    pub given_beside: Vec<[Option<String>; 2]>,
    /// `where`: a DataFusion expression on the source columns; only rows for which it is true leave. Default: all rows.
    pub filter: Option<String>,
    /// `select`: columns and expressions (`upper(city) AS city`) that leave, in this order. Default: all columns, also
    /// those which are added while the task runs.
    pub select: Option<Vec<String>>,
    /// `columns`: the same by names alone, without expressions. Not beside `select`.
    pub columns: Option<ColumnList>,
    /// `topic`: where the table's messages go. Default: `sink.topic`.
    pub topic: TopicTemplate,
    /// `key`: the key of its messages; none for messages without. Default: `sink.key`.
    pub key: Option<KeyPolicy>,
    /// `partition`: which partition of it. Default: `sink.partition`.
    pub partition: PartitionPolicy,
    /// `too_large`: what becomes of a message that is larger than its topic takes. Default: `sink.too_large`.
    pub too_large: TooLargePolicy,
    /// `chunk_by`: indexed columns by which the full load cuts a table that has no primary key and no unique key;
    /// without them such a table is read as one stream. Default: none, because a guess could order by a column without
    /// an index.
    pub chunk_by: Vec<String>,
}

/// A selected table, and what its rule makes of its name.
#[derive(Debug)]
pub struct Selected<'a> {
    pub rule: &'a TableRule,
    source: tidegate_model::TableName,
    captures: Captures,
}

impl Selected<'_> {
    /// What the table is called where it goes.
    pub fn target(&self) -> Result<tidegate_model::TableName, NameError> {
        match &self.rule.target {
            Some(template) => template.render(&self.source, &self.captures),
            None => Ok(self.source.clone()),
        }
    }

    /// Where its rows go.
    pub fn topic(&self) -> Result<String, NameError> {
        self.rule.topic.render_with(&self.target()?, &self.captures)
    }

    /// Where those go that are larger than that topic takes, if they go anywhere.
    pub fn dead_letter_topic(&self) -> Result<Option<String>, NameError> {
        let TooLargePolicy::DeadLetter(topic) = &self.rule.too_large else { return Ok(None) };
        topic.render_with(&self.target()?, &self.captures).map(Some)
    }
}

/// All of `tables`: from a table's name to its rule; `()` where only names are known.
#[derive(Debug, Clone)]
pub struct TableSelection<Rule = TableRule> {
    /// By database, then by table.
    exact: HashMap<String, HashMap<String, Rule>>,
    patterns: Vec<(TablePattern, Rule)>,
    excludes: Vec<TablePattern>,
    /// All entries' names, as they are written.
    entries: Vec<String>,
    /// Exact names by what they become when folded, if the server folds names. Shared by all clones: whoever asks the server
    /// tells all others.
    folded: Arc<OnceLock<HashMap<ExactName, ExactName>>>,
}

impl TableSelection<()> {
    /// What these entries select; the error is the constraint that one of them breaks.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        for entry in entries {
            TableMatcher::parse(entry).map_err(|broken| format!("{entry:?} {broken}"))?;
        }
        Ok(TableSelection::of_entries(entries))
    }

    /// What entries with these names select, as [`TableSelection::entries`] gave them.
    pub fn of_entries(entries: &[String]) -> Self {
        let (mut exact, mut patterns, mut excludes) = (Vec::new(), Vec::new(), Vec::new());
        // They were read before.
        for TableMatcher { exclude, tables } in entries.iter().filter_map(|entry| TableMatcher::parse(entry).ok()) {
            match tables {
                tables if exclude => excludes.push(tables.into_pattern()),
                Tables::Exact(name) => exact.push((name, ())),
                Tables::Pattern(pattern) => patterns.push((pattern, ())),
            }
        }
        TableSelection::new(exact, patterns, excludes, entries.to_vec())
    }
}

impl<Rule> TableSelection<Rule> {
    pub(super) fn new(
        exact: Vec<(ExactName, Rule)>,
        patterns: Vec<(TablePattern, Rule)>,
        excludes: Vec<TablePattern>,
        entries: Vec<String>,
    ) -> Self {
        let mut by_database: HashMap<String, HashMap<String, Rule>> = HashMap::new();
        for (name, rule) in exact {
            by_database.entry(name.database).or_default().insert(name.table, rule);
        }
        TableSelection { exact: by_database, patterns, excludes, entries, folded: Arc::default() }
    }

    /// All entries' names and patterns as they are written, those that exclude too.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// From now on, names are compared in lower case. Gives back two exact names that then mean the same table.
    pub fn fold_names(&self) -> Result<(), [String; 2]> {
        let mut folded: HashMap<ExactName, ExactName> = HashMap::new();
        for (database, table) in self.exact_names() {
            let name = ExactName { database: database.to_owned(), table: table.to_owned() };
            if let Some(other) = folded.insert(name.folded(), name.clone()) {
                let mut same = [name, other].map(|name| format!("{}.{}", name.database, name.table));
                same.sort();
                return Err(same);
            }
        }
        // Whoever came first has set the same.
        _ = self.folded.set(folded);
        Ok(())
    }

    pub fn folds_names(&self) -> bool {
        self.folded.get().is_some()
    }

    /// The rule for a table, or `None` if it is not selected. Costs a walk over the patterns: ask once per table, not
    /// per event.
    pub fn matches(&self, database: &str, table: &str) -> Option<&Rule> {
        self.find(database, table).map(|(rule, _)| rule)
    }

    /// The rule, and what its pattern captures, if it has one.
    fn find(&self, database: &str, table: &str) -> Option<(&Rule, Captures)> {
        if let Some(rule) = self.exact_rule(database, table) {
            return Some((rule, Captures::new()));
        }
        let name = self.compared(database, table);
        self.matching_pattern(&name.database, &name.table)
    }

    /// The rule of a table that is named exactly.
    pub fn exact_rule(&self, database: &str, table: &str) -> Option<&Rule> {
        let exact = |database: &str, table: &str| self.exact.get(database)?.get(table);
        exact(database, table).or_else(|| {
            let ExactName { database, table } = self.folded.get()?.get(&self.compared(database, table))?;
            exact(database, table)
        })
    }

    /// A table's name as patterns see it.
    fn compared(&self, database: &str, table: &str) -> ExactName {
        let name = ExactName { database: database.to_owned(), table: table.to_owned() };
        if self.folds_names() { name.folded() } else { name }
    }

    fn matching_pattern(&self, database: &str, table: &str) -> Option<(&Rule, Captures)> {
        let folded = self.folds_names();
        let mut matching = self.patterns.iter();
        let found = matching.find_map(|(pattern, rule)| Some((rule, pattern.captures(database, table, folded)?)))?;
        let excluded = self.excludes.iter().any(|pattern| pattern.captures(database, table, folded).is_some());
        (!excluded).then_some(found)
    }

    /// Those of the entries that exclude, as they are written, which take this table back from a pattern.
    pub fn taken_back_by(&self, database: &str, table: &str) -> impl Iterator<Item = &str> {
        let (name, folded) = (self.compared(database, table), self.folds_names());
        let covers = move |pattern: &TablePattern| pattern.captures(&name.database, &name.table, folded).is_some();
        let is_taken =
            self.exact_rule(database, table).is_none() && self.patterns.iter().any(|(pattern, _)| covers(pattern));
        self.excluding_entries()
            .zip(&self.excludes)
            .filter(move |(_, pattern)| is_taken && covers(pattern))
            .map(|(entry, _)| entry)
    }

    /// In the order of the patterns that they are.
    pub fn excluding_entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(String::as_str).filter(|entry| entry.starts_with('!'))
    }

    /// The databases that can hold selected tables, if all entries name theirs: so the catalogue of a server with many
    /// databases is not read as a whole.
    pub fn databases_hint(&self) -> Option<BTreeSet<&str>> {
        let mut databases: BTreeSet<&str> = self.exact.keys().map(String::as_str).collect();
        for (pattern, _) in &self.patterns {
            databases.insert(pattern.database()?);
        }
        Some(databases)
    }

    /// Tables that are named exactly, as (database, table).
    pub fn exact_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exact
            .iter()
            .flat_map(|(database, tables)| tables.keys().map(move |table| (database.as_str(), table.as_str())))
    }

    /// Whether anything but exact names is selected.
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// All rules, those of exact names first. To find entries that select nothing.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let exact = self.exact.values().flat_map(HashMap::values);
        exact.chain(self.patterns.iter().map(|(_, rule)| rule))
    }
}

impl TableSelection {
    /// Whether any entry has `as`.
    pub fn gives_names(&self) -> bool {
        self.rules().any(|rule| rule.target.is_some())
    }

    /// As [`TableSelection::matches`], with what the rule makes of the table's name.
    pub fn selected(&self, name: &tidegate_model::TableName) -> Option<Selected<'_>> {
        let (rule, captures) = self.find(&name.database, &name.table)?;
        Some(Selected { rule, source: name.clone(), captures })
    }
}

/// One entry's name, read.
#[derive(Debug, Clone)]
pub(super) struct TableMatcher {
    pub(super) exclude: bool,
    pub(super) tables: Tables,
}

#[derive(Debug, Clone)]
pub(super) enum Tables {
    Exact(ExactName),
    Pattern(TablePattern),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ExactName {
    pub(super) database: String,
    pub(super) table: String,
}

impl ExactName {
    fn folded(&self) -> ExactName {
        ExactName { database: fold(&self.database), table: fold(&self.table) }
    }
}

#[derive(Debug, Clone)]
pub(super) enum TablePattern {
    Stars {
        database: Starred,
        table: Starred,
    },
    /// As written, and for folded names.
    Regex(Regex, Regex),
}

impl TableMatcher {
    /// Reads a name as in the module's drawing; an error is the constraint that it breaks.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (exclude, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let tables = match rest.strip_prefix('/') {
            Some(rest) => {
                let (exact, folded) = parse_regex(rest)?;
                Tables::Pattern(TablePattern::Regex(exact, folded))
            }
            None => parse_names(rest)?,
        };
        Ok(TableMatcher { exclude, tables })
    }
}

/// The expression on whole names, with and without regard to case.
fn parse_regex(rest: &str) -> Result<(Regex, Regex), String> {
    let Some(expression) = rest.strip_suffix('/').filter(|expression| !expression.is_empty()) else {
        return Err("a regular expression must stand between two slashes".into());
    };
    // The expression is compiled alone first, so that "a)(b" does not become valid inside the group.
    let whole = |ignore_case| RegexBuilder::new(&format!("^(?:{expression})$")).case_insensitive(ignore_case).build();
    let both = Regex::new(expression).and_then(|_| Ok((whole(false)?, whole(true)?)));
    both.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("must be a regular expression on database.table: {reason}")
    })
}

fn parse_names(text: &str) -> Result<Tables, String> {
    let [database, table] = read_names(text, "", |part: &mut Starred, c, _| {
        let is_star = c == '*';
        if is_star {
            part.literals.push(String::new());
        }
        Ok(is_star)
    })?;
    Ok(match (database.as_literal(), table.as_literal()) {
        (Some(database), Some(table)) => {
            Tables::Exact(ExactName { database: database.to_owned(), table: table.to_owned() })
        }
        _ => Tables::Pattern(TablePattern::Stars { database, table }),
    })
}

impl Tables {
    /// What can be captured of a name.
    pub(super) fn captures(&self) -> CaptureNames {
        match self {
            Tables::Exact(_) => CaptureNames::new(),
            Tables::Pattern(TablePattern::Stars { database, table }) => vec![None; database.stars() + table.stars()],
            // The first is the whole name.
            Tables::Pattern(TablePattern::Regex(regex, _)) => {
                regex.capture_names().skip(1).map(|name| name.map(str::to_owned)).collect()
            }
        }
    }

    /// Whether all that a pattern leaves open of a name is in the name that comes out. Otherwise other tables may get the same one.
    pub(super) fn are_told_apart_by(&self, target: &NameTemplate) -> bool {
        match self {
            Tables::Exact(_) => true,
            Tables::Pattern(TablePattern::Stars { database, table }) => {
                let (of_database, of_table) = (database.stars(), table.stars());
                let has_all = |mut stars: Range<usize>| stars.all(|star| target.has_capture(star));
                (target.has_database() || has_all(0..of_database))
                    && (target.has_table() || has_all(of_database..of_database + of_table))
            }
            Tables::Pattern(TablePattern::Regex(..)) => target.has_database() && target.has_table(),
        }
    }

    /// Database and table, where they are the same of every table that is selected.
    pub(super) fn fixed(&self) -> [Option<&str>; 2] {
        match self {
            Tables::Exact(name) => [Some(&name.database), Some(&name.table)],
            Tables::Pattern(TablePattern::Stars { database, table }) => [database.as_literal(), table.as_literal()],
            Tables::Pattern(TablePattern::Regex(..)) => [None, None],
        }
    }

    pub(super) fn into_pattern(self) -> TablePattern {
        match self {
            Tables::Pattern(pattern) => pattern,
            Tables::Exact(ExactName { database, table }) => {
                TablePattern::Stars { database: Starred::literal(database), table: Starred::literal(table) }
            }
        }
    }
}

impl TablePattern {
    /// What stars and groups stand for, if the name matches. With `folded`, it is a folded one.
    fn captures(&self, database: &str, table: &str, folded: bool) -> Option<Captures> {
        if SYSTEM_DATABASES.iter().any(|system| system.eq_ignore_ascii_case(database)) {
            return None;
        }
        match self {
            TablePattern::Stars { database: databases, table: tables } => {
                let mut captures = databases.captures(database, folded)?;
                captures.extend(tables.captures(table, folded)?);
                Some(captures)
            }
            TablePattern::Regex(exact, ignoring_case) => {
                let regex = if folded { ignoring_case } else { exact };
                let name = format!("{database}.{table}");
                let found = regex.captures(&name)?;
                let text = |group: Option<regex::Match<'_>>| group.map_or("", |group| group.as_str()).to_owned();
                Some(found.iter().skip(1).map(text).collect())
            }
        }
    }

    fn database(&self) -> Option<&str> {
        match self {
            TablePattern::Stars { database, .. } => database.as_literal(),
            TablePattern::Regex(..) => None,
        }
    }
}

/// A name with stars: the literals between them, so one literal if there is no star.
#[derive(Debug, Clone)]
pub(super) struct Starred {
    literals: Vec<String>,
}

impl Default for Starred {
    fn default() -> Self {
        Starred::literal(String::new())
    }
}

impl NamePart for Starred {
    fn push(&mut self, c: char) {
        self.literals.last_mut().expect("never empty").push(c);
    }

    fn is_empty(&self) -> bool {
        self.as_literal() == Some("")
    }
}

impl Starred {
    fn literal(name: String) -> Self {
        Starred { literals: vec![name] }
    }

    fn as_literal(&self) -> Option<&str> {
        match self.literals.as_slice() {
            [literal] => Some(literal),
            _ => None,
        }
    }

    fn stars(&self) -> usize {
        self.literals.len() - 1
    }

    /// What the stars stand for, if the name matches.
    ///
    /// Taking the first place for each inner literal is enough: a later one leaves less for the others.
    fn captures(&self, name: &str, folded: bool) -> Option<Captures> {
        if folded {
            let literals = self.literals.iter().map(|literal| fold(literal)).collect();
            return Starred { literals }.captures(name, false);
        }
        let [first, inner @ .., last] = self.literals.as_slice() else {
            return (self.literals[0] == name).then(Captures::new);
        };
        let mut captures = Captures::with_capacity(self.stars());
        let mut rest = name.strip_prefix(first.as_str())?;
        for literal in inner {
            let (star, behind) = rest.split_once(literal.as_str())?;
            captures.push(star.to_owned());
            rest = behind;
        }
        captures.push(rest.strip_suffix(last.as_str())?.to_owned());
        Some(captures)
    }
}
