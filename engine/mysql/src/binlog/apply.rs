//! What each event does: transactions begin and end, statements are heard, rows are decoded or wait.

use super::*;
use crate::ddl::Words;

impl BinlogDecoder {
    pub(super) fn event(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event.header.kind {
            kind::GTID => {
                let gtid = parse_gtid(event.body)?;
                self.begin(event, Some(gtid))?;
            }
            kind::GTID_TAGGED => {
                let gtid = parse_tagged_gtid(event.body)?;
                self.begin(event, Some(gtid))?;
            }
            kind::ANONYMOUS_GTID => _ = self.begin(event, None)?,
            kind::QUERY | kind::EXECUTE_LOAD_QUERY => self.query(event)?,
            kind::XID => self.commit(event),
            kind::XA_PREPARE => self.xa_prepare(event)?,
            kind::TABLE_MAP => self.table_map(event)?,
            kind::WRITE_ROWS_V1
            | kind::UPDATE_ROWS_V1
            | kind::DELETE_ROWS_V1
            | kind::WRITE_ROWS
            | kind::UPDATE_ROWS
            | kind::DELETE_ROWS
            | kind::PARTIAL_UPDATE_ROWS => self.rows(event)?,
            kind::INCIDENT => return Err(Fault::Incident(event::parse_incident(event.body)?)),
            // Values for the next statement, the file of a LOAD DATA in statement format: the statement itself is judged.
            kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::BEGIN_LOAD_QUERY
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE => {}
            kind::STOP
            | kind::SLAVE
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE => {}
            kind::MARIADB_GTID => self.begin_group(event)?,
            kind::MARIADB_ANNOTATE_ROWS | kind::MARIADB_BINLOG_CHECKPOINT | kind::MARIADB_GTID_LIST => {}
            // A server decrypts what it sends. In a file, what follows is not to be read.
            kind::MARIADB_START_ENCRYPTION if self.place.is_gapless => return Err(FileFault::Encrypted.into()),
            kind::MARIADB_START_ENCRYPTION => {}
            kind::MARIADB_QUERY_COMPRESSED..=kind::MARIADB_DELETE_ROWS_COMPRESSED => self.compressed(event)?,
            other if event.header.is_ignorable() => {
                info!(event_type = other, at = %event.at, "event skipped, as its flag allows");
            }
            other => return Err(Fault::UnknownEvent(other)),
        }
        Ok(())
    }

    /// A transaction begins, and the one before has ended if nothing else has said so; not if rows of it wait for their outcome.
    fn begin(&mut self, event: Event<'_>, gtid: Option<Gtid>) -> Result<&mut place::Transaction, Fault> {
        if !self.group.is_empty() {
            return Err(Fault::UnfinishedTransaction);
        }
        self.end_transaction(event);
        let transaction = self.place.begin(event.at, gtid);
        transaction.committed_us = event::commit_time_us(event.header, event.body);
        Ok(transaction)
    }

    /// A group of MariaDB's begins.
    fn begin_group(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let start = mariadb::parse_gtid(event.header.server_id, event.body)?;
        self.place.check_order(&start.gtid)?;
        let transaction = self.begin(event, Some(start.gtid))?;
        transaction.is_open = !start.is_standalone;
        transaction.waits = !start.is_standalone && start.prepares.is_none();
        transaction.xid = start.prepares;
        transaction.is_without_effect = start.is_without_effect;
        transaction.thread_id = start.thread_id;
        Ok(())
    }

    /// An event of MariaDB's that holds another one compressed.
    fn compressed(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.clone().ok_or(Fault::Damaged("it comes before the format description"))?;
        let kind = mariadb::unpacked_kind(event.header.kind).ok_or(Fault::UnknownEvent(event.header.kind))?;
        let mut body = std::mem::take(&mut self.unpacked);
        mariadb::unpack(&format, kind, event.body, self.event_bytes_max, &mut body)?;
        self.event(Event { header: &Header { kind, ..*event.header }, body: &body, at: event.at })?;
        // One very large event must not pin its memory for ever.
        body.clear();
        body.shrink_to(1 << 20);
        self.unpacked = body;
        Ok(())
    }

    /// The transaction is committed: what waits of it is true.
    fn commit(&mut self, event: Event<'_>) {
        if self.group.is_empty() {
            self.end_transaction(event);
        } else {
            let rows = std::mem::take(&mut self.group);
            self.read_back(rows, event, Then::End);
        }
    }

    /// The server has died while it wrote the transaction, which nobody has committed then.
    pub(super) fn drop_unfinished(&mut self) {
        let waits = self.place.transaction.as_ref().is_some_and(|transaction| transaction.waits);
        // Rows before an XA PREPARE, too.
        if waits || !self.group.is_empty() {
            warn!(at = %self.place.at, "a transaction has no end in the binlog: the server has died before it committed it");
            let group = std::mem::take(&mut self.group);
            self.held.drop_group(group);
            self.place.transaction = None;
        }
    }

    /// The transaction ends with this event, or before it.
    pub(super) fn end_transaction(&mut self, event: Event<'_>) {
        if self.window.mark_options().transactions
            && let Some(transaction) =
                self.place.transaction.as_ref().filter(|transaction| transaction.has_captured_rows)
        {
            self.window.mark(MarkKind::Commit, event_meta(event, transaction));
        }
        self.place.end_transaction();
        self.tables.age();
    }

    pub(super) fn heartbeat(&mut self, header: &Header, body: &[u8]) -> Result<(), Fault> {
        if header.kind == kind::HEARTBEAT_V2 {
            let (file, offset) = parse_heartbeat_v2(body)?;
            self.place.pass_left_out(&file, HeartbeatEnd::Whole(offset));
        } else {
            self.place.pass_left_out(&String::from_utf8_lossy(body), HeartbeatEnd::Low32(header.end_low32));
        }
        let coordinate = self.place.coordinate().clone();
        if self.window.mark_options().heartbeats
            && self.place.transaction.is_none()
            && self.heartbeats_from.as_ref().is_some_and(|from| *from <= coordinate)
        {
            // Its own time is 0: the server has written it for nobody but us, just now.
            let meta = EventMeta {
                timestamp_s: now_s(),
                server_id: header.server_id,
                thread_id: 0,
                transaction: coordinate.clone(),
                coordinate,
                gtid: None,
            };
            self.window.mark(MarkKind::Heartbeat, meta);
        }
        Ok(())
    }

    fn query(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let query = Query::parse(event.header.kind, event.body)?;
        let frame = Frame::of(&query.sql);
        let logs_rollbacks = self.format.as_ref().is_some_and(|format| format.logs_rollbacks);
        let transaction = self.place.transaction(event.at);
        match frame {
            Some(Frame::Begin | Frame::XaStart(_)) => {
                // Without GTIDs, this is how a transaction begins.
                let transaction = if transaction.is_open { self.begin(event, None)? } else { transaction };
                transaction.is_open = true;
                transaction.thread_id = query.thread_id;
                match frame {
                    Some(Frame::XaStart(xid)) => transaction.xid = Some(xid.to_owned()),
                    _ => transaction.waits = logs_rollbacks,
                }
            }
            Some(Frame::Commit) => self.commit(event),
            Some(Frame::Rollback | Frame::RollbackTo(_)) if transaction.has_captured_rows => {
                return Err(Fault::RolledBack);
            }
            Some(Frame::Rollback) if transaction.has_delivered_behind(0) => return Err(Fault::RolledBack),
            Some(Frame::Rollback) => {
                let group = std::mem::take(&mut self.group);
                self.held.drop_group(group);
                self.end_transaction(event);
            }
            // Where rows do not wait, a rollback to it is one of rows that are out.
            Some(Frame::Savepoint(name)) if transaction.waits || transaction.xid.is_some() => {
                self.group.set_savepoint(name, transaction.row_events);
                if transaction.waits && self.group.waiting_bytes() > WAIT_BYTES_MAX {
                    self.wait_no_more(event);
                }
            }
            Some(Frame::Savepoint(_)) => {}
            Some(Frame::RollbackTo(name)) => {
                let events = self.held.roll_back_to(&mut self.group, name);
                let is_certain =
                    events.map_or(self.group.is_empty(), |events| !transaction.has_delivered_behind(events));
                if !is_certain {
                    return Err(Fault::RolledBack);
                }
            }
            Some(Frame::ReleaseSavepoint | Frame::XaEnd) => {}
            Some(Frame::XaCommit(xid)) => self.xa_commit(xid, event)?,
            Some(Frame::XaRollback(xid)) => {
                // Of one that was never prepared, rows would stand right before it.
                let group = std::mem::take(&mut self.group);
                self.held.drop_group(group);
                if let Some(prepared) = self.place.prepared.remove(xid) {
                    self.held.drop_group(prepared.rows);
                    self.place.executed(prepared.gtid.as_ref());
                }
                self.place.forget_without_rows(xid);
                self.place.end_transaction();
            }
            None if transaction.is_without_effect => self.place.end_transaction(),
            None => {
                let server =
                    self.format.as_ref().map_or(Server::default(), |format| Server::of(&format.server_version));
                let mut session = Session::read(server, query.status);
                session.is_threads_own = event.header.is_threads_own();
                if transaction.waits && !self.group.is_empty() {
                    // It stands behind these rows, and may change what they mean; unless a temporary table came or went.
                    if !Words::of(&query.sql, &query.database, &session).effects().is_empty() {
                        self.wait_no_more(event);
                    }
                    return Ok(());
                }
                let is_open = transaction.is_open;
                transaction.thread_id = query.thread_id;
                let meta = event_meta(event, transaction);
                let is_delivered = transaction.is_within_delivered();
                let here = Here { at: event.at, gtid: meta.gtid.as_ref() };
                if let Some(statement) = self.schemas.statement(&query.database, &query.sql, &session, here)?
                    && self.window.mark_options().statements
                    && !is_delivered
                {
                    self.window.mark(MarkKind::Statement(statement), meta);
                }
                // The statement may have changed what any table id stands for.
                self.statements += 1;
                if !is_open {
                    self.place.end_transaction();
                }
            }
        }
        Ok(())
    }

    fn xa_prepare(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let rows = std::mem::take(&mut self.group);
        if event::parse_xa_prepare(event.body)? {
            // One phase: this is the commit.
            self.place.transaction(event.at).xid = None;
            self.read_back(rows, event, Then::End);
        } else {
            if let Some(outdated) = self.place.prepare_transaction((!rows.is_empty()).then_some(rows)) {
                warn!(at = %event.at, "an XA transaction is prepared once more under its identifier: of the first, no outcome was logged");
                self.held.drop_group(outdated);
            }
        }
        Ok(())
    }

    fn xa_commit(&mut self, xid: &str, event: Event<'_>) -> Result<(), Fault> {
        if let Some(prepared) = self.place.prepared.remove(xid) {
            self.place.transaction(event.at).thread_id = prepared.thread_id;
            let place::Prepared { start, gtid, before, rows, .. } = prepared;
            self.place.committing = Some(Committing { start, gtid, before });
            self.read_back(rows, event, Then::End);
            return Ok(());
        }
        // What was delivered was judged when it was.
        let is_judged = self.place.transaction(event.at).done == Done::All;
        if !self.place.forget_without_rows(xid) && !is_judged {
            match self.place.is_older_than_task() {
                Some(true) => {}
                Some(false) if self.pass.contains(event.at) => {
                    warn!(xid, at = %event.at, "XA COMMIT passed over, as told: rows that it has of captured tables are not sent");
                }
                Some(false) => return Err(Fault::UnreadXa { xid: xid.to_owned() }),
                None => {
                    warn!(xid, at = %event.at, "XA COMMIT of a transaction that was prepared before the start: if it has rows of captured tables, they are missing");
                }
            }
        }
        self.end_transaction(event);
        Ok(())
    }

    /// From now on, the held rows are read as rows of the transaction that commits them; with [`Then::End`] it ends with the last
    /// of them.
    fn read_back(&mut self, rows: Group, event: Event<'_>, then: Then) {
        let transaction = self.place.transaction(event.at);
        let row_events = std::mem::take(&mut transaction.row_events);
        transaction.waits = false;
        if transaction.done == Done::All && then == Then::End {
            self.held.drop_group(rows);
            self.end_transaction(event);
            return;
        }
        let (reader, header) = (self.held.read(rows), *event.header);
        self.read_back = Some(ReadBack { reader, body: Vec::new(), header, row_events, then });
    }

    /// From now on the transaction's rows are sent as they come, those first that have waited; then the event is read again.
    fn wait_no_more(&mut self, event: Event<'_>) {
        let rows = std::mem::take(&mut self.group);
        self.read_back(rows, event, Then::Again);
    }

    /// An event whose transaction waits for its end: it waits, too, unless there is too much of that.
    fn wait(&mut self, event: Event<'_>) -> Result<(), Fault> {
        if self.group.waiting_bytes() + event.body.len() <= WAIT_BYTES_MAX {
            return self.hold(event);
        }
        self.wait_no_more(event);
        Ok(())
    }

    fn table_map(&mut self, event: Event<'_>) -> Result<(), Fault> {
        // Met again on the way to what is held: its rows need no columns, which may be others by now.
        if self.place.transaction(event.at).is_passed() {
            return Ok(());
        }
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let mut input = Input::new(event.body);
        let table_id = format.table_id(kind::TABLE_MAP, &mut input)?;
        let map_bytes = input.rest();
        let is_same = |mapped: &MappedTable| mapped.statements == self.statements && mapped.map == map_bytes;
        if !self.tables.get_mut(table_id).is_some_and(|mapped| is_same(mapped)) {
            let map = TableMap::parse(map_bytes)?.of_mariadb(format.mariadb);
            let gtid = self.place.transaction.as_ref().and_then(|transaction| transaction.gtid.as_ref());
            let here = Here { at: event.at, gtid };
            let is_held = self.place.transaction.as_ref().is_some_and(|transaction| transaction.xid.is_some());
            let is_shown = !is_held && self.schemas.is_shown(&map, here);
            let table = if is_shown { None } else { self.schemas.table(&map, here)? };
            let (plan, row_bytes) = match table {
                Some(table) => {
                    self.window.begin_version(&table);
                    let row_use = (self.row_uses)(&table);
                    let plan = RowPlan::new(&map, table)?.with_value_bytes_max(self.event_bytes_max);
                    (Some(plan.reading(&row_use.columns)), row_use.bytes)
                }
                None => (None, 0),
            };
            // The next transaction asks again.
            let statements = if is_shown { u64::MAX } else { self.statements };
            let (map, slot) = (map_bytes.to_vec(), Slot::default());
            self.tables.insert(table_id, MappedTable { map, statements, plan, row_bytes, slot });
        }
        let is_captured = self.tables.get_mut(table_id).is_some_and(|mapped| mapped.plan.is_some());
        let transaction = self.place.transaction(event.at);
        match is_captured {
            true if transaction.xid.is_some() => self.hold(event),
            true if transaction.waits => self.wait(event),
            _ => Ok(()),
        }
    }

    fn rows(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let transaction = self.place.transaction(event.at);
        transaction.row_events += 1;
        if transaction.is_passed() {
            return Ok(());
        }
        let table_id = format.table_id(event.header.kind, &mut Input::new(event.body))?;
        let Some(mapped) = self.tables.get_mut(table_id) else {
            // A server ends a statement whose last table needs no rows by an event without any.
            let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
            return if rows.rows.is_empty() { Ok(()) } else { Err(Fault::NoTableMap(table_id)) };
        };
        let Some(plan) = &mapped.plan else { return Ok(()) };
        if transaction.xid.is_some() {
            return self.hold(event);
        }
        if transaction.waits {
            return self.wait(event);
        }
        let is_first = !std::mem::replace(&mut transaction.has_captured_rows, true);
        if transaction.is_delivered() {
            // Its transaction's BEGIN, too.
            return Ok(());
        }
        if is_first && self.window.mark_options().transactions {
            self.window.mark(MarkKind::Begin, event_meta(event, transaction));
        }
        let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
        match self.window.append(plan, mapped.row_bytes, &mut mapped.slot, &rows, || event_meta(event, transaction)) {
            Err(fault @ Fault::PartialImage { .. }) if self.pass.contains(event.at) => {
                warn!(at = %event.at, "passed over, as told: rows that it has changed are not sent: {fault}");
                Ok(())
            }
            appended => appended,
        }
    }

    /// Keeps an event of a transaction until its outcome is known.
    fn hold(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let row_events = self.place.transaction(event.at).row_events;
        self.held.push(&mut self.group, event.header, row_events, event.body);
        if self.held.is_over() {
            for prepared in self.place.prepared.values_mut() {
                self.held.write_out(&mut prepared.rows)?;
            }
            self.held.write_out(&mut self.group)?;
        }
        Ok(())
    }
}
