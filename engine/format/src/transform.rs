//! SQL on changes: which of them pass, and what they look like afterwards.
//!
//! A [`Transform`] belongs to one table version. The filter is evaluated once over all images of a batch, updates' images
//! included; [`ChangeBatch::retain`] then makes a delete of an update that leaves the filter and an insert of one that
//! enters it. The projection passes plain columns through untouched and computes the rest.
//!
//! ```text
//! where: amount > 10        -U 7 20        -D 7 20
//! select: [id, amount]      +U 7  5   ──►
//! ```
//!
//! SQL sees columns as Arrow types, with two exceptions: a SET is its labels joined by commas, and an
//! [impossible date](tidegate_model::types#impossible-dates) compares below every real one; a *computed* column over an
//! impossible date is an error, because no calendar function has an answer for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::columns::{ColumnList, ColumnsError};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt64Type};
use tidegate_sql::{
    ColumnSource, Filter, InputColumns, Kind, Output, OutputColumn, Projection, Pushdown, SqlError, TextOrder,
};

use tidegate_model::types::{IMPOSSIBLE_DATE_END, IMPOSSIBLE_DATETIME_END};
use tidegate_model::{ChangeBatch, Column, Coordinate, RowKind, SqlType, Table, TableName, TableParts, UniqueKey};

/// The filter and projection of one table version.
pub struct Transform {
    /// What SQL sees.
    view: SchemaRef,
    filter: Option<Filter>,
    projection: Option<Projection>,
    output: Arc<Table>,
}

/// A filter or projection that cannot be used, or a value that it cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    #[error("table {table}, {clause}: {error}")]
    Sql { table: TableName, clause: &'static str, error: Box<SqlError> },
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error("{place}: table {table}, {clause}: {error}")]
    Row { table: TableName, clause: &'static str, place: RowPlace, error: Box<SqlError> },
    #[error(
        "{place}: table {table}, select: column {column} holds a date that no calendar has, and a column is computed from it"
    )]
    ImpossibleDate { table: TableName, column: String, place: RowPlace },
}

impl TransformError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            TransformError::Sql { .. } => None,
            TransformError::Columns(ColumnsError::Unknown { .. }) => Some(
                "names are those of the source; where the table has changed, a list of columns that it had before and has now goes on",
            ),
            TransformError::Columns(_) => None,
            TransformError::Row { .. } => Some(
                "another expression goes on from here: TRY_CAST gives NULL where CAST fails, a wider CAST keeps results in range",
            ),
            TransformError::ImpossibleDate { .. } => Some(
                "another projection goes on from here: the column as it is comes out with every date, and a filter keeps such rows out",
            ),
        }
    }
}

/// Where a row came from.
#[derive(Debug)]
pub enum RowPlace {
    FullLoad,
    Binlog(Coordinate),
}

impl RowPlace {
    fn of(batch: &ChangeBatch, row: usize) -> RowPlace {
        let run = batch.events().partition_point(|run| run.end <= row);
        match batch.kinds()[row] {
            RowKind::Initial => RowPlace::FullLoad,
            _ => RowPlace::Binlog(batch.events()[run].meta.coordinate.clone()),
        }
    }
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowPlace::FullLoad => f.write_str("full load"),
            RowPlace::Binlog(at) => write!(f, "binlog {at}"),
        }
    }
}

impl Transform {
    /// Plans `where` and `select` over `table`; the result is called `output_name`.
    pub fn compile(
        table: &Arc<Table>,
        condition: Option<&str>,
        select: Option<&[String]>,
        output_name: TableName,
    ) -> Result<Transform, TransformError> {
        let input = sql_input(table);
        let error =
            |clause| move |error| TransformError::Sql { table: table.name().clone(), clause, error: Box::new(error) };
        let filter = condition.map(|text| Filter::compile(text, &input)).transpose().map_err(error("where"))?;
        let projection = select.map(|items| Projection::compile(items, &input)).transpose().map_err(error("select"))?;
        let output = match &projection {
            Some(projection) => Arc::new(output_table(table, projection, output_name)),
            None if *table.name() == output_name => table.clone(),
            None => {
                let mut parts = TableParts::from(Table::clone(table));
                parts.name = output_name;
                Arc::new(Table::from(parts))
            }
        };
        Ok(Transform { view: input.schema, filter, projection, output })
    }

    /// The expressions: `where` and what `select` computes, and whether each depends on the zone of a session.
    pub fn expressions(&self) -> impl Iterator<Item = (&str, bool)> {
        let filter = self.filter.iter().map(|filter| (filter.text(), filter.depends_on_zone()));
        filter.chain(self.projection.iter().flat_map(Projection::computed))
    }

    /// Where a column of the table stands in what comes out, as it is.
    pub fn output_of(&self, column: usize) -> Option<usize> {
        let Some(projection) = &self.projection else { return Some(column) };
        projection.outputs().iter().position(|out| matches!(out.output, Output::Column(index) if index == column))
    }

    /// The columns of the table that decide about what comes out, ascending: those of the filter and those of the output.
    pub fn columns_read(&self) -> BTreeSet<usize> {
        let Some(projection) = &self.projection else { return (0..self.view.fields().len()).collect() };
        let as_they_are = projection.outputs().iter().filter_map(|column| match column.output {
            Output::Column(index) => Some(index),
            Output::Computed(_) => None,
        });
        let filter = self.filter.iter().flat_map(Filter::columns);
        filter.chain(projection.columns()).copied().chain(as_they_are).collect()
    }

    /// With these columns, in the place of a `select`.
    pub fn with_columns(self, table: &Table, columns: &ColumnList) -> Result<Transform, TransformError> {
        let projection = Projection::of_columns(&columns.plan(table)?, &sql_input(table));
        let output = Arc::new(output_table(table, &projection, self.output.name().clone()));
        Ok(Transform { projection: Some(projection), output, ..self })
    }

    /// Whether other columns come out than those of the table.
    pub fn projects(&self) -> bool {
        self.projection.is_some()
    }

    /// The table that comes out.
    pub fn output(&self) -> &Arc<Table> {
        &self.output
    }

    /// The part of the filter that the server may evaluate for us, as MySQL text.
    pub fn mysql_predicate(&self) -> Option<&str> {
        self.filter.as_ref().and_then(Filter::mysql_predicate)
    }

    /// The changes that pass the filter.
    pub fn filter(&self, batch: ChangeBatch) -> Result<ChangeBatch, TransformError> {
        let Some(filter) = &self.filter else { return Ok(batch) };
        let columns = self.view_columns(&batch, filter.columns());
        let keep = filter.evaluate(&columns).map_err(|error| {
            row_error(&batch, "where", error, |row| filter.evaluate(&columns.slice(row, 1)).is_err())
        })?;
        Ok(batch.retain(&keep))
    }

    /// The output columns of changes that passed.
    pub fn project(&self, batch: ChangeBatch) -> Result<ChangeBatch, TransformError> {
        let Some(projection) = &self.projection else {
            return Ok(if Arc::ptr_eq(batch.table(), &self.output) {
                batch
            } else {
                let rows = batch.rows().clone();
                batch.with_rows(self.output.clone(), rows)
            });
        };
        self.refuse_impossible_dates(&batch, projection)?;
        let inputs = self.view_columns(&batch, projection.columns());
        let computed = projection.evaluate(&inputs).map_err(|error| {
            row_error(&batch, "select", error, |row| projection.evaluate(&inputs.slice(row, 1)).is_err())
        })?;
        let columns = projection
            .outputs()
            .iter()
            .zip(self.output.columns())
            .map(|(output, column)| match output.output {
                Output::Column(index) => batch.rows().column(index).clone(),
                // Conditions come out as TINYINT(1), MySQL's boolean.
                Output::Computed(index) => {
                    cast(&computed[index], &column.sql_type.arrow()).expect("a boolean is a number")
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows().num_rows()));
        let schema = self.output.schema().clone();
        let rows = RecordBatch::try_new_with_options(schema, columns, &options).expect("outputs have their types");
        Ok(batch.with_rows(self.output.clone(), rows))
    }

    /// The named columns as SQL sees them.
    fn view_columns(&self, batch: &ChangeBatch, indexes: &[usize]) -> RecordBatch {
        let columns: Vec<ArrayRef> = indexes
            .iter()
            .map(|&index| {
                let array = batch.rows().column(index);
                match &batch.table().columns()[index].sql_type {
                    SqlType::Set { labels } => set_text(array, labels),
                    _ => array.clone(),
                }
            })
            .collect();
        let schema = Arc::new(self.view.project(indexes).expect("indexes lie in the schema"));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows().num_rows()));
        RecordBatch::try_new_with_options(schema, columns, &options).expect("the view's types are the columns'")
    }

    fn refuse_impossible_dates(&self, batch: &ChangeBatch, projection: &Projection) -> Result<(), TransformError> {
        for &index in projection.columns() {
            let array = batch.rows().column(index);
            let impossible = match array.data_type() {
                DataType::Date32 => array
                    .as_primitive::<Date32Type>()
                    .iter()
                    .position(|days| days.is_some_and(|days| days < IMPOSSIBLE_DATE_END)),
                DataType::Timestamp(..) => array
                    .as_primitive::<TimestampMicrosecondType>()
                    .iter()
                    .position(|microseconds| microseconds.is_some_and(|time| time < IMPOSSIBLE_DATETIME_END)),
                _ => None,
            };
            if let Some(row) = impossible {
                return Err(TransformError::ImpossibleDate {
                    table: batch.table().name().clone(),
                    column: batch.table().columns()[index].name.clone(),
                    place: RowPlace::of(batch, row),
                });
            }
        }
        Ok(())
    }
}

/// The error of a batch with the place of its first row that has it. Kernels do not say which row that is, so each is tried
/// again; a run has one such error at most.
fn row_error(
    batch: &ChangeBatch,
    clause: &'static str,
    error: SqlError,
    fails: impl Fn(usize) -> bool,
) -> TransformError {
    let row = (0..batch.kinds().len()).find(|&row| fails(row)).unwrap_or(0);
    let (table, place) = (batch.table().name().clone(), RowPlace::of(batch, row));
    TransformError::Row { table, clause, place, error: Box::new(error) }
}

/// The schema that expressions are planned on.
pub fn sql_view(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table
        .columns()
        .iter()
        .map(|column| {
            let data_type = match column.sql_type {
                SqlType::Set { .. } => DataType::Utf8,
                ref other => other.arrow(),
            };
            Field::new(&column.name, data_type, column.nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// What expressions over a table see.
pub fn sql_input(table: &Table) -> InputColumns {
    let texts: Vec<TextOrder> = table.columns().iter().map(text_order).collect();
    InputColumns {
        schema: sql_view(table),
        pushdown: table.columns().iter().zip(&texts).map(|(column, text)| pushdown(column, text)).collect(),
        sources: table.columns().iter().map(source).collect(),
        texts,
    }
}

fn source(column: &Column) -> ColumnSource {
    let kind = match column.sql_type {
        SqlType::Json => Kind::Json,
        SqlType::Year => Kind::Year,
        SqlType::Bit { .. } => Kind::Bit,
        SqlType::Set { .. } => Kind::Set,
        _ => Kind::Plain,
    };
    let fraction = match column.sql_type {
        SqlType::Time { fraction } | SqlType::DateTime { fraction } | SqlType::Timestamp { fraction } => Some(fraction),
        _ => None,
    };
    let labels = match &column.sql_type {
        SqlType::Enum { labels } | SqlType::Set { labels, .. } => {
            Some(labels.iter().map(ToString::to_string).collect())
        }
        _ => None,
    };
    ColumnSource { kind, charset: column.charset.clone(), fraction, labels }
}

/// How the source compares text of the column.
pub(crate) fn text_order(column: &Column) -> TextOrder {
    match column.sql_type {
        SqlType::Char | SqlType::VarChar | SqlType::Text | SqlType::Enum { .. } | SqlType::Set { .. } => {
            TextOrder::of(column.collation.as_deref())
        }
        _ => TextOrder::Bytes,
    }
}

/// Whether MySQL compares values of the column as we do.
fn pushdown(column: &Column, text: &TextOrder) -> Pushdown {
    // Bytes that stand for no character are one `?` here, and on the server what they are.
    let is_decoded_whole = matches!(column.charset.as_deref(), Some("utf8mb4" | "utf8mb3" | "utf8" | "latin1"));
    match column.sql_type {
        SqlType::Char | SqlType::VarChar | SqlType::Text if !is_decoded_whole => Pushdown::Never,
        // Of CHAR, whose spaces at the end are not stored, servers find other rows by an index than without if they count.
        SqlType::Char if matches!(text, TextOrder::Collation(collation) if collation.pads()) => Pushdown::Exact,
        SqlType::VarChar | SqlType::Text if matches!(text, TextOrder::Collation(_)) => Pushdown::Exact,
        SqlType::Int { .. }
        | SqlType::Decimal { .. }
        | SqlType::Date
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. }
        | SqlType::VarBinary
        | SqlType::Blob => Pushdown::Exact,
        _ => Pushdown::Never,
    }
}

fn set_text(bits: &ArrayRef, labels: &[String]) -> ArrayRef {
    let mut text = StringBuilder::with_capacity(bits.len(), bits.len() * 8);
    let mut value = String::new();
    for bits in bits.as_primitive::<UInt64Type>() {
        let Some(bits) = bits else {
            text.append_null();
            continue;
        };
        value.clear();
        for (index, label) in labels.iter().enumerate() {
            if bits >> index & 1 == 1 {
                if !value.is_empty() {
                    value.push(',');
                }
                value.push_str(label);
            }
        }
        text.append_value(&value);
    }
    Arc::new(text.finish())
}

/// The table that a projection makes: plain columns keep everything but their name, computed ones get the MySQL type
/// that holds their Arrow type, keys survive where all their columns do.
fn output_table(table: &Table, projection: &Projection, name: TableName) -> Table {
    let outputs = projection.outputs();
    let columns = outputs
        .iter()
        .map(|OutputColumn { field, output }| match output {
            Output::Column(index) => Column { name: field.name().clone(), ..table.columns()[*index].clone() },
            Output::Computed(_) => computed_column(field),
        })
        .collect();
    let new_index =
        |old: usize| outputs.iter().position(|column| matches!(column.output, Output::Column(index) if index == old));
    let unique_keys = table
        .unique_keys()
        .iter()
        .filter_map(|key| {
            let columns = key.columns.iter().map(|&old| new_index(old)).collect::<Option<Vec<_>>>()?;
            Some(UniqueKey { name: key.name.clone(), columns })
        })
        .collect();
    Table::from(TableParts { name, version: table.version(), columns, unique_keys })
}

fn computed_column(field: &Field) -> Column {
    let int = |bytes, unsigned| SqlType::Int { bytes, unsigned };
    let (sql_type, type_text) = match field.data_type() {
        DataType::Boolean => (int(1, false), "tinyint(1)".to_owned()),
        DataType::Int8 => (int(1, false), "tinyint".to_owned()),
        DataType::Int16 => (int(2, false), "smallint".to_owned()),
        DataType::Int32 => (int(4, false), "int".to_owned()),
        DataType::Int64 => (int(8, false), "bigint".to_owned()),
        DataType::UInt8 => (int(1, true), "tinyint unsigned".to_owned()),
        DataType::UInt16 => (int(2, true), "smallint unsigned".to_owned()),
        DataType::UInt32 => (int(4, true), "int unsigned".to_owned()),
        DataType::UInt64 => (int(8, true), "bigint unsigned".to_owned()),
        DataType::Float32 => (SqlType::Float, "float".to_owned()),
        DataType::Float64 => (SqlType::Double, "double".to_owned()),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            (SqlType::Decimal { precision: *p, scale: *s as u8 }, format!("decimal({p},{s})"))
        }
        DataType::Date32 => (SqlType::Date, "date".to_owned()),
        DataType::Timestamp(_, None) => (SqlType::DateTime { fraction: 6 }, "datetime(6)".to_owned()),
        DataType::Timestamp(_, Some(_)) => (SqlType::Timestamp { fraction: 6 }, "timestamp(6)".to_owned()),
        DataType::Duration(_) => (SqlType::Time { fraction: 6 }, "time(6)".to_owned()),
        DataType::Binary => (SqlType::Blob, "longblob".to_owned()),
        DataType::Utf8 => (SqlType::Text, "longtext".to_owned()),
        other => unreachable!("the projection's outputs are of a closed set of types, not {other}"),
    };
    let charset = sql_type.is_text().then(|| "utf8mb4".to_owned());
    Column { name: field.name().clone(), sql_type, type_text, nullable: field.is_nullable(), charset, collation: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::pretty::{draw, parse, table};

    fn check(condition: &str, select: &[&str], before: &str, after: &str) {
        let header = "id:int amount:int name:text";
        let select: Vec<String> = select.iter().map(|&item| item.to_owned()).collect();
        let transform = Transform::compile(
            &table(header),
            (!condition.is_empty()).then_some(condition),
            (!select.is_empty()).then_some(&select),
            TableName::new("db", "t"),
        )
        .unwrap();
        let batch = transform.project(transform.filter(parse(header, before)).unwrap()).unwrap();
        let expected: String =
            after.lines().map(|line| line.trim()).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
        assert_eq!(draw(&batch), expected);
    }

    #[test]
    fn update_leaving_the_filter_becomes_a_delete() {
        check("amount > 10", &[], "-U 7 20 a\n+U 7 5 a", "-D 7 20 a");
    }

    #[test]
    fn update_entering_the_filter_becomes_an_insert() {
        check("amount > 10", &[], "-U 7 _ a\n+U 7 50 a", "+I 7 50 a");
    }

    #[test]
    fn projection_renames_computes_and_keeps_order() {
        check("", &["name AS who", "amount * 2 AS twice", "id"], "** 1 5 a\n+I 2 _ b", "** a 10 1\n+I b _ 2");
    }

    /// Images stay side by side, and a key goes with its columns, under their names.
    #[test]
    fn columns_by_name_are_a_projection() {
        let with = |items: &[&str]| {
            let header = "id:int amount:int name:text";
            let mut columns = ColumnList::default();
            items.iter().for_each(|item| columns.add(item).unwrap());
            let transform =
                Transform::compile(&table(header), Some("amount > 1"), None, TableName::new("crm", "c")).unwrap();
            let transform = transform.with_columns(&table(header), &columns).unwrap();
            let changes = parse(header, "** 1 5 a\n-U 2 5 b\n+U 2 1 c\n-U 3 5 d\n+U 4 6 e");
            let batch = transform.project(transform.filter(changes).unwrap()).unwrap();
            let names: Vec<&str> = batch.table().columns().iter().map(|column| column.name.as_str()).collect();
            (names.join(" "), batch.table().primary_key().map(<[usize]>::to_vec), draw(&batch))
        };
        // What is filtered by need not leave.
        let expected = "** 1 a\n-D 2 b\n-U 3 d\n+U 4 e\n".to_owned();
        assert_eq!(with(&["!amount", "id AS number"]), ("number name".to_owned(), Some(vec![0]), expected));
        let expected = "** a 5\n-D b 5\n-U d 5\n+U e 6\n".to_owned();
        assert_eq!(with(&["name", "amount"]), ("name amount".to_owned(), None, expected));
    }

    #[test]
    fn a_key_survives_only_whole() {
        let table = table("id:int amount:int");
        let with = |select: &[&str]| {
            let select: Vec<String> = select.iter().map(|&item| item.to_owned()).collect();
            let transform = Transform::compile(&table, None, Some(&select), TableName::new("crm", "c")).unwrap();
            (transform.output().primary_key().map(<[usize]>::to_vec), transform.output().name().to_string())
        };
        assert_eq!(with(&["amount", "id AS customer"]), (Some(vec![1]), "crm.c".to_owned()));
        assert_eq!(with(&["amount"]), (None, "crm.c".to_owned()));
    }
}
