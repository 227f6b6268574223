//! Products of matrices in which one side is always the same: a model's weights are laid out once as the innermost loop reads them.
//! General libraries lay them out anew for each product, which takes as long as the product if the other side has few rows.

use fearless_simd::{Level, Simd, SimdBase as _, SimdFloat as _, dispatch};

/// Columns of a panel: two registers of 16, four of 8.
pub(crate) const PANEL: usize = 32;
/// Rows of a factor that are worked on before the next ones: what a panel has of them stays in the core's own cache.
const DEPTH: usize = 384;

/// One row of a panel, where the processor likes it.
#[derive(Clone, Copy)]
#[repr(align(128))]
struct Line([f32; PANEL]);

/// A right-hand factor: panels of 32 columns, cut in depths of 384 rows, all panels of a depth one after the other.
#[derive(Default)]
pub(crate) struct Factor {
    rows: usize,
    columns: usize,
    lines: Vec<Line>,
}

/// A part of a matrix whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) rows: usize,
}

/// Room for the left-hand factor in the order in which it is read.
pub(crate) type Strips = Vec<f32>;

impl Factor {
    /// Takes the place of what was there; `value` gives the value at a row and a column. Columns up to a multiple of 32 are zeros.
    pub(crate) fn fill(&mut self, rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) {
        (self.rows, self.columns) = (rows, columns);
        self.lines.clear();
        self.lines.reserve(rows * columns.div_ceil(PANEL));
        for depth in (0..rows).step_by(DEPTH) {
            for first in (0..columns).step_by(PANEL) {
                let width = PANEL.min(columns - first);
                for row in depth..rows.min(depth + DEPTH) {
                    let mut line = Line([0.0; PANEL]);
                    for (column, slot) in line.0[..width].iter_mut().enumerate() {
                        *slot = value(row, first + column);
                    }
                    self.lines.push(line);
                }
            }
        }
    }

    /// The columns of a result, in whole panels.
    pub(crate) fn width(columns: usize) -> usize {
        columns.next_multiple_of(PANEL)
    }
}

/// Adds `left` times `right` to the rows of `result`, which lie `stride` apart and have room for whole panels.
pub(crate) fn add_product(level: Level, left: View<'_>, right: &Factor, result: &mut [f32], stride: usize, strips: &mut Strips) {
    if left.rows > 0 && right.rows > 0 {
        let product = Product { left, right, result, stride, strips };
        dispatch!(level, simd => product.widest(simd));
    }
}

struct Product<'a> {
    left: View<'a>,
    right: &'a Factor,
    result: &'a mut [f32],
    stride: usize,
    strips: &'a mut Strips,
}

impl Product<'_> {
    /// As many sums as the registers hold, beside those for a line and for a value of the left: there are 32 with AVX-512 and Neon, else 16.
    #[inline(always)]
    fn widest<S: Simd>(self, simd: S) {
        match S::f32s::LEN {
            16 => self.run::<S, 2>(simd, 12),
            8 => self.run::<S, 2>(simd, 6),
            _ if cfg!(target_arch = "aarch64") => self.run::<S, 4>(simd, 6),
            _ => self.run::<S, 2>(simd, 6),
        }
    }

    /// `V` registers of columns at a time, and at most `height` rows.
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S, height: usize) {
        let Self { left, right, result, stride, strips } = self;
        let panels = right.columns.div_ceil(PANEL);
        // Strips of about the same height: 15 rows are 8 and 7, not 12 and 3.
        let count = left.rows.div_ceil(height);
        let strip = |at: usize| at * left.rows / count..(at + 1) * left.rows / count;
        for depth in (0..right.rows).step_by(DEPTH) {
            let deep = DEPTH.min(right.rows - depth);
            strips.clear();
            strips.resize(left.rows * deep, 0.0);
            for rows in (0..count).map(strip) {
                let high = rows.len();
                let to = &mut strips[rows.start * deep..rows.end * deep];
                for (at, row) in rows.enumerate() {
                    let from = &left.values[row * left.stride + depth..][..deep];
                    for (slots, value) in to.chunks_exact_mut(high).zip(from) {
                        slots[at] = *value;
                    }
                }
            }
            let lines = &right.lines[depth * panels..(depth + deep) * panels];
            for (panel, lines) in lines.chunks_exact(deep).enumerate() {
                for part in (0..PANEL).step_by(V * S::f32s::LEN) {
                    for rows in (0..count).map(strip) {
                        let values = &strips[rows.start * deep..rows.end * deep];
                        let result = &mut result[rows.start * stride + panel * PANEL + part..];
                        let tile = Tile { values, lines, part, result, stride };
                        macro_rules! of_height {
                            ($($height:literal)*) => {
                                match rows.len() {
                                    $($height => tile.run::<S, $height, V>(simd),)*
                                    _ => unreachable!("a strip is at most 12 high"),
                                }
                            };
                        }
                        of_height!(1 2 3 4 5 6 7 8 9 10 11 12);
                    }
                }
            }
        }
    }
}

/// A few rows and columns of a result, and what goes into them.
struct Tile<'a> {
    values: &'a [f32],
    lines: &'a [Line],
    part: usize,
    result: &'a mut [f32],
    stride: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        let mut sums = [[S::f32s::splat(simd, 0.0); V]; R];
        let (values, _) = self.values.as_chunks::<R>();
        for (values, line) in values.iter().zip(self.lines) {
            let line = &line.0[self.part..self.part + V * S::f32s::LEN];
            let line: [S::f32s; V] = std::array::from_fn(|at| S::f32s::from_slice(simd, &line[at * S::f32s::LEN..(at + 1) * S::f32s::LEN]));
            for (sums, value) in sums.iter_mut().zip(values) {
                let value = S::f32s::splat(simd, *value);
                for (sum, line) in sums.iter_mut().zip(line) {
                    *sum = value.mul_add(line, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let result = &mut self.result[row * self.stride..][..V * S::f32s::LEN];
            for (slots, sum) in result.chunks_exact_mut(S::f32s::LEN).zip(sums) {
                (S::f32s::from_slice(simd, slots) + *sum).store_slice(slots);
            }
        }
    }
}
