//! A model's numbers by name, as safetensors files hold them, and as the built-in model's file does: 4 bits a number, with a scale for each 32.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Numbers of a group that share a scale.
const GROUP: usize = 32;

/// Where a model's numbers come from.
pub(crate) enum Weights<'a> {
    /// The built-in model's file, with the shapes of its matrices, which it keeps in 4 bits a number.
    Packed { file: SafeTensors<'static>, shapes: BTreeMap<String, Vec<usize>> },
    /// A file as it is published. Some put a word before each name.
    Plain { file: SafeTensors<'a>, prefix: &'static str },
}

/// A table whose rows are asked for one at a time.
pub(crate) enum Table {
    Plain(Vec<f32>),
    /// Read where it lies in the program: in full it would take eight times as much memory.
    Packed {
        bits: &'static [u8],
        scales: Vec<f32>,
    },
}

impl Weights<'static> {
    /// The built-in model's.
    pub(crate) fn packed(file: &'static [u8], shapes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        Ok(Self::Packed { file, shapes: serde_json::from_slice(shapes).map_err(|e| e.to_string())? })
    }
}

impl<'a> Weights<'a> {
    pub(crate) fn plain(file: &'a [u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let has = |prefix: &&str| file.tensor(&format!("{prefix}embeddings.word_embeddings.weight")).is_ok();
        let prefix = ["", "bert.", "roberta."].into_iter().find(has).ok_or("it holds no `embeddings.word_embeddings.weight`")?;
        Ok(Self::Plain { file, prefix })
    }

    /// The numbers of `name`, which must have this shape.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        match self {
            Self::Packed { file, shapes } if shape.len() > 1 => {
                let (bits, scales) = packed(file, shapes, name, shape)?;
                Ok((0..shape.iter().product()).map(|at| unpack(bits, &scales, at)).collect())
            }
            Self::Packed { file, .. } => numbers(&tensor(file, name)?, name, shape),
            Self::Plain { file, prefix } => numbers(&tensor(file, &format!("{prefix}{name}"))?, name, shape),
        }
    }

    /// The numbers of `name` as a table.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Table, String> {
        match self {
            Self::Packed { file, shapes } => {
                packed(file, shapes, name, &[rows, columns]).map(|(bits, scales)| Table::Packed { bits, scales })
            }
            Self::Plain { .. } => Ok(Table::Plain(self.get(name, &[rows, columns])?)),
        }
    }
}

pub(crate) fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, String> {
    file.tensor(name).map_err(|_| format!("it holds no `{name}`"))
}

/// A tensor's numbers, whatever they are kept in.
pub(crate) fn numbers(tensor: &TensorView<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    if tensor.shape() != shape {
        return Err(format!("its `{name}` is {:?}, not {shape:?}", tensor.shape()));
    }
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F64 => Ok(data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()),
        Dtype::F32 => Ok(data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(data.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Ok(data.as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::I8 => Ok(data.iter().map(|b| f32::from(*b as i8)).collect()),
        other => Err(format!("its `{name}` is of {other:?}; f32, f16 and bf16 can be read")),
    }
}

fn packed(
    file: &SafeTensors<'static>,
    shapes: &BTreeMap<String, Vec<usize>>,
    name: &str,
    shape: &[usize],
) -> Result<(&'static [u8], Vec<f32>), String> {
    let (bits, scales) = (tensor(file, &format!("{name}.q4"))?.data(), tensor(file, &format!("{name}.scales"))?.data());
    let scales: Vec<f32> = scales.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect();
    let count = shape.iter().product::<usize>();
    if shapes.get(name).is_none_or(|known| known != shape) || bits.len() * 2 < count || scales.len() * GROUP < count {
        return Err(format!("its `{name}` is not {shape:?}"));
    }
    Ok((bits, scales))
}

impl Table {
    /// Adds a row to `to`.
    pub(crate) fn add_row(&self, row: usize, to: &mut [f32]) {
        let start = row * to.len();
        match self {
            Self::Plain(values) => to.iter_mut().zip(&values[start..]).for_each(|(to, value)| *to += value),
            Self::Packed { bits, scales } => to.iter_mut().enumerate().for_each(|(at, to)| *to += unpack(bits, scales, start + at)),
        }
    }
}

#[inline]
fn unpack(bits: &[u8], scales: &[f32], at: usize) -> f32 {
    let four = (bits[at / 2] >> (at % 2 * 4)) & 15;
    f32::from(i16::from(four) - 8) * scales[at / GROUP]
}
