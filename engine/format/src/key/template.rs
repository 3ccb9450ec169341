//! `{database}.{table}:{id}`: text around columns.

use std::fmt;

use tidegate_model::TableName;

/// What stands before each of the columns, and behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    around: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Database,
    Table,
}

impl KeyTemplate {
    /// With the columns that it names, in their order. An error is the constraint that is broken.
    pub fn parse(text: &str) -> Result<(KeyTemplate, Vec<String>), &'static str> {
        const BRACES: &str = "must have {database}, {table} and columns in braces, and no other braces";
        let (mut around, mut columns) = (vec![Vec::new()], Vec::<String>::new());
        let (mut rest, mut is_behind_name) = (text, false);
        while !rest.is_empty() {
            let parts = around.last_mut().expect("there is one more than columns");
            let Some(inner) = rest.strip_prefix('{') else {
                let (plain, behind) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                if plain.contains('}') {
                    return Err(BRACES);
                }
                // Which values have before what would end them.
                if plain.starts_with('\\') && is_behind_name {
                    return Err("must not have a backslash behind a name in braces");
                }
                is_behind_name = false;
                parts.push(Part::Text(plain.to_owned()));
                rest = behind;
                continue;
            };
            let (name, behind) = inner.split_once('}').ok_or(BRACES)?;
            // Nobody could tell where the one ends.
            if std::mem::replace(&mut is_behind_name, true) {
                return Err("must have text between two names in braces");
            }
            match name {
                "database" => parts.push(Part::Database),
                "table" => parts.push(Part::Table),
                "" => return Err(BRACES),
                name if name.contains('{') => return Err(BRACES),
                name if columns.iter().any(|other| other.eq_ignore_ascii_case(name)) => {
                    return Err("must name each column once");
                }
                name => {
                    columns.push(name.to_owned());
                    around.push(Vec::new());
                }
            }
            rest = behind;
        }
        match columns.is_empty() {
            true => Err("must name a column, such as {id}"),
            false => Ok((KeyTemplate { text: text.to_owned(), around }, columns)),
        }
    }

    /// The texts for a table of that name: before each column, and behind the last.
    pub(super) fn texts(&self, table: &TableName) -> Vec<Box<[u8]>> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Database => table.database.to_string(),
            Part::Table => table.table.to_string(),
        };
        self.around.iter().map(|parts| parts.iter().map(text).collect::<String>().into_bytes().into()).collect()
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
