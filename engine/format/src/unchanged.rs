//! Updates of which nothing that leaves has changed.
//!
//! Where columns stay at home, an update of nothing but those is a message that tells a consumer nothing:
//!
//! ```text
//! columns: [id, name]      -U 7 a │ 2026-01-01        -U 7 a
//!                          +U 7 a │ 2026-01-02  ──►   +U 7 a     the same row twice
//! ```
//!
//! Values are compared as they are stored, not by their collation: what is told to be the same is the same, byte by byte.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;

use tidegate_model::{ChangeBatch, RowKind};

/// By row, whether it is to stay where such updates are left out; none if there are none.
pub fn without_unchanged(batch: &ChangeBatch) -> Option<BooleanArray> {
    let rows = batch.kinds().len();
    if !batch.kinds().contains(&RowKind::UpdateBefore) {
        return None;
    }
    // Whether a row is as the next one. The images of an update stand side by side.
    let mut is_as_next = BooleanBuffer::new_set(rows - 1);
    for column in batch.rows().columns() {
        // Of an ENUM its numbers: two of its labels may look the same.
        let column: &dyn Array = match column.as_any_dictionary_opt() {
            Some(labels) => labels.keys(),
            None => column,
        };
        let (row, next) = (column.slice(0, rows - 1), column.slice(1, rows - 1));
        let same = not_distinct(&row, &next).expect("rows of one column have one type");
        is_as_next = &is_as_next & same.values();
    }
    let is_unchanged = |row: usize| batch.kinds()[row] == RowKind::UpdateBefore && is_as_next.value(row);
    let is_left_out = |row: usize| is_unchanged(row) || row > 0 && is_unchanged(row - 1);
    let keep = BooleanBuffer::collect_bool(rows, |row| !is_left_out(row));
    (keep.count_set_bits() < rows).then(|| BooleanArray::new(keep, None))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt16Array};
    use tidegate_model::pretty::{draw, parse};
    use tidegate_model::{SqlType, Table, TableParts};

    #[test]
    fn an_update_that_changes_nothing_is_left_out_and_nothing_else() {
        let left = |drawing: &str| {
            let batch = parse("id:int name:text", drawing);
            without_unchanged(&batch).map(|keep| draw(&batch.retain(&keep)))
        };
        // Neighbours that are no images of one update may look alike.
        assert_eq!(left("** 1 a\n** 1 a\n+I 1 a\n-D 1 a"), None);
        assert_eq!(left("-U 1 a\n+U 1 A\n-U 1 A\n+U 1 _\n-U 1 _\n+U 2 _"), None);
        assert_eq!(
            left("-U 1 a\n+U 1 a\n-U 1 a\n+U 1 b\n+I 1 b\n-U _ _\n+U _ _\n-D 1 b").as_deref(),
            Some("-U 1 a\n+U 1 b\n+I 1 b\n-D 1 b\n")
        );
        assert_eq!(left("-U 1 a\n+U 1 a").as_deref(), Some(""));
    }

    #[test]
    fn labels_that_look_the_same_are_told_apart() {
        let batch = parse("id:int", "-U 1\n+U 1");
        let mut parts = TableParts::from(Table::clone(batch.table()));
        parts.columns[0].sql_type = SqlType::Enum { labels: [String::new(), String::new()].into() };
        let table = Arc::new(Table::from(parts));
        let labels: ArrayRef = Arc::new(StringArray::from(vec!["", ""]));
        let column = DictionaryArray::new(UInt16Array::from(vec![0, 1]), labels);
        let Ok(rows) = RecordBatch::try_new(table.schema().clone(), vec![Arc::new(column)]) else {
            panic!("{:?}", table.schema())
        };
        assert_eq!(without_unchanged(&batch.with_rows(table, rows)), None);
    }
}
