//! Dates that no calendar has, for consumers that cannot read them.
//!
//! By default `0000-00-00` and `2010-00-10` leave as MySQL has them. Where a consumer's types have no room for that, the
//! task may ask for NULL or for 1970-01-01 instead. That happens to the columns, before any format sees them:
//!
//! ```text
//! Date32   2024-02-29, 0000-00-00, 2010-00-10     null ──► 2024-02-29, NULL, NULL
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, TimestampMicrosecondType};

use tidegate_model::types::{IMPOSSIBLE_DATE_END, IMPOSSIBLE_DATETIME_END};
use tidegate_model::{ChangeBatch, SqlType, Table, TableParts};

/// What stands in the place of such a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Substitute {
    Null,
    /// 1970-01-01 00:00:00.
    Epoch,
}

impl Substitute {
    /// As a task file has them, and what leaves dates as they are.
    pub const WORDS: &[(&str, Option<Self>)] =
        &[("text", None), ("null", Some(Substitute::Null)), ("epoch", Some(Substitute::Epoch))];
}

/// The substitution for one table version.
#[derive(Debug)]
pub struct ZeroDates {
    substitute: Substitute,
    columns: Vec<usize>,
    output: Arc<Table>,
}

impl ZeroDates {
    /// `None` if the table has no column that could hold one.
    pub fn plan(table: &Arc<Table>, substitute: Substitute) -> Option<ZeroDates> {
        let is_date = |sql_type: &SqlType| {
            matches!(sql_type, SqlType::Date | SqlType::DateTime { .. } | SqlType::Timestamp { .. })
        };
        let mut parts = TableParts::from(Table::clone(table));
        let mut columns = Vec::new();
        for (index, column) in parts.columns.iter_mut().enumerate().filter(|(_, column)| is_date(&column.sql_type)) {
            columns.push(index);
            column.nullable |= substitute == Substitute::Null;
        }
        (!columns.is_empty()).then(|| ZeroDates { substitute, columns, output: Arc::new(Table::from(parts)) })
    }

    /// The table that comes out: with NULL, no column of dates is NOT NULL.
    pub fn output(&self) -> &Arc<Table> {
        &self.output
    }

    pub fn apply(&self, batch: ChangeBatch) -> ChangeBatch {
        let mut columns = batch.rows().columns().to_vec();
        for &index in &self.columns {
            let array = &columns[index];
            columns[index] = match array.data_type() {
                DataType::Date32 => self.replace::<Date32Type>(array, |days| days < IMPOSSIBLE_DATE_END),
                _ => self.replace::<TimestampMicrosecondType>(array, |value| value < IMPOSSIBLE_DATETIME_END),
            };
        }
        let rows = RecordBatch::try_new(self.output.schema().clone(), columns).expect("only values differ");
        batch.with_rows(self.output.clone(), rows)
    }

    fn replace<T: ArrowPrimitiveType<Native: Default>>(
        &self,
        array: &ArrayRef,
        is_impossible: impl Fn(T::Native) -> bool,
    ) -> ArrayRef {
        let dates = array.as_primitive::<T>();
        if !dates.values().iter().any(|&value| is_impossible(value)) {
            return array.clone();
        }
        let replaced: PrimitiveArray<T> = match self.substitute {
            Substitute::Null => dates.unary_opt(|value| (!is_impossible(value)).then_some(value)),
            Substitute::Epoch => dates.unary(|value| if is_impossible(value) { T::Native::default() } else { value }),
        };
        Arc::new(replaced.with_data_type(array.data_type().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, TimestampMicrosecondArray};
    use tidegate_model::pretty::parse;
    use tidegate_model::types::{date_from_parts, datetime_from_parts};

    #[test]
    fn impossible_dates_give_way_and_others_stay() {
        let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table("id:int d:int t:int")));
        parts.columns[1].sql_type = SqlType::Date;
        parts.columns[2].sql_type = SqlType::Timestamp { fraction: 6 };
        (parts.columns[1].nullable, parts.columns[2].nullable) = (true, false);
        let table = Arc::new(Table::from(parts));
        let dates = [Some(date_from_parts(2024, 2, 29)), Some(date_from_parts(2010, 0, 10)), None];
        let times = [datetime_from_parts(0, 0, 0, 0), datetime_from_parts(2024, 1, 1, 5), 0];
        let batch = parse("id:int d:int t:int", "+I 1 1 1\n+I 2 2 2\n+I 3 3 3");
        let columns: Vec<ArrayRef> = vec![
            batch.rows().column(0).clone(),
            Arc::new(Date32Array::from(dates.to_vec())),
            Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("+00:00")),
        ];
        let batch = batch.with_rows(table.clone(), RecordBatch::try_new(table.schema().clone(), columns).unwrap());

        let columns = |substitute| {
            let plan = ZeroDates::plan(&table, substitute).unwrap();
            let out = plan.apply(batch.clone());
            let dates = out.rows().column(1).as_primitive::<Date32Type>().iter().collect::<Vec<_>>();
            let times = out.rows().column(2).as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>();
            (dates, times)
        };
        assert_eq!(columns(Substitute::Null), (vec![dates[0], None, None], vec![None, Some(times[1]), Some(0)]));
        assert_eq!(columns(Substitute::Epoch), (vec![dates[0], Some(0), None], vec![Some(0), Some(times[1]), Some(0)]));
        assert!(ZeroDates::plan(&tidegate_model::pretty::table("id:int"), Substitute::Null).is_none());
    }
}
