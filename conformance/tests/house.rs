//! Rules of the house that no compiler checks: sizes of files, order of modules, and machines that do not know each other.

#![allow(clippy::expect_used, clippy::panic, reason = "a source that cannot be read is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Layers of `proto-core`, lowest first. A module may use modules of lower layers only.
const LAYERS: [&[&str]; 5] = [
    &["time", "ids", "seq", "rng", "limits", "rate"],
    &["wire"],
    &["crypto"],
    &["congestion", "mtu", "nat", "path", "registry", "stream", "trust", "tunnel"],
    &["endpoint"],
];

/// Uses across one layer that are meant: the owner, what it owns, and nothing else.
const OWNED: [(&str, &str); 1] = [("stream", "congestion")];

/// Leaves may use each other; machines may not.
const MACHINES: usize = 3;

const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn all_sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(dir, &mut found);
    assert!(!found.is_empty(), "no source below {}: this check would prove nothing", dir.display());
    found
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = all_sources(&root())
        .iter()
        .map(|path| (path, fs::read_to_string(path).expect("readable source").lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "files over {MAX_LINES} lines:\n{}", long.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The wrong uses of `text`, the source of `module`, which lies `depth` modules below the root of the crate.
fn wrong_uses(module: &str, depth: usize, text: &str) -> Vec<String> {
    let own = layer(module).unwrap_or_else(|| panic!("module {module} has no layer: add it to LAYERS"));
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n");
    // As many `super::` as the module is deep lead to the root as well.
    let code = code.replace(&"super::".repeat(depth), "crate::");
    let mut wrong = Vec::new();
    for used in code.split("crate::").skip(1) {
        for name in used_names(used) {
            let Some(theirs) = layer(name) else { continue };
            let sibling = theirs == own && own == MACHINES && name != module && !OWNED.contains(&(module, name));
            if theirs > own || sibling {
                wrong.push(format!("{module} uses {name}: crate::{}", used.lines().next().unwrap_or_default().trim()));
            }
        }
    }
    wrong
}

/// The first names of what follows `crate::`: one, or those of a list in braces, over however many lines.
fn used_names(used: &str) -> Vec<&str> {
    let Some(list) = used.strip_prefix('{') else {
        return vec![used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")];
    };
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items.iter().map(|item| item.trim().split("::").next().unwrap_or("")).collect()
}

/// How many modules a source lies below the root of its crate.
fn depth(relative: &Path) -> usize {
    relative.components().count() - usize::from(relative.ends_with("mod.rs"))
}

#[test]
fn modules_of_the_core_use_only_lower_layers_and_no_sibling() {
    let src = root().join("proto-core/src");
    let mut wrong = Vec::new();
    for path in all_sources(&src) {
        let relative = path.strip_prefix(&src).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        if module != "lib" && !relative.ends_with("tests.rs") {
            wrong.extend(wrong_uses(module, depth(relative), &fs::read_to_string(&path).expect("readable source")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_module_check_can_fail() {
    assert_eq!(wrong_uses("tunnel", 1, "use crate::path::Route;").len(), 1);
    assert_eq!(wrong_uses("wire", 1, "use crate::{ids::NodeId, crypto::Identity};").len(), 1);
    assert_eq!(
        wrong_uses("wire", 1, "use crate::{\n    ids::{NodeId, StreamId},\n    // why\n    crypto::Identity,\n};")
            .len(),
        1
    );
    assert_eq!(wrong_uses("nat", 1, "    let x = crate::endpoint::Endpoint::new();").len(), 1);
    assert_eq!(wrong_uses("nat", depth(Path::new("nat/portmap/mod.rs")), "use super::super::path::Route;").len(), 1);
    assert_eq!(wrong_uses("nat", depth(Path::new("nat/punch.rs")), "use super::super::{path, ids};").len(), 1);
    assert_eq!(wrong_uses("nat", depth(Path::new("nat/mod.rs")), "use super::path::Route;").len(), 1);
    assert!(wrong_uses("nat", depth(Path::new("nat/punch.rs")), "use super::path::Route;").is_empty(), "its own");
    assert!(wrong_uses("stream", 1, "use crate::congestion::Controller;").is_empty());
    assert!(wrong_uses("endpoint", 1, "use crate::{path::Route, tunnel::Tunnel};").is_empty());
    assert!(wrong_uses("nat", 1, "use crate::{ids::{path, endpoint}, rng};").is_empty(), "names below a module");
}

#[test]
fn pure_sources_name_no_clock_socket_or_thread() {
    let forbidden =
        ["Instant::now", "SystemTime", "UdpSocket", "TcpStream", "std::thread", "OsRng", "getrandom", "HashMap"];
    let mut wrong = Vec::new();
    for krate in ["proto-core/src", "rendezvous-core/src"] {
        for path in all_sources(&root().join(krate)) {
            let text = fs::read_to_string(&path).expect("readable source");
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                    wrong.push(format!("{}: {word}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
