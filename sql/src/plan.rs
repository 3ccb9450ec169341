//! Typed expression to kernels: simplified, bound to the columns that it reads, and made to fail loudly.
//!
//! DataFusion's own physical expressions are changed in two ways ([`strict`]): integer arithmetic that overflows is an error
//! (it would wrap around), and the right side of AND and OR is evaluated only for rows for which it matters, if it can fail
//! (otherwise whether `b <> 0 AND a DIV b > 1` fails would depend on which rows share a batch).

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and_kleene, or_kleene};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{ColumnarValue, Expr, Operator};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr, create_physical_expr};

use crate::error::Refusal;
use crate::functions::date;
use crate::functions::kernel::Kernel;
use crate::text::TextOperation;
use crate::{ColumnSource, InputColumns, TextOrder, types};

/// Everything that is the same for all expressions over one table.
pub(crate) struct Planner {
    columns: SchemaRef,
    sources: Vec<ColumnSource>,
    schema: DFSchemaRef,
    texts: Vec<TextOrder>,
    simplifier: ExprSimplifier,
}

impl Planner {
    pub(crate) fn new(input: &InputColumns) -> Result<Planner> {
        let schema: DFSchemaRef = Arc::new(DFSchema::try_from(Arc::clone(&input.schema))?);
        let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
        let simplifier = ExprSimplifier::new(context);
        let (columns, texts) = (Arc::clone(&input.schema), input.texts.clone());
        Ok(Planner { columns, sources: input.sources.clone(), schema, texts, simplifier })
    }

    /// How texts of the columns compare; none if it is byte by byte, everywhere.
    pub(crate) fn texts(&self) -> &[TextOrder] {
        &self.texts
    }

    /// What is known of a column besides its type.
    pub(crate) fn source(&self, name: &str) -> Option<&ColumnSource> {
        self.sources.get(self.columns.index_of(name).ok()?)
    }

    pub(crate) fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The column of that name; case does not matter, as in MySQL.
    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        let lower = name.to_lowercase();
        self.columns.fields().iter().position(|field| field.name().to_lowercase() == lower)
    }

    pub(crate) fn coerce(&self, expr: Expr) -> Result<Expr, Refusal> {
        Ok(self.simplifier.coerce(expr, &self.schema)?)
    }

    pub(crate) fn simplify(&self, expr: Expr) -> Result<Expr> {
        self.simplifier.simplify(expr)
    }

    /// The columns that an expression reads, ascending.
    pub(crate) fn columns_of(&self, expr: &Expr) -> BTreeSet<usize> {
        expr.column_refs().iter().filter_map(|column| self.columns.index_of(column.name()).ok()).collect()
    }

    /// Kernels over a batch that has just these columns.
    pub(crate) fn physical(&self, expr: &Expr, columns: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = DFSchema::try_from(self.columns.project(columns)?)?;
        let expr = create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        strict(expr, schema.as_arrow())
    }

    pub(crate) fn evaluate_constant(&self, expr: &Expr) -> Result<ScalarValue> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        match self.physical(expr, &[])?.evaluate(&one_row)? {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
        }
    }
}

pub(crate) fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

/// Makes overflow an error, and AND and OR independent of their neighbours in the batch.
fn strict(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(node)) };
        let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
        let replacement: Arc<dyn PhysicalExpr> = match *binary.op() {
            op if is_arithmetic(op) => Arc::new(BinaryExpr::new(left, op, right).with_fail_on_overflow(true)),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq if compares_dates(binary, schema) => {
                Arc::new(DateComparison { comparison: node })
            }
            Operator::And if can_fail(&right, schema) => Arc::new(Guarded { left, connective: Connective::And, right }),
            Operator::Or if can_fail(&right, schema) => Arc::new(Guarded { left, connective: Connective::Or, right }),
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(replacement))
    })
    .data()
}

fn compares_dates(binary: &BinaryExpr, schema: &Schema) -> bool {
    let is_date = |side: &Arc<dyn PhysicalExpr>| {
        matches!(side.data_type(schema), Ok(DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, None)))
    };
    is_date(binary.left()) && is_date(binary.right())
}

/// A comparison of dates in which '2010-00-10' lies where MySQL puts it. As numbers, dates that do not exist are below all
/// others.
#[derive(Debug, Eq)]
struct DateComparison {
    comparison: Arc<dyn PhysicalExpr>,
}

impl PartialEq for DateComparison {
    fn eq(&self, other: &Self) -> bool {
        self.comparison.eq(&other.comparison)
    }
}

impl Hash for DateComparison {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.comparison.hash(state);
    }
}

impl PhysicalExpr for DateComparison {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.comparison.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some(binary) = self.comparison.downcast_ref::<BinaryExpr>() else {
            return self.comparison.evaluate(batch);
        };
        let rows = batch.num_rows();
        let (left, right) = (binary.left().evaluate(batch)?, binary.right().evaluate(batch)?);
        // No literal is such a date.
        let impossible =
            |side: &ColumnarValue| matches!(side, ColumnarValue::Array(side) if date::has_impossible(side));
        if !impossible(&left) && !impossible(&right) {
            return self.comparison.evaluate(batch);
        }
        let (left, right) = (left.into_array(rows)?, right.into_array(rows)?);
        let holds = |row: usize| {
            let ordering = date::in_order(&left, row)?.cmp(&date::in_order(&right, row)?);
            Some(match binary.op() {
                Operator::Lt => ordering.is_lt(),
                Operator::LtEq => ordering.is_le(),
                Operator::Gt => ordering.is_gt(),
                _ => ordering.is_ge(),
            })
        };
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(holds).collect::<BooleanArray>())))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.comparison]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [comparison] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a comparison of dates wraps one expression".to_owned()))?;
        Ok(Arc::new(DateComparison { comparison }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DateComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by digits", self.comparison)
    }
}

fn can_fail(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let widens = cast.expr().data_type(schema).is_ok_and(|from| types::widens(&from, cast.cast_type()));
        return !widens || can_fail(cast.expr(), schema);
    }
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let kernel = function.fun().inner().downcast_ref::<Kernel>();
        let can_fail_itself = kernel.map_or(TextOperation::of(function.fun()).is_none(), Kernel::can_fail);
        return can_fail_itself || function.args().iter().any(|arg| can_fail(arg, schema));
    }
    expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| is_arithmetic(*binary.op()))
        || expr.children().into_iter().any(|child| can_fail(child, schema))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Connective {
    And,
    Or,
}

/// AND or OR whose right side is evaluated only where the left side does not decide.
#[derive(Debug, Eq)]
struct Guarded {
    left: Arc<dyn PhysicalExpr>,
    connective: Connective,
    right: Arc<dyn PhysicalExpr>,
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.nullable(schema)? || self.right.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.left.evaluate(batch)?.into_array(batch.num_rows())?;
        let left = left.as_boolean();
        let undecided = match self.connective {
            Connective::And => not_known(left, false),
            Connective::Or => not_known(left, true),
        };
        // Rows that are not selected come back as NULL, which the left side overrules.
        let right = self.right.evaluate_selection(batch, &undecided)?.into_array(batch.num_rows())?;
        let result = match self.connective {
            Connective::And => and_kleene(left, right.as_boolean())?,
            Connective::Or => or_kleene(left, right.as_boolean())?,
        };
        Ok(ColumnarValue::Array(Arc::new(result)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = <[_; 2]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a connective has two sides".to_owned()))?;
        Ok(Arc::new(Guarded { left, connective: self.connective, right }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {:?}-then {})", self.left, self.connective, self.right)
    }
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.left.eq(&other.left) && self.connective == other.connective && self.right.eq(&other.right)
    }
}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.left.hash(state);
        self.connective.hash(state);
        self.right.hash(state);
    }
}

/// True for rows that are NULL or the opposite of `value`.
fn not_known(values: &BooleanArray, value: bool) -> BooleanArray {
    let opposite = if value { !values.values() } else { values.values().clone() };
    let undecided: BooleanBuffer = match values.nulls() {
        Some(nulls) => &opposite | &!nulls.inner(),
        None => opposite,
    };
    BooleanArray::new(undecided, None)
}
