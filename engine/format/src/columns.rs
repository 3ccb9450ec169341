//! Which columns leave, under which names: the part of `select` for which no SQL is needed.
//!
//! ```text
//! [id, name]                   these, in this order
//! ["!password"]                all but this, also those that are added later
//! ["!password", "name AS customer"], ["*", "name AS customer"]
//!                              all others too, in the order of the table, one of them under another name
//! ```
//!
//! A name that a table does not have is refused, also behind a change of the table: a column that is to stay at home may only have got
//! another name.

use tidegate_model::{Table, TableName};
use tidegate_sql::nearest;

/// As a task file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnList {
    /// Columns that stay, each with its new name if it gets one.
    kept: Vec<(String, Option<String>)>,
    left_out: Vec<String>,
    /// `*`: all others.
    all: bool,
}

/// A table that a list does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error("table {table}, columns: there is no column \"{column}\"{}", hint(near))]
    Unknown { table: TableName, column: String, near: Option<String> },
    #[error("table {table}, columns: two are named \"{name}\"")]
    Twice { table: TableName, name: String },
    #[error("table {table}, columns: none is left")]
    None { table: TableName },
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(", did you mean \"{near}\"?"))
}

impl ColumnList {
    /// Adds an item; an error is the constraint that it breaks.
    pub fn add(&mut self, item: &str) -> Result<(), String> {
        let item = item.trim();
        if item == "*" {
            self.all = true;
            return Ok(());
        }
        let (name, new_name) = match item.strip_prefix('!') {
            Some(rest) => match read_name(rest.trim_start())? {
                (name, "") => {
                    self.is_new(&name)?;
                    self.left_out.push(name);
                    return Ok(());
                }
                _ => return Err("must name a column behind the !, and nothing more".into()),
            },
            None => match read_name(item)? {
                (name, "") => (name, None),
                (name, rest) => {
                    let new_name = rest.trim_start().get(2..).filter(|_| begins_with_as(rest)).unwrap_or_default();
                    match read_name(new_name.trim_start())? {
                        (new_name, "") => (name, Some(new_name)),
                        _ => return Err(FORMS.into()),
                    }
                }
            },
        };
        self.is_new(&name)?;
        self.kept.push((name, new_name));
        Ok(())
    }

    fn is_new(&self, name: &str) -> Result<(), String> {
        let known = self.kept.iter().map(|(kept, _)| kept).chain(&self.left_out);
        match known.into_iter().any(|known| known.eq_ignore_ascii_case(name)) {
            true => Err("must be named once".into()),
            false => Ok(()),
        }
    }

    /// What the items mean together; an error is the constraint that they break.
    pub fn check(&self) -> Result<(), String> {
        let takes_all = self.all || !self.left_out.is_empty();
        match self.kept.iter().find(|(_, new_name)| takes_all && new_name.is_none()) {
            Some((name, _)) => Err(format!(
                "names {name}, and all others by {}: must hold the columns that stay, or those that do not",
                if self.all { "*" } else { "!" }
            )),
            None => Ok(()),
        }
    }

    /// Indexes of the columns that stay, with their names.
    pub fn plan(&self, table: &Table) -> Result<Vec<(usize, String)>, ColumnsError> {
        let name = table.name();
        let index = |column: &String| {
            table.column_index(column).ok_or_else(|| {
                let names = table.columns().iter().map(|column| column.name.as_str());
                let near = nearest(column, names).map(str::to_owned);
                ColumnsError::Unknown { table: name.clone(), column: column.clone(), near }
            })
        };
        let kept = |(column, new_name): &(String, Option<String>)| {
            let index = index(column)?;
            Ok((index, new_name.clone().unwrap_or_else(|| table.columns()[index].name.clone())))
        };
        let mut planned = self.kept.iter().map(kept).collect::<Result<Vec<_>, ColumnsError>>()?;
        let left_out = self.left_out.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        if self.all || !left_out.is_empty() {
            for (index, column) in table.columns().iter().enumerate() {
                if !left_out.contains(&index) && planned.iter().all(|(known, _)| *known != index) {
                    planned.push((index, column.name.clone()));
                }
            }
            planned.sort_unstable_by_key(|(index, _)| *index);
        }
        let mut names: Vec<String> = planned.iter().map(|(_, name)| name.to_lowercase()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ColumnsError::Twice { table: name.clone(), name: pair[0].clone() });
        }
        match planned.is_empty() {
            true => Err(ColumnsError::None { table: name.clone() }),
            false => Ok(planned),
        }
    }
}

/// As it would be written.
impl std::fmt::Display for ColumnList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.all.then(|| "*".to_owned());
        let left_out = self.left_out.iter().map(|name| format!("!{}", written(name)));
        let kept = self.kept.iter().map(|(name, new_name)| match new_name {
            Some(new_name) => format!("{} AS {}", written(name), written(new_name)),
            None => written(name),
        });
        let items: Vec<String> = all.into_iter().chain(left_out).chain(kept).collect();
        write!(f, "[{}]", items.join(", "))
    }
}

const FORMS: &str =
    "must be one of: name; name AS other; !name; *; with back-ticks around a name that holds blanks, !, * or `";

/// A name, between back-ticks or up to ` AS `, and what stands behind it.
fn read_name(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('`') else {
        let end = text
            .char_indices()
            .find(|(at, c)| c.is_whitespace() && begins_with_as(&text[*at..]))
            .map_or(text.len(), |(at, _)| at);
        let name = text[..end].trim_end();
        return match must_be_quoted(name) {
            true => Err(FORMS.into()),
            false => Ok((name.to_owned(), &text[end..])),
        };
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('`').ok_or("a back-tick must have its counterpart")?;
        name.push_str(part);
        match behind.strip_prefix('`') {
            Some(behind) => {
                name.push('`');
                rest = behind;
            }
            None if name.is_empty() => return Err(FORMS.into()),
            None => return Ok((name, behind.trim_end())),
        }
    }
}

fn must_be_quoted(name: &str) -> bool {
    name.is_empty() || name.starts_with(['!', '*']) || name.contains(|c: char| c == '`' || c.is_whitespace())
}

fn written(name: &str) -> String {
    if must_be_quoted(name) { format!("`{}`", name.replace('`', "``")) } else { name.to_owned() }
}

/// Blanks, AS, blanks.
fn begins_with_as(text: &str) -> bool {
    let word = text.trim_start();
    word.len() < text.len()
        && word.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("as"))
        && word[2..].starts_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::pretty::table;

    fn list(items: &[&str]) -> Result<ColumnList, String> {
        let mut list = ColumnList::default();
        items.iter().try_for_each(|item| list.add(item))?;
        list.check().map(|()| list)
    }

    /// `id name>customer`
    fn planned(items: &[&str]) -> String {
        let table = table("id:int name:text password:text");
        let planned = match list(items).unwrap().plan(&table) {
            Ok(planned) => planned,
            Err(error) => return error.to_string(),
        };
        let shown = |(index, name): &(usize, String)| match &table.columns()[*index].name {
            same if same == name => name.clone(),
            other => format!("{other}>{name}"),
        };
        planned.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_says_what_stays_or_what_does_not() {
        for (items, expected) in [
            (&["name", "ID"][..], "name id"),
            (&["id", "name as customer"], "id name>customer"),
            (&["!password"], "id name"),
            (&["!PASSWORD", "name AS `a as b`"], "id name>a as b"),
            (&["*", "id AS number"], "id>number name password"),
            (&["*"], "id name password"),
            (&["`name`   AS\t`x``y`"], "name>x`y"),
            // Two columns may change places.
            (&["*", "name AS password", "password AS name"], "id name>password password>name"),
        ] {
            assert_eq!(planned(items), expected, "{items:?}");
        }
    }

    #[test]
    fn a_list_is_shown_as_it_could_be_written() {
        for items in [&["*", "!`a b`", "c AS d"][..], &["`a AS b`", "`x``y` AS `!`", "`*`"]] {
            let shown = list(items).unwrap().to_string();
            let again: Vec<&str> = shown[1..shown.len() - 1].split(", ").collect();
            assert_eq!(list(&again).unwrap(), list(items).unwrap(), "{shown}");
        }
    }

    #[test]
    fn what_a_table_does_not_have_is_refused() {
        for (items, expected) in [
            (&["!pasword"][..], "columns: there is no column \"pasword\", did you mean \"password\"?"),
            (&["id", "other"], "columns: there is no column \"other\""),
            (&["*", "name AS ID"], "columns: two are named \"id\""),
            (&["!id", "!name", "!password"], "columns: none is left"),
        ] {
            assert!(planned(items).ends_with(expected), "{items:?}: {}", planned(items));
        }
    }

    #[test]
    fn items_that_mean_nothing() {
        for (items, expected) in [
            (&["id", "Id"][..], "must be named once"),
            (&["!id", "id AS x"], "must be named once"),
            (&["!id AS x"], "must name a column behind the !, and nothing more"),
            (&["!"], FORMS),
            (&["`id"], "a back-tick must have its counterpart"),
            (&["`id`x"], FORMS),
            (&["id AS "], FORMS),
            (&["name customer"], FORMS),
            (&["!*"], FORMS),
            (
                &["!id", "name"],
                "names name, and all others by !: must hold the columns that stay, or those that do not",
            ),
        ] {
            assert_eq!(list(items).unwrap_err(), expected, "{items:?}");
        }
    }
}
