//! Which columns of a row may be cut, and what is left of it when they are?
//!
//! ```text
//! id  notes                 picture          bytes: 5         id  notes   picture
//! 7   "wärmer als gestern"  ff d8 ff e0 00…      ►            7   "wärm"  ff d8 ff e0 00
//! ```
//!
//! Text ends with a whole character. A document that is cut is none any more, so JSON stays as it is; so do the columns by which consumers
//! find the row or its partition. Both images of an update are cut alike: of a column that differs behind the cut only, both are
//! the same then.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use tidegate_model::{ChangeBatch, SqlType, Table, TableName};

/// Why a table's columns cannot be cut as the task asks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    #[error("table {table} has no column \"{column}\", which is to be cut")]
    Unknown { table: TableName, column: String },
    #[error("table {table}: column {column} cannot be cut: {why}")]
    Whole { table: TableName, column: String, why: &'static str },
}

impl CutError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "name columns of text or bytes, as they are called where they go, that are in no key and in nothing that partitions; where none is \
         named, all of these are cut"
    }
}

/// The columns of one table version that are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    columns: Vec<usize>,
    /// What is left of a value.
    bytes: usize,
}

impl Cut {
    /// `columns` are those that the task names, of the table as it leaves; none for all that may be cut. `whole` are those that must not be.
    pub fn plan(
        columns: Option<&[String]>,
        bytes: usize,
        output: &Table,
        source: &TableName,
        whole: &[usize],
    ) -> Result<Cut, CutError> {
        let why_whole = |index: usize| match output.columns()[index].sql_type {
            _ if whole.contains(&index) => Some("it is a part of a key, or of what partitions"),
            SqlType::Char | SqlType::VarChar | SqlType::Text => None,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob => None,
            SqlType::Json => Some("half a JSON document is none"),
            _ => Some("it is neither text nor bytes"),
        };
        let Some(names) = columns else {
            let columns = (0..output.columns().len()).filter(|&index| why_whole(index).is_none()).collect();
            return Ok(Cut { columns, bytes });
        };
        let index = |name: &String| {
            let (table, column) = (source.clone(), name.clone());
            let Some(index) = output.column_index(name) else { return Err(CutError::Unknown { table, column }) };
            match why_whole(index) {
                Some(why) => Err(CutError::Whole { table, column, why }),
                None => Ok(index),
            }
        };
        Ok(Cut { columns: names.iter().map(index).collect::<Result<_, _>>()?, bytes })
    }

    /// The changes with their columns cut, and the names of those of which something is missing now.
    pub fn apply(&self, batch: ChangeBatch) -> (ChangeBatch, Vec<String>) {
        let mut names = Vec::new();
        let (table, rows) = (batch.table().clone(), batch.rows().clone());
        let mut columns = rows.columns().to_vec();
        for &index in &self.columns {
            if let Some(cut) = cut(&columns[index], self.bytes) {
                columns[index] = cut;
                names.push(table.columns()[index].name.clone());
            }
        }
        let rows = RecordBatch::try_new(rows.schema(), columns).expect("the columns have their types");
        (batch.with_rows(table, rows), names)
    }
}

/// The values, none of them longer; `None` if none was.
fn cut(values: &ArrayRef, bytes: usize) -> Option<ArrayRef> {
    if let Some(texts) = values.as_string_opt::<i32>() {
        let is_longer = texts.iter().flatten().any(|text| text.len() > bytes);
        let cut = |text: Option<&'_ str>| text.map(|text| text[..text.floor_char_boundary(bytes)].to_owned());
        return is_longer.then(|| Arc::new(texts.iter().map(cut).collect::<StringArray>()) as ArrayRef);
    }
    let blobs = values.as_binary_opt::<i32>()?;
    let is_longer = blobs.iter().flatten().any(|blob| blob.len() > bytes);
    let cut = |blob: Option<&'_ [u8]>| blob.map(|blob| blob[..blob.len().min(bytes)].to_owned());
    is_longer.then(|| Arc::new(blobs.iter().map(cut).collect::<BinaryArray>()) as ArrayRef)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{Column, TableParts};

    fn table(columns: &[(&str, SqlType)]) -> Table {
        let column = |(name, sql_type): &(&str, SqlType)| Column {
            name: (*name).to_owned(),
            sql_type: sql_type.clone(),
            type_text: String::new(),
            nullable: true,
            charset: None,
            collation: None,
        };
        let columns = columns.iter().map(column).collect();
        Table::from(TableParts { name: TableName::new("db", "t"), version: 1, columns, unique_keys: Vec::new() })
    }

    #[test]
    fn only_text_and_bytes_without_keys_are_cut() {
        let json = SqlType::Json;
        let columns = [
            ("id", SqlType::VarChar),
            ("n", SqlType::Float),
            ("doc", json),
            ("text", SqlType::Text),
            ("b", SqlType::Blob),
        ];
        let table = table(&columns);
        let plan = |names: Option<&[&str]>| {
            let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            let cut = Cut::plan(names.as_deref(), 5, &table, table.name(), &[0]);
            cut.map(|cut| cut.columns).map_err(|error| error.to_string())
        };
        assert_eq!(plan(None), Ok(vec![3, 4]));
        assert_eq!(plan(Some(&["b", "text"])), Ok(vec![4, 3]));
        let refused = |name: &str| plan(Some(&[name])).unwrap_err();
        assert_eq!(refused("x"), "table db.t has no column \"x\", which is to be cut");
        let whole = "cannot be cut:";
        assert_eq!(
            refused("id"),
            format!("table db.t: column id {whole} it is a part of a key, or of what partitions")
        );
        assert_eq!(refused("doc"), format!("table db.t: column doc {whole} half a JSON document is none"));
        assert_eq!(refused("n"), format!("table db.t: column n {whole} it is neither text nor bytes"));
    }

    #[test]
    fn text_ends_with_a_whole_character() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("wärme"), None, Some("abc"), Some("aä€")]));
        let left = |bytes| {
            let cut = cut(&texts, bytes)?;
            Some(cut.as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(left(6), None);
        assert_eq!(left(5).unwrap(), ["wärm", "-", "abc", "aä"]);
        assert_eq!(left(2).unwrap(), ["w", "-", "ab", "a"]);
        assert_eq!(left(0).unwrap(), ["", "-", "", ""]);
        let blobs: ArrayRef = Arc::new(BinaryArray::from_iter([Some(&[1, 2, 3][..]), None]));
        assert_eq!(cut(&blobs, 2).unwrap().as_binary::<i32>().value(0), [1, 2]);
        assert!(cut(&blobs, 3).is_none());
    }
}
