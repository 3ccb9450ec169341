//! Kernels that compare text as a collation does.
//!
//! ```text
//! country = 'de'        TextOperation { Compare(Eq), utf8mb4_0900_ai_ci, with: "de" }   reads country
//! a < b                 TextOperation { Compare(Lt), … }                               reads a and b
//! name LIKE 'Mü%'       TextOperation { Like(pattern), … }                             the pattern is taken apart once
//! ```
//!
//! Which collation that is, `lower/text.rs` decides. An operation cannot fail, and allocates nothing per value, but for LIKE
//! of a column: a pattern of each row is taken apart there.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidegate_collation::{Collation, Literal, Literals, Pattern};

/// Lists up to this long are compared value by value; longer ones by a hash of the weights.
const SHORT_LIST: usize = 8;

/// What is asked of text, with what is known once per plan.
#[derive(Debug, Clone)]
enum Question {
    /// The first argument and the text.
    Literal(Operator, Box<Literal>),
    /// Both arguments.
    Columns(Operator),
    /// Whether the argument is one of these.
    In(List),
    Like(Pattern, String),
    /// Both arguments.
    LikeColumn,
    /// The place of the first argument among the parts of the second.
    FindInSet,
}

#[derive(Debug, Clone)]
struct List {
    literals: Literals,
    keys: HashSet<Vec<u8>>,
    /// `x IN ('a', NULL)` is never false.
    has_null: bool,
}

/// A function of DataFusion's that asks one question by one collation.
#[derive(Debug, Clone)]
pub(crate) struct TextOperation {
    collation: &'static Collation,
    question: Question,
    signature: Signature,
}

/// What an operation compares its column with, for whoever says it in other words.
pub(crate) enum Said<'a> {
    Compare(Operator, &'a str),
    In(Vec<&'a str>),
    /// LIKE with a prefix of ASCII letters and digits, by a collation of Unicode's weights that pads nothing.
    Prefix(&'a str),
}

impl TextOperation {
    fn call(collation: &'static Collation, question: Question, args: Vec<Expr>) -> Expr {
        let signature = Signature::any(args.len(), Volatility::Immutable);
        let operation = TextOperation { collation, question, signature };
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(operation)), args))
    }

    /// `left op right`, both of them text.
    pub(crate) fn compare(collation: &'static Collation, left: Expr, op: Operator, right: Expr) -> Expr {
        // The literal goes to the right; `<=>` of a NULL literal is left to the general way.
        match (literal_text(&left), literal_text(&right), op.swap()) {
            (_, Some(text), _) => {
                let question = Question::Literal(op, Box::new(Literal::new(collation, text)));
                TextOperation::call(collation, question, vec![left])
            }
            (Some(text), None, Some(swapped)) => {
                let question = Question::Literal(swapped, Box::new(Literal::new(collation, text)));
                TextOperation::call(collation, question, vec![right])
            }
            _ => TextOperation::call(collation, Question::Columns(op), vec![left, right]),
        }
    }

    /// `value IN (texts)`.
    pub(crate) fn is_in(collation: &'static Collation, value: Expr, texts: &[&str], has_null: bool) -> Expr {
        let keys = texts.iter().map(|text| {
            let mut key = Vec::new();
            collation.key(text, &mut key);
            key
        });
        let list = List {
            keys: if texts.len() > SHORT_LIST { keys.collect() } else { HashSet::new() },
            literals: Literals::new(collation, texts),
            has_null,
        };
        TextOperation::call(collation, Question::In(list), vec![value])
    }

    pub(crate) fn like(collation: &'static Collation, text: Expr, pattern: Expr) -> Expr {
        match literal_text(&pattern) {
            Some(literal) => {
                let question = Question::Like(Pattern::new(literal, Some('\\')), literal.to_owned());
                TextOperation::call(collation, question, vec![text])
            }
            None => TextOperation::call(collation, Question::LikeColumn, vec![text, pattern]),
        }
    }

    pub(crate) fn find_in_set(collation: &'static Collation, part: Expr, set: Expr) -> Expr {
        TextOperation::call(collation, Question::FindInSet, vec![part, set])
    }

    /// The operation of a call, if it is one.
    pub(crate) fn of(function: &ScalarUDF) -> Option<&TextOperation> {
        function.inner().downcast_ref::<TextOperation>()
    }

    pub(crate) fn collation(&self) -> &'static Collation {
        self.collation
    }

    /// The operation in words of SQL, if its only argument is `column`.
    pub(crate) fn said(&self) -> Option<Said<'_>> {
        match &self.question {
            Question::Literal(op, literal) => Some(Said::Compare(*op, literal.text())),
            Question::In(list) if !list.has_null => Some(Said::In(list.literals.texts().collect())),
            Question::Like(_, pattern) if self.collation.name().starts_with("utf8mb4_0900_") => {
                let prefix = pattern.strip_suffix('%')?;
                let is_plain = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
                is_plain.then_some(Said::Prefix(prefix))
            }
            _ => None,
        }
    }

    /// Everything that tells two operations apart.
    fn identity(&self) -> String {
        let question = match &self.question {
            Question::Literal(op, literal) => format!("{op} {:?}", literal.text()),
            Question::Columns(op) => format!("{op}"),
            Question::In(list) => {
                let texts: Vec<&str> = list.literals.texts().collect();
                format!("IN {texts:?}{}", if list.has_null { " or NULL" } else { "" })
            }
            Question::Like(_, text) => format!("LIKE {text:?}"),
            Question::LikeColumn => "LIKE".to_owned(),
            Question::FindInSet => "find_in_set".to_owned(),
        };
        format!("{:p} {question}", self.collation)
    }

    fn answer(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
        let first = texts(&args[0])?;
        let second = || match args.get(1) {
            Some(array) => texts(array),
            None => Err(DataFusionError::Internal("a second text was planned".to_owned())),
        };
        let collation = self.collation;
        Ok(match &self.question {
            Question::Literal(op, literal) => {
                let op = *op;
                match op {
                    Operator::Eq => Arc::new(each(&first, |text| literal.equals(text))),
                    Operator::NotEq => Arc::new(each(&first, |text| !literal.equals(text))),
                    Operator::IsNotDistinctFrom => {
                        let known = each(&first, |text| literal.equals(text));
                        Arc::new(match known.null_count() {
                            0 => known,
                            _ => arrow::compute::prep_null_mask_filter(&known),
                        })
                    }
                    // Which of them it is, is not asked for each value.
                    Operator::Lt => Arc::new(each(&first, |text| literal.compare(text).is_lt())),
                    Operator::LtEq => Arc::new(each(&first, |text| literal.compare(text).is_le())),
                    Operator::Gt => Arc::new(each(&first, |text| literal.compare(text).is_gt())),
                    Operator::GtEq => Arc::new(each(&first, |text| literal.compare(text).is_ge())),
                    op => unreachable!("{op} does not compare"),
                }
            }
            Question::Columns(Operator::IsNotDistinctFrom) => {
                let second = second()?;
                let same = (0..first.len()).map(|row| match (first.is_valid(row), second.is_valid(row)) {
                    (true, true) => collation.equal(first.value(row), second.value(row)),
                    (a, b) => a == b,
                });
                Arc::new(BooleanArray::new(BooleanBuffer::from_iter(same), None))
            }
            Question::Columns(Operator::Eq) => Arc::new(both(&first, &second()?, |a, b| collation.equal(a, b))),
            Question::Columns(op) => Arc::new(both(&first, &second()?, |a, b| holds(*op, collation.compare(a, b)))),
            Question::In(list) => {
                let mut key = Vec::new();
                let found = each(&first, |text| {
                    if list.keys.is_empty() {
                        return list.literals.have(text);
                    }
                    key.clear();
                    collation.key(text, &mut key);
                    list.keys.contains(&key)
                });
                match list.has_null {
                    false => Arc::new(found),
                    true => {
                        let nulls = NullBuffer::union(found.nulls(), Some(&NullBuffer::new(found.values().clone())));
                        Arc::new(BooleanArray::new(found.values().clone(), nulls))
                    }
                }
            }
            Question::Like(pattern, _) => Arc::new(each(&first, |text| pattern.matches(collation, text))),
            Question::LikeColumn => {
                Arc::new(both(&first, &second()?, |text, like| Pattern::new(like, Some('\\')).matches(collation, text)))
            }
            Question::FindInSet => {
                let second = second()?;
                let nulls = NullBuffer::union(first.nulls(), second.nulls());
                let places = (0..first.len()).map(|row| place(collation, first.value(row), second.value(row)));
                Arc::new(Int32Array::new(places.collect(), nulls))
            }
        })
    }
}

/// The text of a literal that is not NULL.
pub(crate) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
            _,
        ) => Some(text),
        _ => None,
    }
}

fn holds(op: Operator, order: Ordering) -> bool {
    match op {
        Operator::Eq => order.is_eq(),
        Operator::NotEq => order.is_ne(),
        Operator::Lt => order.is_lt(),
        Operator::LtEq => order.is_le(),
        Operator::Gt => order.is_gt(),
        Operator::GtEq => order.is_ge(),
        op => unreachable!("{op} does not compare"),
    }
}

/// Values that are NULL are asked as well: their text is empty, and the answer is thrown away.
fn each(texts: &StringArray, mut answer: impl FnMut(&str) -> bool) -> BooleanArray {
    let answers = BooleanBuffer::collect_bool(texts.len(), |row| answer(texts.value(row)));
    BooleanArray::new(answers, texts.nulls().cloned())
}

fn both(left: &StringArray, right: &StringArray, mut answer: impl FnMut(&str, &str) -> bool) -> BooleanArray {
    let answers = BooleanBuffer::collect_bool(left.len(), |row| answer(left.value(row), right.value(row)));
    BooleanArray::new(answers, NullBuffer::union(left.nulls(), right.nulls()))
}

/// From 1 on; 0 if the part is not there. (MariaDB also finds nothing that has more bytes than the set.) Spaces at the end count for every collation here, as on the server.
fn place(collation: &Collation, part: &str, set: &str) -> i32 {
    if set.is_empty() || part.contains(',') {
        return 0;
    }
    let place = set.split(',').position(|other| collation.equal_without_padding(part, other));
    place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or(0)
}

fn texts(array: &ArrayRef) -> Result<StringArray> {
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().clone()),
        _ => Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
    }
}

impl PartialEq for TextOperation {
    fn eq(&self, other: &TextOperation) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for TextOperation {}

impl Hash for TextOperation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl ScalarUDFImpl for TextOperation {
    fn name(&self) -> &str {
        match self.question {
            Question::FindInSet => "find_in_set",
            Question::Like(..) | Question::LikeColumn => "text_like",
            _ => "text_compare",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(match self.question {
            Question::FindInSet => DataType::Int32,
            _ => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Each label of an ENUM is asked once.
        if let [ColumnarValue::Array(labels)] = args.args.as_slice()
            && let Some(dictionary) = labels.as_any_dictionary_opt()
            && self.keeps_null()
        {
            let answers = self.answer(std::slice::from_ref(dictionary.values()))?;
            return Ok(ColumnarValue::Array(take(&answers, dictionary.keys(), None)?));
        }
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let answers = self.answer(&arrays)?;
        match is_constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?)),
            false => Ok(ColumnarValue::Array(answers)),
        }
    }
}

impl TextOperation {
    /// Whether NULL is answered by NULL.
    fn keeps_null(&self) -> bool {
        !matches!(
            self.question,
            Question::Literal(Operator::IsNotDistinctFrom, _) | Question::Columns(Operator::IsNotDistinctFrom)
        )
    }
}
