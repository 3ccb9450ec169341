//! What to do about an error of a stage where the way out is a command of this program, or a key of its task file, of which the stage knows
//! nothing.

use tidegate_mysql::MysqlError;
use tidegate_mysql::binlog::{BinlogError, Fault};
use tidegate_mysql::history::HistoryError;
use tidegate_mysql::snapshot::{LoadError, TableError};
use tidegate_sink::SinkError;

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
            cancel.or_else(|| error.hint())
        }
        error => error.hint(),
    }
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
    match error {
        SinkError::TopicGone { .. } | SinkError::Fallen { .. } => Some(
            "begin again with a full load into an empty topic (move the state folder away); or go on without what is gone: \
             tidegate run --accept deleted_topics; where its table is gone, too, start again as it is",
        ),
        error => error.hint(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{Coordinate, TableName};

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
    }
}
