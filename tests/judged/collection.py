"""How well a public judged collection is searched, through uploads and `knowledge/test`. The collections are not in this repository.

    python3 tests/judged/collection.py target/release/cofferdam FOLDER

FOLDER has `documents.jsonl` and `questions.jsonl`, each line `{"id": …, "text": …}`, and `qrels.txt` in the form of TREC (question, 0, document, grade). Of
Cranfield in its own form (`cran.all.1400`, `cran.qry`, and judgements with 4 as the best grade), the first two are made if they are missing: the text of an
abstract without its title, and questions by their place. Grades are gains; a document counts once, where its first chunk is.
"""

import collections, concurrent.futures, json, math, pathlib, re, sys

from fit import BATCH
from served import Server

TOP = 10


def cranfield(folder):
    def parts(name):
        for at, part in enumerate(re.split(r"^\.I ", (folder / name).read_text(), flags=re.M)[1:], 1):
            head, rest = part.split("\n", 1)
            fields = dict(re.findall(r"^\.([TW])\n(.*?)(?=^\.[TABW]\n|\Z)", rest, flags=re.M | re.S))
            yield at, head.strip(), fields

    def write(name, lines):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    documents = (({"id": head, "text": fields.get("W", "").strip() or fields.get("T", "").strip() or "none"}) for _, head, fields in parts("cran.all.1400"))
    write("documents.jsonl", documents)
    write("questions.jsonl", ({"id": str(at), "text": fields["W"].replace("\n", " ").strip()} for at, _, fields in parts("cran.qry")))


def read(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def grades(folder):
    found = collections.defaultdict(dict)
    for line in (folder / "qrels.txt").read_text().splitlines():
        question, _, document, grade = line.split()[:4]
        if int(grade) > 0:
            found[question][document] = int(grade)
    return found


def ndcg(ranking, grades):
    gained = sum(grades.get(document, 0) / math.log2(at + 2) for at, document in enumerate(ranking[:TOP]))
    ideal = sorted(grades.values(), reverse=True)[:TOP]
    return gained / sum(grade / math.log2(at + 2) for at, grade in enumerate(ideal))


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if not (folder / "documents.jsonl").exists():
        cranfield(folder)
    documents, wanted = read(folder, "documents.jsonl"), grades(folder)
    questions = [question for question in read(folder, "questions.jsonl") if wanted[question["id"]]]
    server = Server(program, "10m")
    batches = [documents[at : at + BATCH] for at in range(0, len(documents), BATCH)]
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        upload = lambda batch: server.upload([(document["id"] + ".txt", document["text"].encode()) for document in batch])
        list(threads.map(upload, batches))
    print(f"{len(documents)} documents, {len(questions)} questions")
    for mode in ("vector", "keyword", "hybrid"):

        def score(question):
            hits = server.ask(question["text"], mode, 50)
            ranking = list(dict.fromkeys(hit["source"].removesuffix(".txt") for hit in hits))
            return ndcg(ranking, wanted[question["id"]])

        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            scores = list(threads.map(score, questions))
        mean = lambda of: sum(of) / len(of)
        print(f"{mode:8} nDCG@10 {mean(scores):.3f}, odd questions {mean(scores[::2]):.3f}, even {mean(scores[1::2]):.3f}", flush=True)
    server.process.terminate()


if __name__ == "__main__":
    main()
