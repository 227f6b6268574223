"""Where the numbers of scores come from (host/src/rag/calibration.rs): a logistic over what is known of a hit, fitted on every other question of the
judged set and reported on the rest.

    python3 tests/judged/fit.py target/release/cofferdam

The questions are asked through the program. An example is what decides about a question: the right hit among the first five, or, if it has no answer, any
hit. At .75 the scores are to keep most right hits of the half that they are fitted on, so the constant is moved until they do.
"""

import json, math, pathlib, sys

from served import Server

HERE = pathlib.Path(__file__).parent
TOP = 5
# Files of one upload.
BATCH = 20
# Of the right hits of the half that is fitted.
KEPT = 0.9
THRESHOLD = 0.75
# What each mode knows of a hit.
KNOWN = {"vector": ["likeness"], "keyword": ["coverage"], "hybrid": ["likeness", "coverage"]}
FORM = {"likeness": lambda value: value, "coverage": math.sqrt}


def documents():
    for part in (HERE / "documents.txt").read_text().split("== ")[1:]:
        head, text = part.split("\n", 1)
        yield head.split()[0], text


def questions():
    for line in (HERE / "questions.txt").read_text().splitlines():
        kind, text, answers = (part.strip() for part in line.split("|"))
        yield kind, text, answers.split()


def fitted(examples, weights):
    """Newton's method, with a little ridge; each example is (features with 1 first, right)."""
    size = len(examples[0][0])
    found = [0.0] * size
    for _ in range(50):
        gradient = [-1e-3 * value for value in found]
        hessian = [[1e-3 * (i == j) for j in range(size)] for i in range(size)]
        for (x, right), weight in zip(examples, weights):
            p = 1 / (1 + math.exp(-max(-30, min(30, sum(a * b for a, b in zip(found, x))))))
            for i in range(size):
                gradient[i] += weight * (right - p) * x[i]
                for j in range(size):
                    hessian[i][j] += weight * p * (1 - p) * x[i] * x[j]
        step = solved(hessian, gradient)
        found = [a + b for a, b in zip(found, step)]
    return found


def solved(matrix, vector):
    rows = [row[:] + [value] for row, value in zip(matrix, vector)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(len(rows)):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def evidence(hits, names):
    return [[1.0] + [FORM[name](hit[name] or 0.0) for name in names] for hit in hits]


def main():
    server = Server(sys.argv[1])
    all_documents = list(documents())
    for at in range(0, len(all_documents), BATCH):
        server.upload([(f"{name}.md", text.encode()) for name, text in all_documents[at : at + BATCH]])
    asked = list(questions())
    for mode, names in KNOWN.items():
        found = [server.ask(text, mode) for _, text, _ in asked]
        right, wrong = [[], []], [[], []]
        for at, ((_, _, answers), hits) in enumerate(zip(asked, found)):
            known = evidence(hits, names)
            is_right = [hit["source"].removesuffix(".md") in answers for hit in hits]
            if not answers:
                wrong[at % 2].append(known)
            elif any(is_right[:TOP]):
                right[at % 2].append([x for x, yes in zip(known[:TOP], is_right) if yes])
        examples = [(max(xs, key=sum), 1) for xs in right[0]] + [(max(xs, key=sum), 0) for xs in wrong[0] if xs]
        count = [sum(label == value for _, label in examples) for value in (0, 1)]
        weights = [len(examples) / 2 / count[label] for _, label in examples]
        numbers = fitted(examples, weights)
        logit = lambda x: sum(a * b for a, b in zip(numbers, x))
        best = lambda questions: sorted(max(map(logit, xs), default=-math.inf) for xs in questions)
        at = best(right[0])[int((1 - KEPT) * len(right[0]))]
        numbers[0] += math.log(THRESHOLD / (1 - THRESHOLD)) - at
        print(f"{mode}: {numbers[0]:.2f} + " + " + ".join(f"{value:.2f} {name}" for name, value in zip(names, numbers[1:])))
        for half, title in [(0, "fitted"), (1, "the rest")]:
            for threshold in (0.5, 0.6, 0.7, 0.75, 0.8, 0.9):
                least = math.log(threshold / (1 - threshold))
                kept = sum(value >= least for value in best(right[half]))
                passed = sum(value >= least for value in best(wrong[half]))
                print(f"  {title:8} {threshold}: keeps {kept} of {len(right[half])} right hits, {passed} of {len(wrong[half])} questions without an answer find something")
    server.process.terminate()


if __name__ == "__main__":
    main()
