//! Made-up chunks whose vectors have the structure of real embeddings, which uniform noise has not: they are of low intrinsic dimension and
//! clustered. Each is a point of a space of 24 dimensions, near one of many centres, projected to 384, with a little noise in all of them, and
//! of length 1. A question is another point near one of the centres. The same numbers on every run and every machine of one endianness.

use std::f32::consts::TAU;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use fastrand::Rng;

pub(crate) const DIMENSIONS: usize = 384;
/// Chunks of a document.
pub(crate) const CHUNKS: usize = 1_000;
const LATENT: usize = 24;
/// Chunks about one centre, on average.
const CLUSTER: usize = 250;
/// How far points lie from their centre, where centres lie 1 from the middle in each latent dimension.
const SPREAD: f32 = 0.6;
/// The length of the noise, where what is projected has a length of about 1.
const NOISE: f32 = 0.15;
/// Words that there are; the nth most frequent is as frequent as 1/n.
const WORDS: f64 = 30_000.0;
/// Words of a chunk and of a question.
const CHUNK_WORDS: usize = 40;
const QUESTION_WORDS: usize = 6;
const SEED: u64 = 0x5eed;

pub(crate) struct Corpus {
    len: usize,
    /// Row by row, one of `LATENT` numbers for each of `DIMENSIONS`.
    projection: Vec<f32>,
    /// A centre after the other.
    centres: Vec<f32>,
}

impl Corpus {
    pub(crate) fn new(len: usize) -> Self {
        let mut rng = Rng::with_seed(SEED);
        let projection = (0..DIMENSIONS * LATENT).map(|_| normal(&mut rng) / ((DIMENSIONS * LATENT) as f32).sqrt()).collect();
        let centres = (0..LATENT * (len / CLUSTER).max(20)).map(|_| normal(&mut rng)).collect();
        Self { len: len.div_ceil(CHUNKS) * CHUNKS, projection, centres }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn documents(&self) -> usize {
        self.len / CHUNKS
    }

    /// Text and vector of each chunk of a document.
    pub(crate) fn document(&self, number: usize) -> Vec<(String, Vec<f32>)> {
        self.from(SEED + 1 + number as u64, CHUNKS, CHUNK_WORDS)
    }

    /// Texts and vectors of questions.
    pub(crate) fn questions(&self, count: usize) -> Vec<(String, Vec<f32>)> {
        self.from(SEED / 2, count, QUESTION_WORDS)
    }

    /// Chunks that are in no document of the corpus.
    pub(crate) fn more(&self) -> More {
        More { corpus: Self { projection: self.projection.clone(), centres: self.centres.clone(), ..*self }, taken: 0 }
    }

    fn from(&self, seed: u64, count: usize, words: usize) -> Vec<(String, Vec<f32>)> {
        let mut rng = Rng::with_seed(seed);
        (0..count).map(|_| (text(&mut rng, words), self.vector(&mut rng))).collect()
    }

    fn vector(&self, rng: &mut Rng) -> Vec<f32> {
        let centre = &self.centres[rng.usize(0..self.centres.len() / LATENT) * LATENT..][..LATENT];
        let point: Vec<f32> = centre.iter().map(|centre| centre + SPREAD * normal(rng)).collect();
        let noise = NOISE / (DIMENSIONS as f32).sqrt();
        let rows = self.projection.chunks_exact(LATENT);
        let mut vector: Vec<f32> = rows.map(|row| product(row, &point) + noise * normal(rng)).collect();
        let length = product(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|number| *number /= length);
        vector
    }

    /// The numbers of the nearest chunks of each question, by exact arithmetic, on all processors.
    pub(crate) fn nearest(&self, questions: &[(String, Vec<f32>)], count: usize) -> Vec<Vec<u32>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let of = |documents: Vec<usize>| {
            let mut nearest = vec![Vec::new(); questions.len()];
            for document in documents {
                let vectors: Vec<Vec<f32>> = self.document(document).into_iter().map(|(_, vector)| vector).collect();
                for ((_, question), nearest) in questions.iter().zip(&mut nearest) {
                    let number = |at: usize| (document * CHUNKS + at) as u32;
                    nearest.extend(vectors.iter().enumerate().map(|(at, vector)| (product(question, vector), number(at))));
                    best(nearest, count);
                }
            }
            nearest
        };
        let mut all = vec![Vec::new(); questions.len()];
        std::thread::scope(|scope| {
            let of = &of;
            let share = |thread| (0..self.documents()).filter(|document| document % threads == thread).collect();
            let running: Vec<_> = (0..threads).map(share).map(|documents| scope.spawn(move || of(documents))).collect();
            for thread in running {
                let found = thread.join().expect("it computes");
                all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
            }
        });
        all.iter_mut().for_each(|all| best(all, count));
        all.into_iter().map(|all| all.into_iter().map(|(_, number)| number).collect()).collect()
    }

    /// A file for other programs: the numbers of vectors, dimensions, questions and hits as four u32, then the vectors, the questions, and the
    /// nearest of each question.
    pub(crate) fn export(&self, path: &Path, nearest: &[Vec<u32>]) -> io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        let hits = nearest.first().map_or(0, Vec::len);
        for number in [self.len, DIMENSIONS, nearest.len(), hits] {
            file.write_all(&(number as u32).to_le_bytes())?;
        }
        let documents = (0..self.documents()).flat_map(|document| self.document(document));
        for (_, vector) in documents.chain(self.questions(nearest.len())) {
            file.write_all(&vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        for number in nearest.iter().flatten() {
            file.write_all(&number.to_le_bytes())?;
        }
        file.flush()
    }
}

pub(crate) struct More {
    corpus: Corpus,
    taken: u64,
}

impl More {
    pub(crate) fn take(&mut self, count: usize) -> Vec<(String, Vec<f32>)> {
        self.taken += 1;
        self.corpus.from(u64::MAX - self.taken, count, CHUNK_WORDS)
    }
}

fn best(found: &mut Vec<(f32, u32)>, count: usize) {
    found.sort_unstable_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
    found.truncate(count);
}

fn normal(rng: &mut Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.f32()).ln()).sqrt();
    radius * (TAU * rng.f32()).cos()
}

/// In lanes, or the compiler may not use wide registers.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

fn text(rng: &mut Rng, words: usize) -> String {
    let mut text = String::with_capacity(words * 8);
    for _ in 0..words {
        let mut rank = (rng.f64() * WORDS.ln()).exp() as usize;
        while rank > 0 {
            text.push(char::from(b"bcdfghklmnprstvz"[rank % 16]));
            text.push(char::from(b"aeiou"[rank / 16 % 5]));
            rank /= 80;
        }
        text.push(' ');
    }
    text
}
