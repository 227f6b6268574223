//! The transformer: rows of all texts of a batch go through each product of matrices together, attention looks at one text at a time.
//! Nothing is padded, so that a text's vector does not depend on what stands beside it in the batch.

use fearless_simd::Level;

use crate::Error;
use crate::matrix::{Factor, PANEL, Strips, View, add_product};
use crate::rows::{Norm, gelu, normalise, softmax};
use crate::weights::{Table, Weights};

/// What a model's `config.json` says of its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    hidden: usize,
    heads: usize,
    layers: usize,
    intermediate: usize,
    vocabulary: usize,
    positions: usize,
    types: usize,
    epsilon: f32,
    /// Rows of the positions' table before the first token's: some of the family count from behind the padding's.
    first_position: usize,
}

pub(crate) struct Bert {
    level: Level,
    shape: Shape,
    words: Table,
    /// Positions, each with the first type of token added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Queries, keys and values side by side.
    attention: Dense,
    output: Dense,
    output_norm: Norm,
    wide: Dense,
    narrow: Dense,
    narrow_norm: Norm,
}

struct Dense {
    factor: Factor,
    bias: Vec<f32>,
}

/// Memory that a thread works in and keeps.
#[derive(Default)]
pub(crate) struct Scratch {
    attention: Vec<f32>,
    context: Vec<f32>,
    wide: Vec<f32>,
    scores: Vec<f32>,
    scales: Vec<f32>,
    keys: Factor,
    values: Factor,
    strips: Strips,
    rows: Vec<f32>,
}

impl Shape {
    pub(crate) fn read(config: &serde_json::Value) -> Result<Self, String> {
        let text = |key: &str, default: &'static str| config.get(key).and_then(serde_json::Value::as_str).unwrap_or(default).to_owned();
        let number = |key: &str| config.get(key).and_then(serde_json::Value::as_u64).map(|number| number as usize);
        let needed =
            |key: &str| number(key).filter(|number| (1..=1 << 20).contains(number)).ok_or_else(|| format!("it has no fitting `{key}`"));
        let kind = text("model_type", "of no type");
        if !["bert", "roberta", "xlm-roberta"].contains(&kind.as_str()) {
            return Err(format!("the model is {kind}; bert, roberta and xlm-roberta can be computed here"));
        }
        for (key, wanted) in [("hidden_act", "gelu"), ("position_embedding_type", "absolute")] {
            let found = text(key, wanted);
            if found != wanted {
                return Err(format!("its `{key}` is {found:?}; only {wanted:?} can be computed here"));
            }
        }
        let first_position = if kind == "bert" { 0 } else { number("pad_token_id").unwrap_or(1).min(1 << 10) + 1 };
        let shape = Self {
            hidden: needed("hidden_size")?,
            heads: needed("num_attention_heads")?,
            layers: needed("num_hidden_layers")?,
            intermediate: needed("intermediate_size")?,
            vocabulary: needed("vocab_size")?,
            positions: needed("max_position_embeddings")?,
            types: number("type_vocab_size").unwrap_or(2).clamp(1, 1 << 10),
            epsilon: config.get("layer_norm_eps").and_then(serde_json::Value::as_f64).unwrap_or(1e-12) as f32,
            first_position,
        };
        let head = shape.hidden / shape.heads;
        if !shape.hidden.is_multiple_of(shape.heads) || !head.is_multiple_of(PANEL) || !shape.intermediate.is_multiple_of(PANEL) {
            return Err(format!(
                "its sizes are odd: heads of {head} of {} numbers, {} between; only multiples of {PANEL} can be computed here",
                shape.hidden, shape.intermediate
            ));
        }
        if shape.positions <= first_position {
            return Err("its `max_position_embeddings` leaves no place for a token".into());
        }
        Ok(shape)
    }

    /// The most tokens of a text.
    pub(crate) fn tokens(&self) -> usize {
        self.positions - self.first_position
    }
}

impl Bert {
    pub(crate) fn load(weights: &Weights<'_>, shape: Shape) -> Result<Self, String> {
        let hidden = shape.hidden;
        let words = weights.table("embeddings.word_embeddings.weight", shape.vocabulary, hidden)?;
        let mut positions = weights.get("embeddings.position_embeddings.weight", &[shape.positions, hidden])?;
        positions.drain(..shape.first_position * hidden);
        let types = weights.get("embeddings.token_type_embeddings.weight", &[shape.types, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&types).for_each(|(x, kind)| *x += kind);
        }
        let norm = norm(weights, "embeddings.LayerNorm", &shape)?;
        let layers = (0..shape.layers).map(|at| Layer::load(weights, &format!("encoder.layer.{at}"), &shape)).collect::<Result<_, _>>()?;
        Ok(Self { level: Level::new(), shape, words, positions, norm, layers })
    }

    /// The length of every row.
    pub(crate) fn dimensions(&self) -> usize {
        self.shape.hidden
    }

    /// The last layer's rows, of all texts one after the other.
    ///
    /// # Errors
    /// A token that the model does not know, a text without tokens, or one of too many: the tokenizer is another model's.
    pub(crate) fn run<'a>(&self, texts: &[Vec<u32>], scratch: &'a mut Scratch) -> Result<&'a [f32], Error> {
        let hidden = self.shape.hidden;
        let known =
            |ids: &Vec<u32>| (1..=self.shape.tokens()).contains(&ids.len()) && ids.iter().all(|id| (*id as usize) < self.shape.vocabulary);
        if !texts.iter().all(known) {
            return Err(Error::Text("the tokenizer gives tokens that the model does not know".into()));
        }
        let count: usize = texts.iter().map(Vec::len).sum();
        let mut rows = std::mem::take(&mut scratch.rows);
        rows.clear();
        rows.resize(count * hidden, 0.0);
        let ids = texts.iter().flat_map(|ids| ids.iter().enumerate());
        for (row, (position, id)) in rows.chunks_exact_mut(hidden).zip(ids) {
            row.copy_from_slice(&self.positions[position * hidden..][..hidden]);
            self.words.add_row(*id as usize, row);
        }
        normalise(self.level, &mut rows, &[], &self.norm);
        for layer in &self.layers {
            self.layer(layer, texts, &mut rows, scratch);
        }
        scratch.rows = rows;
        Ok(&scratch.rows)
    }

    fn layer(&self, layer: &Layer, texts: &[Vec<u32>], rows: &mut [f32], scratch: &mut Scratch) {
        let (level, hidden) = (self.level, self.shape.hidden);
        let count = rows.len() / hidden;
        // Taken out, so that the rest of the memory can be lent; an empty one takes no memory.
        let mut attention = std::mem::take(&mut scratch.attention);
        let mut context = std::mem::take(&mut scratch.context);
        repeat(&mut attention, &layer.attention.bias, count);
        add_product(level, view(rows, hidden), &layer.attention.factor, &mut attention, 3 * hidden, &mut scratch.strips);
        context.clear();
        context.resize(count * hidden, 0.0);
        let mut first = 0;
        for text in texts {
            let next = first + text.len();
            self.attend(&attention[first * 3 * hidden..next * 3 * hidden], &mut context[first * hidden..next * hidden], scratch);
            first = next;
        }
        // What goes into a block is added to what comes out of it, so the product is added where it lies.
        add_product(level, view(&context, hidden), &layer.output.factor, rows, hidden, &mut scratch.strips);
        normalise(level, rows, &layer.output.bias, &layer.output_norm);
        let mut wide = std::mem::take(&mut scratch.wide);
        let width = self.shape.intermediate;
        wide.clear();
        wide.resize(count * width, 0.0);
        add_product(level, view(rows, hidden), &layer.wide.factor, &mut wide, width, &mut scratch.strips);
        gelu(level, &mut wide, &layer.wide.bias);
        add_product(level, view(&wide, width), &layer.narrow.factor, rows, hidden, &mut scratch.strips);
        normalise(level, rows, &layer.narrow.bias, &layer.narrow_norm);
        (scratch.attention, scratch.context, scratch.wide) = (attention, context, wide);
    }

    /// One text's attention: its queries, keys and values side by side in `from`.
    fn attend(&self, from: &[f32], context: &mut [f32], scratch: &mut Scratch) {
        let (level, hidden, size) = (self.level, self.shape.hidden, self.shape.hidden / self.shape.heads);
        let stride = 3 * hidden;
        let rows = from.len() / stride;
        let width = Factor::width(rows);
        for head in (0..hidden).step_by(size) {
            scratch.keys.fill(size, rows, |row, column| from[column * stride + hidden + head + row]);
            scratch.values.fill(rows, size, |row, column| from[row * stride + 2 * hidden + head + column]);
            scratch.scores.clear();
            scratch.scores.resize(rows * width, 0.0);
            let queries = View { values: &from[head..], stride, rows };
            add_product(level, queries, &scratch.keys, &mut scratch.scores, width, &mut scratch.strips);
            softmax(level, &mut scratch.scores, width, rows, &mut scratch.scales);
            let scores = View { values: &scratch.scores, stride: width, rows };
            add_product(level, scores, &scratch.values, &mut context[head..], hidden, &mut scratch.strips);
            for (row, scale) in context.chunks_exact_mut(hidden).zip(&scratch.scales) {
                row[head..head + size].iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
}

impl Layer {
    fn load(weights: &Weights<'_>, prefix: &str, shape: &Shape) -> Result<Self, String> {
        let (hidden, intermediate) = (shape.hidden, shape.intermediate);
        let matrix = |name: &str, to: usize, from: usize| weights.get(&format!("{prefix}.{name}.weight"), &[to, from]);
        let bias = |name: &str, to: usize| weights.get(&format!("{prefix}.{name}.bias"), &[to]);
        // Scores are divided by the root of a head's size, which the queries can bear as well.
        let scale = 1.0 / ((hidden / shape.heads) as f32).sqrt();
        let parts = ["attention.self.query", "attention.self.key", "attention.self.value"];
        let mut all = (Vec::new(), Vec::new());
        for part in parts {
            all.0.extend(matrix(part, hidden, hidden)?);
            all.1.extend(bias(part, hidden)?);
        }
        all.0[..hidden * hidden].iter_mut().chain(&mut all.1[..hidden]).for_each(|x| *x *= scale);
        let dense = |name: &str, to: usize, from: usize| Ok::<_, String>(Dense::new(&matrix(name, to, from)?, bias(name, to)?));
        Ok(Self {
            attention: Dense::new(&all.0, all.1),
            output: dense("attention.output.dense", hidden, hidden)?,
            output_norm: norm(weights, &format!("{prefix}.attention.output.LayerNorm"), shape)?,
            wide: dense("intermediate.dense", intermediate, hidden)?,
            narrow: dense("output.dense", hidden, intermediate)?,
            narrow_norm: norm(weights, &format!("{prefix}.output.LayerNorm"), shape)?,
        })
    }
}

impl Dense {
    fn new(matrix: &[f32], bias: Vec<f32>) -> Self {
        let inputs = matrix.len() / bias.len();
        let mut factor = Factor::default();
        factor.fill(inputs, bias.len(), |row, column| matrix[column * inputs + row]);
        Self { factor, bias }
    }
}

fn norm(weights: &Weights<'_>, name: &str, shape: &Shape) -> Result<Norm, String> {
    let get = |part: &str| weights.get(&format!("{name}.{part}"), &[shape.hidden]);
    Ok(Norm { scale: get("weight")?, shift: get("bias")?, epsilon: shape.epsilon })
}

fn repeat(to: &mut Vec<f32>, row: &[f32], times: usize) {
    to.clear();
    (0..times).for_each(|_| to.extend_from_slice(row));
}

/// All of a matrix.
fn view(values: &[f32], stride: usize) -> View<'_> {
    View { values, stride, rows: values.len() / stride }
}
