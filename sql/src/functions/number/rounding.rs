//! ROUND, TRUNCATE, FLOOR and CEILING, each in the type of its argument.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, DecimalType, Float64Type,
    Int64Type,
};
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss};
use super::{Integers, Run, as_wide_as, decimal_type, digits, make_integers, power_of_ten, scale_of};

/// How to get rid of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest, halves away from zero.
    HalfUp,
    TowardsZero,
    Down,
    Up,
}

/// A number with `places` digits after the point (before it, if negative), as ROUND, TRUNCATE, FLOOR and CEILING give it.
pub(crate) fn rounded(data_type: &DataType, places: i64, rounding: Rounding) -> Kernel {
    let name = match rounding {
        Rounding::HalfUp => "round",
        Rounding::TowardsZero => "truncate",
        Rounding::Down => "floor",
        Rounding::Up => "ceiling",
    };
    let (returns, run): (DataType, Run) = match data_type {
        DataType::Float64 => (
            DataType::Float64,
            match rounding {
                Rounding::HalfUp => |call| round_doubles(call, Rounding::HalfUp),
                Rounding::TowardsZero => |call| round_doubles(call, Rounding::TowardsZero),
                Rounding::Down => |call| round_doubles(call, Rounding::Down),
                Rounding::Up => |call| round_doubles(call, Rounding::Up),
            },
        ),
        DataType::Int64 | DataType::UInt64 => (
            data_type.clone(),
            match rounding {
                Rounding::HalfUp => |call| round_integers(call, Rounding::HalfUp),
                _ => |call| round_integers(call, Rounding::TowardsZero),
            },
        ),
        _ => {
            let (whole, scale) = digits(data_type).unwrap_or((38, 0));
            // MySQL does not add places that are zero. One digit more before them: 9.9 becomes 10.
            let kept = places.clamp(0, i64::from(scale.max(0))) as i8;
            let returns = as_wide_as(data_type, &decimal_type(whole + 1 + i16::from(kept), kept));
            (
                returns,
                match rounding {
                    Rounding::HalfUp => |call| round_decimals(call, Rounding::HalfUp),
                    Rounding::TowardsZero => |call| round_decimals(call, Rounding::TowardsZero),
                    Rounding::Down => |call| round_decimals(call, Rounding::Down),
                    Rounding::Up => |call| round_decimals(call, Rounding::Up),
                },
            )
        }
    };
    Kernel::new(name, returns, run).keeps_nulls()
}

/// The places are the second argument, a constant; none are zero places.
fn places(call: &Call<'_>) -> Cell<i64> {
    if call.arity() < 2 { Ok(0) } else { call.numbers::<Int64Type>(1).get(0) }
}

fn round_integers(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let values = Integers::of(call, 0);
    let places = places(call);
    make_integers(call, |row| {
        let value = values.get(row)?;
        let Some(unit) =
            u32::try_from(-places?.min(0)).ok().filter(|digits| *digits < 21).map(|digits| 10i128.pow(digits))
        else {
            return Ok(0);
        };
        let truncated = value / unit * unit;
        Ok(match rounding {
            Rounding::HalfUp if (value - truncated).abs() * 2 >= unit => truncated + value.signum() * unit,
            _ => truncated,
        })
    })
}

fn round_decimals(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    match call.returns {
        DataType::Decimal128(..) => round_digits::<Decimal128Type>(call, rounding),
        _ => round_digits::<Decimal256Type>(call, rounding),
    }
}

fn round_digits<T: DecimalType + ArrowPrimitiveType>(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let values = call.numbers::<T>(0);
    let (from, to) = (scale_of(call.data_type(0)), scale_of(call.returns));
    // The unit that is rounded to, in last places of the argument, and in those of the result.
    let places = places(call).map(|places| places.clamp(-100, i64::from(from.min(to))) as i16);
    let (zero, one) = (T::Native::ZERO, T::Native::ONE);
    let powers = places.map(|places| (power_of_ten::<T>(from - places), power_of_ten::<T>(to - places)));
    call.make_numbers::<T>(|row| {
        let value = values.get(row)?;
        let (Ok(unit), Ok(back)) = powers? else { return Ok(zero) };
        let (quotient, rest) = (value.div_wrapping(unit), value.mod_wrapping(unit));
        let away = if value.is_lt(zero) { zero.sub_wrapping(one) } else { one };
        let add = match rounding {
            Rounding::TowardsZero => false,
            Rounding::HalfUp => {
                let rest = if rest.is_lt(zero) { zero.sub_wrapping(rest) } else { rest };
                rest.is_ge(unit.sub_wrapping(rest)) && !unit.is_eq(one)
            }
            Rounding::Down => rest.is_lt(zero),
            Rounding::Up => rest.is_gt(zero),
        };
        let quotient = if add { quotient.add_wrapping(away) } else { quotient };
        quotient.mul_checked(back).map_err(|_| Miss::OutOfRange)
    })
}

fn round_doubles(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let values = call.numbers::<Float64Type>(0);
    let places = places(call);
    call.make_numbers::<Float64Type>(|row| {
        let value = values.get(row)?;
        let places = places?;
        let whole = |value: f64| match rounding {
            Rounding::HalfUp => value.round_ties_even(),
            Rounding::TowardsZero => value.trunc(),
            Rounding::Down => value.floor(),
            Rounding::Up => value.ceil(),
        };
        let unit = power_of_ten_double(places.unsigned_abs());
        let rounded = match places < 0 {
            true if unit.is_infinite() => 0.0,
            true => whole(value / unit) * unit,
            false if unit.is_infinite() || !(value * unit).is_finite() => value,
            false => whole(value * unit) / unit,
        };
        if rounded.is_finite() { Ok(rounded) } else { Err(Miss::OutOfRange) }
    })
}

fn power_of_ten_double(exponent: u64) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(f64::INFINITY)
}
