//! Virtual addresses: 48 bits, `network u16 | node u32` (PP-ADDR-1).

use crate::ids::{NetworkId, NodeId};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A node in a network. Text form `N:NNNN.HHHH.LLLL`: the network in decimal and in hex, then the node's two halves in hex.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Address {
    /// The network, `0` for the backbone.
    pub network: NetworkId,
    /// The node.
    pub node: NodeId,
}

impl Address {
    /// Bytes on the wire.
    pub const LEN: usize = 6;

    /// `node` on the backbone.
    #[must_use]
    pub const fn backbone(node: NodeId) -> Self {
        Self { network: NetworkId::BACKBONE, node }
    }

    /// The address in wire order.
    #[must_use]
    //= spec/addressing.md#pp-addr-1
    //# An address is 48 bits on the wire: a network of 16 bits, then a node of 32 bits, both big-endian.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b] = self.network.0.to_be_bytes();
        let [c, d, e, f] = self.node.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The address those bytes name; every value is one.
    #[must_use]
    pub const fn from_bytes([a, b, c, d, e, f]: [u8; Self::LEN]) -> Self {
        Self { network: NetworkId(u16::from_be_bytes([a, b])), node: NodeId(u32::from_be_bytes([c, d, e, f])) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, node) = (self.network.0, self.node.0);
        //= spec/addressing.md#pp-addr-4
        //# An address is written as the network in decimal, a colon, the network as four hexadecimal digits, and the high and the low half of
        //# the node as four digits each, separated by dots.
        write!(f, "{network}:{network:04X}.{:04X}.{:04X}", node >> 16, node & 0xFFFF)
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not of the form `N:NNNN.HHHH.LLLL`.
    Malformed,
    /// The decimal network and the hexadecimal one differ.
    NetworkMismatch,
    /// The port is missing or not in `0..=65535`.
    Port,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "an address has the form N:NNNN.HHHH.LLLL, for example 0:0000.0000.000B",
            Self::NetworkMismatch => "the network in decimal and the first hexadecimal group must be the same number",
            Self::Port => "the port after the last colon must be a number from 0 to 65535",
        })
    }
}

impl core::error::Error for AddressError {}

fn hex_group(text: &str) -> Result<u16, AddressError> {
    if text.len() != 4 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(AddressError::Malformed);
    }
    //= spec/addressing.md#pp-addr-5
    //# Hexadecimal digits of an address are written in upper case and read in either case.
    u16::from_str_radix(text, 16).map_err(|_| AddressError::Malformed)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (decimal, groups) = text.split_once(':').ok_or(AddressError::Malformed)?;
        if decimal.is_empty() || !decimal.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::Malformed);
        }
        let network: u16 = decimal.parse().map_err(|_| AddressError::Malformed)?;
        let mut parts = groups.split('.');
        let (Some(a), Some(b), Some(c), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(AddressError::Malformed);
        };
        //= spec/addressing.md#pp-addr-6
        //# An address text whose decimal and hexadecimal networks differ is refused.
        if hex_group(a)? != network {
            return Err(AddressError::NetworkMismatch);
        }
        let node = u32::from(hex_group(b)?) << 16 | u32::from(hex_group(c)?);
        Ok(Self { network: NetworkId(network), node: NodeId(node) })
    }
}

/// A port of a node in a network; text form `ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SocketAddress {
    /// The node and network.
    pub address: Address,
    /// The port, `0..=65535`.
    pub port: u16,
}

impl SocketAddress {
    /// `port` of `address`.
    #[must_use]
    pub const fn new(address: Address, port: u16) -> Self {
        Self { address, port }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

impl FromStr for SocketAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        //= spec/addressing.md#pp-addr-7
        //# A port stands behind the last colon of a socket address, in decimal, 0 to 65535.
        let (address, port) = text.rsplit_once(':').ok_or(AddressError::Malformed)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::Port);
        }
        Ok(Self { address: address.parse()?, port: port.parse().map_err(|_| AddressError::Port)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/addressing.md#pp-addr-4
    //= type=test
    //# An address is written as the network in decimal, a colon, the network as four hexadecimal digits, and the high and the low half of
    //# the node as four digits each, separated by dots.
    //= spec/addressing.md#pp-addr-5
    //= type=test
    //# Hexadecimal digits of an address are written in upper case and read in either case.
    //= spec/addressing.md#pp-addr-6
    //= type=test
    //# An address text whose decimal and hexadecimal networks differ is refused.
    #[test]
    fn text_is_strict_about_form_and_lenient_about_case() {
        let address = Address { network: NetworkId(163), node: NodeId(0xF291_0004) };
        assert_eq!(address.to_string(), "163:00A3.F291.0004");
        assert_eq!("163:00a3.f291.0004".parse(), Ok(address));
        for malformed in ["", "163", "163:00A3.F291", "163:00A3.F291.0004.0000", "163:0A3.F291.0004", ":00A3.F291.0004"]
        {
            assert_eq!(malformed.parse::<Address>(), Err(AddressError::Malformed), "{malformed}");
        }
        for malformed in ["+163:00A3.F291.0004", "163:+0A3.F291.0004", "65536:0000.0000.0000", " 163:00A3.F291.0004"] {
            assert_eq!(malformed.parse::<Address>(), Err(AddressError::Malformed), "{malformed}");
        }
        assert_eq!("1:00A3.F291.0004".parse::<Address>(), Err(AddressError::NetworkMismatch));
    }

    //= spec/addressing.md#pp-addr-7
    //= type=test
    //# A port stands behind the last colon of a socket address, in decimal, 0 to 65535.
    #[test]
    fn a_socket_address_ends_in_a_port() {
        let address = Address::backbone(NodeId(42));
        assert_eq!("0:0000.0000.002A:7".parse(), Ok(SocketAddress::new(address, 7)));
        for port in ["", "65536", "-1", "+1", "x"] {
            assert_eq!(format!("{address}:{port}").parse::<SocketAddress>(), Err(AddressError::Port), "{port}");
        }
        assert_eq!("42".parse::<SocketAddress>(), Err(AddressError::Malformed));
    }
}
