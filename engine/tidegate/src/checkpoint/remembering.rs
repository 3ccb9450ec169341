//! What the checkpoint remembers of tables and topics, as a run goes on: each change marks what has to be told again.

use super::{Checkpoint, LoadState, RememberedTable, RememberedTopic};
use tidegate_model::TableName;
use tidegate_sink::TopicIdentity;

impl Checkpoint {
    pub fn remembered_table(&self, name: &TableName) -> Option<&RememberedTable> {
        self.tables.get(name)
    }

    /// Remembers how a table's rows leave from now on; its `load` is for one that was not known.
    pub fn take_up(&mut self, table: RememberedTable) {
        let known = self.tables.get(&table.name).unwrap_or(&table);
        let RememberedTable { load, is_asked_for, is_needed, is_unheard_of, .. } = *known;
        let asked_where = known.asked_where.clone();
        let table = RememberedTable { load, is_asked_for, asked_where, is_needed, is_unheard_of, ..table };
        self.tables.insert(table.name.clone(), table);
    }

    /// Rows of the table are to be read that are not known to be delivered.
    pub fn load_wanted(&mut self, name: &TableName) {
        self.set_load(name, LoadState::Wanted);
        self.ask_for(name, false);
    }

    /// All rows of the table are, or no row is, to be sent once more, once reading can stop for it.
    pub fn ask_for(&mut self, name: &TableName, is_asked_for: bool) {
        let is_news = |table: &RememberedTable| table.is_asked_for != is_asked_for || !table.asked_where.is_empty();
        if self.tables.get(name).is_some_and(is_news)
            && let Some(table) = self.tables.get_mut(name)
        {
            table.is_asked_for = is_asked_for;
            table.asked_where.clear();
            table.is_needed &= is_asked_for;
        }
    }

    /// Rows of the table that meet this condition are to be sent once more, besides those that are asked for already.
    pub fn ask_for_part(&mut self, name: &TableName, condition: &str) {
        let is_news = |table: &RememberedTable| {
            !table.is_asked_for_whole() && !table.asked_where.iter().any(|known| known == condition)
        };
        if self.tables.get(name).is_some_and(is_news)
            && let Some(table) = self.tables.get_mut(name)
        {
            table.is_asked_for = true;
            table.asked_where.push(condition.to_owned());
        }
    }

    /// What is asked for of the table has rows that come by nothing else.
    pub fn need(&mut self, name: &TableName) {
        if self.tables.get(name).is_some_and(|table| !table.is_needed)
            && let Some(table) = self.tables.get_mut(name)
        {
            table.is_needed = true;
        }
    }

    /// Tables that patterns select, and that the account may not see.
    pub fn hidden(&self) -> impl Iterator<Item = &TableName> {
        self.remembered.iter().flat_map(|task| &task.hidden)
    }

    /// Tables that have this name where they go have come to differ.
    pub fn is_apart(&mut self, target: &TableName) {
        if let Some(task) = self.remembered.as_mut().filter(|task| !task.apart.contains(target)) {
            task.apart.insert(target.clone());
        }
    }

    /// The account may not see the table, which a pattern selects.
    pub fn hide(&mut self, name: &TableName) {
        if let Some(task) = &mut self.remembered {
            task.hidden.insert(name.clone());
        }
    }

    /// Consumers have, or have not, heard of the table before its rows come.
    pub fn unheard_of(&mut self, name: &TableName, is_unheard_of: bool) {
        if self.tables.get(name).is_some_and(|table| table.is_unheard_of != is_unheard_of)
            && let Some(table) = self.tables.get_mut(name)
        {
            table.is_unheard_of = is_unheard_of;
        }
    }

    /// Tables whose rows are asked for.
    pub fn asked_for(&self) -> Vec<TableName> {
        self.tables.values().filter(|table| table.is_asked_for).map(|table| table.name.clone()).collect()
    }

    /// Every row that was there is delivered, and its CREATE TABLE before them.
    pub fn table_loaded(&mut self, name: &TableName) {
        self.set_load(name, LoadState::Done);
        self.unheard_of(name, false);
    }

    fn set_load(&mut self, name: &TableName, load: LoadState) {
        if let Some(table) = self.tables.get_mut(name) {
            table.load = load;
        }
    }

    pub fn remembered_topic(&self, name: &str) -> Option<&RememberedTopic> {
        self.topics.get(name)
    }

    pub(crate) fn topic_mut(&mut self, name: &str) -> &mut RememberedTopic {
        let new = || RememberedTopic {
            name: name.to_owned(),
            partitions: 0,
            written: false,
            identity: None,
            ends: Vec::new(),
        };
        self.topics.get_or_insert_with(&name.to_owned(), new)
    }

    /// Keys are spread over so many partitions of the topic from now on.
    pub fn topic_spread(&mut self, name: &str, partitions: u32, identity: Option<TopicIdentity>) {
        let topic = self.topic_mut(name);
        topic.partitions = partitions;
        if identity.zip(topic.identity).is_some_and(|(now, before)| now != before) {
            // What another one of this name held is not missing in it.
            topic.ends.clear();
            topic.written = false;
        }
        topic.identity = identity.or(topic.identity);
    }

    /// So far, messages of this run are acknowledged, by partition.
    pub fn topic_ends(&mut self, name: &str, ends: &[i64]) {
        if ends.is_empty() {
            return;
        }
        let known = &mut self.topic_mut(name).ends;
        known.resize(known.len().max(ends.len()), 0);
        known.iter_mut().zip(ends).for_each(|(known, end)| *known = (*known).max(*end));
    }

    /// A message of this task is in the topic.
    pub fn topic_written(&mut self, name: &str) {
        self.topic_mut(name).written = true;
    }
}
