//! A population as a data file: classes of hosts with their shares, and what stands before them.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The mixes that come with the program: name and file.
const MIXES: [(&str, &str); 3] = [
    ("A", include_str!("../../mixes/A.toml")),
    ("B", include_str!("../../mixes/B.toml")),
    ("C", include_str!("../../mixes/C.toml")),
];

/// A number and the statement it comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The number.
    pub value: u64,
    /// A key of [`Mix::source`].
    pub source: String,
}

/// A range, both ends included, and the statement it comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Least and most.
    pub range: [u64; 2],
    /// A key of [`Mix::source`].
    pub source: String,
}

/// How far apart everybody is, one way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delays {
    /// Between a host and the core of the network.
    pub access_ms: Range,
    /// Between the core and the rendezvous.
    pub rendezvous_ms: Given,
    /// Random addition to each datagram.
    pub jitter_ms: Given,
}

/// Hosts of one kind. Shares in percent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// One word.
    pub name: String,
    /// A box at home stands behind the carrier's.
    #[serde(default)]
    pub double_nat: bool,
    /// Predictable ports come from a block per subscriber, not one after the other.
    #[serde(default)]
    pub blocks: bool,
    /// Of the population.
    pub share: Given,
    /// Address- and port-dependent mapping.
    pub symmetric: Given,
    /// Of those, with ports that follow a rule.
    pub predictable: Given,
    /// Of those that are not symmetric, with endpoint-independent filtering; the others filter by address and port.
    pub endpoint_independent_filtering: Given,
    /// No UDP at all.
    pub udp_blocked: Given,
    /// The box forwards a port on request.
    pub port_map: Given,
    /// A global address, behind a stateful firewall.
    pub ipv6: Given,
    /// Seconds after which the box forgets.
    pub idle_s: Range,
}

/// A population.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// What it is, in a few words.
    pub title: String,
    /// What the numbers rest on.
    pub source: BTreeMap<String, String>,
    /// How far apart everybody is.
    pub delays: Delays,
    /// Kinds of hosts.
    pub class: Vec<Class>,
}

impl Mix {
    /// The mix of that name, in any case; the error names those that exist.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self, String> {
        let file = MIXES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, file)| file);
        let known = || MIXES.map(|(known, _)| known).join(", ");
        file.map_or_else(
            || Err(format!("there is no mix {name:?}; the mixes are {}", known())),
            |file| Self::parse(file),
        )
    }

    /// Reads a mix and checks that shares are shares and every number has a source.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mix: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let total: u64 = mix.class.iter().map(|class| class.share.value).sum();
        if total != 100 {
            return Err(format!("the classes' shares make {total}, and must make 100"));
        }
        for class in &mix.class {
            class.check(&mix.source)?;
        }
        let delays = &mix.delays;
        let sources = [&delays.access_ms.source, &delays.rendezvous_ms.source, &delays.jitter_ms.source];
        sources.into_iter().try_for_each(|key| known(&mix.source, key, "delays"))?;
        Ok(mix)
    }
}

impl Class {
    fn check(&self, sources: &BTreeMap<String, String>) -> Result<(), String> {
        let shares = [
            &self.share,
            &self.symmetric,
            &self.predictable,
            &self.endpoint_independent_filtering,
            &self.udp_blocked,
            &self.port_map,
            &self.ipv6,
        ];
        for share in shares {
            if share.value > 100 {
                return Err(format!("class {}: {} is no share in percent", self.name, share.value));
            }
            known(sources, &share.source, &self.name)?;
        }
        known(sources, &self.idle_s.source, &self.name)
    }
}

fn known(sources: &BTreeMap<String, String>, key: &str, place: &str) -> Result<(), String> {
    let missing = || format!("{place}: there is no {key:?} under [source]");
    sources.contains_key(key).then_some(()).ok_or_else(missing)
}
