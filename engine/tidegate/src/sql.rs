//! What is this expression, on these rows? Answered for the first rows of a table, beside the server's own answer if wanted.
//!
//! ```text
//! shop.orders: amount / qty is decimal(15,6)
//!   id  here      server
//!   1   5.000000  5.000000
//!   2   NULL      NULL
//! ```
//!
//! Nothing is sent or written. The server is asked row by row, by the key: a table without one cannot be compared, and a row
//! that has changed in between may differ.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::config::Task;
use crate::error::Error;
use crate::open::runtime;
use crate::pipeline::route::{RouteError, target_of_table, with_target};
use crate::source::{self, Source, SourceError};
use tidegate_format::transform::Transform;
use tidegate_model::{ChangeBatch, Table};
use tidegate_mysql::connection::{quote_identifier, quote_table, quote_text};

/// The name of the one column that is computed.
const COLUMN: &str = "value";

/// Type and values of an expression over the first `rows` rows of a table, as text.
pub fn evaluate(task: Task, name: &str, expression: &str, rows: usize, compare: bool) -> Result<String, Error> {
    let task = Arc::new(task);
    // Kept: the server is asked through it.
    let runtime = runtime()?;
    let source = source::open(&task, &runtime, None)?;
    let table = selected(&*source, &task, name)?;
    let target = target_of_table(&task.tables, table.name())?;
    let select = [format!("{expression} AS {COLUMN}")];
    let transform = Transform::compile(&table, None, Some(&select), table.name().clone()).map_err(RouteError::from)?;
    let mut out = format!(
        "{}: {} is {}\n",
        with_target(table.name(), &target),
        expression.trim(),
        transform.output().columns()[0].type_text
    );
    let Some(batch) = first_rows(&*source, &task, &table, rows)? else {
        return Ok(out + "  there is no row\n");
    };
    let keys: Vec<usize> = table.key().to_vec();
    let key_values: Vec<ArrayRef> = keys.iter().map(|&index| batch.rows().column(index).clone()).collect();
    let count = batch.rows().num_rows().min(rows);
    let values = transform.project(batch).map_err(RouteError::from)?.rows().column(0).clone();

    let mut lines = vec![keys.iter().map(|&index| table.columns()[index].name.clone()).collect::<Vec<_>>()];
    lines[0].push("here".to_owned());
    if compare {
        lines[0].push("server".to_owned());
    }
    for row in 0..count {
        let mut line: Vec<String> = key_values.iter().map(|values| shown(values, row)).collect();
        line.push(shown(&values, row));
        if compare {
            line.push(ask(&*source, &table, &key_values, row, expression, values.data_type())?);
        }
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0).min(60))
        .collect();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        out += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(out)
}

/// By its name in the source, or else by what it is called where it goes, if that is the name of no other.
fn selected(source: &dyn Source, task: &Task, name: &str) -> Result<Arc<Table>, Error> {
    let tables = source.tables();
    if let Some(table) = tables.iter().find(|table| table.name().to_string() == name) {
        return Ok(table.clone());
    }
    let goes_as = |table: &&Arc<Table>| {
        target_of_table(&task.tables, table.name()).is_ok_and(|target| target.to_string() == name)
    };
    match tables.iter().filter(goes_as).collect::<Vec<_>>()[..] {
        [table] => Ok(table.clone()),
        _ => Err(SourceError::NotSelected { name: name.to_owned() }.into()),
    }
}

fn first_rows(
    source: &dyn Source,
    task: &Arc<Task>,
    table: &Arc<Table>,
    rows: usize,
) -> Result<Option<ChangeBatch>, Error> {
    let mut first = None;
    source.sample(task, rows as u64, &mut |batch| {
        if first.is_none() && batch.table().name() == table.name() && batch.rows().num_rows() > 0 {
            first = Some(batch);
        }
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// The server's answer for one row.
fn ask(
    source: &dyn Source,
    table: &Table,
    key_values: &[ArrayRef],
    row: usize,
    expression: &str,
    of: &DataType,
) -> Result<String, Error> {
    let conditions: Option<Vec<String>> = table
        .key()
        .iter()
        .zip(key_values)
        .map(|(&index, values)| {
            let name = quote_identifier(&table.columns()[index].name);
            literal(values, row).map(|literal| format!("{name} = {literal}"))
        })
        .collect();
    let conditions = conditions.filter(|conditions| !conditions.is_empty());
    let conditions = conditions.ok_or_else(|| SourceError::NoKeyToCompare { table: table.name().clone() })?;
    let asked = match of {
        DataType::Binary => format!("LOWER(HEX({expression}))"),
        _ => format!("CAST(({expression}) AS CHAR)"),
    };
    let statement = format!("SELECT {asked} FROM {} WHERE {}", quote_table(table.name()), conditions.join(" AND "));
    Ok(source.ask(&statement)?)
}

/// A value of a key as MySQL reads it, if it is of a type that compares exactly.
fn literal(values: &ArrayRef, row: usize) -> Option<String> {
    match values.data_type() {
        data_type if data_type.is_integer() || data_type.is_decimal() => Some(shown(values, row)),
        DataType::Utf8 => Some(quote_text(values.as_string::<i32>().value(row))),
        DataType::Binary => Some(format!("x'{}'", shown(values, row))),
        DataType::Date32 => Some(format!("'{}'", shown(values, row))),
        _ => None,
    }
}

fn shown(values: &ArrayRef, row: usize) -> String {
    if values.is_null(row) {
        return "NULL".to_owned();
    }
    let options = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options);
    formatter.ok().and_then(|formatter| formatter.value(row).try_to_string().ok()).unwrap_or_else(|| "?".to_owned())
}
