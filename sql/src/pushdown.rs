//! The part of a filter that the server can be asked to judge first.
//!
//! The text goes into the WHERE of the queries that read a table in chunks. It may keep too much, since every row is
//! judged again, but it may never lose a row that the filter would keep: the changes of that row would arrive later
//! without it. So this is a list of what is known to be the same on both sides, and the rest stays at home:
//!
//! - one column whose comparison is exact on both sides ([`Pushdown::Exact`]) against literals of its own type,
//! - text of one such column against literals, by the column's own collation; LIKE with a prefix of letters and digits as a range
//!   (`s LIKE 'Caf%'` is `s >= 'Caf' AND s < 'cag'`), since by an index servers lose rows of what is LIKE it: those whose characters
//!   behind the prefix weigh more than the border that they choose themselves,
//! - AND of which each side may be missing, OR of which none may.
//!
//! Dates that do not exist compare by their digits on both sides. IS NULL is true in MySQL for a zero date of a NOT NULL column,
//! so it stays at home for dates, date-times and timestamps.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Between, BinaryExpr, InList, ScalarFunction};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, Operator};

use crate::text::{Said, TextOperation};
use crate::{InputColumns, Pushdown, TextOrder, literal, types};

/// MySQL text that is true for at least every row for which `filter` is true.
pub(crate) fn mysql_predicate(filter: &Expr, input: &InputColumns) -> Option<String> {
    Pushing { input }.text(filter)
}

struct Pushing<'a> {
    input: &'a InputColumns,
}

impl<'a> Pushing<'a> {
    fn text(&self, filter: &'a Expr) -> Option<String> {
        if let Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) = filter {
            let parts: Vec<String> = split_conjunction(filter).into_iter().filter_map(|part| self.text(part)).collect();
            return (!parts.is_empty()).then(|| parts.join(" AND "));
        }
        self.term(filter)
    }

    fn term(&self, filter: &'a Expr) -> Option<String> {
        let input = self.input;
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                Some(format!("({} OR {})", self.text(left)?, self.text(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
                (Expr::Literal(value, _), _) => self.comparison(right, op.swap()?, value),
                (_, Expr::Literal(value, _)) => self.comparison(left, *op, value),
                _ => None,
            },
            Expr::InList(InList { expr, list, negated }) => {
                let column = Column::of(expr, input)?;
                let values = list.iter().map(|item| column.literal_of(item)).collect::<Option<Vec<String>>>()?;
                let not = if *negated { " NOT" } else { "" };
                Some(format!("{}{not} IN ({})", column.name, values.join(", ")))
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let column = Column::of(expr, input)?;
                Some(format!("{} BETWEEN {} AND {}", column.name, column.literal_of(low)?, column.literal_of(high)?))
            }
            Expr::ScalarFunction(call) => self.text_comparison(call, false),
            Expr::Not(inner) => match inner.as_ref() {
                Expr::ScalarFunction(call) => self.text_comparison(call, true),
                _ => None,
            },
            Expr::IsNull(expr) => {
                let column = Column::of(expr, input).filter(|column| !column.is_temporal())?;
                Some(format!("{} IS NULL", column.name))
            }
            Expr::IsNotNull(expr) => {
                let column = Column::of(expr, input).filter(|column| !column.is_temporal())?;
                Some(format!("{} IS NOT NULL", column.name))
            }
            _ => None,
        }
    }

    /// Text of a column, compared by the column's own collation: there the tables of weights are the server's.
    fn text_comparison(&self, call: &ScalarFunction, negated: bool) -> Option<String> {
        let operation = TextOperation::of(&call.func)?;
        let [expr @ Expr::Column(source)] = call.args.as_slice() else { return None };
        let column = Column::of(expr, self.input)?;
        let index = self.input.schema.index_of(source.name()).ok()?;
        match self.input.texts.get(index)? {
            TextOrder::Collation(collation) if std::ptr::eq(*collation, operation.collation()) => {}
            _ => return None,
        }
        let name = &column.name;
        let text = match operation.said()? {
            Said::Compare(Operator::IsNotDistinctFrom, _) => return None,
            // Which is no range, and no index helps with.
            Said::Prefix(_) if negated => return None,
            Said::Prefix(prefix) => {
                let from = format!("{name} >= {}", text_literal(prefix));
                match behind(prefix) {
                    Some(end) => format!("({from} AND {name} < {})", text_literal(&end)),
                    None => from,
                }
            }
            Said::Compare(op, text) => format!("{name} {op} {}", text_literal(text)),
            Said::In(texts) => {
                format!("{name} IN ({})", texts.into_iter().map(text_literal).collect::<Vec<String>>().join(", "))
            }
        };
        Some(if negated { format!("NOT ({text})") } else { text })
    }

    fn comparison(&self, expr: &Expr, op: Operator, value: &ScalarValue) -> Option<String> {
        let column = Column::of(expr, self.input)?;
        let sign = match op {
            Operator::Eq => "=",
            Operator::NotEq => "<>",
            Operator::Gt => ">",
            Operator::GtEq => ">=",
            Operator::Lt => "<",
            Operator::LtEq => "<=",
            _ => return None,
        };
        Some(format!("{} {sign} {}", column.name, column.literal(value)?))
    }
}

/// What comes behind all texts that begin with letters and digits as these, whatever their case; nothing if there is no such.
fn behind(prefix: &str) -> Option<String> {
    let mut end = prefix.to_ascii_lowercase();
    let next = match end.pop()? {
        'z' => return None,
        '9' => 'a',
        last => char::from(last as u8 + 1),
    };
    end.push(next);
    Some(end)
}

/// A column that MySQL compares as we do.
struct Column<'a> {
    /// Its name in back-ticks.
    name: String,
    data_type: &'a DataType,
    /// What it was widened to for a comparison with a decimal, if it was.
    compared_as: DataType,
}

impl<'a> Column<'a> {
    fn of(expr: &Expr, input: &'a InputColumns) -> Option<Column<'a>> {
        let (column, compared_as) = match expr {
            Expr::Column(column) => (column, None),
            Expr::Cast(cast) => match cast.expr.as_ref() {
                Expr::Column(column) => (column, Some(cast.field.data_type())),
                _ => return None,
            },
            _ => return None,
        };
        let index = input.schema.index_of(column.name()).ok()?;
        if input.pushdown.get(index) != Some(&Pushdown::Exact) {
            return None;
        }
        let data_type = input.schema.field(index).data_type();
        if compared_as.is_some_and(|to| !types::widens(data_type, to)) {
            return None;
        }
        Some(Column { name: quoted(column.name()), data_type, compared_as: compared_as.unwrap_or(data_type).clone() })
    }

    fn is_temporal(&self) -> bool {
        self.data_type.is_temporal()
    }

    fn literal_of(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Literal(value, _) => self.literal(value),
            _ => None,
        }
    }

    fn literal(&self, value: &ScalarValue) -> Option<String> {
        if value.data_type() != self.compared_as {
            return None;
        }
        Some(match value {
            ScalarValue::Int8(Some(value)) => value.to_string(),
            ScalarValue::Int16(Some(value)) => value.to_string(),
            ScalarValue::Int32(Some(value)) => value.to_string(),
            ScalarValue::Int64(Some(value)) => value.to_string(),
            ScalarValue::UInt8(Some(value)) => value.to_string(),
            ScalarValue::UInt16(Some(value)) => value.to_string(),
            ScalarValue::UInt32(Some(value)) => value.to_string(),
            ScalarValue::UInt64(Some(value)) => value.to_string(),
            ScalarValue::Decimal128(Some(value), _, scale) => literal::decimal_text(&value.to_string(), *scale),
            ScalarValue::Decimal256(Some(value), _, scale) => literal::decimal_text(&value.to_string(), *scale),
            ScalarValue::Date32(Some(days)) => format!("'{}'", literal::date_text(*days)?),
            ScalarValue::TimestampMicrosecond(Some(micros), _) => format!("'{}'", literal::timestamp_text(*micros)?),
            ScalarValue::Binary(Some(bytes)) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("x'{digits}'")
            }
            _ => return None,
        })
    }
}

/// A literal of utf8mb4, whatever `sql_mode` says of backslashes.
fn text_literal(text: &str) -> String {
    match text.chars().all(|c| (' '..='~').contains(&c) && !matches!(c, '\'' | '\\')) {
        true => format!("_utf8mb4'{text}'"),
        false => {
            let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("_utf8mb4 x'{digits}'")
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
