//! What statements make of what is known.

use super::error::list;
use super::*;

impl History {
    /// A statement in the binlog that is neither a transaction's frame nor rows. Gives it back if it touches captured tables,
    /// unless the catalogue showed what it did before reading began.
    pub fn statement(
        &mut self,
        database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, HistoryError> {
        let words = Words::of(sql, database, session);
        if !self.overtaken.is_empty() {
            for key in self.overtaken_by(&words, here) {
                self.overtaken.get_mut(&key).and_then(VecDeque::pop_front);
            }
        }
        let effects = self.as_it_was(words.effects(), session, here);
        let by = words.first();
        let (mut effects, renamed_sequences) = self.follow_sequences(effects, here);
        let mut may_be_the_servers = false;
        if let [Effect::Unlogged { table, rows: UnloggedRows::Emptied }] = effects.as_slice()
            && is_by(&by, "DELETE")
        {
            for table in self.captured_as(table) {
                let known = self.is_in_memory(&table);
                if !known.map_or_else(|| (self.may_empty_itself)(&table), Ok)? {
                    may_be_the_servers = known.is_none();
                    effects = vec![Effect::Rows];
                    break;
                }
            }
        }
        let is_unclear = effects.contains(&Effect::Unclear);
        let may_change_rows = effects.contains(&Effect::Rows) && !self.has_shown_all(here);
        let named = if is_unclear || may_change_rows { self.named(&words, here, is_unclear) } else { Vec::new() };
        // Met again on the way to what is held.
        let is_judged = self.judged_until.as_ref().is_some_and(|delivered| match &delivered.gtids {
            Some(gtids) => here.gtid.is_some_and(|gtid| gtids.contains(gtid)),
            None => *here.at < delivered.until,
        });
        if may_change_rows || !named.is_empty() {
            if !is_judged && !self.pass.contains(here.at) {
                return Err(match is_unclear {
                    true => HistoryError::Unclear { tables: named, statement: by },
                    false => HistoryError::StatementFormat { tables: named, statement: by, may_be_the_servers },
                });
            }
            warn!(at = %here.at, statement = by, "passed over, as told: rows of {} that it may have changed are not sent", list(&named));
        }
        // Before anything else: a task that stops here stops here again.
        let unseen = if is_judged { Vec::new() } else { self.unseen_tables(&effects, here) };
        for table in unseen {
            if let Moved::Turn(turn) = (self.judge)(&table, UnloggedRows::Unseen, here) {
                return Err(HistoryError::Turn { table, statement: by, turn });
            }
        }
        let mut shown = Vec::new();
        let unlogged = if is_judged { Vec::new() } else { self.unlogged_rows(&effects) };
        for (table, rows) in unlogged {
            match (self.judge)(&table, rows, here) {
                Moved::Shown => {
                    shown.push(table);
                    continue;
                }
                Moved::Covered => continue,
                // From before the task began.
                Moved::NotLoaded if self.has_shown(&table, here) => continue,
                Moved::NotLoaded | Moved::Unknown if rows == UnloggedRows::Rewritten => continue,
                Moved::NotLoaded | Moved::Unknown => {}
                Moved::Turn(turn) => {
                    // What went stays with consumers, also where all that there is comes once more.
                    if turn == Turn::LoadAgain {
                        tell(&table, rows, here, &by);
                    }
                    return Err(HistoryError::Turn { table, statement: by, turn });
                }
            }
            if self.rules.unlogged_rows == UnloggedRowsPolicy::Stop {
                return Err(HistoryError::UnloggedRows { table, statement: by, rows });
            }
            match self.left_as(&table, &effects).filter(|_| rows == UnloggedRows::RenamedAway) {
                Some(name) => warn!(
                    table = %table, at = %here.at, statement = by,
                    "it is called {name} now, which is not selected: its changes are not sent any more, and its topic still holds its rows"
                ),
                None => tell(&table, rows, here, &by),
            }
        }
        let ddl = words.ddl();
        if let Ok(ddl) = &ddl {
            self.database(ddl, here);
        }
        let understood = || ddl.as_ref().map_err(NotUnderstood::clone);
        let mut touched: Vec<TableName> = Vec::new();
        for effect in &effects {
            match effect {
                // One that may have been there before is as it was, if that is known.
                Effect::Created { table, if_not_exists, .. } if self.is_beside_captured(table) => {
                    if !if_not_exists {
                        self.stands_by(table, self.created(understood(), &table.database, here).ok(), here);
                    }
                }
                Effect::Altered { table, .. } | Effect::Indexed { table, .. } if self.is_bystander(table) => {
                    let before = self.definition_of(table, here);
                    self.stands_by(table, altered(understood(), before).ok(), here);
                }
                Effect::Created { table, if_not_exists, .. } => {
                    for table in self.captured_as(table) {
                        // The server logs IF NOT EXISTS for a table that exists, where it changed nothing.
                        // Of a table that nobody has heard of, its first row will ask whether it was there before.
                        let may_have_been =
                            || matches!((self.judge)(&table, UnloggedRows::Unseen, here), Moved::Turn(_));
                        if *if_not_exists && (self.knows(&table) || may_have_been()) {
                            touched.push(table);
                        } else {
                            let defined = self.created(understood(), &table.database, here);
                            touched.extend(self.mark_changed(&table, &by, here, &|_| None, defined)?);
                        }
                    }
                }
                Effect::Altered { table, clauses } => {
                    for table in self.captured_as(table) {
                        let defined = altered(understood(), self.definition(&table, here));
                        touched.extend(self.mark_changed(
                            &table,
                            &by,
                            here,
                            &|before| clauses.kept(before?),
                            defined,
                        )?);
                    }
                }
                Effect::Dropped(table) => {
                    self.stands_by(table, None, here);
                    for table in self.captured_as(table) {
                        touched.extend(self.mark_gone(&table, &by, here)?);
                    }
                }
                Effect::Renamed { from, to, .. } => {
                    let kept = self.kept_of(from, here);
                    let definition = self.definition_of(from, here);
                    let (sources, onto) = (self.captured_as(from), self.captured_as(to));
                    if sources.is_empty() && definition.is_some() && !onto.is_empty() {
                        info!(
                            table = %to, at = %here.at, from = %from,
                            "a table that was made beside it takes its place, as an online ALTER ends: its columns are known"
                        );
                    }
                    self.stands_by(from, None, here);
                    let mut renamed = Vec::new();
                    for table in sources {
                        renamed.extend(self.mark_gone(&table, &by, here)?);
                    }
                    if onto.is_empty() {
                        self.stands_by(to, definition.clone(), here);
                    }
                    for table in onto {
                        let mut defined = definition.clone().ok_or_else(NotUnderstood::before);
                        if let Ok(defined) = &mut defined {
                            defined.set_database_text(self.database_text(&table.database, here));
                        }
                        touched.extend(self.mark_changed(&table, &by, here, &|_| kept.clone(), defined)?);
                    }
                    touched.extend(renamed);
                }
                Effect::DroppedDatabase(dropped) => {
                    if !understood().is_ok_and(|ddl| ddl.database().is_some()) {
                        self.record_database(dropped, Database { is_there: false, text: TextDefault::default() }, here);
                    }
                    let names = self.rules.names;
                    self.forget_bystanders(here, |table| names.can_mean(dropped, &table.database));
                    for table in self.known_in(dropped) {
                        touched.extend(self.mark_gone(&table, &by, here)?);
                    }
                }
                Effect::Unlogged { table, .. } => {
                    let news = |table: &TableName| !self.has_shown(table, here);
                    touched.extend(self.captured_as(table).into_iter().filter(news));
                }
                Effect::Indexed { table, dropped } => {
                    for table in self.captured_as(table) {
                        match (altered(understood(), self.definition(&table, here)), dropped) {
                            (Ok(defined), _) => self.index(&table, &defined, here),
                            (Err(_), dropped) => {
                                if let Some(index) = dropped {
                                    self.drop_key(&table, index, here);
                                }
                                if let Some(mut unknown) = self.definition(&table, here) {
                                    unknown.forget_indexes();
                                    self.index(&table, &unknown, here);
                                }
                            }
                        }
                        touched.push(table);
                    }
                }
                Effect::Unclear => {
                    let names = self.rules.names;
                    self.forget_bystanders(here, |table| words.mention(table, names));
                    for table in &named {
                        let reason = Err(NotUnderstood::new("the statement"));
                        touched.extend(self.mark_changed(table, &by, here, &|_| None, reason)?);
                    }
                }
                Effect::Sequence { .. } | Effect::Rows => {}
            }
        }
        self.end_sequences(&effects, &renamed_sequences, here);
        self.look_for_cascades(&words, &effects, here);
        // MariaDB logs RENAME of temporary tables, and nothing else of them, as it does of others: who has the names then is not certain.
        if session.server.is_mariadb && effects.iter().any(|effect| matches!(effect, Effect::Renamed { .. })) {
            let names = self.rules.names;
            self.forget_bystanders(here, |table| words.mention(table, names));
        }
        // An ALTER that renames touches a table twice; a rename to a name that is not captured is about the old one.
        let mut tables: Vec<TableName> = Vec::new();
        let renamed = effects.iter().filter_map(|effect| match effect {
            Effect::Renamed { to, .. } => Some(self.captured_as(to)),
            _ => None,
        });
        for table in renamed.flatten().chain(touched.iter().cloned()) {
            if touched.contains(&table) && !tables.contains(&table) {
                tables.push(table);
            }
        }
        // What is older than all rows that were sent is no news to who has them.
        tables.retain(|table| !shown.contains(table));
        Ok((!tables.is_empty()).then(|| Statement {
            kind: words.kind(&effects),
            tables,
            sql: sql.to_owned(),
            default_database: database.to_owned(),
        }))
    }

    /// The effects, but for renames of tables that were not there, which IF EXISTS has passed over. A rename onto a name that is taken
    /// is none of a table that is known: of a temporary one, or of one that came to its name without a statement.
    fn as_it_was(&self, effects: Vec<Effect>, session: &Session, here: Here<'_>) -> Vec<Effect> {
        if !effects.iter().any(|effect| matches!(effect, Effect::Renamed { .. })) {
            return effects;
        }
        let mut moved: BTreeMap<TableName, bool> = BTreeMap::new();
        let mut out = Vec::with_capacity(effects.len());
        for effect in effects {
            if let Effect::Renamed { from, to, if_exists } = &effect {
                let keys = [from, to].map(|name| self.rules.names.key(name));
                let is_there = |name: &TableName, key: &TableName| match moved.get(key) {
                    Some(is_there) => *is_there,
                    None => {
                        let is_known = |table: &TableName| {
                            self.known_here(table, here).is_some_and(|now| !matches!(now, Now::Gone { .. }))
                        };
                        self.captured_as(name).iter().any(is_known)
                    }
                };
                let [from_is_there, to_is_there] = [is_there(from, &keys[0]), is_there(to, &keys[1])];
                let is_captured = !self.captured_as(from).is_empty();
                if *if_exists && !from_is_there && (is_captured || to_is_there) {
                    continue;
                }
                // MariaDB logs it of temporary tables.
                let is_met = moved.get(&keys[1]).copied().unwrap_or_else(|| self.met.contains(&keys[1]));
                if to_is_there && is_met && session.server.is_mariadb && keys[0] != keys[1] {
                    return vec![Effect::Unclear];
                }
                let [from, to] = keys;
                moved.insert(from, false);
                moved.insert(to, true);
            }
            out.push(effect);
        }
        out
    }

    /// The name that a captured table has behind a statement with these effects, if it is captured no more and none takes its place.
    fn left_as(&self, table: &TableName, effects: &[Effect]) -> Option<TableName> {
        let key = |name: &TableName| self.rules.names.key(name);
        let (mut now, mut is_taken) = (table.clone(), false);
        for effect in effects {
            if let Effect::Renamed { from, to, .. } = effect {
                match key(from) == key(&now) {
                    true => now = to.clone(),
                    false => is_taken |= key(to) == key(table),
                }
            }
        }
        Some(now).filter(|now| !is_taken && self.captured_as(now).is_empty())
    }

    /// The captured tables that a statement names. Of an unclear one, those that it may have changed.
    fn named(&self, words: &Words<'_>, here: Here<'_>, is_unclear: bool) -> Vec<TableName> {
        let may_be = |entry: &&Entry| !is_unclear || !entry.now.is_shown_and_unused(here);
        let tables = self.now.values().filter(may_be).map(|entry| &entry.name);
        tables.filter(|table| words.mention(table, self.rules.names)).cloned().collect()
    }

    /// What is known of the table where a statement stands: not what the catalogue shows of a later time.
    fn known_here(&self, table: &TableName, here: Here<'_>) -> Option<&Now> {
        let entry = self.now.get(&self.rules.names.key(table))?;
        Some(&entry.now).filter(|now| !now.is_foreseen(here))
    }

    /// The captured tables of which a statement with these effects, standing `here`, has rows go or come without row events.
    ///
    /// Not those that the catalogue has shown after it, before any row was read; nor those that nobody has heard of, unless
    /// rows may have come.
    fn unlogged_rows(&self, effects: &[Effect]) -> Vec<(TableName, UnloggedRows)> {
        let mut out = Vec::new();
        for effect in effects {
            if let Effect::DroppedDatabase(dropped) = effect {
                out.extend(self.known_in(dropped).into_iter().map(|table| (table, UnloggedRows::Dropped)));
            }
            if let Effect::Altered { table, clauses } = effect {
                let renumbers = |table: &TableName| clauses.may_renumber(&self.key_of(table));
                let tables = self.captured_as(table).into_iter().filter(renumbers);
                out.extend(tables.map(|table| (table, UnloggedRows::Rewritten)));
            }
            for (name, rows) in effect.unlogged_rows() {
                let tables = self.captured_as(name).into_iter();
                let concerns = |table: &TableName| rows.adds() || self.knows(table);
                out.extend(tables.filter(concerns).map(|table| (table, rows)));
            }
        }
        out
    }

    /// The captured tables that a statement with these effects shows to be there, or to come, with rows of which none was sent:
    /// it is not their CREATE TABLE, and nothing was known of them before.
    fn unseen_tables(&self, effects: &[Effect], here: Here<'_>) -> Vec<TableName> {
        // What a load has shown that was read behind the statement is not what the name meant before.
        let is_sent = |name: &TableName| {
            self.captured_as(name).iter().any(|table| self.knows(table) && !(self.shows)(table, here))
        };
        let mut out: Vec<TableName> = Vec::new();
        for effect in effects {
            let name = match effect {
                // A chain of names within the statement begins with a table that is known, or with one that is not.
                Effect::Renamed { from, to, .. } if !is_sent(from) => to,
                Effect::Altered { table, .. } | Effect::Unlogged { table, .. } => table,
                _ => continue,
            };
            out.extend(self.captured_as(name).into_iter().filter(|table| !self.knows(table)));
        }
        out
    }

    /// Whether there is a table of this name as far as the binlog and the catalogue have told.
    pub(super) fn knows(&self, table: &TableName) -> bool {
        let entry = self.now.get(&self.rules.names.key(table));
        entry.is_some_and(|entry| !matches!(entry.now, Now::Gone { .. }))
    }

    /// The captured tables that a name in a statement can mean.
    pub(super) fn captured_as(&self, written: &TableName) -> Vec<TableName> {
        let names = self.rules.names;
        let key = names.key(written);
        let mut tables: Vec<TableName> = match names {
            NameCase::Exact | NameCase::Folded => {
                self.now.get(&key).map(|entry| entry.name.clone()).into_iter().collect()
            }
            NameCase::Unknown => {
                let can_mean = |name: &TableName| {
                    names.can_mean(&written.database, &name.database) && names.can_mean(&written.table, &name.table)
                };
                self.now.values().map(|entry| &entry.name).filter(|name| can_mean(name)).cloned().collect()
            }
        };
        if tables.is_empty() {
            tables.push(key);
        }
        tables.retain(|table| self.is_captured(table));
        tables
    }

    fn known_in(&self, database: &str) -> Vec<TableName> {
        let known = self.now.values().filter(|entry| !matches!(entry.now, Now::Gone { .. }));
        let is_in = |name: &&TableName| self.rules.names.can_mean(database, &name.database) && self.is_captured(name);
        known.map(|entry| &entry.name).filter(is_in).cloned().collect()
    }

    /// Whether the catalogue, read later than this statement ran, has shown the table as no row was decoded with it yet.
    fn has_shown(&self, table: &TableName, here: Here<'_>) -> bool {
        let entry = self.now.get(&self.rules.names.key(table));
        entry.is_some_and(|entry| entry.now.is_shown_and_unused(here))
    }

    /// The captured tables that a statement has had for itself, and of which the catalogue, read later, shows what it has left.
    pub fn excluded(&self, words: &Words<'_>, here: Here<'_>) -> Vec<TableName> {
        let written = words.excludes(|database| self.known_in(database));
        let tables = written.iter().flat_map(|table| self.captured_as(table));
        tables.filter(|table| self.has_shown(table, here)).collect()
    }

    /// The captured tables that a statement may have given other columns, and of which the catalogue, read later, shows what it has left. By
    /// [`NameCase::key`].
    pub fn overtaken_by(&self, words: &Words<'_>, here: Here<'_>) -> Vec<TableName> {
        let mut tables = BTreeSet::new();
        for effect in words.effects() {
            match &effect {
                Effect::Created { table, if_not_exists: false, .. }
                | Effect::Altered { table, .. }
                | Effect::Dropped(table) => tables.extend(self.captured_as(table)),
                Effect::Renamed { from, to, .. } => {
                    tables.extend([from, to].into_iter().flat_map(|table| self.captured_as(table)));
                }
                Effect::DroppedDatabase(dropped) => tables.extend(self.known_in(dropped)),
                Effect::Unclear => tables.extend(self.named(words, here, false)),
                Effect::Created { .. }
                | Effect::Unlogged { .. }
                | Effect::Indexed { .. }
                | Effect::Sequence { .. }
                | Effect::Rows => {}
            }
        }
        let tables = tables.iter().filter(|table| self.has_shown(table, here));
        tables.map(|table| self.rules.names.key(table)).collect()
    }

    /// Whether the table is one of the engine MEMORY, as far as the catalogue or statements have told.
    fn is_in_memory(&self, table: &TableName) -> Option<bool> {
        match &self.now.get(&self.rules.names.key(table))?.now {
            Now::Known { table, .. } | Now::Changed { defined: Some(table), .. } => table.groundwork()?.is_in_memory(),
            Now::Changed { defined: None, .. } | Now::Gone { .. } => None,
        }
    }

    /// Names of the columns that identify the table's rows, as far as they are known.
    fn key_of(&self, table: &TableName) -> Vec<String> {
        match self.now.get(&self.rules.names.key(table)).map(|entry| &entry.now) {
            Some(Now::Known { table, .. }) => {
                table.key().iter().map(|&column| table.columns()[column].name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same of all tables.
    fn has_shown_all(&self, here: Here<'_>) -> bool {
        !self.now.is_empty() && self.now.values().all(|entry| entry.now.is_shown_and_unused(here))
    }

    /// Gives the table back if the statement is news. `keep` tells what it leaves of the table before, `defined` what it makes.
    fn mark_changed(
        &mut self,
        table: &TableName,
        statement: &str,
        here: Here<'_>,
        keep: Keep<'_>,
        defined: Result<Definition, NotUnderstood>,
    ) -> Result<Option<TableName>, HistoryError> {
        let key = self.rules.names.key(table);
        // Where changes are sent that the catalogue has overtaken, a definition that comes whole is that of the rows behind it.
        if !self.is_news(table, statement, here)? && (defined.is_err() || !(self.replays)(table, here)) {
            return Ok(None);
        }
        let mut origin = None;
        let (before, last_version) = match self.now.remove(&key).map(|entry| entry.now) {
            Some(Now::Known { table: known, .. }) => (Some(known.clone()), known.version()),
            Some(Now::Changed { kept, last_version, by, at, defined }) => {
                // Unknown since then, and made or renamed by it: the load may have to find its rows, too.
                origin = Some((by, at)).filter(|_| defined.is_none() && is_by(statement, "ALTER"));
                (kept, last_version)
            }
            Some(Now::Gone { last_version }) => (None, last_version),
            None => (None, 0),
        };
        let kept = keep(before.as_deref());
        match &defined {
            Ok(_) => info!(table = %table, at = %here.at, statement, "definition may have changed"),
            Err(reason) => info!(table = %table, at = %here.at, statement, %reason, "definition may have changed"),
        }
        let (by, at) = origin.unwrap_or_else(|| (statement.to_owned(), here.at.clone()));
        let defined = defined.ok().map(|defined| Arc::new(defined.table(table.clone(), last_version + 1)));
        let kept = kept.map(|parts| Arc::new(Table::from(parts)));
        let now = Now::Changed { by, at, kept, defined, last_version };
        (self.record)(here.entry(table, now.state(here)));
        self.now.insert(key, Entry { name: table.clone(), now });
        Ok(Some(table.clone()))
    }

    /// The same for a statement that takes the table away.
    fn mark_gone(&mut self, table: &TableName, by: &str, here: Here<'_>) -> Result<Option<TableName>, HistoryError> {
        if !self.is_news(table, by, here)? {
            return Ok(None);
        }
        let key = self.rules.names.key(table);
        self.met.remove(&key);
        let last_version = match self.now.remove(&key).map(|entry| entry.now) {
            Some(Now::Known { table, .. }) => table.version(),
            Some(Now::Changed { last_version, .. } | Now::Gone { last_version }) => last_version,
            // Nobody has heard of it.
            None => return Ok(Some(table.clone())),
        };
        info!(table = %table, at = %here.at, statement = by, "table is gone");
        (self.record)(here.entry(table, SchemaState::Gone { last_version }));
        // Chunks are known by the version that was cut: what comes next is not that.
        if (self.judge)(table, UnloggedRows::Dropped, here) != Moved::NotLoaded {
            self.now.insert(key, Entry { name: table.clone(), now: Now::Gone { last_version } });
        }
        Ok(Some(table.clone()))
    }

    /// Whether a statement on the table is not in what is known of it already.
    fn is_news(&self, table: &TableName, by: &str, here: Here<'_>) -> Result<bool, HistoryError> {
        match self.now.get(&self.rules.names.key(table)).map(|entry| &entry.now) {
            Some(Now::Known { shown_until, is_used, .. }) if here.is_covered_by(shown_until) => match is_used {
                false => Ok(false),
                true => Err(HistoryError::RowsBefore {
                    table: table.clone(),
                    at: here.at.clone(),
                    statement: by.to_owned(),
                }),
            },
            _ => Ok(true),
        }
    }

    /// An index is gone: columns and rows are the same, but it does not identify rows any more if it did.
    fn drop_key(&mut self, table: &TableName, index: &str, here: Here<'_>) {
        let Some(entry) = self.now.get_mut(&self.rules.names.key(table)) else { return };
        if entry.now.is_shown_and_unused(here) {
            return;
        }
        let less = |table: &Table| {
            let mut parts = TableParts::from(table.clone());
            parts.unique_keys.retain(|key| !is_same(&key.name, index));
            (parts.unique_keys.len() < table.unique_keys().len()).then_some(parts)
        };
        match &mut entry.now {
            Now::Known { table, .. } => {
                let Some(mut parts) = less(table) else { return };
                parts.version += 1;
                *table = Arc::new(Table::from(parts));
            }
            Now::Changed { kept, defined, .. } => {
                // What was made of it had the key, or may have had it.
                *defined = None;
                if let Some(parts) = kept.as_deref().and_then(less) {
                    *kept = Some(Arc::new(Table::from(parts)));
                }
            }
            Now::Gone { .. } => return,
        }
        info!(table = %entry.name, at = %here.at, index, "a unique key is gone");
        (self.record)(here.entry(&entry.name, entry.now.state(here)));
    }

    /// An index came or went by a statement that is understood: rows go on, and are known by other keys if those are others.
    fn index(&mut self, table: &TableName, defined: &Definition, here: Here<'_>) {
        let Some(entry) = self.now.get_mut(&self.rules.names.key(table)) else { return };
        if entry.now.is_foreseen(here) {
            return;
        }
        let name = &entry.name;
        match &mut entry.now {
            Now::Known { table, .. } => {
                let same = defined.table(name.clone(), table.version());
                let is_same = same.is_defined_as(table);
                let is_left = |key: &&UniqueKey| same.unique_keys().iter().any(|other| other.name == key.name);
                for key in table.unique_keys().iter().filter(|key| !is_left(key)) {
                    info!(table = %name, at = %here.at, index = key.name, "a unique key is gone");
                }
                *table = Arc::new(if is_same { same } else { defined.table(name.clone(), table.version() + 1) });
            }
            Now::Changed { kept, defined: before, last_version, .. } => {
                let after = defined.table(name.clone(), *last_version + 1);
                let has = |key: &UniqueKey| after.unique_keys().iter().any(|other| is_same(&other.name, &key.name));
                if let Some(table) = kept {
                    let mut parts = TableParts::from(Table::clone(table));
                    parts.unique_keys.retain(has);
                    *table = Arc::new(Table::from(parts));
                }
                *before = Some(Arc::new(after));
            }
            Now::Gone { .. } => return,
        }
        (self.record)(here.entry(name, entry.now.state(here)));
    }

    /// What a CREATE TABLE makes in a database.
    fn created(
        &self,
        ddl: Result<&Ddl, NotUnderstood>,
        database: &str,
        here: Here<'_>,
    ) -> Result<Definition, NotUnderstood> {
        let ddl = ddl?;
        let like = ddl.like().and_then(|like| self.definition_of(like, here));
        ddl.created(self.database_text(database, here), like.as_ref())
    }

    /// What statements build on; none if it is not known, or only how the table will be.
    pub(super) fn definition(&self, table: &TableName, here: Here<'_>) -> Option<Definition> {
        match self.known_here(table, here)? {
            Now::Known { table, .. } | Now::Changed { defined: Some(table), .. } => Some(Definition::of(table)),
            Now::Changed { defined: None, .. } | Now::Gone { .. } => None,
        }
    }

    /// What text has in a database's tables that names nothing, where the catalogue or a statement has told it before.
    fn database_text(&self, database: &str, here: Here<'_>) -> TextDefault {
        if let Some(database) = self.databases.get(&self.rules.names.key(&TableName::new(database, ""))) {
            return database.text.clone();
        }
        let is_in =
            |entry: &&Entry| self.rules.names.can_mean(database, &entry.name.database) && !entry.now.is_foreseen(here);
        let found = self.now.values().filter(is_in).find_map(|entry| match &entry.now {
            Now::Known { table, .. } | Now::Changed { defined: Some(table), .. } => {
                Some(Definition::of(table).database_text().clone()).filter(|text| text.charset.is_some())
            }
            Now::Changed { defined: None, .. } | Now::Gone { .. } => None,
        });
        found.unwrap_or_default()
    }

    fn record_database(&mut self, name: &str, database: Database, here: Here<'_>) {
        let key = self.rules.names.key(&TableName::new(name, ""));
        let charset = database.text.charset.map(|charset| charset.name().to_owned());
        let collation = database.text.collation.clone();
        (self.record)(here.entry(&key, SchemaState::Database { is_there: database.is_there, charset, collation }));
        self.databases.insert(key, database);
    }

    /// A statement on a database: its tables have another character set if they name none.
    fn database(&mut self, ddl: &Ddl, here: Here<'_>) {
        let Some((database, text, is_conditional)) = ddl.database() else { return };
        // Logged also where there was one already.
        let known = self.database_text(database, here);
        let before = self.databases.get(&self.rules.names.key(&TableName::new(database, "")));
        let may_be_there = before.is_none_or(|database| database.is_there);
        let text = if is_conditional && may_be_there { known } else { text.clone() };
        self.record_database(database, Database { is_there: true, text: text.clone() }, here);
        let names = self.rules.names;
        self.forget_bystanders(here, |table| names.can_mean(database, &table.database));
        for entry in self.now.values_mut() {
            if !self.rules.names.can_mean(database, &entry.name.database) {
                continue;
            }
            let with = |table: &Table| {
                let before = table.groundwork()?;
                let database_charset = text.charset.map(|charset| charset.name().to_owned());
                let database_collation = text.collation.clone();
                let after = Groundwork { database_charset, database_collation, ..before.clone() };
                (*before != after).then(|| table.clone().with_groundwork(after))
            };
            if entry.now.is_foreseen(here) {
                continue;
            }
            let (Now::Known { table, .. } | Now::Changed { defined: Some(table), .. }) = &mut entry.now else {
                continue;
            };
            let Some(changed) = with(table) else { continue };
            *table = Arc::new(changed);
            (self.record)(here.entry(&entry.name, entry.now.state(here)));
        }
    }

    /// What is known of a table, for another that gets its rows.
    fn kept_of(&self, written: &TableName, here: Here<'_>) -> Option<TableParts> {
        let table = self.captured_as(written).into_iter().next()?;
        match self.known_here(&table, here)? {
            Now::Known { table, .. } => Some(TableParts::from(Table::clone(table))),
            Now::Changed { kept, .. } => kept.as_deref().map(|kept| TableParts::from(kept.clone())),
            Now::Gone { .. } => None,
        }
    }
}

/// What consumers of a table have behind a statement that moves its rows without row events.
fn tell(table: &TableName, rows: UnloggedRows, here: Here<'_>, statement: &str) {
    let hint = rows.hint();
    warn!(table = %table, at = %here.at, statement, hint, "rows moved without row events: {}", rows.consequence());
}

/// What a statement makes of a table that was so before.
fn altered(ddl: Result<&Ddl, NotUnderstood>, before: Option<Definition>) -> Result<Definition, NotUnderstood> {
    let before = before.ok_or_else(NotUnderstood::before)?;
    ddl?.altered(&before)
}

/// Whether a statement, by its first words, begins with this one.
pub(super) fn is_by(by: &str, word: &str) -> bool {
    by.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(word))
}
