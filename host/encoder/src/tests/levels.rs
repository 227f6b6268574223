//! The arithmetic, with each of the instruction sets that this machine has: others have to do with fewer.

use fearless_simd::Level;

use crate::matrix::{Factor, View, add_product};
use crate::rows::{Norm, gelu, normalise, softmax};

fn levels() -> Vec<Level> {
    let mut levels = vec![Level::baseline(), Level::new()];
    #[cfg(target_arch = "x86_64")]
    levels.extend([Level::new().as_sse4_2().map(Level::Sse4_2), Level::new().as_avx2().map(Level::Avx2)].into_iter().flatten());
    levels
}

fn random(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    (0..count).map(|_| random.f32() - 0.5).collect()
}

#[test]
fn a_product_of_any_size_is_added_to_what_was_there_and_to_nothing_else() {
    for (rows, depth, columns) in [(1, 1, 1), (2, 5, 31), (7, 384, 32), (12, 385, 33), (13, 800, 64), (25, 32, 100), (40, 400, 96)] {
        let (left, right) = (random(rows * depth), random(depth * columns));
        let mut factor = Factor::default();
        factor.fill(depth, columns, |row, column| right[row * columns + column]);
        // Rows of the result have room for whole panels, and something behind them.
        let stride = Factor::width(columns) + 3;
        let before = random(rows * stride);
        for level in levels() {
            let mut result = before.clone();
            add_product(level, View { values: &left, stride: depth, rows }, &factor, &mut result, stride, &mut Vec::new());
            for (at, (found, before)) in result.iter().zip(&before).enumerate() {
                let (row, column) = (at / stride, at % stride);
                let product = |column: usize| {
                    (0..depth).map(|k| f64::from(left[row * depth + k]) * f64::from(right[k * columns + column])).sum::<f64>()
                };
                let right = f64::from(*before) + if column < columns { product(column) } else { 0.0 };
                assert!(
                    (f64::from(*found) - right).abs() < 1e-4,
                    "{level:?} {rows}x{depth}x{columns} at {row},{column}: {found}, not {right}"
                );
            }
        }
    }
}

#[test]
fn gelu_softmax_and_normalisation_are_the_textbook_s() {
    // x and GELU(x), by the error function to ten places.
    let known = [
        (-3.0, -0.004_049_694),
        (-1.0, -0.158_655_25),
        (-0.5, -0.154_268_77),
        (0.0, 0.0),
        (0.5, 0.345_731_23),
        (1.0, 0.841_344_7),
        (3.0, 2.995_950_3),
        (9.0, 9.0),
    ];
    for level in levels() {
        let mut row: Vec<f32> = known.iter().map(|(x, _)| x - 0.25).collect();
        gelu(level, &mut row, &[0.25; 8]);
        assert!(row.iter().zip(known).all(|(found, (_, right))| (found - right).abs() < 2e-6), "{level:?}: {row:?}");

        let (mut scores, mut scales) = (random(2 * 64), Vec::new());
        let before = scores.clone();
        softmax(level, &mut scores, 64, 50, &mut scales);
        for (row, (before, scale)) in scores.chunks(64).zip(before.chunks(64).zip(&scales)) {
            let sum: f32 = before[..50].iter().map(|x| x.exp()).sum();
            assert!(row[..50].iter().zip(before).all(|(found, x)| (found * scale - x.exp() / sum).abs() < 1e-6), "{level:?}");
            assert!(row[50..].iter().all(|x| *x < 1e-30), "{level:?}: what is behind the columns counts");
        }

        let mut rows = random(2 * 64);
        let norm = Norm { scale: vec![2.0; 64], shift: vec![1.0; 64], epsilon: 0.0 };
        normalise(level, &mut rows, &random(64), &norm);
        for row in rows.chunks(64) {
            let mean = row.iter().sum::<f32>() / 64.0;
            let spread = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 64.0;
            assert!((mean - 1.0).abs() < 1e-5 && (spread - 4.0).abs() < 1e-4, "{level:?}: {mean} {spread}");
        }
    }
}
