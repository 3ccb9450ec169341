//! What to do about an error of a stage where the way out is a command of this program, or a key of its task file, of which the stage knows
//! nothing.

use tidegate_format::key::KeyError;
use tidegate_format::transform::TransformError;
use tidegate_mysql::MysqlError;
use tidegate_mysql::binlog::{BinlogError, Fault};
use tidegate_mysql::catalog::CatalogError;
use tidegate_mysql::check::Finding;
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::history::HistoryError;
use tidegate_mysql::snapshot::{LoadError, TableError};
use tidegate_mysql::wire::WireError;
use tidegate_parquet::ParquetError;
use tidegate_sink::SinkError;
use tidegate_sink::kafka::{Lack, to_do};

/// As [`MysqlError::hint`].
pub(crate) fn of_server(error: &MysqlError) -> Option<String> {
    match error {
        MysqlError::Binlog(error) => of_binlog(error),
        MysqlError::Load(LoadError::Tables(failures)) => {
            let part = failures.iter().find(|failure| matches!(failure.error, TableError::Part { .. }));
            let cancel = part.map(|part| {
                format!(
                    "`tidegate reload TASK.yaml {} --cancel` takes back what is asked for, and the next run goes on without it",
                    part.table
                )
            });
            cancel.or_else(|| failures.iter().find_map(|failure| of_table(&failure.error)))
        }
        MysqlError::Load(LoadError::Session(error)) => of_wire(error),
        MysqlError::Load(LoadError::Thread(_)) => Some(MORE_THREADS.to_owned()),
        MysqlError::Wire(error) | MysqlError::EventTooLarge { error, .. } => of_wire(error),
        MysqlError::Catalog(error) => of_catalog(error),
        MysqlError::Dump(error @ DumpError::ServerIdTaken { .. }) => {
            Some(format!("{} (source.server_id)", error.hint()))
        }
        MysqlError::Dump(error @ DumpError::Behind { .. }) => {
            Some(format!("{}; how long is retry.connection", error.hint()))
        }
        error => error.hint(),
    }
}

/// What to do when the system gives no thread.
pub(crate) const MORE_THREADS: &str = "raise the limit of processes and threads (ulimit -u, the container's or unit's limit of tasks), or lower \
     `threads` and full_load.parallel";

fn of_table(error: &TableError) -> Option<String> {
    match error {
        TableError::Read(error) => of_wire(error),
        error => error.hint(),
    }
}

fn of_wire(error: &WireError) -> Option<String> {
    let hint = match error {
        WireError::PacketTooLarge { .. } => {
            "Raise `memory`: a row or binlog event must fit into half of it (MySQL's own limit is 1 GiB)."
        }
        WireError::PasswordChanged { .. } => {
            "The account's password has changed: write the new one into the file that `source.password` names, which is read at each attempt."
        }
        error => error.hint()?,
    };
    Some(hint.to_owned())
}

/// As [`CatalogError::hint`].
pub(crate) fn of_catalog(error: &CatalogError) -> Option<String> {
    match error {
        CatalogError::UnknownType { .. } => {
            Some("leave the table out of `tables`, or convert the column at the server".to_owned())
        }
        CatalogError::NoTable { kind, .. } if kind != "view" => Some("take it out of `tables`".to_owned()),
        CatalogError::Labels { .. } => {
            Some(format!("{} (under `format`: `enum: index` and `set: bits`)", error.hint().unwrap_or_default()))
        }
        error => error.hint(),
    }
}

/// What the keys of the task file are called of which the hint of a finding speaks.
pub(crate) fn of_finding(mut finding: Finding) -> Finding {
    const ALONE: &str = "That is `incremental: false`.";
    let keys = match finding.item {
        "log_bin" | "server_version" | "versioned_tables" | "generated_columns"
            if finding.hint.contains("full load") =>
        {
            ALONE
        }
        "storage_engine" => {
            "An entry \"!database.table\" leaves out one that a pattern selects; a full load alone is `incremental: false`."
        }
        "keys" => "The columns of a message's key: key: {columns: [...]}; those by which a table is cut: `chunk_by`.",
        "labels" => "Under `format`: `enum: index` and `set: bits`.",
        "server_id" => "It is source.server_id.",
        "binlog_encryption" => "That is source.tls: {mode: required}.",
        "connections" => "Most of them are those of full_load.parallel.",
        _ => return finding,
    };
    finding.hint.push(' ');
    finding.hint.push_str(keys);
    finding
}

fn of_binlog(error: &BinlogError) -> Option<String> {
    let hint = error.hint();
    match &*error.fault {
        Fault::Versioned { .. } => Some(
            "leave the table out of `tables` (tidegate run --accept tables), or copy it by a full load alone"
                .to_owned(),
        ),
        Fault::Schema(HistoryError::Columns { .. }) => Some(format!(
            "`tidegate schema-fix TASK.yaml TABLE --from-catalogue` tells what they are if nothing has altered the table since, with \
             --from FILE its CREATE TABLE as it was there; then the task goes on. {}",
            hint?
        )),
        Fault::EventTooLarge { .. } => Some(
            "raise `memory`: one event may take half of it; the server keeps events small by binlog_row_event_max_size, except for single rows"
                .to_owned(),
        ),
        Fault::Schema(HistoryError::UnloggedRows { .. }) => {
            Some(format!("`incremental: {{unlogged_rows: warn}}` goes on and leaves the topic so; or {}", hint?))
        }
        _ if error.may_be_passed() => Some(format!(
            "{}; or go on without its rows: tidegate run --pass {}; `tidegate reload TASK.yaml TABLE` before that has each row of a table come \
             once more, though none go",
            hint?, error.at
        )),
        _ => hint,
    }
}

/// As [`SinkError::hint`].
pub(crate) fn of_sink(error: &SinkError) -> Option<&'static str> {
    Some(match error {
        SinkError::TopicGone { .. } | SinkError::Fallen { .. } => {
            "begin again with a full load into an empty topic (move the state folder away); or go on without what is gone: \
             tidegate run --accept deleted_topics; where its table is gone, too, start again as it is"
        }
        SinkError::Unreachable { .. } => {
            "check sink.kafka, that the listener's advertised address can be reached from here, and sink.security"
        }
        SinkError::Refused { .. } => "check sink.security, and that the brokers know the user",
        SinkError::NoToken { .. } => "check sink.security.oauth.token_url, and that it can be reached from here",
        SinkError::TokenRefused { .. } => {
            "check sink.security.oauth: token_url, client_id, client_secret and scope, as the authorization server knows them"
        }
        SinkError::Lacking { lacks, .. } => return lacks.first().map(|&lack| of_lack(lack)),
        SinkError::Collision { .. } => {
            "give the tables of one of the two another `topic`, or all of them a pattern such as \
             sink.topic: \"{database}-{table}\"; brokers that allow both take the topic if it is made by hand"
        }
        SinkError::MissingTopic { .. } => "create the topic, or set sink.create_topics",
        SinkError::CreateTopic { hint: None, .. } => "correct sink.create_topics, or create the topic by hand",
        SinkError::Compacted { .. } => {
            "give messages a key (sink.key), set cleanup.policy=delete for the topic (sink.create_topics.config for topics to be \
             created), or choose another one with sink.topic"
        }
        SinkError::KeepsOne { .. } => {
            "set cleanup.policy=delete for the topic, or choose another one: too_large: {dead_letter: {topic: ...}}"
        }
        SinkError::TooLarge { .. } => {
            "raise max.message.bytes of the topic and sink.options message.max.bytes, leave the large column out with `select`, or say \
             what becomes of such messages: too_large: skip, dead_letter or {truncate: {bytes: 64KiB}}; if the message is smaller than \
             what its topic takes, it was refused with others: set batch.size in sink.options to no more than that"
        }
        error => match error.hint()? {
            to_do::KEYS => {
                "brokers before 0.11 say so of messages without a key where the topic is compacted: give messages a key (sink.key), set \
                 cleanup.policy=delete for the topic, or send to another one"
            }
            to_do::REPLICATION => "set sink.create_topics.replication to at most the number of brokers",
            to_do::COUNTS => "set sink.create_topics.partitions and sink.create_topics.replication",
            to_do::COMPRESSION => "set another compression.type in sink.options",
            hint => hint,
        },
    })
}

/// As [`KeyError::hint`].
pub(crate) fn of_key(error: &KeyError) -> &'static str {
    match error {
        KeyError::UnknownColumn { .. } => "name columns as the table has them, before `select` and `columns`",
        KeyError::NotSelected { .. } => {
            "`select` and `columns` may give it another name, or the key other columns: key: {columns: [...]}"
        }
        KeyError::Nullable { .. } => "key: {form: json, columns: [...]} writes null, and so does avro",
        KeyError::AvroName { .. } => "rename it in `select` to letters, digits and underscores, or take key: json",
        KeyError::Labels { .. } => {
            "write numbers, `enum: index` and `set: bits` of the format; or take other columns, key: {columns: [...]}"
        }
    }
}

/// Of a [`CutError`](tidegate_format::cut::CutError).
pub(crate) const CUT: &str = "under `truncate`, name columns of text or bytes, as they are called where they go, that are in no key and not in \
                              `partition`; without `columns`, all of these are cut";

/// As [`TransformError::hint`].
pub(crate) fn of_transform(error: &TransformError) -> Option<&'static str> {
    match error {
        TransformError::ImpossibleDate { .. } => Some(
            "another `select` goes on from here: the column as it is comes out with every date, and `where` keeps such rows out",
        ),
        error => error.hint(),
    }
}

/// As [`ParquetError::hint`].
pub(crate) fn of_parquet(error: &ParquetError) -> Option<&'static str> {
    match error {
        ParquetError::Missing { .. } => Some("check source.parquet and the names under tables; case matters"),
        error => error.hint(),
    }
}

/// As [`Lack::hint`].
pub(crate) fn of_lack(lack: Lack) -> &'static str {
    match lack {
        Lack::Headers => {
            "leave out sink.headers (and too_large: truncate, which tells of cuts by one), or send to brokers of Kafka 0.11 or newer"
        }
        Lack::Zstd => "set compression.type in sink.options to lz4, snappy, gzip or none",
        Lack::Offsets => "tidegate sends to brokers of Kafka 0.10.1 or newer",
        Lack::Idempotence => lack.hint(),
    }
}

/// What a run says of partitions that were added.
pub(crate) const TAKE_UP_PARTITIONS: &str =
    "To take up the others, stop the task when its consumers may see that, and start it with --accept partitions";

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{Coordinate, TableName};

    /// A run that waits for its server tells the same.
    #[test]
    fn a_password_that_has_changed_is_named_by_its_key() {
        let [address, user, state, message] = ["db:3306", "tide", "28000", "Access denied"].map(str::to_owned);
        let error = WireError::PasswordChanged { address, user, code: 1045, state, message };
        let hint = of_server(&MysqlError::Wire(error)).unwrap_or_default();
        assert!(hint.contains("`source.password`"), "{hint}");
    }

    #[test]
    fn what_may_be_passed_over_is_named_by_its_place() {
        let hint = |fault: Fault| {
            let error = BinlogError::new(&Coordinate::new("binlog.000003", 1234), fault);
            of_server(&MysqlError::Binlog(error)).unwrap_or_default()
        };
        let passed = hint(Fault::UnreadXa { xid: "1".to_owned() });
        let way = "; or go on without its rows: tidegate run --pass binlog.000003:1234; `tidegate reload ";
        assert!(passed.starts_with("begin again with a full load") && passed.contains(way), "{passed}");
        let table = TableName::new("shop", "orders");
        assert!(!hint(Fault::Versioned { table }).contains("--pass"));
        assert!(!hint(Fault::RolledBack).contains("tidegate"));
        assert!(hint(Fault::EventTooLarge { bytes: 2, bytes_max: 1 }).contains("`memory`"));
    }
}
