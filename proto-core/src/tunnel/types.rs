//! What goes into a tunnel and comes out of it.

use super::session::SessionId;
use crate::crypto::{CryptoProvider, Identity};
use crate::rng::Rng;
use crate::wire::Header;
use core::fmt;
use core::time::Duration;

/// What a tunnel borrows from its endpoint to make and sign keys.
#[derive(Debug)]
pub struct Context<'a> {
    /// The primitives.
    pub crypto: &'static CryptoProvider,
    /// Signs our X25519 key.
    pub identity: &'a Identity,
    /// Draws keys and prefixes.
    pub rng: &'a mut Rng,
}

/// When a key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyLimits {
    /// Frames sealed under one key. Default 2^32.
    pub frames: u64,
    /// Age of a key. Default 24 h.
    pub age: Duration,
}

impl Default for RekeyLimits {
    fn default() -> Self {
        Self { frames: 1 << 32, age: Duration::from_secs(24 * 3600) }
    }
}

/// What a tunnel wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send what [`super::Tunnel::emit_exchange`] writes, by whatever paths are tried or known.
    SendExchange,
    /// Send it back the way the last frame came.
    ReplyExchange,
    /// Send one ping under this session ([`super::Tunnel::seal_probe`]).
    Probe(SessionId),
    /// There is a key to send under, and there was none.
    Established,
    /// Another key is sent under from now on. What went out under the old one may have reached somebody who could not read it.
    Switched,
    /// The exchange was not answered, and there is no key to send under. It may be started again.
    Failed,
}

/// Which of a tunnel's timers is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelTimer {
    /// Send the exchange again, or give up.
    Exchange,
    /// Probe or judge the candidate session.
    Candidate,
    /// Replace the key, or try that again.
    Rekey,
    /// Forget a session no longer sent under.
    Expiry,
}

/// An authentic, fresh packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'f> {
    /// Its header; the source node is the peer, or 0 in an empty control packet to port 0.
    pub header: Header,
    /// Its payload.
    pub payload: &'f [u8],
    /// The session it came under.
    pub session: SessionId,
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $counter:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// A word for a counter.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $counter,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)+
                })
            }
        }

        impl std::error::Error for $name {}
    };
}

reasons! {
    /// Why a key exchange was dropped. It changed nothing.
    ExchangeError {
        /// Not the peer of this tunnel, or ourselves.
        WrongSender => "exchange_wrong_sender", "the exchange names another sender";
        /// The carried identity is not the registry's.
        IdentityMismatch => "exchange_identity_mismatch", "the carried identity is not the one known for the peer";
        /// Not signed by that identity.
        Signature => "exchange_bad_signature", "the signature does not fit";
        /// A key without identity from a peer that has proved one.
        Downgrade => "exchange_downgrade_refused", "the peer has proved an identity, and this key comes without";
        /// The X25519 key is a low-order point.
        LowOrderKey => "exchange_low_order_key", "the key is a low-order point";
    }
}

reasons! {
    /// Why a packet was not sealed.
    SealError {
        /// No key to send under.
        NoSession => "seal_no_session", "no session to send under";
        /// The frame is too short for its header and tag.
        TooShort => "seal_too_short", "no room for header and tag";
        /// The counter is used up: 2^64 frames.
        Exhausted => "seal_exhausted", "the frame counter is used up";
    }
}

reasons! {
    /// Why a frame was dropped.
    OpenError {
        /// No PILS frame, or too short for one with a packet in it.
        Malformed => "secure_malformed", "malformed frame";
        /// Not from the peer of this tunnel.
        WrongSender => "secure_wrong_sender", "the frame names another sender";
        /// There is no key yet.
        NoSession => "secure_without_session", "no session with the peer";
        /// Fits none of the keys.
        Undecryptable => "secure_undecryptable", "no key opens the frame";
        /// What was inside is no packet.
        Packet => "secure_bad_packet", "the sealed packet is malformed";
        /// The packet names a source other than who sealed it.
        SourceSpoofed => "secure_source_spoofed", "the sealed packet names another source";
        /// Seen before, or too old to tell.
        Replayed => "secure_replayed", "the frame is a replay";
        /// Too many nonce prefixes under this key; a new key is being made.
        PrefixesExhausted => "secure_prefixes_exhausted", "too many nonce prefixes under one key";
    }
}
