//! The reference CLI's words, translated to ours before parsing, and the one option that matters to parse errors.

use super::CliError;
use std::ffi::OsString;

/// The reference's word and ours. Their arguments are the same, or clap says what is wrong.
const ALIASES: &[(&str, &[&str])] = &[
    ("info", &["status"]),
    ("handshake", &["trust", "request"]),
    ("approve", &["trust", "approve"]),
    ("reject", &["trust", "reject"]),
    ("untrust", &["trust", "remove"]),
    ("pending", &["trust", "pending"]),
    ("send-message", &["msg", "send"]),
    ("send-file", &["file", "send"]),
    ("received", &["file", "list"]),
    ("inbox", &["msg", "inbox"]),
    ("connections", &["conns"]),
    ("set-hostname", &["name", "set"]),
    ("clear-hostname", &["name", "clear"]),
    ("rotate-key", &["identity", "rotate"]),
    ("send", &["connect"]),
    ("recv", &["listen"]),
    ("subscribe", &["topic", "sub"]),
    ("publish", &["topic", "pub"]),
    ("set-tags", &["tags", "set"]),
    ("clear-tags", &["tags", "clear"]),
    ("network", &["net"]),
    ("set-public", &["visibility", "public"]),
    ("set-private", &["visibility", "private"]),
];

/// The reference's words that are not offered, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("task", "tasks left the protocol"),
    ("enable-tasks", "tasks left the protocol"),
    ("disable-tasks", "tasks left the protocol"),
    ("my-polo", "scores left the protocol"),
    ("set-webhook", "any program of this user could send the events elsewhere"),
    ("clear-webhook", "any program of this user could send the events elsewhere"),
    ("broadcast", "no administrator's token is given to daemons here"),
    ("managed", "no networks are managed by daemons here"),
    ("policy", "no networks are managed by daemons here"),
    ("member-tags", "no networks are managed by daemons here"),
    ("prefer-direct", "direct paths are always preferred"),
    ("appstore", "only what was asked for is run or loaded"),
    ("skills", "only what was asked for is run or loaded"),
    ("update", "only what was asked for is run or loaded"),
    ("updates", "only what was asked for is run or loaded"),
    ("init", "options, environment and config.toml say everything: `pilotctl daemon start --help`"),
    ("config", "options, environment and config.toml say everything: `pilotctl daemon start --help`"),
    ("register", "`pilotctl daemon start` registers"),
    ("context", "`pilotctl --help` lists the commands, `pilotctl man DIR` writes all of them down"),
    ("verify", "identities are not verified by a third party here"),
    ("recovery", "keys are not recovered by a third party here"),
    ("sign-request", "requests to third parties are not signed here"),
    ("verify-request", "requests to third parties are not signed here"),
];

/// Options that take a value, so that the value is not taken for the command.
const WITH_VALUE: &[&str] = &["--socket", "--timeout", "--instance", "--config"];
/// Options of `connect` with a value, which `-` may be.
const WITH_DASH: &[&str] = &["--message", "--data", "-m", "--data-file"];

/// Whether the answer is to be JSON, known even when the words cannot be parsed.
pub(super) fn asks_for_json(words: &[OsString]) -> bool {
    let asked = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    asked || std::env::var("PILOT_JSON").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// Colours are not wanted, known before the words are parsed, for their errors have some.
pub(super) fn refuses_color(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--no-color")
}

/// Replaces a word of the reference CLI by ours; `extras WORD` is the same as `WORD`.
pub(super) fn translate(mut words: Vec<OsString>) -> Vec<OsString> {
    let Some(mut at) = command_position(&words) else { return words };
    if words.get(at).is_some_and(|word| word == "extras") {
        words.remove(at);
        let Some(next) = command_position(&words) else { return words };
        at = next;
    }
    let Some(word) = words.get(at).and_then(|word| word.to_str()) else { return words };
    // Bare `trust` lists in the reference.
    if word == "trust" && words.get(at + 1).is_none_or(|next| next.to_string_lossy().starts_with('-')) {
        let asks_help = words.iter().any(|word| word == "--help" || word == "-h");
        if !asks_help {
            words.insert(at + 1, "list".into());
        }
        return words;
    }
    if word == "connect" {
        for at in at + 1..words.len() {
            let is_value = words.get(at - 1).is_some_and(|before| WITH_DASH.iter().any(|option| before == option));
            if let Some(word) = words.get_mut(at).filter(|word| *word == "-" && !is_value) {
                *word = "--data-file=-".into();
            }
        }
        return words;
    }
    if let Some((_, ours)) = ALIASES.iter().find(|(theirs, _)| *theirs == word) {
        words.splice(at..=at, ours.iter().map(OsString::from));
    }
    words
}

/// Why a word of the reference is not offered.
pub(super) fn left_out(words: &[OsString]) -> Option<CliError> {
    let word = words.get(command_position(words)?)?.to_str()?;
    let (word, why) = LEFT_OUT.iter().find(|(theirs, _)| *theirs == word)?;
    Some(CliError::usage(format!("`{word}` is a word of another implementation that is not offered here")).hint(*why))
}

fn command_position(words: &[OsString]) -> Option<usize> {
    let mut skip = false;
    words.iter().enumerate().skip(1).find_map(|(at, word)| {
        let word = word.to_string_lossy();
        if std::mem::take(&mut skip) {
            return None;
        }
        skip = WITH_VALUE.contains(&word.as_ref());
        (!word.starts_with('-')).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        translate(words).iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reference_words_become_ours() {
        assert_eq!(translated("pilotctl --json info"), "pilotctl --json status");
        assert_eq!(translated("pilotctl --socket info untrust 2"), "pilotctl --socket info trust remove 2");
        assert_eq!(translated("pilotctl extras set-hostname x"), "pilotctl name set x");
        assert_eq!(translated("pilotctl trust --json"), "pilotctl trust list --json");
        assert_eq!(translated("pilotctl extras trust"), "pilotctl trust list");
        assert_eq!(translated("pilotctl subscribe b news"), "pilotctl topic sub b news");
        assert_eq!(translated("pilotctl trust add b"), "pilotctl trust add b");
        assert_eq!(translated("pilotctl status"), "pilotctl status");
        assert_eq!(translated("pilotctl --config info status"), "pilotctl --config info status");
    }

    #[test]
    fn a_bare_dash_is_standard_input() {
        assert_eq!(translated("pilotctl connect b -"), "pilotctl connect b --data-file=-");
        assert_eq!(translated("pilotctl connect b 1000 - --json"), "pilotctl connect b 1000 --data-file=- --json");
        for explicit in ["pilotctl connect b --data-file -", "pilotctl connect b -m -", "pilotctl nc b -"] {
            assert_eq!(translated(explicit), explicit);
        }
    }
}
