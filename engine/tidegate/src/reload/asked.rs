//! What is asked for: tables, or rows of them, that are to be sent once more. It is a part of the state until its load has begun.

use crate::checkpoint::journal::{By, What, tables_text};
use crate::checkpoint::{Checkpoint, LoadState, RememberedTable};
use crate::config::{SourceOptions, Task};
use crate::nearest::nearest;
use crate::source::mysql::TryPart;
use tidegate_model::TableName;
use tidegate_mysql::check::list_names;
use tidegate_mysql::snapshot::{LoadError, shown};
use tidegate_mysql::wire::WireError;

pub const NOT_POSSIBLE: &str = "a table can be loaded again by a task that loads a server's tables and follows their changes (`full_load`, `incremental`)";

/// Of a condition.
pub const CONDITION_BYTES_MAX: usize = 4096;
/// Of all conditions that are asked for of one table.
const CONDITIONS_BYTES_MAX: usize = 4 * CONDITION_BYTES_MAX;

/// Whether tables of the task can be loaded again between changes.
pub fn is_possible(task: &Task) -> bool {
    matches!(task.source, SourceOptions::Mysql(_)) && task.full_load.is_some() && task.incremental.is_some()
}

/// What somebody wants of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Load,
    /// Only the rows for which the server says that this is true.
    Part(String),
    /// What was asked for is not wanted any more.
    Cancel,
}

impl Wish {
    /// `condition` as somebody has typed it.
    pub fn of(condition: Option<&str>, is_cancelled: bool) -> Result<Wish, String> {
        let Some(condition) = condition.map(str::trim) else {
            return Ok(if is_cancelled { Wish::Cancel } else { Wish::Load });
        };
        match condition {
            _ if is_cancelled => {
                Err("what is taken back is taken back whole: a condition has no meaning there".to_owned())
            }
            "" => Err("the condition is empty: without one, all rows are loaded".to_owned()),
            text if text.len() > CONDITION_BYTES_MAX => Err(format!(
                "the condition has {} bytes, and at most {CONDITION_BYTES_MAX} are possible: many values can stand in a table of their own, which \
                 a subquery names",
                text.len()
            )),
            text if text.contains(|c: char| c.is_control() && c != '\t') => {
                Err("the condition must be one line, without control characters".to_owned())
            }
            text => Ok(Wish::Part(text.to_owned())),
        }
    }
}

/// Tables of the task by the names that somebody gives them.
pub fn names_of(checkpoint: &Checkpoint, tables: &[String]) -> Result<Vec<TableName>, String> {
    let mut names: Vec<TableName> = Vec::with_capacity(tables.len());
    for table in tables {
        let known =
            |is_it: &dyn Fn(&str) -> bool| checkpoint.tables.values().find(|known| is_it(&known.name.to_string()));
        // A server that folds names knows it by another case.
        let known = known(&|name| name == table).or_else(|| known(&|name| name.eq_ignore_ascii_case(table)));
        // Where it goes, several may have one name.
        let called = || checkpoint.tables.values().filter(|known| known.target().to_string() == *table);
        let found: Vec<TableName> = match known {
            Some(known) => vec![known.name.clone()],
            None => called().map(|known| known.name.clone()).collect(),
        };
        if found.is_empty() {
            return Err(not_known(checkpoint, table));
        }
        names.extend(found);
    }
    if names.is_empty() {
        return Err("no table is named".to_owned());
    }
    Ok(names)
}

/// What somebody is told whose name is none of the task's.
fn not_known(checkpoint: &Checkpoint, written: &str) -> String {
    let names: Vec<String> = checkpoint.tables.values().map(|table| table.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let has_other_database = |name: &&str| name.split_once('.').is_some_and(|(_, table)| table == written);
    let meant = names.iter().copied().find(has_other_database).or_else(|| nearest(written, &names));
    let meant = meant.map(|name| format!(": is {name} meant?")).unwrap_or_default();
    format!("the task has no table {written}{meant}")
}

/// Whether the server lets the account read the tables; true of one that does not say.
pub fn may_read(server: &TryPart, names: &[TableName]) -> Result<(), String> {
    let refusal = |name: &TableName| match server(name, "TRUE") {
        Err(LoadError::Session(error)) if error.is_refused() => Some(format!("{name} may not be read: {error}")),
        _ => None,
    };
    names.iter().find_map(refusal).map_or(Ok(()), |refused| Err(format!("{refused}; nothing is loaded")))
}

/// Asks the server whether it takes the condition for each of the tables.
pub fn try_part(server: &TryPart, names: &[TableName], condition: &str) -> Result<(), String> {
    for name in names {
        let reason = match server(name, condition) {
            Ok(()) => continue,
            Err(LoadError::Session(error)) if error.is_transient() => {
                return Err(format!(
                    "the source could not be asked what it thinks of the condition, try it again: {error}"
                ));
            }
            Err(LoadError::Session(error)) if error.is_refused() => {
                return Err(format!("{name} may not be read: {error}; nothing is loaded"));
            }
            Err(LoadError::Session(WireError::Parameters { .. })) => {
                "a ? outside of quotes stands for no value".to_owned()
            }
            Err(LoadError::Session(error)) => error.to_string(),
            Err(error) => return Err(error.to_string()),
        };
        return Err(format!(
            "{name} cannot be read where {}: {reason}; the condition has to be what could stand in the WHERE of a SELECT from this table alone, \
             and nothing is loaded",
            shown(condition)
        ));
    }
    Ok(())
}

/// Enters what is asked for, or takes it back, of all tables or of none.
pub fn ask_for(checkpoint: &mut Checkpoint, tables: &[String], wish: &Wish, by: By) -> Result<String, String> {
    let names = names_of(checkpoint, tables)?;
    let condition = match wish {
        Wish::Cancel => return take_back(checkpoint, &names, by),
        Wish::Part(condition) => Some(condition),
        Wish::Load => None,
    };
    let mut rows = String::new();
    let mut stays = "rows that consumers have and the table has not stay with them";
    if let Some(condition) = condition {
        for name in &names {
            let asked = checkpoint.remembered_table(name).map_or(&[][..], |table| &table.asked_where);
            if asked.iter().map(String::len).sum::<usize>() + condition.len() > CONDITIONS_BYTES_MAX {
                return Err(format!(
                    "of {name}, rows by many conditions are asked for already: wait until their load has begun, or ask for all rows"
                ));
            }
        }
        rows = format!(", rows where {}", shown(condition));
        stays = "what consumers have and the condition does not meet stays with them";
        names.iter().for_each(|name| checkpoint.ask_for_part(name, condition));
    } else {
        names.iter().for_each(|name| checkpoint.ask_for(name, true));
    }
    checkpoint.journal.note(What::ReloadAsked, by, tables_text(&names) + &rows);
    let is_whole = |name: &&TableName| {
        checkpoint.remembered_table(name).is_some_and(RememberedTable::is_asked_for_whole) && condition.is_some()
    };
    let whole: Vec<TableName> = names.iter().filter(is_whole).cloned().collect();
    let more = match whole.is_empty() {
        true => String::new(),
        false => format!("all rows are asked for already: {}\n", list_names(&whole)),
    };
    Ok(format!(
        "loaded again once what was read is delivered, while changes wait: {}{rows}; {stays}, and of a table without a key each row comes once \
         more\n{more}",
        list_names(&names)
    ))
}

/// What is asked for and has not begun, and rows by a condition that are being read.
fn take_back(checkpoint: &mut Checkpoint, names: &[TableName], by: By) -> Result<String, String> {
    for name in names {
        let loads = checkpoint.source.ledger.as_ref().and_then(|ledger| ledger.table(name));
        let is_loading = loads.is_some_and(|table| table.is_part_loading());
        let asked = checkpoint.remembered_table(name).filter(|table| table.is_asked_for);
        match asked {
            None if is_loading => {}
            None => return Err(format!("{name} is not asked for: it never was, or its load has begun")),
            // One that is asked for behind its first load is no added one.
            Some(table) if table.load == LoadState::Wanted && loads.is_none_or(|loads| loads.is_done()) => {
                return Err(format!("{name} has never been loaded: take it out of `tables` if it is not wanted"));
            }
            Some(table) if table.is_needed => {
                return Err(format!("rows of {name} came without row events, and come by its load alone"));
            }
            Some(_) => {}
        }
    }
    for name in names {
        checkpoint.ask_for(name, false);
        checkpoint.take_back_part(name);
    }
    checkpoint.journal.note(What::ReloadCancelled, by, tables_text(names));
    Ok(format!("not loaded again: {}\n", list_names(names)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::SourceIdentity;

    #[test]
    fn a_condition_is_one_line_of_moderate_length() {
        let of = |text: &str| Wish::of(Some(text), false);
        assert_eq!(of(" id > 5\t"), Ok(Wish::Part("id > 5".to_owned())));
        assert_eq!((Wish::of(None, false), Wish::of(None, true)), (Ok(Wish::Load), Ok(Wish::Cancel)));
        assert_eq!(of(&"x".repeat(CONDITION_BYTES_MAX)), Ok(Wish::Part("x".repeat(CONDITION_BYTES_MAX))));
        for (text, words) in [
            ("", "is empty"),
            (" ", "is empty"),
            ("a\nb", "one line"),
            ("a\0b", "one line"),
            (&"é".repeat(CONDITION_BYTES_MAX / 2 + 1), "has 4098 bytes"),
        ] {
            assert!(of(text).is_err_and(|refused| refused.contains(words)), "{text}");
        }
        assert!(Wish::of(Some("id > 5"), true).is_err());
    }

    #[test]
    fn what_is_asked_for_of_a_table_is_joined_until_all_of_it_is() {
        let text = "task: shop\nsource: {mysql: \"mysql://tide@db:3306\"}\ntables: [shop.a]\nsink: {kafka: \"b:9092\"}\nformat: canal_json";
        let task = crate::config::parse("shop.yaml", text).expect("a task");
        let name = TableName::new("shop", "a");
        let mut checkpoint = Checkpoint::new("shop", SourceIdentity::GtidDomain);
        checkpoint.take_up(RememberedTable::of(&task, &name, LoadState::Done).unwrap());
        let mut ask = |wish: &Wish| {
            ask_for(&mut checkpoint, &["SHOP.A".to_owned()], wish, By::Run).map(|_| {
                let table = checkpoint.remembered_table(&name).unwrap();
                (table.is_asked_for_whole(), table.asked_part())
            })
        };
        let part = |text: &str| Wish::Part(text.to_owned());
        assert_eq!(ask(&part("a -- x")), Ok((false, Some("a -- x".to_owned()))));
        assert_eq!(ask(&part("b")), Ok((false, Some("(a -- x\n) OR (b\n)".to_owned()))));
        assert_eq!(ask(&part("b")), ask(&part("a -- x")));
        for letter in ["c", "d", "e"] {
            assert!(ask(&part(&letter.repeat(CONDITION_BYTES_MAX))).is_ok());
        }
        assert!(ask(&part(&"f".repeat(CONDITION_BYTES_MAX))).is_err_and(|refused| refused.contains("many conditions")));
        assert_eq!(ask(&Wish::Load), Ok((true, None)));
        assert_eq!(ask(&part("b")), Ok((true, None)));
        assert_eq!(ask(&Wish::Cancel), Ok((false, None)));
        assert!(ask(&Wish::Cancel).is_err_and(|refused| refused.contains("is not asked for")));
        assert_eq!(ask(&part("b")), Ok((false, Some("b".to_owned()))));
    }
}
