//! What a transformer does to single rows: GELU, softmax and layer normalisation, each in one pass over memory that is in the cache already.
//! Plain loops over fixed numbers of values: the compiler makes the processor's widest registers of them, whichever it has.

use fearless_simd::{Level, dispatch};

/// Values that are summed side by side.
const LANES: usize = 16;

/// x to GELU(x + bias), by the exact formula with the error function.
pub(crate) fn gelu(level: Level, rows: &mut [f32], bias: &[f32]) {
    dispatch!(level, _ => {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, bias) in row.iter_mut().zip(bias) {
                let v = *x + bias;
                *x = 0.5 * v * (1.0 + erf(v * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    });
}

/// The first `columns` of each row, `stride` long, to exp(x - the largest); the others to zero. Returns in `scales` what makes each row's sum 1.
pub(crate) fn softmax(level: Level, rows: &mut [f32], stride: usize, columns: usize, scales: &mut Vec<f32>) {
    scales.clear();
    dispatch!(level, _ => {
        for row in rows.chunks_exact_mut(stride) {
            row[columns..].fill(f32::NEG_INFINITY);
            let (chunks, _) = row.as_chunks_mut::<LANES>();
            let mut largest = [f32::NEG_INFINITY; LANES];
            for chunk in &*chunks {
                for (largest, x) in largest.iter_mut().zip(chunk) {
                    *largest = if *x > *largest { *x } else { *largest };
                }
            }
            let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0_f32; LANES];
            for chunk in chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *x = exp(*x - largest);
                    *sum += *x;
                }
            }
            scales.push(1.0 / sums.iter().sum::<f32>());
        }
    });
}

/// Each row, after `bias` was added to it, to mean 0 and variance 1, then times `scale` plus `shift`. Rows are multiples of 16 long.
pub(crate) fn normalise(level: Level, rows: &mut [f32], bias: &[f32], norm: &Norm) {
    dispatch!(level, _ => {
        for row in rows.chunks_exact_mut(norm.scale.len()) {
            for (x, bias) in row.iter_mut().zip(bias) {
                *x += bias;
            }
            let length = row.len() as f32;
            let mean = sum(row, |x| x) / length;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / length;
            let factor = 1.0 / (variance + norm.epsilon).sqrt();
            for ((x, scale), shift) in row.iter_mut().zip(&norm.scale).zip(&norm.shift) {
                *x = (*x - mean) * factor * scale + shift;
            }
        }
    });
}

/// The numbers of a layer normalisation.
pub(crate) struct Norm {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) epsilon: f32,
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += of(*x);
        }
    }
    sums.iter().sum()
}

/// The error function, within 3e-7: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - series * exp(-x * x)).copysign(x)
}

/// The exponential function of a number that is not positive, within 2 units of the last place: 2 to the power of the whole part, times a series
/// for the rest.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // Below, the result would not be a normal number.
    let x = if x > -87.0 { x } else { -87.0 };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    // ln 2 in two parts, of which the first has few digits, so that the product is exact.
    let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let series = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    f32::from_bits(series.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_places() {
        for step in 0..=870_000 {
            let x = -f64::from(step) / 10_000.0;
            let (found, right) = (f64::from(exp(x as f32)), f64::from(x as f32).exp());
            assert!(((found - right) / right).abs() < 3e-7, "exp({x}) is {found}, not {right}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }
}
