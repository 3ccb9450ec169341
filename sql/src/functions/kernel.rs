//! A function of ours: what DataFusion needs to know of it, and what a loop over its rows needs to read and write.
//!
//! ```text
//! repeat(name, 2)   Call { arrays: [name, [2]], constant: [no, yes] }
//!                          rows 0, 1, 2 …     always row 0
//! ```
//!
//! A constant stays one value: [`Argument`] hands it out for every row. A loop says of a row that it is NULL or that it
//! fails by `?`, as [`Miss`]; text is written into one buffer, so that no row allocates.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder, PrimitiveArray,
    PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

/// Computes a function's values.
pub(crate) type Run = fn(&Call<'_>) -> Result<ArrayRef>;

/// A function with the types of one call.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    name: &'static str,
    run: Run,
    returns: DataType,
    /// May give NULL where no argument is.
    makes_nulls: bool,
    /// Has a value even where an argument is NULL.
    never_null: bool,
    /// Has a value for every row.
    never_fails: bool,
    /// Digits of a second that MySQL shows of a date-time or time.
    fraction: Option<u8>,
    signature: Signature,
}

impl Kernel {
    pub(crate) fn new(name: &'static str, returns: DataType, run: Run) -> Kernel {
        let any = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        let signature = Signature::one_of(any, Volatility::Immutable);
        Kernel {
            name,
            run,
            returns,
            makes_nulls: true,
            never_null: false,
            never_fails: false,
            fraction: None,
            signature,
        }
    }

    /// It is NULL only where an argument is.
    pub(crate) fn keeps_nulls(self) -> Kernel {
        Kernel { makes_nulls: false, ..self }
    }

    pub(crate) fn never_null(self) -> Kernel {
        Kernel { never_null: true, ..self }
    }

    pub(crate) fn never_fails(self) -> Kernel {
        Kernel { never_fails: true, ..self }
    }

    pub(crate) fn can_fail(&self) -> bool {
        !self.never_fails
    }

    pub(crate) fn shows(self, fraction: u8) -> Kernel {
        Kernel { fraction: Some(fraction), ..self }
    }

    pub(crate) fn call(self, args: Vec<Expr>) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), args))
    }

    /// The kernel that an expression calls, if it does.
    pub(crate) fn of(expr: &Expr) -> Option<(&Kernel, &[Expr])> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
        Some((func.inner().downcast_ref::<Kernel>()?, args))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn returns(&self) -> &DataType {
        &self.returns
    }

    pub(crate) fn fraction(&self) -> Option<u8> {
        self.fraction
    }
}

// `run` follows from the name and the types.
impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        self.name == other.name && self.returns == other.returns && self.fraction == other.fraction
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.returns.hash(state);
    }
}

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = self.makes_nulls || args.arg_fields.iter().any(|field| field.is_nullable());
        let nullable = nullable && !self.never_null;
        Ok(Arc::new(Field::new(self.name, self.returns.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant: Vec<bool> = args.args.iter().map(|arg| matches!(arg, ColumnarValue::Scalar(_))).collect();
        let arrays = args.args.into_iter().map(|arg| arg.into_array(1)).collect::<Result<Vec<_>>>()?;
        let all_constant = constant.iter().all(|constant| *constant);
        let rows = if all_constant { 1 } else { args.number_rows };
        let result = (self.run)(&Call { arrays, constant, rows, returns: &self.returns })?;
        Ok(match all_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// Why a row has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    Null,
    OutOfRange,
    /// The function has no meaning for this value, here or in MySQL.
    Refused,
}

impl Miss {
    pub(super) fn error(self) -> DataFusionError {
        match self {
            Miss::OutOfRange => ArrowError::ArithmeticOverflow(String::new()).into(),
            Miss::Null | Miss::Refused => DataFusionError::Execution(String::new()),
        }
    }
}

pub(crate) fn out_of_range() -> DataFusionError {
    Miss::OutOfRange.error()
}

/// What one row of a function is.
pub(crate) type Cell<T> = std::result::Result<T, Miss>;

/// A row for a builder: NULL is none, and what else has no value fails the batch.
pub(super) fn value_or_null<T>(cell: Cell<T>) -> Result<Option<T>> {
    match cell {
        Ok(value) => Ok(Some(value)),
        Err(Miss::Null) => Ok(None),
        Err(miss) => Err(miss.error()),
    }
}

/// The arguments of a call, and the type of its result.
pub(crate) struct Call<'a> {
    arrays: Vec<ArrayRef>,
    constant: Vec<bool>,
    rows: usize,
    pub(crate) returns: &'a DataType,
}

/// The values of an argument, by row.
#[derive(Clone, Copy)]
pub(crate) struct Argument<A> {
    array: A,
    /// 0 if one value stands for all rows.
    step: usize,
}

impl<A: ArrayAccessor> Argument<A> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Cell<A::Item> {
        let at = row * self.step;
        if self.array.is_null(at) {
            return Err(Miss::Null);
        }
        Ok(self.array.value(at))
    }

    /// The value that stands for all rows; no row sees NULL.
    pub(crate) fn constant(&self) -> Option<Cell<A::Item>> {
        (self.step == 0).then(|| self.get(0))
    }
}

pub(crate) type Texts<'a> = Argument<&'a StringArray>;
pub(crate) type Numbers<'a, T> = Argument<&'a PrimitiveArray<T>>;

impl Call<'_> {
    pub(crate) fn arity(&self) -> usize {
        self.arrays.len()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn array(&self, at: usize) -> &ArrayRef {
        &self.arrays[at]
    }

    pub(crate) fn is_constant(&self, at: usize) -> bool {
        self.constant[at]
    }

    pub(crate) fn data_type(&self, at: usize) -> &DataType {
        self.arrays[at].data_type()
    }

    fn step(&self, at: usize) -> usize {
        usize::from(!self.constant[at])
    }

    pub(crate) fn texts(&self, at: usize) -> Texts<'_> {
        Argument { array: self.arrays[at].as_string::<i32>(), step: self.step(at) }
    }

    pub(crate) fn documents(&self, at: usize) -> Argument<&arrow::array::LargeStringArray> {
        Argument { array: self.arrays[at].as_string::<i64>(), step: self.step(at) }
    }

    pub(crate) fn binaries(&self, at: usize) -> Argument<&BinaryArray> {
        Argument { array: self.arrays[at].as_binary::<i32>(), step: self.step(at) }
    }

    pub(crate) fn conditions(&self, at: usize) -> Argument<&BooleanArray> {
        Argument { array: self.arrays[at].as_boolean(), step: self.step(at) }
    }

    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self, at: usize) -> Numbers<'_, T> {
        Argument { array: self.arrays[at].as_primitive::<T>(), step: self.step(at) }
    }

    /// The 64 bits of an integer, whether signed or not.
    pub(crate) fn bits(&self, at: usize, row: usize) -> Cell<u64> {
        match self.data_type(at) {
            DataType::UInt64 => self.numbers::<UInt64Type>(at).get(row),
            _ => self.numbers::<Int64Type>(at).get(row).map(|number| number as u64),
        }
    }

    /// The bytes of text or of binary values.
    pub(crate) fn bytes(&self, at: usize) -> Bytes<'_> {
        match self.data_type(at) {
            DataType::Binary => Bytes::Binary(self.binaries(at)),
            _ => Bytes::Text(self.texts(at)),
        }
    }

    pub(crate) fn make_text(&self, mut each: impl FnMut(usize, &mut String) -> Cell<()>) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 16);
        let mut value = String::new();
        for row in 0..self.rows {
            value.clear();
            out.append_option(value_or_null(each(row, &mut value))?.map(|()| &value));
        }
        Ok(Arc::new(out.finish()))
    }

    /// Text that is a part of what the arguments hold.
    pub(crate) fn make_parts<'t>(&self, mut each: impl FnMut(usize) -> Cell<&'t str>) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 16);
        for row in 0..self.rows {
            out.append_option(value_or_null(each(row))?);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn make_bytes(&self, mut each: impl FnMut(usize, &mut Vec<u8>) -> Cell<()>) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::with_capacity(self.rows, self.rows * 16);
        let mut value = Vec::new();
        for row in 0..self.rows {
            value.clear();
            out.append_option(value_or_null(each(row, &mut value))?.map(|()| &value));
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn make_numbers<T: ArrowPrimitiveType>(
        &self,
        mut each: impl FnMut(usize) -> Cell<T::Native>,
    ) -> Result<ArrayRef> {
        let mut out = PrimitiveBuilder::<T>::with_capacity(self.rows).with_data_type(self.returns.clone());
        for row in 0..self.rows {
            out.append_option(value_or_null(each(row))?);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn make_conditions(&self, mut each: impl FnMut(usize) -> Cell<bool>) -> Result<ArrayRef> {
        let mut out = BooleanBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_option(value_or_null(each(row))?);
        }
        Ok(Arc::new(out.finish()))
    }
}

/// See [`Call::bytes`].
pub(crate) enum Bytes<'a> {
    Text(Texts<'a>),
    Binary(Argument<&'a BinaryArray>),
}

impl<'a> Bytes<'a> {
    pub(crate) fn get(&self, row: usize) -> Cell<&[u8]> {
        match self {
            Bytes::Text(texts) => texts.get(row).map(str::as_bytes),
            Bytes::Binary(values) => values.get(row),
        }
    }
}
