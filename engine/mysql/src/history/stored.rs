//! The history as it is stored: an entry for each version, and which of them are needed no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::Here;
use tidegate_model::{Coordinate, Groundwork, Gtid, Position, Table, TableName, TableParts, Watermark};

/// One entry of the history, as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchema {
    pub table: TableName,
    /// The event that made it. With a GTID it says where people can look, and nothing more.
    pub since: Coordinate,
    /// The transaction of that event. `None` on a server without GTIDs, of what the catalogue showed, and in checkpoints that
    /// did not keep it.
    #[serde(default)]
    pub gtid: Option<Gtid>,
    #[serde(deserialize_with = "state")]
    pub state: SchemaState,
}

/// What is known of a table from some point on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaState {
    Known {
        parts: TableParts,
        /// What the next statement builds on. `None` of what only a table map has told, and in checkpoints that did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        groundwork: Option<Groundwork>,
        /// If it was read from the catalogue: what had been executed before.
        #[serde(default, deserialize_with = "watermark_or_coordinate")]
        shown_until: Option<Watermark>,
        /// Rows have been decoded with it. A checkpoint that does not say so may have been written after some.
        #[serde(default = "yes")]
        is_used: bool,
    },
    /// A statement may have changed the columns; its first words, and what it has left of the table before, of which the next
    /// one inherits what a table map does not say.
    Changed {
        by: String,
        /// Where that was, if not at the entry's own place: others came behind it that did not say what the columns are either.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Coordinate>,
        last_version: u32,
        #[serde(default)]
        kept: Option<TableParts>,
        /// What the statement has made of it, if it was understood and so was what came before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        defined: Option<Defined>,
    },
    /// It was dropped, or has another name: of the next table of this name nothing is known.
    Gone { last_version: u32 },
    /// What somebody says that it is there, where nobody else knows: rows stand there. What follows from it is an entry of its own.
    Given { defined: Defined },
    /// It is a sequence of MariaDB's, and no table.
    Sequence {
        /// As the catalogue has shown it, perhaps of a later time than the entry's.
        by_catalogue: bool,
    },
    /// It is not selected, and this is what statements have made of it.
    Bystander { defined: Defined },
    /// What a statement has made of a database: the entry's table has no name.
    Database {
        is_there: bool,
        /// Of its tables that name none, unless it did not say.
        charset: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collation: Option<Arc<str>>,
    },
}

/// A definition that was read from statements: no table map has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub parts: TableParts,
    pub groundwork: Groundwork,
}

impl Defined {
    /// `None` of a table that nobody could alter by a statement, since only a table map has told of it.
    pub fn of(table: &Table) -> Option<Defined> {
        Some(Defined { parts: table.clone().into(), groundwork: table.groundwork()?.clone() })
    }

    pub(super) fn table(&self) -> Table {
        Table::from(self.parts.clone()).with_groundwork(self.groundwork.clone())
    }
}

impl SchemaState {
    pub fn is_given(&self) -> bool {
        matches!(self, SchemaState::Given { .. })
    }

    pub(super) fn known(table: &Table, shown_until: Option<Watermark>, is_used: bool) -> SchemaState {
        let (parts, groundwork) = (TableParts::from(table.clone()), table.groundwork().cloned());
        SchemaState::Known { parts, groundwork, shown_until, is_used }
    }
}

/// Older checkpoints have a table that was dropped as one that changed.
fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaState, D::Error> {
    const DROPPED: [&str; 3] = ["DROP TABLE ", "DROP DATABASE ", "DROP SCHEMA "];
    let is_drop = |by: &str| DROPPED.iter().any(|words| by.to_ascii_uppercase().starts_with(words));
    Ok(match SchemaState::deserialize(deserializer)? {
        SchemaState::Changed { by, last_version, .. } if is_drop(&by) => SchemaState::Gone { last_version },
        state => state,
    })
}

fn yes() -> bool {
    true
}

/// A watermark, or the bare coordinate that older checkpoints have.
fn watermark_or_coordinate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Watermark>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Watermark(Watermark),
        Coordinate(Coordinate),
    }
    Ok(Option::<Stored>::deserialize(deserializer)?.map(|stored| match stored {
        Stored::Watermark(watermark) => watermark,
        Stored::Coordinate(coordinate) => Watermark::Coordinate(coordinate),
    }))
}

impl StoredSchema {
    /// A table as the catalogue shows it, of which what is known begins at `since`; `shown_until` is where the catalogue was read.
    pub fn shown(table: &Table, since: &Coordinate, shown_until: Watermark) -> StoredSchema {
        StoredSchema {
            table: table.name().clone(),
            since: since.clone(),
            gtid: None,
            state: SchemaState::known(table, Some(shown_until), false),
        }
    }

    /// A name of which the catalogue shows that it is a sequence, and of which nothing else is known. The catalogue may have been read behind
    /// `since`, unless it `is_of_then`.
    pub fn sequence(name: &TableName, since: &Coordinate, is_of_then: bool) -> StoredSchema {
        let state = SchemaState::Sequence { by_catalogue: !is_of_then };
        StoredSchema { table: name.clone(), since: since.clone(), gtid: None, state }
    }

    /// The table that it tells of, as far as it is known.
    pub fn defined(&self) -> Option<Table> {
        match &self.state {
            SchemaState::Known { parts, .. } => Some(Table::from(parts.clone())),
            SchemaState::Changed { defined, kept, .. } => match defined {
                Some(defined) => Some(defined.table()),
                None => kept.clone().map(Table::from),
            },
            _ => None,
        }
    }

    /// Whether whoever starts at `position` is behind the entry, or in a transaction that is.
    pub(super) fn is_in_force(&self, position: &Position) -> bool {
        match (&self.gtid, &position.gtids) {
            (Some(gtid), Some(gtids)) => gtids.contains(gtid),
            // What the catalogue shows holds from its own place on. What an event made holds behind that event: a position may lie right before
            // it, and then it comes again.
            (_, None) if self.is_of_catalogue() => self.since <= position.coordinate,
            (_, None) => self.since < position.coordinate,
            // From a checkpoint without GTIDs in its entries. Its coordinate may be another server's; what holds from the entry
            // on is safe before it: the columns are unknown, or table maps have their names.
            (None, Some(_)) => true,
        }
    }

    fn is_of_catalogue(&self) -> bool {
        matches!(
            &self.state,
            SchemaState::Known { shown_until: Some(_), .. } | SchemaState::Sequence { by_catalogue: true }
        )
    }

    /// Whether it was given for rows that stand before the position.
    fn is_over(&self, position: &Position) -> bool {
        let is_behind = self.gtid.is_some() || self.since < position.coordinate;
        self.state.is_given() && is_behind && self.is_in_force(position)
    }

    /// Whether it is about the rows that stand there: within a transaction, a table is one.
    pub(super) fn is_at(&self, here: Here<'_>) -> bool {
        match (&self.gtid, here.gtid) {
            (Some(gtid), Some(here)) => gtid == here,
            (None, None) => self.since == *here.at,
            _ => false,
        }
    }

    /// Whether it was found at the same place of history, and says the same.
    fn is_same(&self, other: &StoredSchema) -> bool {
        let same_place = match (&self.gtid, &other.gtid) {
            (Some(gtid), Some(other)) => gtid == other,
            (None, None) => self.since == other.since,
            _ => false,
        };
        self.table == other.table && same_place && self.state == other.state
    }
}

/// What entries say of each table at a position, for a task that goes on from `since`, which lies before it. Right if no statement between both
/// has changed it, which [`is_kept`] tells of whoever has read what lies between.
pub fn moved_back(entries: &[StoredSchema], at: &Position, since: &Coordinate) -> Vec<StoredSchema> {
    let mut in_force: BTreeMap<&TableName, &StoredSchema> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.state.is_given()) {
        // The first holds until one behind it does.
        if entry.is_in_force(at) || !in_force.contains_key(&entry.table) {
            in_force.insert(&entry.table, entry);
        }
    }
    let moved = |entry: &StoredSchema| {
        let state = match &entry.state {
            // Nothing is known of what a catalogue has shown, but by what it has shown.
            SchemaState::Known { parts, groundwork, .. } => SchemaState::Known {
                parts: parts.clone(),
                groundwork: groundwork.clone(),
                shown_until: None,
                is_used: true,
            },
            state => state.clone(),
        };
        StoredSchema { table: entry.table.clone(), since: since.clone(), gtid: None, state }
    };
    in_force.into_values().map(moved).collect()
}

/// The first table of which entries say something else than they did before.
pub fn is_kept<'e>(before: &[StoredSchema], now: &'e [StoredSchema]) -> Result<(), &'e TableName> {
    let is_same = |one: &StoredSchema, other: &StoredSchema| match (&one.state, &other.state) {
        (SchemaState::Known { parts, .. }, SchemaState::Known { parts: others, .. }) => parts == others,
        (state, other) => state == other,
    };
    let was_known =
        |entry: &StoredSchema| before.iter().any(|known| known.table == entry.table && is_same(known, entry));
    now.iter().find(|entry| !was_known(entry)).map_or(Ok(()), |entry| Err(&entry.table))
}

/// Adds an entry, unless an earlier run has found it already.
pub fn record(entries: &mut Vec<StoredSchema>, entry: StoredSchema) {
    if !entries.iter().any(|known| known.is_same(&entry)) {
        entries.push(entry);
    }
}

/// Whether [`prune`] finds anything to drop or to forget in the entries of one table.
pub fn is_prunable(entries: &[StoredSchema], position: &Position) -> bool {
    let is_shown = |entry: &StoredSchema| match &entry.state {
        SchemaState::Known { shown_until, .. } => {
            shown_until.as_ref().is_some_and(|shown_until| position.has_come_to(shown_until))
        }
        SchemaState::Changed { .. }
        | SchemaState::Gone { .. }
        | SchemaState::Given { .. }
        | SchemaState::Bystander { .. }
        | SchemaState::Sequence { .. }
        | SchemaState::Database { .. } => false,
    };
    let is_gone = |entry: &StoredSchema| matches!(entry.state, SchemaState::Gone { .. }) && entry.is_in_force(position);
    // The first holds until one behind it does.
    entries.iter().any(|entry| is_shown(entry) || is_gone(entry) || entry.is_over(position))
        || entries.iter().skip(1).any(|entry| entry.is_in_force(position))
}

/// Drops what nobody who starts at `position` can need: entries, and until when the catalogue had shown everything. Gives back
/// tables that are gone and of which nothing is left; `is_loaded` tells of those that must stay for the load.
pub fn prune(
    entries: &mut Vec<StoredSchema>,
    position: &Position,
    is_loaded: impl Fn(&TableName) -> bool,
) -> Vec<TableName> {
    let mut in_force: HashMap<&TableName, usize> = HashMap::new();
    let mut superseded = vec![false; entries.len()];
    // Entries stand in the order in which they came to be.
    for (index, entry) in entries.iter().enumerate() {
        if entry.state.is_given() {
            // What it was needed for has been read.
            superseded[index] = entry.is_over(position);
            continue;
        }
        match in_force.get_mut(&entry.table) {
            Some(before) if entry.is_in_force(position) => {
                superseded[*before] = true;
                *before = index;
            }
            Some(_) => {}
            // The first.
            None => _ = in_force.insert(&entry.table, index),
        }
    }
    let mut superseded = superseded.into_iter();
    entries.retain(|_| superseded.next() == Some(false));
    let mut left: HashMap<&TableName, u32> = HashMap::new();
    entries.iter().for_each(|entry| *left.entry(&entry.table).or_default() += 1);
    let is_gone = |entry: &&StoredSchema| {
        matches!(entry.state, SchemaState::Gone { .. })
            && left[&entry.table] == 1
            && entry.is_in_force(position)
            && !is_loaded(&entry.table)
    };
    let gone: BTreeSet<TableName> = entries.iter().filter(is_gone).map(|entry| entry.table.clone()).collect();
    entries.retain(|entry| !gone.contains(&entry.table));
    for entry in entries {
        if let SchemaState::Known { shown_until, .. } = &mut entry.state
            && shown_until.as_ref().is_some_and(|shown_until| position.has_come_to(shown_until))
        {
            *shown_until = None;
        }
    }
    gone.into_iter().collect()
}
