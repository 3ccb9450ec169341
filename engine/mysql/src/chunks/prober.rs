//! What cutting asks the server.

use super::cut::Prober;
use super::sql::{force_index, key_columns, key_expression, parse_key};
use super::{ChunkKey, KeyRange, KeyValue};
use crate::connection::{quote_identifier, quote_table};
use crate::result_rows::take_bytes;
use crate::wire::{Connection, WireError};
use tidegate_model::Table;

/// Asks the server.
pub(crate) struct ServerProber<'a> {
    connection: &'a mut Connection,
    table: &'a Table,
    columns: Vec<usize>,
    index: Option<&'a str>,
}

impl<'a> ServerProber<'a> {
    pub(crate) fn new(
        connection: &'a mut Connection,
        table: &'a Table,
        key: &ChunkKey,
        index: Option<&'a str>,
    ) -> ServerProber<'a> {
        ServerProber { connection, table, columns: key_columns(table, key), index }
    }
}

impl Prober for ServerProber<'_> {
    fn first_is_unique(&self) -> bool {
        self.table.unique_keys().iter().any(|key| key.columns == self.columns[..1])
    }

    fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
        if self.index.is_none() {
            return Ok(None);
        }
        let column = &self.table.columns()[self.columns[0]];
        let name = quote_identifier(&column.name);
        let [smallest, largest] =
            ["MIN", "MAX"].map(|function| key_expression(&column.sql_type, &format!("{function}({name})")));
        let sql = format!("SELECT {smallest}, {largest} FROM {}", quote_table(self.table.name()));
        let results = self.connection.query(&sql)?;
        let mut values = results
            .iter()
            .flat_map(|result| &result.rows)
            .flatten()
            .map(|value| std::str::from_utf8(value.as_deref()?).ok()?.parse::<i128>().ok());
        Ok(values.next().flatten().zip(values.next().flatten()))
    }

    fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError> {
        let Some(index) = self.index else { return Ok(None) };
        let column = quote_identifier(&self.table.columns()[self.columns[0]].name);
        // `USE`, not `FORCE`: where an index is forced, MySQL 8 sees no reason to look into it and expects one row. The
        // format is named because the one by default depends on a variable.
        let sql = format!(
            "EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {} USE INDEX ({index}) \
             WHERE {column} >= {low} AND {column} <= {high}",
            quote_table(self.table.name()),
        );
        let results = self.connection.query(&sql)?;
        let rows = results.first().and_then(|plan| {
            let rows = plan.columns.iter().position(|column| column.name.eq_ignore_ascii_case("rows"))?;
            std::str::from_utf8(plan.rows.first()?.get(rows)?.as_deref()?).ok()?.parse().ok()
        });
        // Without a number the optimizer knows already that no row matches.
        Ok(Some(rows.unwrap_or(0)))
    }

    fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
        let columns: Vec<_> = self.columns.iter().map(|&index| &self.table.columns()[index]).collect();
        let mut params = Vec::new();
        let condition = range.of_columns(&columns, false, &mut params);
        let sql = format!(
            "SELECT 1 FROM {} {} WHERE {} LIMIT 1",
            quote_table(self.table.name()),
            force_index(self.index),
            if condition.is_empty() { "TRUE" } else { &condition },
        );
        let mut found = self.connection.execute(&sql, &params)?;
        let is_there = found.next()?.is_some();
        while found.next()?.is_some() {}
        Ok(is_there)
    }

    fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
        if self.index.is_none() {
            return Ok(None);
        }
        let table = self.table;
        let columns: Vec<_> = self.columns.iter().map(|&index| &table.columns()[index]).collect();
        let names: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
        let expressions: Vec<String> =
            columns.iter().zip(&names).map(|(column, name)| key_expression(&column.sql_type, name)).collect();
        let mut params = Vec::new();
        // A border that names all columns may be the key of a row, and is not to be found again.
        let is_strict = range.lower.as_ref().is_some_and(|lower| lower.len() == names.len());
        let condition = range.of_columns(&columns, is_strict, &mut params);
        let is_there = range.lower.is_none().then(|| format!("{} IS NOT NULL", names[0]));
        let conditions: Vec<String> =
            is_there.into_iter().chain(Some(condition).filter(|text| !text.is_empty())).collect();
        let sql = format!(
            "SELECT {} FROM {} {} WHERE {} ORDER BY {} LIMIT 1 OFFSET {rows}",
            expressions.join(", "),
            quote_table(table.name()),
            force_index(self.index),
            conditions.join(" AND "),
            names.join(", "),
        );
        let mut found = self.connection.execute(&sql, &params)?;
        let Some(row) = found.next()? else { return Ok(None) };
        let null_bytes = (columns.len() + 9) / 8;
        let mut rest = row.get(null_bytes..).unwrap_or_default();
        let key = columns.iter().map(|column| parse_key(&column.sql_type, take_bytes(&mut rest)?)).collect();
        while found.next()?.is_some() {}
        Ok(key)
    }
}
