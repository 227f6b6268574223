//! `listen`, `[admin]` and `[tls]`: where the server is reached, and with which certificate.
//! Invariant: an address stands once, for the second socket could not be opened.

use std::path::{Path, PathBuf};

use super::json::quote;
use super::print::Printer;
use super::section::{Entry, Section};
use crate::http::{ADDRESSES_MAX, ListenAddress, TlsFiles};

/// `listen`, which needs one at least.
pub(super) fn read(section: &mut Section<'_>, listen: &mut Vec<ListenAddress>) {
    let Some(entry) = section.take("listen") else { return };
    if let Some(read) = addresses(&entry, 1) {
        *listen = read;
    }
}

/// `[admin]`
pub(super) fn read_admin(section: &mut Section<'_>, admin_listen: &mut Vec<ListenAddress>, listen: &[ListenAddress]) {
    let Some(entry) = section.take("listen") else { return };
    *admin_listen = addresses(&entry, 0).unwrap_or_default();
    if let Some(twice) = admin_listen.iter().find(|address| listen.contains(address) && !address.may_stand_twice()) {
        entry.problem(format!("{twice} stands under `listen` too; the operator's routes need an address of their own"));
    }
}

/// `listen` of a surface that may have addresses of its own; `taken` are the others', and `why` ends the problem of one that is.
pub(super) fn read_own(section: &mut Section<'_>, own: &mut Vec<ListenAddress>, taken: &[ListenAddress], why: &str) {
    let Some(entry) = section.take("listen") else { return };
    *own = addresses(&entry, 0).unwrap_or_default();
    if let Some(twice) = own.iter().find(|address| taken.contains(address) && !address.may_stand_twice()) {
        entry.problem(format!("{twice} stands under `listen` or `admin.listen` too; {why}"));
    }
}

/// `[tls]`
pub(super) fn read_tls(section: &mut Section<'_>) -> Option<TlsFiles> {
    let cert = section.need("cert", "the file with the server's certificate, in PEM").and_then(path);
    let key = section.need("key", "the file with the certificate's key, in PEM").and_then(path);
    Some(TlsFiles { cert: cert?, key: key? })
}

pub(super) fn print(printer: &mut Printer, listen: &[ListenAddress]) {
    let quoted: Vec<_> = listen.iter().map(|address| quote(&address.to_string())).collect();
    match &quoted[..] {
        [one] => printer.entry("listen", one),
        all => printer.entry("listen", &format!("[{}]", all.join(", "))),
    }
}

pub(super) fn print_tls(printer: &mut Printer, files: &TlsFiles) {
    for (key, path) in [("cert", &files.cert), ("key", &files.key)] {
        printer.entry(key, &quote(&path.to_string_lossy()));
    }
}

/// Both paths as they count from the file's directory.
pub(super) fn within(dir: &Path, files: TlsFiles) -> TlsFiles {
    TlsFiles { cert: dir.join(files.cert), key: dir.join(files.key) }
}

fn path(entry: Entry<'_>) -> Option<PathBuf> {
    let path = entry.text().filter(|text| !text.is_empty() && !text.contains('\0')).map(PathBuf::from);
    if path.is_none() {
        entry.wrong("a path");
    }
    path
}

/// One address, or a list of them.
fn addresses(entry: &Entry<'_>, least: usize) -> Option<Vec<ListenAddress>> {
    let Some(entries) = entry.items() else { return Some(vec![address(entry)?]) };
    if entries.len() < least || entries.len() > ADDRESSES_MAX {
        entry.problem(format!("expected {least} to {ADDRESSES_MAX} addresses, found {}", entries.len()));
        return None;
    }
    let mut read = Vec::new();
    for entry in entries {
        let Some(address) = address(&entry) else { continue };
        if read.contains(&address) && !address.may_stand_twice() {
            entry.problem(format!("{address} stands twice"));
        }
        read.push(address);
    }
    Some(read).filter(|read| read.len() >= least)
}

fn address(entry: &Entry<'_>) -> Option<ListenAddress> {
    let address = entry.text().and_then(|text| text.parse().ok());
    if address.is_none() {
        entry.wrong("an address such as \"127.0.0.1:8080\", \"localhost:8080\", \"unix:/run/cofferdam.sock\" or \"fd:3\"");
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn problems(text: &str) -> String {
        Config::parse(text, Path::new("/")).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    fn listing(count: usize) -> String {
        let addresses: Vec<_> = (0..count).map(|n| format!("\"127.0.0.1:{}\"", 8000 + n)).collect();
        format!("listen = [{}]\n", addresses.join(", "))
    }

    #[test]
    fn one_address_or_a_list_reads_back_as_it_is_printed() {
        let text = "listen = [\"127.0.0.1:80\", \"localhost:81\", \"unix:/run/c.sock\", \"fd:3\"]\n[admin]\nlisten = \"[::1]:9000\"\n[tls]\ncert = \"c.pem\"\nkey = \"/k.pem\"\n";
        let config = Config::parse(text, Path::new("/etc")).expect("a configuration");
        assert_eq!((config.listen.len(), config.admin_listen.len()), (4, 1));
        assert_eq!(config.tls, Some(TlsFiles { cert: "/etc/c.pem".into(), key: "/k.pem".into() }));
        let printed = config.effective();
        let again = Config::parse(&printed, Path::new("/")).expect("a configuration");
        assert_eq!((again.listen, again.admin_listen, again.tls), (config.listen, config.admin_listen, config.tls), "{printed}");
        let printed = Config::default().effective();
        assert!(printed.contains("listen = \"127.0.0.1:8080\"\n") && printed.contains("[admin]\nlisten = []\n"), "{printed}");
    }

    #[test]
    fn the_number_of_addresses_is_limited_at_its_edge_and_none_is_no_address() {
        assert_eq!(problems(&listing(ADDRESSES_MAX)), "");
        assert!(problems(&listing(ADDRESSES_MAX + 1)).contains("listen: expected 1 to 16 addresses, found 17"));
        assert!(problems("listen = []").contains("listen: expected 1 to 16 addresses, found 0"));
        assert_eq!(problems("[admin]\nlisten = []"), "");
    }

    #[test]
    fn an_address_stands_once_but_for_free_ports() {
        assert!(problems("listen = [\"localhost:80\", \"localhost:80\"]").contains("listen[1]: localhost:80 stands twice"));
        assert!(problems("listen = [\"fd:3\", \"fd:3\"]").contains("stands twice"));
        assert_eq!(problems("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]"), "");
        let both = "listen = \"127.0.0.1:80\"\n[admin]\nlisten = \"127.0.0.1:80\"";
        assert!(problems(both).contains("admin.listen: 127.0.0.1:80 stands under `listen` too"), "{}", problems(both));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(problems("[tls]\ncert = \"a\"").contains("tls.key: is missing"));
        assert!(problems("[tls]\ncert = \"a\"\nkey = \"\"").contains("tls.key: expected a path"));
    }
}
