"""How well files are read: real ones from packages whose versions are pinned, and books that come both as PDF and as text; and whether what is
found in them is on the page that is told, by what another library reads on that page.

    python3 tests/documents/measure.py target/release/cofferdam [FOLDER]

FOLDER gets what is downloaded (by `pip download` and `apt-get download`, so on Debian) and is kept for the next run; a folder of its own in
target/ by default. Nothing is installed.
"""

import collections, gzip, json, pathlib, re, resource, subprocess, sys, tempfile, time, urllib.error

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "judged"))
from served import Server

PIP = ["pypdf==7.1.0", "python-docx==1.2.0", "ocrmypdf==17.13.0"]
# What their archives name as their builders; pip wants to ask these for the version. And who reads pages for comparison.
BUILDERS = ["flit_core", "setuptools==80.9.0", "hatchling", "hatch-vcs"]
READER = "pypdf==7.1.0"
# Pages of a file that are looked at, words of a phrase, and words of a page without which none is looked for.
PAGES, PHRASE, PAGE_WORDS = 4, 6, 20
DEBIAN = ["debian-policy", "developers-reference", "maint-guide"]
# Those that come as PDF and as text.
BOOKS = [
    ("usr/share/doc/debian-policy/policy.pdf.gz", "usr/share/doc/debian-policy/policy.txt.gz"),
    ("usr/share/developers-reference/developers-reference.pdf", "usr/share/developers-reference/developers-reference.txt.gz"),
    ("usr/share/doc/maint-guide/maint-guide.en.pdf", "usr/share/doc/maint-guide/maint-guide.en.txt.gz"),
]
# Memory, seconds, bytes of text, pages and expansion: the server's defaults.
LIMITS = [str(512 << 20), "60", str(8 << 20), "10000", "100"]


def download(folder):
    if list(folder.glob("*/")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    run = lambda *words: subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run(sys.executable, "-m", "venv", "venv")
    run("venv/bin/pip", "install", "--quiet", *BUILDERS, READER)
    for package in PIP:
        run("venv/bin/pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", package)
    run("apt-get", "download", *DEBIAN)
    for archive in folder.glob("*.tar.gz"):
        run("tar", "xzf", archive.name)
    for archive in folder.glob("*.deb"):
        run("dpkg", "-x", archive.name, "books")


def read(path):
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def extract(program, data):
    """What the program's child makes of a file: its text or why there is none, the seconds and the largest memory so far."""
    kind = "pdf" if b"%PDF-" in data[:1024] else "office"
    began = time.monotonic()
    ended = subprocess.run([program, "extract-document", kind, *LIMITS], input=data, capture_output=True, env={})
    seconds = time.monotonic() - began
    if ended.returncode:
        return None, f"ended with {ended.returncode}: {ended.stderr.decode(errors='replace')[:200]}", seconds
    head, _, text = ended.stdout.partition(b"\n")
    head = json.loads(head)
    return (text.decode(), None, seconds) if "Text" in head else (None, head["Refused"], seconds)


def words(text):
    return re.findall(r"\w+", text.casefold())


def recall(found, wanted, count):
    grams = lambda words: collections.Counter(zip(*(words[n:] for n in range(count))))
    found, wanted = grams(found), grams(wanted)
    return (found & wanted).total() / wanted.total()


# Run by the python of the folder: the text of each page of the files that it is given, one file a line.
READ_PAGES = """
import json, sys, pypdf, logging
logging.disable(logging.CRITICAL)
for path in sys.stdin.read().split(chr(10)):
    try: print(json.dumps([page.extract_text() for page in pypdf.PdfReader(path).pages]), flush=True)
    except Exception as error: print(json.dumps(str(error)), flush=True)
"""


def pages_of(folder, files):
    asked = "\n".join(map(str, files))
    read = subprocess.run([folder / "venv/bin/python", "-c", READ_PAGES], input=asked, capture_output=True, text=True)
    return [json.loads(line) for line in read.stdout.splitlines()]


def phrases(pages):
    """Of some pages a phrase that no other page has, from the page's last third: a chunk is on the page that it begins on."""
    found = []
    texts = [words(page) for page in pages]
    for number, text in enumerate(texts, 1):
        for at in range(len(text) * 2 // 3, len(text) - PHRASE) if len(text) >= PAGE_WORDS else ():
            phrase = " ".join(text[at : at + PHRASE])
            # Words that the other library ran together are none.
            plain = all(word.isascii() and len(word) < 15 for word in phrase.split())
            if plain and sum(phrase in " ".join(other) for other in texts) == 1:
                found.append((number, phrase))
                break
    step = max(1, len(found) // PAGES)
    return found[::step][:PAGES]


def page_numbers(program, folder, files):
    server = Server(program, "30m")
    right, wrong = 0, []
    for at, (path, pages) in enumerate(zip(files, pages_of(folder, files))):
        asked = phrases(pages) if isinstance(pages, list) and len(pages) > 1 else []
        if not asked:
            continue
        try:
            server.upload([("a.pdf", read(path))], f"n{at}")
        except urllib.error.HTTPError as error:
            print(f"  {path.name}: {error.read().decode()[:200]}")
            continue
        told = []
        for number, phrase in asked:
            data = server.ask(phrase, "keyword", 1, f"n{at}")
            told.append(data[0]["page"] if data else None)
        if told == [number for number, _ in asked]:
            right += 1
        else:
            wrong.append(path.name)
            print(f"  {path.name} ({len(pages)} pages): {asked} found on {told}")
    print(f"page numbers: right in {right} of {right + len(wrong)} files with text on several pages")
    server.process.terminate()


def main():
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "target/documents")
    download(folder)
    for title, pattern in [("pypdf", "pypdf-*/**/*.pdf"), ("ocrmypdf", "ocrmypdf-*/**/*.pdf"), ("python-docx", "python_docx-*/**/*.docx")]:
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        outcomes, slowest = collections.Counter(), (0, "")
        for path in files:
            text, refused, seconds = extract(program, read(path))
            slowest = max(slowest, (seconds, path.name))
            if text is None:
                outcome = refused if isinstance(refused, str) else next(iter(refused))
                print(f"  {path.name}: {refused}")
            else:
                outcome = "text" if text.strip() else "no text and no reason"
            outcomes[outcome] += 1
        print(f"{title}: {len(files)} files: {dict(outcomes)}; slowest {slowest[1]} {slowest[0]:.1f} s")
    for pdf, reference in BOOKS:
        text, refused, seconds = extract(program, read(folder / "books" / pdf))
        found, wanted = words(text or ""), words(read(folder / "books" / reference).decode())
        print(f"{pathlib.Path(pdf).name}: words {recall(found, wanted, 1):.3f}, five in a row {recall(found, wanted, 5):.3f}, {seconds:.1f} s {refused or ''}")
    files = sorted(path for path in folder.glob("*-*/**/*.pdf") if path.is_file() and "venv" not in path.parts)
    unpacked = []
    for pdf, _ in BOOKS:
        unpacked.append(folder / (pathlib.Path(pdf).name.removesuffix(".gz") + ".unpacked.pdf"))
        unpacked[-1].write_bytes(read(folder / "books" / pdf))
    page_numbers(program, folder, files + unpacked)
    print(f"largest memory of a child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
