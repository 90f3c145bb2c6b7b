//! What a scenario is made of, and how bytes become one. Any bytes are a scenario; whatever an operation names that does not exist is
//! taken modulo what there is.

use crate::{Filtering, Mapping, PortChoice, Rules};
use arbitrary::{Result, Unstructured};
use std::time::Duration;

/// Operations of one scenario at most: a small one that fails is worth more than a large one.
const MAX_OPS: usize = 48;

/// Where a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// On the open network.
    Open,
    /// Behind a box of its own.
    Behind(Kind),
    /// Behind a box of its own, which is behind another one.
    Double(Kind, Kind),
    /// Behind the box of the host before.
    Shared,
}

/// The boxes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, port-restricted filtering.
    PortRestricted,
    /// A mapping for each destination, ports one after the other.
    SymmetricSequential,
    /// A mapping for each destination, any port.
    SymmetricRandom,
}

impl Kind {
    /// Its rules.
    #[must_use]
    pub fn rules(self) -> Rules {
        use Filtering as F;
        use Mapping as M;
        let (mapping, filtering, ports) = match self {
            Self::FullCone => (M::EndpointIndependent, F::EndpointIndependent, PortChoice::Preserve),
            Self::PortRestricted => (M::EndpointIndependent, F::AddressAndPortDependent, PortChoice::Random),
            Self::SymmetricSequential => {
                (M::AddressAndPortDependent, F::AddressAndPortDependent, PortChoice::Sequential(1))
            }
            Self::SymmetricRandom => (M::AddressAndPortDependent, F::AddressAndPortDependent, PortChoice::Random),
        };
        Rules { ports, ..Rules::new(mapping, filtering) }
    }

    fn decode(u: &mut Unstructured<'_>) -> Result<Self> {
        let kinds = [Self::FullCone, Self::PortRestricted, Self::SymmetricSequential, Self::SymmetricRandom];
        u.choose(&kinds).copied()
    }
}

/// A pair of hosts by number, modulo how many there are.
pub type Pair = (u8, u8);

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Time passes.
    Wait(Duration),
    /// The first host dials a port of the second: one that listens, or one that does not.
    Dial(Pair, bool),
    /// More bytes are to go through a stream, from its dialler or back.
    Write(u8, u32, bool),
    /// The dialler has said everything.
    Finish(u8),
    /// One end lets go of a stream, the dialler's or the other.
    Reset(u8, bool),
    /// The reader of a stream rests, or goes on.
    Rest(u8, bool),
    /// A datagram of this many bytes.
    Datagram(Pair, u16),
    /// A ping.
    Ping(Pair),
    /// The first host wants to trust the second.
    Trust(Pair),
    /// The first host trusts the second no longer.
    Revoke(Pair),
    /// From the first to the second host: so many percent lost, reordered and duplicated.
    Noise(Pair, [u8; 3]),
    /// From the first to the second host, and back if told: nothing arrives any more.
    Partition(Pair, bool),
    /// From the first to the second host: up and down, every so many 100 ms.
    Flap(Pair, u8),
    /// From the first to the second host: nothing over so many bytes.
    Mtu(Pair, u16),
    /// From the first to the second host: so many 10 kB a second.
    Rate(Pair, u8),
    /// From the first to the second host: everything waits for so many 100 ms.
    Clog(Pair, u8),
    /// All links are well again; boxes, hosts and the rendezvous are left alone.
    Mend,
    /// A box forgets everything, and has another address if told.
    RebootBox(u8, bool),
    /// A host's process ends; it is there again after so many 100 ms, with what it trusted if told.
    Crash(u8, u8, bool),
    /// A host sleeps for so many 100 ms.
    Suspend(u8, u8),
    /// A host's clocks jump ahead by so many seconds.
    Jump(u8, u8),
    /// A host moves to another address of its network.
    Move(u8),
    /// The rendezvous ends, or starts again.
    Rendezvous(bool),
    /// The beacon alone ends, or starts again.
    Beacon(bool),
    /// From now on the registry tells where peers first were.
    Stale,
    /// Somebody whom nobody trusts tries the host.
    Intrude(u8, u8),
    /// Somebody outside sends what it heard or made up.
    Attack(Attack, u8, u16),
}

/// What somebody without any key sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A captured datagram again, as it was.
    Replay,
    /// A captured datagram again, from the attacker's address.
    ReplayElsewhere,
    /// A captured datagram from the attacker's address, before the true one arrives: the true one is lost.
    Overtake,
    /// A captured datagram, cut short or with a byte changed, as if from its sender.
    Mutate,
    /// A punch from the attacker's address that names a peer.
    Punch,
    /// A beacon's command to punch the attacker, as if from the beacon.
    PunchCommand,
    /// A sealed frame with made-up content that names a peer, from the attacker's address.
    Forge,
    /// A delivery of made-up bytes, as if from the beacon.
    Delivery,
    /// A captured frame as a delivery from the attacker's address.
    ForeignDelivery,
    /// Many key exchanges with made-up keys that name a peer.
    Flood,
    /// Bytes.
    Noise,
}

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of the network's and endpoints' randomness.
    pub seed: u64,
    /// Where hosts stand, two to four.
    pub stands: Vec<Stand>,
    /// One-way delay of the open network.
    pub delay: Duration,
    /// What happens.
    pub ops: Vec<Op>,
}

impl Scenario {
    /// The scenario that `bytes` are. What they leave open is a quiet default, so that a shorter input is a smaller scenario.
    ///
    /// # Errors
    /// None today: an exhausted input ends the scenario.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let u = &mut Unstructured::new(bytes);
        let seed = u.arbitrary()?;
        let count = u.int_in_range(2..=4)?;
        let mut stands = Vec::new();
        for index in 0..count {
            stands.push(match u.int_in_range(0..=9)? {
                0..=2 => Stand::Open,
                3 | 4 if index > 0 => Stand::Shared,
                5 => Stand::Double(Kind::decode(u)?, Kind::decode(u)?),
                _ => Stand::Behind(Kind::decode(u)?),
            });
        }
        let delay = Duration::from_millis(u.int_in_range(1..=60)?);
        let mut ops = Vec::new();
        while !u.is_empty() && ops.len() < MAX_OPS {
            ops.push(Op::decode(u)?);
        }
        Ok(Self { seed, stands, delay, ops })
    }
}

impl Op {
    fn decode(u: &mut Unstructured<'_>) -> Result<Self> {
        let pair = |u: &mut Unstructured<'_>| -> Result<Pair> { Ok((u.arbitrary()?, u.arbitrary()?)) };
        Ok(match u.int_in_range(0..=63)? {
            0..=9 => Self::Wait(Duration::from_millis(u.int_in_range(1..=6_000)?)),
            10..=16 => Self::Dial(pair(u)?, u.ratio(9, 10)?),
            17..=23 => Self::Write(u.arbitrary()?, u.int_in_range(1..=60_000)?, u.arbitrary()?),
            24 | 25 => Self::Finish(u.arbitrary()?),
            26 => Self::Reset(u.arbitrary()?, u.arbitrary()?),
            27 => Self::Rest(u.arbitrary()?, u.arbitrary()?),
            28 | 29 => Self::Datagram(pair(u)?, u.int_in_range(0..=1_400)?),
            30 | 31 => Self::Ping(pair(u)?),
            32 => Self::Trust(pair(u)?),
            33 => Self::Revoke(pair(u)?),
            34..=36 => {
                Self::Noise(pair(u)?, [u.int_in_range(0..=30)?, u.int_in_range(0..=30)?, u.int_in_range(0..=20)?])
            }
            37 | 38 => Self::Partition(pair(u)?, u.arbitrary()?),
            39 => Self::Flap(pair(u)?, u.int_in_range(2..=60)?),
            40 => Self::Mtu(pair(u)?, u.int_in_range(1_200..=1_500)?),
            41 => Self::Rate(pair(u)?, u.int_in_range(2..=100)?),
            42 => Self::Clog(pair(u)?, u.int_in_range(1..=40)?),
            43 | 44 => Self::Mend,
            45 | 46 => Self::RebootBox(u.arbitrary()?, u.arbitrary()?),
            47 | 48 => Self::Crash(u.arbitrary()?, u.int_in_range(1..=60)?, u.ratio(3, 4)?),
            49 => Self::Suspend(u.arbitrary()?, u.int_in_range(1..=250)?),
            50 => Self::Jump(u.arbitrary()?, u.int_in_range(1..=100)?),
            51 => Self::Move(u.arbitrary()?),
            52 => Self::Rendezvous(u.arbitrary()?),
            53 => Self::Beacon(u.arbitrary()?),
            54 => Self::Stale,
            55 | 56 => Self::Intrude(u.arbitrary()?, u.arbitrary()?),
            _ => Self::Attack(Attack::decode(u)?, u.arbitrary()?, u.arbitrary()?),
        })
    }
}

impl Attack {
    const ALL: [Self; 11] = [
        Self::Replay,
        Self::ReplayElsewhere,
        Self::Overtake,
        Self::Mutate,
        Self::Punch,
        Self::PunchCommand,
        Self::Forge,
        Self::Delivery,
        Self::ForeignDelivery,
        Self::Flood,
        Self::Noise,
    ];

    fn decode(u: &mut Unstructured<'_>) -> Result<Self> {
        u.choose(&Self::ALL).copied()
    }
}
