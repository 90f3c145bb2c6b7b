//! Specification and sources as files of the repository.

use super::annotation::{Annotation, annotations};
use super::specification::Specification;
use std::io;
use std::path::Path;

/// The specification in `root/spec`.
///
/// # Errors
/// A file that cannot be read.
pub fn specification_of(root: &Path) -> io::Result<Specification> {
    let mut files = Vec::new();
    collect(&root.join("spec"), "md", &mut files)?;
    let named = files.iter().map(|(path, text)| (path.rsplit('/').next().unwrap_or(path), text.as_str()));
    Ok(Specification::parse(named))
}

/// The annotations in all sources below `root`.
///
/// # Errors
/// A file that cannot be read.
pub fn annotations_below(root: &Path) -> io::Result<Vec<Annotation>> {
    let mut files = Vec::new();
    collect(root, "rs", &mut files)?;
    let prefix = format!("{}/", root.display());
    let relative = |path: &str| path.strip_prefix(&prefix).unwrap_or(path).to_owned();
    Ok(files.iter().flat_map(|(path, text)| annotations(&relative(path), text)).collect())
}

/// Files with this ending, by name; hidden folders and build results are none.
fn collect(folder: &Path, ending: &str, found: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for path in entries.iter().map(std::fs::DirEntry::path) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, ending, found)?;
        } else if path.is_file() && path.extension().is_some_and(|own| own == ending) {
            found.push((path.display().to_string(), std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
