"""The same vectors in this program, in chromadb and in sqlite-vec, one after the other on the same machine: ingest, searches, recall.

    cargo bench -p cofferdam --bench knowledge --no-run        # prints where the program is
    python3 host/benches/knowledge/compare.py target/release/deps/knowledge-HASH [VECTORS [FOLDER]]

FOLDER, one of its own in target/ by default, gets a virtual environment with the pinned packages below and is kept for the next run. This program
stores a text of 40 words with each vector, indexes the words too, and its commits are on the disk; the others get vectors and ids alone.
"""

import os, pathlib, statistics, struct, subprocess, sys, tempfile, time

PIP = ["chromadb==1.5.9", "sqlite-vec==0.1.9", "apsw==3.54.1.0", "numpy==2.3.5"]
QUESTIONS, HITS, ROUNDS = 500, 10, 4


def environment(folder):
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", *PIP], check=True)
    return python


def exported(path):
    import numpy

    with open(path, "rb") as file:
        count, dimensions, questions, hits = struct.unpack("<4I", file.read(16))
        vectors = numpy.fromfile(file, "<f4", count * dimensions).reshape(count, dimensions)
        asked = numpy.fromfile(file, "<f4", questions * dimensions).reshape(questions, dimensions)
        nearest = numpy.fromfile(file, "<u4", questions * hits).reshape(questions, hits)
    return vectors, asked, nearest


def measure(name, ingest, search, path):
    vectors, asked, nearest = exported(path)
    begun = time.perf_counter()
    ingest(vectors)
    put = time.perf_counter() - begun
    right, times = 0, []
    for _ in range(ROUNDS):
        for question, exact in zip(asked, nearest):
            begun = time.perf_counter()
            found = search(question)
            times.append((time.perf_counter() - begun) * 1e3)
            right += len(set(found) & set(exact.tolist()))
    times.sort()
    recall = right / (ROUNDS * nearest.size)
    print(
        f"{name}: ingest {len(vectors) / put:.0f} chunks/s ({put:.1f} s), {HITS} hits p50 {statistics.median(times):.2f} ms"
        f" p99 {times[int(len(times) * .99)]:.2f} ms, recall {recall:.4f}",
        flush=True,
    )


def chroma(path, folder):
    import chromadb

    client = chromadb.PersistentClient(folder)
    collection = client.create_collection("bench", metadata={"hnsw:space": "cosine"})

    def ingest(vectors):
        for at in range(0, len(vectors), 1000):
            part = vectors[at : at + 1000]
            collection.add(ids=[str(at + n) for n in range(len(part))], embeddings=part)

    search = lambda question: [int(id) for id in collection.query(query_embeddings=[question], n_results=HITS, include=["distances"])["ids"][0]]
    measure(f"chromadb {chromadb.__version__}", ingest, search, path)


def vec(path, folder):
    # Python's own sqlite3 may have been built without extensions.
    import apsw, sqlite_vec

    database = apsw.Connection(os.path.join(folder, "vec.db"))
    database.enable_load_extension(True)
    sqlite_vec.load(database)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE VIRTUAL TABLE chunks USING vec0(vector float[384] distance_metric=cosine)")

    def ingest(vectors):
        for at in range(0, len(vectors), 1000):
            with database:
                rows = ((at + n + 1, vector.tobytes()) for n, vector in enumerate(vectors[at : at + 1000]))
                database.executemany("INSERT INTO chunks (rowid, vector) VALUES (?, ?)", rows)

    sql = f"SELECT rowid FROM chunks WHERE vector MATCH ? AND k = {HITS}"
    search = lambda question: [row[0] - 1 for row in database.execute(sql, [question.tobytes()])]
    measure(f"sqlite-vec {sqlite_vec.__version__}", ingest, search, path)


def main():
    if len(sys.argv) == 4 and sys.argv[1] in ("chroma", "vec"):
        return {"chroma": chroma, "vec": vec}[sys.argv[1]](sys.argv[2], sys.argv[3])
    bench, vectors = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "100000"
    folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else pathlib.Path(__file__).parents[3] / "target/compare")
    python = environment(folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        export = os.path.join(scratch, "vectors")
        setting = {"KNOWLEDGE_VECTORS": vectors, "KNOWLEDGE_EXPORT": export, "KNOWLEDGE_PARTS": "fill,search", "KNOWLEDGE_FOLDER": os.path.join(scratch, "own")}
        subprocess.run([bench], env={**os.environ, **setting}, check=True)
        for other in ("chroma", "vec"):
            os.mkdir(os.path.join(scratch, other))
            subprocess.run([python, __file__, other, export, os.path.join(scratch, other)], check=True)


main()
