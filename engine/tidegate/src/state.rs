//! What is stored of a task: `tidegate state`, for people and as JSON. Reads the file only, also while a run writes to it.
//!
//! ```text
//! task shop: a server with GTIDs
//! position: binlog.000007:4321 (executed 3e11fa47-…:1-20)
//! full load: 1 of 2 tables, 48,000 rows delivered
//! last of its history: 2026-11-27 12:07:01 UTC, stopped, signal, at 3e11fa47-…:1-20; `tidegate history` prints all of it
//! left out: changes from binlog.000002:157 to binlog.000007:4, accepted 2026-11-27 12:05:54 UTC; loaded again: shop.orders
//!   table                load        chunks       rows   topic
//!   shop.orders          loading      12/48     48,000   shop.orders (3 partitions)
//!   shop.items           done                            shop.items (3 partitions)
//! ```

use std::fmt::Write;

use serde_json::{Value, json};

use crate::checkpoint::{self, Checkpoint, CheckpointError, Gap, LoadState, RememberedTable};
use crate::config::Task;
use crate::pipeline::route::with_target;
use crate::status::monitor::parts_of;
use crate::status::report::Part;
use crate::status::words;
use tidegate_model::TableName;
use tidegate_model::words::{counted, grouped, time_text};
use tidegate_mysql::check::list_names;
use tidegate_mysql::ledger::{ChunkState, Ledger, TableChunks};

/// What is stored, or that nothing is.
pub fn text(task: &Task) -> Result<String, CheckpointError> {
    Ok(match checkpoint::read(&task.state, &task.name)? {
        Some(checkpoint) => describe(&checkpoint),
        None => format!("task {} has not begun: there is no state in {}\n", task.name, task.state.display()),
    })
}

/// The same as a JSON object; `null` of a task that has not begun. Names are those of the file's entries; `full_load` has a table's
/// chunks as numbers, `schemas` all versions of all tables, and `journal` the last of its entries.
pub fn json(task: &Task) -> Result<Value, CheckpointError> {
    Ok(match checkpoint::read(&task.state, &task.name)? {
        Some(checkpoint) => to_json(&checkpoint),
        None => Value::Null,
    })
}

fn to_json(checkpoint: &Checkpoint) -> Value {
    let full_load = checkpoint.source.ledger.as_ref().map(|ledger| {
        let tables: Vec<Value> = ledger.tables().iter().map(table_json).collect();
        json!({ "start": ledger.start(), "tables": tables })
    });
    let row_groups: Vec<Value> = checkpoint
        .source
        .row_groups
        .iter()
        .map(|(table, groups)| json!({ "table": table, "row_groups": groups }))
        .collect();
    let too_large: Vec<Value> =
        checkpoint.too_large.iter().map(|(table, counts)| json!({ "table": table, "counts": counts })).collect();
    json!({
        "task": checkpoint.task,
        "source": checkpoint.identity,
        "position": checkpoint.source.position,
        "full_load": full_load,
        "row_groups": row_groups,
        "schemas": checkpoint.source.schemas(),
        "tables": checkpoint.tables.values().collect::<Vec<_>>(),
        "topics": checkpoint.topics.values().collect::<Vec<_>>(),
        "too_large": too_large,
        "remembered": checkpoint.remembered,
        "gaps": checkpoint.gaps,
        "journal": { "entries": checkpoint.journal.entries().count(), "last": checkpoint.journal.entries().last() },
    })
}

fn table_json(table: &TableChunks) -> Value {
    let count = |state| table.chunks.iter().filter(|chunk| chunk.state == state).count();
    json!({
        "name": table.name,
        "done": table.is_done(),
        "planned": table.planned,
        "gone": table.gone.is_some(),
        "rows": table.rows(),
        "where": table.part,
        "in_pieces": table.pieces_high.is_some(),
        "chunks": {
            "planned": count(ChunkState::Planned),
            "reading": count(ChunkState::Reading),
            "done": count(ChunkState::Done),
        },
    })
}

fn describe(checkpoint: &Checkpoint) -> String {
    let mut out = format!("task {}: {}\n", checkpoint.task, checkpoint.identity);
    match (&checkpoint.source.position, &checkpoint.source.ledger) {
        (Some(position), _) => _ = writeln!(out, "position: {position}"),
        (None, Some(ledger)) => _ = writeln!(out, "position: {}, where the full load began", ledger.start().place()),
        (None, None) => {}
    }
    if let Some(ledger) = &checkpoint.source.ledger {
        let done = ledger.tables().iter().filter(|table| table.is_done()).count();
        let rows = ledger.tables().iter().map(TableChunks::rows).sum();
        let (tables, rows) = (counted(ledger.tables().len() as u64, "table"), counted(rows, "row"));
        _ = writeln!(out, "full load: {done} of {tables}, {rows} delivered");
    }
    for gap in &checkpoint.gaps {
        _ = writeln!(
            out,
            "left out: changes from {} to {}, accepted {}; {}",
            gap.from,
            gap.to,
            time_text(gap.accepted_s),
            became(gap)
        );
    }
    if let Some(last) = checkpoint.journal.entries().last() {
        // What its details say in several lines stands in one.
        let shown = last.to_string();
        let lines = shown.lines().flat_map(|line| line.split("  ")).map(str::trim);
        let words: Vec<&str> = lines.filter(|word| !word.is_empty()).collect();
        _ = writeln!(out, "last of its history: {}; `tidegate history` prints all of it", words.join(", "));
    }
    for Part { table, condition, begun } in parts_of(checkpoint) {
        let what = if begun { "being loaded" } else { "asked for" };
        _ = writeln!(out, "{what}: rows of {table} where {condition}");
    }
    for (table, counts) in checkpoint.too_large.iter() {
        _ = writeln!(out, "too large for their topic, of {table}: {}", words::too_large(counts));
    }
    let lines: Vec<[String; 5]> = checkpoint.tables.iter().map(|(name, table)| line(checkpoint, name, table)).collect();
    if lines.is_empty() {
        return out;
    }
    let heads = ["table", "load", "chunks", "rows", "topic"].map(str::to_owned);
    let width =
        |column: usize| lines.iter().chain([&heads]).map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for [table, load, chunks, rows, topic] in std::iter::once(&heads).chain(&lines) {
        let [a, b, c, d] = widths;
        _ = writeln!(out, "  {table:a$}  {load:b$}  {chunks:>c$}  {rows:>d$}  {topic}");
    }
    out
}

/// What became of the tables behind a gap.
fn became(gap: &Gap) -> String {
    let loaded = match gap.loaded.len() {
        0 => None,
        _ => Some(format!("loaded again: {}", list_names(&gap.loaded))),
    };
    let left = (!gap.left.is_empty()).then(|| format!("left as they were: {}", list_names(&gap.left)));
    let gone = (!gap.gone.is_empty()).then(|| format!("gone: {}", list_names(&gap.gone)));
    loaded.into_iter().chain(left).chain(gone).collect::<Vec<_>>().join("; ")
}

fn line(checkpoint: &Checkpoint, name: &TableName, table: &RememberedTable) -> [String; 5] {
    let chunks = checkpoint.source.ledger.as_ref().and_then(|ledger: &Ledger| ledger.table(name));
    let load = match (table.load, chunks) {
        _ if table.is_asked_for_whole() => "asked for",
        _ if table.is_asked_for => "rows asked for",
        (_, Some(chunks)) if chunks.gone.is_some() => "gone",
        (LoadState::NotWanted, _) => "changes only",
        (LoadState::Done, _) => "done",
        (LoadState::Wanted, Some(chunks)) if chunks.is_part_loading() => "loading rows",
        (LoadState::Wanted, Some(chunks)) if !chunks.chunks.is_empty() => "loading",
        (LoadState::Wanted, _) => "waits",
    };
    let (done, rows) = match (chunks, checkpoint.source.row_groups.get(name)) {
        (Some(chunks), _) => {
            let done = chunks.chunks.iter().filter(|chunk| chunk.state == ChunkState::Done).count();
            let more = if chunks.planned { "" } else { "+" };
            (format!("{done}/{}{more}", chunks.chunks.len()), grouped(chunks.rows()))
        }
        (None, Some(groups)) => (groups.len().to_string(), String::new()),
        (None, None) => (String::new(), String::new()),
    };
    let topic = match checkpoint.remembered_topic(&table.topic) {
        Some(topic) if topic.partitions == 1 => format!("{} (1 partition)", table.topic),
        Some(topic) if topic.partitions > 1 => format!("{} ({} partitions)", table.topic, topic.partitions),
        _ => table.topic.clone(),
    };
    [with_target(name, table.target()), load.to_owned(), done, rows, topic]
}
