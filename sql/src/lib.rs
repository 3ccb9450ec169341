//! One filter and one projection over one table, compiled to column kernels.
//!
//! ```text
//! "amount > 10 AND status = 'paid'"      parse: MySQL's syntax and precedences
//!                |                       lower: names, types, what is allowed; every error has its place in the text
//!          typed expression              plan:  simplified, bound to the columns it reads, strict about overflow
//!            |          |
//!         kernels    pushdown            a weaker condition in MySQL's own words, for the server
//! ```
//!
//! An expression sees one row of source columns. It knows nothing of changes: a caller that has before- and
//! after-images evaluates the filter over both.
//!
//! # What an expression is
//!
//! MySQL's syntax, with the meaning MySQL gives it or an error. Names are matched without case. Sub-queries,
//! aggregates, window functions, and whatever gives another result on another run (`now()`, `rand()`, `uuid()`) are
//! refused; so are double quotes and `||`, which mean different things in different places. [`functions()`] lists what
//! can be called, `sql/README.md` what becomes of each function of MySQL's manual. `tests/judge` asks servers.
//!
//! Text compares by the collation of its column, with the weights that the servers themselves have told
//! (`tidegate-collation`): in `=`, `<`, BETWEEN, IN, LIKE, CASE, `nullif` and `find_in_set`. What a function makes of a column has the
//! column's collation. Text of a source without collations compares byte by byte, and so does that of JSON beside literals.
//!
//! # One rule for numbers
//!
//! As MySQL 9.7, in filters and projections alike. Division by zero is NULL, of integers, decimals and doubles, by `/`, DIV and `%`;
//! so is a logarithm or a root of what has none. A result out of range is an error, also one that would be infinite. Integers
//! stay integers (`floor(9007199254740993)`), and a quotient has four digits more than its dividend.
//!
//! # Where it differs
//!
//! | | MySQL | here |
//! |---|---|---|
//! | text | compares by its collation | the same where the weights are known; otherwise refused, and `COLLATE utf8mb4_bin` is the way out |
//! | text of two collations | `_bin` wins, or a set that holds the other, or an error | refused |
//! | `COLLATE` | of the text's own character set | of utf8mb4 as well: all text is Unicode here |
//! | text of no column: `md5(x) = 'a'` | by the session's collation | by utf8mb4_0900_ai_ci |
//! | RLIKE | ignores case if the collation does | the same for patterns of ASCII in which no two letters could be one (`ss` and `ß`); otherwise refused |
//! | `instr` | by the collation, on each server in its own way | refused unless the collation compares bytes |
//! | `ILIKE` | an error | LIKE that ignores case, and nothing else that a collation would |
//! | a CAST that fails | NULL, or the nearest value, and a warning | an error; `TRY_CAST` gives NULL |
//! | text beside a number | compared as floating point | only a literal, read as a number; otherwise refused |
//! | a comparison | 1 or 0 | a condition: `a > b AS x` is a boolean column |
//! | a comparison with NULL, a filter that is always or never true | nothing, or everything | refused |
//! | TIMESTAMP, `from_unixtime`, `unix_timestamp` | in the session's zone | in UTC |
//! | `x IS NULL` of a DATE, DATETIME or TIMESTAMP that is NOT NULL | true for a zero date in some places of WHERE | refused |
//!
//! Dates that do not exist ('0000-00-00', '2010-00-10') compare by their digits, as in MySQL; functions that read digits read
//! theirs.
//!
//! # Errors while evaluating
//!
//! They are errors of the batch, deterministic, and never name a value. The right side of AND and OR and the branches
//! of CASE are evaluated only for rows that need them, so `b <> 0 AND a DIV b > 1` is safe.

mod elsewhere;
mod error;
mod functions;
mod literal;
mod lower;
mod parse;
mod plan;
mod pushdown;
mod text;
mod types;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{Cast, Expr, ExprSchemable};
use datafusion_physical_expr::PhysicalExpr;
use sqlparser::ast::{Expr as Ast, Spanned};
use sqlparser::tokenizer::Span;
use tidegate_collation::Collation;

pub use elsewhere::{BEFORE_MYSQL_9, ON_MARIADB, before_mysql_9, on_mariadb};
pub use error::{SqlError, edit_distance, nearest};
pub use functions::functions;

use error::Refusal;
use functions::kernel::Kernel;
use lower::Lower;
use plan::Planner;

/// The columns that an expression may read.
#[derive(Debug, Clone)]
pub struct InputColumns {
    /// The columns of the table, in its order.
    pub schema: SchemaRef,
    /// How the server compares each of them; see [`Filter::mysql_predicate`].
    pub pushdown: Vec<Pushdown>,
    /// How texts of each of them compare; byte by byte if there is none.
    pub texts: Vec<TextOrder>,
    /// What the types do not tell of each of them; nothing in particular where there is none.
    pub sources: Vec<ColumnSource>,
}

/// What a column is to MySQL, where its Arrow type does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnSource {
    pub kind: Kind,
    /// MySQL's name of the character set of text; none is one of ours.
    pub charset: Option<String>,
    /// Digits after the second, of DATETIME, TIMESTAMP and TIME.
    pub fraction: Option<u8>,
    /// The labels of ENUM and SET, in their order, where they are known as texts of the column are.
    pub labels: Option<Vec<String>>,
}

/// See [`ColumnSource`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Plain,
    Json,
    Year,
    Bit,
    Set,
}

/// How texts of a column compare.
#[derive(Debug, Clone, Default)]
pub enum TextOrder {
    /// Byte by byte. Also of what is no text.
    #[default]
    Bytes,
    Collation(&'static Collation),
    /// As a collation says of which the weights are not known here; empty if not even its name is.
    Unknown(Arc<str>),
}

impl TextOrder {
    /// That of a column's collation, if somebody has told its name.
    pub fn of(collation: Option<&str>) -> TextOrder {
        let name = collation.unwrap_or_default();
        match Collation::named(name) {
            Some(collation) => TextOrder::Collation(collation),
            None => TextOrder::Unknown(Arc::from(name)),
        }
    }

    fn name(&self) -> String {
        match self {
            TextOrder::Bytes => "bytes".to_owned(),
            TextOrder::Collation(collation) => collation.name().to_owned(),
            TextOrder::Unknown(name) if name.is_empty() => "an unknown collation".to_owned(),
            TextOrder::Unknown(name) => name.as_ref().to_owned(),
        }
    }
}

impl PartialEq for TextOrder {
    fn eq(&self, other: &TextOrder) -> bool {
        match (self, other) {
            (TextOrder::Bytes, TextOrder::Bytes) => true,
            (TextOrder::Collation(a), TextOrder::Collation(b)) => std::ptr::eq(*a, *b),
            // Of two that nobody has told, nobody knows whether they are the same.
            (TextOrder::Unknown(a), TextOrder::Unknown(b)) => !a.is_empty() && a == b,
            _ => false,
        }
    }
}

/// Whether the server's comparison of a column with a literal is the same as ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushdown {
    /// It is: integers, decimals, dates and date-times, bytes, text by a collation that is known. Not YEAR, which reads the literal 70 as 1970.
    Exact,
    /// It may not be: text by a collation that is not known here, floats, ENUM, SET, JSON, TIME, and whatever nobody has looked at.
    Never,
}

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    columns: Vec<usize>,
    condition: Arc<dyn PhysicalExpr>,
    mysql_predicate: Option<String>,
    depends_on_zone: bool,
}

impl Filter {
    /// Compiles a condition. It must read a column and be able to be both true and false.
    pub fn compile(text: &str, input: &InputColumns) -> Result<Filter, SqlError> {
        let ast = parse::expression(text)?;
        Filter::plan(text, &ast, input).map_err(|refusal| refusal.into_error(text))
    }

    fn plan(text: &str, ast: &Ast, input: &InputColumns) -> Result<Filter, Refusal> {
        let planner = Planner::new(input)?;
        let expr = Lower::new(&planner).condition(ast)?;
        if expr.column_refs().is_empty() {
            return Err(Refusal::new(whole(ast), "the filter reads no column"));
        }
        let expr = planner.simplify(expr)?;
        if let Expr::Literal(value, _) = &expr {
            let always = if *value == ScalarValue::Boolean(Some(true)) { "always" } else { "never" };
            return Err(Refusal::new(whole(ast), format!("the filter is {always} true")));
        }
        let columns = Vec::from_iter(planner.columns_of(&expr));
        Ok(Filter {
            text: text.to_owned(),
            condition: planner.physical(&expr, &columns)?,
            mysql_predicate: pushdown::mysql_predicate(&expr, input),
            depends_on_zone: elsewhere::depends_on_zone(&expr, &input.schema),
            columns,
        })
    }

    /// The text that was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The source columns that it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether a session in another zone than UTC would keep other rows.
    pub fn depends_on_zone(&self) -> bool {
        self.depends_on_zone
    }

    /// One bit per row, no NULLs: what is not certainly true is false. The batch has [`Filter::columns`], in that order.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray, SqlError> {
        let result = evaluate(&self.condition, batch, &self.columns, &self.text)?;
        let result = result.as_boolean();
        Ok(if result.null_count() == 0 { result.clone() } else { prep_null_mask_filter(result) })
    }

    /// A condition in MySQL's words that is true for every row for which the filter is, and maybe for others.
    ///
    /// It can be joined with others by AND as it stands. TIMESTAMP literals in it are UTC: the session's `time_zone` must be
    /// `+00:00`.
    pub fn mysql_predicate(&self) -> Option<&str> {
        self.mysql_predicate.as_deref()
    }
}

/// A compiled list of output columns.
#[derive(Debug, Clone)]
pub struct Projection {
    outputs: Vec<OutputColumn>,
    columns: Vec<usize>,
    computed: Vec<Computed>,
}

/// One column of the output.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// Name, type and nullability.
    pub field: FieldRef,
    pub output: Output,
}

/// Where the values of an output column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// This source column, untouched.
    Column(usize),
    /// This array of what [`Projection::evaluate`] returns.
    Computed(usize),
}

#[derive(Debug, Clone)]
struct Computed {
    text: String,
    field: FieldRef,
    expr: Arc<dyn PhysicalExpr>,
    depends_on_zone: bool,
}

impl Projection {
    /// Compiles a list of `name`, `name AS alias`, `expression AS alias` and `*`.
    pub fn compile(items: &[String], input: &InputColumns) -> Result<Projection, SqlError> {
        let mut plan = ProjectionPlan::default();
        for text in items {
            if text.trim() == "*" {
                for (index, field) in input.schema.fields().iter().enumerate() {
                    plan.push(text, field, Output::Column(index))?;
                }
                continue;
            }
            let (ast, alias) = parse::item(text)?;
            let alias = alias.map(|alias| (alias.value, alias.span));
            plan.add(text, &ast, alias, input)?;
        }
        plan.finish(input)
    }

    /// Columns as they are, by index, each under a name of its own.
    pub fn of_columns(columns: &[(usize, String)], input: &InputColumns) -> Projection {
        let output = |(index, name): &(usize, String)| OutputColumn {
            field: Arc::new(input.schema.field(*index).clone().with_name(name)),
            output: Output::Column(*index),
        };
        Projection { outputs: columns.iter().map(output).collect(), columns: Vec::new(), computed: Vec::new() }
    }

    /// The output columns in order.
    pub fn outputs(&self) -> &[OutputColumn] {
        &self.outputs
    }

    /// The texts of computed outputs, and whether a session in another zone than UTC would compute other values.
    pub fn computed(&self) -> impl Iterator<Item = (&str, bool)> {
        self.computed.iter().map(|computed| (computed.text.as_str(), computed.depends_on_zone))
    }

    /// The output columns as a schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()))
    }

    /// The source columns that computed outputs read, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The computed outputs in order, each of its declared type. The batch has [`Projection::columns`], in that order; if there are
    /// none it has only a row count.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, SqlError> {
        let evaluate = |computed: &Computed| {
            let values = evaluate(&computed.expr, batch, &self.columns, &computed.text)?;
            check(&values, &computed.field).map_err(|message| SqlError::general(&computed.text, message))?;
            Ok(values)
        };
        self.computed.iter().map(evaluate).collect()
    }
}

#[derive(Default)]
struct ProjectionPlan {
    outputs: Vec<OutputColumn>,
    /// Text, field, expression.
    computed: Vec<(String, FieldRef, Expr)>,
}

impl ProjectionPlan {
    fn push(&mut self, text: &str, field: &FieldRef, output: Output) -> Result<(), SqlError> {
        let name = field.name().to_lowercase();
        if self.outputs.iter().any(|output| output.field.name().to_lowercase() == name) {
            let message = format!("two output columns are named \"{}\"", field.name());
            return Err(SqlError::general(text, message));
        }
        self.outputs.push(OutputColumn { field: Arc::clone(field), output });
        Ok(())
    }

    fn add(
        &mut self,
        text: &str,
        ast: &Ast,
        alias: Option<(String, Span)>,
        input: &InputColumns,
    ) -> Result<(), SqlError> {
        let refused = |refusal: Refusal| refusal.or_at(whole(ast)).into_error(text);
        let planner = Planner::new(input).map_err(|error| refused(error.into()))?;
        let expr = Lower::new(&planner).lower(ast).map_err(refused)?;
        if let Some(column) = plain_column(&expr) {
            let index = planner.column_index(column.name()).expect("a column that was found once");
            let field = input.schema.fields()[index].as_ref().clone();
            let field = match alias {
                Some((alias, _)) => field.with_name(alias),
                None => field,
            };
            return self.push(text, &Arc::new(field), Output::Column(index));
        }
        let Some((alias, _)) = alias else {
            let refusal = Refusal::new(whole(ast), "a computed column needs a name");
            return Err(refused(refusal.hint(format!("Write {} AS name.", text.trim()))));
        };
        let (field, expr) = canonical(&planner, &alias, expr).map_err(refused)?;
        let field = Arc::new(field);
        self.push(text, &field, Output::Computed(self.computed.len()))?;
        self.computed.push((text.to_owned(), field, expr));
        Ok(())
    }

    fn finish(self, input: &InputColumns) -> Result<Projection, SqlError> {
        let refused = |text: &str, refusal: Refusal| refusal.into_error(text);
        let planner = Planner::new(input).map_err(|error| refused("", error.into()))?;
        let columns: BTreeSet<usize> = self.computed.iter().flat_map(|(_, _, expr)| planner.columns_of(expr)).collect();
        let columns = Vec::from_iter(columns);
        let mut computed = Vec::with_capacity(self.computed.len());
        for (text, field, expr) in self.computed {
            let depends_on_zone = elsewhere::depends_on_zone(&expr, &input.schema);
            let expr = planner.physical(&expr, &columns).map_err(|error| refused(&text, error.into()))?;
            computed.push(Computed { text, field, expr, depends_on_zone });
        }
        Ok(Projection { outputs: self.outputs, columns, computed })
    }
}

/// Simplifies a computed column and gives it one of the types that a computed column may have.
fn canonical(planner: &Planner, name: &str, expr: Expr) -> Result<(Field, Expr), Refusal> {
    let expr = planner.simplify(expr)?;
    let data_type = expr.get_type(planner.schema())?;
    let nullable = expr.nullable(planner.schema())?;
    let Some(canonical) = types::canonical(&data_type) else {
        let message = format!("a computed column cannot be {}", types::mysql_name(&data_type));
        return Err(Refusal::new(Span::empty(), message).hint("Write CAST(x AS type)."));
    };
    let expr = match canonical == data_type {
        true => expr,
        false => Expr::Cast(Cast::new(Box::new(expr), canonical.clone())),
    };
    Ok((Field::new(name, canonical, nullable), expr))
}

/// The column that an expression is, JSON or not.
fn plain_column(expr: &Expr) -> Option<&Column> {
    match (expr, Kernel::of(expr)) {
        (Expr::Column(column), _) => Some(column),
        (_, Some((kernel, [Expr::Column(column)]))) if kernel.name() == functions::json::DOCUMENT => Some(column),
        _ => None,
    }
}

fn whole(ast: &Ast) -> Span {
    ast.span()
}

fn evaluate(
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    columns: &[usize],
    text: &str,
) -> Result<ArrayRef, SqlError> {
    if batch.num_columns() != columns.len() {
        let message = format!("{} columns were given, {} are read", batch.num_columns(), columns.len());
        return Err(SqlError::general(text, message));
    }
    expr.evaluate(batch)
        .and_then(|value| value.into_array(batch.num_rows()))
        .map_err(|error| SqlError::evaluation(text, &error))
}

/// What kernels let through: more digits than the type has, infinity, dates after 9999-12-31, NULL where none was promised.
fn check(values: &ArrayRef, field: &Field) -> Result<(), &'static str> {
    if values.data_type() != field.data_type() {
        return Err("a computed column is not of its declared type");
    }
    if !field.is_nullable() && values.null_count() > 0 {
        return Err("a computed column that is never NULL has a NULL");
    }
    let fits = match values.data_type() {
        DataType::Decimal128(precision, _) => {
            values.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).is_ok()
        }
        DataType::Decimal256(precision, _) => {
            values.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision).is_ok()
        }
        DataType::Date32 => values.as_primitive::<Date32Type>().iter().flatten().all(|day| day <= literal::LAST_DAY),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = values.as_primitive::<TimestampMicrosecondType>();
            micros.iter().flatten().all(|micros| micros <= literal::LAST_MICROSECOND)
        }
        DataType::Float32 => values.as_primitive::<Float32Type>().iter().flatten().all(f32::is_finite),
        DataType::Float64 => values.as_primitive::<Float64Type>().iter().flatten().all(f64::is_finite),
        _ => true,
    };
    if fits { Ok(()) } else { Err("a result is out of the range of its type") }
}

#[cfg(test)]
mod tests;
