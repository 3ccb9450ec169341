//! Numbers as MySQL computes them: 64-bit integers that do not wrap, decimals with their digits, doubles that are finite.
//!
//! Division by zero is NULL, everywhere and in every type; a result out of range is an error.
//!
//! A quotient of decimals or integers has four digits more behind the point than its dividend, and is rounded to them where
//! it is computed: `1 / 3 * 3` is 0.9999. (MariaDB, and MySQL before 9, go on with more digits than they show.)

mod bits;
mod casts;
mod doubles;
mod rounding;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::{cmp, numeric, zip};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{
    ArrowNativeType, ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, DecimalType,
    Float64Type, Int64Type, UInt64Type, i256,
};
use datafusion_common::Result;
use datafusion_expr::Operator;

pub(super) use bits::bit_count;
pub(crate) use bits::of_bits;
pub(crate) use casts::{
    decimal_of_double, double, fixed, integer_of_decimal, integer_of_double, read_double, same_bits, saturated, text,
};
pub(super) use doubles::{
    acos, asin, atan, cos, cot, degrees, exp, ln, log, log2, log10, pi, power, radians, sin, sqrt, tan,
};
pub(crate) use rounding::{Rounding, rounded};

use super::kernel::{Call, Cell, Kernel, Miss, Numbers, out_of_range};

/// The most digits that a decimal can be computed with here; MySQL has 81.
pub(crate) const DIGITS_MAX: u8 = 76;
/// The most digits of a column; products of more are not exact in MySQL.
const MYSQL_DIGITS_MAX: u8 = 65;
/// The most digits after the point that MySQL has.
pub(crate) const SCALE_MAX: i8 = 30;
/// What `div_precision_increment` is unless somebody sets it.
const DIVISION_DIGITS: i8 = 4;

/// The type of a decimal with so many digits, as far as there can be so many.
pub(crate) fn decimal_type(precision: i16, scale: i8) -> DataType {
    match u8::try_from(precision.max(1).max(i16::from(scale))) {
        Ok(precision @ ..=38) => DataType::Decimal128(precision, scale),
        Ok(precision) => DataType::Decimal256(precision.min(DIGITS_MAX), scale),
        Err(_) => DataType::Decimal256(DIGITS_MAX, scale),
    }
}

/// Digits before and after the point.
pub(crate) fn digits(data_type: &DataType) -> Option<(i16, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), *scale))
        }
        _ => None,
    }
}

/// An operator over two integers of 64 bits.
pub(crate) fn of_integers(op: Operator, left: &DataType, right: &DataType) -> Kernel {
    let unsigned = DataType::UInt64;
    let returns = match op {
        // The sign is that of the dividend.
        Operator::Modulo => left.clone(),
        _ if *left == unsigned || *right == unsigned => unsigned,
        _ => DataType::Int64,
    };
    match op {
        Operator::Plus => {
            Kernel::new("+", returns, |call| integers(call, numeric::add, i128::checked_add)).keeps_nulls()
        }
        Operator::Minus => {
            Kernel::new("-", returns, |call| integers(call, numeric::sub, i128::checked_sub)).keeps_nulls()
        }
        Operator::Multiply => {
            Kernel::new("*", returns, |call| integers(call, numeric::mul, i128::checked_mul)).keeps_nulls()
        }
        Operator::Modulo => Kernel::new("%", returns, |call| each_integer(call, |a, b| a.checked_rem(b))),
        // The smallest integer is out of range there, whatever it is divided by.
        _ => Kernel::new("DIV", returns, |call| {
            each_integer(call, |a, b| match a.checked_div(b)? {
                quotient if quotient == i128::from(i64::MIN) => Some(i128::MIN),
                quotient => Some(quotient),
            })
        }),
    }
}

fn integers(
    call: &Call<'_>,
    kernel: fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, arrow::error::ArrowError>,
    exact: fn(i128, i128) -> Option<i128>,
) -> Result<ArrayRef> {
    match call.data_type(0) == call.data_type(1) {
        true => pairwise(call, kernel),
        false => each_integer(call, exact),
    }
}

/// A kernel of arrow over the two arguments.
fn pairwise(
    call: &Call<'_>,
    kernel: fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, arrow::error::ArrowError>,
) -> Result<ArrayRef> {
    let datum = |at: usize| -> Box<dyn Datum> {
        match call.is_constant(at) && !call.is_constant(1 - at) {
            true => Box::new(Scalar::new(Arc::clone(call.array(at)))),
            false => Box::new(Arc::clone(call.array(at))),
        }
    };
    Ok(kernel(datum(0).as_ref(), datum(1).as_ref())?)
}

/// The values of an integer argument, whether signed or not.
enum Integers<'a> {
    Signed(Numbers<'a, Int64Type>),
    Unsigned(Numbers<'a, UInt64Type>),
}

impl<'a> Integers<'a> {
    fn of(call: &'a Call<'_>, at: usize) -> Integers<'a> {
        match call.data_type(at) {
            DataType::UInt64 => Integers::Unsigned(call.numbers(at)),
            _ => Integers::Signed(call.numbers(at)),
        }
    }

    fn get(&self, row: usize) -> Cell<i128> {
        match self {
            Integers::Signed(values) => values.get(row).map(i128::from),
            Integers::Unsigned(values) => values.get(row).map(i128::from),
        }
    }
}

/// Integers as they are computed: exactly, and then put into the type of the result. `None` is division by zero.
fn make_integers(call: &Call<'_>, mut each: impl FnMut(usize) -> Cell<i128>) -> Result<ArrayRef> {
    match call.returns {
        DataType::UInt64 => {
            call.make_numbers::<UInt64Type>(|row| u64::try_from(each(row)?).map_err(|_| Miss::OutOfRange))
        }
        _ => call.make_numbers::<Int64Type>(|row| i64::try_from(each(row)?).map_err(|_| Miss::OutOfRange)),
    }
}

fn each_integer(call: &Call<'_>, exact: impl Fn(i128, i128) -> Option<i128>) -> Result<ArrayRef> {
    let (left, right) = (Integers::of(call, 0), Integers::of(call, 1));
    make_integers(call, |row| exact(left.get(row)?, right.get(row)?).ok_or(Miss::Null))
}

/// An operator over two doubles.
pub(crate) fn of_doubles(op: Operator) -> Kernel {
    let returns = DataType::Float64;
    match op {
        Operator::Plus => {
            Kernel::new("+", returns, |call| finite(pairwise(call, numeric::add_wrapping)?)).keeps_nulls()
        }
        Operator::Minus => {
            Kernel::new("-", returns, |call| finite(pairwise(call, numeric::sub_wrapping)?)).keeps_nulls()
        }
        Operator::Multiply => {
            Kernel::new("*", returns, |call| finite(pairwise(call, numeric::mul_wrapping)?)).keeps_nulls()
        }
        Operator::Modulo => Kernel::new("%", returns, |call| divided(call, |a, b| a % b)),
        _ => Kernel::new("/", returns, |call| divided(call, |a, b| a / b)),
    }
}

fn divided(call: &Call<'_>, quotient: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<Float64Type>(0), call.numbers::<Float64Type>(1));
    finite(call.make_numbers::<Float64Type>(|row| match (left.get(row)?, right.get(row)?) {
        (_, 0.0) => Err(Miss::Null),
        (a, b) => Ok(quotient(a, b)),
    })?)
}

fn finite(values: ArrayRef) -> Result<ArrayRef> {
    let numbers = values.as_primitive::<Float64Type>();
    let all = match numbers.null_count() {
        0 => numbers.values().iter().all(|value| value.is_finite()),
        _ => numbers.iter().flatten().all(f64::is_finite),
    };
    if all { Ok(values) } else { Err(out_of_range()) }
}

/// What an operator over decimals needs: the types that its operands are brought to, and the kernel.
pub(crate) struct OfDecimals {
    pub(crate) left: DataType,
    pub(crate) right: DataType,
    pub(crate) kernel: Kernel,
}

/// An operator over two decimals with these types.
pub(crate) fn of_decimals(op: Operator, left: &DataType, right: &DataType) -> OfDecimals {
    let ((left_whole, left_scale), (right_whole, right_scale)) =
        (digits(left).unwrap_or((20, 0)), digits(right).unwrap_or((20, 0)));
    let (whole, scale) = (left_whole.max(right_whole), left_scale.max(right_scale));
    let precision = |whole: i16, scale: i8| whole + i16::from(scale);
    let alike = |wide: DataType, kernel: Kernel| OfDecimals { left: wide.clone(), right: wide, kernel };
    match op {
        Operator::Plus | Operator::Minus => {
            let returns = decimal_type(precision(whole + 1, scale), scale);
            let kernel = match op {
                Operator::Plus => {
                    Kernel::new("+", returns.clone(), |call| retyped(call, pairwise(call, numeric::add)?))
                }
                _ => Kernel::new("-", returns.clone(), |call| retyped(call, pairwise(call, numeric::sub)?)),
            };
            alike(returns, kernel.keeps_nulls())
        }
        Operator::Multiply => {
            let all = i16::from(left_scale) + i16::from(right_scale);
            let (whole, scale) = (left_whole + right_whole, all.min(SCALE_MAX.into()) as i8);
            let is_exact = all == i16::from(scale) && precision(whole, scale) <= MYSQL_DIGITS_MAX.into();
            let returns = decimal_type(precision(whole, scale), scale);
            let run: Run = match is_exact {
                true => |call| retyped(call, pairwise(call, numeric::mul)?),
                false => long_products,
            };
            let returns = as_wide_as(left, &as_wide_as(right, &returns));
            let returns = if is_exact { returns } else { as_wide_as(&DataType::Decimal256(1, 0), &returns) };
            OfDecimals {
                left: as_wide_as(&returns, left),
                right: as_wide_as(&returns, right),
                kernel: Kernel::new("*", returns, run).keeps_nulls(),
            }
        }
        Operator::Modulo => {
            let wide = decimal_type(precision(whole, scale), scale);
            let run = |call: &Call<'_>| in_decimals(call, remainders::<Decimal128Type>, remainders::<Decimal256Type>);
            alike(wide.clone(), Kernel::new("%", wide, run))
        }
        _ => {
            let scale = (left_scale + DIVISION_DIGITS).min(SCALE_MAX);
            let returns = decimal_type(precision(left_whole + i16::from(right_scale), scale), scale);
            // The dividend is multiplied by a power of ten, and the divisor is added to it for rounding.
            let computed = left_whole.max(right_whole) + i16::from(scale) + i16::from(right_scale) + 1;
            let wide = if computed > 38 { DataType::Decimal256(1, 0) } else { DataType::Decimal128(1, 0) };
            let run: Run = match computed_digits(left_scale, right_scale) > i16::from(scale) {
                true => |call| {
                    in_decimals(
                        call,
                        |call| quotients::<Decimal128Type>(call, true),
                        |call| quotients::<Decimal256Type>(call, true),
                    )
                },
                false => |call| {
                    in_decimals(
                        call,
                        |call| quotients::<Decimal128Type>(call, false),
                        |call| quotients::<Decimal256Type>(call, false),
                    )
                },
            };
            let returns = as_wide_as(left, &as_wide_as(right, &as_wide_as(&wide, &returns)));
            OfDecimals {
                left: as_wide_as(&returns, left),
                right: as_wide_as(&returns, right),
                kernel: Kernel::new("/", returns, run),
            }
        }
    }
}

/// DIV of two decimals, which are brought to the same digits: the whole part of their quotient.
pub(crate) fn whole_quotient(left: &DataType, right: &DataType, unsigned: bool) -> OfDecimals {
    let ((left_whole, left_scale), (right_whole, right_scale)) =
        (digits(left).unwrap_or((20, 0)), digits(right).unwrap_or((20, 0)));
    let scale = left_scale.max(right_scale);
    let wide = decimal_type(left_whole.max(right_whole) + i16::from(scale), scale);
    let run: Run = match wide {
        DataType::Decimal128(..) => |call| whole_quotients::<Decimal128Type>(call, Some),
        _ => |call| whole_quotients::<Decimal256Type>(call, |value| value.to_i128()),
    };
    let returns = if unsigned { DataType::UInt64 } else { DataType::Int64 };
    OfDecimals { left: wide.clone(), right: wide, kernel: Kernel::new("DIV", returns, run) }
}

fn whole_quotients<T: DecimalType + ArrowPrimitiveType>(
    call: &Call<'_>,
    narrow: fn(T::Native) -> Option<i128>,
) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<T>(0), call.numbers::<T>(1));
    make_integers(call, |row| {
        let (dividend, divisor) = (left.get(row)?, right.get(row)?);
        if divisor.is_zero() {
            return Err(Miss::Null);
        }
        narrow(dividend.div_checked(divisor).map_err(|_| Miss::OutOfRange)?).ok_or(Miss::OutOfRange)
    })
}

/// `data_type`, held in as many bits as `like`.
fn as_wide_as(like: &DataType, data_type: &DataType) -> DataType {
    match (like, data_type) {
        (DataType::Decimal256(..), DataType::Decimal128(precision, scale)) => DataType::Decimal256(*precision, *scale),
        _ => data_type.clone(),
    }
}

/// The same digits with the type that was promised.
fn retyped(call: &Call<'_>, values: ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Decimal128(..) => {
            Arc::new(values.as_primitive::<Decimal128Type>().clone().with_data_type(call.returns.clone()))
        }
        _ => Arc::new(values.as_primitive::<Decimal256Type>().clone().with_data_type(call.returns.clone())),
    })
}

type Run = fn(&Call<'_>) -> Result<ArrayRef>;

/// One function over decimals, for both widths.
fn in_decimals(call: &Call<'_>, small: Run, large: Run) -> Result<ArrayRef> {
    match call.returns {
        DataType::Decimal128(..) => small(call),
        _ => large(call),
    }
}

fn power_of_ten<T: DecimalType>(exponent: i16) -> Cell<T::Native>
where
    T::Native: ArrowNativeTypeOp,
{
    let exponent = u32::try_from(exponent).map_err(|_| Miss::OutOfRange)?;
    T::Native::usize_as(10).pow_checked(exponent).map_err(|_| Miss::OutOfRange)
}

fn scale_of(data_type: &DataType) -> i16 {
    digits(data_type).map_or(0, |(_, scale)| i16::from(scale))
}

/// Words of nine digits that a number of MySQL's has, before and behind the point together.
const WORDS_MAX: u32 = 9;

/// Products that may have more digits than MySQL has: it leaves out the last words of an operand. Where these are not zero, the row
/// fails; what is behind the 30th digit is rounded.
fn long_products(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<Decimal256Type>(0), call.numbers::<Decimal256Type>(1));
    let scale_of = |at: usize| scale_of(call.data_type(at)).unsigned_abs() as u32;
    let (left_scale, right_scale) = (scale_of(0), scale_of(1));
    let scale = digits(call.returns).map_or(0, |(_, scale)| u32::from(scale.unsigned_abs()));
    call.make_numbers::<Decimal256Type>(|row| {
        let (a, b) = (left.get(row)?, right.get(row)?);
        let (a_words, b_words) = (whole_words(a, left_scale), whole_words(b, right_scale));
        let (a_rest, b_rest) = (left_scale.div_ceil(9), right_scale.div_ceil(9));
        let missing = (a_words + b_words + a_rest + b_rest).saturating_sub(WORDS_MAX);
        if !ends_in_zeros(a, left_scale, missing) || !ends_in_zeros(b, right_scale, missing) {
            return Err(Miss::Refused);
        }
        let ((a, a_scale), (b, b_scale)) = (shortened(a, left_scale), shortened(b, right_scale));
        let product = a.checked_mul(b).ok_or(Miss::OutOfRange)?;
        let product = match scale.checked_sub(a_scale + b_scale) {
            Some(more) => product.checked_mul(ten_to(more)).ok_or(Miss::OutOfRange)?,
            None => half_up(product, ten_to(a_scale + b_scale - scale)),
        };
        if product.wrapping_abs() < ten_to(MYSQL_DIGITS_MAX.into()) { Ok(product) } else { Err(Miss::OutOfRange) }
    })
}

fn ten_to(exponent: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent)
}

/// How many words the digits before the point take, at least one.
fn whole_words(value: i256, scale: u32) -> u32 {
    let whole = value.wrapping_abs() / ten_to(scale);
    (1..WORDS_MAX).find(|words| whole < ten_to(9 * words)).unwrap_or(WORDS_MAX)
}

/// Whether the last words behind the point are zero.
fn ends_in_zeros(value: i256, scale: u32, words: u32) -> bool {
    let kept = scale.div_ceil(9).saturating_sub(words) * 9;
    kept >= scale || value.wrapping_rem(ten_to(scale - kept)) == i256::ZERO
}

/// Without the zeros at the end of its digits behind the point.
fn shortened(mut value: i256, mut scale: u32) -> (i256, u32) {
    let ten = i256::from_i128(10);
    while scale > 0 && value.wrapping_rem(ten) == i256::ZERO {
        (value, scale) = (value / ten, scale - 1);
    }
    (value, scale)
}

fn half_up(value: i256, unit: i256) -> i256 {
    let (quotient, rest) = (value / unit, value.wrapping_rem(unit).wrapping_abs());
    match rest >= unit - rest {
        true if value.is_negative() => quotient - i256::ONE,
        true => quotient + i256::ONE,
        false => quotient,
    }
}

fn remainders<T: DecimalType + ArrowPrimitiveType>(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<T>(0), call.numbers::<T>(1));
    call.make_numbers::<T>(|row| left.get(row)?.mod_checked(right.get(row)?).map_err(|_| Miss::Null))
}

/// The digits behind the point that MySQL computes of a quotient, of which it rounds or keeps all: whole groups of nine.
fn computed_digits(left_scale: i8, right_scale: i8) -> i16 {
    let groups = |digits: i16| (digits + 8) / 9 * 9;
    let (left, right) = (groups(left_scale.into()), groups(right_scale.into()));
    let padding = left - i16::from(left_scale) + right - i16::from(right_scale);
    groups(left + right + (i16::from(DIVISION_DIGITS) - padding).max(0))
}

/// Whether a quotient is the same if its operands have fewer digits behind the point than their types. Columns have them all; of
/// what is computed MySQL drops them where it is zero, and CASE has those of the branch.
pub(crate) fn divides_alike(left: (&DataType, bool), right: (&DataType, bool)) -> bool {
    let scales = |(data_type, is_computed): (&DataType, bool)| {
        let scale = digits(data_type).map_or(0, |(_, scale)| scale);
        if is_computed { 0..=scale } else { scale..=scale }
    };
    let shown = i16::from((*scales(left).end() + DIVISION_DIGITS).min(SCALE_MAX));
    let computed: Vec<i16> =
        scales(left).flat_map(|left| scales(right).map(move |right| computed_digits(left, right))).collect();
    computed.iter().all(|digits| *digits > shown) || computed.iter().all(|digits| *digits == computed[0])
}

/// Rounded, halves away from zero, or cut off.
fn quotients<T: DecimalType + ArrowPrimitiveType>(call: &Call<'_>, rounds: bool) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<T>(0), call.numbers::<T>(1));
    let exponent = scale_of(call.returns) + scale_of(call.data_type(1)) - scale_of(call.data_type(0));
    let factor = power_of_ten::<T>(exponent);
    let scale = scale_of(call.returns);
    let whole_words = i16::from(rounds) * (scale / 9 + 1) + i16::from(!rounds) * (scale + 8) / 9;
    let longest = power_of_ten::<T>((8 - whole_words).max(0) * 9 + scale)
        .unwrap_or(T::MAX_FOR_EACH_PRECISION[T::MAX_PRECISION as usize]);
    let (zero, one) = (T::Native::ZERO, T::Native::ONE);
    let magnitude = |value: T::Native| if value.is_lt(zero) { zero.sub_wrapping(value) } else { value };
    call.make_numbers::<T>(|row| {
        let (dividend, divisor) = (left.get(row)?, right.get(row)?);
        if divisor.is_zero() {
            return Err(Miss::Null);
        }
        if dividend.is_zero() {
            return Ok(zero);
        }
        let (quotient, rest) =
            match factor.and_then(|factor| dividend.mul_checked(factor).map_err(|_| Miss::OutOfRange)) {
                Ok(dividend) => {
                    (dividend.div_checked(divisor).map_err(|_| Miss::OutOfRange)?, dividend.mod_wrapping(divisor))
                }
                Err(_) => long_quotient(dividend, divisor, exponent)?,
            };
        // Words of nine digits before the point are so many fewer behind it.
        if magnitude(quotient).is_ge(longest) {
            return Err(Miss::Refused);
        }
        let rest = magnitude(rest);
        let divisor_size = magnitude(divisor);
        let negative = dividend.is_lt(zero) != divisor.is_lt(zero);
        Ok(match rounds && rest.is_ge(divisor_size.sub_wrapping(rest)) {
            true if negative => quotient.sub_wrapping(one),
            true => quotient.add_wrapping(one),
            false => quotient,
        })
    })
}

/// Quotient and rest of a dividend with so many zeros behind it, digit by digit.
fn long_quotient<T: ArrowNativeTypeOp>(dividend: T, divisor: T, zeros: i16) -> Cell<(T, T)> {
    let ten = T::usize_as(10);
    let mut quotient = dividend.div_checked(divisor).map_err(|_| Miss::OutOfRange)?;
    let mut rest = dividend.mod_wrapping(divisor);
    for _ in 0..zeros {
        let wider = rest.mul_checked(ten).map_err(|_| Miss::OutOfRange)?;
        let digit = wider.div_wrapping(divisor);
        quotient =
            quotient.mul_checked(ten).and_then(|shifted| shifted.add_checked(digit)).map_err(|_| Miss::OutOfRange)?;
        rest = wider.mod_wrapping(divisor);
    }
    Ok((quotient, rest))
}

/// `-x`, of an integer that may be unsigned.
pub(crate) fn negated(data_type: &DataType) -> Kernel {
    let run: Run = match data_type {
        DataType::Int64 | DataType::UInt64 => |call| {
            let values = Integers::of(call, 0);
            make_integers(call, |row| Ok(-values.get(row)?))
        },
        DataType::Float64 => |call| {
            let values = call.numbers::<Float64Type>(0);
            call.make_numbers::<Float64Type>(|row| Ok(-values.get(row)?))
        },
        _ => |call| Ok(numeric::neg_wrapping(call.array(0))?),
    };
    let returns = if *data_type == DataType::UInt64 { DataType::Int64 } else { data_type.clone() };
    Kernel::new("-", returns, run).keeps_nulls()
}

/// `abs(x)`.
pub(crate) fn absolute(data_type: &DataType) -> Kernel {
    let run: Run = match data_type {
        DataType::UInt64 => |call| Ok(Arc::clone(call.array(0))),
        DataType::Int64 => |call| {
            let values = call.numbers::<Int64Type>(0);
            call.make_numbers::<Int64Type>(|row| values.get(row)?.checked_abs().ok_or(Miss::OutOfRange))
        },
        DataType::Float64 => |call| {
            let values = call.numbers::<Float64Type>(0);
            call.make_numbers::<Float64Type>(|row| Ok(values.get(row)?.abs()))
        },
        DataType::Decimal128(..) => |call| magnitudes::<Decimal128Type>(call),
        _ => |call| magnitudes::<Decimal256Type>(call),
    };
    Kernel::new("abs", data_type.clone(), run).keeps_nulls()
}

fn magnitudes<T: DecimalType + ArrowPrimitiveType>(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.numbers::<T>(0);
    call.make_numbers::<T>(|row| {
        let value = values.get(row)?;
        Ok(if value.is_lt(T::Native::ZERO) { value.neg_wrapping() } else { value })
    })
}

/// The same double, but 0 for -0.
pub(crate) fn without_negative_zero() -> Kernel {
    Kernel::new("positive_zero", DataType::Float64, |call| {
        let values = call.array(0).as_primitive::<Float64Type>();
        Ok(Arc::new(values.unary::<_, Float64Type>(|value| value + 0.0)))
    })
    .keeps_nulls()
    .never_fails()
}

/// `sign(x)`.
pub(crate) fn sign(data_type: &DataType) -> Kernel {
    let run: Run = match data_type {
        DataType::Int64 | DataType::UInt64 => |call| {
            let values = Integers::of(call, 0);
            call.make_numbers::<Int64Type>(|row| Ok(values.get(row)?.signum() as i64))
        },
        DataType::Float64 => |call| {
            let values = call.numbers::<Float64Type>(0);
            call.make_numbers::<Int64Type>(|row| {
                let value = values.get(row)?;
                Ok(i64::from(value > 0.0) - i64::from(value < 0.0))
            })
        },
        DataType::Decimal128(..) => |call| signs::<Decimal128Type>(call),
        _ => |call| signs::<Decimal256Type>(call),
    };
    Kernel::new("sign", DataType::Int64, run).keeps_nulls()
}

fn signs<T: ArrowPrimitiveType>(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.numbers::<T>(0);
    let zero = T::Native::ZERO;
    call.make_numbers::<Int64Type>(|row| {
        let value = values.get(row)?;
        Ok(i64::from(value.is_gt(zero)) - i64::from(value.is_lt(zero)))
    })
}

/// The largest or smallest of values of one type; NULL if one of them is.
pub(crate) fn extreme(largest: bool, data_type: &DataType) -> Kernel {
    match largest {
        true => Kernel::new("greatest", data_type.clone(), |call| extremes(call, cmp::gt_eq)),
        false => Kernel::new("least", data_type.clone(), |call| extremes(call, cmp::lt_eq)),
    }
    .keeps_nulls()
}

type Compare = fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

fn extremes(call: &Call<'_>, wins: Compare) -> Result<ArrayRef> {
    if (0..call.arity()).any(|at| super::date::has_impossible(call.array(at))) {
        return Err(Miss::Refused.error());
    }
    let whole = |at: usize| -> Result<ArrayRef> {
        match call.is_constant(at) && call.rows() != 1 {
            true => {
                Ok(datafusion_common::ScalarValue::try_from_array(call.array(at), 0)?.to_array_of_size(call.rows())?)
            }
            false => Ok(Arc::clone(call.array(at))),
        }
    };
    let mut best = whole(0)?;
    for at in 1..call.arity() {
        let other = whole(at)?;
        // NULL where either side is; the zip then takes the other side, which is not what NULL means.
        let first_wins = wins(&best, &other)?;
        let nulls = arrow::buffer::NullBuffer::union(best.nulls(), other.nulls());
        let first_wins = if first_wins.null_count() == 0 { first_wins } else { prep_null_mask_filter(&first_wins) };
        let chosen = zip::zip(&first_wins, &best, &other)?;
        best = arrow::array::make_array(chosen.to_data().into_builder().nulls(nulls).build()?);
    }
    Ok(best)
}
