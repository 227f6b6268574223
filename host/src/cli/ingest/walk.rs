//! The files of folders, with the names that their documents get: the way from the folder that was named, itself included.
//! Invariant: nothing outside of these folders is found, and no two files get one name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) files: Vec<Found>,
    /// Hidden files and folders, links, sockets and the like.
    pub(super) left_out: usize,
    /// What could not be read, with the reason.
    pub(super) unreadable: Vec<String>,
}

/// A file to upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Unique among all.
    pub(super) name: String,
}

/// All files under these paths, in the order of their names. A path that was named itself may be a link, and hidden.
pub(super) fn files(paths: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match std::fs::metadata(path) {
            Ok(data) if data.is_dir() => walk.folder(path, &name),
            Ok(data) if data.is_file() => walk.files.push(Found { path: path.clone(), name }),
            Ok(_) => walk.unreadable.push(format!("{}: it is no file and no folder", path.display())),
            Err(error) => walk.unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    let mut names = HashSet::new();
    let Walk { files, unreadable, .. } = &mut walk;
    files.retain(|Found { path, name }| {
        let new = names.insert(name.clone());
        if !new {
            unreadable.push(format!("{}: another file that is uploaded is called `{name}` too", path.display()));
        }
        new
    });
    walk
}

impl Walk {
    /// Folders are kept in a list, not in calls of this function: they may lie in each other thousands deep.
    fn folder(&mut self, path: &Path, name: &str) {
        let mut open = vec![(path.to_owned(), name.to_owned())];
        let first = self.files.len();
        while let Some((path, name)) = open.pop() {
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable.push(format!("{}: {error}", path.display()));
                    continue;
                }
            };
            for entry in entries {
                let Ok(entry) = entry else {
                    self.unreadable.push(format!("{}: it cannot be read to its end", path.display()));
                    break;
                };
                let own = entry.file_name().to_string_lossy().into_owned();
                let name = if name.is_empty() { own.clone() } else { format!("{name}/{own}") };
                // The entry's own kind: a link is not followed, so that nothing outside is uploaded and no circle is walked.
                match entry.file_type() {
                    Ok(kind) if own.starts_with('.') || !(kind.is_dir() || kind.is_file()) => self.left_out += 1,
                    Ok(kind) if kind.is_dir() => open.push((entry.path(), name)),
                    Ok(_) => self.files.push(Found { path: entry.path(), name }),
                    Err(error) => self.unreadable.push(format!("{}: {error}", entry.path().display())),
                }
            }
        }
        self.files[first..].sort_by(|one, other| one.name.cmp(&other.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_without_hidden_files_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("book");
        for path in ["b.md", "a.md", "deep/er/c.md", ".hidden.md", ".git/config"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        std::os::unix::fs::symlink(&root, root.join("circle")).unwrap();
        std::os::unix::fs::symlink(root.join("a.md"), root.join("link.md")).unwrap();
        let walk = files(std::slice::from_ref(&root));
        let names: Vec<&str> = walk.files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!((names, walk.left_out), (vec!["book/a.md", "book/b.md", "book/deep/er/c.md"], 4));
        assert!(walk.unreadable.is_empty());
        // Named, each is taken.
        let walk = files(&[root.join("link.md"), root.join(".hidden.md"), root.join("missing.md"), root.join("deep/../link.md")]);
        let names: Vec<&str> = walk.files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!((names, walk.unreadable.len()), (vec!["link.md", ".hidden.md"], 2), "{:?}", walk.unreadable);
    }
}
