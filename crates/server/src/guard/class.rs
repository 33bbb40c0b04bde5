//! What sort of address an address is.
//!
//! The tables are those of the IANA registries of special-purpose addresses (IPv4 and IPv6), of multicast, and of the
//! forms in which an IPv4 address travels inside an IPv6 one. The standard library's `is_global` is not stable; the
//! tests hold this one against the registries row by row.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not one of the public internet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `0.0.0.0/8` and `::`: this host, which many systems connect to themselves.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`: behind a carrier's address translation.
    CarrierNat,
    /// `169.254.0.0/16`, `fe80::/10`: where clouds keep their metadata.
    LinkLocal,
    /// `fc00::/7`.
    UniqueLocal,
    /// `fec0::/10`, deprecated and still routed in places.
    SiteLocal,
    /// Set aside for examples.
    Documentation,
    /// Set aside for measuring.
    Benchmarking,
    /// One to many.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Set aside by the IETF for protocols, anycast services and the discard prefix.
    Protocol,
    /// Not given to anybody.
    Reserved,
    /// An IPv4 address written as an IPv6 one, `::ffff:0:0/96` and `::/96`.
    Mapped,
    /// An IPv6 address that leads to an IPv4 one: 6to4, Teredo, NAT64, SIIT.
    Translated,
    /// `5f00::/16`: segment routing.
    SegmentRouting,
}

impl Class {
    /// What it is called in a message.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierNat => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::UniqueLocal => "unique-local",
            Self::SiteLocal => "site-local",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Protocol => "protocol",
            Self::Reserved => "reserved",
            Self::Mapped => "IPv4-mapped",
            Self::Translated => "translated",
            Self::SegmentRouting => "segment-routing",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first row that holds an address decides.
const V4: &[(Ipv4Addr, u32, Class)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Class::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Class::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Class::CarrierNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Class::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Class::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Class::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Class::Protocol),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Class::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Class::Protocol),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Class::Protocol),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Class::Protocol),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Class::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Class::Protocol),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Class::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Class::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Class::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Class::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, Class::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Class::Reserved),
];

/// The first row that holds an address decides; what no row holds and lies outside `2000::/3` is reserved.
const V6: &[(Ipv6Addr, u32, Class)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Class::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Class::Loopback),
    (v6(0, 0, 0, 0, 0, 0xffff), 96, Class::Mapped),
    (v6(0, 0, 0, 0, 0xffff, 0), 96, Class::Translated),
    (v6(0, 0, 0, 0, 0, 0), 96, Class::Mapped),
    (v6(0x64, 0xff9b, 0, 0, 0, 0), 96, Class::Translated),
    (v6(0x64, 0xff9b, 1, 0, 0, 0), 48, Class::Translated),
    (v6(0x100, 0, 0, 0, 0, 0), 64, Class::Protocol),
    (v6(0x100, 0, 0, 1, 0, 0), 64, Class::Protocol),
    (v6(0x2001, 0, 0, 0, 0, 0), 32, Class::Translated),
    (v6(0x2001, 2, 0, 0, 0, 0), 48, Class::Benchmarking),
    (v6(0x2001, 0, 0, 0, 0, 0), 23, Class::Protocol),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0), 32, Class::Documentation),
    (v6(0x2002, 0, 0, 0, 0, 0), 16, Class::Translated),
    (v6(0x2620, 0x4f, 0x8000, 0, 0, 0), 48, Class::Protocol),
    (v6(0x3fff, 0, 0, 0, 0, 0), 20, Class::Documentation),
    (v6(0x5f00, 0, 0, 0, 0, 0), 16, Class::SegmentRouting),
    (v6(0xfc00, 0, 0, 0, 0, 0), 7, Class::UniqueLocal),
    (v6(0xfe80, 0, 0, 0, 0, 0), 10, Class::LinkLocal),
    (v6(0xfec0, 0, 0, 0, 0, 0), 10, Class::SiteLocal),
    (v6(0xff00, 0, 0, 0, 0, 0), 8, Class::Multicast),
];

const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, 0, 0)
}

/// What is special about the address; `None` for one of the public internet's.
#[must_use]
pub fn class_of(address: IpAddr) -> Option<Class> {
    match address {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(network, length, _)| same_prefix_4(address, *network, *length))
            .map(|(_, _, class)| *class),
        IpAddr::V6(address) => V6
            .iter()
            .find(|(network, length, _)| same_prefix_6(address, *network, *length))
            .map(|(_, _, class)| *class)
            // Only `2000::/3` has been handed out for use across the internet.
            .or_else(|| (address.segments()[0] & 0xe000 != 0x2000).then_some(Class::Reserved)),
    }
}

/// The IPv4 addresses that an IPv6 address leads to, where it is of a form that carries some.
///
/// Two, because Teredo carries its server beside the client, and the local NAT64 prefix can carry one in two places.
#[must_use]
pub fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = address.to_bits();
    let last = Ipv4Addr::from_bits(bits as u32);
    let within = |a, b, c, e, f, length| same_prefix_6(address, v6(a, b, c, 0, e, f), length);
    if address == Ipv6Addr::UNSPECIFIED || address == Ipv6Addr::LOCALHOST {
        [None, None]
    } else if within(0, 0, 0, 0, 0xffff, 96)
        || within(0, 0, 0, 0xffff, 0, 96)
        || within(0, 0, 0, 0, 0, 96)
        || within(0x64, 0xff9b, 0, 0, 0, 96)
    {
        [Some(last), None]
    } else if within(0x64, 0xff9b, 1, 0, 0, 48) {
        // RFC 6052: after a prefix of 48 bits the address is split around the 8 bits that must be zero.
        let split = ((bits >> 64) as u32 & 0xffff) << 16 | (bits >> 40) as u32 & 0xffff;
        [Some(last), Some(Ipv4Addr::from_bits(split))]
    } else if within(0x2002, 0, 0, 0, 0, 16) {
        [Some(Ipv4Addr::from_bits((bits >> 80) as u32)), None]
    } else if within(0x2001, 0, 0, 0, 0, 32) {
        let server = Ipv4Addr::from_bits((bits >> 64) as u32);
        // The client's address is written with every bit flipped.
        let client = Ipv4Addr::from_bits(!(bits as u32));
        [Some(client), Some(server)]
    } else {
        [None, None]
    }
}

fn same_prefix_4(address: Ipv4Addr, network: Ipv4Addr, length: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}

fn same_prefix_6(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}
