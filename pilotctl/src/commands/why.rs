//! `why`: what keeps a peer on the relay, what was tried, and what would help.

use super::peer::{self, items, words};
use super::status::port;
use crate::cli::{CliError, Context, Kind, Result};
use driver::ipc::Request;
use serde_json::Value;

pub(super) async fn run(context: &Context, name: Option<&str>) -> Result<()> {
    let driver = context.driver().await?;
    let node = match name {
        Some(name) => peer::resolve(context, &driver, name).await?.node.0,
        None => 0,
    };
    let report = driver.request(Request::Why(node)).await.map_err(|error| match (name, error) {
        (Some(name), error) if error.kind() == driver::ErrorKind::NotFound => {
            CliError::new(Kind::NotFound, format!("there is no path to {name} to explain"))
                .hint(format!("`pilotctl ping {name}` tries one"))
        }
        (_, error) => error.into(),
    })?;
    context.output.result(&report, || page(&report));
    Ok(())
}

fn page(report: &Value) -> String {
    let peers = items(report, "peers");
    let mut lines: Vec<String> = peers.iter().flat_map(paragraph).collect();
    if peers.is_empty() {
        lines.push("no peer goes through the relay".to_owned());
    }
    lines.push(format!("this node's NAT: {}", words(report, "nat_type")));
    lines.extend(report.get("port_mapping").map(|mapping| format!("router: {}", port(mapping))));
    lines.join("\n")
}

fn paragraph(item: &Value) -> Vec<String> {
    let name = match words(item, "hostname") {
        name if name.is_empty() => format!("node {}", words(item, "node_id")),
        name => format!("{name} (node {})", words(item, "node_id")),
    };
    let mut lines = vec![match words(item, "path").as_str() {
        "relay" => format!("{name}: via relay: {} [{}]", words(item, "sentence"), words(item, "reason")),
        "direct" => format!("{name}: direct {}", words(item, "endpoint")),
        _ => format!("{name}: no path"),
    }];
    lines.extend(items(item, "tried").iter().map(|tried| {
        format!("  tried {} ({}): {}", words(tried, "address"), words(tried, "kind"), words(tried, "outcome"))
    }));
    lines.extend(items(item, "remedies").iter().filter_map(Value::as_str).map(|text| format!("  would help: {text}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_says_reason_attempts_and_remedy() {
        let report = json!({
            "nat_type": "symmetric",
            "port_mapping": {"state": "refused", "sentence": "the router refuses", "external": null},
            "peers": [{
                "node_id": 7, "hostname": "far", "path": "relay", "reason": "no-answer", "sentence": "no answer",
                "tried": [{"address": "192.0.2.7:4000", "kind": "reflexive", "outcome": "no answer"}],
                "remedies": ["allow UDP"],
            }],
        });
        let expected = "far (node 7): via relay: no answer [no-answer]\n  tried 192.0.2.7:4000 (reflexive): no answer\n  \
            would help: allow UDP\nthis node's NAT: symmetric\nrouter: the router refuses";
        assert_eq!(page(&report), expected);
        assert!(page(&json!({"peers": []})).starts_with("no peer goes through the relay"));
    }
}
