//! Which code a target can reach, and a hash of it: how long a target was fuzzed says something only about that very code.
//!
//! Reach is found in the sources: from the target's file along every module that is named (`crate::x`, `proto_core::x`, in braces or not). Comments, tests
//! and what no path names do not count. A name that is not a module and not re-exported from one stands for the whole crate.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The crates of the repository that targets use, and where their sources are.
const CRATES: [(&str, &str); 5] = [
    ("fuzz_targets", "fuzz/targets/src"),
    ("proto_core", "proto-core/src"),
    ("rendezvous_core", "rendezvous-core/src"),
    ("driver", "driver/src"),
    ("sim", "sim/src"),
];
/// Versions of everything else.
const LOCK: &str = "fuzz/Cargo.lock";

/// A module right below the root of a crate, with all below it.
type Module = (&'static str, String);

/// The modules that the code of `start` reaches, itself included.
fn reached(root: &Path, start: Module) -> io::Result<BTreeMap<Module, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        if found.contains_key(&module) {
            continue;
        }
        let code = code_of(root, &module)?;
        for (name, _) in CRATES {
            let mut words = names_after(&code, &format!("{name}::"));
            if name == module.0 {
                words.extend(names_after(&code, "crate::"));
            }
            for word in words {
                open.extend(modules_of(root, name, &word)?);
            }
        }
        found.insert(module, code);
    }
    Ok(found)
}

/// The module that `word` names below the root of a crate, or re-exports there; all of them when it is neither.
fn modules_of(root: &Path, name: &'static str, word: &str) -> io::Result<Vec<Module>> {
    let folder = root.join(folder_of(name));
    if is_module(&folder, word) {
        return Ok(vec![(name, word.to_owned())]);
    }
    let lib = std::fs::read_to_string(folder.join("lib.rs"))?;
    let from = lib.lines().filter_map(|line| line.strip_prefix("pub use ")).find_map(|line| {
        let names = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|name| name == word);
        line.split_once("::")
            .filter(|(module, rest)| names(rest) && is_module(&folder, module))
            .map(|(module, _)| module)
    });
    if let Some(module) = from {
        return Ok(vec![(name, module.to_owned())]);
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !["lib", "main", "bin"].contains(&stem) {
            all.push((name, stem.to_owned()));
        }
    }
    Ok(all)
}

fn folder_of(name: &str) -> &'static str {
    CRATES.iter().find(|(known, _)| *known == name).map_or("", |(_, folder)| folder)
}

fn is_module(folder: &Path, word: &str) -> bool {
    !word.is_empty() && (folder.join(word).is_dir() || folder.join(format!("{word}.rs")).is_file())
}

/// The first names behind each `prefix`: one, or those of a list in braces.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if code[..at].ends_with(is_name) {
            continue;
        }
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(rest.chars().take_while(|c| is_name(*c)).collect());
            continue;
        };
        let (mut depth, mut fresh) = (0_usize, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if fresh && is_name(c) => {
                    names.insert(list[at..].chars().take_while(|c| is_name(*c)).collect());
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// All code of a module: no comments, no tests.
fn code_of(root: &Path, (name, module): &Module) -> io::Result<String> {
    let folder = root.join(folder_of(name));
    let mut files = Vec::new();
    let file = folder.join(format!("{module}.rs"));
    if file.is_file() {
        files.push(file);
    }
    if folder.join(module).is_dir() {
        sources(&folder.join(module), &mut files)?;
    }
    files.sort();
    let mut code = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        // As many `super::` as the file is deep lead to the root as well.
        let depth = file.strip_prefix(&folder).map_or(0, |path| path.components().count());
        let depth = if file.ends_with("mod.rs") { depth - 1 } else { depth };
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let text = text.replace(&"super::".repeat(depth), "crate::");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
            code.push_str(line);
            code.push('\n');
        }
    }
    Ok(code)
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The modules that the target in `module` reaches, as `crate::module`, and a hash over their code and the versions of everything else.
///
/// # Errors
/// The file system's.
pub fn reach(root: &Path, module: &str) -> io::Result<(Vec<String>, String)> {
    let found = reached(root, ("fuzz_targets", module.to_owned()))?;
    let mut hash = Sha256::new();
    for ((name, module), code) in &found {
        hash.update(format!("{name}::{module} {}\n{code}", code.len()));
    }
    hash.update(std::fs::read(root.join(LOCK))?);
    let names = found.keys().map(|(name, module)| format!("{name}::{module}")).collect();
    Ok((names, HEXLOWER.encode(&hash.finalize()[..8])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(module: &str) -> Vec<String> {
        reach(&crate::corpus::repository(), module).unwrap().0
    }

    #[test]
    fn names_are_found_in_paths_and_lists() {
        let code = "use crate::{a::{b, c}, d};\ncrate::e::f(); other_crate::g;\nuse crate::{\n    h,\n};";
        assert_eq!(names_after(code, "crate::"), ["a", "d", "e", "h"].map(str::to_owned).into());
    }

    #[test]
    fn a_decoder_reaches_the_leaves_below_it_and_an_endpoint_everything() {
        let wire = modules("wire");
        assert!(wire.contains(&"proto_core::wire".to_owned()), "{wire:?}");
        assert!(!wire.iter().any(|module| module.contains("endpoint") || module.contains("tunnel")), "{wire:?}");
        let endpoint = modules("endpoint");
        for module in ["endpoint", "path", "stream", "tunnel", "trust", "nat", "limits", "crypto", "wire"] {
            assert!(endpoint.contains(&format!("proto_core::{module}")), "{module}: {endpoint:?}");
        }
        assert!(modules("scenario").contains(&"rendezvous_core::registry".to_owned()));
    }
}
