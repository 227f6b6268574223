//! The file of a graph: what usearch writes, and after it the ids, a stamp and checksums. It is written aside and renamed, and nothing of it reaches
//! usearch that its checksums do not cover: a file that is missing, torn, damaged, of another model or another usearch is no error, it is no graph.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::graph::Graph;
use crate::files;
use crate::rag::{Precision, VectorSpace};

/// How the names of files begin that are being written; what a killed process left of them is deleted at the next start.
const UNFINISHED: &str = ".tmp";

/// Bytes under one checksum. A CRC-32 finds every run of up to 32 changed bits, and misses one of four billion other changes of its block.
const BLOCK_BYTES: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"cofferd2";

/// The last bytes of the file: four numbers of eight bytes, a checksum of them and of the other checksums, and the magic.
const FOOTER_BYTES: usize = 4 * 8 + 4 + 8;

/// What follows what usearch wrote.
struct Footer {
    /// Bytes of usearch's.
    graph: u64,
    ids: u64,
    /// Bytes of the stamp.
    stamp: u64,
    blocks: u64,
}

/// The file of a graph, complete and on the disk, beside its place.
pub(super) struct Unplaced(NamedTempFile);

impl Unplaced {
    /// Puts it in its place in one step. That step need not be on the disk: an older file is as right, it is only further behind.
    pub(super) fn place(self, path: &Path) -> io::Result<()> {
        self.0.persist(path).map(|_| ()).map_err(|error| error.error)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Writes a graph beside the place that its file will have.
pub(super) fn write(graph: &Graph, path: &Path, space: &VectorSpace, precision: Precision) -> io::Result<Unplaced> {
    let folder = path.parent().unwrap_or(Path::new("."));
    files::private_directory(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    graph.save(file.path()).map_err(io::Error::other)?;
    let length = file.as_file().metadata()?.len();
    if length != graph.bytes() as u64 {
        return Err(io::Error::other(format!("{length} bytes of {} were written", graph.bytes())));
    }
    file.seek(SeekFrom::End(0))?;
    let stamp = stamp(space, precision);
    let mut end = BufWriter::new(&mut file);
    for id in graph.ids() {
        end.write_all(&id.to_le_bytes())?;
    }
    end.write_all(stamp.as_bytes())?;
    end.flush()?;
    drop(end);
    let sums = sums(file.reopen()?)?;
    let footer = Footer { graph: length, ids: graph.ids().len() as u64, stamp: stamp.len() as u64, blocks: sums.len() as u64 };
    let mut end: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    end.extend([footer.graph, footer.ids, footer.stamp, footer.blocks].iter().flat_map(|number| number.to_le_bytes()));
    end.extend(crc32fast::hash(&end).to_le_bytes());
    end.extend(MAGIC);
    file.write_all(&end)?;
    file.as_file().sync_data()?;
    Ok(Unplaced(file))
}

/// The graph in the file, mapped into memory, if it is whole, of this space and this precision.
pub(super) fn open(path: &Path, space: &VectorSpace, precision: Precision) -> Option<Graph> {
    let file = File::open(path).ok()?;
    let found = ids(&file, &stamp(space, precision)).map(|ids| Graph::view(path, ids, space, precision));
    match found {
        Ok(Ok(graph)) => Some(graph),
        Ok(Err(error)) => {
            tracing::warn!(%error, path = %path.display(), "the saved vector index cannot be used; it is built from the database");
            None
        }
        Err(error) => {
            tracing::info!(%error, path = %path.display(), "the saved vector index is of no use; it is built from the database");
            None
        }
    }
}

/// The ids in a file whose every byte is as it was written.
fn ids(mut file: &File, stamp: &str) -> io::Result<Vec<i64>> {
    let length = file.metadata()?.len();
    let footer_at = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(|| wrong("it is too short"))?;
    let mut end = [0; FOOTER_BYTES];
    file.seek(SeekFrom::Start(footer_at))?;
    file.read_exact(&mut end)?;
    let (numbers, rest) = end.split_at(4 * 8);
    let (sum, magic) = rest.split_at(4);
    if magic != MAGIC {
        return Err(wrong("it is no index, or of another version"));
    }
    let [graph, count, stamp_bytes, blocks] = *numbers.as_chunks::<8>().0 else { return Err(wrong("it is too short")) };
    let footer = Footer {
        graph: u64::from_le_bytes(graph),
        ids: u64::from_le_bytes(count),
        stamp: u64::from_le_bytes(stamp_bytes),
        blocks: u64::from_le_bytes(blocks),
    };
    let content = footer.content().filter(|content| footer.blocks == content.div_ceil(BLOCK_BYTES as u64));
    let content = content.filter(|content| content.checked_add(footer.blocks * 4) == Some(footer_at)).ok_or_else(|| wrong("it is torn"))?;
    let mut known = vec![0; usize::try_from(footer.blocks * 4).map_err(io::Error::other)?];
    file.seek(SeekFrom::Start(content))?;
    file.read_exact(&mut known)?;
    if crc32fast::hash(&[&known[..], numbers].concat()).to_le_bytes() != sum {
        return Err(wrong("its checksums are damaged"));
    }
    let mut rest = vec![0; usize::try_from(content - footer.graph).map_err(io::Error::other)?];
    file.seek(SeekFrom::Start(footer.graph))?;
    file.read_exact(&mut rest)?;
    let (ids, found) = rest.split_at(usize::try_from(footer.ids * 8).map_err(io::Error::other)?);
    if found != stamp.as_bytes() {
        return Err(wrong("it is of another model, precision or version"));
    }
    file.seek(SeekFrom::Start(0))?;
    let all = sums(file.take(content))?;
    if all.iter().flat_map(|sum| sum.to_le_bytes()).ne(known) {
        return Err(wrong("it is damaged"));
    }
    Ok(ids.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)).collect())
}

impl Footer {
    /// Bytes before the checksums.
    fn content(&self) -> Option<u64> {
        self.graph.checked_add(self.ids.checked_mul(8)?)?.checked_add(self.stamp)
    }
}

/// The checksum of each block, to the end. It is read and not mapped, so that no page counts as this process's memory that no search looked at.
fn sums(mut file: impl Read) -> io::Result<Vec<u32>> {
    let mut sums = Vec::new();
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    loop {
        block.clear();
        file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(sums);
        }
        sums.push(crc32fast::hash(&block));
    }
}

/// Deletes the file if there is one; the index is then built from SQLite.
pub(in super::super) fn discard(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes what killed processes did not finish.
pub(in super::super) fn tidy_up(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            let _ = discard(&entry.path());
        }
    }
}

/// What must be the same for a file to be of use.
fn stamp(space: &VectorSpace, precision: Precision) -> String {
    let (version, precision) = (usearch::version(), precision.word());
    format!("cofferdam index 2, usearch {version}, {precision}, {} dimensions, {}", space.dimensions, space.model)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
