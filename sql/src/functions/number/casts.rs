//! Numbers of one type as those of another, and as text.

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, DecimalType,
    Float64Type, Int64Type, UInt64Type,
};
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss};
use super::{Run, digits, power_of_ten, scale_of};

/// The double that is nearest to a decimal, as if its digits were read.
pub(crate) fn double() -> Kernel {
    Kernel::new("double", DataType::Float64, |call| match call.data_type(0) {
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (call.numbers::<Decimal128Type>(0), *scale);
            // Both are exact then, and so their quotient is rounded once.
            let power = (scale <= 22).then(|| 10f64.powi(i32::from(scale)));
            let mut text = String::new();
            call.make_numbers::<Float64Type>(|row| match (values.get(row)?, power) {
                (value, Some(power)) if value.unsigned_abs() <= 1 << 53 => Ok(value as f64 / power),
                (value, _) => read(value, scale, &mut text),
            })
        }
        _ => {
            let values = call.numbers::<Decimal256Type>(0);
            let scale = scale_of(call.data_type(0)) as i8;
            let mut text = String::new();
            call.make_numbers::<Float64Type>(|row| read(values.get(row)?, scale, &mut text))
        }
    })
    .keeps_nulls()
}

/// BIGINT of a whole number, the nearest if it has none: good enough for positions and counts.
pub(crate) fn saturated() -> Kernel {
    Kernel::new("bigint", DataType::Int64, |call| match call.data_type(0) {
        DataType::UInt64 => {
            let values = call.numbers::<UInt64Type>(0);
            call.make_numbers::<Int64Type>(|row| Ok(i64::try_from(values.get(row)?).unwrap_or(i64::MAX)))
        }
        DataType::Decimal128(..) => {
            let values = call.numbers::<Decimal128Type>(0);
            call.make_numbers::<Int64Type>(|row| {
                Ok(values.get(row)?.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
            })
        }
        _ => {
            let values = call.numbers::<Decimal256Type>(0);
            call.make_numbers::<Int64Type>(|row| {
                let value = values.get(row)?;
                let end = if value.is_negative() { i64::MIN } else { i64::MAX };
                Ok(value.to_i128().and_then(|value| i64::try_from(value).ok()).unwrap_or(end))
            })
        }
    })
    .keeps_nulls()
}

/// An integer or decimal as MySQL prints it. A cast would do, but the optimizer takes `CAST(x AS CHAR) = '1'` for `x = 1`.
pub(crate) fn text() -> Kernel {
    Kernel::new("number_text", DataType::Utf8, |call| Ok(cast(call.array(0), &DataType::Utf8)?)).keeps_nulls()
}

/// BIGINT of a whole double; not the smallest, which is out of range in MySQL, too.
pub(crate) fn integer_of_double(or_null: bool) -> Kernel {
    fn run(call: &Call<'_>, outside: fn() -> Miss) -> Result<ArrayRef> {
        const END: f64 = 9_223_372_036_854_775_808.0;
        let values = call.numbers::<Float64Type>(0);
        call.make_numbers::<Int64Type>(|row| match values.get(row)? {
            value if value.abs() < END => Ok(value as i64),
            _ => Err(outside()),
        })
    }
    match or_null {
        true => Kernel::new("try_whole", DataType::Int64, |call| run(call, || Miss::Null)),
        false => Kernel::new("whole", DataType::Int64, |call| run(call, || Miss::OutOfRange)).keeps_nulls(),
    }
}

/// A signed integer as the unsigned one of the same bits, and the other way round.
pub(crate) fn same_bits(to: &DataType) -> Kernel {
    let run: Run = match to {
        DataType::UInt64 => |call| {
            let values = call.numbers::<Int64Type>(0);
            call.make_numbers::<UInt64Type>(|row| Ok(values.get(row)?.cast_unsigned()))
        },
        _ => |call| {
            let values = call.numbers::<UInt64Type>(0);
            call.make_numbers::<Int64Type>(|row| Ok(values.get(row)?.cast_signed()))
        },
    };
    Kernel::new("same_bits", to.clone(), run).keeps_nulls().never_fails()
}

/// A whole decimal as an integer; NULL or a failure if it is out of its range.
pub(crate) fn integer_of_decimal(to: &DataType, or_null: bool) -> Kernel {
    let run: Run = match or_null {
        true => |call| integers_of_decimals(call, Miss::Null),
        false => |call| integers_of_decimals(call, Miss::OutOfRange),
    };
    Kernel::new(if or_null { "try_integer" } else { "integer" }, to.clone(), run)
}

fn integers_of_decimals(call: &Call<'_>, otherwise: Miss) -> Result<ArrayRef> {
    match call.data_type(0) {
        DataType::Decimal128(..) => {
            let values = call.numbers::<Decimal128Type>(0);
            integers_in_range(call, otherwise, |row| values.get(row))
        }
        _ => {
            let values = call.numbers::<Decimal256Type>(0);
            integers_in_range(call, otherwise, |row| values.get(row)?.to_i128().ok_or(otherwise))
        }
    }
}

fn integers_in_range(call: &Call<'_>, otherwise: Miss, each: impl Fn(usize) -> Cell<i128>) -> Result<ArrayRef> {
    match call.returns {
        DataType::UInt64 => call.make_numbers::<UInt64Type>(|row| u64::try_from(each(row)?).map_err(|_| otherwise)),
        _ => call.make_numbers::<Int64Type>(|row| i64::try_from(each(row)?).map_err(|_| otherwise)),
    }
}

/// The text of a double with so many digits after the point.
pub(crate) fn fixed() -> Kernel {
    Kernel::new("fixed", DataType::Utf8, |call| {
        use std::fmt::Write as _;
        let (values, places) = (call.numbers::<Float64Type>(0), call.numbers::<Int64Type>(1));
        let mut digits = String::new();
        call.make_text(|row, out| {
            let (value, places) = (values.get(row)?, usize::try_from(places.get(row)?).unwrap_or(0));
            let exponent = shortest(value, &mut digits);
            let significant = digits.trim_start_matches('-').trim_end_matches('0');
            // Digits behind the point that the number has.
            let found = usize::try_from(significant.len() as i32 - 1 - exponent).unwrap_or(0);
            if found > places {
                write!(out, "{value:.places$}").expect("a string takes everything");
                return Ok(());
            }
            out.push_str(if digits.starts_with('-') { "-" } else { "" });
            let digit = |power: i32| {
                let at = usize::try_from(exponent - power).ok();
                at.and_then(|at| significant.as_bytes().get(at)).map_or('0', |digit| char::from(*digit))
            };
            out.extend((0..=exponent.max(0)).rev().map(digit));
            if places > 0 {
                out.push('.');
                out.extend((1..=places as i32).map(|place| digit(-place)));
            }
            Ok(())
        })
    })
    .keeps_nulls()
}

/// Text that is a number and nothing else, spaces around it aside.
pub(crate) fn read_double(or_null: bool) -> Kernel {
    let run: Run = match or_null {
        true => |call| read_doubles(call, Miss::Null),
        false => |call| read_doubles(call, Miss::Refused),
    };
    Kernel::new(if or_null { "try_double" } else { "double" }, DataType::Float64, run)
}

fn read_doubles(call: &Call<'_>, otherwise: Miss) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_numbers::<Float64Type>(|row| {
        let text = texts.get(row)?.trim_matches(' ');
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        text.parse::<f64>().ok().filter(|value| is_number && value.is_finite()).ok_or(otherwise)
    })
}

/// A double as a decimal: the shortest digits that are it, rounded.
pub(crate) fn decimal_of_double(to: &DataType, or_null: bool) -> Kernel {
    let run: Run = match (to, or_null) {
        (DataType::Decimal128(..), true) => |call| decimals_of_doubles::<Decimal128Type>(call, Miss::Null),
        (DataType::Decimal128(..), false) => |call| decimals_of_doubles::<Decimal128Type>(call, Miss::OutOfRange),
        (_, true) => |call| decimals_of_doubles::<Decimal256Type>(call, Miss::Null),
        (_, false) => |call| decimals_of_doubles::<Decimal256Type>(call, Miss::OutOfRange),
    };
    Kernel::new(if or_null { "try_decimal" } else { "decimal" }, to.clone(), run)
}

/// Sign and digits of the shortest text that is the number, and the power of ten that the first digit stands for. Where two are
/// as short, it is the even one, as MySQL has it; the standard library differs.
fn shortest(value: f64, out: &mut String) -> i32 {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').map_or((text, 0), |(mantissa, exponent)| {
        (mantissa, exponent.parse::<i32>().expect("an exponent is a number"))
    });
    out.clear();
    out.push_str(if mantissa.starts_with('-') { "-" } else { "" });
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    out.extend(digits().skip(zeros).map(char::from));
    if zeros == whole.len() + fraction.len() {
        out.push('0');
    }
    whole.len() as i32 - 1 - zeros as i32 + exponent
}

fn decimals_of_doubles<T: DecimalType + ArrowPrimitiveType>(call: &Call<'_>, otherwise: Miss) -> Result<ArrayRef> {
    let values = call.numbers::<Float64Type>(0);
    let (whole, scale) = digits(call.returns).unwrap_or((38, 0));
    let largest = power_of_ten::<T>(whole + i16::from(scale));
    let mut text = String::new();
    call.make_numbers::<T>(|row| {
        let exponent = shortest(values.get(row)?, &mut text);
        let (negative, mantissa) = match text.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, text.as_str()),
        };
        // Digits that are kept: those before the point, which stands behind the first, and the scale.
        let kept = i32::from(scale) + exponent + 1;
        let mut value = T::Native::ZERO;
        let ten = T::Native::usize_as(10);
        let significant = mantissa.as_bytes();
        for at in 0..kept.max(0) {
            let digit = significant.get(at as usize).map_or(0, |digit| digit - b'0');
            value = value.mul_checked(ten).map_err(|_| otherwise)?;
            value = value.add_checked(T::Native::usize_as(usize::from(digit))).map_err(|_| otherwise)?;
        }
        if kept >= 0 && significant.get(kept as usize).is_some_and(|digit| *digit >= b'5') {
            value = value.add_checked(T::Native::ONE).map_err(|_| otherwise)?;
        }
        if largest.is_ok_and(|largest| value.is_ge(largest)) {
            return Err(otherwise);
        }
        Ok(if negative { value.neg_wrapping() } else { value })
    })
}

fn read(digits: impl std::fmt::Display, scale: i8, text: &mut String) -> Cell<f64> {
    use std::fmt::Write as _;
    text.clear();
    write!(text, "{digits}e-{scale}").expect("a string takes everything");
    text.parse().map_err(|_| Miss::OutOfRange)
}
